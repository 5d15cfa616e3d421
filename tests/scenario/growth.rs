//! What the log costs, at the rates that a watch has seen.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use hubwatch::journal::{Commit, Journal, SpanRow, SpanRowKind};
use hubwatch::scenario::Scenario;
use hubwatch::simulator::{Behaviour, Profile};
use hubwatch::watch::{
    ClientConnected, ClientDisconnected, Environment, HubName, Interval, Micros, Text, Timestamp, Watch, encode, request_of,
};
use prost::Message as _;

use super::hub::{fork, fork_that, npm};
use super::period;
use super::play::{case, plays_as, step};

const MINUTE: Micros = Micros::new(60_000_000);

/// A journal of the last minutes, in each of which so many clients came and left.
async fn keep(state_dir: &Path, minutes: u64, clients: u64) {
    let opened = Journal::open(state_dir).unwrap();
    let begun = Timestamp::now().minus(Micros::new((minutes + 1) * MINUTE.get()));
    let mut spans = Vec::new();
    for minute in 0..minutes {
        let mut watch = period::quiet(1).watches().remove(0);
        let start = begun.plus(Micros::new(minute * MINUTE.get()));
        watch.origin = period::origin(minute);
        watch.origin.hub = HubName::parse("simulated").unwrap();
        watch.origin.environment = Environment::parse("staging").unwrap();
        watch.interval = Interval::new(start, start.plus(MINUTE));
        watch.facts.clear();
        for number in 0..clients {
            let client = || Text::new(format!("editor-{number}"));
            period::add_at(&mut watch, start, ClientConnected { client: client() });
            period::add_at(&mut watch, start, ClientDisconnected { client: client() });
        }
        spans.push(row(&watch));
    }
    opened.journal.commit(Commit { spans, ..Commit::default() }).await.unwrap();
    opened.journal.close().await.unwrap();
}

fn row(watch: &Watch) -> SpanRow {
    let origin = &watch.origin;
    let kind = SpanRowKind::Watch {
        hub: origin.hub.clone(),
        environment: origin.environment.clone(),
        slot: watch.slot(),
        part: origin.part,
        run: origin.run,
        sequence: origin.sequence,
    };
    let otlp = request_of(origin, vec![encode(watch)]).encode_to_vec();
    let (start, end) = (watch.interval.start(), watch.interval.end());
    SpanRow { trace_id: watch.trace_id(), span_id: origin.span_id(), kind, start, end, otlp }
}

/// Keeps it in a thread of its own: what changes a case does not wait.
fn kept(state_dir: std::path::PathBuf, minutes: u64, clients: u64) {
    let keep = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(keep(&state_dir, minutes, clients));
    };
    std::thread::spawn(keep).join().unwrap();
}

#[tokio::test]
async fn each_thing_s_cost_is_measured_and_the_day_is_judged_by_what_was_watched() {
    let possible = "1+? 2+? 3+-? 4+?0 5+? 6+-? after+";
    let no_llm = fork_that(Behaviour { has_no_llm: true, ..Behaviour::default() });
    let stormy = Profile { storm_lines: (3_000, 3_500), ..fork() };
    let cases = vec![
        case("never watched", fork(), "1+ 2+ 3+ 4+ 5+ 6? after+"),
        case("watched for half an hour", fork(), "1+ 2+ 3+ 4+ 5+ 6? after+").with(|hub, _, _| kept(hub.state_dir(), 30, 1)),
        case("few clients", fork(), "1+ 2+ 3+ 4+ 5+ 6+ after+").with(|hub, _, _| kept(hub.state_dir(), 90, 1)),
        // 1,440 a day with storms of 400 KB each.
        case("a client each minute, and storms", stormy, "1+ 2+ 3+ 4+ 5+ 6- after+").with(|hub, _, _| kept(hub.state_dir(), 90, 1)),
        case("without a meta-tool", npm(), "1+ 2+ 3+ 40 5+ 6? after+"),
        case("no model", no_llm, "1+ 2+ 3+ 4? 5+ 6? after+"),
        case("takes no client", fork_that(Behaviour { most_clients: Some(0), ..Behaviour::default() }), "1+ 2+ 3- 4? 5? 6? after+"),
        case("the log is elsewhere", fork(), "1? 2? 3? 4? 5? 6? after+").with(|_, target, _| target.log = None),
        case("another one writes the log", fork(), "1? 2? 3? 4? 5? 6? after+").with(|hub, _, _| {
            let mut log = std::fs::File::options().append(true).open(hub.log()).unwrap();
            std::thread::spawn(move || {
                for _ in 0..100 {
                    log.write_all(b"another hub's line\n").unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }),
    ];
    let played = plays_as(Scenario::LogGrowth, possible, cases).await;
    assert_eq!(step(&played[0].1, "2").detail, "0 bytes", "requests to the API are not logged");
}
