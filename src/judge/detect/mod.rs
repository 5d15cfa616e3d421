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
use super::history::{Gap, History};
use super::incident::{Evidence, Incident, IncidentKind};
use super::planned::Plans;
use crate::watch::{Fact, FactKind, Micros, Timestamp, Watch};
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
    /// Whether the hub ever answered before this Watch.
    answered_before: bool,
    /// Which servers should work.
    expected: &'a BTreeMap<String, Vec<String>>,
}

impl Sight<'_> {
    fn should_work(&self, server: &str) -> bool {
        self.expected.get(server).is_none_or(|states| states.is_empty() || states.iter().any(|state| state == "connected"))
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
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Detectors {
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
    /// Whether the hub ever answered before this Watch.
    pub answered_before: bool,
    /// Which servers may be in which states.
    pub expected: &'a BTreeMap<String, Vec<String>>,
    /// The time before the Watch when nobody watched.
    pub gap: Option<Gap>,
}

impl Detectors {
    /// Takes an admitted Watch; gives the incidents that were opened, added to or closed.
    pub fn take(&mut self, watch: &Watch, around: &Surroundings<'_>) -> Vec<Incident> {
        let Surroundings { alerts, plans, history, answered_before, expected, gap } = *around;
        let sight = Sight { alerts, plans, history, answered_before, expected };
        self.blind(watch, gap, &sight);
        let mut facts: Vec<&Fact> = watch.facts.iter().filter(|fact| history.holds(fact)).collect();
        // A Watch that catches up on a log tells of a long time: its windows are those of that time.
        facts.sort_by_key(|fact| fact.when.latest());
        for fact in facts {
            let at = fact.when.latest();
            let seen = Seen { fact, at, planned: plans.at(at) };
            self.hub.fact(&seen, &sight, &mut self.register);
            self.servers.fact(&seen, watch, &sight, &mut self.register);
            self.counted.fact(&seen, &sight, &mut self.register);
            self.register.advance(at);
        }
        self.counted.volume(watch, gap, &sight, &mut self.register);
        self.polled.take(watch, &sight, &mut self.register);
        if let Some(poll) = &watch.poll {
            self.hub.poll(poll, watch, &mut self.register);
            self.servers.poll(poll, watch, &sight, &mut self.register);
        }
        let end = watch.interval.end();
        self.counted.advance(end, &sight, &mut self.register);
        self.register.advance(end);
        self.register.news()
    }

    /// What goes on.
    pub fn ongoing(&self) -> impl Iterator<Item = &Incident> {
        self.register.ongoing()
    }

    /// All incidents, by their beginning.
    pub fn incidents(&self) -> Vec<Incident> {
        self.register.incidents()
    }

    /// Incidents that were let go because there were too many.
    pub fn dropped(&self) -> u64 {
        self.register.dropped
    }

    /// Facts whose time is not known well enough for their windows.
    pub fn too_wide(&self) -> u64 {
        self.counted.too_wide()
    }

    fn blind(&mut self, watch: &Watch, gap: Option<Gap>, sight: &Sight<'_>) {
        let draft = |kind, at, title: String| Draft {
            kind,
            subject: "",
            at,
            title,
            cause: None,
            effect: "what happened then is known from the log at best",
            evidence: None,
            planned: None,
            count: 1,
        };
        if let Some(gap) = gap {
            let cause = Some(gap.reason.to_owned());
            let draft = Draft { cause, ..draft(IncidentKind::WatchGap, gap.from, "Nobody watched".to_owned()) };
            self.register.raise(sight.alerts, draft);
            self.register.settle(IncidentKind::WatchGap, "", gap.to);
            self.polled.unseen();
        }
        for fact in &watch.facts {
            if let FactKind::ClockJumped(jump) = &fact.kind {
                let title = format!("The host's clock jumped by {} s", jump.jump / 1_000_000);
                let at = fact.when.latest();
                let evidence = Some(Evidence::Fact(fact.id));
                let effect = "times before and after can't be compared";
                let draft = Draft { evidence, effect, ..draft(IncidentKind::ClockJumped, at, title) };
                self.register.raise(sight.alerts, draft);
                self.register.settle(IncidentKind::ClockJumped, "", at);
            }
        }
        if let Some(build) = &watch.origin.build {
            let at = watch.interval.start();
            if let Some(before) = self.build.replace(build.to_string()).filter(|before| before != build.as_str()) {
                let title = format!("Build {build} runs instead of {before}");
                let effect = "the period is about two builds: neither has been watched for all of it";
                self.register.raise(sight.alerts, Draft { effect, ..draft(IncidentKind::BuildChanged, at, title) });
                self.register.settle(IncidentKind::BuildChanged, "", at);
            }
        }
    }
}

/// Facts from the lines just before an end are its cause.
const CAUSE_WINDOW: Micros = Micros::new(5_000_000);
