//! Makes Watches of facts and polls. It is pure, so a rehearsed period takes the same path as a real one.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::expectations::Expectations;
use crate::announce::marks::{Edge, Mark};
use crate::announce::results::{Told, ToldResult};
use crate::hub::interpret::{Evidence, Interpreter, PendingFact, PollAnswer};
use crate::hub::observations::Observations;
use crate::watch::{
    ClockJumped, Count, Fact, FactId, Interval, LogVolume, Metrics, MetricsRequests, Micros, Origin, Poll, RuleStated,
    ScenarioFact, SidecarPoll, Slot, Source, Sources, StreamVolume, Text, Timestamp, Watch, WatcherStoodStill, When, encode,
    request_of,
};
use prost::Message as _;

/// A Watch with this many facts is closed early, because backends limit the size of a span.
pub const MAX_FACTS: usize = 512;

/// A slot's trace that is larger continues under the next derived id. Tempo truncates traces at 5 MB, and counts more than the
/// spans' bytes.
pub const MAX_PART_BYTES: usize = 2_000_000;

/// The longest planned window, as in the judge: one without an end counts for this long.
const LONGEST_MARK: Micros = crate::judge::planned::LONGEST;

/// Maximum number of planned windows at the same time.
const MAX_OPEN_MARKS: usize = 64;

/// So many results that came by spans are remembered: several runs of all scenarios.
const MAX_TOLD_BY_SPANS: usize = 1_000;

/// The current part of the slot's trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Filling {
    slot: u64,
    part: u32,
    bytes: usize,
}

/// The state between Watches; part of each commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assembler {
    /// The origin of the next Watch.
    origin: Origin,
    start: Timestamp,
    filling: Filling,
    /// The knowledge about the hub.
    pub interpreter: Interpreter,
    metrics: Metrics,
    #[serde(default)]
    expectations: Expectations,
    /// Planned windows without an end.
    #[serde(default)]
    open_marks: Vec<Mark>,
    /// The results of scenarios that were taken up and whose files may still be there.
    #[serde(default)]
    taken_up: BTreeSet<FactId>,
    /// The latest results that spans told: the same may come as a file, too.
    #[serde(default)]
    told_by_spans: VecDeque<FactId>,
    /// The configuration's changes to the built-in rules.
    #[serde(skip)]
    rules: Vec<String>,
    /// True if this run has added these rules to a Watch.
    #[serde(skip)]
    has_stated: bool,
}

/// The state of the sources and of the sidecar at the end of an interval.
#[derive(Debug, Clone)]
pub struct Closing {
    /// How far the sources were read. The log's shape is filled in here.
    pub sources: Sources,
    /// The sidecar's own figures.
    pub sidecar: SidecarPoll,
}

/// The counts of an interval.
struct Counted {
    log: LogVolume,
    stream: Option<StreamVolume>,
    sidecar: SidecarPoll,
}

/// A finished Watch, its encoded span, and its metrics.
#[derive(Debug)]
pub struct Finished {
    /// The Watch.
    pub watch: Watch,
    /// Its span, as an encoded OTLP request.
    pub otlp: Vec<u8>,
    /// The metrics at its end, if it was polled.
    pub metrics: Option<MetricsRequests>,
}

impl Assembler {
    /// Begins a watch at `start`.
    pub fn new(origin: Origin, start: Timestamp, key: [u8; 32]) -> Self {
        let interpreter = Interpreter::new(key);
        Self {
            origin,
            start,
            filling: Filling::default(),
            interpreter,
            metrics: Metrics::new(start),
            expectations: Expectations::default(),
            open_marks: Vec::new(),
            taken_up: BTreeSet::new(),
            told_by_spans: VecDeque::new(),
            rules: Vec::new(),
            has_stated: false,
        }
    }

    /// Continues an earlier run of the same watcher: keeps its knowledge and begins a new interval.
    #[must_use]
    pub fn resume(self, origin: Origin, start: Timestamp, key: [u8; 32]) -> Self {
        Self { origin, start, interpreter: self.interpreter.with_key(key), ..self }
    }

    /// Sets the rules, which are facts of the first Watch of this run and of each slot.
    pub fn state_rules(&mut self, rules: Vec<String>) {
        self.expectations.configure(&rules);
        self.rules = rules;
    }

    /// Adds a mark. An open window is repeated in the first Watch of each slot, because a report may begin there.
    pub fn mark(&mut self, mark: &Mark) {
        self.interpreter.notice(When::At(mark.at), mark.fact());
        let is_new = self.open_marks.iter().all(|open| open.name != mark.name || mark.at.since(open.at) > LONGEST_MARK);
        match mark.edge {
            Edge::Begin if is_new => {
                self.open_marks.retain(|open| open.name != mark.name);
                self.open_marks.push(mark.clone());
            }
            Edge::Begin => {}
            Edge::End => self.open_marks.retain(|open| open.name != mark.name),
        }
        self.open_marks.truncate(MAX_OPEN_MARKS);
    }

    /// Adds results of scenarios, each once: part of the state is which were added, until their files are gone.
    pub fn results(&mut self, told: impl IntoIterator<Item = Told>) {
        for Told { at, result } in told {
            let fact = ScenarioFact::from(result);
            if !self.told_by_spans.contains(&fact.id()) && self.taken_up.insert(fact.id()) {
                self.interpreter.scenario_told(at, fact);
            }
        }
    }

    /// Adds what instrumentation in the hub's process told. Results of scenarios among it are added once, however they came.
    pub fn observed(&mut self, mut told: Observations, now: Timestamp) {
        for (at, checked) in told.take_checks() {
            let fact = ScenarioFact::from(ToldResult::Checked(checked));
            if self.has_taken_up(fact.id()) {
                continue;
            }
            if self.told_by_spans.len() >= MAX_TOLD_BY_SPANS {
                self.told_by_spans.pop_front();
            }
            self.told_by_spans.push_back(fact.id());
            self.interpreter.scenario_told(at, fact);
        }
        self.interpreter.observed(told, now);
    }

    /// Returns whether a result of a scenario was added.
    pub fn has_taken_up(&self, id: FactId) -> bool {
        self.taken_up.contains(&id) || self.told_by_spans.contains(&id)
    }

    /// Forgets the results whose files are gone; these are there.
    pub fn keep_taken_up(&mut self, present: &BTreeSet<FactId>) {
        self.taken_up.retain(|id| present.contains(id));
    }

    /// Returns the origin of the next Watch.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns whether the interval has so many facts that it must be closed before the next poll.
    pub fn is_full(&self) -> bool {
        self.interpreter.pending() >= MAX_FACTS
    }

    /// Closes the interval with a poll.
    pub fn polled(&mut self, answer: &PollAnswer, closing: Closing) -> Vec<Finished> {
        let poll = self.interpreter.poll(answer);
        self.close(answer.now, Some(poll), closing)
    }

    /// Records a jump of the wall clock: the interval ends in the old time, and the next begins in the new one.
    pub fn clock_jumped(&mut self, before: Timestamp, now: Timestamp, jump: i64, closing: Closing) -> Vec<Finished> {
        self.interpreter.notice(When::At(before), ClockJumped { jump });
        let finished = self.close(before, None, closing);
        self.interpreter.clock_jumped(jump);
        self.start = now;
        // Open windows keep their age.
        for open in &mut self.open_marks {
            open.at = open.at.shifted(jump);
        }
        self.expectations.clock_jumped(jump);
        finished
    }

    /// Records that the process stood still from `before` to `now`: that time belongs to no interval.
    pub fn stood_still(&mut self, before: Timestamp, now: Timestamp, closing: Closing) -> Vec<Finished> {
        let before = before.max(self.start);
        self.interpreter.notice(When::At(before), WatcherStoodStill { length: now.since(before) });
        let finished = self.close(before, None, closing);
        self.start = now.max(before);
        finished
    }

    /// Closes the interval. More than [`MAX_FACTS`] facts are split into several Watches; only the last has the poll.
    pub fn close(&mut self, now: Timestamp, poll: Option<Poll>, closing: Closing) -> Vec<Finished> {
        let harvest = self.interpreter.harvest(now);
        let sources = Sources {
            log_shape: harvest.shape,
            checkpoints: harvest.checkpoints,
            instrumentation: harvest.instrumentation,
            ..closing.sources
        };
        let mut volume = harvest.volume;
        let mut stream = harvest.stream;
        let mut sidecar = closing.sidecar;
        let mut facts = harvest.facts;
        let mut finished = Vec::new();
        while facts.len() > MAX_FACTS {
            let rest = facts.split_off(MAX_FACTS);
            let full = std::mem::replace(&mut facts, rest);
            // The counts are part of the first one only.
            let counted = Counted { log: std::mem::take(&mut volume), stream: stream.take(), sidecar: sidecar.take_counts() };
            finished.push(self.finish(now, None, sources.clone(), counted, full));
        }
        finished.push(self.finish(now, poll, sources, Counted { log: volume, stream, sidecar }, facts));
        finished
    }

    fn finish(
        &mut self,
        now: Timestamp,
        poll: Option<Poll>,
        sources: Sources,
        counted: Counted,
        facts: Vec<PendingFact>,
    ) -> Finished {
        let interval = Interval::new(self.start, now);
        let new_slot = Slot::of(interval.end()).0 != self.filling.slot;
        let origin = self.place(interval.end());
        let rules = self.rules_to_state(new_slot, interval.start());
        let marks = self.marks_to_state(new_slot, interval.start());
        let facts =
            rules.into_iter().chain(marks).chain(facts).enumerate().map(|(index, fact)| identified(&origin, index, fact)).collect();
        let Counted { log, stream, sidecar } = counted;
        let watch = Watch { origin, interval, sources, log, stream, sidecar, poll, facts };
        let otlp = request_of(&watch.origin, vec![encode(&watch)]).encode_to_vec();
        self.filling.bytes += otlp.len();
        self.start = interval.end();
        self.origin.sequence = self.origin.sequence.plus(1);
        self.metrics.count(&watch);
        self.expectations.take(&watch.facts);
        let expected = self.expectations.at(watch.interval.end());
        let metrics = watch.poll.is_some().then(|| self.metrics.requests(&watch, &expected));
        Finished { watch, otlp, metrics }
    }

    /// Returns the rules for the first Watch of a slot: a report may have only that slot's trace.
    fn rules_to_state(&mut self, new_slot: bool, at: Timestamp) -> Vec<PendingFact> {
        if std::mem::replace(&mut self.has_stated, true) && !new_slot {
            return Vec::new();
        }
        let stated = self.rules.iter().map(|rule| PendingFact {
            evidence: Evidence::Watch,
            when: When::At(at),
            source: Source::Sidecar,
            kind: RuleStated { rule: Text::new(rule.as_str()) }.into(),
        });
        stated.collect()
    }

    fn marks_to_state(&mut self, new_slot: bool, at: Timestamp) -> Vec<PendingFact> {
        self.open_marks.retain(|open| at.since(open.at) <= LONGEST_MARK);
        // A window that began in this Watch is in it anyway.
        let open = self.open_marks.iter().filter(|open| new_slot && open.at < at);
        let told = open.map(|open| PendingFact {
            evidence: Evidence::Watch,
            when: When::At(open.at),
            source: Source::Sidecar,
            kind: open.fact(),
        });
        told.collect()
    }

    /// Returns the origin of the Watch that ends at `end`: the next sequence number, and the part of the slot's trace that has
    /// room.
    fn place(&mut self, end: Timestamp) -> Origin {
        let slot = Slot::of(end).0;
        if slot != self.filling.slot {
            self.filling = Filling { slot, ..Filling::default() };
        } else if self.filling.bytes >= MAX_PART_BYTES {
            self.filling = Filling { slot, part: self.filling.part + 1, bytes: 0 };
        }
        Origin { part: self.filling.part, ..self.origin.clone() }
    }
}

fn identified(origin: &Origin, index: usize, fact: PendingFact) -> Fact {
    let id = match fact.evidence {
        Evidence::Line(record, ordinal) => FactId::of_line(record, ordinal),
        Evidence::Scenario(id) => id,
        Evidence::Watch => {
            let ordinal = u32::try_from(index).unwrap_or(u32::MAX);
            FactId::of_watch(origin.watcher, origin.run, origin.sequence, ordinal)
        }
    };
    Fact { id, when: fact.when, source: fact.source, kind: fact.kind }
}

/// Returns the origin of a run's first Watch.
pub fn first_sequence() -> Count {
    Count::new(0)
}
