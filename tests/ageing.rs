//! The journal keeps what it has when a clock is wrong, and drops what is old when one is right.

mod played;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwatch::journal::{Clocks, Commit, FILE_NAME, Journal, Limits, Opened, SpanRow, SpanRowKind};
use hubwatch::watch::{Count, DropReason, DroppedKind, Environment, HubName, Micros, Slot, SpanId, Timestamp, TraceId};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How often something is committed.
const STEP: u64 = 30 * MINUTE;

/// How long something is kept.
const MAX_AGE: u64 = 14 * DAY;

/// A machine with a clock that can be set.
struct Machine {
    folder: tempfile::TempDir,
    clocks: Arc<Mutex<Clocks>>,
    opened: Option<Opened>,
    /// How many Watches were committed.
    committed: u64,
    limits: Limits,
}

impl Machine {
    fn boots(at: &str) -> Self {
        let wall = Timestamp::parse(at).unwrap();
        let clocks = Arc::new(Mutex::new(Clocks { wall, monotonic: Duration::ZERO }));
        let limits = Limits { max_age: Duration::from_secs(MAX_AGE), reserve: 0, ..Limits::default() };
        let mut machine = Self { folder: tempfile::tempdir().unwrap(), clocks, opened: None, committed: 0, limits };
        machine.starts();
        machine
    }

    /// Another run of the program begins.
    fn starts(&mut self) {
        let clocks = self.clocks.clone();
        self.clocks.lock().unwrap().monotonic = Duration::ZERO;
        let read = Box::new(move || *clocks.lock().unwrap());
        self.opened = Some(Journal::open_by(self.folder.path(), self.limits, read).unwrap());
    }

    async fn stops(&mut self) {
        self.opened.take().unwrap().journal.close().await.unwrap();
    }

    /// Somebody or something sets the clock: by so many seconds.
    fn sets_its_clock(&self, by: i64) {
        let mut clocks = self.clocks.lock().unwrap();
        let amount = Micros::new(by.unsigned_abs() * 1_000_000);
        clocks.wall = if by < 0 { clocks.wall.minus(amount) } else { clocks.wall.plus(amount) };
    }

    fn passes(&self, seconds: u64) {
        self.sets_its_clock(i64::try_from(seconds).unwrap());
        self.clocks.lock().unwrap().monotonic += Duration::from_secs(seconds);
    }

    /// So much time goes by, with a commit at each step.
    async fn watches(&mut self, seconds: u64) {
        self.watches_each(seconds, STEP).await;
    }

    async fn watches_each(&mut self, seconds: u64, step: u64) {
        for _ in 0..seconds.div_ceil(step) {
            self.passes(step);
            let end = self.clocks.lock().unwrap().wall;
            self.commits(end).await;
        }
    }

    async fn commits(&mut self, end: Timestamp) {
        self.committed += 1;
        let number = self.committed;
        let mut span_id = [1; 8];
        span_id[..8].copy_from_slice(&number.to_be_bytes());
        let kind = SpanRowKind::Watch {
            hub: HubName::parse("hub").unwrap(),
            environment: Environment::parse("staging").unwrap(),
            slot: Slot::of(end),
            part: 0,
            run: 1,
            sequence: Count::new(number),
        };
        let span = SpanRow {
            trace_id: TraceId::parse("11111111111111111111111111111111").unwrap(),
            span_id: SpanId::from_slice(&span_id).unwrap(),
            kind,
            start: end.minus(Micros::new(STEP * 1_000_000)),
            end,
            otlp: vec![7; 200],
        };
        let commit = Commit { spans: vec![span], ..Commit::default() };
        self.opened.as_ref().unwrap().journal.commit(commit).await.unwrap();
    }

    /// How many Watches are still there. What is gone was counted, and was the oldest.
    async fn kept(&self) -> u64 {
        let stats = self.opened.as_ref().unwrap().journal.stats().await.unwrap();
        let dropped: u64 = stats
            .dropped
            .iter()
            .map(|(what, reason, count)| {
                assert_eq!((what, reason), (DroppedKind::Watches, DropReason::Age));
                count.get()
            })
            .sum();
        let (rows, first) = rows(self.folder.path());
        assert_eq!(rows + dropped, self.committed);
        assert_eq!(first, dropped + 1, "the oldest goes first");
        rows
    }
}

fn rows(folder: &Path) -> (u64, u64) {
    let connection = rusqlite::Connection::open(folder.join(FILE_NAME)).unwrap();
    let row: (i64, i64) =
        connection.query_row("SELECT count(*), min(sequence) FROM span", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    (row.0.cast_unsigned(), row.1.cast_unsigned())
}

#[tokio::test]
async fn what_is_older_than_the_longest_age_goes_while_the_clock_is_right() {
    let mut machine = Machine::boots("2026-11-01T00:00:00Z");
    machine.watches(MAX_AGE).await;
    assert_eq!(machine.kept().await, machine.committed);
    machine.watches(4 * DAY).await;
    let kept = machine.kept().await;
    let wanted = MAX_AGE / STEP;
    assert!((wanted..=wanted + 6 * HOUR / STEP).contains(&kept), "{kept} of {}, wanted {wanted}", machine.committed);
}

#[tokio::test]
async fn a_clock_that_jumps_thirty_days_ahead_and_is_set_back_costs_nothing() {
    for (seconds, step) in [(3, 1), (10 * MINUTE, 10), (50 * MINUTE, MINUTE)] {
        let mut machine = Machine::boots("2026-11-01T00:00:00Z");
        machine.watches(13 * DAY).await;
        machine.sets_its_clock((30 * DAY).cast_signed());
        machine.watches_each(seconds, step).await;
        machine.sets_its_clock(-(30 * DAY).cast_signed());
        machine.watches_each(10 * MINUTE, 10).await;
        machine.watches(12 * HOUR).await;
        assert_eq!(machine.kept().await, machine.committed, "wrong for {seconds} s");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_for_hours_costs_a_share_of_the_oldest_and_never_the_last_two_days() {
    let mut machine = Machine::boots("2026-11-01T00:00:00Z");
    machine.watches(13 * DAY).await;
    let before = machine.kept().await;
    machine.sets_its_clock((30 * DAY).cast_signed());
    machine.watches_each(3 * HOUR, MINUTE).await;
    let lost = machine.committed - machine.kept().await;
    assert!((1..=before / 4).contains(&lost), "{lost} of {before}");
    machine.sets_its_clock(-(30 * DAY).cast_signed());
    let kept = machine.kept().await;
    machine.watches(DAY).await;
    assert_eq!(machine.kept().await, kept + DAY / STEP, "nothing more goes once the clock is right");
    // However long it is wrong.
    machine.sets_its_clock((300 * DAY).cast_signed());
    machine.watches(5 * DAY).await;
    assert!(machine.kept().await >= 2 * DAY / STEP - 2, "{}", machine.kept().await);
}

#[tokio::test]
async fn a_run_that_begins_with_a_clock_thirty_days_ahead_loses_nothing() {
    let mut machine = Machine::boots("2026-11-01T00:00:00Z");
    machine.watches(13 * DAY).await;
    machine.stops().await;
    machine.sets_its_clock((30 * DAY).cast_signed());
    machine.starts();
    machine.watches_each(30 * MINUTE, 10).await;
    machine.sets_its_clock(-(30 * DAY).cast_signed());
    machine.watches(DAY - HOUR).await;
    assert_eq!(machine.kept().await, machine.committed);
}

#[tokio::test]
async fn runs_that_begin_again_and_again_do_not_drop_a_share_each() {
    let mut machine = Machine::boots("2026-11-01T00:00:00Z");
    machine.watches(13 * DAY).await;
    machine.sets_its_clock((30 * DAY).cast_signed());
    for _ in 0..50 {
        machine.stops().await;
        machine.starts();
        machine.watches_each(2 * MINUTE, 10).await;
    }
    assert_eq!(machine.kept().await, machine.committed);
}

#[tokio::test]
async fn a_clock_that_is_set_back_by_thirty_days_costs_nothing_then_or_when_it_is_right_again() {
    let mut machine = Machine::boots("2026-11-01T00:00:00Z");
    machine.watches(6 * DAY).await;
    machine.sets_its_clock(-(30 * DAY).cast_signed());
    machine.watches(DAY).await;
    machine.sets_its_clock((30 * DAY).cast_signed());
    machine.watches(6 * DAY).await;
    assert_eq!(machine.kept().await, machine.committed);
}

#[tokio::test]
async fn what_was_watched_before_the_clock_was_set_for_the_first_time_is_as_young_as_it_is() {
    let mut machine = Machine::boots("1970-01-01T00:00:10Z");
    machine.watches(3 * HOUR).await;
    let wanted = Timestamp::parse("2026-11-01T00:00:00Z").unwrap();
    let wall = machine.clocks.lock().unwrap().wall;
    machine.sets_its_clock((wanted.since(wall).get() / 1_000_000).cast_signed());
    machine.watches(13 * DAY).await;
    assert_eq!(machine.kept().await, machine.committed);
}

#[tokio::test]
async fn a_clock_that_runs_fast_ages_what_is_there_no_faster_than_itself() {
    let mut machine = Machine::boots("2026-11-01T00:00:00Z");
    for _ in 0..12 * DAY / STEP {
        machine.sets_its_clock((STEP / 20).cast_signed());
        machine.watches(STEP).await;
    }
    assert_eq!(machine.kept().await, machine.committed, "5 % more than 12 days are less than 14");
}

#[tokio::test]
async fn after_a_month_without_a_run_what_is_old_goes_bit_by_bit_and_the_last_two_days_stay() {
    let mut machine = Machine::boots("2026-10-01T00:00:00Z");
    machine.watches_each(13 * DAY, 5 * MINUTE).await;
    machine.stops().await;
    machine.sets_its_clock((30 * DAY).cast_signed());
    machine.starts();
    let before = machine.kept().await;
    machine.watches_each(2 * HOUR, 10).await;
    let after = machine.kept().await;
    assert!(after < machine.committed && after > before * 7 / 10, "{before} before, {after} after two hours");
    machine.watches(2 * DAY - 3 * HOUR).await;
    let old = machine.kept().await;
    assert!(old >= 2 * DAY / STEP, "{old}");
}

#[tokio::test]
async fn the_whole_period_is_in_the_report_of_a_watch_whose_clock_was_thirty_days_ahead_for_three_seconds() {
    let month = (30 * DAY) as f64;
    let mut played = played::Played::up(played::Logger::Pino).await;
    played.runs(75.0, 600.0).await;
    played.jumps(month).await;
    played.poll(month + 601.0).await;
    played.poll(month + 603.0).await;
    played.jumps(-month).await;
    played.runs(615.0, 1_800.0).await;
    let told = played.ends().await;
    let watched: Vec<_> = told.watches.iter().map(|watch| (watch.interval.start(), watch.interval.end())).collect();
    assert!(watched.windows(2).all(|pair| pair[0].1 == pair[1].0), "no time is missing: {watched:?}");
    assert_eq!(watched.last().unwrap().1, played::at(1_800.0));
    let history = told.judged().history;
    assert!(history.coverage.covered_us >= 1_800_000_000, "{:?}", history.coverage);
    assert!(history.servers.0["files"].down.is_empty() && history.hub.down_us == 0, "{:?}", history.servers.0["files"]);
    assert_eq!(told.ends_and_starts(), ["started"], "no process of the hub began or ended");
    assert!(told.incidents().is_empty(), "{:?}", told.incidents());
}

#[tokio::test]
async fn a_clock_that_is_wrong_for_minutes_is_told_and_the_time_in_which_nothing_is_known_is_a_gap() {
    let month = (30 * DAY) as f64;
    let mut played = played::Played::up(played::Logger::Pino).await;
    played.runs(75.0, 600.0).await;
    played.jumps(month).await;
    played.runs(month + 615.0, month + 900.0).await;
    played.jumps(-month).await;
    played.runs(915.0, 1_800.0).await;
    let told = played.ends().await;
    let history = told.judged().history;
    // The clock is believed after half a minute, and what was watched until it is believed again lies a month ahead: a report of
    // these days does not read it.
    assert_eq!(told.incidents(), ["clock_jumped ", "watch_gap "]);
    let gap = &history.coverage.gaps[0];
    assert!(gap.reason.contains("stored under the dates"), "{}", gap.reason);
    assert_eq!((history.coverage.gaps.len(), gap.from.0, gap.to.map(|to| to.0)), (1, played::at(615.0), Some(played::at(930.0))));
    assert!(history.servers.0["files"].down.is_empty() && history.hub.down_us == 0, "{:?}", history.servers.0["files"]);
    assert_eq!(told.ends_and_starts(), ["started"], "no process of the hub began or ended");
}
