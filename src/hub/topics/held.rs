//! Lines of processes of which it is not known whether they are the hub's, and what shows that the log is shared.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::hub::interpret::Interpreter;
use crate::hub::lines::line::parse;
use crate::hub::lines::meaning::{self, Meaning};
use crate::hub::sources::clocks::Clocks;
use crate::hub::sources::merge::LineSource;
use crate::hub::sources::raw::RawLine;
use crate::hub::topics::hub_life::port_of;
use crate::hub::topics::settle::{Answered, Settling};
use crate::watch::{ClaimRefusal, LogShared, Micros, RecordUid, SharedSign, Timestamp, When};

/// That a log is shared is said again after this time, so that each part of a long period says it.
const SHARED_AGAIN: Micros = Micros::new(3_600_000_000);

/// A line of a process of which it is not known whether it is the hub's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HeldLine {
    /// The process.
    pub pid: u32,
    /// What it was read from.
    pub source: LineSource,
    /// Its text.
    pub text: String,
    /// Its record.
    pub uid: RecordUid,
    /// Its length in the file.
    pub size: u64,
    /// The time that a container's runtime gave it.
    pub stamped: Option<Timestamp>,
    /// When its source was read to the end before.
    #[serde(default)]
    pub earliest: Timestamp,
    /// When it was read.
    pub read: Timestamp,
    /// When it was written.
    pub when: When,
}

impl HeldLine {
    /// Whether this is what it says.
    pub(crate) fn means(&self, meaning: Meaning<'_>) -> bool {
        meaning::of(&parse(&self.text).text) == Some(meaning)
    }
}

/// The most that is held of them.
const MAX_HELD: usize = 512;

const MAX_HELD_BYTES: usize = 1024 * 1024;

/// Processes that were found to be other hubs'. More are forgotten, and found again.
const MAX_OTHERS: usize = 64;

/// The lines of processes of which it is not known yet whether they are the hub's: until the API says which it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Held {
    lines: VecDeque<HeldLine>,
    bytes: usize,
    others: VecDeque<u32>,
}

impl Held {
    /// Whether the process is another hub's, as far as is known.
    pub(crate) fn is_other(&self, pid: u32) -> bool {
        self.others.contains(&pid)
    }

    /// A process starts: one of that number that was another hub's is over.
    pub(crate) fn begins(&mut self, pid: u32) {
        self.others.retain(|other| *other != pid);
    }

    /// The process is another hub's.
    pub(crate) fn note_other(&mut self, pid: u32) {
        if !self.is_other(pid) {
            if self.others.len() >= MAX_OTHERS {
                self.others.pop_front();
            }
            self.others.push_back(pid);
        }
    }

    /// Holds a line. Gives the oldest back when there are too many.
    pub(crate) fn hold(&mut self, line: HeldLine) -> Option<HeldLine> {
        // Of thousands of equal lines one is enough.
        if self.lines.back().is_some_and(|last| last.pid == line.pid && last.text == line.text) {
            return None;
        }
        self.bytes += line.text.len();
        self.lines.push_back(line);
        let mut let_go = None;
        while self.lines.len() > MAX_HELD || self.bytes > MAX_HELD_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
            let_go.get_or_insert(oldest);
        }
        let_go
    }

    /// The lines that are held.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &HeldLine> {
        self.lines.iter()
    }

    /// More is known of the hub's clock: the times of lines that wait are corrected.
    pub(crate) fn retime(&mut self, clocks: &Clocks) {
        for line in &mut self.lines {
            if let Some(said) = parse(&line.text).time.or(line.stamped) {
                line.when = clocks.corrected(line.when, said, line.earliest, line.read);
            }
        }
    }

    /// Takes out those of one process.
    pub(crate) fn take_of(&mut self, pid: u32) -> VecDeque<HeldLine> {
        let (taken, kept): (VecDeque<HeldLine>, VecDeque<HeldLine>) = self.take().into_iter().partition(|line| line.pid == pid);
        self.bytes = kept.iter().map(|line| line.text.len()).sum();
        self.lines = kept;
        taken
    }

    /// Whether any are held.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes all out.
    pub(crate) fn take(&mut self) -> VecDeque<HeldLine> {
        self.bytes = 0;
        std::mem::take(&mut self.lines)
    }
}

impl Interpreter {
    /// A line of a process that is not known to be the hub's: it may have been replaced, or it is another hub's.
    pub(in crate::hub) fn of_unknown_process(&mut self, pid: u32, meaning: Option<Meaning<'_>>, raw: &RawLine<'_>, when: When) {
        if meaning == Some(Meaning::HubStarting) {
            self.held.begins(pid);
        }
        if self.held.is_other(pid) {
            self.is_of_other(pid, meaning, raw.read);
            return;
        }
        let RawLine { source, text, uid, size, stamped, earliest, read, .. } = *raw;
        let line = HeldLine { pid, source, text: text.to_owned(), uid, size, stamped, earliest, read, when };
        let Some(let_go) = self.held.hold(line) else { return };
        // The limit is exceeded: this is the log of a long time without a watch. A process that started on the hub's port was the
        // hub.
        let on_its_port = |line: &HeldLine| {
            let text = parse(&line.text).text;
            line.pid == let_go.pid && meaning::of(&text) == Some(Meaning::HubStarting) && port_of(&text) == self.hub.port
        };
        let failed = |line: &HeldLine| line.pid == let_go.pid && line.means(Meaning::HubStartFailed);
        let began = on_its_port(&let_go) || self.held.lines().any(on_its_port);
        if self.hub.port.is_some() && began && !self.held.lines().any(failed) {
            self.accepted.push(let_go.pid);
            self.take_up(&let_go);
            for line in self.held.take_of(let_go.pid) {
                self.take_up(&line);
            }
        }
    }

    /// Processes the held lines of unknown processes: those of the hub are read now, the others are dropped.
    pub(in crate::hub) fn settle_held(&mut self, ctx: &Settling<'_>) {
        if self.held.is_empty() || ctx.answered != Answered::Hub {
            return;
        }
        let present = ctx.process.as_ref().or(self.hub.identity.as_ref()).and_then(|process| process.pid);
        let Some(present) = present else { return };
        let held = self.held.take();
        let failed: Vec<u32> = held.iter().filter(|line| line.means(Meaning::HubStartFailed)).map(|line| line.pid).collect();
        let begun = held.iter().filter(|line| !failed.contains(&line.pid) && self.began_meanwhile(line, ctx));
        let begun: Vec<u32> = begun.map(|line| line.pid).collect();
        for line in held {
            if line.pid == present || begun.contains(&line.pid) {
                if !self.accepted.contains(&line.pid) {
                    self.accepted.push(line.pid);
                }
                self.take_up(&line);
            } else if ctx.knew_of(line.read) {
                self.is_of_other(line.pid, meaning::of(&parse(&line.text).text), line.read);
                self.held.note_other(line.pid);
            } else {
                let _ = self.held.hold(line);
            }
        }
    }

    /// Whether the line is the start of a process that was the hub between the one before and the present one: it began on the hub's
    /// port while the hub was not seen.
    fn began_meanwhile(&self, line: &HeldLine, ctx: &Settling<'_>) -> bool {
        let parsed = parse(&line.text);
        meaning::of(&parsed.text) == Some(Meaning::HubStarting) && self.in_gap(line.when, port_of(&parsed.text), ctx)
    }

    pub(in crate::hub) fn take_up(&mut self, held: &HeldLine) {
        let mut line = parse(&held.text);
        line.time = line.time.or(held.stamped);
        let raw = RawLine {
            source: held.source,
            text: &held.text,
            uid: held.uid,
            size: held.size,
            stamped: held.stamped,
            read: held.read,
            earliest: held.earliest,
            historic: false,
        };
        self.learn(&line, &raw, held.when);
    }

    /// A line of another process: what it claims is not this hub's.
    pub(in crate::hub) fn is_of_other(&mut self, pid: u32, meaning: Option<Meaning<'_>>, at: Timestamp) {
        if let Some(kind) = meaning.and_then(Meaning::claims) {
            self.claims.refuse(kind, ClaimRefusal::OtherProcess);
        }
        self.is_shared(SharedSign::OtherProcess, Some(pid), at);
    }

    pub(in crate::hub) fn is_shared(&mut self, sign: SharedSign, pid: Option<u32>, at: Timestamp) {
        let told = self.shared.get(&sign);
        if told.is_none_or(|told| at.since(*told) >= SHARED_AGAIN) {
            self.shared.insert(sign, at);
            self.say_from_log(When::At(at), LogShared { sign, pid });
        }
    }
}
