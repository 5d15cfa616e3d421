//! Whether each server works: judged from its claimed status, its uptime, its last start and the log, never from the status alone.
//! A crashed stdio server stays `connected`, with an uptime of 0 and no error, for ever
//! (`tests/recordings/npm-4.2.1/servers-after-crash.json`).
//!
//! Only the API's list makes a server known. What a line says of one is a claim; [`Servers::weigh`] holds it against the list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hub::api::{self, since};
use crate::hub::interpret::Interpreter;
use crate::hub::lines::meaning::{Meaning, background_lines, call_lines, client_lines, hub_lines, process_lines};
use crate::hub::topics::claims::{Claimed, SAME_CLOSING, ServerClaim};
use crate::hub::topics::servers::connection::Connection;
use crate::hub::topics::servers::picture::is_dead;
use crate::watch::{ChangeCause, FactKind, Liveness, ServerChanged, Source, Text, Timestamp, When};

mod connection;
mod picture;
mod polled;

/// More servers than any hub has; beyond it they are not tracked.
pub const MAX_SERVERS: usize = 1024;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Server {
    liveness: Liveness,
    reason: Text,
    tools: Option<u32>,
    /// When a poll last confirmed the liveness.
    confirmed: Option<Timestamp>,
    /// Its process as last seen: id and start.
    child: Option<(u32, Timestamp)>,
    /// What brought about the last change.
    #[serde(default)]
    cause: Option<ChangeCause>,
    /// When connecting last began, as the hub's clock says.
    #[serde(default)]
    last_started: Option<Timestamp>,
    /// Whether it worked since then.
    #[serde(default)]
    was_up: bool,
    /// Since when polls have seen it connected with an uptime of 0.
    #[serde(default)]
    uncounted_since: Option<Timestamp>,
    /// Its connection, as the hub last counted it.
    #[serde(default)]
    connection: Option<Connection>,
    /// True if it was stopped through the API: then its next start is on request, too.
    #[serde(default)]
    stopped_on_request: bool,
    /// When its connection last closed.
    #[serde(default)]
    last_closing: Option<Timestamp>,
    /// When it last changed.
    #[serde(default)]
    changed: Option<Timestamp>,
    /// Whether it changed since the last poll.
    #[serde(default)]
    has_changed: bool,
    /// Whether this run has polled it.
    #[serde(skip)]
    was_polled: bool,
}

impl Server {
    fn new() -> Self {
        Self {
            liveness: Liveness::Unknown,
            reason: Text::new("nothing is known of it yet"),
            tools: None,
            confirmed: None,
            child: None,
            cause: None,
            last_started: None,
            was_up: false,
            uncounted_since: None,
            connection: None,
            stopped_on_request: false,
            last_closing: None,
            changed: None,
            has_changed: false,
            was_polled: false,
        }
    }
}

/// What the lines and polls say about the servers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Servers {
    by_name: BTreeMap<String, Server>,
    hub_stopping: bool,
    /// Whether the hub's process is new: that its servers come up is its own start.
    #[serde(default)]
    hub_starting: bool,
}

/// A change that was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noticed {
    /// When it happened.
    pub when: When,
    /// What showed it.
    pub source: Source,
    /// What it was.
    pub kind: FactKind,
}

/// A change, before it is known whether it is one.
#[derive(Debug, Clone, Copy)]
struct Change<'a> {
    to: Liveness,
    reason: &'a str,
    when: When,
    source: Source,
    cause: ChangeCause,
}

/// The times of one poll.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// When the request went out.
    pub asked: Timestamp,
    /// When the answer was there.
    pub now: Timestamp,
    /// What the hub's clock said then.
    pub hub_now: Timestamp,
    /// How far the hub's clock is ahead of ours, in microseconds.
    pub ahead: i64,
    /// When the hub's clock was last set while its process ran, at the latest.
    pub set_at: Option<Timestamp>,
}

/// What is known of why servers change: asked of the traces that requests and configurations leave.
pub trait Causes {
    /// Why this server came to be down or disabled then. `on_purpose` is whether the hub shows that it closed the connection itself.
    fn of_stop(&self, server: &str, when: When, on_purpose: bool) -> ChangeCause;
    /// Returns why this server was started then, if it is known.
    fn of_start(&self, server: &str, when: When) -> Option<ChangeCause>;
    /// Whether a request for a start or a stop at that time would have left a trace.
    fn would_show(&self, when: When) -> bool;
}

impl Servers {
    /// Whether the hub's list has such a server.
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// When the connection began that the list shows, as far as the hub's times tell.
    pub fn connected(&self, seen: &api::Server, times: Asked) -> Option<When> {
        match self.by_name.get(&seen.name) {
            Some(server) => server.connected_since(seen, times),
            None => since::connected(seen, times),
        }
    }

    /// Whether a server that the list shows is still of the start that was known before: its hub is the same process, whatever the
    /// clocks say.
    pub fn has_kept_a_start(&self, list: &api::Servers) -> bool {
        let kept = |seen: &api::Server| {
            let known = self.by_name.get(&seen.name).and_then(|server| server.last_started);
            seen.status == "connected" && known.is_some() && known == seen.last_started
        };
        list.servers.iter().any(kept)
    }

    /// Whether the server's connection closed so shortly before that a further line about it is of the same closing.
    pub fn closed_just_before(&self, name: &str, when: When) -> bool {
        let last = self.by_name.get(name).filter(|server| server.liveness != Liveness::Up).and_then(|server| server.last_closing);
        last.is_some_and(|last| when.earliest().since(last) <= SAME_CLOSING)
    }

    /// The hub began to stop: what happens to its servers now is no fault of theirs.
    pub fn hub_stopping(&mut self) {
        self.hub_stopping = true;
    }

    /// Another process of the hub started: what was known of its servers says nothing any more.
    pub fn hub_started(&mut self, when: When, source: Source) -> Vec<Noticed> {
        self.hub_stopping = false;
        self.hub_starting = true;
        for server in self.by_name.values_mut() {
            // The new process reads its configuration anew: what was asked of the one before is over.
            *server = Server { liveness: server.liveness, reason: server.reason.clone(), tools: server.tools, ..Server::new() };
        }
        self.all_unknown("the hub started anew", when, source)
    }

    /// The hub is gone: nothing is known of its servers.
    pub fn hub_gone(&mut self, when: When) -> Vec<Noticed> {
        self.all_unknown("the hub does not answer", when, Source::Poll)
    }

    /// Records that the hub answers without a list of servers: their state is unknown.
    pub fn not_told(&mut self, reason: &str, at: Timestamp) -> Vec<Noticed> {
        self.all_unknown(&format!("the hub did not list its servers: {reason}"), When::At(at), Source::Poll)
    }

    fn all_unknown(&mut self, reason: &str, when: When, source: Source) -> Vec<Noticed> {
        let names: Vec<String> = self.by_name.keys().cloned().collect();
        let change = Change { to: Liveness::Unknown, reason, when, source, cause: ChangeCause::Hub };
        names.iter().filter_map(|name| self.change(name, change)).collect()
    }

    /// A claim that was confirmed. `shown` is what the list shows of its server, and when; one that is not `listed` is not tracked.
    pub fn confirmed(
        &mut self,
        what: &ServerClaim,
        when: When,
        source: Source,
        shown: Option<(&api::Server, Asked)>,
        listed: bool,
        causes: &dyn Causes,
    ) -> Option<Noticed> {
        let seen = shown.map(|(seen, _)| seen);
        let name = what.server();
        if listed {
            self.server(name)?;
        }
        let hub_stopping = self.hub_stopping;
        let server = self.by_name.get(name)?;
        let (to, reason, cause) = match what {
            ServerClaim::Starting(_) => {
                (Liveness::Starting, "the hub starts it".to_owned(), self.start_cause(server, name, when, causes, true))
            }
            ServerClaim::Connected(_) => {
                (Liveness::Up, "the hub says that it connected".to_owned(), self.start_cause(server, name, when, causes, false))
            }
            ServerClaim::Closed { .. } if hub_stopping => (Liveness::Unknown, "the hub is stopping".to_owned(), ChangeCause::Hub),
            ServerClaim::Closed { twice, .. } => {
                let lost = shown.is_some_and(|(seen, times)| is_dead(seen, server, times.hub_now));
                let stopped =
                    seen.is_some_and(|seen| matches!(seen.status.as_str(), "disconnected" | "disabled") && seen.error.is_none());
                let failing = server.liveness == Liveness::Starting;
                let cause = if lost || failing { ChangeCause::Unprompted } else { causes.of_stop(name, when, *twice || stopped) };
                if seen.is_some_and(|seen| seen.status == "disabled") {
                    (Liveness::Disabled, "the hub was asked to disable it".to_owned(), cause)
                } else {
                    (Liveness::Down, "its connection closed".to_owned(), cause)
                }
            }
            ServerClaim::Failed { error, .. } => {
                (Liveness::Down, format!("it could not be started: {error}"), ChangeCause::Unprompted)
            }
        };
        let noticed = self.change(name, Change { to, reason: &reason, when, source, cause });
        let server = self.by_name.get_mut(name)?;
        match what {
            ServerClaim::Closed { .. } => {
                server.stopped_on_request = cause == ChangeCause::Requested;
                server.last_closing = Some(when.latest());
            }
            ServerClaim::Connected(_) => server.stopped_on_request = false,
            ServerClaim::Starting(_) | ServerClaim::Failed { .. } => {}
        }
        noticed
    }

    /// Why a server is started: as its traces say; by whom it was stopped; the hub's own start. `initializing` is whether the hub
    /// starts all of its servers, which it does by itself only when its process is new.
    fn start_cause(&self, server: &Server, name: &str, when: When, causes: &dyn Causes, initializing: bool) -> ChangeCause {
        let of_hub = self.hub_starting && !server.stopped_on_request;
        match causes.of_start(name, when) {
            Some(cause) => cause,
            // A hub that was gone and answers again has its servers as before.
            None if of_hub || server.liveness == Liveness::Unknown => ChangeCause::Hub,
            None if server.stopped_on_request || initializing => ChangeCause::Requested,
            // An outage on request ends on request; the start in a line had the same cause.
            None if server.liveness == Liveness::Starting => server.cause.unwrap_or(ChangeCause::Unprompted),
            // A stop and a start by hand between two polls look like a reconnection of the hub's own.
            None if server.liveness != Liveness::Up && !causes.would_show(when) => ChangeCause::Unknown,
            None => ChangeCause::Unprompted,
        }
    }

    fn change(&mut self, name: &str, change: Change<'_>) -> Option<Noticed> {
        let Change { to, reason, when, source, cause } = change;
        let server = self.by_name.get_mut(name)?;
        let from = std::mem::replace(&mut server.liveness, to);
        if from == to {
            return None;
        }
        server.reason = Text::new(reason);
        server.cause = Some(cause);
        (server.changed, server.has_changed) = (Some(when.latest()), true);
        let kind = ServerChanged { server: Text::new(name), from, to, reason: Text::new(reason), cause: Some(cause) };
        Some(Noticed { when, source, kind: kind.into() })
    }

    /// The server of this name: only names of the hub's list come here.
    fn server(&mut self, name: &str) -> Option<&mut Server> {
        if self.by_name.len() >= MAX_SERVERS && !self.by_name.contains_key(name) {
            return None;
        }
        Some(self.by_name.entry(name.to_owned()).or_insert_with(Server::new))
    }
}

impl Interpreter {
    pub(in crate::hub) fn of_server(&self, meaning: Meaning<'_>) -> Option<Claimed> {
        Some(Claimed::Server(match meaning {
            Meaning::ServerStarting(name) => ServerClaim::Starting(Text::new(name)),
            Meaning::ServerConnected(name) => ServerClaim::Connected(Text::new(name)),
            Meaning::ServerClosed(name) => ServerClaim::Closed { server: Text::new(name), twice: false },
            Meaning::ServerFailed { server, error } => ServerClaim::Failed { server: Text::new(server), error: self.masked(error) },
            process_lines!() | hub_lines!() | client_lines!() | background_lines!() | call_lines!() | Meaning::ExposureUpdated => {
                return None;
            }
        }))
    }
}

#[cfg(test)]
mod tests;
