//! The sidecar: combines the sources, closes an interval with each poll, and commits the data.
//!
//! [`Sidecar`] is the shell around the pure [`assemble::Assembler`]: it reads the log, passes lines and polls to the assembler,
//! sends log lines, and commits data, read position and state in one transaction. A rehearsed period drives the same shell with a
//! simulated clock.

pub mod assemble;
mod checkpoint;
pub mod clock;
mod commit;
mod expectations;
mod intake;
mod source;
mod state;

use std::path::Path;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

use crate::announce::marks::Mark;
use crate::announce::results::Told;
use crate::export::{LogFastPath, Tally};
use crate::hub::interpret::{Interpreter, PollAnswer};
use crate::hub::observations::Observations;
use crate::journal::{Journal, JournalError, Recovered};
use crate::process::{self, OwnProcess};
use crate::receive::{Counters, Totals};
use crate::tail::{Begin, Follower, State};
use crate::watch::{
    ApiOutcome, Bytes, Count, Drops, FactId, JournalRecovered, LogBatch, LogFilePoll, Micros, Origin, Text, Timestamp, Visibility,
    WatcherStarted, WatcherStopped, When,
};
use assemble::Assembler;
use checkpoint::{Position, Saved};
use commit::{Dispatch, Pending};
pub use intake::LogRead;
use intake::{History, LogIntake, PipeIntake, Reading, StreamIntake};
pub use source::LogSource;
use state::{Lost, Sent};

/// The hub reports a start time that is later than its first line, by up to a second in the recordings.
const START_SLACK: Micros = Micros::new(2_000_000);

/// Bits for the numbers of the log's generations and of the event stream's connections in one run without a read position. The
/// numbers are part of the records' ids: if they began at 0 again, a new line could get the id of a line that is in the journal.
const NUMBERS_OF_A_RUN: u32 = 32;

/// How often the loss of the journal is recorded at the end: a state folder that is deleted again each time is deleted on purpose.
const MAX_LAST_WORDS: usize = 3;

/// How log lines are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// Whether repeated lines are collapsed to a count after a few samples.
    pub collapse: bool,
    /// Whether the record of a JSON line has the whole line beside its message.
    pub original: bool,
    /// Whether prompts, arguments and strings that look like keys are exported unmasked.
    pub keep_private: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { collapse: true, original: true, keep_private: false }
    }
}

/// The settings of a sidecar.
#[derive(Debug)]
pub struct Setup {
    /// The origin of its Watches.
    pub origin: Origin,
    /// The key for hashing session ids.
    pub key: [u8; 32],
    /// The source of the log.
    pub log: LogSource,
    /// Where to begin in it.
    pub begin: Begin,
    /// What becomes of its lines.
    pub lines: Lines,
    /// The checkpoint of an earlier run.
    pub checkpoint: Option<Vec<u8>>,
    /// The recovery of a damaged journal, if there was one.
    pub recovered: Option<Recovered>,
    /// The totals of the senders.
    pub tally: Tally,
    /// Reads the sidecar's own resource usage; `None` in a rehearsal, whose time is simulated.
    pub own: Option<OwnProcess>,
}

/// Watches one hub.
#[derive(Debug)]
pub struct Sidecar {
    assembler: Assembler,
    log: Option<LogIntake>,
    pipe: Option<PipeIntake>,
    stream: StreamIntake,
    looks_at_process: bool,
    own: Option<OwnProcess>,
    /// Data lost since the last Watch.
    lost: Lost,
    /// The totals of the senders at the last report.
    reported: Sent,
    /// The journal's drops at the last report.
    dropped: Drops,
    tally: Tally,
    /// The receiver's counts, and what they were at the last report.
    receiver: Option<(Counters, Totals)>,
    /// Whether the record of a JSON line has the whole line.
    original: bool,
    records: LogBatch,
    pending: Pending,
    journal: Journal,
    logs: Option<LogFastPath>,
    out: Dispatch,
    /// The last poll's metrics, until they are taken.
    measured: Option<ExportMetricsServiceRequest>,
}

impl Sidecar {
    /// Begins at `now`. With a checkpoint it continues from there, as far as the checkpoint can be read.
    pub fn begin(setup: Setup, now: Timestamp, journal: Journal, logs: Option<LogFastPath>, looks_at_process: bool) -> Self {
        let Setup { origin, key, log, begin, lines, checkpoint, recovered, tally, own } = setup;
        let Saved { position, knowledge, losses } =
            checkpoint.map_or_else(Saved::default, |bytes| checkpoint::read(&bytes, &origin));
        let (run, resumed) = (origin.run, position.is_some());
        let first_number = u64::from(run.saturating_sub(1)) << NUMBERS_OF_A_RUN;
        let history = match (&position, &knowledge) {
            (Some(_), _) => History::Known,
            (None, Some(_)) => History::Told,
            (None, None) => History::UntilFirstPoll,
        };
        let mut assembler = match knowledge {
            Some(known) => known.resume(origin, now, key),
            None => Assembler::new(origin, now, key),
        };
        assembler.interpreter.notice(When::At(now), WatcherStarted { resumed });
        for loss in losses {
            assembler.interpreter.notice(When::At(now), loss);
        }
        if let Some(Recovered { aside, damage, rows, .. }) = recovered {
            let (path, reason) = (Text::new(aside.to_string_lossy()), Text::new(damage));
            assembler.interpreter.notice(When::At(now), JournalRecovered { path, reason, rows: Count::new(rows) });
        }
        if log == LogSource::None {
            assembler.interpreter.without_log();
        }
        if matches!(log, LogSource::FileAndStdin(_)) {
            assembler.interpreter.with_output();
        }
        if !lines.collapse {
            assembler.interpreter.keep_storms();
        }
        if lines.keep_private {
            assembler.interpreter.keep_private();
        }
        let (lost, dropped, connections, from) = match position {
            Some(saved) => (saved.lost, saved.dropped.clone(), saved.connections, From::position(saved, log.file())),
            None => (Lost::default(), Drops::default(), first_number, From::default()),
        };
        let known = from.files.as_ref().map(State::generations);
        let log_intake = log.file().map(|path| {
            let follower = Follower::new(path.to_owned(), begin, from.files, first_number);
            // A log that is created later has no old lines.
            let history = if follower.size().is_some() { history } else { History::Known };
            LogIntake::new(follower, from.reading, history)
        });
        Self {
            records: LogBatch::new(assembler.origin()),
            assembler,
            log: log_intake,
            pipe: log.is_piped().then(|| PipeIntake::new(run)),
            stream: StreamIntake::new(connections),
            looks_at_process,
            own,
            lost,
            reported: Sent::default(),
            dropped,
            tally,
            receiver: None,
            original: lines.original,
            pending: Pending::default(),
            out: Dispatch::new(journal.clone(), logs.clone(), known, now),
            journal,
            logs,
            measured: None,
        }
    }

    /// Sets the configuration's changes to the built-in rules, which become part of the Watches.
    pub fn state_rules(&mut self, rules: Vec<String>) {
        self.assembler.state_rules(rules);
    }

    /// Adds a mark as a fact of the open Watch.
    pub fn mark(&mut self, mark: &Mark) {
        self.assembler.mark(mark);
    }

    /// Adds results of scenarios as facts of the open Watch. Forgets those whose files are gone.
    /// `known` are those that were added before and whose files are still there.
    pub fn results(&mut self, told: impl IntoIterator<Item = Told>, known: impl IntoIterator<Item = FactId>) {
        self.assembler.keep_taken_up(&known.into_iter().collect());
        self.assembler.results(told);
    }

    /// Returns whether a result of a scenario was added, so that its file need not be read.
    pub fn has_taken_up(&self, id: FactId) -> bool {
        self.assembler.has_taken_up(id)
    }

    /// Sets the counts of the receiver, which become part of the Watches.
    pub fn received_by(&mut self, counters: Counters) {
        self.assembler.interpreter.listens();
        self.receiver = Some((counters, Totals::default()));
    }

    /// Adds what a received request shows. The ids must come in their order: the next commit deletes all observations up to the last
    /// one from the journal.
    pub fn received(&mut self, id: i64, observations: Observations, now: Timestamp) {
        self.assembler.observed(observations, now);
        self.pending.consumed = Some(id);
    }

    /// Returns the last poll's metrics, once.
    pub fn take_measured(&mut self) -> Option<ExportMetricsServiceRequest> {
        self.measured.take()
    }

    /// Returns the interpreter, with its knowledge of the hub.
    pub fn interpreter(&self) -> &Interpreter {
        &self.assembler.interpreter
    }

    /// Returns the origin of the next Watch.
    pub fn origin(&self) -> &Origin {
        self.assembler.origin()
    }

    /// Decides by the hub's present process which lines of an old log are facts of this run. Call it once, before the first line is
    /// read.
    pub fn first_poll(&mut self, answer: &PollAnswer) {
        // Lines of the time before this run are read before the poll is processed.
        let said = self.assembler.interpreter.expect(answer);
        let Some(log) = self.log.as_mut().filter(|log| log.history == History::UntilFirstPoll && log.reading.reached.is_none())
        else {
            return;
        };
        // A process that started later than the hub is another one, such as a proxy on its port.
        let is_hub = |started: &Timestamp| said.is_none_or(|said| *started <= said.plus(START_SLACK));
        let seen = answer.process.as_ref().map(|process| process.started).filter(is_hub);
        let begun = seen.or(said.map(|said| said.minus(START_SLACK)));
        if let Some(begun) = begun {
            // Lines without times belong to the present process, because every hub truncates such a file when it starts.
            log.history = History::Known;
            log.reading.reached = Some(begun);
            self.assembler.interpreter.facts_since(begun);
        }
    }

    /// Returns whether the log is a file that does not exist.
    pub fn lacks_log(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.present)
    }

    /// Returns whether the log shows that the hub stops with its last event-stream subscriber.
    pub fn hub_stops_alone(&self) -> bool {
        self.assembler.interpreter.hub_stops_alone()
    }

    fn close_if_full(&mut self, now: Timestamp) {
        if self.assembler.is_full() {
            let closing = self.closing();
            let finished = self.assembler.close(now, None, closing);
            self.keep(finished);
        }
    }

    /// Records that the hub did not answer a check at this time.
    pub fn still_away(&mut self, at: Timestamp) {
        self.assembler.interpreter.still_away(at);
    }

    /// Returns whether a line showed a start or a stop of the hub since the last call.
    pub fn take_stir(&mut self) -> bool {
        self.assembler.interpreter.take_stir()
    }

    /// Records that the process stood still from `before` to `now`. The interval ends at `before`.
    pub async fn stood_still(&mut self, before: Timestamp, now: Timestamp) -> Result<(), JournalError> {
        let closing = self.closing();
        let finished = self.assembler.stood_still(before, now, closing);
        self.keep(finished);
        self.commit(now).await
    }

    /// Processes a poll: reads the log first, because its lines are older than the answer; then closes the interval and commits.
    pub async fn polled(&mut self, mut answer: PollAnswer) -> Result<(), JournalError> {
        let now = answer.now;
        self.read_log(now).await?;
        let servers = answer.servers.as_ref().and_then(|(servers, _)| servers.as_ref().err());
        let failures = [answer.health.as_ref().err(), servers];
        let not_a_hubs =
            |outcome: &&Option<&ApiOutcome>| matches!(outcome, Some(ApiOutcome::Unreadable | ApiOutcome::OtherProgram));
        let unreadable = failures.iter().filter(not_a_hubs).count();
        self.lost.unreadable_answers += unreadable as u64;
        answer.log_file = self.log_file();
        let mut closing = self.closing();
        closing.sources.polls = match &answer.health {
            Ok(_) if servers.is_none() => Visibility::Read,
            Ok(_) => Visibility::Partial,
            Err(_) => Visibility::Missing,
        };
        closing.sources.process = match (&answer.process, self.looks_at_process) {
            (Some(_), _) => Visibility::Read,
            (None, true) => Visibility::Missing,
            (None, false) => Visibility::Off,
        };
        self.describe_itself(&mut closing.sidecar, now).await?;
        let finished = self.assembler.polled(&answer, closing);
        self.keep(finished);
        self.commit(now).await
    }

    /// Records that the wall clock jumped from `before` to `now`: the interval ends in the old time, and the next begins in the new
    /// one.
    pub async fn clock_jumped(&mut self, before: Timestamp, now: Timestamp, jump: i64) -> Result<(), JournalError> {
        let closing = self.closing();
        let finished = self.assembler.clock_jumped(before, now, jump, closing);
        // Earlier reads must stay earlier in the new time, too.
        self.stream.latest = self.stream.latest.map(|latest| latest.shifted(jump));
        let log = self.log.iter_mut().map(|log| &mut log.reading);
        let piped = self.pipe.iter_mut().map(|pipe| &mut pipe.reading);
        for reading in log.chain(piped).chain([&mut self.stream.reading]) {
            reading.reached = reading.reached.map(|reached| reached.shifted(jump));
        }
        self.keep(finished);
        self.commit(now).await
    }

    /// Reads the log to its end. Returns whether lines claim something that only a poll can confirm.
    pub async fn awaits_poll(&mut self, now: Timestamp) -> Result<bool, JournalError> {
        while !self.read_log(now).await?.at_end {}
        Ok(self.assembler.interpreter.has_undecided())
    }

    /// Ends the watch: reads the log to its end, adds the fact, and closes the last interval. Everything is committed when it
    /// returns.
    pub async fn stop(&mut self, reason: &str, now: Timestamp) -> Result<(), JournalError> {
        while !self.read_log(now).await?.at_end {}
        self.assembler.interpreter.ends(now);
        self.assembler.interpreter.notice(When::At(now), WatcherStopped { reason: Text::new(reason) });
        let closing = self.closing();
        let finished = self.assembler.close(now, None, closing);
        self.keep(finished);
        self.commit_last(now).await
    }

    /// Commits what is left at the end, and says so if the journal was lost and these commits have created it again. To be called
    /// again where it fails.
    pub async fn commit_last(&mut self, now: Timestamp) -> Result<(), JournalError> {
        self.commit_rest(now).await?;
        for _ in 0..MAX_LAST_WORDS {
            let stats = self.journal.stats().await?;
            if stats.created_again.is_empty() {
                break;
            }
            self.note_created_again(stats.created_again, now);
            let closing = self.closing();
            let finished = self.assembler.close(now, None, closing);
            self.keep(finished);
            self.commit_rest(now).await?;
        }
        Ok(())
    }

    /// Commits the data of a failed commit; it is on disk when this returns.
    async fn commit_rest(&mut self, now: Timestamp) -> Result<(), JournalError> {
        self.commit(now).await?;
        self.finish_commit().await
    }

    fn log_file(&self) -> Option<LogFilePoll> {
        let follower = &self.log.as_ref()?.follower;
        let size = Bytes::new(follower.size()?);
        Some(LogFilePoll { size, disk_free: process::free_space(follower.path()) })
    }

    /// Returns the read position for the commit.
    fn position(&self) -> Position {
        let origin = self.assembler.origin();
        Position {
            hub: origin.hub.clone(),
            environment: origin.environment.clone(),
            log: self.log.as_ref().map(|log| log.follower.path().to_owned()),
            files: self.log.as_ref().map(|log| log.follower.state()),
            log_reached: self.log.as_ref().and_then(|log| log.reading.reached),
            lost: self.lost,
            dropped: self.dropped.clone(),
            connections: self.stream.connections,
            unframer: self.log.as_ref().map(|log| log.reading.unframer.clone()).unwrap_or_default(),
        }
    }
}

/// The position from which the log is read on.
#[derive(Default)]
struct From {
    files: Option<State>,
    reading: Reading,
}

impl From {
    /// Files are recognised under another path, too. The time of the last read and an incomplete line are only valid for the same
    /// path.
    fn position(saved: Position, log: Option<&Path>) -> Self {
        let same_log = saved.log.as_deref() == log;
        let reached = saved.log_reached.filter(|_| same_log);
        let unframer = if same_log { saved.unframer } else { Default::default() };
        Self { files: saved.files.filter(|_| log.is_some()), reading: Reading { unframer, form: None, reached } }
    }
}
