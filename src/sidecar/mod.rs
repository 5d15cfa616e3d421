//! The sidecar: brings the sources together, closes an interval with each poll, and commits what was learned.
//!
//! [`Sidecar`] is the shell around the pure [`assemble::Assembler`]: it reads the log, hands lines and polls to the assembler,
//! sends log lines on and commits everything in one transaction: data, read position and state. A rehearsed period
//! drives the same shell with a simulated clock.

pub mod assemble;
mod checkpoint;
pub mod clock;
mod commit;
mod expectations;
mod intake;
pub mod marks;
mod source;
mod state;

use std::path::Path;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

use crate::export::{LogFastPath, Tally};
use crate::hub::interpret::{Interpreter, PollAnswer};
use crate::journal::{Journal, JournalError, Recovered};
use crate::process::{self, OwnProcess};
use crate::tail::{Begin, Follower, State};
use crate::watch::{
    ApiOutcome, Bytes, Count, Drops, JournalRecovered, LogBatch, LogFilePoll, Micros, Origin, Text, Timestamp, Visibility,
    WatcherStarted, WatcherStopped, When,
};
use assemble::Assembler;
use checkpoint::{Position, Saved};
use commit::{Dispatch, Pending};
pub use intake::LogRead;
use intake::{History, LogIntake, PipeIntake, Reading, StreamIntake};
pub use source::LogSource;
use state::{Lost, Sent};

/// The hub's own start time is taken a moment after its first line, by up to a second in the recordings.
const START_SLACK: Micros = Micros::new(2_000_000);

/// Generations of the log, and connections to the event stream, are numbered from here in each run that finds no read position. Their
/// numbers are part of the records' ids: begun at 0 again, another line would get the id of one that is in the journal already.
const NUMBERS_OF_A_RUN: u32 = 32;

/// A state folder that is removed again each time when that is told is removed on purpose.
const MAX_LAST_WORDS: usize = 3;

/// What becomes of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// Whether lines that repeat become one count after a few samples.
    pub collapse: bool,
    /// Whether the record of a JSON line carries the whole line beside its message.
    pub original: bool,
    /// Whether prompts, arguments and key-like strings go out as they are.
    pub keep_private: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { collapse: true, original: true, keep_private: false }
    }
}

/// How the sidecar begins.
#[derive(Debug)]
pub struct Setup {
    /// Whose Watches it makes.
    pub origin: Origin,
    /// The key that hides session ids.
    pub key: [u8; 32],
    /// The log.
    pub log: LogSource,
    /// Where to begin in it.
    pub begin: Begin,
    /// What becomes of its lines.
    pub lines: Lines,
    /// What an earlier run left behind.
    pub checkpoint: Option<Vec<u8>>,
    /// What became of a damaged journal.
    pub recovered: Option<Recovered>,
    /// What the senders do.
    pub tally: Tally,
    /// Shows what the sidecar itself costs. A rehearsal has none: its time is not the machine's.
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
    /// What was lost since the last Watch.
    lost: Lost,
    /// What the senders had done when that was last reported.
    told: Sent,
    /// What the journal had dropped when that was last reported.
    dropped: Drops,
    tally: Tally,
    /// Whether the record of a JSON line carries the whole line.
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
    /// Begins at `now`. With a checkpoint it goes on where that was made, as far as the checkpoint can be read.
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
            // A log that comes later holds nothing old.
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
            told: Sent::default(),
            dropped,
            tally,
            original: lines.original,
            pending: Pending::default(),
            out: Dispatch::new(journal.clone(), logs.clone(), known, now),
            journal,
            logs,
            measured: None,
        }
    }

    /// What the configuration says differently from the built-in rules travels in the Watches.
    pub fn state_rules(&mut self, rules: Vec<String>) {
        self.assembler.state_rules(rules);
    }

    /// Takes up an announcement: it is a fact of the open Watch.
    pub fn mark(&mut self, mark: &marks::Mark) {
        self.assembler.mark(mark);
    }

    /// The metrics that went out last, if they are new.
    pub fn take_measured(&mut self) -> Option<ExportMetricsServiceRequest> {
        self.measured.take()
    }

    /// The knowledge about the hub.
    pub fn interpreter(&self) -> &Interpreter {
        &self.assembler.interpreter
    }

    /// The next Watch's origin.
    pub fn origin(&self) -> &Origin {
        self.assembler.origin()
    }

    /// What the first poll says about the hub's present process decides which lines of an old log are facts of this run. Call it
    /// once, before the first line is read.
    pub fn first_poll(&mut self, answer: &PollAnswer) {
        // What the log says of the time when nobody watched is taken in before the poll is.
        let said = self.assembler.interpreter.expect(answer);
        let Some(log) = self.log.as_mut().filter(|log| log.history == History::UntilFirstPoll && log.reading.reached.is_none())
        else {
            return;
        };
        // A process that began after the hub did is another one: a proxy that has its port.
        let is_hub = |started: &Timestamp| said.is_none_or(|said| *started <= said.plus(START_SLACK));
        let seen = answer.process.as_ref().map(|process| process.started).filter(is_hub);
        let begun = seen.or(said.map(|said| said.minus(START_SLACK)));
        if let Some(begun) = begun {
            // An untimed line is of the present process: every hub empties the file without times when it starts.
            log.history = History::Known;
            log.reading.reached = Some(begun);
            self.assembler.interpreter.facts_since(begun);
        }
    }

    /// Whether the log is read from a file that is not there.
    pub fn lacks_log(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.present)
    }

    /// Whether the log says that the hub stops once its last event-stream subscriber leaves.
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

    /// The hub was looked for at this time, and did not answer.
    pub fn still_away(&mut self, at: Timestamp) {
        self.assembler.interpreter.still_away(at);
    }

    /// Whether a line told of a start or a stop of the hub since this was last asked.
    pub fn take_stir(&mut self) -> bool {
        self.assembler.interpreter.take_stir()
    }

    /// The process stood still from `before` to `now`: nobody watched. The interval ends where it was last awake.
    pub async fn stood_still(&mut self, before: Timestamp, now: Timestamp) -> Result<(), JournalError> {
        let closing = self.closing();
        let finished = self.assembler.stood_still(before, now, closing);
        self.keep(finished);
        self.commit(now).await
    }

    /// Takes a poll in: reads the log first, since what it says happened before the answer; then closes the interval and commits.
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

    /// The wall clock jumped from `before` to `now`: the interval ends in the old time, the next begins in the new one.
    pub async fn clock_jumped(&mut self, before: Timestamp, now: Timestamp, jump: i64) -> Result<(), JournalError> {
        let closing = self.closing();
        let finished = self.assembler.clock_jumped(before, now, jump, closing);
        // What was read before was read before in the new time, too.
        self.stream.latest = self.stream.latest.map(|latest| latest.shifted(jump));
        let log = self.log.iter_mut().map(|log| &mut log.reading);
        let piped = self.pipe.iter_mut().map(|pipe| &mut pipe.reading);
        for reading in log.chain(piped).chain([&mut self.stream.reading]) {
            reading.reached = reading.reached.map(|reached| reached.shifted(jump));
        }
        self.keep(finished);
        self.commit(now).await
    }

    /// Whether lines that were read, or can be read now, claim what only a poll can settle.
    pub async fn awaits_poll(&mut self, now: Timestamp) -> Result<bool, JournalError> {
        while !self.read_log(now).await?.at_end {}
        Ok(self.assembler.interpreter.has_undecided())
    }

    /// Ends on purpose: reads what is there, says so and closes the last interval. All of it is committed when this returns.
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

    /// Commits what a failed commit left over; it is on the disk when this returns.
    async fn commit_rest(&mut self, now: Timestamp) -> Result<(), JournalError> {
        self.commit(now).await?;
        self.finish_commit().await
    }

    fn log_file(&self) -> Option<LogFilePoll> {
        let follower = &self.log.as_ref()?.follower;
        let size = Bytes::new(follower.size()?);
        Some(LogFilePoll { size, disk_free: process::free_space(follower.path()) })
    }

    /// Where reading stands, for the commit.
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

/// Where the reading of the log goes on.
#[derive(Default)]
struct From {
    files: Option<State>,
    reading: Reading,
}

impl From {
    /// Files are found again also under another path; when the end was reached, and half a line, belong to the same log only.
    fn position(saved: Position, log: Option<&Path>) -> Self {
        let same_log = saved.log.as_deref() == log;
        let reached = saved.log_reached.filter(|_| same_log);
        let unframer = if same_log { saved.unframer } else { Default::default() };
        Self { files: saved.files.filter(|_| log.is_some()), reading: Reading { unframer, form: None, reached } }
    }
}
