//! What the Watches of a played hub tell, and what is judged of it.

use std::collections::BTreeMap;

use hubwatch::judge::incident::IncidentKind;
use hubwatch::judge::{Assessment, Judge};
use hubwatch::watch::{
    ChangeCause, ClaimKind, ClaimRefusal, Fact, FactKind, HubFact, Liveness, LogFact, Poll, ServerFact, Timestamp, Watch,
};

use super::START;

/// What the Watches tell.
pub(crate) struct Told {
    pub watches: Vec<Watch>,
}

impl Told {
    pub(crate) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.watches.iter().flat_map(|watch| &watch.facts)
    }

    /// The hub's starts and ends, in words, each with its second.
    pub(crate) fn life(&self) -> Vec<(&'static str, f64)> {
        let named = |fact: &Fact| match &fact.kind {
            FactKind::Hub(HubFact::HubStarted(_)) => Some("started"),
            FactKind::Hub(HubFact::HubStopping(_)) => Some("stopping"),
            FactKind::Hub(HubFact::HubStopped(_)) => Some("stopped"),
            FactKind::Hub(HubFact::HubExited(_)) => Some("exited"),
            FactKind::Hub(HubFact::HubUnreachable(_)) => Some("unreachable"),
            FactKind::Hub(HubFact::HubReachable(_)) => Some("reachable"),
            _ => None,
        };
        self.facts().filter_map(|fact| Some((named(fact)?, second(fact.when.latest())))).collect()
    }

    /// Only what it was, without the polls' own.
    pub(crate) fn ends_and_starts(&self) -> Vec<&'static str> {
        self.life().into_iter().map(|(what, _)| what).filter(|what| !what.ends_with("reachable")).collect()
    }

    /// The changes of a server.
    pub(crate) fn changes(&self, name: &str) -> Vec<(Liveness, ChangeCause)> {
        self.facts()
            .filter_map(|fact| match &fact.kind {
                FactKind::Server(ServerFact::ServerChanged(change)) if change.server.as_str() == name => {
                    Some((change.to, change.cause.unwrap()))
                }
                _ => None,
            })
            .collect()
    }

    /// When a server changed to this for the first time after then.
    pub(crate) fn changed_at(&self, name: &str, to: Liveness, after: f64) -> Option<f64> {
        self.facts().find_map(|fact| match &fact.kind {
            FactKind::Server(ServerFact::ServerChanged(change))
                if change.server.as_str() == name && change.to == to && second(fact.when.latest()) >= after =>
            {
                Some(second(fact.when.latest()))
            }
            _ => None,
        })
    }

    /// The claims that were not believed.
    pub(crate) fn refused(&self) -> BTreeMap<(ClaimKind, ClaimRefusal), u64> {
        let mut refused = BTreeMap::new();
        for fact in self.facts() {
            if let FactKind::Log(LogFact::ClaimsDropped(dropped)) = &fact.kind {
                *refused.entry((dropped.claim, dropped.refusal)).or_default() += dropped.count.get();
            }
        }
        refused
    }

    /// Whether it was told that the log is shared.
    pub(crate) fn is_shared(&self) -> bool {
        self.facts().any(|fact| matches!(fact.kind, FactKind::Log(LogFact::LogShared(_))))
    }

    pub(crate) fn last_poll(&self) -> &Poll {
        self.watches.iter().rev().find_map(|watch| watch.poll.as_ref()).unwrap()
    }

    /// What is judged of it.
    pub(crate) fn judged(&self) -> Assessment {
        let mut judge = Judge::new(Vec::new(), self.watches[0].interval.start());
        for watch in &self.watches {
            judge.take(watch);
        }
        judge.assess(self.watches.last().unwrap().interval.end())
    }

    /// The incidents, by their kinds and subjects.
    pub(crate) fn incidents(&self) -> Vec<String> {
        let awaited = IncidentKind::HubAwaited;
        self.judged()
            .incidents
            .iter()
            .filter(|incident| incident.kind != awaited)
            .map(|incident| format!("{} {}", incident.kind, incident.subject))
            .collect()
    }
}

/// A time, in seconds after the beginning.
pub(crate) fn second(at: Timestamp) -> f64 {
    let micros = at.get() as f64 - (START * 1_000_000) as f64;
    (micros / 1e5).round() / 10.0
}
