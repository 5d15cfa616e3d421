//! The journal keeps what it acknowledged, and reports what it can't do.

use std::path::Path;

use hubwatch::journal::{
    Commit, DestinationName, FILE_NAME, Journal, JournalError, JournalReader, Limits, LogRows, MinuteRow, Opened, ReceivedRows,
    Recipient, Recorded, Signal, SpanRow, SpanRowKind, Temporality,
};
use hubwatch::watch::{DropReason, DroppedKind, SpanId, Timestamp, TraceId};

fn open(folder: &Path) -> Opened {
    Journal::open(folder).unwrap()
}

fn state(bytes: &[u8]) -> Commit {
    Commit { checkpoint: Some(bytes.to_vec()), ..Commit::default() }
}

#[tokio::test]
async fn the_next_run_has_the_same_watcher_and_the_last_state() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    assert_eq!((first.run, &first.checkpoint), (1, &None));
    first.journal.commit(state(b"one")).await.unwrap();
    first.journal.commit(state(b"two")).await.unwrap();
    first.journal.close().await.unwrap();
    let second = open(folder.path());
    assert_eq!((second.run, second.checkpoint.as_deref()), (2, Some(&b"two"[..])));
    assert_eq!((second.watcher, second.session_key), (first.watcher, first.session_key));
}

#[tokio::test]
async fn a_state_folder_has_only_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let second = Journal::open(folder.path());
    let Err(JournalError::Locked { holder, .. }) = second else { panic!("{second:?}") };
    assert_eq!(holder, std::process::id().to_string());
    assert!(JournalReader::open(folder.path()).unwrap().is_running());
    first.journal.close().await.unwrap();
    assert!(!JournalReader::open(folder.path()).unwrap().is_running());
    open(folder.path());
}

#[tokio::test]
async fn log_minutes_are_summed_and_visible_in_a_view() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    for _ in 0..2 {
        let minutes = vec![MinuteRow { minute: 29_923_334, level: "warn".to_owned(), lines: 3, bytes: 100 }];
        opened.journal.commit(Commit { minutes, ..Commit::default() }).await.unwrap();
    }
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    let row = connection.query_row("SELECT minute, level, lines, bytes FROM log_minutes", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    });
    assert_eq!(row.unwrap(), ("2026-11-23 02:14:00".to_owned(), "warn".to_owned(), 6, 200));
}

#[tokio::test]
async fn a_file_that_is_not_a_journal_is_set_aside_and_a_new_journal_begins() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).journal.close().await.unwrap();
    let path = folder.path().join(FILE_NAME);
    std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
    let opened = open(folder.path());
    let recovered = opened.recovered.unwrap();
    assert_eq!(std::fs::read(&recovered.aside).unwrap().len(), 100_000);
    assert_eq!(recovered.rows, 0);
    opened.journal.commit(state(b"new")).await.unwrap();
}

fn logs(number: u64) -> LogRows {
    let body: Vec<u8> = (0..2_000).map(|index| fastrand::Rng::with_seed(number * 10_000 + index).u8(..)).collect();
    LogRows::new(&body, 10, vec![DestinationName::main()])
}

fn all_signals() -> Vec<Recipient> {
    vec![Recipient { name: DestinationName::main(), signals: Signal::ALL.to_vec(), temporality: Temporality::Cumulative }]
}

#[tokio::test]
async fn readable_rows_of_a_damaged_journal_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    first.journal.register(all_signals()).await.unwrap();
    for number in 0..200 {
        let commit = Commit { logs: vec![logs(number)], checkpoint: Some(vec![7; 100]), ..Commit::default() };
        first.journal.commit(commit).await.unwrap();
    }
    first.journal.close().await.unwrap();
    let path = folder.path().join(FILE_NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 8 * 4096].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let second = open(folder.path());
    let recovered = second.recovered.unwrap();
    assert!(recovered.incomplete.contains(&"spool".to_owned()), "{recovered:?}");
    assert_eq!((second.watcher, second.session_key, second.run), (first.watcher, first.session_key, 2));
    assert_eq!(second.checkpoint, Some(vec![7; 100]));
    second.journal.register(all_signals()).await.unwrap();
    let mut records = 0;
    while let Some(outgoing) = second.journal.outgoing(&DestinationName::main(), Signal::Logs, 1 << 20).await.unwrap() {
        records += outgoing.otlp.len() as u64 / 2_000 * 10;
        second.journal.sent(&DestinationName::main(), Signal::Logs, outgoing.last).await.unwrap();
    }
    assert!((1_500..2_000).contains(&records), "{records} of 2,000 records are kept");
    assert!(recovered.aside.exists());
}

#[tokio::test]
async fn a_journal_truncated_by_a_crash_still_opens() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    for number in 0..50 {
        first
            .journal
            .commit(Commit { logs: vec![logs(number)], checkpoint: Some(vec![7; 100]), ..Commit::default() })
            .await
            .unwrap();
    }
    first.journal.close().await.unwrap();
    let path = folder.path().join(FILE_NAME);
    let whole = std::fs::read(&path).unwrap();
    for share in [1, 3, 7] {
        let torn = tempfile::tempdir().unwrap();
        std::fs::write(torn.path().join(FILE_NAME), &whole[..whole.len() * share / 8]).unwrap();
        let opened = open(torn.path());
        opened.journal.commit(state(b"goes on")).await.unwrap();
    }
}

#[tokio::test]
async fn a_journal_of_version_1_is_migrated_with_its_queues() {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    connection.execute_batch(include_str!("recordings/journal-1.sql")).unwrap();
    drop(connection);
    let opened = open(folder.path());
    assert_eq!((opened.run, opened.checkpoint.as_deref()), (4, Some(&b"state"[..])));
    opened.journal.register(all_signals()).await.unwrap();
    let main = DestinationName::main();
    let next = |signal| opened.journal.outgoing(&main, signal, 1 << 20);
    let logs = next(Signal::Logs).await.unwrap().unwrap();
    assert_eq!((logs.otlp.as_slice(), logs.records), (&b"onetwo"[..], 5));
    assert_eq!(next(Signal::Metrics).await.unwrap().unwrap().otlp, b"metrics");
    assert_eq!(next(Signal::Traces).await.unwrap().unwrap().otlp, b"second span");
    opened.journal.sent(&main, Signal::Logs, logs.last).await.unwrap();
    assert!(next(Signal::Logs).await.unwrap().is_none());
}

#[tokio::test]
async fn a_request_for_two_destinations_is_stored_once_until_both_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).journal;
    let names = ["one", "two"].map(DestinationName::named);
    let recipient = |name: &DestinationName| Recipient { name: name.clone(), ..all_signals().remove(0) };
    journal.register(names.iter().map(recipient).collect()).await.unwrap();
    let rows = LogRows { destinations: names.to_vec(), ..logs(1) };
    journal.commit(Commit { logs: vec![rows], ..Commit::default() }).await.unwrap();
    assert_eq!(journal.unsent().await.unwrap(), 2);
    for (index, name) in names.iter().enumerate() {
        let outgoing = journal.outgoing(name, Signal::Logs, 1 << 20).await.unwrap().unwrap();
        journal.sent(name, Signal::Logs, outgoing.last).await.unwrap();
        assert_eq!(journal.unsent().await.unwrap(), 1 - index as u64);
    }
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    let rows: i64 = connection.query_row("SELECT count(*) FROM spool", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn beyond_its_size_limit_the_oldest_rows_are_dropped_and_every_record_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_bytes: 300_000, ..Limits::default() };
    let journal = Journal::open_within(folder.path(), limits).unwrap().journal;
    journal.register(all_signals()).await.unwrap();
    for number in 0..500 {
        journal.commit(Commit { logs: vec![logs(number)], ..Commit::default() }).await.unwrap();
    }
    let stats = journal.stats().await.unwrap();
    assert!(stats.size.get() <= 300_000, "{stats:?}");
    let dropped: Vec<_> = stats.dropped.iter().collect();
    let [(DroppedKind::Logs, DropReason::Size, dropped)] = dropped[..] else { panic!("{stats:?}") };
    let mut kept = 0;
    while let Some(outgoing) = journal.outgoing(&DestinationName::main(), Signal::Logs, 1 << 20).await.unwrap() {
        kept += outgoing.records;
        journal.sent(&DestinationName::main(), Signal::Logs, outgoing.last).await.unwrap();
    }
    assert_eq!(kept + dropped.get(), 5_000);
    assert!(kept > 500);
}

fn received(number: u8, observations: Option<Vec<u8>>) -> ReceivedRows {
    ReceivedRows::new(Signal::Traces, &[number; 1_000], 2, [number; 16], observations)
}

#[tokio::test]
async fn a_journal_of_version_3_can_receive() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    first.journal.commit(Commit { logs: vec![logs(1)], ..state(b"state") }).await.unwrap();
    first.journal.close().await.unwrap();
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    connection.execute_batch("DROP TABLE received; DROP TABLE observed; PRAGMA user_version = 3;").unwrap();
    drop(connection);
    let opened = open(folder.path());
    assert_eq!((opened.checkpoint.as_deref(), opened.recovered), (Some(&b"state"[..]), None));
    opened.journal.register(all_signals()).await.unwrap();
    let recorded = opened.journal.receive(vec![received(1, Some(b"{}".to_vec()))]).await.unwrap();
    assert_eq!(recorded, [Recorded::New(Some(1))]);
    let main = DestinationName::main();
    assert_eq!(opened.journal.outgoing(&main, Signal::Logs, 1 << 20).await.unwrap().unwrap().records, 10);
    assert_eq!(opened.journal.outgoing(&main, Signal::Traces, 1 << 20).await.unwrap().unwrap().records, 2);
}

#[tokio::test]
async fn received_spans_follow_our_own_and_a_repeated_request_is_known_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).journal;
    first.register(all_signals()).await.unwrap();
    let own = SpanRow {
        trace_id: TraceId::from_slice(&[1; 16]).unwrap(),
        span_id: SpanId::from_slice(&[1; 8]).unwrap(),
        kind: SpanRowKind::Call,
        start: Timestamp::from_secs(1),
        end: Timestamp::from_secs(2),
        otlp: b"own".to_vec(),
    };
    assert_eq!(first.receive(vec![received(1, None), received(2, None), received(1, None)]).await.unwrap(), {
        [Recorded::New(None), Recorded::New(None), Recorded::Repeated]
    });
    first.commit(Commit { spans: vec![own], ..Commit::default() }).await.unwrap();
    assert_eq!(first.unsent().await.unwrap(), 3);
    first.close().await.unwrap();
    let second = open(folder.path()).journal;
    second.register(all_signals()).await.unwrap();
    assert_eq!(second.receive(vec![received(2, None)]).await.unwrap(), [Recorded::Repeated]);
    let main = DestinationName::main();
    let mut sent = Vec::new();
    while let Some(outgoing) = second.outgoing(&main, Signal::Traces, 1 << 20).await.unwrap() {
        second.sent(&main, Signal::Traces, outgoing.last).await.unwrap();
        sent.push((outgoing.otlp.len(), outgoing.records));
    }
    assert_eq!(sent, [(3, 1), (2_000, 4)]);
    assert_eq!(second.unsent().await.unwrap(), 0);
}

#[tokio::test]
async fn received_spans_beyond_the_size_limit_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_bytes: 300_000, ..Limits::default() };
    let journal = Journal::open_within(folder.path(), limits).unwrap().journal;
    journal.register(all_signals()).await.unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for number in 0..100 {
        let otlp: Vec<u8> = (0..10_000).map(|_| random.u8(..)).collect();
        journal.receive(vec![ReceivedRows::new(Signal::Traces, &otlp, 2, [number; 16], None)]).await.unwrap();
    }
    let dropped = journal.stats().await.unwrap().dropped;
    let waits = journal.unsent().await.unwrap();
    assert_eq!(dropped.of(DroppedKind::ReceivedSpans).get() + 2 * waits, 200);
    assert!(waits < 40, "{waits}");
}

#[tokio::test]
async fn observations_are_deleted_with_the_state_that_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path()).journal;
    let rows = (1..=3).map(|number| received(number, Some(vec![number]))).collect();
    journal.receive(rows).await.unwrap();
    journal.commit(Commit { consumed: Some(2), ..state(b"holds two") }).await.unwrap();
    assert_eq!(journal.observed().await.unwrap(), [(3, vec![3])]);
    journal.close().await.unwrap();
    let second = open(folder.path());
    assert_eq!(second.journal.observed().await.unwrap(), [(3, vec![3])]);
    second.journal.commit(Commit { consumed: Some(3), ..state(b"holds all") }).await.unwrap();
    // Ids are never given twice: "up to 3" can't mean a later one.
    let recorded = second.journal.receive(vec![received(4, Some(vec![4]))]).await.unwrap();
    assert_eq!(recorded, [Recorded::New(Some(4))]);
}

#[test]
fn a_folder_without_a_journal_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(JournalReader::open(folder.path()), Err(JournalError::Absent { .. })));
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_journal() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("new");
    let _opened = open(&state);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join(FILE_NAME))), (0o700, 0o600));
}
