//! The sidecar: brings the sources together, closes an interval with each poll, and commits what was learned.
//!
//! [`Sidecar`] is the shell around the pure [`assemble::Assembler`]: it reads the log, hands lines and polls to the assembler,
//! sends log lines on and commits everything in one transaction: data, read position and state. A rehearsed period
//! drives the same shell with a simulated clock.

pub mod assemble;
pub mod clock;
mod commit;
pub mod marks;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::export::{LogFastPath, Standing, Tally};
use crate::hub::call_trace;
use crate::hub::events::Heard;
use crate::hub::framing::Unframer;
use crate::hub::interpret::{Interpreter, PollAnswer, RawLine};
use crate::hub::merge::LineSource;
use crate::journal::{Journal, JournalError, MetricRows, Recovered, SpanRow, SpanRowKind};
use crate::process::{self, OwnProcess, OwnUse};
use crate::tail::{self, Batch, Begin, Follower, Line, Pipe, TailEvent};
use crate::watch::{
    ApiOutcome, Bytes, Count, Drops, GenerationId, JournalRecovered, LineRecord, LogBatch, LogReplaced, LogTruncated,
    LogUnreadable, MetricsRequests, Micros, Origin, RecordForm, SidecarPoll, Sources, SpanId, Text, Timestamp, Visibility,
    WatcherId, WatcherStarted, WatcherStopped, When, request_of,
};
use assemble::{Assembler, Closing, Finished};
use commit::{Dispatch, Pending};

/// How many bytes of the log are taken in at a time and go out as one request: about five hundred lines. A request with what is said
/// of each line is two and a half times as large, and several are in memory at once.
const BATCH_BYTES: usize = 96 * 1024;

/// How much of the log is read before something else has its turn: a tenth of a second's work.
const TURN_BYTES: u64 = 16 * 1024 * 1024;

/// What the records of the event stream have as their file's name.
const STREAM_NAME: &str = "events";

/// So many records of the event stream go out before the next look at the log.
const STREAM_BATCH: u32 = 512;

/// The hub's own start time is taken a moment after its first line, by up to a second in the recordings.
const START_SLACK: Micros = Micros::new(2_000_000);

/// The form of the checkpoint; one more when an older hubwatch would misread it.
const CHECKPOINT_VERSION: u32 = 3;

/// What the sidecar needs to go on after a restart as if nothing had happened; committed with the data.
#[derive(Serialize, Deserialize)]
struct Checkpoint<'a> {
    version: u32,
    /// Which log the position is in.
    log: Option<PathBuf>,
    position: Option<tail::State>,
    log_reached: Option<Timestamp>,
    lost: Lost,
    /// What the journal had dropped when that was last told.
    #[serde(default)]
    dropped: Drops,
    /// Connections to the event stream that were made so far: the lines of each are other lines.
    connections: u64,
    unframer: Cow<'a, Unframer>,
    assembler: Cow<'a, Assembler>,
}

impl Checkpoint<'_> {
    /// Whether it is about the hub that is watched now: a state folder can be used for another one.
    fn is_of(&self, origin: &Origin) -> bool {
        let saved = self.assembler.origin();
        let same = (&saved.hub, &saved.environment) == (&origin.hub, &origin.environment);
        if !same {
            tracing::warn!(hub = %saved.hub, environment = %saved.environment, "the last run watched another hub; watching begins anew");
        }
        same
    }
}

/// What was lost, or read late, since the last Watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lost {
    lines_cut: u64,
    bad_utf8: u64,
    bytes: u64,
    unreadable_answers: u64,
    #[serde(default)]
    parse_failures: u64,
    #[serde(default)]
    lag: Option<Micros>,
}

/// Where the hub's log is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// Nowhere.
    None,
    /// In a file.
    File(PathBuf),
    /// What the hub writes is piped into the sidecar.
    Stdin,
    /// In a file, with what the hub writes piped into the sidecar as well.
    FileAndStdin(PathBuf),
}

impl LogSource {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Some(path),
            Self::None | Self::Stdin => None,
        }
    }

    /// The hub's output is piped into the sidecar, too.
    #[must_use]
    pub fn and_stdin(self) -> Self {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Self::FileAndStdin(path),
            Self::None | Self::Stdin => Self::Stdin,
        }
    }

    /// Without what is piped into the sidecar.
    #[must_use]
    pub fn without_stdin(self) -> Self {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Self::File(path),
            Self::None | Self::Stdin => Self::None,
        }
    }

    /// Whether the hub's output is piped into the sidecar.
    pub const fn is_piped(&self) -> bool {
        matches!(self, Self::Stdin | Self::FileAndStdin(_))
    }
}

impl std::fmt::Display for LogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("stdin"),
            Self::FileAndStdin(path) => write!(f, "{} and stdin", path.display()),
        }
    }
}

/// How the event stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// Nobody wants it.
    Off,
    /// It was joined and broke.
    Broken,
    /// It is joined.
    Joined,
}

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

/// What a look at the log came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRead {
    /// It held something new.
    pub moved: bool,
    /// Its end was reached.
    pub at_end: bool,
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
    follower: Option<Follower>,
    /// When the log's end was last reached.
    log_reached: Option<Timestamp>,
    log_behind: u64,
    log_present: bool,
    /// Until the first poll: lines that were there before it can't be told from those of an earlier process of the hub.
    heeds_history: bool,
    lost: Lost,
    /// What the senders had done when that was last told.
    told: Sent,
    dropped: Drops,
    tally: Tally,
    own: Option<OwnProcess>,
    journal: Journal,
    logs: Option<LogFastPath>,
    looks_at_process: bool,
    pipe: Option<Pipe>,
    /// Whether the pipe was closed.
    pipe_ended: bool,
    /// When the pipe was last read.
    pipe_reached: Option<Timestamp>,
    pipe_unframer: Unframer,
    pipe_form: Option<(u64, RecordForm)>,
    unframer: Unframer,
    stream: Stream,
    /// Whether the stream was not joined for a part of the interval.
    stream_gap: bool,
    connections: u64,
    /// Lines heard on this connection.
    heard: u64,
    original: bool,
    records: LogBatch,
    form: Option<(u64, RecordForm)>,
    stream_form: Option<(u64, RecordForm)>,
    out: Dispatch,
    pending: Pending,
    /// The last poll's metrics, until somebody takes them.
    measured: Option<ExportMetricsServiceRequest>,
}

impl Sidecar {
    /// Begins at `now`. With a checkpoint it goes on where that was made.
    pub fn begin(setup: Setup, now: Timestamp, journal: Journal, logs: Option<LogFastPath>, looks_at_process: bool) -> Self {
        let Setup { origin, key, log, begin, lines, checkpoint, recovered, tally, own } = setup;
        let checkpoint = checkpoint.and_then(|bytes| read_checkpoint(&bytes)).filter(|saved| saved.is_of(&origin));
        let resumed = checkpoint.is_some();
        let pipe = log.is_piped().then(|| Pipe::new(u64::from(origin.run)));
        let file = log.file().map(Path::to_owned);
        let (saved, mut assembler) = match checkpoint {
            Some(saved) => {
                let same_log = saved.log == file;
                let assembler = saved.assembler.into_owned().resume(origin, now, key);
                let position = saved.position.filter(|_| file.is_some());
                let log_reached = saved.log_reached.filter(|_| same_log);
                let unframer = if same_log { saved.unframer.into_owned() } else { Unframer::default() };
                let (lost, dropped, connections) = (saved.lost, saved.dropped, saved.connections);
                (Resumed { position, log_reached, lost, dropped, connections, unframer }, assembler)
            }
            None => (Resumed::default(), Assembler::new(origin, now, key)),
        };
        assembler.interpreter.notice(When::At(now), WatcherStarted { resumed });
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
        let follower = file.map(|path| Follower::new(path, begin, saved.position.clone()));
        let heeds_history = !resumed && follower.as_ref().is_some_and(|follower| follower.size().is_some());
        let records = LogBatch::new(assembler.origin());
        let out = Dispatch::new(journal.clone(), logs.clone(), saved.position.as_ref().map(tail::State::generations), now);
        Self {
            assembler,
            follower,
            log_reached: saved.log_reached,
            log_behind: 0,
            log_present: false,
            heeds_history,
            lost: saved.lost,
            told: Sent::default(),
            dropped: saved.dropped,
            tally,
            own,
            journal,
            logs,
            looks_at_process,
            pipe,
            pipe_ended: false,
            pipe_reached: None,
            pipe_unframer: Unframer::default(),
            pipe_form: None,
            unframer: saved.unframer,
            stream: Stream::Off,
            stream_gap: false,
            connections: saved.connections,
            heard: 0,
            original: lines.original,
            records,
            form: None,
            stream_form: None,
            out,
            pending: Pending::default(),
            measured: None,
        }
    }

    /// What the configuration says differently from the built-in rules travels in the Watches.
    pub fn state_rules(&mut self, rules: Vec<String>) {
        self.assembler.state_rules(rules);
    }

    /// Takes up an announcement: it is a fact of the open Watch.
    pub fn mark(&mut self, mark: &marks::Mark) {
        self.assembler.interpreter.notice(When::At(mark.at), mark.fact());
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
        if self.log_reached.is_some() || !self.heeds_history {
            return;
        }
        let workspace = answer.health.as_ref().ok().and_then(|health| health.workspace());
        let said = workspace.and_then(|workspace| workspace.started);
        let begun = answer.process.as_ref().map(|process| process.started).or(said.map(|said| said.minus(START_SLACK)));
        if let Some(begun) = begun {
            // An untimed line is of the present process: every hub empties the file without times when it starts.
            self.heeds_history = false;
            self.log_reached = Some(begun);
            self.assembler.interpreter.facts_since(begun);
        }
    }

    /// Takes in what the log holds, batch by batch, at most until its end.
    pub async fn read_log(&mut self, now: Timestamp) -> Result<LogRead, JournalError> {
        let mut moved = false;
        let mut read = 0;
        loop {
            let before = self.pending.bytes;
            let batch = self.read_batch(now);
            let at_end = batch.at_end;
            read += self.pending.bytes - before;
            moved |= batch.lines > 0 || !batch.events.is_empty();
            self.note(batch, now);
            self.close_if_full(now);
            if self.follower.as_ref().is_some_and(|follower| self.out.has_new(follower.generations())) {
                self.commit_generation(now).await?;
            }
            self.send_records().await;
            if self.pending.is_due() || self.out.is_due(now) && !self.pending.is_empty() {
                self.commit(now).await?;
            }
            if at_end || read >= TURN_BYTES {
                return Ok(LogRead { moved, at_end });
            }
        }
    }

    fn read_batch(&mut self, now: Timestamp) -> Batch {
        let Some(follower) = &mut self.follower else { return Batch { at_end: true, ..Batch::default() } };
        let context = LineContext {
            source: LineSource::Log,
            watcher: self.assembler.origin().watcher,
            now,
            earliest: self.log_reached.unwrap_or(now),
            heeds_history: self.heeds_history,
            keep_records: self.logs.is_some(),
            original: self.original,
        };
        let mut into = Into {
            interpreter: &mut self.assembler.interpreter,
            unframer: &mut self.unframer,
            form: &mut self.form,
            records: &mut self.records,
            pending: &mut self.pending,
            lost: &mut self.lost,
        };
        follower.read(BATCH_BYTES, |line| context.take(line, &mut into))
    }

    /// What the hub wrote into the pipe; nothing means that it was closed.
    pub async fn piped(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), JournalError> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        let context = LineContext {
            source: if self.follower.is_some() { LineSource::Output } else { LineSource::Log },
            watcher: self.assembler.origin().watcher,
            now,
            earliest: self.pipe_reached.unwrap_or(now),
            heeds_history: false,
            keep_records: self.logs.is_some(),
            original: self.original,
        };
        let mut into = Into {
            interpreter: &mut self.assembler.interpreter,
            unframer: &mut self.pipe_unframer,
            form: &mut self.pipe_form,
            records: &mut self.records,
            pending: &mut self.pending,
            lost: &mut self.lost,
        };
        if bytes.is_empty() {
            pipe.finish(|line| context.take(line, &mut into));
            self.pipe_ended = true;
        } else {
            pipe.feed(bytes, |line| context.take(line, &mut into));
        }
        self.pipe_reached = Some(now);
        if self.follower.is_none() {
            self.log_reached = Some(now);
        }
        self.close_if_full(now);
        // Nobody can read a pipe again.
        self.commit(now).await
    }

    /// The event stream was joined.
    pub fn stream_joined(&mut self, now: Timestamp) {
        self.stream_gap |= self.stream != Stream::Joined;
        self.stream = Stream::Joined;
        self.connections += 1;
        self.heard = 0;
        self.assembler.interpreter.stream_joined(now);
    }

    /// The event stream broke, or is no longer wanted.
    pub fn stream_left(&mut self, reason: &str, wanted: bool, now: Timestamp) {
        self.assembler.interpreter.stream_left(reason, now);
        self.stream_gap = wanted;
        self.stream = if wanted { Stream::Broken } else { Stream::Off };
    }

    /// Whether the event stream is joined: the hub counts us among its subscribers.
    pub fn is_subscriber(&self) -> bool {
        self.stream == Stream::Joined
    }

    /// What was heard on the event stream.
    pub async fn heard(&mut self, heard: Vec<Heard>, now: Timestamp) -> Result<(), JournalError> {
        for heard in heard {
            match heard {
                Heard::Line(text) => self.streamed_line(&text, now),
                Heard::State { state, at, .. } => self.assembler.interpreter.stream_state(&state, at.unwrap_or(now)),
                Heard::Unreadable => self.lost.unreadable_answers += 1,
                Heard::Heartbeat | Heard::Other => {}
            }
        }
        self.close_if_full(now);
        // With a log the next look at it commits; alone the stream must do it.
        let alone = self.follower.is_none();
        if alone || self.records.records() >= STREAM_BATCH { self.commit(now).await } else { Ok(()) }
    }

    fn streamed_line(&mut self, text: &str, now: Timestamp) {
        let watcher = self.assembler.origin().watcher;
        let form = form(&mut self.stream_form, watcher, STREAM_NAME, self.connections);
        let offset = self.heard;
        self.heard += 1;
        let size = text.len() as u64;
        let said = self.assembler.interpreter.line(RawLine {
            source: LineSource::EventStream,
            text,
            uid: form.uid(offset),
            size,
            stamped: None,
            read: now,
            earliest: now,
            historic: false,
        });
        // The log's own lines go out as they are; the stream adds only what that log can't show.
        let only_here = self.follower.is_none() && self.pipe.is_none();
        if said.collapsed || !(only_here || said.object) {
            return;
        }
        if only_here {
            self.pending.keep(&said, size);
        }
        if self.logs.is_some() {
            let line = LineRecord {
                offset,
                when: said.when,
                observed: now,
                level: said.level,
                text: &said.text,
                original: None,
                call: said.call,
                cut_from: None,
                bad_utf8: false,
            };
            self.records.push(form, &line);
        }
    }

    /// Where the files of the log stand, for those who wait for them to change.
    pub fn log_files(&self) -> impl Iterator<Item = &Path> {
        let follower = self.follower.as_ref();
        // A file that is not there yet is waited for, too.
        let awaited = follower.filter(|follower| !tail::is_pattern(follower.path())).map(Follower::path);
        awaited.into_iter().chain(follower.into_iter().flat_map(Follower::files))
    }

    /// Whether the log shows the checkpoint lines, as far as that is known.
    pub fn log_shows_checkpoints(&self) -> Option<bool> {
        if self.follower.is_none() && self.pipe.is_none() {
            return Some(false);
        }
        self.assembler.interpreter.log_shows_checkpoints()
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

    fn note(&mut self, batch: Batch, now: Timestamp) {
        let Some(follower) = &self.follower else { return };
        let path = Text::new(follower.path().to_string_lossy());
        for event in batch.events {
            match event {
                TailEvent::Truncated { unread } => {
                    self.lost.bytes += unread;
                    self.assembler.interpreter.notice(When::At(now), LogTruncated { bytes: Bytes::new(unread) });
                }
                TailEvent::Replaced => {
                    self.assembler.interpreter.notice(When::At(now), LogReplaced { path: path.clone() });
                }
                TailEvent::Vanished { unread } => {
                    self.lost.bytes += unread;
                    let reason = Text::new(format!("a file of it was deleted before its last {unread} bytes were read"));
                    self.assembler.interpreter.notice(When::At(now), LogUnreadable { path: path.clone(), reason });
                }
                TailEvent::Unreadable { reason } => {
                    let fact = LogUnreadable { path: path.clone(), reason: Text::new(reason) };
                    self.assembler.interpreter.notice(When::At(now), fact);
                }
            }
        }
        self.log_present = batch.present;
        self.log_behind = batch.behind;
        if batch.at_end && batch.present {
            self.log_reached = Some(now);
        }
    }

    /// Takes a poll in: reads the log first, since what it says happened before the answer; then closes the interval and commits.
    pub async fn polled(&mut self, mut answer: PollAnswer) -> Result<(), JournalError> {
        let now = answer.now;
        self.read_log(now).await?;
        let servers = answer.servers.as_ref().and_then(|(servers, _)| servers.as_ref().err());
        let failures = [answer.health.as_ref().err(), servers];
        let unreadable = failures.iter().filter(|outcome| **outcome == Some(&ApiOutcome::Unreadable)).count();
        self.lost.unreadable_answers += unreadable as u64;
        answer.log_file = self.log_file();
        let mut closing = self.closing();
        closing.sources.polls = match &answer.health {
            Ok(_) => Visibility::Read,
            Err(outcome) if outcome.answered() => Visibility::Partial,
            Err(_) => Visibility::Missing,
        };
        closing.sources.process = match (&answer.process, self.looks_at_process) {
            (Some(_), _) => Visibility::Read,
            (None, true) => Visibility::Missing,
            (None, false) => Visibility::Off,
        };
        self.describe_itself(&mut closing.sidecar).await?;
        let finished = self.assembler.polled(&answer, closing);
        self.keep(finished);
        self.commit(now).await
    }

    /// What the sidecar keeps and costs.
    async fn describe_itself(&mut self, own: &mut SidecarPoll) -> Result<(), JournalError> {
        let Some(process) = &mut self.own else { return Ok(()) };
        if let Some(OwnUse { rss, rss_peak, cpu_time }) = process.read() {
            own.rss = Some(rss);
            own.rss_peak = rss_peak;
            own.cpu_time = Some(cpu_time);
        }
        let stats = self.journal.stats().await?;
        own.unsent = Count::new(stats.unsent);
        own.oldest_unsent = stats.oldest_unsent;
        own.journal = stats.size;
        own.dropped = stats.dropped.since(&self.dropped);
        self.dropped = stats.dropped;
        Ok(())
    }

    /// The wall clock jumped from `before` to `now`: the interval ends in the old time, the next begins in the new one.
    pub async fn clock_jumped(&mut self, before: Timestamp, now: Timestamp, jump: i64) -> Result<(), JournalError> {
        let closing = self.closing();
        let finished = self.assembler.clock_jumped(before, now, jump, closing);
        self.keep(finished);
        self.commit(now).await
    }

    /// Ends on purpose: reads what is there, says so and closes the last interval. All of it is committed when this returns.
    pub async fn stop(&mut self, reason: &str, now: Timestamp) -> Result<(), JournalError> {
        while !self.read_log(now).await?.at_end {}
        self.assembler.interpreter.notice(When::At(now), WatcherStopped { reason: Text::new(reason) });
        let closing = self.closing();
        let finished = self.assembler.close(now, None, closing);
        self.keep(finished);
        self.commit(now).await?;
        self.finish_commit().await
    }

    fn log_file(&self) -> Option<crate::watch::LogFilePoll> {
        let follower = self.follower.as_ref()?;
        let size = Bytes::new(follower.size()?);
        Some(crate::watch::LogFilePoll { size, disk_free: process::free_space(follower.path()) })
    }

    fn closing(&mut self) -> Closing {
        let lost = std::mem::take(&mut self.lost);
        let now = self.tally.read().fold(Sent::default(), Sent::with);
        let before = std::mem::replace(&mut self.told, now);
        let log = match (&self.follower, self.log_present, self.log_behind) {
            (None, ..) if self.pipe.is_some() => {
                if self.pipe_ended {
                    Visibility::Partial
                } else {
                    Visibility::Read
                }
            }
            (None, ..) => Visibility::Off,
            (Some(_), false, _) => Visibility::Missing,
            (Some(_), true, 0) => Visibility::Read,
            (Some(_), true, _) => Visibility::Partial,
        };
        Closing {
            sources: Sources {
                polls: Visibility::Partial,
                log,
                log_shape: None,
                log_read_to: self.log_reached,
                log_behind: self.follower.as_ref().map(|_| Bytes::new(self.log_behind)),
                event_stream: match (self.stream, std::mem::take(&mut self.stream_gap)) {
                    (Stream::Off, false) => Visibility::Off,
                    (Stream::Joined, false) => Visibility::Read,
                    (Stream::Joined, true) | (Stream::Off, true) => Visibility::Partial,
                    (Stream::Broken, _) => Visibility::Missing,
                },
                checkpoints: None,
                process: if self.looks_at_process { Visibility::Partial } else { Visibility::Off },
            },
            sidecar: SidecarPoll {
                lines_cut: Count::new(lost.lines_cut),
                bad_utf8: Count::new(lost.bad_utf8),
                bytes_lost: Bytes::new(lost.bytes),
                unreadable_answers: Count::new(lost.unreadable_answers),
                rejected: Count::new(now.rejected.saturating_sub(before.rejected)),
                sent: self.tally.read().next().map(|_| Count::new(now.sent.saturating_sub(before.sent))),
                parse_failures: Some(Count::new(lost.parse_failures)),
                lag: lost.lag,
                ..SidecarPoll::default()
            },
        }
    }

    fn keep(&mut self, finished: Vec<Finished>) {
        for Finished { watch, otlp, metrics } in finished {
            let kind = SpanRowKind::Watch {
                hub: watch.origin.hub.clone(),
                environment: watch.origin.environment.clone(),
                slot: watch.slot(),
                part: watch.origin.part,
                run: watch.origin.run,
                sequence: watch.origin.sequence,
            };
            let (start, end) = (watch.interval.start(), watch.interval.end());
            let (trace_id, span_id) = (watch.trace_id(), watch.origin.span_id());
            self.pending.spans.push(SpanRow { trace_id, span_id, kind, start, end, otlp });
            if let Some(MetricsRequests { cumulative, .. }) = &metrics {
                self.measured = Some(cumulative.clone());
            }
            self.pending.metrics.extend(metrics.map(|MetricsRequests { cumulative, delta }| MetricRows {
                time: end,
                cumulative: cumulative.encode_to_vec(),
                delta: Some(delta.encode_to_vec()),
            }));
        }
    }

    fn keep_calls(&mut self) {
        let model = self.assembler.interpreter.model().map(str::to_owned);
        for call in self.assembler.interpreter.ended_calls() {
            let started = call.fact.started;
            let end = started.plus(call.fact.duration);
            for span in call_trace::spans(&call, model.as_deref()) {
                let Some(span_id) = SpanId::from_slice(&span.span_id) else { continue };
                let otlp = request_of(self.assembler.origin(), vec![span]).encode_to_vec();
                let kind = SpanRowKind::Call;
                self.pending.spans.push(SpanRow { trace_id: call.fact.trace, span_id, kind, start: started, end, otlp });
            }
        }
    }
}

fn read_checkpoint(bytes: &[u8]) -> Option<Checkpoint<'static>> {
    match serde_json::from_slice::<Checkpoint<'static>>(bytes) {
        Ok(checkpoint) if checkpoint.version == CHECKPOINT_VERSION => Some(checkpoint),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%error, "the state of the last run can't be read; watching begins anew");
            None
        }
    }
}

/// What the senders did since they were started, all together.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    sent: u64,
    rejected: u64,
}

impl Sent {
    fn with(self, standing: Standing) -> Self {
        Self { sent: self.sent + standing.sent, rejected: self.rejected + standing.rejected }
    }
}

/// What an earlier run of the sidecar left behind, besides its knowledge.
#[derive(Default)]
struct Resumed {
    position: Option<tail::State>,
    log_reached: Option<Timestamp>,
    lost: Lost,
    dropped: Drops,
    connections: u64,
    unframer: Unframer,
}

/// What is the same for all lines of a batch.
struct LineContext {
    source: LineSource,
    watcher: WatcherId,
    now: Timestamp,
    earliest: Timestamp,
    heeds_history: bool,
    keep_records: bool,
    original: bool,
}

impl LineContext {
    fn take(&self, line: Line<'_>, into: &mut Into<'_>) {
        // Hardly any line has bad bytes: a check of the whole is faster than the search for them by much.
        let text = std::str::from_utf8(line.bytes).map_or_else(|_| String::from_utf8_lossy(line.bytes), Cow::Borrowed);
        let bad_utf8 = matches!(text, Cow::Owned(_));
        into.lost.bad_utf8 += u64::from(bad_utf8);
        into.lost.lines_cut += u64::from(line.cut);
        let Some(unframed) = into.unframer.take(&text) else { return };
        into.lost.lines_cut += u64::from(unframed.cut);
        let form = form(into.form, self.watcher, line.file, line.generation);
        let said = into.interpreter.line(RawLine {
            source: self.source,
            text: &unframed.text,
            uid: form.uid(line.offset),
            size: line.size,
            stamped: unframed.stamped,
            read: self.now,
            earliest: self.earliest,
            historic: self.heeds_history && line.historic,
        });
        let historic = self.heeds_history && line.historic;
        if let (When::At(at), false) = (said.when, historic) {
            into.lost.lag = into.lost.lag.max(Some(self.now.since(at)));
        }
        into.lost.parse_failures += u64::from(said.level.is_none() && unframed.text.starts_with('{'));
        into.pending.keep(&said, line.size);
        if said.collapsed || !self.keep_records {
            return;
        }
        let is_more = self.original && unframed.text.len() > said.text.len() && unframed.text.starts_with('{');
        let original = said.original.as_deref().filter(|_| is_more);
        let record = LineRecord {
            offset: line.offset,
            when: said.when,
            observed: self.now,
            level: said.level,
            text: &said.text,
            original,
            call: said.call,
            cut_from: (line.cut || unframed.cut).then(|| Bytes::new(line.size)),
            bad_utf8,
        };
        into.records.push(form, &record);
    }
}

/// What the records of this generation have in common; made once for each.
fn form<'a>(known: &'a mut Option<(u64, RecordForm)>, watcher: WatcherId, file: &str, generation: u64) -> &'a RecordForm {
    if known.as_ref().is_none_or(|(of, _)| *of != generation) {
        *known = None;
    }
    let (_, form) = known.get_or_insert_with(|| (generation, RecordForm::new(GenerationId::of(watcher, file, generation), file)));
    form
}

/// Where a line goes.
struct Into<'a> {
    interpreter: &'a mut Interpreter,
    unframer: &'a mut Unframer,
    form: &'a mut Option<(u64, RecordForm)>,
    records: &'a mut LogBatch,
    pending: &'a mut Pending,
    lost: &'a mut Lost,
}
