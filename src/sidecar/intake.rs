//! How lines come in: from the log's files, from a pipe, from the event stream. Each source has its own reading state; what becomes
//! of a line is the same for all.

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

/// How many bytes of the log are taken in at a time and go out as one request: about five hundred lines. A request with what is said
/// of each line is two and a half times as large, and several are in memory at once.
const BATCH_BYTES: usize = 96 * 1024;

/// How much of the log is read before something else has its turn: a tenth of a second's work.
const TURN_BYTES: u64 = 16 * 1024 * 1024;

/// What the records of the event stream have as their file's name.
const STREAM_NAME: &str = "events";

/// So many records of the event stream go out before the next look at the log.
const STREAM_BATCH: u32 = 512;

/// What comes at shorter distances than this may have waited together: the hub was heard before the first of it.
const BURST: Micros = Micros::new(1_000_000);

/// Where the reading of one source of lines stands.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The beginning of a line whose end was not read yet.
    pub unframer: Unframer,
    /// What the records of the present generation have in common.
    pub form: Option<(u64, RecordForm)>,
    /// When the source's end was last reached.
    pub reached: Option<Timestamp>,
}

/// The log's files.
#[derive(Debug)]
pub(super) struct LogIntake {
    pub follower: Follower,
    pub reading: Reading,
    /// How many bytes are still unread.
    pub behind: u64,
    /// Whether the log is there.
    pub present: bool,
    pub history: History,
}

/// What the lines are that stood in the log when this run first looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    /// As good as any: the position says which were read.
    Known,
    /// No facts until the first poll tells since when the hub's present process runs.
    UntilFirstPoll,
    /// No facts: the last run may have made facts of them, and its position was lost.
    Told,
}

/// What the hub writes into our standard input.
#[derive(Debug)]
pub(super) struct PipeIntake {
    pub pipe: Pipe,
    pub reading: Reading,
    /// Whether the hub closed it.
    pub ended: bool,
}

/// How the event stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not wanted.
    Off,
    /// It was joined and broke.
    Broken,
    /// It is joined.
    Joined,
}

/// The hub's event stream.
#[derive(Debug)]
pub(super) struct StreamIntake {
    pub standing: Standing,
    /// Whether it was not joined for a part of the interval.
    pub gap: bool,
    /// Connections that were made so far: the lines of each have ids of their own.
    pub connections: u64,
    /// Lines that came on this connection.
    heard: u64,
    /// When something last came.
    pub latest: Option<Timestamp>,
    pub reading: Reading,
}

/// What a look at the log came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRead {
    /// It held something new.
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

    /// Something came: what it holds was not there when the stream was last read to its end, at the time that this gives.
    fn came(&mut self, now: Timestamp) -> Timestamp {
        if let Some(before) = self.latest.replace(now).filter(|before| now.since(*before) >= BURST) {
            self.reading.reached = Some(before);
        }
        self.reading.reached.unwrap_or(now)
    }
}

impl Sidecar {
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

    /// What the hub wrote into the pipe; nothing means that it was closed.
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

    /// The event stream was joined.
    pub fn stream_joined(&mut self, now: Timestamp) {
        self.stream.gap |= self.stream.standing != Standing::Joined;
        self.stream.standing = Standing::Joined;
        self.stream.connections += 1;
        self.stream.heard = 0;
        (self.stream.latest, self.stream.reading.reached) = (Some(now), Some(now));
        self.assembler.interpreter.stream_joined(now);
    }

    /// The event stream broke, or is no longer wanted.
    pub fn stream_left(&mut self, reason: &str, wanted: bool, now: Timestamp) {
        self.assembler.interpreter.stream_left(reason, now);
        self.stream.gap = wanted;
        self.stream.standing = if wanted { Standing::Broken } else { Standing::Off };
    }

    /// Whether the event stream is joined: the hub counts us among its subscribers.
    pub fn is_subscriber(&self) -> bool {
        self.stream.standing == Standing::Joined
    }

    /// What was heard on the event stream.
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
        // With a log the next look at it commits; alone the stream must do it.
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
        // The log's own lines go out as they are; the stream adds only what that log can't show.
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

    /// Where the files of the log stand, for those who wait for them to change.
    pub fn log_files(&self) -> impl Iterator<Item = &Path> {
        let follower = self.log.as_ref().map(|log| &log.follower);
        // A file that is not there yet is waited for, too.
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
    reading: &'a mut Reading,
    records: &'a mut LogBatch,
    pending: &'a mut Pending,
    lost: &'a mut Lost,
}
