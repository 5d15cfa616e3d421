//! Reads lines from the log's files, from a pipe, and from the event stream. Each source has its own read position; all lines are
//! processed in the same way.

use std::borrow::Cow;
use std::path::Path;

use super::Sidecar;
use super::commit::Pending;
use super::state::Lost;
use crate::hub::events::Heard;
use crate::hub::framing::Unframer;
use crate::hub::interpret::{Interpreter, RawLine, Sent};
use crate::hub::merge::LineSource;
use crate::journal::JournalError;
use crate::tail::{self, Batch, Follower, Line, Pipe, TailEvent};
use crate::watch::{
    Bytes, GenerationId, LineRecord, LogBatch, LogReplaced, LogTruncated, LogUnreadable, Micros, RecordForm, Text, Timestamp,
    WatcherId, When,
};

/// Bytes of the log read at a time and sent as one request: about five hundred lines. With the attributes of each line a request is
/// two and a half times as large, and several are in memory at once.
const BATCH_BYTES: usize = 96 * 1024;

/// Bytes of the log read before other events are handled: about 0.1 s of work.
const TURN_BYTES: u64 = 16 * 1024 * 1024;

/// The file name in the records of the event stream.
const STREAM_NAME: &str = "events";

/// With this many records of the event stream, they are sent without waiting for the next read of the log.
const STREAM_BATCH: u32 = 512;

/// Messages closer together than this may have been delayed together, so each of them may be as old as the first.
const BURST: Micros = Micros::new(1_000_000);

/// The read position of one source of lines.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The beginning of an incomplete line.
    pub unframer: Unframer,
    /// The common part of the current generation's records.
    pub form: Option<(u64, RecordForm)>,
    /// The time when the source was last read to its end.
    pub reached: Option<Timestamp>,
}

/// The log's files.
#[derive(Debug)]
pub(super) struct LogIntake {
    pub follower: Follower,
    pub reading: Reading,
    /// Unread bytes.
    pub behind: u64,
    /// True if the log exists.
    pub present: bool,
    pub history: History,
}

/// The treatment of lines that were in the log before this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    /// Read like new lines: the position shows which were read before.
    Known,
    /// No facts until the first poll shows when the hub's present process started.
    UntilFirstPoll,
    /// No facts: the last run may have made facts of them, and its position was lost.
    Told,
}

/// The hub's output, piped into our standard input.
#[derive(Debug)]
pub(super) struct PipeIntake {
    pub pipe: Pipe,
    pub reading: Reading,
    /// True once the hub has closed it.
    pub ended: bool,
}

/// The state of the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not wanted.
    Off,
    /// It broke.
    Broken,
    /// Subscribed.
    Joined,
}

/// The hub's event stream.
#[derive(Debug)]
pub(super) struct StreamIntake {
    pub standing: Standing,
    /// True if a part of the interval was without subscription.
    pub gap: bool,
    /// Number of connections so far, which is part of the lines' ids.
    pub connections: u64,
    /// Lines received on this connection.
    heard: u64,
    /// The time of the last message.
    pub latest: Option<Timestamp>,
    pub reading: Reading,
}

/// The result of reading the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRead {
    /// There was something new.
    pub moved: bool,
    /// Its end was reached.
    pub at_end: bool,
}

impl LogIntake {
    pub(super) fn new(follower: Follower, reading: Reading, history: History) -> Self {
        Self { follower, reading, behind: 0, present: false, history }
    }
}

impl PipeIntake {
    pub(super) fn new(run: u32) -> Self {
        Self { pipe: Pipe::new(u64::from(run)), reading: Reading::default(), ended: false }
    }
}

impl StreamIntake {
    pub(super) fn new(connections: u64) -> Self {
        Self { standing: Standing::Off, gap: false, connections, heard: 0, latest: None, reading: Reading::default() }
    }

    /// Records a message. Returns the earliest time at which its content can have been sent.
    fn came(&mut self, now: Timestamp) -> Timestamp {
        if let Some(before) = self.latest.replace(now).filter(|before| now.since(*before) >= BURST) {
            self.reading.reached = Some(before);
        }
        self.reading.reached.unwrap_or(now)
    }
}

impl Sidecar {
    /// Reads the log batch by batch, until its end or the limit of one turn.
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
            if self.log.as_ref().is_some_and(|log| self.out.has_new(log.follower.generations())) {
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
        let Some(log) = &mut self.log else { return Batch { at_end: true, ..Batch::default() } };
        let context = LineContext {
            source: LineSource::Log,
            watcher: self.assembler.origin().watcher,
            now,
            earliest: log.reading.reached.unwrap_or(now),
            heeds_history: log.history != History::Known,
            keep_records: self.logs.is_some(),
            original: self.original,
        };
        let mut into = Into {
            interpreter: &mut self.assembler.interpreter,
            reading: &mut log.reading,
            records: &mut self.records,
            pending: &mut self.pending,
            lost: &mut self.lost,
        };
        log.follower.read(BATCH_BYTES, |line| context.take(line, &mut into))
    }

    /// Reads piped output; no bytes mean that the pipe was closed.
    pub async fn piped(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), JournalError> {
        let Some(PipeIntake { pipe, reading, ended }) = &mut self.pipe else { return Ok(()) };
        let context = LineContext {
            source: if self.log.is_some() { LineSource::Output } else { LineSource::Log },
            watcher: self.assembler.origin().watcher,
            now,
            earliest: reading.reached.unwrap_or(now),
            heeds_history: false,
            keep_records: self.logs.is_some(),
            original: self.original,
        };
        let mut into = Into {
            interpreter: &mut self.assembler.interpreter,
            reading,
            records: &mut self.records,
            pending: &mut self.pending,
            lost: &mut self.lost,
        };
        if bytes.is_empty() {
            pipe.finish(|line| context.take(line, &mut into));
            *ended = true;
        } else {
            pipe.feed(bytes, |line| context.take(line, &mut into));
        }
        reading.reached = Some(now);
        self.close_if_full(now);
        // A pipe can't be read again.
        self.commit(now).await
    }

    /// Records a new subscription.
    pub fn stream_joined(&mut self, now: Timestamp) {
        self.stream.gap |= self.stream.standing != Standing::Joined;
        self.stream.standing = Standing::Joined;
        self.stream.connections += 1;
        self.stream.heard = 0;
        (self.stream.latest, self.stream.reading.reached) = (Some(now), Some(now));
        self.assembler.interpreter.stream_joined(now);
    }

    /// Records the end of a subscription; `wanted` if it broke.
    pub fn stream_left(&mut self, reason: &str, wanted: bool, now: Timestamp) {
        self.assembler.interpreter.stream_left(reason, now);
        self.stream.gap = wanted;
        self.stream.standing = if wanted { Standing::Broken } else { Standing::Off };
    }

    /// Returns whether we are subscribed: the hub counts us among its subscribers.
    pub fn is_subscriber(&self) -> bool {
        self.stream.standing == Standing::Joined
    }

    /// Reads messages of the event stream.
    pub async fn heard(&mut self, heard: Vec<Heard>, now: Timestamp) -> Result<(), JournalError> {
        let earliest = self.stream.came(now);
        let sent = |said| Sent { said, earliest, read: now };
        for heard in heard {
            match heard {
                Heard::Line(text) => self.streamed_line(&text, earliest, now),
                Heard::State { state, pid, at } => self.assembler.interpreter.stream_state(&state, pid, sent(at)),
                Heard::Servers { names, configured, at } => {
                    self.assembler.interpreter.stream_servers(names, configured, sent(at));
                }
                Heard::Unreadable => self.lost.unreadable_answers += 1,
                Heard::Heartbeat | Heard::Other => {}
            }
        }
        self.close_if_full(now);
        // With a log, the next read of it commits; without one, commit here.
        let alone = self.log.is_none();
        if alone || self.records.records() >= STREAM_BATCH { self.commit(now).await } else { Ok(()) }
    }

    fn streamed_line(&mut self, text: &str, earliest: Timestamp, now: Timestamp) {
        let is_there = self.log.as_ref().is_some_and(|log| log.present) || self.pipe.as_ref().is_some_and(|pipe| !pipe.ended);
        if !self.assembler.interpreter.heeds_streamed_lines(is_there) {
            self.stream.heard += 1;
            return;
        }
        let watcher = self.assembler.origin().watcher;
        let form = form(&mut self.stream.reading.form, watcher, STREAM_NAME, self.stream.connections);
        let offset = self.stream.heard;
        self.stream.heard += 1;
        let size = text.len() as u64;
        let said = self.assembler.interpreter.line(RawLine {
            source: LineSource::EventStream,
            text,
            uid: form.uid(offset),
            size,
            stamped: None,
            read: now,
            earliest,
            historic: false,
        });
        // The log's own lines are sent; the stream adds only what the log can't show.
        let only_here = self.log.is_none() && self.pipe.is_none();
        if said.collapsed || !(only_here || said.object) {
            return;
        }
        if only_here {
            self.pending.keep(&said, size);
        }
        if self.logs.is_some() {
            let line = LineRecord {
                offset,
                when: said.stated.map_or(said.when, When::At),
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

    /// Returns the log's files, for waiting until they change.
    pub fn log_files(&self) -> impl Iterator<Item = &Path> {
        let follower = self.log.as_ref().map(|log| &log.follower);
        // Includes a file that does not exist yet.
        let awaited = follower.filter(|follower| !tail::is_pattern(follower.path())).map(Follower::path);
        awaited.into_iter().chain(follower.into_iter().flat_map(Follower::files))
    }

    fn note(&mut self, batch: Batch, now: Timestamp) {
        let Some(log) = &mut self.log else { return };
        let path = Text::new(log.follower.path().to_string_lossy());
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
        log.present = batch.present;
        log.behind = batch.behind;
        if batch.at_end && batch.present {
            log.reading.reached = Some(now);
        }
    }
}

/// The common properties of the lines of a batch.
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
        // Invalid bytes are rare, and checking the whole line is much faster than searching for them.
        let text = std::str::from_utf8(line.bytes).map_or_else(|_| String::from_utf8_lossy(line.bytes), Cow::Borrowed);
        let bad_utf8 = matches!(text, Cow::Owned(_));
        into.lost.bad_utf8 += u64::from(bad_utf8);
        into.lost.lines_cut += u64::from(line.cut);
        let Some(unframed) = into.reading.unframer.take(&text) else { return };
        into.lost.lines_cut += u64::from(unframed.cut);
        let form = form(&mut into.reading.form, self.watcher, line.file, line.generation);
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
            when: said.stated.map_or(said.when, When::At),
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

/// Returns the common part of a generation's records, created once for each generation.
fn form<'a>(known: &'a mut Option<(u64, RecordForm)>, watcher: WatcherId, file: &str, generation: u64) -> &'a RecordForm {
    if known.as_ref().is_none_or(|(of, _)| *of != generation) {
        *known = None;
    }
    let (_, form) = known.get_or_insert_with(|| (generation, RecordForm::new(GenerationId::of(watcher, file, generation), file)));
    form
}

/// The destinations of a line.
struct Into<'a> {
    interpreter: &'a mut Interpreter,
    reading: &'a mut Reading,
    records: &'a mut LogBatch,
    pending: &'a mut Pending,
    lost: &'a mut Lost,
}
