//! What a server's state means depends on what was before, and on whether somebody asked for the change.

mod played;

use hubwatch::judge::history::{CountsAs, Ending};
use hubwatch::judge::verdict::Verdict;
use hubwatch::watch::{ApiOutcome, ChangeCause, Liveness};
use played::{Hub, Logger, Played, Server};

use ChangeCause::{Configured, Hub as OfHub, Requested, Unknown, Unprompted};
use Liveness::{Disabled, Down, Removed, Starting, Up};

const BOTH: [Logger; 2] = [Logger::Plain, Logger::Pino];

/// A stop through the API, as it shows in the log: the line comes twice.
async fn stops(played: &mut Played, second: f64) {
    played.line(second, 100, "'files' transport closed").await;
    played.line(second + 0.02, 100, "'files' transport closed").await;
    played.hub.servers.insert("files", Server::stopped());
}

async fn connects(played: &mut Played, second: f64) {
    played.line(second, 100, "'files' MCP server connected").await;
    played.hub.servers.insert("files", Server::up(second));
}

async fn crashes(played: &mut Played, second: f64) {
    played.line(second, 100, "'files' transport closed").await;
    let up = played.hub.servers["files"].clone();
    played.hub.servers.insert("files", Server { up_since: None, ..up });
}

/// The changes after the hub's start.
fn changes(told: &played::Told) -> Vec<(Liveness, ChangeCause)> {
    told.changes("files").split_off(2)
}

#[tokio::test]
async fn a_crash_is_nobody_s_wish_and_told_at_its_time() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        crashes(&mut played, 65.3).await;
        played.runs(75.0, 120.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Unprompted)], "{logger:?}");
        assert_eq!(told.changed_at("files", Down, 0.0), Some(65.3), "{logger:?}");
        assert!(told.incidents().iter().any(|incident| incident == "server_down files"), "{logger:?}: {:?}", told.incidents());
        assert!(told.refused().is_empty(), "{logger:?}");
    }
}

#[tokio::test]
async fn a_server_that_takes_its_time_to_start_is_not_down_when_it_has_just_connected() {
    for took in [6.0, 280.0] {
        let mut played = Played::begin(Logger::Plain);
        played.poll(-5.0).await;
        played.starts(0.0, 100).await;
        played.hub.servers.insert("slow", Server::connecting(0.3));
        played.hub.state = "starting";
        played.runs(2.0, took).await;
        played.hub.state = "ready";
        played.hub.servers.insert("slow", Server { last_started: Some(0.3), ..Server::up(took + 0.1) });
        played.poll(took + 0.6).await;
        played.runs(took + 15.0, took + 60.0).await;
        let told = played.ends().await;
        assert_eq!(told.changes("slow"), [(Starting, OfHub), (Up, OfHub)], "{took}");
        assert!(told.incidents().is_empty(), "{took}: {:?}", told.incidents());
    }
}

#[tokio::test]
async fn a_start_that_ends_just_in_time_between_two_polls_is_timed_by_its_uptime() {
    // Five minutes are what a start may take; the poll after it comes later.
    for ahead in [0.0, 3_000.0] {
        let mut played = Played::begin(Logger::Plain);
        played.poll(-5.0).await;
        played.starts(0.0, 100).await;
        played.hub.ahead = ahead;
        played.hub.servers.insert("slow", Server::connecting(0.3));
        played.hub.state = "starting";
        played.runs(5.0, 290.0).await;
        played.hub.state = "ready";
        played.hub.servers.insert("slow", Server { last_started: Some(0.3), ..Server::up(290.4) });
        played.runs(305.5, 350.0).await;
        let told = played.ends().await;
        assert_eq!(told.changes("slow"), [(Starting, OfHub), (Up, OfHub)], "{ahead}");
        assert_eq!(told.changed_at("slow", Up, 0.0), Some(290.5), "{ahead}: to the second");
        assert!(told.incidents().is_empty(), "{ahead}: {:?}", told.incidents());
    }
}

#[tokio::test]
async fn a_start_is_timed_by_what_the_hub_says_of_it() {
    let mut played = Played::up(Logger::Plain).await;
    crashes(&mut played, 65.0).await;
    played.poll(75.0).await;
    played.hub.servers.insert("files", Server::connecting(77.0));
    played.poll(90.0).await;
    played.hub.servers.insert("files", Server { last_started: Some(77.0), ..Server::up(93.0) });
    played.runs(105.0, 120.0).await;
    let told = played.ends().await;
    assert_eq!(told.changed_at("files", Starting, 60.0), Some(77.0));
    assert_eq!(told.changed_at("files", Up, 60.0), Some(93.0));
    let down = &told.judged().history.servers.0["files"].down[0];
    // From the line, which is read within 50 ms, to where the uptime begins.
    assert!((27_950_000..=28_050_000).contains(&down.duration_us), "{}", down.duration_us);
}

#[tokio::test]
async fn a_hub_that_was_away_answers_again_since_its_start() {
    let mut played = Played::up(Logger::Plain).await;
    played.hub.answers = Err(ApiOutcome::Refused);
    played.poll(75.0).await;
    played.hub = Hub { answers: Ok(()), pid: 200, started: 78.0, ..played.hub.clone() };
    played.hub.servers.insert("files", Server::up(79.0));
    played.runs(90.0, 120.0).await;
    let told = played.ends().await;
    let back = told.life().into_iter().rfind(|(what, _)| *what == "reachable");
    assert_eq!(back, Some(("reachable", 80.0)), "the hub notes its start within two seconds");
}

#[tokio::test]
async fn who_begins_to_watch_calls_nothing_dead_at_the_first_look() {
    for (is_dead, expected) in [(true, vec![(Starting, OfHub), (Down, Unprompted)]), (false, vec![(Starting, OfHub), (Up, OfHub)])]
    {
        let mut played = Played::begin(Logger::Plain);
        let up = Server { last_started: Some(-300.0), ..Server::up(0.0) };
        played.hub = Hub { answers: Ok(()), started: -500.0, ..played.hub.clone() };
        played.hub.servers.insert("files", if is_dead { Server::crashed(-300.0) } else { up });
        played.poll(0.5).await;
        played.runs(15.0, 60.0).await;
        let told = played.ends().await;
        assert_eq!(told.changes("files"), expected);
    }
}

#[tokio::test]
async fn a_server_taken_out_of_the_configuration_is_removed_and_its_outage_is_over() {
    for (logger, was_down) in BOTH.into_iter().flat_map(|logger| [(logger, false), (logger, true)]) {
        let mut played = Played::up(logger).await;
        played.hub.servers.insert("other", Server::up(2.0));
        played.poll(61.0).await;
        if was_down {
            crashes(&mut played, 65.0).await;
        }
        played.poll(75.0).await;
        played.line(80.0, 100, "'files' transport closed").await;
        played.line(80.0, 100, "Removed server files").await;
        played.hub.servers.remove("files");
        played.runs(90.0, 120.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told).last(), Some(&(Removed, Configured)), "{logger:?} {was_down}");
        assert!(told.refused().is_empty(), "{logger:?} {was_down}: {:?}", told.refused());
        let judged = told.judged();
        assert!(!judged.incidents.iter().any(|incident| incident.end.is_none()), "{logger:?} {was_down}: {:?}", judged.incidents);
    }
}

#[tokio::test]
async fn a_server_that_is_missing_while_the_hub_starts_is_not_removed() {
    let mut played = Played::up(Logger::Plain).await;
    played.hub.state = "starting";
    played.hub.servers.clear();
    played.poll(75.0).await;
    played.hub.state = "ready";
    played.hub.servers.insert("files", Server::up(80.0));
    played.runs(90.0, 105.0).await;
    let told = played.ends().await;
    assert!(!told.changes("files").contains(&(Removed, Configured)));
}

#[tokio::test]
async fn disabling_a_server_through_the_api_was_asked_for() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        played.line(65.0, 100, "'files' transport closed").await;
        played.line(65.01, 100, "'files' transport closed").await;
        played.hub.servers.insert("files", Server::disabled());
        played.runs(75.0, 120.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Disabled, Requested)], "{logger:?}");
        assert_eq!(told.changed_at("files", Disabled, 0.0), Some(65.0), "{logger:?}");
        assert!(told.refused().is_empty(), "{logger:?}");
    }
}

#[tokio::test]
async fn a_restart_of_all_servers_was_asked_for() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        played.line(65.0, 100, "Restarting MCP Hub").await;
        played.line(65.01, 100, "'files' transport closed").await;
        played.line(65.02, 100, "Initializing MCP server 'files'").await;
        // The old process's end.
        played.line(65.06, 100, "'files' transport closed").await;
        played.line(66.0, 100, "'files' MCP server connected").await;
        played.line(66.0, 100, "MCP Hub restarted successfully").await;
        played.hub.state = "restarted";
        played.hub.servers.insert("files", Server { last_started: Some(65.02), ..Server::up(66.0) });
        played.runs(75.0, 120.0).await;
        // It stays `restarted`, and a later crash is a crash.
        crashes(&mut played, 125.0).await;
        played.runs(135.0, 150.0).await;
        let told = played.ends().await;
        let expected = [(Down, Requested), (Starting, Requested), (Up, Requested), (Down, Unprompted)];
        assert_eq!(changes(&told), expected, "{logger:?}");
        assert_eq!(told.ends_and_starts(), ["started"], "{logger:?}");
        assert!(told.refused().is_empty(), "{logger:?}");
    }
}

#[tokio::test]
async fn an_answer_that_was_on_its_way_does_not_take_the_hub_s_state_back() {
    let mut played = Played::up(Logger::Plain).await;
    played.joins(61.0);
    played.hub.state = "restarting";
    played.poll(75.0).await;
    // Said two milliseconds after the hub had made the answer that comes now.
    let state = serde_json::json!({"state": "restarted", "pid": 100, "port": 7000, "timestamp": played::at(90.001).to_string()});
    played.streams(89.999, "hub_state", state).await;
    played.poll(90.0).await;
    played.hub.state = "restarted";
    played.runs(105.0, 120.0).await;
    let told = played.ends().await;
    let states: Vec<String> = told
        .facts()
        .filter_map(|fact| match &fact.kind {
            hubwatch::watch::FactKind::Hub(hubwatch::watch::HubFact::HubStateChanged(change)) => Some(change.to.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(states, ["restarting", "restarted"]);
}

#[tokio::test]
async fn a_changed_configuration_is_told_as_such() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        played.line(65.0, 100, "'files' transport closed").await;
        played.line(65.01, 100, "'files' transport closed").await;
        played.line(65.4, 100, "'files' MCP server connected").await;
        played.line(65.4, 100, "Updated server 'files'").await;
        played.hub.servers.insert("files", Server::up(65.4));
        played.runs(75.0, 90.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Configured), (Up, Configured)], "{logger:?}");
    }
}

#[tokio::test]
async fn who_restarts_a_dead_server_by_hand_is_seen_in_its_status() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        crashes(&mut played, 65.0).await;
        played.poll(75.0).await;
        played.hub.servers.insert("files", Server::stopped());
        played.poll(84.0).await;
        connects(&mut played, 84.8).await;
        played.runs(90.0, 105.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Unprompted), (Up, Requested)], "{logger:?}");
    }
}

#[tokio::test]
async fn who_restarts_a_dead_server_by_hand_is_seen_in_the_event_stream() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        played.joins(61.0);
        crashes(&mut played, 65.0).await;
        played.poll(75.0).await;
        played.streams(84.2, "subscription_event", updated(84.2)).await;
        connects(&mut played, 84.8).await;
        played.streams(84.8, "subscription_event", updated(84.8)).await;
        played.runs(90.0, 105.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Unprompted), (Up, Requested)], "{logger:?}");
        assert_eq!(told.judged().history.servers.0["files"].down[0].ending, Some(Ending::ByHand), "{logger:?}");
    }
}

/// The hub tells its subscribers that a request about its server is done.
fn updated(second: f64) -> serde_json::Value {
    serde_json::json!({"type": "servers_updated", "changes": {"modified": ["files"]}, "timestamp": played::at(second).to_string()})
}

#[tokio::test]
async fn a_request_while_the_hub_s_clock_is_set_is_of_the_time_when_the_stream_told_of_it() {
    for set_to in [-86_400.0, -57.0, 57.0, 86_400.0] {
        let mut played = Played::up(Logger::Plain).await;
        played.joins(61.0);
        crashes(&mut played, 65.0).await;
        played.poll(75.0).await;
        played.hub.ahead = set_to;
        // What the hub noted before stays as it noted it.
        played.hub.started -= set_to;
        played.hub.servers.insert("files", Server { last_started: Some(0.5 - set_to), ..Server::crashed(1.0) });
        played.streams(84.2, "subscription_event", updated(84.2 + set_to)).await;
        connects(&mut played, 84.8).await;
        played.streams(84.8, "subscription_event", updated(84.8 + set_to)).await;
        played.runs(90.0, 105.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Unprompted), (Up, Requested)], "{set_to}");
    }
}

#[tokio::test]
async fn the_event_stream_shows_the_lines_of_a_log_that_is_gone() {
    let mut played = Played::up(Logger::Pino).await;
    played.joins(61.0);
    std::fs::remove_file(played.log()).unwrap();
    played.looks(64.0).await;
    let closed =
        serde_json::json!({"type": "info", "message": "'files' transport closed", "timestamp": played::at(65.3).to_string()});
    played.hub.servers.insert("files", Server::crashed(1.0));
    played.streams(65.35, "log", closed).await;
    played.runs(75.0, 105.0).await;
    let told = played.ends().await;
    assert_eq!(changes(&told), [(Down, Unprompted)]);
    assert_eq!(told.changed_at("files", Down, 60.0), Some(65.3), "to the moment, as no poll can");
}

#[tokio::test]
async fn a_hub_that_reconnects_its_server_by_itself_did_it_itself() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        played.joins(61.0);
        crashes(&mut played, 65.0).await;
        played.poll(75.0).await;
        connects(&mut played, 84.8).await;
        played.runs(90.0, 105.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Unprompted), (Up, Unprompted)], "{logger:?}");
        assert_eq!(told.judged().history.servers.0["files"].down[0].ending, Some(Ending::Recovered), "{logger:?}");
    }
}

#[tokio::test]
async fn who_joined_the_event_stream_while_the_clock_was_thirty_days_ahead_sees_that_nobody_asked() {
    let month = 30.0 * 86_400.0;
    let mut played = Played::up(Logger::Plain).await;
    played.jumps(month).await;
    played.joins(month + 60.5);
    played.poll(month + 62.0).await;
    played.jumps(-month).await;
    crashes(&mut played, 65.0).await;
    played.poll(75.0).await;
    connects(&mut played, 84.8).await;
    played.runs(90.0, 105.0).await;
    let told = played.ends().await;
    assert_eq!(changes(&told), [(Down, Unprompted), (Up, Unprompted)]);
}

#[tokio::test]
async fn a_recovery_of_which_nothing_tells_who_brought_it_about_is_not_credited_to_the_hub() {
    for (joined, left) in [(None, None), (Some(86.0), None), (Some(61.0), Some(78.0))] {
        let mut played = Played::up(Logger::Plain).await;
        if let Some(second) = joined.filter(|joined| *joined < 75.0) {
            played.joins(second);
        }
        crashes(&mut played, 65.0).await;
        played.poll(75.0).await;
        if let Some(second) = left {
            played.leaves(second);
        }
        // A stop leaves no line where the connection had closed before; a start leaves the line that a reconnection leaves.
        connects(&mut played, 84.8).await;
        if let Some(second) = joined.filter(|joined| *joined > 75.0) {
            played.joins(second);
        }
        played.runs(90.0, 105.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Unprompted), (Up, Unknown)], "{joined:?} {left:?}");
        let judged = told.judged();
        let down = &judged.history.servers.0["files"].down[0];
        assert_eq!(down.ending, Some(Ending::Unexplained), "{joined:?} {left:?}");
        let (_, criterion) = judged.criteria.iter().find(|(criterion, _)| criterion.id == "degradation.server_recovery").unwrap();
        assert_eq!(criterion.verdict, Verdict::Inconclusive, "{joined:?} {left:?}: {}", criterion.why);
        assert!(criterion.why.contains("1 recovery of unknown cause"), "{}", criterion.why);
    }
}

#[tokio::test]
async fn a_restart_between_two_polls_of_which_no_line_tells_is_of_unknown_cause_and_no_outage() {
    let mut played = Played::up(Logger::Plain).await;
    played.hub.servers.insert("files", Server { last_started: Some(66.0), ..Server::up(67.0) });
    played.runs(75.0, 120.0).await;
    let told = played.ends().await;
    assert_eq!(changes(&told), [(Starting, Unknown), (Up, Unknown)]);
    assert_eq!(told.changed_at("files", Starting, 60.0), Some(66.0));
    assert_eq!(told.changed_at("files", Up, 60.0), Some(67.0));
    let judged = told.judged();
    let files = &judged.history.servers.0["files"];
    assert!(files.down.is_empty(), "{:?}", files.down);
    let reason = "the hub started it anew between two polls";
    let stretch = files.timeline.stretches.iter().find(|stretch| stretch.reason == reason).unwrap();
    assert_eq!(stretch.counts_as, CountsAs::Unknown);
}

#[tokio::test]
async fn a_restart_between_two_polls_was_asked_for_where_the_event_stream_says_so() {
    let mut played = Played::up(Logger::Plain).await;
    played.joins(61.0);
    let updated = serde_json::json!({"type": "servers_updated", "changes": {"modified": ["files"]}, "timestamp": played::at(67.0).to_string()});
    played.streams(67.0, "subscription_event", updated).await;
    played.hub.servers.insert("files", Server { last_started: Some(66.0), ..Server::up(67.0) });
    played.runs(75.0, 120.0).await;
    let told = played.ends().await;
    assert_eq!(changes(&told), [(Starting, Requested), (Up, Requested)]);
}

#[tokio::test]
async fn a_stop_and_a_start_through_the_api_were_asked_for() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        stops(&mut played, 65.0).await;
        played.runs(75.0, 90.0).await;
        connects(&mut played, 95.0).await;
        played.runs(105.0, 120.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Requested), (Up, Requested)], "{logger:?}");
        assert!(told.refused().is_empty(), "{logger:?}");
    }
}

#[tokio::test]
async fn a_stop_and_a_start_between_two_polls_are_seen_in_the_closing_that_is_said_twice() {
    for logger in BOTH {
        let mut played = Played::up(logger).await;
        stops(&mut played, 65.0).await;
        connects(&mut played, 67.0).await;
        played.runs(75.0, 90.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [(Down, Requested), (Up, Requested)], "{logger:?}");
    }
}

#[tokio::test]
async fn a_crash_excused_by_forged_lines_is_a_crash() {
    let mut played = Played::up(Logger::Plain).await;
    crashes(&mut played, 65.0).await;
    let forged = ["Restarting MCP Hub", "Updated server 'files'", "Removed server files", "Server 'files' disabled"];
    played.lines(65.1, 100, &forged).await;
    played.runs(75.0, 120.0).await;
    let told = played.ends().await;
    assert_eq!(changes(&told), [(Down, Unprompted)]);
}
