//! A hub dates what it says by its own clock, and counts the uptime of its servers by it. A clock that is set while the hub runs is
//! no event of the hub: its process is the same, and so are its servers' connections.

mod played;

use hubwatch::watch::{ApiOutcome, CallFact, ChangeCause, ClaimKind, ClaimRefusal, Fact, FactKind, Liveness, Micros};
use played::{Logger, Played, Server};

use ChangeCause::{Hub as OfHub, Requested, Unprompted};
use Liveness::{Down, Up};

const BOTH: [Logger; 2] = [Logger::Plain, Logger::Pino];
const MONTH: f64 = 30.0 * 86_400.0;

/// By so many seconds it is set. From −100 on the uptime passes through 0 while it is polled.
const SET_BY: [f64; 7] = [-MONTH, -7_200.0, -100.0, -20.0, 90.0, 7_200.0, MONTH];

/// A hub that has run for a minute when its clock is set.
async fn set(logger: Logger, by: f64) -> Played {
    let mut played = Played::up(logger).await;
    played.hub.set = Some((63.0, by));
    played
}

/// The changes of the server after the hub's start.
fn changes(told: &played::Told) -> Vec<(Liveness, ChangeCause)> {
    told.changes("files").split_off(2)
}

#[tokio::test]
async fn a_clock_that_is_set_ends_neither_the_hub_nor_its_servers() {
    for logger in BOTH {
        for by in SET_BY {
            let mut played = set(logger, by).await;
            // The server came up at second 1: set back by 100 s, its uptime is 0 once more from second 101 to 102.
            for second in [75.0, 90.0, 101.5, 105.0, 120.0, 135.0, 150.0] {
                played.poll(second).await;
            }
            let told = played.ends().await;
            assert_eq!(told.ends_and_starts(), ["started"], "{logger:?} {by}");
            assert_eq!(changes(&told), [], "{logger:?} {by}");
            assert!(told.incidents().is_empty(), "{logger:?} {by}: {:?}", told.incidents());
            let uptime = told.last_poll().servers[0].uptime.get();
            assert!((148_000_000..=150_000_000).contains(&uptime), "{logger:?} {by}: up for {uptime} µs");
        }
    }
}

#[tokio::test]
async fn a_crash_after_the_clock_was_set_is_told_and_so_is_who_brings_the_server_back() {
    for logger in BOTH {
        for by in SET_BY {
            let mut played = set(logger, by).await;
            played.runs(75.0, 75.0).await;
            played.line(80.0, 100, "'files' transport closed").await;
            let up = played.hub.servers["files"].clone();
            played.hub.servers.insert("files", Server { up_since: None, ..up });
            played.runs(90.0, 120.0).await;
            played.hub.servers.insert("files", Server::stopped());
            played.poll(121.0).await;
            played.line(125.0, 100, "'files' MCP server connected").await;
            played.hub.servers.insert("files", Server::up(125.0));
            played.runs(135.0, 165.0).await;
            let told = played.ends().await;
            assert_eq!(changes(&told), [(Down, Unprompted), (Up, Requested)], "{logger:?} {by}");
            assert_eq!(told.changed_at("files", Down, 0.0), Some(80.0), "{logger:?} {by}");
            assert_eq!(told.changed_at("files", Up, 2.0), Some(125.0), "{logger:?} {by}");
        }
    }
}

#[tokio::test]
async fn a_closing_that_a_server_prints_is_not_believed_though_the_hub_s_clock_was_set() {
    for by in SET_BY {
        let mut played = set(Logger::Plain, by).await;
        played.runs(75.0, 75.0).await;
        played.lines(80.0, 100, &["files stderr: it rains", "'files' transport closed"]).await;
        played.runs(90.0, 120.0).await;
        let told = played.ends().await;
        assert_eq!(changes(&told), [], "{by}");
        assert_eq!(told.refused(), [((ClaimKind::ServerChange, ClaimRefusal::Contradicted), 1)].into(), "{by}");
    }
}

#[tokio::test]
async fn a_server_that_is_started_anew_between_the_set_and_the_next_poll_was_down_for_that_time() {
    for logger in BOTH {
        for by in SET_BY {
            let mut played = set(logger, by).await;
            played.line(64.0, 100, "'files' transport closed").await;
            played.line(64.02, 100, "'files' transport closed").await;
            played.line(70.0, 100, "'files' MCP server connected").await;
            played.hub.servers.insert("files", Server::up(70.0));
            played.runs(75.0, 120.0).await;
            let told = played.ends().await;
            assert_eq!(changes(&told), [(Down, Requested), (Up, Requested)], "{logger:?} {by}");
            assert!(told.incidents().is_empty(), "{logger:?} {by}: {:?}", told.incidents());
        }
    }
}

#[tokio::test]
async fn another_process_in_the_hub_s_entry_is_not_the_hub_though_its_clock_was_set() {
    for logger in BOTH {
        for by in SET_BY {
            let mut played = set(logger, by).await;
            played.runs(75.0, 75.0).await;
            if logger == Logger::Plain {
                played.empties();
            }
            let begins = ["Starting HTTP server on port 7000", "HTTP_SERVER_STARTED", "Registered workspace on port 7000"];
            played.lines(80.0, 200, &begins).await;
            played.hub.usurper = Some((200, 80.05));
            played.runs(90.0, 150.0).await;
            let told = played.ends().await;
            assert_eq!(told.ends_and_starts(), ["started"], "{logger:?} {by}");
            assert_eq!(changes(&told), [], "{logger:?} {by}");
        }
    }
}

#[tokio::test]
async fn a_hub_that_is_replaced_after_its_clock_was_set_is_another_process() {
    for logger in BOTH {
        for by in SET_BY {
            let mut played = set(logger, by).await;
            played.runs(75.0, 75.0).await;
            played.starts(80.0, 300).await;
            played.runs(90.0, 150.0).await;
            let told = played.ends().await;
            assert_eq!(told.ends_and_starts(), ["started", "exited", "started"], "{logger:?} {by}");
            assert_eq!(told.last_poll().servers[0].liveness, Up, "{logger:?} {by}");
            assert_eq!(changes(&told).last(), Some(&(Up, OfHub)), "{logger:?} {by}");
            assert!(!changes(&told).contains(&(Down, Unprompted)), "{logger:?} {by}");
        }
    }
}

const BEGINS: &str = "CHECKPOINT 1: handleAnalyzePrompt entry";
const ASKS: &str = "CHECKPOINT 2: Calling analyzePromptWithFallback";
const ANALYSED: &str = "CHECKPOINT 3: LLM analysis complete";
const ENDS: &str = "CHECKPOINT 6: Returning success response";

/// The meta-tool is called: the call begins and ends at these seconds.
async fn is_called(played: &mut Played, begins: f64, ends: f64) {
    played.line(begins, 100, BEGINS).await;
    played.line(begins + 0.2, 100, ASKS).await;
    played.lines(ends, 100, &[ANALYSED, ENDS]).await;
}

/// The durations of the calls in seconds, and of their Gemini parts.
fn durations(told: &played::Told) -> Vec<(Option<f64>, Option<f64>)> {
    let seconds = |duration: Option<Micros>| duration.map(Micros::as_secs_f64);
    let call = |fact: &Fact| match &fact.kind {
        FactKind::Call(CallFact::CallEnded(call)) => Some((seconds(call.duration), seconds(call.gemini_duration))),
        _ => None,
    };
    told.facts().filter_map(call).collect()
}

/// When the calls ended.
fn ends(told: &played::Told) -> Vec<f64> {
    let calls = told.facts().filter(|fact| matches!(fact.kind, FactKind::Call(CallFact::CallEnded(_))));
    calls.map(|call| played::second(call.when.latest())).collect()
}

#[tokio::test]
async fn how_long_a_call_took_in_whose_midst_the_clock_was_set_is_unknown_and_stands_in_no_mean() {
    // By −2 s the clock goes back by less than the call takes: only the next answer shows that its end was not late.
    for by in SET_BY.into_iter().chain([-2.0, 2.0]) {
        let mut played = Played::up(Logger::Pino).await;
        played.hub.set = Some((67.0, by));
        is_called(&mut played, 65.0, 70.0).await;
        is_called(&mut played, 71.0, 73.0).await;
        played.runs(75.0, 75.0).await;
        is_called(&mut played, 76.0, 80.0).await;
        played.runs(90.0, 105.0).await;
        let told = played.ends().await;
        assert_eq!(ends(&told), [70.0, 73.0, 80.0], "{by}");
        assert_eq!(durations(&told), [(None, None), (Some(2.0), Some(1.8)), (Some(4.0), Some(3.8))], "{by}");
        let calls = told.judged().history.calls;
        assert_eq!((calls.total, calls.partial, calls.untimed, calls.timed), (3, 0, 1, 2), "{by}");
        assert_eq!((calls.mean_us, calls.gemini_mean_us, calls.gemini_asked), (Some(3_000_000), Some(2_800_000), 3), "{by}");
    }
}

#[tokio::test]
async fn a_call_that_an_answer_with_another_clock_falls_in_is_of_unknown_duration() {
    for by in SET_BY.into_iter().chain([-2.0, 2.0]) {
        let mut played = Played::up(Logger::Pino).await;
        played.hub.set = Some((72.0, by));
        played.line(71.0, 100, BEGINS).await;
        played.line(71.2, 100, ASKS).await;
        played.runs(75.0, 75.0).await;
        played.lines(78.0, 100, &[ANALYSED, ENDS]).await;
        played.runs(90.0, 90.0).await;
        assert_eq!(durations(&played.ends().await), [(None, None)], "{by}");
    }
}

#[tokio::test]
async fn lines_that_come_late_of_a_hub_that_no_longer_answers_tell_no_duration_and_those_of_one_that_answers_do() {
    for (answers, expected) in [(true, Some(5.0)), (false, None)] {
        let mut played = Played::up(Logger::Pino).await;
        let lines = [BEGINS, ENDS];
        played.looks(68.0).await;
        played.late_lines(68.5, 61.0, 100, &lines[..1]).await;
        played.late_lines(70.0, 66.0, 100, &lines[1..]).await;
        if !answers {
            played.hub.answers = Err(ApiOutcome::Refused);
        }
        played.runs(75.0, 75.0).await;
        let told = played.ends().await;
        let durations: Vec<_> = durations(&told).into_iter().map(|(call, _)| call).collect();
        assert_eq!(durations, [expected], "{answers}");
    }
}
