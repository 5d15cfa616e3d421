//! Finds incidents as they happen, in real time windows. The same code runs live and afterwards: it sees Watch after Watch and
//! nothing else.

mod counted;
mod hub;
mod polled;
mod register;
mod servers;
mod window;

use std::collections::BTreeMap;

use super::alert::Alerts;
use super::history::{Gap, History, Lives};
use super::incident::{Evidence, Incident, IncidentKind};
use super::period::{Period, Place};
use super::planned::Plans;
use super::rules::should_work;
use crate::watch::{Fact, FactKind, Micros, Timestamp, Watch, WatcherFact};
use counted::Counted;
use hub::HubLife;
use polled::Polled;
use register::{Draft, Register};
use servers::ServerLives;

/// What a detector sees of the Watch at hand.
struct Sight<'a> {
    alerts: &'a Alerts,
    plans: &'a Plans,
    history: &'a History,
    /// Up to when things are known.
    now: Timestamp,
    /// Which servers should work.
    expected: &'a BTreeMap<String, Vec<String>>,
}

impl Sight<'_> {
    fn should_work(&self, server: &str) -> bool {
        self.expected.get(server).is_none_or(|states| should_work(states))
    }
}

/// A fact at its place in time.
struct Seen<'a> {
    fact: &'a Fact,
    at: Timestamp,
    planned: Option<&'a str>,
}

impl<'a> Seen<'a> {
    fn draft(&self, kind: IncidentKind, subject: &'a str, title: impl Into<String>, effect: &'a str) -> Draft<'a> {
        let evidence = Some(Evidence::Fact(self.fact.id));
        Draft { kind, subject, at: self.at, title: title.into(), cause: None, effect, evidence, planned: self.planned, count: 1 }
    }
}

/// Everything that looks for incidents.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Detectors {
    period: Period,
    register: Register,
    hub: HubLife,
    servers: ServerLives,
    counted: Counted,
    polled: Polled,
    build: Option<String>,
}

/// What a Watch is seen with.
pub(super) struct Surroundings<'a> {
    /// From when on what is an incident.
    pub alerts: &'a Alerts,
    /// Planned disturbances.
    pub plans: &'a Plans,
    /// What is known by now, this Watch included.
    pub history: &'a History,
    /// Which servers may be in which states.
    pub expected: &'a BTreeMap<String, Vec<String>>,
    /// The time without a watch before this Watch.
    pub gap: Option<Gap>,
    /// Whether the clock's jumps are still in the Watch's times.
    pub jumps: Jumps,
}

/// What jumps of the clock mean for times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jumps {
    /// After a jump, times are by another clock.
    Count,
    /// The clock was set back, and the times in between are by the clock before.
    CancelOut,
}

impl Detectors {
    /// Looks for incidents inside the period.
    pub(super) fn new(period: Period) -> Self {
        Self {
            period,
            register: Register::new(period),
            hub: HubLife::default(),
            servers: ServerLives::default(),
            counted: Counted::default(),
            polled: Polled::default(),
            build: None,
        }
    }

    /// Takes an admitted Watch, and what it changed of how the hub and its servers stand; gives the incidents that were opened, added
    /// to or closed.
    pub(super) fn take(&mut self, watch: &Watch, around: &Surroundings<'_>, lives: Lives) -> Vec<Incident> {
        let Surroundings { alerts, plans, history, expected, gap, jumps } = *around;
        let place = self.period.of_watch(watch);
        let end = watch.interval.end().min(self.period.to);
        // The state at the beginning of the period is reported with its first Watch.
        let has_begun = place != Place::Before;
        self.register.reach(end);
        let sight = Sight { alerts, plans, history, now: end, expected };
        if place == Place::Inside {
            self.blind(watch, gap, &sight);
        }
        let mut facts: Vec<(Timestamp, &Fact)> = watch.facts.iter().filter_map(|fact| self.inside(fact, watch)).collect();
        // A Watch that catches up on a log covers a long time: its windows are those of that time.
        facts.sort_by_key(|(at, _)| *at);
        for (at, fact) in facts {
            let seen = Seen { fact, at, planned: plans.at(at) };
            self.fact(&seen, watch, &sight);
            self.register.advance(at);
        }
        if has_begun {
            self.hub.lived(lives.hub, &sight, &mut self.register);
            self.servers.lived(lives.servers, &sight, &mut self.register);
        }
        if place == Place::Inside {
            self.counted.volume(watch, gap, &sight, &mut self.register);
            self.polled.take(watch, &sight, &mut self.register);
        }
        if has_begun {
            self.servers.advance(&sight, &mut self.register);
            self.counted.advance(end, &sight, &mut self.register);
            self.register.advance(end);
        }
        for fact in watch.facts.iter().filter(|_| jumps == Jumps::Count) {
            // Also of a jump that lies before the period: its windows are by the clock after it. One beyond it moves nothing in it: the
            // clock jumps at the end of its Watch, whenever the fact was dated.
            if let FactKind::Watcher(WatcherFact::ClockJumped(jump)) = &fact.kind
                && (place == Place::Before || place == Place::Inside && self.inside(fact, watch).is_some())
            {
                self.counted.clock_jumped(jump.jump);
                self.servers.clock_jumped(jump.jump);
                self.hub.clock_jumped(jump.jump);
                self.polled.clock_jumped(jump.jump);
                self.register.clock_jumped(jump.jump);
            }
        }
        self.register.news()
    }

    fn fact(&mut self, seen: &Seen<'_>, watch: &Watch, sight: &Sight<'_>) {
        let register = &mut self.register;
        match &seen.fact.kind {
            FactKind::Hub(fact) => self.hub.fact(fact, seen),
            FactKind::Server(fact) => self.servers.fact(fact, seen, watch, sight, register),
            FactKind::Call(fact) => {
                self.hub.call(fact, seen);
                self.counted.call(fact, seen, sight, register);
            }
            FactKind::Tool(fact) => self.counted.tool(fact, seen, sight, register),
            FactKind::Log(fact) => self.counted.log(fact, seen, sight, register),
            // Actions of clients are no incidents: polls show their number. A time without a watch is reported with its Watch.
            FactKind::Session(_) | FactKind::Watcher(_) => {}
            // The hub's log tells of Gemini's failed rounds: an attempt of its own is none yet.
            FactKind::Llm(_) => {}
            // A check that does not hold fails its criterion.
            FactKind::Scenario(_) => {}
        }
    }

    /// A fact of the period, and when it happened.
    fn inside<'a>(&self, fact: &'a Fact, watch: &Watch) -> Option<(Timestamp, &'a Fact)> {
        let inside = self.period.of_fact(fact, watch) == Place::Inside;
        inside.then(|| (self.period.when(fact, watch).latest(), fact))
    }

    /// What goes on.
    pub(super) fn ongoing(&self) -> impl Iterator<Item = &Incident> {
        self.register.ongoing()
    }

    /// All incidents, by their beginning.
    pub(super) fn incidents(&self) -> Vec<Incident> {
        self.register.incidents()
    }

    /// Incidents that were let go because there were too many.
    pub(super) fn dropped(&self) -> u64 {
        self.register.dropped
    }

    /// Facts whose time is not known well enough for their windows.
    pub(super) fn too_wide(&self) -> u64 {
        self.counted.too_wide()
    }

    fn blind(&mut self, watch: &Watch, gap: Option<Gap>, sight: &Sight<'_>) {
        let draft = |kind, at, title: String| Draft {
            kind,
            subject: "",
            at,
            title,
            cause: None,
            effect: "events in this time are known only where the log shows them",
            evidence: None,
            planned: None,
            count: 1,
        };
        if let Some(gap) = gap {
            let cause = Some(gap.reason.to_owned());
            let draft = Draft { cause, ..draft(IncidentKind::WatchGap, gap.from, "hubwatch was not watching".to_owned()) };
            self.register.raise(sight.alerts, draft);
            self.register.settle(IncidentKind::WatchGap, "", gap.to);
            self.polled.unseen();
        }
        for fact in &watch.facts {
            if let FactKind::Watcher(WatcherFact::ClockJumped(jump)) = &fact.kind
                && self.inside(fact, watch).is_some()
            {
                let title = format!("The host's clock jumped by {} s", jump.jump / 1_000_000);
                let at = fact.when.latest();
                let evidence = Some(Evidence::Fact(fact.id));
                let effect = "times before and after the jump can't be compared";
                let draft = Draft { evidence, effect, ..draft(IncidentKind::ClockJumped, at, title) };
                self.register.raise(sight.alerts, draft);
                self.register.settle(IncidentKind::ClockJumped, "", at);
            }
        }
        if let Some(build) = &watch.origin.build {
            let at = watch.interval.start();
            if let Some(before) = self.build.replace(build.to_string()).filter(|before| before != build.as_str()) {
                let title = format!("The build changed from {before} to {build}");
                let effect = "the period covers two builds; neither was watched for all of it";
                self.register.raise(sight.alerts, Draft { effect, ..draft(IncidentKind::BuildChanged, at, title) });
                self.register.settle(IncidentKind::BuildChanged, "", at);
            }
        }
    }
}

/// Facts from the lines just before an end are its cause.
const CAUSE_WINDOW: Micros = Micros::new(5_000_000);
