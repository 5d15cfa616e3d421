//! A line of the log proves nothing about the hub: other hubs write into the same file, and servers print what looks like its lines.
//! What the hub's API contradicts is not told, what it confirms is told with the line's own time.

mod played;

use hubwatch::watch::{
    ApiOutcome, CallFact, ChangeCause, ClaimKind, ClaimRefusal, FactKind, HubFact, Liveness, LogFact, ServerFact, SessionFact,
};
use played::{Logger, Played, Server, Told};

/// What a second hub writes that fails because the port is taken.
const PORT_TAKEN: [&str; 8] = [
    "Starting HTTP server on port 7000",
    "HTTP_SERVER_START_ERROR: EADDRINUSE: listen EADDRINUSE: address already in use :::7000",
    "listen EADDRINUSE: address already in use :::7000",
    "Received SIGTERM signal - initiating graceful shutdown",
    "Starting graceful shutdown process",
    "MCP Hub is already stopped and cannot be stopped again",
    "Deregistered workspace on port 7000",
    "Graceful shutdown completed successfully",
];

const STOP: &str = "Received SIGTERM signal - initiating graceful shutdown";
const STOPPED: &str = "Graceful shutdown completed successfully";

#[tokio::test]
async fn a_second_start_on_the_same_port_that_fails_is_no_end_of_the_hub() {
    for logger in [Logger::Plain, Logger::Pino] {
        let mut played = Played::up(logger).await;
        if logger == Logger::Plain {
            played.empties();
        }
        played.lines(65.0, 200, &PORT_TAKEN).await;
        // It also takes the first one's entry away, for good.
        played.hub.entry = false;
        played.runs(75.0, 150.0).await;
        let told = played.ends().await;
        assert_eq!(told.ends_and_starts(), ["started"], "{logger:?}");
        assert_eq!(told.judged().history.hub.stops.len(), 0, "{logger:?}");
        assert!(!told.incidents().iter().any(|incident| incident.starts_with("hub")), "{logger:?}: {:?}", told.incidents());
        assert!(told.is_shared(), "{logger:?}");
        assert!(told.refused().keys().any(|(claim, _)| *claim == ClaimKind::HubStop), "{logger:?}: {:?}", told.refused());
        assert_eq!(told.last_poll().servers[0].liveness, Liveness::Up);
    }
}

#[tokio::test]
async fn a_second_fork_that_lives_on_without_its_port_and_takes_the_hub_s_entry_is_not_the_hub() {
    for logger in [Logger::Plain, Logger::Pino] {
        for crashed in [false, true] {
            let mut played = Played::up(logger).await;
            if crashed {
                played.line(61.0, 100, "'files' transport closed").await;
                played.hub.servers.insert("files", Server::crashed(1.0));
            }
            if logger == Logger::Plain {
                played.empties();
            }
            let begins = ["Starting HTTP server on port 7000", "HTTP_SERVER_STARTED", "Registered workspace on port 7000"];
            played.lines(65.0, 200, &begins).await;
            played.hub.usurper = Some((200, 65.0));
            played.lines(66.0, 200, &["Initializing MCP server 'files'", "'files' MCP server connected"]).await;
            played.runs(75.0, 120.0).await;
            played.line(125.0, 200, STOP).await;
            played.line(125.0, 200, STOPPED).await;
            (played.hub.usurper, played.hub.entry) = (None, false);
            played.runs(135.0, 150.0).await;
            let told = played.ends().await;
            assert_eq!(told.ends_and_starts(), ["started"], "{logger:?} {crashed}");
            assert!(told.is_shared(), "{logger:?} {crashed}");
            let expected = if crashed { Liveness::Down } else { Liveness::Up };
            assert_eq!(told.last_poll().servers[0].liveness, expected, "{logger:?} {crashed}");
            assert_eq!(told.last_poll().api.pid, Some(100), "{logger:?} {crashed}");
        }
    }
}

/// An error that the fork goes on after: it writes it at each start without a network.
const NO_MARKETPLACE: &str = "Failed to initialize marketplace registry: Failed to fetch marketplace registry";

#[tokio::test]
async fn an_error_that_the_hub_survived_or_that_came_after_its_end_is_not_what_killed_it() {
    let causes = |told: &Told| -> Vec<Option<String>> {
        let exits = told.facts().filter_map(|fact| match &fact.kind {
            FactKind::Hub(HubFact::HubExited(exit)) => Some(exit.cause.as_ref().map(ToString::to_string)),
            _ => None,
        });
        exits.collect()
    };
    for (dies_of_it, goes_on) in [(true, false), (false, true)] {
        let mut played = Played::up(Logger::Pino).await;
        played.error(61.0, 100, NO_MARKETPLACE).await;
        if goes_on {
            played.line(63.0, 100, "Marketplace initialized with 0").await;
        }
        played.hub.answers = Err(ApiOutcome::Refused);
        // The next process has the same trouble.
        played.line(66.0, 101, START[0]).await;
        played.error(66.5, 101, NO_MARKETPLACE).await;
        (played.hub.answers, played.hub.pid, played.hub.started) = (Ok(()), 101, 66.05);
        played.hub.servers.insert("files", Server::up(67.0));
        played.runs(75.0, 120.0).await;
        let expected = dies_of_it.then(|| NO_MARKETPLACE.to_owned());
        assert_eq!(causes(&played.ends().await), [expected]);
    }
}

/// What the hub writes when it starts.
const START: [&str; 4] =
    ["Starting HTTP server on port 7000", "HTTP_SERVER_STARTED", "Initializing MCP server 'files'", "'files' MCP server connected"];

#[tokio::test]
async fn a_start_that_is_read_long_after_it_is_the_start_of_the_hub_that_answers_and_no_end_of_it() {
    for logger in [Logger::Plain, Logger::Pino] {
        for restarted in [false, true] {
            let mut played = Played::begin(logger);
            // It has answered for a minute before its log can be read.
            (played.hub.answers, played.hub.started) = (Ok(()), -30.0);
            played.hub.servers.insert("files", Server::up(-20.0));
            played.runs(0.0, 60.0).await;
            if restarted {
                played.restarts().await;
            }
            played.late_lines(63.0, -30.0, 100, &START).await;
            played.runs(75.0, 120.0).await;
            let told = played.ends().await;
            assert_eq!(told.judged().history.hub.stops.len(), 0, "{logger:?} {restarted}: {:?}", told.life());
            assert_eq!(told.incidents(), [""; 0], "{logger:?} {restarted}");
            assert!(!told.ends_and_starts().contains(&"exited"), "{logger:?} {restarted}: {:?}", told.life());
            let changes = told.changes("files");
            assert_eq!(changes, [(Liveness::Up, ChangeCause::Hub)], "{logger:?} {restarted}");
            assert_eq!(told.last_poll().servers[0].liveness, Liveness::Up);
        }
    }
}

#[tokio::test]
async fn an_entry_that_was_found_to_be_another_hub_s_stays_so_when_all_servers_are_restarted() {
    let mut played = Played::up(Logger::Pino).await;
    played.hub.usurper = Some((200, 65.0));
    played.runs(75.0, 90.0).await;
    // Now nothing that the hub shows is older than the entry any more.
    played.hub.servers.insert("files", Server::up(95.0));
    played.runs(105.0, 150.0).await;
    let told = played.ends().await;
    assert_eq!(told.ends_and_starts(), ["started"]);
    assert_eq!(told.last_poll().api.pid, Some(100));
}

#[tokio::test]
async fn what_a_hub_s_own_lines_tell_of_a_long_time_without_a_poll_is_all_told() {
    let mut played = Played::up(Logger::Pino).await;
    let times = 200;
    for round in 0..times {
        let second = 62.0 + f64::from(round);
        played.line(second, 100, "'files' transport closed").await;
        played.line(second + 0.5, 100, "'files' MCP server connected").await;
    }
    let last = 62.0 + f64::from(times);
    played.hub.servers.insert("files", Server::up(last - 0.5));
    played.runs(last + 5.0, last + 30.0).await;
    let told = played.ends().await;
    let downs = told.changes("files").iter().filter(|(to, _)| *to == Liveness::Down).count();
    assert_eq!(downs, usize::try_from(times).unwrap());
    assert!(told.refused().is_empty(), "{:?}", told.refused());
}

#[tokio::test]
async fn another_hub_that_starts_and_stops_beside_it_ends_neither_the_hub_nor_its_servers() {
    for logger in [Logger::Plain, Logger::Pino] {
        let mut played = Played::up(logger).await;
        if logger == Logger::Plain {
            played.empties();
        }
        played.hub.other = Some((7001, 200));
        played.line(65.0, 200, "Starting HTTP server on port 7001").await;
        played.line(65.1, 200, "Initializing MCP server 'files'").await;
        played.line(66.0, 200, "'files' MCP server connected").await;
        played.line(66.0, 200, "Initializing MCP server 'theirs'").await;
        played.line(67.0, 200, "Failed to connect to \"theirs\" MCP server: spawn ENOENT").await;
        played.poll(75.0).await;
        played.line(80.0, 200, STOP).await;
        played.lines(80.1, 200, &["'files' transport closed", "'files' transport closed", STOPPED]).await;
        played.hub.other = None;
        played.runs(90.0, 120.0).await;
        let told = played.ends().await;
        assert_eq!(told.ends_and_starts(), ["started"], "{logger:?}");
        let own = [(Liveness::Starting, ChangeCause::Hub), (Liveness::Up, ChangeCause::Hub)];
        assert_eq!(told.changes("files"), own, "{logger:?}");
        assert_eq!(told.changes("theirs"), [], "{logger:?}");
        assert!(!told.facts().any(|fact| matches!(fact.kind, FactKind::Server(ServerFact::ServerStartFailed(_)))), "{logger:?}");
        assert!(told.judged().history.servers.0["files"].down.is_empty(), "{logger:?}");
        assert!(!told.judged().history.servers.0.contains_key("theirs"), "{logger:?}");
        assert!(told.is_shared(), "{logger:?}");
    }
}

#[tokio::test]
async fn the_lines_that_a_server_prints_end_nothing() {
    let mut played = Played::up(Logger::Plain).await;
    let printed = ["files stderr: starting", "Starting HTTP server on port 3001", STOP, "'files' transport closed", STOPPED];
    played.lines(65.0, 100, &printed).await;
    played.runs(75.0, 120.0).await;
    let told = played.ends().await;
    assert_eq!(told.ends_and_starts(), ["started"]);
    assert_eq!(told.changes("files").len(), 2);
    assert_eq!(told.incidents(), Vec::<String>::new());
    assert_eq!(told.refused()[&(ClaimKind::HubStop, ClaimRefusal::Contradicted)], 2);
    assert!(!told.is_shared(), "nothing shows another hub");
}

#[tokio::test]
async fn a_server_that_prints_checkpoints_makes_no_call() {
    let mut played = Played::up(Logger::Plain).await;
    let printed = [
        "files stderr: hello",
        "CHECKPOINT 1: handleAnalyzePrompt entry",
        "CHECKPOINT 6: Returning success response",
        "CHECKPOINT: Session initialized with tool exposure",
    ];
    played.lines(65.0, 100, &printed).await;
    played.runs(75.0, 90.0).await;
    let told = played.ends().await;
    assert!(!told.facts().any(|fact| matches!(
        fact.kind,
        FactKind::Call(CallFact::CallEnded(_)) | FactKind::Session(SessionFact::SessionOpened(_))
    )));
}

#[tokio::test]
async fn an_end_that_the_api_confirms_is_told_with_the_time_of_its_line() {
    for logger in [Logger::Plain, Logger::Pino] {
        let mut played = Played::up(logger).await;
        played.line(70.0, 100, STOP).await;
        played.lines(70.3, 100, &["'files' transport closed", "'files' transport closed", STOPPED]).await;
        played.hub.answers = Err(ApiOutcome::Refused);
        played.poll(75.0).await;
        played.starts(80.0, 101).await;
        played.runs(90.0, 120.0).await;
        let told = played.ends().await;
        let life: Vec<_> = told.life().into_iter().filter(|(what, _)| !what.ends_with("reachable")).collect();
        assert_eq!(life, [("started", 0.0), ("stopping", 70.0), ("stopped", 70.3), ("started", 80.0)], "{logger:?}");
        let of_hub = |to| (to, ChangeCause::Hub);
        let changes = [Liveness::Starting, Liveness::Up, Liveness::Unknown, Liveness::Starting, Liveness::Up].map(of_hub);
        assert_eq!(told.changes("files"), changes, "{logger:?}");
        assert!(told.refused().is_empty(), "{logger:?}: {:?}", told.refused());
        assert!(!told.is_shared(), "{logger:?}");
    }
}

#[tokio::test]
async fn a_hub_that_restarts_between_two_polls_stopped_and_started() {
    for logger in [Logger::Plain, Logger::Pino] {
        let mut played = Played::up(logger).await;
        played.line(62.0, 100, STOP).await;
        played.line(62.3, 100, STOPPED).await;
        played.starts(65.0, 101).await;
        played.runs(75.0, 120.0).await;
        let told = played.ends().await;
        assert_eq!(told.ends_and_starts(), ["started", "stopping", "stopped", "started"], "{logger:?}");
        assert!(told.refused().is_empty(), "{logger:?}: {:?}", told.refused());
    }
}

#[tokio::test]
async fn a_hub_that_is_killed_seconds_after_its_start_and_replaced_is_another_process_each_time() {
    for logger in [Logger::Plain, Logger::Pino] {
        let mut played = Played::up(logger).await;
        // Killed at 62, 66 and 70, with a poll after each start: the starts are four seconds apart.
        for (start, pid) in [(62.5, 101), (66.5, 102), (70.5, 103)] {
            played.starts(start, pid).await;
            played.poll(start + 2.0).await;
        }
        played.runs(75.0, 120.0).await;
        let told = played.ends().await;
        let expected = ["started", "exited", "started", "exited", "started", "exited", "started"];
        assert_eq!(told.ends_and_starts(), expected, "{logger:?}");
        assert_eq!(told.judged().history.hub.exits.len(), 3, "{logger:?}");
    }
}

#[tokio::test]
async fn a_replaced_hub_whose_log_is_not_seen_is_known_by_its_number() {
    let mut played = Played::begin(Logger::Pino);
    played.poll(-5.0).await;
    played.starts(0.0, 100).await;
    played.poll(2.0).await;
    played.hub.pid = 101;
    played.hub.started = 3.0;
    played.hub.servers.insert("files", Server::up(4.0));
    played.runs(15.0, 60.0).await;
    let told = played.ends().await;
    assert_eq!(told.ends_and_starts(), ["started", "exited", "started"]);
}

#[tokio::test]
async fn a_hub_whose_clock_is_ahead_or_behind_is_one_process() {
    for logger in [Logger::Plain, Logger::Pino] {
        for ahead in [40.0, -40.0, 600.0, -7_200.0] {
            let mut played = Played::begin(logger);
            played.hub.ahead = ahead;
            played.poll(-5.0).await;
            played.starts(0.0, 100).await;
            played.runs(15.0, 60.0).await;
            played.line(65.0, 100, "'files' transport closed").await;
            played.hub.servers.insert("files", Server::crashed(1.0));
            played.runs(75.0, 120.0).await;
            let told = played.ends().await;
            assert_eq!(told.ends_and_starts(), ["started"], "{logger:?} {ahead}");
            let changes: Vec<_> = told.changes("files").into_iter().map(|(to, _)| to).collect();
            assert_eq!(changes, [Liveness::Starting, Liveness::Up, Liveness::Down], "{logger:?} {ahead}");
            assert!(told.refused().is_empty(), "{logger:?} {ahead}: {:?}", told.refused());
        }
    }
}

#[tokio::test]
async fn eleven_hundred_forged_names_do_not_hide_a_real_crash() {
    let mut played = Played::up(Logger::Plain).await;
    let forged: Vec<String> = (0..1_100).map(|index| format!("'forged-{index}' MCP server connected")).collect();
    let lines: Vec<&str> = forged.iter().map(String::as_str).collect();
    played.lines(65.0, 100, &lines).await;
    played.line(66.0, 100, "'files' transport closed").await;
    played.hub.servers.insert("files", Server::crashed(1.0));
    played.runs(75.0, 120.0).await;
    let told = played.ends().await;
    assert_eq!(told.changed_at("files", Liveness::Down, 60.0), Some(66.0));
    assert_eq!(told.last_poll().servers[0].liveness, Liveness::Down);
    assert_eq!(told.judged().history.servers.0.keys().collect::<Vec<_>>(), ["files"]);
    let refused: u64 = told.refused().values().sum();
    assert_eq!(refused, 1_100, "each is counted");
}

#[tokio::test]
async fn what_waits_for_the_next_poll_survives_the_end_of_the_sidecar() {
    for logger in [Logger::Plain, Logger::Pino] {
        let mut played = Played::up(logger).await;
        played.line(65.0, 100, "'files' transport closed").await;
        played.poll(65.5).await;
        played.line(66.0, 100, STOP).await;
        played.restarts().await;
        played.hub.answers = Err(ApiOutcome::Refused);
        played.poll(75.0).await;
        let told = played.ends().await;
        assert_eq!(told.ends_and_starts(), ["started", "stopping"], "{logger:?}");
    }
}

#[tokio::test]
async fn the_calls_of_another_hub_in_the_same_log_are_not_counted() {
    let mut played = Played::up(Logger::Pino).await;
    for pid in [100, 200] {
        played.line(65.0, pid, "CHECKPOINT 1: handleAnalyzePrompt entry").await;
        played.line(65.5, pid, "CHECKPOINT 6: Returning success response").await;
        played.line(66.0, pid, "'probe' client connected to MCP HUB").await;
    }
    played.runs(75.0, 90.0).await;
    played.line(95.0, 200, "CHECKPOINT 1: handleAnalyzePrompt entry").await;
    played.line(95.5, 200, "CHECKPOINT 7: Error in analyze_prompt meta-tool").await;
    played.runs(105.0, 120.0).await;
    let told = played.ends().await;
    assert_eq!(told.facts().filter(|fact| matches!(fact.kind, FactKind::Call(CallFact::CallEnded(_)))).count(), 1);
    assert_eq!(told.facts().filter(|fact| matches!(fact.kind, FactKind::Session(SessionFact::ClientConnected(_)))).count(), 1);
    let shared = told
        .facts()
        .filter_map(|fact| if let FactKind::Log(LogFact::LogShared(shared)) = &fact.kind { Some(shared.pid) } else { None });
    assert_eq!(shared.collect::<Vec<_>>(), [Some(200)]);
}

#[tokio::test]
async fn calls_in_flight_end_with_the_hub_that_a_confirmed_line_ends() {
    let mut played = Played::up(Logger::Pino).await;
    played.line(65.0, 100, "CHECKPOINT 1: handleAnalyzePrompt entry").await;
    // Another hub's stop leaves it alone.
    played.line(66.0, 200, STOP).await;
    played.poll(75.0).await;
    played.line(80.0, 100, STOP).await;
    played.hub.answers = Err(ApiOutcome::Refused);
    played.poll(90.0).await;
    let told = played.ends().await;
    let ended: Vec<_> = told
        .facts()
        .filter_map(
            |fact| if let FactKind::Call(CallFact::CallEnded(call)) = &fact.kind { Some(call.outcome.as_str()) } else { None },
        )
        .collect();
    assert_eq!(ended, ["aborted"]);
    assert_eq!(told.ends_and_starts(), ["started", "stopping"]);
}

#[tokio::test]
async fn a_line_about_auto_shutdown_counts_for_the_hub_that_starts_with_it_and_not_for_another() {
    let option = "Setting up auto shutting down";
    let mut played = Played::up(Logger::Plain).await;
    played.empties();
    played.hub.other = Some((7001, 200));
    played.lines(65.0, 200, &[option, "Starting HTTP server on port 7001"]).await;
    assert!(played.stops_alone(), "nothing has told yet whose line it is");
    played.poll(75.0).await;
    assert!(!played.stops_alone());
    // The hub is started anew, and with that option.
    played.hub.answers = Err(ApiOutcome::Refused);
    played.poll(90.0).await;
    played.starts(95.0, 101).await;
    played.line(96.5, 101, option).await;
    played.poll(105.0).await;
    assert!(played.stops_alone());
    played.poll(120.0).await;
    assert!(played.stops_alone());
}

#[tokio::test]
async fn a_start_that_fails_right_after_the_hub_was_started_anew_is_no_start_and_no_end_of_it() {
    for logger in [Logger::Plain, Logger::Pino] {
        let mut played = Played::up(logger).await;
        // It is killed, and started before anybody has asked.
        played.starts(63.0, 101).await;
        if logger == Logger::Plain {
            played.empties();
        }
        played.lines(64.5, 200, &PORT_TAKEN).await;
        played.runs(75.0, 150.0).await;
        let told = played.ends().await;
        assert_eq!(told.ends_and_starts(), ["started", "exited", "started"], "{logger:?}");
        assert_eq!(told.judged().history.hub.stops.len(), 0, "{logger:?}");
    }
}

#[tokio::test]
async fn what_nothing_has_decided_when_the_watch_ends_is_said() {
    let mut played = Played::up(Logger::Plain).await;
    played.line(64.0, 100, "'files' transport closed").await;
    let told = played.ends().await;
    assert_eq!(told.refused()[&(ClaimKind::ServerChange, ClaimRefusal::Undecided)], 1);
    assert_eq!(told.changes("files").last().unwrap().0, Liveness::Up);
}
