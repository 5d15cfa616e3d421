//! The queue of facts: what waits for the end of the interval, and what an interval brought.

use serde::{Deserialize, Serialize};

use crate::hub::interpret::Interpreter;
use crate::hub::sources::lane::Brought;
use crate::hub::topics::log::HISTORY;
use crate::hub::topics::servers::Noticed;
use crate::watch::{
    ClaimsDropped, Count, FactId, FactKind, Lines, LogFact, LogShape, LogVolume, RecordUid, ScenarioFact, Source, StreamVolume,
    Text, Timestamp, Visibility, When,
};

/// Where a fact comes from, for its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// A line, and which of the facts of that line it is.
    Line(RecordUid, u32),
    /// The poll or the sidecar itself: its place in the Watch.
    Watch,
    /// A scenario, which chose what the id is made of.
    Scenario(FactId),
}

/// A fact without its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFact {
    /// Where it comes from.
    pub evidence: Evidence,
    /// When it happened.
    pub when: When,
    /// What showed it.
    pub source: Source,
    /// What it was.
    pub kind: FactKind,
}

/// What an interval brought, besides its poll.
#[derive(Debug)]
pub struct Harvest {
    /// The facts, in the order in which they were learned.
    pub facts: Vec<PendingFact>,
    /// What was read from the log.
    pub volume: LogVolume,
    /// In which shape.
    pub shape: Option<LogShape>,
    /// What was read from the event stream, if it was joined.
    pub stream: Option<StreamVolume>,
    /// Whether a source shows the checkpoint lines, as far as that is known.
    pub checkpoints: Option<bool>,
    /// How well instrumentation could be read, where anything can be received.
    pub instrumentation: Option<Visibility>,
}

/// The facts that one line states.
pub(super) struct Said {
    pub(super) uid: RecordUid,
    pub(super) when: When,
    pub(super) source: Source,
    pub(super) facts: Vec<PendingFact>,
    /// How many facts the line has led to before.
    pub(super) ordinal: u32,
}

impl Said {
    pub(super) fn say(&mut self, kind: impl Into<FactKind>) {
        let ordinal = self.ordinal.saturating_add(u32::try_from(self.facts.len()).unwrap_or(u32::MAX));
        let evidence = Evidence::Line(self.uid, ordinal);
        self.facts.push(PendingFact { evidence, when: self.when, source: self.source, kind: kind.into() });
    }

    pub(super) fn noticed(&mut self, noticed: impl IntoIterator<Item = Noticed>) {
        for noticed in noticed {
            self.say(noticed.kind);
        }
    }
}

impl Interpreter {
    /// How many facts wait for the end of the interval.
    pub fn pending(&self) -> usize {
        self.facts.len()
    }

    /// Something that the sidecar itself noticed.
    pub fn notice(&mut self, when: When, kind: impl Into<FactKind>) {
        let kind = kind.into();
        let when = When::between(self.clocks.steady(when.earliest()), self.clocks.steady(when.latest()));
        if matches!(kind, FactKind::Log(LogFact::LogTruncated(_))) {
            self.log_emptied = Some(when.latest());
        }
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Sidecar, kind });
    }

    /// A result of a scenario, found at this time. What a client saw of the hub is masked like a line of its log.
    pub fn scenario_told(&mut self, at: Timestamp, mut fact: ScenarioFact) {
        if let ScenarioFact::ScenarioChecked(checked) = &mut fact {
            checked.detail = checked.detail.take().map(|detail| self.masked(detail.as_str()));
        }
        let (evidence, when) = (Evidence::Scenario(fact.id()), When::At(self.clocks.steady(at)));
        self.facts.push(PendingFact { evidence, when, source: Source::Scenario, kind: FactKind::Scenario(fact) });
    }

    pub(in crate::hub) fn say_from_log(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Log, kind: kind.into() });
    }

    pub(in crate::hub) fn say(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Poll, kind: kind.into() });
    }

    pub(in crate::hub) fn noticed(&mut self, noticed: impl IntoIterator<Item = Noticed>) {
        let pending = noticed.into_iter().map(|noticed| PendingFact {
            evidence: Evidence::Watch,
            when: noticed.when,
            source: noticed.source,
            kind: noticed.kind,
        });
        self.facts.extend(pending);
    }

    /// Ends the interval: gives what it brought and begins to count anew.
    pub fn harvest(&mut self, now: Timestamp) -> Harvest {
        let now = self.clocks.steady(now);
        let lost = self.calls.give_up(now);
        for call in &lost {
            self.say_from_log(When::At(now), call.fact.clone());
        }
        self.ended.extend(lost);
        // The sources don't agree on how often a line came: the log is the hub's own record, and the stream stands in for it.
        let from_stream = self.stream.storms.report(now);
        let from_log = self.log.storms.report(now);
        self.output.storms.report(now);
        // Its time is a wide range, so that no rate is computed from it.
        let since = self.history_since.take().unwrap_or(now).min(now.minus(HISTORY));
        for mut storm in self.history.report(now) {
            storm.line = self.masked(storm.line.as_str());
            self.say_from_log(When::between(since.min(storm.first), now), storm);
        }
        for mut storm in if !self.no_log { from_log } else { from_stream } {
            storm.line = self.masked(storm.line.as_str());
            self.say_from_log(When::between(storm.first, storm.last), storm);
        }
        for (level, counts) in std::mem::take(&mut self.notable) {
            for (template, count) in counts {
                self.say_from_log(When::At(now), Lines { level, template: Text::new(template), count: Count::new(count) });
            }
        }
        for (claim, refusals) in self.claims.take_refused() {
            for (refusal, count) in refusals {
                self.say_from_log(When::At(now), ClaimsDropped { claim, count: Count::new(count), refusal });
            }
        }
        self.durations_go_out();
        let (instrumentation, waits) = self.instrumentation_goes_out(now);
        self.told();
        let checkpoints = if self.joined { Some(true) } else { self.log_shows_checkpoints() };
        let logged = self.log.harvest(now);
        let put_out = self.output.harvest(now);
        let (volume, shape) = logged.beside(&put_out);
        let Brought { volume: streamed, max_delay, .. } = self.stream.harvest(now);
        let stream = StreamVolume { lines: streamed.lines, bytes: streamed.bytes, max_delay };
        let stream = (self.joined || streamed.lines.get() > 0).then_some(stream);
        let mut waits = waits.into_iter();
        let waiting = self.facts.extract_if(.., |_| waits.next().unwrap_or(false)).collect();
        let mut facts = std::mem::replace(&mut self.facts, waiting);
        for fact in &mut facts {
            fact.when = self.clocks.wall_when(fact.when);
            self.clocks.to_wall(&mut fact.kind);
        }
        Harvest { facts, volume, shape, stream, checkpoints, instrumentation }
    }
}
