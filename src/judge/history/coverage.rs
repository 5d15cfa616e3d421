//! How well the period was watched, and by whom.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Stretch, share_of};
use crate::judge::moment::Moment;
use crate::watch::{ApiOutcome, Micros, Sight, Timestamp, Visibility, Watch, WatcherId};

/// Two Watches that are further apart than this leave a gap worth telling. Watches of a run touch; a second is a restart at its best.
pub const GAP: Micros = Micros::new(1_000_000);

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
    /// How long the period is.
    pub period_us: u64,
    /// The share of the covered time in the period, in thousandths.
    pub share_permille: u64,
    /// The start of the first Watch.
    pub first: Option<Moment>,
    /// The end of the last one.
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
    #[serde(skip)]
    place: BTreeMap<WatcherId, (u32, u64)>,
    #[serde(skip)]
    current: Option<(WatcherId, u32)>,
    /// The processes that each watcher polled.
    #[serde(skip)]
    processes: BTreeMap<WatcherId, BTreeSet<Process>>,
    /// Those that a watcher polled while another one watched, and how often.
    #[serde(skip)]
    beside: BTreeMap<WatcherId, (BTreeSet<Process>, u64)>,
}

/// A process by its id and start, as the hub says them, else as the process table does.
type Process = (u32, Timestamp);

/// A hub that restarts for hours is known well enough by so many of its processes.
const MAX_PROCESSES: usize = 1_000;

fn process_of(watch: &Watch) -> Option<Process> {
    let poll = watch.poll.as_ref()?;
    let said = poll.api.pid.zip(poll.api.started);
    said.or_else(|| poll.process.as_ref().map(|process| (process.pid, process.started)))
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

/// A time when nobody watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge) struct Gap {
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
    /// Why.
    pub reason: &'static str,
}

impl Coverage {
    /// Decides about a Watch. Those of one watcher come in the order in which they were made.
    pub(in crate::judge) fn admit(&mut self, watch: &Watch, from: Timestamp) -> Admission {
        let (watcher, run, sequence) = watch.origin.order();
        let sequence = sequence.get();
        let before = self.place.get(&watcher).copied();
        if before.is_some_and(|before| before >= (run, sequence)) {
            return Admission::Again;
        }
        self.place.insert(watcher, (run, sequence));
        let (start, end) = (watch.interval.start(), watch.interval.end());
        let same = self.current.is_some_and(|(current, _)| current == watcher);
        if let Some(last) = self.last.filter(|_| !same)
            && start < last.0
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
            _ => 0,
        };
        let gap = self.last.filter(|last| start.since(last.0) > GAP).map(|last| Gap {
            from: last.0,
            to: start,
            reason: match (missing, self.current == Some((watcher, run))) {
                (1.., _) => "Watches are missing in the backend",
                (0, true) => "the clock jumped",
                (0, false) if same => "the sidecar was not running",
                (0, false) => "one watcher ended, another began later",
            },
        });
        self.missing_watches = self.missing_watches.saturating_add(if same { missing } else { 0 });
        self.current = Some((watcher, run));
        self.watches += 1;
        self.covered_us = self.covered_us.saturating_add(end.since(start.max(from)).get());
        self.first.get_or_insert(Moment(start));
        self.last = Some(Moment(end));
        if let Some(gap) = gap {
            let (from, to) = (Moment(gap.from), Some(Moment(gap.to)));
            let duration_us = gap.to.since(gap.from).get();
            self.gaps.push(Stretch { from, to, reason: gap.reason.to_owned(), duration_us, planned: None });
        }
        Admission::Taken(gap)
    }

    /// Counts what an admitted Watch could see.
    pub(super) fn take(&mut self, watch: &Watch, planned: bool) {
        if planned {
            self.planned_us = self.planned_us.saturating_add(watch.interval.length().get());
        }
        self.sight.add(watch);
        let sources = &watch.sources;
        *self.log.entry(sources.log).or_default() += 1;
        *self.event_stream.entry(sources.event_stream).or_default() += 1;
        if let Some(poll) = &watch.poll {
            *self.process.entry(sources.process).or_default() += 1;
            self.polls += 1;
            self.polls_answered += u64::from(poll.api.health == ApiOutcome::Ok);
        }
        self.calls_visible += u64::from(sources.checkpoints == Some(true));
        *self.watchers.entry(watch.origin.watcher.to_string()).or_default() += 1;
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

    /// Whether two watchers watched two hubs at the same time under one name: none of the processes that one of them polled meanwhile
    /// is one that the others polled. A single poll can fall into a restart.
    pub fn has_two_hubs(&self) -> bool {
        self.beside.iter().any(|(watcher, (processes, polls))| {
            let mut others = self.processes.iter().filter(|(other, _)| *other != watcher).peekable();
            *polls > 1 && others.peek().is_some() && others.all(|(_, known)| known.is_disjoint(processes))
        })
    }

    pub(super) fn finish(&mut self, from: Timestamp, to: Timestamp) {
        let beyond = self.last.map_or(0, |last| last.0.since(to).get());
        self.covered_us = self.covered_us.saturating_sub(beyond);
        self.period_us = to.since(from).get();
        self.share_permille = share_of(self.covered_us, self.period_us).min(1_000);
    }
}
