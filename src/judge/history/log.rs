//! The hub's log: its volume and growth, its warnings and errors, its storms, and what of it was lost.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Planned;
use crate::judge::exact::Exact;
use crate::judge::moment::Moment;
use crate::judge::planned::Plans;
use crate::watch::{
    ApiOutcome, ClaimKind, ClaimRefusal, ClaimsDropped, FactKind, Level, Lines, LogFact, LogFilePoll, LogShape, Micros, Storm,
    Timestamp, Visibility, Watch, WatcherFact, WatcherStarted,
};

/// Maximum number of different warnings and errors; the rest is counted together.
const MAX_NOTABLE: usize = 1_000;

/// What stands for the rest.
const OTHERS: &str = "(other lines)";

/// Maximum number of processes of other hubs that are listed.
const MAX_OTHERS: usize = 64;

/// Lines that claimed something and were not believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DroppedClaims {
    /// What they claimed.
    pub claim: ClaimKind,
    /// Why they were not believed.
    pub refusal: ClaimRefusal,
    /// How many lines.
    pub lines: u64,
}

/// The log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogHistory {
    /// Lines that were read, those that were there before the watch included: the sum of `mcphub.log.lines`.
    pub lines: u64,
    /// Their bytes: the sum of `mcphub.log.bytes`.
    pub bytes: u64,
    /// The same lines by level, raw; `none` is for lines whose shape has none.
    pub by_level: BTreeMap<String, u64>,
    /// Lines of level error outside planned disturbances: the sum of the counts of facts `mcphub.log.lines`. Lines from before the
    /// watch make no such fact. Absent where no source shows levels.
    #[serde(default)]
    pub errors: Option<u64>,
    /// Lines of level warn, counted in the same way.
    #[serde(default)]
    pub warnings: Option<u64>,
    /// Bytes that the log grew by in `grown_us`. See "How much the log grows".
    #[serde(default)]
    pub grown_bytes: u64,
    /// The time in which it grew by that much.
    #[serde(default)]
    pub grown_us: u64,
    /// Lines that stand behind a storm's count.
    pub collapsed: u64,
    /// The shapes that were seen.
    pub shapes: Vec<String>,
    /// The most frequent warnings and errors, planned disturbances included.
    pub notable: Vec<NotableLine>,
    /// Storms by their line.
    pub storms: BTreeMap<String, StormHistory>,
    /// The file's size at the last poll that saw it.
    pub last_size_bytes: Option<u64>,
    /// The least free space of its file system at a poll.
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
    /// Since when another hub is known to write into it as well.
    pub shared_since: Option<Moment>,
    /// The other hubs' processes, where their lines name them.
    #[serde(default)]
    pub other_processes: BTreeSet<u32>,
    /// Lines that claimed a start, a stop or a change of a server, and were not believed.
    #[serde(default)]
    pub claims_dropped: Vec<DroppedClaims>,
    /// Lines that had to be cut.
    pub cut: u64,
    /// Lines with bytes that are not UTF-8.
    pub bad_utf8: u64,
    /// For how long it was read, planned disturbances left out: see the coverage of source `log`.
    pub read_us: u64,
    #[serde(skip)]
    counts: BTreeMap<(String, String), u64>,
    #[serde(skip)]
    reading: Reading,
    #[serde(skip)]
    pub(in crate::judge) judged: JudgedLog,
}

/// What criteria are held against: planned disturbances are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::judge) struct JudgedLog {
    /// Losses, as measure `log.losses` counts them.
    pub losses: u64,
    /// Watches at whose end the log was read, those that are wholly planned left out.
    pub watches: u64,
    /// Polls in the time in which the growth is known.
    pub polls: u64,
    /// For how long levels could be seen.
    pub levels_us: u64,
    errors: u64,
    warnings: u64,
}

/// How far the log was read. What is read between two moments at which its end was reached was written between them, however long
/// that is: a gap's bytes belong to the gap's time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reading {
    /// When its end was last reached; nothing is known of the age of what is read before the first time.
    reached: Option<Timestamp>,
    /// Bytes that were read since.
    bytes: u64,
    /// Polls since.
    polls: u64,
    /// Watched time that counts as read once the end is reached again.
    pending_us: u64,
    /// Whether the file could not be opened since.
    refused: bool,
    /// The shape of the last lines that show one.
    shape: Option<LogShape>,
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

/// A Watch as the log's history takes it.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    /// The Watch.
    pub watch: &'a Watch,
    /// How much of it lies in the period and in no planned disturbance.
    pub length: Micros,
    /// Whether something is missing before it, or the clock jumped: what it read may be of any age.
    pub broken: bool,
    /// Planned disturbances.
    pub plans: &'a Plans,
}

impl LogHistory {
    /// Takes a Watch in; gives back whether warnings and errors could be seen in it.
    pub(super) fn watch(&mut self, watched: Watched<'_>) -> bool {
        let watch = watched.watch;
        self.volume(watch);
        let shows_levels = self.levels(watch, watched.length);
        self.losses(watch, watched.plans);
        self.growth(watched);
        if let Some(shape) = watch.sources.log_shape
            && !self.shapes.iter().any(|known| known == shape.as_str())
        {
            self.shapes.push(shape.as_str().to_owned());
        }
        shows_levels
    }

    fn volume(&mut self, watch: &Watch) {
        let volume = &watch.log;
        add(&mut self.lines, volume.lines.get());
        add(&mut self.bytes, volume.bytes.get());
        add(&mut self.collapsed, volume.collapsed.get());
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
    }

    /// Levels are in the lines of every shape but the plain file's, and in what the event stream brings.
    fn levels(&mut self, watch: &Watch, length: Micros) -> bool {
        self.reading.shape = watch.sources.log_shape.or(self.reading.shape);
        let in_log = watch.sources.log == Visibility::Read && self.reading.shape != Some(LogShape::LegacyFile);
        let shown = in_log || watch.sources.event_stream == Visibility::Read;
        if shown {
            add(&mut self.judged.levels_us, length.get());
        }
        shown
    }

    fn losses(&mut self, watch: &Watch, plans: &Plans) {
        // A file that is deleted before it was read leads to two facts, unreadable and lost bytes: count one.
        let unreadable = watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Log(LogFact::LogUnreadable(_))));
        let lost = watch.sidecar.bytes_lost.get() > 0 && !unreadable && !is_planned(watch.interval.start(), watch, plans);
        add(&mut self.judged.losses, u64::from(lost));
    }

    /// Takes in a Watch of before the period: how far the log was read when it began.
    pub(super) fn before(&mut self, watch: &Watch, broken: bool) {
        self.reads(watch, broken);
        let reached = match watch.sources.log {
            Visibility::Read => true,
            Visibility::Missing => !self.reading.refused,
            Visibility::Partial | Visibility::Off => false,
        };
        if reached {
            self.reading = Reading { reached: Some(watch.interval.end()), shape: self.reading.shape, ..Reading::default() };
        }
    }

    /// Takes up what a Watch read.
    fn reads(&mut self, watch: &Watch, broken: bool) {
        let begins_anew =
            |fact: &FactKind| matches!(fact, FactKind::Watcher(WatcherFact::WatcherStarted(WatcherStarted { resumed: false })));
        if broken || watch.facts.iter().any(|fact| begins_anew(&fact.kind)) {
            self.reading = Reading { shape: self.reading.shape, ..Reading::default() };
        }
        let reading = &mut self.reading;
        reading.refused |= watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Log(LogFact::LogUnreadable(_))));
        add(&mut reading.bytes, watch.log.bytes.get());
        reading.polls += u64::from(watch.poll.is_some());
    }

    fn growth(&mut self, Watched { watch, length, broken, plans }: Watched<'_>) {
        self.reads(watch, broken);
        let reading = &mut self.reading;
        match watch.sources.log {
            Visibility::Read => {
                add(&mut self.read_us, reading.pending_us.saturating_add(length.get()));
                self.judged.watches += u64::from(length.get() > 0 || plans.at(watch.interval.end()).is_none());
                self.reached(watch, plans);
            }
            Visibility::Partial => self.read_in_part(watch, length),
            // A file that is not there holds nothing that could be read later. One that can't be opened does.
            Visibility::Missing if !reading.refused => self.reached(watch, plans),
            Visibility::Missing | Visibility::Off => reading.pending_us = 0,
        }
    }

    /// All that was written until the Watch's end is read.
    fn reached(&mut self, watch: &Watch, plans: &Plans) {
        let end = watch.interval.end();
        let Reading { reached, bytes, polls, shape, .. } = std::mem::take(&mut self.reading);
        if let Some(since) = reached.filter(|since| !is_planned(*since, watch, plans)) {
            add(&mut self.grown_bytes, bytes);
            add(&mut self.grown_us, end.since(since).get());
            self.judged.polls += polls;
        }
        self.reading = Reading { reached: Some(end), shape, ..Reading::default() };
    }

    /// Some of the log is still unread; up to where its end was last reached all is.
    fn read_in_part(&mut self, watch: &Watch, length: Micros) {
        let (start, end) = (watch.interval.start(), watch.interval.end());
        let reading = &mut self.reading;
        let read_to = watch.sources.log_read_to.filter(|to| *to > start && *to <= end);
        match read_to {
            Some(to) => {
                let unread = end.since(to).get().min(length.get());
                add(&mut self.read_us, reading.pending_us.saturating_add(length.get() - unread));
                reading.pending_us = unread;
            }
            None => add(&mut reading.pending_us, length.get()),
        }
    }

    pub(super) fn fact(&mut self, fact: &LogFact, at: Moment, planned: Planned<'_>) {
        match fact {
            LogFact::Storm(storm) => self.storm(storm),
            LogFact::Lines(lines) => {
                self.notable(lines);
                let counted = match lines.level {
                    Level::Error => &mut self.judged.errors,
                    Level::Warn => &mut self.judged.warnings,
                    Level::Debug | Level::Info => return,
                };
                if planned.is_none() {
                    add(counted, lines.count.get());
                }
            }
            LogFact::LogTruncated(_) => self.emptied += 1,
            LogFact::LogReplaced(_) => self.replaced += 1,
            LogFact::LogUnreadable(_) => {
                self.unreadable += 1;
                self.judged.losses += u64::from(planned.is_none());
            }
            LogFact::LogWriteFailed(_) => {
                self.write_failures += 1;
                self.judged.losses += u64::from(planned.is_none());
            }
            LogFact::LogShared(shared) => {
                self.shared_since.get_or_insert(at);
                if self.other_processes.len() < MAX_OTHERS {
                    self.other_processes.extend(shared.pid);
                }
            }
            LogFact::ClaimsDropped(dropped) => self.dropped(dropped),
        }
    }

    fn dropped(&mut self, dropped: &ClaimsDropped) {
        let ClaimsDropped { claim, count, refusal } = *dropped;
        match self.claims_dropped.iter_mut().find(|known| (known.claim, known.refusal) == (claim, refusal)) {
            Some(known) => add(&mut known.lines, count.get()),
            None => self.claims_dropped.push(DroppedClaims { claim, refusal, lines: count.get() }),
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
        let visible = |count: u64| (count > 0 || self.judged.levels_us > 0).then_some(count);
        (self.errors, self.warnings) = (visible(self.judged.errors), visible(self.judged.warnings));
    }

    /// What the log grows by in a day, from the time in which its growth is known.
    pub fn growth_per_day(&self) -> Option<Exact> {
        const DAY_US: u128 = 24 * 3600 * 1_000_000;
        Exact::of(u128::from(self.grown_bytes) * DAY_US, u128::from(self.grown_us))
    }
}

/// Whether a part of the time up to the Watch's end is planned.
fn is_planned(since: Timestamp, watch: &Watch, plans: &Plans) -> bool {
    let end = watch.interval.end();
    plans.part(since, end).get() > 0 || plans.at(end).is_some()
}

fn add(to: &mut u64, more: u64) {
    *to = to.saturating_add(more);
}
