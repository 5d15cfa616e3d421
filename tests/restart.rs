//! A sidecar that dies takes up its work where the last commit left it: no line twice, none skipped, calls in flight kept.

use std::io::{Read as _, Write as _};
use std::path::Path;

use hubwatch::backend::embedded::Embedded;
use hubwatch::backend::period::{self, Wanted};
use hubwatch::export::Tally;
use hubwatch::hub::interpret::PollAnswer;
use hubwatch::journal::{Journal, JournalReader, Opened};
use hubwatch::sidecar::{Lines, LogSource, Setup, Sidecar};
use hubwatch::tail::Begin;
use hubwatch::watch::{
    ApiOutcome, CallFact, CallOutcome, Count, Environment, FactKind, HubName, LogFact, Micros, Origin, SessionFact, Source, Text,
    Timestamp, Watch, WatcherFact,
};

fn recording() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/fork-pino/mcp-hub.log.gz");
    let mut log = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut log).unwrap();
    log
}

/// When the recorded session took place.
fn session_time(minute: u64) -> Timestamp {
    Timestamp::parse("2026-11-23T03:42:00Z").unwrap().plus(Micros::new(minute * 60_000_000))
}

fn origin(opened: &Opened) -> Origin {
    Origin {
        hub: HubName::parse("hub").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        watcher: opened.watcher,
        run: opened.run,
        sequence: Count::new(0),
        part: 0,
        tool_version: Text::from("test"),
        build: None,
        interval: Micros::new(15_000_000),
    }
}

/// One life of the sidecar: reads what is there; ends in good order or as if killed.
async fn live(folder: &Path, minute: u64, dies: bool) {
    let opened = Journal::open(&folder.join("state")).unwrap();
    let origin = origin(&opened);
    let log = LogSource::File(folder.join("mcp-hub.log"));
    let checkpoint = opened.checkpoint.clone();
    let begin = if checkpoint.is_none() { session_time(0).minus(Micros::new(600_000_000)) } else { session_time(minute) };
    let setup = Setup {
        origin,
        key: opened.session_key,
        log,
        begin: Begin::Start,
        lines: Lines::default(),
        checkpoint,
        recovered: None,
        tally: Tally::default(),
        own: None,
    };
    let mut sidecar = Sidecar::begin(setup, begin, opened.journal.clone(), None, false);
    if minute == 0 {
        sidecar.polled(no_answer()).await.unwrap();
    }
    sidecar.read_log(session_time(minute)).await.unwrap();
    if !dies {
        sidecar.stop("test", session_time(minute)).await.unwrap();
    }
    // Closing commits nothing: for the data it is as if the process had been killed.
    opened.journal.close().await.unwrap();
}

/// The hub is not there yet.
fn no_answer() -> PollAnswer {
    PollAnswer {
        asked: session_time(0).minus(Micros::new(500_000_000)),
        now: session_time(0).minus(Micros::new(500_000_000)),
        health: Err(ApiOutcome::Refused),
        health_duration: Micros::new(100),
        servers: None,
        process: None,
        log_file: None,
        children: Vec::new(),
        filtering: None,
        own_subscribers: 0,
    }
}

async fn watches(folder: &Path) -> Vec<Watch> {
    let wanted = Wanted {
        hub: HubName::parse("hub").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        from: session_time(0).minus(Micros::new(3_600_000_000)),
        to: session_time(60),
    };
    let backend = Embedded::new(JournalReader::open(&folder.join("state")).unwrap());
    period::read(&backend, &wanted, Vec::new, Vec::push, |watches| watches, |_, _| ()).await.unwrap().0
}

/// Reads the recorded log in two lives, the first of which ends after `cut` bytes.
async fn read_in_two_lives(log: &[u8], cut: usize) -> Vec<Watch> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp-hub.log");
    // The file must be there before its content: what a log holds at first may be of an earlier process of the hub.
    let mut file = std::fs::File::create(&path).unwrap();
    live(folder.path(), 0, true).await;
    file.write_all(&log[..cut]).unwrap();
    live(folder.path(), 1, true).await;
    file.write_all(&log[cut..]).unwrap();
    live(folder.path(), 2, false).await;
    watches(folder.path()).await
}

#[tokio::test]
async fn wherever_it_dies_every_line_is_read_once_and_every_call_is_known() {
    use CallOutcome::{Aborted, Fallback, Ok};
    let log = recording();
    let lines = log.split_inclusive(|byte| *byte == b'\n').count() as u64;
    // In the middle of a line, of a storm, of calls in flight, near both ends.
    for cut in [1, 5_000, 14_500, 15_000, 15_500, 700_003, 1_000_000, log.len() - 1_000, log.len() - 1] {
        let watches = read_in_two_lives(&log, cut).await;
        assert_eq!(watches.iter().map(|watch| watch.log.lines.get()).sum::<u64>(), lines, "cut at {cut}");
        assert_eq!(watches.iter().map(|watch| watch.log.bytes.get()).sum::<u64>(), log.len() as u64, "cut at {cut}");
        let facts = || watches.iter().flat_map(|watch| &watch.facts);
        let outcomes: Vec<_> = facts()
            .filter_map(|fact| if let FactKind::Call(CallFact::CallEnded(call)) = &fact.kind { Some(call.outcome) } else { None })
            .collect();
        assert_eq!(outcomes, [Ok, Ok, Ok, Fallback, Aborted], "cut at {cut}");
        let gone = facts().filter(|fact| matches!(fact.kind, FactKind::Session(SessionFact::ClientDisconnected(_)))).count();
        assert_eq!(gone, 5, "cut at {cut}");
    }
}

#[tokio::test]
async fn lines_of_an_earlier_process_of_the_hub_are_read_but_are_no_facts() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mcp-hub.log"), recording()).unwrap();
    let opened = Journal::open(&folder.path().join("state")).unwrap();
    let setup = Setup {
        origin: origin(&opened),
        key: opened.session_key,
        log: LogSource::File(folder.path().join("mcp-hub.log")),
        begin: Begin::Start,
        lines: Lines::default(),
        checkpoint: None,
        recovered: None,
        tally: Tally::default(),
        own: None,
    };
    let mut sidecar = Sidecar::begin(setup, session_time(5), opened.journal.clone(), None, false);
    // The hub that answers started after the recorded one had ended.
    let started = session_time(4);
    let health = format!(
        r#"{{"state":"ready","workspaces":{{"current":"1","allActive":{{"1":{{"pid":1,"port":1,"startTime":"{started}"}}}}}}}}"#
    );
    let answer = PollAnswer {
        asked: session_time(5),
        now: session_time(6),
        health: Ok(serde_json::from_str(&health).unwrap()),
        ..no_answer()
    };
    sidecar.first_poll(&answer);
    sidecar.polled(answer).await.unwrap();
    sidecar.finish_commit().await.unwrap();
    opened.journal.close().await.unwrap();
    let watches = watches(folder.path()).await;
    let lines: u64 = watches.iter().map(|watch| watch.log.lines.get()).sum();
    assert_eq!(lines, 12_540);
    let facts = watches.iter().flat_map(|watch| &watch.facts);
    let of_the_log = facts.filter(|fact| fact.source == Source::Log && !matches!(fact.kind, FactKind::Log(LogFact::Storm(_))));
    assert_eq!(of_the_log.count(), 0);
}

/// Puts something else into a half of the checkpoint.
fn damage(folder: &Path, half: &str) {
    let journal = rusqlite::Connection::open(folder.join("state/journal.db")).unwrap();
    let saved: Vec<u8> = journal.query_row("SELECT value FROM meta WHERE key = 'checkpoint'", [], |row| row.get(0)).unwrap();
    let mut saved: serde_json::Value = serde_json::from_slice(&saved).unwrap();
    saved[half]["value"] = serde_json::json!("of a later form");
    let changed = journal.execute("UPDATE meta SET value = ?1 WHERE key = 'checkpoint'", [saved.to_string().as_bytes()]);
    assert_eq!(changed.unwrap(), 1);
}

/// The state that each run says it could not read.
fn lost(watches: &[Watch]) -> Vec<String> {
    let facts = watches.iter().flat_map(|watch| &watch.facts);
    let lost = facts.filter_map(|fact| match &fact.kind {
        FactKind::Watcher(WatcherFact::StateLost(lost)) => Some(lost.half.to_string()),
        _ => None,
    });
    lost.collect()
}

/// Reads the recorded log in two lives, half of it in each; then something else stands in a half of the checkpoint.
async fn read_and_damage(folder: &Path, half: &str, read_by_the_first: usize) -> Vec<u8> {
    let log = recording();
    let mut file = std::fs::File::create(folder.join("mcp-hub.log")).unwrap();
    live(folder, 0, true).await;
    file.write_all(&log[..read_by_the_first]).unwrap();
    live(folder, 1, false).await;
    damage(folder, half);
    file.write_all(&log[read_by_the_first..]).unwrap();
    log
}

#[tokio::test]
async fn a_run_that_cannot_read_what_the_last_one_knew_goes_on_reading_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let log = read_and_damage(folder.path(), "knowledge", 700_003).await;
    live(folder.path(), 2, false).await;
    let watches = watches(folder.path()).await;
    let bytes: u64 = watches.iter().map(|watch| watch.log.bytes.get()).sum();
    assert_eq!(bytes, log.len() as u64);
    assert_eq!(lost(&watches), ["knowledge"]);
}

#[tokio::test]
async fn a_run_without_the_last_ones_position_makes_no_fact_twice_and_numbers_its_records_anew() {
    let folder = tempfile::tempdir().unwrap();
    let whole = recording().len();
    read_and_damage(folder.path(), "position", whole).await;
    let calls = |watches: &[Watch]| {
        let facts = watches.iter().flat_map(|watch| &watch.facts);
        facts.filter(|fact| matches!(fact.kind, FactKind::Call(CallFact::CallEnded(_)))).count()
    };
    let before = calls(&watches(folder.path()).await);
    live(folder.path(), 2, false).await;
    let after = watches(folder.path()).await;
    assert_eq!((before, calls(&after)), (5, 5));
    assert_eq!(lost(&after), ["position"]);
    let journal = rusqlite::Connection::open(folder.path().join("state/journal.db")).unwrap();
    let saved: Vec<u8> = journal.query_row("SELECT value FROM meta WHERE key = 'checkpoint'", [], |row| row.get(0)).unwrap();
    let saved: serde_json::Value = serde_json::from_slice(&saved).unwrap();
    assert_eq!(
        saved["position"]["value"]["files"]["next_generation"],
        (2_u64 << 32) + 1,
        "the third run begins numbers of its own"
    );
}
