//! The hub's ends, and the times when it did not answer: one incident for each time when it was down, with what its facts say about
//! that time.

use super::register::{Draft, Register};
use super::{CAUSE_WINDOW, Seen, Sight};
use crate::judge::history::{LifeNews, Outage};
use crate::judge::incident::{Evidence, IncidentKind};
use crate::watch::{CallFact, FactId, HubFact, Timestamp};

const EFFECT: &str = "all clients were disconnected";

/// How the cause begins where only the absence of an answer is known.
const NO_ANSWER: &str = "no answer: ";

/// More signs than this of one Watch are not looked at: a hub that restarts so often is reported by its outages.
const MAX_SIGNS: usize = 1_000;

/// What is about the hub that is gone, and is over with it.
const OVER_WITH_THE_HUB: [IncidentKind; 10] = [
    IncidentKind::ApiSlow,
    IncidentKind::ApiFailing,
    IncidentKind::BreakerOpen,
    IncidentKind::ClientsUnusual,
    IncidentKind::ClientsExcessive,
    IncidentKind::CpuHigh,
    IncidentKind::MemoryHigh,
    IncidentKind::MemoryNearLimit,
    IncidentKind::MemoryGrowth,
    IncidentKind::ToolsChanged,
];

/// Something that says how the hub ended.
#[derive(Debug, Clone, PartialEq)]
struct Sign {
    at: Timestamp,
    title: &'static str,
    cause: Option<String>,
    fact: FactId,
    planned: Option<String>,
    /// True if the process has certainly ended: that is an incident even if no poll saw it away.
    is_an_end: bool,
}

/// What is known of the hub's process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HubLife {
    /// The last failed Gemini rounds: an invalid key ends the hub.
    rounds: Vec<(Timestamp, FactId)>,
    signs: Vec<Sign>,
}

impl HubLife {
    pub(super) fn call(&mut self, fact: &CallFact, seen: &Seen<'_>) {
        if let CallFact::GeminiRoundFailed(_) = fact {
            self.rounds.retain(|(at, _)| seen.at.since(*at) <= CAUSE_WINDOW);
            self.rounds.push((seen.at, seen.fact.id));
        }
    }

    /// The clock jumped at the end of a Watch.
    pub(super) fn clock_jumped(&mut self, by: i64) {
        for (at, _) in &mut self.rounds {
            *at = at.shifted(by);
        }
    }

    pub(super) fn fact(&mut self, fact: &HubFact, seen: &Seen<'_>) {
        let mut sign = |title, cause, is_an_end| {
            let planned = seen.planned.map(str::to_owned);
            if self.signs.len() < MAX_SIGNS {
                self.signs.push(Sign { at: seen.at, title, cause, fact: seen.fact.id, planned, is_an_end });
            }
        };
        match fact {
            HubFact::HubStopping(stop) => {
                let signal = stop.signal.as_ref().map(|signal| format!("it received {signal}"));
                sign("The hub stopped", stop.cause.as_ref().map(ToString::to_string).or(signal), false);
            }
            HubFact::HubStopped(_) => sign("The hub shut down cleanly", None, false),
            HubFact::HubExited(exit) => {
                sign("The hub process died without logging a reason", exit.cause.as_ref().map(ToString::to_string), true);
            }
            HubFact::HubUnreachable(lost) => {
                sign("The hub did not answer", Some(format!("{NO_ANSWER}{}", lost.outcome.reason())), false);
            }
            // These show no end of the hub.
            HubFact::HubStarted(_) | HubFact::HubReachable(_) => {}
            HubFact::HubStateChanged(_) | HubFact::SubscriberFailed(_) => {}
        }
    }

    /// The times when it was down, as the hub's history has them.
    pub(super) fn lived(&mut self, life: LifeNews, sight: &Sight<'_>, register: &mut Register) {
        self.awaited(sight, register);
        for outage in life.ended {
            self.down(&outage, sight, register);
            if let Some(end) = outage.to {
                register.settle(IncidentKind::HubDown, "", end.0);
            }
        }
        register.withdraw(IncidentKind::HubDown, "", life.open.as_ref());
        if let Some(outage) = &life.open {
            self.down(outage, sight, register);
        }
        self.unseen_ends(sight, register);
    }

    fn awaited(&self, sight: &Sight<'_>, register: &mut Register) {
        let Some(awaited) = &sight.history.hub.awaited else { return };
        let kind = IncidentKind::HubAwaited;
        match awaited.to {
            Some(end) => register.settle(kind, "", end.0),
            None if register.is_open(kind, "") => {}
            None => {
                // Something that answers without being a hub may stand before one: whether it was there is not known.
                let (title, effect) = if sight.history.hub.another_answers {
                    (
                        "No hub has answered since the watch started".to_owned(),
                        "unknown: another program answers at the hub's address",
                    )
                } else {
                    ("The watch started before the hub".to_owned(), "none: the hub was not running yet")
                };
                let cause = Some(awaited.reason.clone());
                let (subject, at, evidence, planned) = ("", awaited.from.0, None, None);
                register.raise(sight.alerts, Draft { kind, subject, at, title, cause, effect, evidence, planned, count: 1 });
            }
        }
    }

    fn down(&mut self, outage: &Outage, sight: &Sight<'_>, register: &mut Register) {
        let kind = IncidentKind::HubDown;
        let mut outage = outage.clone();
        outage.measure(sight.now, sight.plans);
        let planned = outage.planned.as_deref().filter(|_| outage.unplanned_us == 0);
        if !register.is_open(kind, "") {
            for over in OVER_WITH_THE_HUB {
                register.settle(over, "", outage.from.0);
            }
            let cause = None;
            let draft = Draft {
                kind,
                subject: "",
                at: outage.from.0,
                title: "The hub did not answer".to_owned(),
                cause,
                effect: EFFECT,
                evidence: outage.shown_by.map(Evidence::Fact),
                planned,
                count: 1,
            };
            register.raise(sight.alerts, draft);
            self.blame(outage.from.0, register);
        }
        self.explain(&outage, register);
        if register.find(kind, "").is_some_and(|incident| incident.planned.as_deref() != planned)
            && let Some(incident) = register.open(kind, "")
        {
            incident.planned = planned.map(str::to_owned);
        }
    }

    /// What the signs of an outage say about it: the first cause, the last title.
    fn explain(&mut self, outage: &Outage, register: &mut Register) {
        let end = outage.to.map(|to| to.0);
        let (own, others) = std::mem::take(&mut self.signs)
            .into_iter()
            .partition(|sign| outage.from.0 <= sign.at && end.is_none_or(|end| sign.at <= end));
        self.signs = others;
        let own: Vec<Sign> = own;
        let reason = || outage.reason.clone();
        // What answers in the hub's place may be another thing now.
        if outage.reason.starts_with(NO_ANSWER)
            && register.find(IncidentKind::HubDown, "").is_some_and(|incident| {
                incident.cause.as_ref().is_some_and(|cause| cause.starts_with(NO_ANSWER) && *cause != outage.reason)
            })
            && let Some(incident) = register.open(IncidentKind::HubDown, "")
        {
            incident.cause = Some(outage.reason.clone());
        }
        if own.is_empty() && register.find(IncidentKind::HubDown, "").is_none_or(|incident| incident.cause.is_some()) {
            return;
        }
        let Some(incident) = register.open(IncidentKind::HubDown, "") else { return };
        for sign in own {
            // That it does not answer is no news of one that stopped.
            if incident.cause.is_none() || sign.title != "The hub did not answer" {
                sign.title.clone_into(&mut incident.title);
            }
            incident.cause = incident.cause.take().or(sign.cause);
            let evidence = Evidence::Fact(sign.fact);
            if !incident.evidence.contains(&evidence) {
                incident.evidence.push(evidence);
            }
        }
        incident.evidence.truncate(crate::judge::incident::MAX_EVIDENCE);
        incident.cause.get_or_insert_with(reason);
    }

    /// The process was replaced before anybody saw it away: it ended all the same.
    fn unseen_ends(&mut self, sight: &Sight<'_>, register: &mut Register) {
        for sign in std::mem::take(&mut self.signs).into_iter().filter(|sign| sign.is_an_end) {
            if register.is_open(IncidentKind::HubDown, "") {
                continue;
            }
            let draft = Draft {
                kind: IncidentKind::HubDown,
                subject: "",
                at: sign.at,
                title: sign.title.to_owned(),
                cause: sign.cause,
                effect: EFFECT,
                evidence: Some(Evidence::Fact(sign.fact)),
                planned: sign.planned.as_deref(),
                count: 1,
            };
            register.raise(sight.alerts, draft);
            self.blame(sign.at, register);
            register.settle(IncidentKind::HubDown, "", sign.at);
        }
    }

    /// Failed Gemini rounds just before the end are evidence for its cause.
    fn blame(&self, at: Timestamp, register: &mut Register) {
        let near = self.rounds.iter().filter(|(round, _)| at.since(*round) <= CAUSE_WINDOW && *round <= at);
        let facts: Vec<_> = near.map(|(_, fact)| Evidence::Fact(*fact)).collect();
        if let Some(incident) = register.open(IncidentKind::HubDown, "").filter(|_| !facts.is_empty()) {
            incident.evidence.extend(facts);
            incident.evidence.truncate(crate::judge::incident::MAX_EVIDENCE);
        }
    }
}
