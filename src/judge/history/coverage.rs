//! How well the period was watched, and by whom.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Basis, SourceTime, Stretch, share_of};
use crate::judge::exact::Exact;
use crate::judge::moment::Moment;
use crate::judge::period::{Period, Place};
use crate::watch::{ApiOutcome, FactKind, Micros, Sight, Timestamp, Visibility, Watch, WatcherFact, WatcherId};

/// Two Watches that are further apart than this leave a gap worth telling. Watches of a run touch; a second is a restart at its best.
pub const GAP: Micros = Micros::new(1_000_000);

/// Why there is a gap between two Watches of a run of which none is missing.
const JUMPED: &str = "the clock jumped";

/// Why there is one where some are missing after a jump of the clock.
const DATED_ELSEWHERE: &str = "the clock was wrong: what was watched then is stored under the dates that it showed";

/// How well the period was watched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Watches that were found.
    pub watches: u64,
    /// Watches that should be there, by their numbers, and are not.
    pub missing_watches: u64,
    /// Watches of another watcher of the same hub, for times that were covered already: each stretch is judged once.
    pub overlapping_watches: u64,
    /// Polls that were tried.
    pub polls: u64,
    /// Polls that the hub answered as a hub does.
    pub polls_answered: u64,
    /// How much of the period lies in Watches.
    pub covered_us: u64,
    /// How much of that lies in planned disturbances.
    pub planned_us: u64,
    /// From the first Watch's start to the last one's end, with the gaps between; a watch that began before the period or goes on after it
    /// reaches to the cut.
    #[serde(default)]
    pub span_us: u64,
    /// How long the period is.
    pub period_us: u64,
    /// The share of the covered time in the period, in thousandths.
    pub share_permille: u64,
    /// For how long each source was read.
    #[serde(default)]
    pub sources: SourceTime,
    /// The start of the first Watch.
    pub first: Option<Moment>,
    /// The end of the last one; where a clock was set back, these are the earliest start and the latest end.
    pub last: Option<Moment>,
    /// Times when nobody watched, between the first and the last Watch.
    pub gaps: Vec<Stretch>,
    /// Watches by how well the log was read.
    pub log: BTreeMap<Visibility, u64>,
    /// Watches with a poll by how well the process was seen.
    pub process: BTreeMap<Visibility, u64>,
    /// Watches by how well the event stream was read.
    pub event_stream: BTreeMap<Visibility, u64>,
    /// Watches whose sources show meta-tool calls, and the time that they cover.
    pub calls_visible: u64,
    /// How many Watches each watcher made.
    pub watchers: BTreeMap<String, u64>,
    /// Builds under test, in the order in which they came.
    pub builds: Vec<String>,
    /// What the sources could show.
    #[serde(skip)]
    pub sight: Sight,
    /// Watches that are missing up to now, those of before the period among them.
    #[serde(skip)]
    pub(super) lacking: u64,
    #[serde(skip)]
    place: BTreeMap<WatcherId, (u32, u64)>,
    #[serde(skip)]
    current: Option<(WatcherId, u32)>,
    /// The end of the last Watch that was admitted, whether it lies in the period or not.
    #[serde(skip)]
    end: Option<Timestamp>,
    /// From when to when the watch reaches in the period.
    #[serde(skip)]
    span: Option<(Timestamp, Timestamp)>,
    /// Whether the last Watch ended because its sidecar stood still.
    #[serde(skip)]
    stood_still: bool,
    /// Whether it ended because the clock jumped.
    #[serde(skip)]
    jumped: bool,
    /// The time that lies in Watches.
    #[serde(skip)]
    covered: Covered,
    /// The processes that each watcher polled.
    #[serde(skip)]
    processes: BTreeMap<WatcherId, BTreeSet<Process>>,
    /// The process that each watcher's last answer named.
    #[serde(skip)]
    named: BTreeMap<WatcherId, Process>,
    /// How often an answer named a process again after it had named another: no process comes back to life.
    #[serde(skip)]
    returns: u64,
    /// Those that a watcher polled while another one watched, and how often.
    #[serde(skip)]
    beside: BTreeMap<WatcherId, (BTreeSet<Process>, u64)>,
}

/// A process by its id and start, as the hub says them, else as the process table does.
type Process = (u32, Timestamp);

/// A hub that restarts for hours is known well enough by so many of its processes.
const MAX_PROCESSES: usize = 1_000;

fn named_process(watch: &Watch) -> Option<Process> {
    let api = &watch.poll.as_ref()?.api;
    api.pid.zip(api.started)
}

fn process_of(watch: &Watch) -> Option<Process> {
    let poll = watch.poll.as_ref()?;
    named_process(watch).or_else(|| poll.process.as_ref().map(|process| (process.pid, process.started)))
}

/// How many Watches of its run are missing before the first one that is known of a watcher, as far as they fit into the period.
fn lost_before(watch: &Watch, from: Timestamp) -> u64 {
    let unwatched = watch.interval.start().since(from);
    let fit = unwatched.get().div_ceil(watch.origin.interval.get().max(1));
    if unwatched > GAP { watch.origin.sequence.get().min(fit) } else { 0 }
}

/// What becomes of a Watch that is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge) enum Admission {
    /// It is judged; the gap before it, if there is one.
    Taken(Option<Gap>),
    /// It came before.
    Again,
    /// Another watcher covered its time.
    Overlapping,
}

/// A time without a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge) struct Gap {
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
    /// Why.
    pub reason: &'static str,
}

/// Stretches of time in order, none touching another. A clock that was set back shows some of it again: it is covered once. A gap
/// that a clock left when it jumped ahead is none once it went back and the time was watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Covered(Vec<(Timestamp, Timestamp)>);

impl Covered {
    fn add(&mut self, start: Timestamp, end: Timestamp) {
        if end <= start {
            return;
        }
        // Nearly always the last stretch grows, or a new one begins after it.
        let first = self.0.partition_point(|(_, known)| *known < start);
        let beyond = self.0.partition_point(|(known, _)| *known <= end);
        let joined = self.0.get(first..beyond).unwrap_or_default();
        let from = joined.first().map_or(start, |(known, _)| start.min(*known));
        let to = joined.last().map_or(end, |(_, known)| end.max(*known));
        self.0.splice(first..beyond.max(first), [(from, to)]);
    }

    fn within(&self, from: Timestamp, to: Timestamp) -> u64 {
        self.0.iter().map(|(start, end)| (*end).min(to).since((*start).max(from)).get()).fold(0, u64::saturating_add)
    }

    /// What is left of a gap.
    fn missing(&self, gap: &Stretch) -> Vec<Stretch> {
        let left = self.unwatched(gap.from.0, gap.to.map_or(gap.from.0, |to| to.0)).into_iter();
        let stretch = |(from, to): (Timestamp, Timestamp)| Stretch {
            from: Moment(from),
            to: Some(Moment(to)),
            duration_us: to.since(from).get(),
            ..gap.clone()
        };
        left.map(stretch).collect()
    }

    /// Returns the times without a watch between two instants.
    fn unwatched(&self, mut from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let mut left = Vec::new();
        let mut keep = |from: Timestamp, to: Timestamp| {
            if to.since(from) > GAP {
                left.push((from, to));
            }
        };
        let inside = self.0.iter().skip(self.0.partition_point(|(_, end)| *end <= from)).take_while(|(start, _)| *start < to);
        for (start, end) in inside {
            keep(from, *start);
            from = *end;
        }
        keep(from, to);
        left
    }
}

impl Coverage {
    /// Whether the Watch, or a later one of its watcher, was taken before.
    pub(in crate::judge) fn has_taken(&self, watch: &Watch) -> bool {
        let (watcher, run, sequence) = watch.origin.order();
        self.place.get(&watcher).is_some_and(|before| *before >= (run, sequence.get()))
    }

    /// Decides about a Watch. Those of one watcher come in the order in which they were made.
    pub(in crate::judge) fn admit(&mut self, watch: &Watch, period: Period) -> Admission {
        let (watcher, run, sequence) = watch.origin.order();
        let sequence = sequence.get();
        let before = self.place.get(&watcher).copied();
        if before.is_some_and(|before| before >= (run, sequence)) {
            return Admission::Again;
        }
        self.place.insert(watcher, (run, sequence));
        let (start, end) = (watch.interval.start(), watch.interval.end());
        let same = self.current.is_some_and(|(current, _)| current == watcher);
        if let Some(last) = self.end.filter(|_| !same)
            && start < last
        {
            self.overlapping_watches += 1;
            if let Some(process) = process_of(watch) {
                let (processes, polls) = self.beside.entry(watcher).or_default();
                processes.insert(process);
                *polls += 1;
            }
            return Admission::Overlapping;
        }
        let missing = match before {
            Some((last_run, last)) if last_run == run => sequence.saturating_sub(last).saturating_sub(1),
            // All of a later run came after the one before: what it lacks at its beginning is missing, too.
            Some(_) => sequence,
            None => lost_before(watch, period.from),
        };
        let gap = self.end.filter(|last| start.since(*last) > GAP).map(|last| Gap {
            from: last,
            to: start,
            reason: match (missing, self.current == Some((watcher, run))) {
                (1.., true) if self.jumped => DATED_ELSEWHERE,
                (1.., _) => "Watches are missing in the backend",
                (0, true) if self.stood_still => "the sidecar's process stood still (suspended, or without processor time)",
                (0, true) => JUMPED,
                (0, false) if same => "the sidecar was not running",
                (0, false) => "one watcher ended, another began later",
            },
        });
        let inside = period.of_watch(watch) == Place::Inside;
        let missing = if same || before.is_none() { missing } else { 0 };
        self.lacking = self.lacking.saturating_add(missing);
        self.missing_watches = self.missing_watches.saturating_add(if inside { missing } else { 0 });
        self.current = Some((watcher, run));
        let before = self.end.replace(end);
        self.watches += u64::from(inside);
        self.jumped = watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Watcher(WatcherFact::ClockJumped(_))));
        self.stood_still = watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Watcher(WatcherFact::WatcherStoodStill(_))));
        if let Some((from, to)) = period.share(watch) {
            // A break that is no gap counts as watched: the states on both sides are taken to last.
            let joined = before.filter(|_| gap.is_none()).map_or(from, |before| before.clamp(period.from, from));
            self.covered.add(joined, to);
            self.first = Some(self.first.map_or(Moment(from), |first| first.min(Moment(from))));
            self.last = self.last.max(Some(Moment(to)));
        } else if let Some(before) = before.filter(|_| gap.is_none() && start >= period.to) {
            self.covered.add(before.clamp(period.from, period.to), period.to);
        }
        self.reach(watch, period);
        if let Some(gap) = gap {
            let (from, to) = (gap.from.max(period.from), gap.to.min(period.to));
            if from < to {
                let (reason, duration_us) = (gap.reason.to_owned(), to.since(from).get());
                self.gaps.push(Stretch { from: Moment(from), to: Some(Moment(to)), reason, duration_us, planned: None });
            }
        }
        Admission::Taken(gap)
    }

    /// Returns the first and the last instant without a watch between two instants, as far as is known by now.
    pub(in crate::judge) fn unwatched(&self, from: Timestamp, to: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let left = self.covered.unwatched(from, to);
        Some((left.first()?.0, left.last()?.1))
    }

    /// The span grows by an admitted Watch. A Watch that is not the first of its run shows that earlier ones exist.
    fn reach(&mut self, watch: &Watch, period: Period) {
        let (start, end) = (watch.interval.start(), watch.interval.end());
        let is_the_first = watch.origin.run <= 1 && watch.origin.sequence.get() == 0;
        let from = if is_the_first { start.clamp(period.from, period.to) } else { period.from };
        let to = end.clamp(period.from, period.to);
        self.span = Some(self.span.map_or((from, to), |(begin, known)| (begin, known.max(to))));
    }

    /// From when the watch reaches in the period.
    pub(super) fn begin(&self) -> Option<Timestamp> {
        self.span.map(|(begin, _)| begin)
    }

    /// Until when the watch reaches in the period.
    pub(super) fn reached(&self) -> Option<Timestamp> {
        self.span.map(|(_, end)| end)
    }

    /// Counts what an admitted Watch could see.
    pub(super) fn take(&mut self, watch: &Watch) {
        self.sight.add(watch);
        let sources = &watch.sources;
        *self.log.entry(sources.log).or_default() += 1;
        *self.event_stream.entry(sources.event_stream).or_default() += 1;
        if let Some(poll) = &watch.poll {
            *self.process.entry(sources.process).or_default() += 1;
            self.polls += 1;
            self.polls_answered += u64::from(poll.api.health == ApiOutcome::Ok);
        }
        let is_instrumented = matches!(sources.instrumentation, Some(Visibility::Read | Visibility::Partial));
        self.calls_visible += u64::from(sources.checkpoints == Some(true) || is_instrumented);
        *self.watchers.entry(watch.origin.watcher.to_string()).or_default() += 1;
        if let Some(process) = named_process(watch) {
            let known = self.processes.get(&watch.origin.watcher);
            let before = self.named.insert(watch.origin.watcher, process);
            let is_another = before.is_some_and(|before| before != process);
            self.returns += u64::from(is_another && known.is_some_and(|known| known.contains(&process)));
        }
        if let Some(process) = process_of(watch) {
            let known = self.processes.entry(watch.origin.watcher).or_default();
            if known.len() < MAX_PROCESSES {
                known.insert(process);
            }
        }
        if let Some(build) = &watch.origin.build
            && self.builds.last().map(String::as_str) != Some(build.as_str())
        {
            self.builds.push(build.to_string());
        }
    }

    /// In which share of the period a source was read, in thousandths.
    pub fn of(&self, basis: Basis) -> Exact {
        self.sources.coverage(basis, self.covered_us, self.period_us)
    }

    /// Whether several hubs answered in turn at one address.
    pub const fn has_hubs_in_turn(&self) -> bool {
        self.returns > 0
    }

    /// Whether two watchers watched two hubs at the same time under one name: none of the processes that one of them polled meanwhile
    /// is one that the others polled. A single poll can fall into a restart.
    pub fn has_two_hubs(&self) -> bool {
        self.beside.iter().any(|(watcher, (processes, polls))| {
            let mut others = self.processes.iter().filter(|(other, _)| *other != watcher).peekable();
            *polls > 1 && others.peek().is_some() && others.all(|(_, known)| known.is_disjoint(processes))
        })
    }

    pub(super) fn finish(&mut self, from: Timestamp, to: Timestamp) {
        self.covered_us = self.covered.within(from, to);
        self.gaps = self.gaps.iter().flat_map(|gap| self.covered.missing(gap)).collect();
        self.span_us = self.span.map_or(0, |(begin, end)| end.min(to).since(begin).get());
        self.period_us = to.since(from).get();
        self.share_permille = share_of(self.covered_us, self.period_us).min(1_000);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn time_is_covered_once_in_whatever_order_it_comes(stretches in proptest::collection::vec((0..60u64, 0..10u64), 0..20)) {
            let mut covered = Covered::default();
            let mut seconds = BTreeSet::new();
            for (start, length) in &stretches {
                covered.add(Timestamp::from_secs(*start), Timestamp::from_secs(start + length));
                seconds.extend(*start..start + length);
            }
            prop_assert!(covered.0.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", covered);
            let within = |from, to| covered.within(Timestamp::from_secs(from), Timestamp::from_secs(to));
            prop_assert_eq!(within(0, 100), seconds.len() as u64 * 1_000_000);
            prop_assert_eq!(within(20, 40), seconds.range(20..40).count() as u64 * 1_000_000);
            prop_assert_eq!(within(40, 20), 0);
            let gap = Stretch { from: Moment(Timestamp::from_secs(0)), to: Some(Moment(Timestamp::from_secs(100))), reason: String::new(), duration_us: 0, planned: None };
            let missing = covered.missing(&gap);
            // Gaps of little more than a second are not reported.
            prop_assert!(missing.iter().all(|stretch| covered.within(stretch.from.0, stretch.to.unwrap().0) == 0));
            let told: u64 = missing.iter().map(|stretch| stretch.duration_us).sum();
            let untold = 100_000_000 - within(0, 100) - told;
            prop_assert!(untold <= covered.0.len() as u64 * 1_000_000 + 1_000_000, "{} {:?}", untold, missing);
        }
    }
}
