//! Servers that go down, flap, never work, or lose their tools.

use std::collections::BTreeMap;

use super::register::{Draft, Register};
use super::window::Tide;
use super::{Seen, Sight};
use crate::judge::history::{Ending, Outage, ServerNews};
use crate::judge::incident::{Evidence, IncidentKind};
use crate::watch::{Liveness, ServerFact, Timestamp, ToolsChanged, Watch};

const UNUSABLE: &str = "calls of its tools failed; the hub may still have reported it as connected";

/// What is about one server, and is over with it.
const OVER_WITH_THE_SERVER: [IncidentKind; 3] = [IncidentKind::ServerDown, IncidentKind::ServerNeverUp, IncidentKind::ToolsLost];

#[derive(Debug, Clone, Default, PartialEq)]
struct ServerLife {
    cycles: Tide,
    attempts: Tide,
}

/// What a server did once more.
#[derive(Clone, Copy)]
enum Again {
    /// It went down and came back.
    CameBack,
    /// The hub tried to connect to it while it was down.
    Reconnected,
}

/// What is known of the servers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ServerLives(BTreeMap<String, ServerLife>);

impl ServerLives {
    pub(super) fn fact(&mut self, fact: &ServerFact, seen: &Seen<'_>, watch: &Watch, sight: &Sight<'_>, register: &mut Register) {
        match fact {
            ServerFact::ServerStartFailed(failed) => {
                if let Some(incident) = register.open(IncidentKind::ServerNeverUp, failed.server.as_str()) {
                    incident.cause = Some(failed.error.to_string());
                }
            }
            ServerFact::ToolsChanged(change) => {
                if sight.should_work(change.server.as_str()) {
                    tools(change, seen, watch, sight, register);
                }
            }
            // The servers' histories have the times when they were down.
            ServerFact::ServerChanged(_) => {}
            // Each server that did not start has its own fact.
            ServerFact::ServersStarted(_) => {}
        }
    }

    /// The clock jumped at the end of a Watch.
    pub(super) fn clock_jumped(&mut self, by: i64) {
        for ServerLife { cycles, attempts } in self.0.values_mut() {
            cycles.clock_jumped(by);
            attempts.clock_jumped(by);
        }
    }

    /// The times when they were down, as their histories have them.
    pub(super) fn lived(&mut self, servers: Vec<ServerNews>, sight: &Sight<'_>, register: &mut Register) {
        for news in servers {
            let name = news.name.as_str();
            if !sight.should_work(name) {
                self.leave(name, sight.now, register);
                continue;
            }
            for at in &news.life.attempts {
                self.again(name, *at, Again::Reconnected, sight, register);
            }
            for outage in &news.life.ended {
                let kind = down(outage, &news, sight, register);
                let Some(end) = outage.to else { continue };
                if outage.ending == Some(Ending::ByHand)
                    && let Some(incident) = register.open(kind, name)
                {
                    incident.title = format!("{} until it was restarted by hand", incident.title);
                }
                register.settle(kind, name, end.0);
                if matches!(outage.ending, Some(Ending::Recovered | Ending::ByHand | Ending::Unexplained)) {
                    self.again(name, end.0, Again::CameBack, sight, register);
                }
            }
            for kind in [IncidentKind::ServerDown, IncidentKind::ServerNeverUp] {
                register.withdraw(kind, name, news.life.open.as_ref());
            }
            // After the outages that it ended, so that none of them is opened again.
            if let Some(left) = news.left {
                self.leave(name, left, register);
            }
            if let Some(outage) = &news.life.open {
                down(outage, &news, sight, register);
            }
        }
    }

    /// The server is gone, or nothing more is known of it: what is about it is over.
    fn leave(&mut self, name: &str, at: Timestamp, register: &mut Register) {
        for kind in OVER_WITH_THE_SERVER {
            register.settle(kind, name, at);
        }
        if let Some(mut server) = self.0.remove(name) {
            server.cycles.end(IncidentKind::ServerFlapping, name, at, register);
            server.attempts.end(IncidentKind::ServerReconnecting, name, at, register);
        }
    }

    /// It went down and came back, or was started again, once more.
    fn again(&mut self, name: &str, at: Timestamp, what: Again, sight: &Sight<'_>, register: &mut Register) {
        let server = self.0.entry(name.to_owned()).or_default();
        let (kind, tide, words) = match what {
            Again::CameBack => (IncidentKind::ServerFlapping, &mut server.cycles, "went down and came back repeatedly (flapping)"),
            Again::Reconnected => (IncidentKind::ServerReconnecting, &mut server.attempts, "needed repeated attempts to reconnect"),
        };
        let draft = Draft {
            kind,
            subject: name,
            at,
            title: format!("Server {name} {words}"),
            cause: None,
            effect: "calls of its tools failed each time",
            evidence: None,
            planned: sight.plans.at(at),
            count: 1,
        };
        tide.rise(draft, sight, register);
    }

    /// Time has passed.
    pub(super) fn advance(&mut self, sight: &Sight<'_>, register: &mut Register) {
        for (name, server) in &mut self.0 {
            server.cycles.ebb(IncidentKind::ServerFlapping, name, sight.now, sight, register);
            server.attempts.ebb(IncidentKind::ServerReconnecting, name, sight.now, sight, register);
        }
    }
}

/// The incident of an outage.
fn down(outage: &Outage, news: &ServerNews, sight: &Sight<'_>, register: &mut Register) -> IncidentKind {
    let name = news.name.as_str();
    let mut outage = outage.clone();
    outage.measure(sight.now, sight.plans);
    // An outage that begins planned and goes on is unplanned from the window's end on.
    let planned = outage.planned.as_deref().filter(|_| outage.unplanned_us == 0);
    let (kind, title, effect) = match outage.is_the_first {
        true => (IncidentKind::ServerNeverUp, format!("Server {name} never worked"), "its tools were never available"),
        false => (IncidentKind::ServerDown, format!("Server {name} was down"), UNUSABLE),
    };
    match register.find(kind, name) {
        Some(incident) if incident.planned.as_deref() == planned => {}
        Some(_) => {
            if let Some(incident) = register.open(kind, name) {
                incident.planned = planned.map(str::to_owned);
            }
        }
        None => {
            let known = news.error.clone().filter(|_| outage.is_the_first);
            let cause = known.or(Some(outage.reason.clone()));
            let evidence = outage.shown_by.map(Evidence::Fact);
            let draft = Draft { kind, subject: name, at: outage.from.0, title, cause, effect, evidence, planned, count: 1 };
            register.raise(sight.alerts, draft);
        }
    }
    kind
}

fn tools(change: &ToolsChanged, seen: &Seen<'_>, watch: &Watch, sight: &Sight<'_>, register: &mut Register) {
    let name = change.server.as_str();
    let mut polls = watch.poll.iter().flat_map(|poll| &poll.servers);
    let works = polls.any(|server| server.name == change.server && server.liveness == Liveness::Up);
    if change.to > 0 {
        register.settle(IncidentKind::ToolsLost, name, seen.at);
    }
    if !works || change.from == 0 {
        return;
    }
    if change.to == 0 {
        let title = format!("Server {name} lost all its tools");
        register.raise(sight.alerts, seen.draft(IncidentKind::ToolsLost, name, title, "clients can't find its tools"));
    } else {
        let title = format!("Server {name} now offers {} tools, before {}", change.to, change.from);
        let effect = "clients may call tools that are gone";
        register.raise(sight.alerts, seen.draft(IncidentKind::ToolsChanged, name, title, effect));
        register.settle(IncidentKind::ToolsChanged, name, seen.at);
    }
}
