//! What is kept for each source of lines apart: how many it brought, in which shape, and the latest time in it.

use serde::{Deserialize, Serialize};

use crate::watch::{Level, LogShape, LogVolume, Micros, Timestamp, When};

use super::storms::Storms;
use crate::hub::interpret::RawLine;
use crate::hub::lines::line::LogLine;

/// One source of lines.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Lane {
    last_time: Option<Timestamp>,
    /// The latest that its last line can have been written.
    #[serde(default)]
    last_line: Option<Timestamp>,
    json_shape: Option<LogShape>,
    bare_lines: bool,
    /// The shape of the last line that shows one, from any interval.
    latest_shape: Option<LogShape>,
    volume: LogVolume,
    max_delay: Option<Micros>,
    /// Whether any line of this source had a level other than debug.
    levels: bool,
    /// Lines that repeat.
    pub storms: Storms,
}

/// What a source brought during an interval.
#[derive(Debug, Clone)]
pub(crate) struct Brought {
    /// How much.
    pub volume: LogVolume,
    /// In which shape.
    pub shape: Option<LogShape>,
    /// In which shape at last, then or before.
    known_shape: Option<LogShape>,
    /// The longest time between a line's own time and its arrival.
    pub max_delay: Option<Micros>,
}

impl Brought {
    /// The log's own volume. The console logger's file is the plain one: the levels of its output stand in for those that its lines
    /// have not, whichever of the two was read first.
    pub(crate) fn beside(self, output: &Self) -> (LogVolume, Option<LogShape>) {
        let Self { mut volume, shape, known_shape, .. } = self;
        let plain = known_shape.is_none_or(|shape| shape == LogShape::LegacyFile);
        if !plain || output.known_shape.is_none_or(|shape| shape == LogShape::LegacyFile || shape == LogShape::Pino) {
            return (volume, shape.or(output.shape));
        }
        let of = &output.volume;
        (volume.debug, volume.info, volume.warn, volume.error) = (of.debug, of.info, of.warn, of.error);
        volume.unlevelled = of.unlevelled;
        let both = shape.and(output.shape).map(|_| LogShape::Mixed);
        (volume, both.or(shape).or(output.shape))
    }
}

impl Lane {
    /// When the line was written: its own time, or some time after the line before it.
    pub(crate) fn when(&mut self, written: Option<When>, raw: &RawLine<'_>) -> When {
        self.last_line = Some(written.map_or(raw.read, When::latest));
        if let Some(written) = written {
            self.last_time = Some(written.earliest());
            return written;
        }
        let earliest = self.last_time.map_or(raw.earliest, |last| last.max(raw.earliest));
        When::between(earliest.min(raw.read), raw.read)
    }

    /// Counts the line.
    pub(crate) fn count(&mut self, line: &LogLine<'_>, size: u64) {
        let volume = &mut self.volume;
        volume.lines = volume.lines.plus(1);
        volume.bytes = volume.bytes.plus(size);
        let of_level = match line.level {
            Some(Level::Debug) => &mut volume.debug,
            Some(Level::Info) => &mut volume.info,
            Some(Level::Warn) => &mut volume.warn,
            Some(Level::Error) => &mut volume.error,
            None => &mut volume.unlevelled,
        };
        *of_level = of_level.plus(1);
        match (line.shape, self.json_shape) {
            (LogShape::LegacyFile, _) => self.bare_lines = true,
            (LogShape::Pino | LogShape::LegacyStdout | LogShape::Mixed, None) => self.json_shape = Some(line.shape),
            (LogShape::Pino | LogShape::LegacyStdout | LogShape::Mixed, Some(before)) => {
                if line.shape != before {
                    self.json_shape = Some(LogShape::Mixed);
                }
            }
        }
    }

    /// Notes how long after its own time a line arrived.
    pub(crate) fn delayed(&mut self, time: Option<Timestamp>, read: Timestamp) {
        let delay = time.map(|time| read.since(time));
        self.max_delay = self.max_delay.max(delay);
    }

    /// The level as far as the event stream can be believed: a fork that logs with pino sends every line as `debug`, errors included
    /// (docs/hub.md), so `debug` means nothing until another level was seen.
    pub(crate) fn believe_level(&mut self, level: Option<Level>) -> Option<Level> {
        self.levels |= level.is_some_and(|level| level != Level::Debug);
        level.filter(|_| self.levels)
    }

    /// Another process or connection: what was believed of the source must show again.
    pub(crate) fn begin_anew(&mut self) {
        self.levels = false;
        self.last_time = None;
    }

    /// One more line stands behind a storm's count.
    pub(crate) fn collapsed(&mut self) {
        self.volume.collapsed = self.volume.collapsed.plus(1);
    }

    /// The shape of the interval's lines. Bare lines beside JSON lines are stack traces, not another shape.
    pub(crate) fn shape(&self) -> Option<LogShape> {
        self.json_shape.or(self.bare_lines.then_some(LogShape::LegacyFile))
    }

    /// Returns whether the source shows checkpoint lines, by its latest shape: the legacy file never does.
    pub(crate) fn shows_checkpoints(&self) -> Option<bool> {
        self.shape().or(self.latest_shape).map(|shape| shape != LogShape::LegacyFile)
    }

    /// Ends the interval: gives what it brought and begins to count anew.
    pub(crate) fn harvest(&mut self, now: Timestamp) -> Brought {
        let shape = self.shape();
        self.latest_shape = shape.or(self.latest_shape);
        let known_shape = self.latest_shape;
        self.json_shape = None;
        self.bare_lines = false;
        let quiet = self.last_line.map(|last| now.since(last));
        let volume = LogVolume { quiet, ..std::mem::take(&mut self.volume) };
        Brought { volume, shape, known_shape, max_delay: self.max_delay.take() }
    }
}
