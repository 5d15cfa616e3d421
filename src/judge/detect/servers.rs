//! Servers that go down, flap, never work, or lose their tools.

use std::collections::BTreeMap;

use super::register::{Draft, Register};
use super::window::Window;
use super::{Seen, Sight};
use crate::judge::incident::IncidentKind;
use crate::watch::{FactKind, Liveness, Micros, Poll, ServerChanged, Timestamp, ToolsChanged, Watch};

/// A server that hangs while it is started keeps its hub starting for up to five minutes: until then it may still come.
const STARTING: Micros = Micros::new(5 * 60 * 1_000_000);

const UNUSABLE: &str = "its tools answered nothing; the hub may have gone on calling it connected";

#[derive(Debug, Clone, Default, PartialEq)]
struct ServerLife {
    was_up: bool,
    down: bool,
    first_seen: Option<Timestamp>,
    cycles: Window,
    attempts: Window,
    error: Option<String>,
}

/// What is known of the servers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ServerLives(BTreeMap<String, ServerLife>);

impl ServerLives {
    pub fn fact(&mut self, seen: &Seen<'_>, watch: &Watch, sight: &Sight<'_>, register: &mut Register) {
        match &seen.fact.kind {
            FactKind::ServerChanged(change) if sight.should_work(change.server.as_str()) => {
                self.changed(change, seen, sight, register);
            }
            FactKind::ServerStartFailed(failed) => {
                let name = failed.server.as_str();
                self.0.entry(name.to_owned()).or_default().error = Some(failed.error.to_string());
                if let Some(incident) = register.open(IncidentKind::ServerNeverUp, name) {
                    incident.cause = Some(failed.error.to_string());
                }
            }
            FactKind::ToolsChanged(change) if sight.should_work(change.server.as_str()) => {
                tools(change, seen, watch, sight, register);
            }
            _ => {}
        }
    }

    fn changed(&mut self, change: &ServerChanged, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        let name = change.server.as_str();
        let server = self.0.entry(name.to_owned()).or_default();
        match change.to {
            Liveness::Down if change.from == Liveness::Up => {
                server.down = true;
                let cause = Some(change.reason.to_string());
                let draft = seen.draft(IncidentKind::ServerDown, name, format!("Server {name} was down"), UNUSABLE);
                register.raise(sight.alerts, Draft { cause, ..draft });
            }
            Liveness::Starting if server.down => server.attempts.push(seen.at, 1),
            Liveness::Up => {
                server.was_up = true;
                if std::mem::take(&mut server.down) {
                    server.cycles.push(seen.at, 1);
                }
                register.settle(IncidentKind::ServerDown, name, seen.at);
                register.settle(IncidentKind::ServerNeverUp, name, seen.at);
            }
            // A hub that is gone leaves the question open.
            Liveness::Unknown | Liveness::Disabled => {
                server.down = false;
                register.settle(IncidentKind::ServerDown, name, seen.at);
            }
            _ => {}
        }
        server.again_and_again(name, seen.at, seen.planned, sight, register);
    }

    pub fn poll(&mut self, poll: &Poll, watch: &Watch, sight: &Sight<'_>, register: &mut Register) {
        let now = watch.interval.end();
        for seen in &poll.servers {
            let name = seen.name.as_str();
            let server = self.0.entry(name.to_owned()).or_default();
            let first = *server.first_seen.get_or_insert(now);
            server.was_up |= seen.liveness == Liveness::Up;
            if !sight.should_work(name) {
                continue;
            }
            let late = seen.liveness == Liveness::Starting && now.since(first) > STARTING;
            if !server.was_up && (late || matches!(seen.liveness, Liveness::Down | Liveness::Unauthorized)) {
                never_up(name, first, seen.error.as_ref().map(ToString::to_string).or(server.error.clone()), sight, register);
            }
            server.again_and_again(name, now, sight.plans.at(now), sight, register);
        }
    }
}

impl ServerLife {
    /// Flapping, and attempts to reconnect, within their windows.
    fn again_and_again(&mut self, name: &str, now: Timestamp, planned: Option<&str>, sight: &Sight<'_>, register: &mut Register) {
        let kinds = [
            (IncidentKind::ServerFlapping, &mut self.cycles, "went down and came back again and again"),
            (IncidentKind::ServerReconnecting, &mut self.attempts, "was reconnected again and again"),
        ];
        for (kind, window, words) in kinds {
            let alert = sight.alerts.of(kind);
            let count = window.within(alert.window, now);
            let Some((first, last)) = window.span().filter(|_| count > alert.threshold) else {
                register.settle(kind, name, now);
                continue;
            };
            let title = format!("Server {name} {words}");
            let effect = "its clients lost their calls each time";
            let draft = Draft { kind, subject: name, at: first, title, cause: None, effect, evidence: None, planned, count: 0 };
            if let Some(incident) = register.raise(sight.alerts, draft) {
                incident.count = incident.count.max(count);
                let _ = last;
            }
        }
    }
}

fn never_up(name: &str, first: Timestamp, cause: Option<String>, sight: &Sight<'_>, register: &mut Register) {
    if register.is_open(IncidentKind::ServerNeverUp, name) {
        return;
    }
    let draft = Draft {
        kind: IncidentKind::ServerNeverUp,
        subject: name,
        at: first,
        title: format!("Server {name} never worked"),
        cause,
        effect: "its tools were never offered",
        evidence: None,
        planned: sight.plans.at(first),
        count: 1,
    };
    register.raise(sight.alerts, draft);
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
        let title = format!("Server {name} offers no tools any more");
        register.raise(sight.alerts, seen.draft(IncidentKind::ToolsLost, name, title, "clients find none of its tools"));
    } else {
        let title = format!("Server {name} offers {} tools instead of {}", change.to, change.from);
        let effect = "clients may call tools that are gone";
        register.raise(sight.alerts, seen.draft(IncidentKind::ToolsChanged, name, title, effect));
        register.settle(IncidentKind::ToolsChanged, name, seen.at);
    }
}
