//! The hub's log: its volume, its warnings and errors, its storms, and what of it was lost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::judge::moment::Moment;
use crate::watch::{ApiOutcome, FactKind, Lines, LogFilePoll, Micros, Storm, Visibility, Watch};

/// So many different warnings and errors are told apart; the rest is counted together.
const MAX_NOTABLE: usize = 1_000;

/// What stands for the rest.
const OTHERS: &str = "(other lines)";

/// The log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogHistory {
    /// Lines that were read.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// By level; `none` is for lines whose shape has none.
    pub by_level: BTreeMap<String, u64>,
    /// Lines that stand behind a storm's count.
    pub collapsed: u64,
    /// The shapes that were seen.
    pub shapes: Vec<String>,
    /// The most frequent warnings and errors.
    pub notable: Vec<NotableLine>,
    /// Storms by their line.
    pub storms: BTreeMap<String, StormHistory>,
    /// Its last size.
    pub last_size_bytes: Option<u64>,
    /// The least free space of its file system.
    pub least_disk_free_bytes: Option<u64>,
    /// Bytes that nobody could read, as far as is known.
    pub lost_bytes: u64,
    /// The longest time in which the hub answered and its log said nothing.
    pub longest_quiet_us: Option<u64>,
    /// Times that it was emptied.
    pub emptied: u64,
    /// Times that another file came to stand under its name.
    pub replaced: u64,
    /// The longest time from a line's own time to its arrival by the event stream.
    pub longest_stream_delay_us: Option<u64>,
    /// Times that it could not be read.
    pub unreadable: u64,
    /// Times that the hub could not write it.
    pub write_failures: u64,
    /// Lines that had to be cut.
    pub cut: u64,
    /// Lines with bytes that are not UTF-8.
    pub bad_utf8: u64,
    /// How long it was read.
    pub read_us: u64,
    #[serde(skip)]
    counts: BTreeMap<(String, String), u64>,
}

/// Warnings or errors of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotableLine {
    /// `warn` or `error`.
    pub level: String,
    /// The text, its numbers and ids masked.
    pub text: String,
    /// How many.
    pub count: u64,
}

/// The same line again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StormHistory {
    /// Collapsed lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first.
    pub first: Moment,
    /// The last.
    pub last: Moment,
}

impl LogHistory {
    pub(super) fn volume(&mut self, watch: &Watch) {
        let volume = &watch.log;
        self.lines = self.lines.saturating_add(volume.lines.get());
        self.bytes = self.bytes.saturating_add(volume.bytes.get());
        self.collapsed = self.collapsed.saturating_add(volume.collapsed.get());
        let levels = [
            ("debug", volume.debug),
            ("info", volume.info),
            ("warn", volume.warn),
            ("error", volume.error),
            ("none", volume.unlevelled),
        ];
        for (level, count) in levels.into_iter().filter(|(_, count)| count.get() > 0) {
            add(self.by_level.entry(level.to_owned()).or_default(), count.get());
        }
        let answered = watch.poll.as_ref().is_some_and(|poll| poll.api.health == ApiOutcome::Ok);
        if let Some(quiet) = volume.quiet.filter(|_| answered && watch.sources.log == Visibility::Read) {
            self.longest_quiet_us = self.longest_quiet_us.max(Some(quiet.get()));
        }
        let delay = watch.stream.as_ref().and_then(|stream| stream.max_delay);
        self.longest_stream_delay_us = self.longest_stream_delay_us.max(delay.map(Micros::get));
        let sidecar = &watch.sidecar;
        add(&mut self.lost_bytes, sidecar.bytes_lost.get());
        add(&mut self.cut, sidecar.lines_cut.get());
        add(&mut self.bad_utf8, sidecar.bad_utf8.get());
        if matches!(watch.sources.log, Visibility::Read | Visibility::Partial) {
            add(&mut self.read_us, watch.interval.length().get());
        }
        if let Some(shape) = watch.sources.log_shape
            && !self.shapes.iter().any(|known| known == shape.as_str())
        {
            self.shapes.push(shape.as_str().to_owned());
        }
    }

    pub(super) fn fact(&mut self, kind: &FactKind) {
        match kind {
            FactKind::Storm(storm) => self.storm(storm),
            FactKind::Lines(lines) => self.notable(lines),
            FactKind::LogTruncated(_) => self.emptied += 1,
            FactKind::LogReplaced(_) => self.replaced += 1,
            FactKind::LogUnreadable(_) => self.unreadable += 1,
            FactKind::LogWriteFailed(_) => self.write_failures += 1,
            _ => {}
        }
    }

    fn notable(&mut self, lines: &Lines) {
        let mut key = (lines.level.to_string(), lines.template.to_string());
        if self.counts.len() >= MAX_NOTABLE && !self.counts.contains_key(&key) {
            key.1 = OTHERS.to_owned();
        }
        add(self.counts.entry(key).or_default(), lines.count.get());
    }

    fn storm(&mut self, storm: &Storm) {
        let (first, last) = (Moment(storm.first), Moment(storm.last));
        let mut line = storm.line.as_str();
        if self.storms.len() >= MAX_NOTABLE && !self.storms.contains_key(line) {
            line = OTHERS;
        }
        let known = self.storms.entry(line.to_owned()).or_insert(StormHistory { lines: 0, bytes: 0, first, last });
        add(&mut known.lines, storm.count.get());
        add(&mut known.bytes, storm.bytes.get());
        known.first = known.first.min(first);
        known.last = known.last.max(last);
    }

    pub(super) fn file(&mut self, file: &LogFilePoll) {
        self.last_size_bytes = Some(file.size.get());
        let free = file.disk_free.map(|free| free.get());
        self.least_disk_free_bytes = [self.least_disk_free_bytes, free].into_iter().flatten().min();
    }

    pub(super) fn finish(&mut self) {
        let lines = std::mem::take(&mut self.counts).into_iter();
        self.notable = lines.map(|((level, text), count)| NotableLine { level, text, count }).collect();
        self.notable.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.text.cmp(&other.text)));
    }

    /// What the log grows by in a day, from what was read of it.
    pub fn growth_per_day(&self) -> Option<u64> {
        const DAY_US: u128 = 24 * 3600 * 1_000_000;
        let grown = u128::from(self.bytes) * DAY_US;
        grown.checked_div(u128::from(self.read_us)).and_then(|bytes| u64::try_from(bytes).ok())
    }
}

fn add(to: &mut u64, more: u64) {
    *to = to.saturating_add(more);
}
