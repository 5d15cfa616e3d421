//! Whether each server works: judged from its claimed status, its uptime, its last start and the log, never from the status alone.
//! A crashed stdio server stays `connected`, with an uptime of 0 and no error, for ever
//! (`captures/npm-4.2.1/servers-after-crash.json`).
//!
//! Only the API's list makes a server known. What a line says of one is a claim; [`Servers::weigh`] holds it against the list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::watch::{
    ChangeCause, ClaimRefusal, FactKind, Liveness, Micros, ServerChanged, ServerPoll, Source, Text, Timestamp, ToolsChanged, When,
};

use super::children::{self, Child};
use super::claims::{Claim, Decision, SAME_CLOSING, ServerClaim};
use crate::hub::api;
use crate::hub::api::since;

/// A connection counts up after one second. With the second that rounding takes, an uptime that is still 0 s after this is a dead
/// server's.
pub const FRESH_START: Micros = Micros::new(2_000_000);

/// A hub gives up a server that does not connect within five minutes; this is twice as long. One that began to connect before, calls
/// itself connected and does not count up has been lost since.
const LONGEST_START: Micros = Micros::new(10 * 60 * 1_000_000);

/// More servers than any hub has; beyond it they are not tracked.
pub const MAX_SERVERS: usize = 1024;

/// How far a time of ours and one of the hub's may be apart after the clocks were compared: an answer's way takes some milliseconds.
const CLOCK_ERROR: Micros = Micros::new(300_000);

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
    /// Since when polls have seen it connected with an uptime of 0, by the hub's clock.
    #[serde(default)]
    zero_since: Option<Timestamp>,
    /// Whether the hub's API was asked to stop it, so that whoever starts it again asks, too.
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
            zero_since: None,
            stopped_on_request: false,
            last_closing: None,
            changed: None,
            has_changed: false,
            was_polled: false,
        }
    }

    /// When it changed, as noticed between two polls, and as the hub's own times tell it.
    fn turned(&self, to: Liveness, noticed: When, seen: &api::Server, times: Asked) -> When {
        match to {
            // A connection that outlasted the time in which nothing was known of it says when it came up, and not when it was known again.
            Liveness::Up if self.liveness == Liveness::Unknown => {
                let told = since::connected(seen, times).filter(|told| self.changed.is_some_and(|changed| told.latest() > changed));
                since::narrowed(noticed, told)
            }
            Liveness::Up => since::narrowed(noticed, since::connected(seen, times)),
            Liveness::Starting => since::narrowed(noticed, since::started(seen, times)),
            Liveness::Down | Liveness::Unauthorized | Liveness::Disabled | Liveness::Removed | Liveness::Unknown => noticed,
        }
    }

    /// Whether the hub started a working server anew since the last poll, and no line told of it.
    fn was_restarted_silently(&self, seen: &api::Server) -> bool {
        let anew = seen.last_started.is_some() && self.last_started.is_some() && seen.last_started != self.last_started;
        anew && self.was_polled && !self.has_changed && self.liveness == Liveness::Up && seen.status == "connected"
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
}

/// What is known of why servers change: asked of the traces that requests and configurations leave.
pub trait Causes {
    /// Why this server came to be down or disabled then. `on_purpose` is whether the hub shows that it closed the connection itself.
    fn of_stop(&self, server: &str, when: When, on_purpose: bool) -> ChangeCause;
    /// Why this server was started then, if anything tells.
    fn of_start(&self, server: &str, when: When) -> Option<ChangeCause>;
    /// Whether a request for a start or a stop at that time would have left a trace.
    fn would_show(&self, when: When) -> bool;
}

impl Servers {
    /// Whether the hub's list has such a server.
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
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

    /// The hub answers, and does not tell of its servers: nothing is known of them at this time.
    pub fn not_told(&mut self, reason: &str, at: Timestamp) -> Vec<Noticed> {
        self.all_unknown(&format!("the hub did not list its servers: {reason}"), When::At(at), Source::Poll)
    }

    fn all_unknown(&mut self, reason: &str, when: When, source: Source) -> Vec<Noticed> {
        let names: Vec<String> = self.by_name.keys().cloned().collect();
        let change = Change { to: Liveness::Unknown, reason, when, source, cause: ChangeCause::Hub };
        names.iter().filter_map(|name| self.change(name, change)).collect()
    }

    /// Whether the hub's list confirms or contradicts what a line claims of one of its servers. `rest` are the later claims.
    /// `complete` is whether the hub has read its configuration: before that its list is not whole.
    pub fn weigh<'a>(
        &self,
        claim: &Claim,
        what: &ServerClaim,
        rest: impl Iterator<Item = &'a ServerClaim>,
        answer: &api::Servers,
        times: Asked,
        complete: bool,
    ) -> Decision {
        // What was read after the request went out may be news that the answer could not have.
        let known_then = claim.read <= times.asked;
        let unless = |fits: bool, refusal| match (fits, known_then) {
            (true, _) => Decision::Confirmed,
            (false, true) => Decision::Refused(refusal),
            (false, false) => Decision::Waits,
        };
        let Some(seen) = answer.servers.iter().find(|seen| seen.name == what.server()) else {
            // One that was listed before is removed, and its connection was closed for that.
            let removed = self.knows(what.server());
            return match complete {
                true if removed => Decision::Known,
                true => unless(false, ClaimRefusal::NotListed),
                false => Decision::Waits,
            };
        };
        let earliest = claim.earliest_by_hub_clock(times.ahead);
        let server = self.by_name.get(&seen.name);
        let mut later = rest.filter(|later| later.server() == what.server());
        let contradicted = |fits| unless(fits, ClaimRefusal::Contradicted);
        match Picture::of(seen, server, times.hub_now) {
            // Nothing happened to it since it connected.
            Picture::Up { since } => contradicted(earliest <= since.plus(CLOCK_ERROR)),
            Picture::Connecting { since } => contradicted(
                since.is_none_or(|since| earliest <= since.plus(FRESH_START)) && !matches!(what, ServerClaim::Connected(_)),
            ),
            Picture::Dead => contradicted(match what {
                ServerClaim::Closed { .. } => true,
                // It connected, and was lost again before the poll.
                ServerClaim::Starting(_) | ServerClaim::Connected(_) | ServerClaim::Failed { .. } => {
                    later.any(|later| matches!(later, ServerClaim::Closed { .. }))
                }
            }),
            Picture::JustConnected { since } => match what {
                ServerClaim::Connected(_) | ServerClaim::Starting(_) => Decision::Confirmed,
                // What began before the present attempt to connect is of the connection before.
                ServerClaim::Closed { .. } | ServerClaim::Failed { .. } if since.is_some_and(|since| earliest <= since) => {
                    Decision::Confirmed
                }
                ServerClaim::Closed { .. } | ServerClaim::Failed { .. } => Decision::Waits,
            },
            Picture::Off => contradicted(match what {
                ServerClaim::Closed { .. } => true,
                ServerClaim::Failed { error, .. } => seen.error.as_deref().is_some_and(|told| is_same_error(told, error.as_str())),
                ServerClaim::Starting(_) | ServerClaim::Connected(_) => {
                    // It came to nothing: the line that says so must be here, too.
                    let failed = |later: &ServerClaim| match later {
                        ServerClaim::Failed { error, .. } => {
                            seen.error.as_deref().is_some_and(|told| is_same_error(told, error.as_str()))
                        }
                        ServerClaim::Closed { .. } => true,
                        ServerClaim::Starting(_) | ServerClaim::Connected(_) => false,
                    };
                    later.any(failed)
                }
            }),
            Picture::Other => Decision::Confirmed,
        }
    }

    /// A claim that was confirmed. `seen` is what the list shows of its server; one that is not `listed` is not tracked.
    pub fn confirmed(
        &mut self,
        what: &ServerClaim,
        when: When,
        source: Source,
        seen: Option<&api::Server>,
        listed: bool,
        causes: &dyn Causes,
    ) -> Option<Noticed> {
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
                let lost = seen.is_some_and(|seen| is_dead(seen, server));
                let stopped =
                    seen.is_some_and(|seen| matches!(seen.status.as_str(), "disconnected" | "disabled") && seen.error.is_none());
                let failing = server.liveness == Liveness::Starting;
                let cause = if lost || failing { ChangeCause::Unprompted } else { causes.of_stop(name, when, *twice || stopped) };
                if seen.is_some_and(|seen| seen.status == "disabled") {
                    (Liveness::Disabled, "the hub was told to disable it".to_owned(), cause)
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
            // An outage that was asked for ends on request; the start that a line told was of the same cause.
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

    /// A poll shows the servers. `children` are the hub's child processes, where they can be seen.
    pub fn poll(
        &mut self,
        answer: &api::Servers,
        children: Option<&[Child]>,
        times: Asked,
        causes: &dyn Causes,
    ) -> (Vec<ServerPoll>, Vec<Noticed>) {
        let mut noticed = Vec::new();
        for seen in &answer.servers {
            noticed.extend(self.poll_server(seen, children, times, causes));
        }
        let mut polls: Vec<ServerPoll> = answer.servers.iter().map(|seen| self.as_poll(seen)).collect();
        children::assign(&mut polls, answer, children.unwrap_or_default());
        for poll in &polls {
            // Which process is a server's is sure once it works: while servers start, several are new.
            if let (Some(server), Some(pid), Some(started)) =
                (self.by_name.get_mut(poll.name.as_str()).filter(|server| server.was_up), poll.child_pid, poll.child_started)
            {
                server.child = Some((pid, started));
            }
        }
        (polls, noticed)
    }

    /// The servers that the hub's list no longer has are gone: somebody took them out of the configuration. Asked only of a list that
    /// is whole.
    pub fn removed(&mut self, answer: &api::Servers, times: Asked) -> Vec<Noticed> {
        self.hub_starting = false;
        let listed = |name: &str| answer.servers.iter().any(|seen| seen.name == name);
        let gone: Vec<String> = self.by_name.keys().filter(|name| !listed(name)).cloned().collect();
        let mut noticed = Vec::new();
        for name in gone {
            let last = self.by_name.get(&name).and_then(|server| server.confirmed).unwrap_or(times.asked);
            let when = When::between(last.min(times.asked), times.now);
            let reason = "the hub's configuration no longer has it";
            let change = Change { to: Liveness::Removed, reason, when, source: Source::Poll, cause: ChangeCause::Configured };
            noticed.extend(self.change(&name, change));
            self.by_name.remove(&name);
        }
        noticed
    }

    fn poll_server(&mut self, seen: &api::Server, children: Option<&[Child]>, times: Asked, causes: &dyn Causes) -> Vec<Noticed> {
        let Asked { asked, now, hub_now, .. } = times;
        let Some(server) = self.server(&seen.name) else { return Vec::new() };
        let earliest = server.confirmed.unwrap_or(asked).min(asked);
        let tools = seen.capabilities.tools.0;
        let tools_before = server.tools.replace(tools).filter(|before| *before != tools);
        let when = When::between(earliest, now);
        let mut noticed = Vec::new();
        if server.was_restarted_silently(seen) {
            noticed.extend(self.restarted_silently(seen, when, times, causes));
        }
        let Some(server) = self.by_name.get_mut(&seen.name) else { return noticed };
        let judged = judge(seen, server, children, hub_now);
        (server.confirmed, server.was_polled, server.has_changed) = (Some(now), true, false);
        if let Some((to, reason)) = judged {
            if to == server.liveness {
                server.reason = Text::new(reason);
            }
            let cause = self.polled_cause(seen, to, when, causes);
            let turned = self.by_name.get(&seen.name).map_or(when, |server| server.turned(to, when, seen, times));
            noticed.extend(self.change(&seen.name, Change { to, reason, when: turned, source: Source::Poll, cause }));
            if let Some(server) = self.by_name.get_mut(&seen.name) {
                server.has_changed = false;
                server.stopped_on_request = match to {
                    Liveness::Up => false,
                    // A stop cleans everything up, a failed start leaves its error.
                    Liveness::Down | Liveness::Disabled => {
                        server.stopped_on_request || (seen.error.is_none() && seen.status != "connected")
                    }
                    _ => server.stopped_on_request,
                };
            }
        }
        if let Some(from) = tools_before {
            let kind = ToolsChanged { server: Text::new(&*seen.name), from, to: tools };
            noticed.push(Noticed { when, source: Source::Poll, kind: kind.into() });
        }
        noticed
    }

    /// It worked at both polls, and its start is another one: it was away between them.
    fn restarted_silently(&mut self, seen: &api::Server, when: When, times: Asked, causes: &dyn Causes) -> Option<Noticed> {
        let cause = match causes.of_start(&seen.name, when) {
            Some(cause) => cause,
            None if causes.would_show(when) => ChangeCause::Unprompted,
            None => ChangeCause::Unknown,
        };
        let when = since::narrowed(when, since::started(seen, times));
        let reason = "the hub started it anew between two polls";
        self.change(&seen.name, Change { to: Liveness::Starting, reason, when, source: Source::Poll, cause })
    }

    /// Why a server is as the poll shows it.
    fn polled_cause(&self, seen: &api::Server, to: Liveness, when: When, causes: &dyn Causes) -> ChangeCause {
        let Some(server) = self.by_name.get(&seen.name) else { return ChangeCause::Unprompted };
        match to {
            Liveness::Up | Liveness::Starting => self.start_cause(server, &seen.name, when, causes, false),
            // The hub itself never calls a server disconnected that it did not stop, unless it could not start it.
            Liveness::Down if seen.status == "disconnected" && seen.error.is_none() => causes.of_stop(&seen.name, when, true),
            Liveness::Disabled => causes.of_stop(&seen.name, when, true),
            Liveness::Down | Liveness::Unauthorized | Liveness::Unknown | Liveness::Removed => ChangeCause::Unprompted,
        }
    }

    fn as_poll(&self, seen: &api::Server) -> ServerPoll {
        let (liveness, reason, cause) = match self.by_name.get(&seen.name) {
            Some(server) => (server.liveness, server.reason.clone(), server.cause),
            None => (Liveness::Unknown, Text::new("the hub has more servers than are watched"), None),
        };
        ServerPoll {
            name: Text::new(&*seen.name),
            transport: Text::new(seen.transport.as_deref().unwrap_or("unknown")),
            status: Text::new(&*seen.status),
            liveness,
            reason,
            cause,
            uptime: api::seconds(seen.uptime),
            tools: seen.capabilities.tools.0,
            error: seen.error.as_deref().map(Text::from),
            child_pid: None,
            child_started: None,
            child_rss: None,
            child_cpu_time: None,
        }
    }
}

/// What the hub's list shows of a server, in the hub's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Picture {
    /// It has been connected without a break since then.
    Up { since: Timestamp },
    /// It is being connected, since then.
    Connecting { since: Option<Timestamp> },
    /// It was connected and is not any more, whatever its status says.
    Dead,
    /// It calls itself connected and its uptime does not count: it connected within the last second, or died.
    JustConnected { since: Option<Timestamp> },
    /// It is stopped, disabled, not authorised, or could not be started.
    Off,
    /// A status that is not known.
    Other,
}

impl Picture {
    fn of(seen: &api::Server, server: Option<&Server>, hub_now: Timestamp) -> Self {
        match seen.status.as_str() {
            "connected" if seen.uptime > 0.0 => Self::Up { since: hub_now.minus(api::seconds(seen.uptime)) },
            "connected" if server.is_some_and(|server| is_dead(seen, server) || is_overdue(server, hub_now)) => Self::Dead,
            "connected" if outlasts_any_start(seen, hub_now) => Self::Dead,
            "connected" => Self::JustConnected { since: seen.last_started },
            "connecting" => Self::Connecting { since: seen.last_started },
            "disconnected" | "disabled" | "unauthorized" => Self::Off,
            _ => Self::Other,
        }
    }
}

/// Whether an uptime of 0 means that the server died: it worked since it was last started.
fn is_dead(seen: &api::Server, server: &Server) -> bool {
    let same_start = seen.last_started.is_some() && seen.last_started == server.last_started;
    seen.status == "connected" && seen.uptime <= 0.0 && same_start && server.was_up
}

/// Whether the uptime has stayed 0 for longer than a fresh connection's does.
fn is_overdue(server: &Server, hub_now: Timestamp) -> bool {
    server.zero_since.is_some_and(|since| hub_now.since(since) >= FRESH_START)
}

/// Whether no start takes so long: a server that is not counting up was lost.
fn outlasts_any_start(seen: &api::Server, hub_now: Timestamp) -> bool {
    seen.last_started.is_some_and(|began| hub_now.since(began) > LONGEST_START)
}

/// Whether the API's error is the one of the line: it may be longer or cut.
fn is_same_error(told: &str, line: &str) -> bool {
    let short = |text: &str| text.chars().take(80).collect::<String>();
    told.contains(&short(line)) || line.contains(&short(told))
}

/// What a poll says about a server; `None` where it decides nothing.
fn judge(
    seen: &api::Server,
    server: &mut Server,
    children: Option<&[Child]>,
    hub_now: Timestamp,
) -> Option<(Liveness, &'static str)> {
    let restarted = seen.last_started.is_some() && server.last_started.is_some() && seen.last_started != server.last_started;
    let dead = is_dead(seen, server);
    if restarted {
        (server.was_up, server.zero_since, server.child) = (false, None, None);
    }
    server.last_started = seen.last_started;
    let zero = seen.status == "connected" && seen.uptime <= 0.0;
    if !zero {
        server.zero_since = None;
    }
    Some(match seen.status.as_str() {
        "connected" if !zero => {
            server.was_up = true;
            // A process that went between the answer and our look at it may have been replaced since; the uptime says that it was.
            let _ = child_is_gone(server, children);
            (Liveness::Up, "connected, and its uptime counts")
        }
        "connected" => {
            let gone = child_is_gone(server, children);
            if dead || outlasts_any_start(seen, hub_now) || is_overdue(server, hub_now) {
                return Some((Liveness::Down, "the status says connected, but its uptime stays 0"));
            }
            server.zero_since.get_or_insert(hub_now);
            match server.liveness {
                _ if gone && server.was_up => (Liveness::Down, "its process is gone"),
                Liveness::Unknown | Liveness::Disabled | Liveness::Unauthorized | Liveness::Removed => {
                    (Liveness::Starting, "connected, and its uptime does not count yet")
                }
                Liveness::Down if restarted => (Liveness::Starting, "connected, and its uptime does not count yet"),
                Liveness::Up | Liveness::Down | Liveness::Starting => return None,
            }
        }
        "connecting" => (Liveness::Starting, "the status says connecting"),
        "disconnected" => {
            server.was_up = false;
            (Liveness::Down, "the status says disconnected")
        }
        "unauthorized" => (Liveness::Unauthorized, "the status says unauthorized"),
        "disabled" => {
            server.was_up = false;
            (Liveness::Disabled, "the status says disabled")
        }
        _ => (Liveness::Unknown, "the status says something unheard of"),
    })
}

/// Whether the server's process was known and is no longer there.
fn child_is_gone(server: &mut Server, children: Option<&[Child]>) -> bool {
    let Some(children) = children else { return false };
    let gone = server.child.is_some_and(|known| children.iter().all(|child| (child.pid, child.started) != known));
    if gone {
        server.child = None;
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::super::claims::{Claimed, Requests};
    use super::*;
    use crate::watch::{RecordUid, ServerFact, WatcherId};

    fn server(status: &str, uptime: f64, started: Option<u64>) -> api::Server {
        api::Server {
            name: "filesystem".into(),
            transport: Some("stdio".into()),
            status: status.into(),
            error: None,
            capabilities: api::Capabilities { tools: api::Length(14) },
            uptime,
            last_started: started.map(Timestamp::from_secs),
        }
    }

    fn answer(server: api::Server, now: u64) -> api::Servers {
        api::Servers { servers: vec![server], timestamp: Some(Timestamp::from_secs(now)) }
    }

    fn times(at: u64) -> Asked {
        let now = Timestamp::from_secs(at);
        Asked { asked: Timestamp::from_millis(at * 1_000 - 5), now, hub_now: now, ahead: 0 }
    }

    type Seen = (Liveness, Liveness, Option<ChangeCause>);

    fn poll(servers: &mut Servers, seen: api::Server, at: u64) -> Vec<Seen> {
        let (_, noticed) = servers.poll(&answer(seen, at), None, times(at), &Requests::default());
        noticed.iter().filter_map(changed).collect()
    }

    fn changed(noticed: &Noticed) -> Option<Seen> {
        match &noticed.kind {
            FactKind::Server(ServerFact::ServerChanged(change)) => Some((change.from, change.to, change.cause)),
            _ => None,
        }
    }

    fn claim(what: ServerClaim, at: u64) -> Claim {
        Claim {
            uid: RecordUid::of_line(WatcherId::from_seed(b"test"), "log", 0, at),
            ordinal: 0,
            when: When::At(Timestamp::from_secs(at)),
            said: Some(Timestamp::from_secs(at)),
            earliest: Timestamp::from_secs(at),
            read: Timestamp::from_secs(at),
            source: Source::Log,
            pid: None,
            own: false,
            what: Claimed::Server(what),
        }
    }

    fn weigh(servers: &Servers, what: ServerClaim, said: u64, seen: api::Server, at: u64) -> Decision {
        servers.weigh(&claim(what.clone(), said), &what, std::iter::empty(), &answer(seen, at), times(at), true)
    }

    fn closed() -> ServerClaim {
        ServerClaim::Closed { server: Text::new("filesystem"), twice: false }
    }

    const UNPROMPTED: Option<ChangeCause> = Some(ChangeCause::Unprompted);
    const REQUESTED: Option<ChangeCause> = Some(ChangeCause::Requested);
    const HUB: Option<ChangeCause> = Some(ChangeCause::Hub);

    #[test]
    fn a_crashed_server_that_stays_connected_is_down() {
        let mut servers = Servers::default();
        assert_eq!(poll(&mut servers, server("connected", 7.0, Some(100)), 107), [(Liveness::Unknown, Liveness::Up, HUB)]);
        assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 122), [(Liveness::Up, Liveness::Down, UNPROMPTED)]);
        assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 137), []);
    }

    #[test]
    fn a_server_that_took_six_seconds_to_start_is_not_down_when_it_has_just_connected() {
        let mut servers = Servers::default();
        assert_eq!(poll(&mut servers, server("connecting", 0.0, Some(100)), 101), [(Liveness::Unknown, Liveness::Starting, HUB)]);
        assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 106), []);
        assert_eq!(poll(&mut servers, server("connected", 15.0, Some(100)), 121), [(Liveness::Starting, Liveness::Up, HUB)]);
    }

    #[test]
    fn who_begins_to_watch_a_server_with_an_uptime_of_zero_waits_for_the_next_poll() {
        for (uptime, to) in [(0.0, Liveness::Down), (15.0, Liveness::Up)] {
            let mut servers = Servers::default();
            assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 400)[0].1, Liveness::Starting);
            assert_eq!(poll(&mut servers, server("connected", uptime, Some(100)), 415)[0].1, to);
        }
    }

    #[test]
    fn two_looks_within_a_second_are_not_enough_to_call_a_fresh_server_dead() {
        let mut servers = Servers::default();
        poll(&mut servers, server("connecting", 0.0, Some(100)), 105);
        assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 106), []);
        assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 107), []);
    }

    #[test]
    fn a_restarted_server_that_has_just_connected_is_not_down() {
        let mut servers = Servers::default();
        poll(&mut servers, server("connected", 7.0, Some(100)), 107);
        let unknown = Some(ChangeCause::Unknown);
        assert_eq!(poll(&mut servers, server("connected", 0.0, Some(116)), 122), [(Liveness::Up, Liveness::Starting, unknown)]);
        assert_eq!(poll(&mut servers, server("connected", 15.0, Some(116)), 137), [(Liveness::Starting, Liveness::Up, unknown)]);
        // One that counts again at the next poll leaves the same trace.
        let both = [(Liveness::Up, Liveness::Starting, unknown), (Liveness::Starting, Liveness::Up, unknown)];
        assert_eq!(poll(&mut servers, server("connected", 5.0, Some(146)), 152), both);
    }

    #[test]
    fn while_servers_start_nobody_s_process_is_missed() {
        let child = |pid| Child {
            pid,
            started: Timestamp::from_secs(100),
            rss: crate::watch::Bytes::new(1),
            cpu_time: Micros::new(1),
            command: "node server".to_owned(),
        };
        let mut servers = Servers::default();
        let mut look = |seen: api::Server, pid: u32, at: u64| {
            let (polls, noticed) = servers.poll(&answer(seen, at), Some(&[child(pid)]), times(at), &Requests::default());
            (polls[0].child_pid, noticed.iter().filter_map(changed).map(|(_, to, _)| to).collect::<Vec<_>>())
        };
        assert_eq!(look(server("connecting", 0.0, Some(100)), 5, 101), (Some(5), vec![Liveness::Starting]));
        assert_eq!(look(server("connected", 0.0, Some(100)), 6, 106), (Some(6), vec![]));
        assert_eq!(look(server("connected", 15.0, Some(100)), 6, 121), (Some(6), vec![Liveness::Up]));
    }

    #[test]
    fn a_stop_and_what_follows_it_were_asked_for() {
        let mut servers = Servers::default();
        poll(&mut servers, server("connected", 7.0, Some(100)), 107);
        assert_eq!(poll(&mut servers, server("disconnected", 0.0, None), 122), [(Liveness::Up, Liveness::Down, REQUESTED)]);
        assert_eq!(poll(&mut servers, server("connected", 3.0, Some(133)), 137), [(Liveness::Down, Liveness::Up, REQUESTED)]);
        assert_eq!(poll(&mut servers, server("disabled", 0.0, None), 152), [(Liveness::Up, Liveness::Disabled, REQUESTED)]);
        assert_eq!(poll(&mut servers, server("connected", 3.0, Some(163)), 167), [(Liveness::Disabled, Liveness::Up, REQUESTED)]);
    }

    #[test]
    fn a_crashed_server_that_somebody_stops_and_starts_did_not_recover_by_itself() {
        let mut servers = Servers::default();
        poll(&mut servers, server("connected", 7.0, Some(100)), 107);
        assert_eq!(poll(&mut servers, server("connected", 0.0, Some(100)), 122), [(Liveness::Up, Liveness::Down, UNPROMPTED)]);
        assert_eq!(poll(&mut servers, server("disconnected", 0.0, None), 137), []);
        assert_eq!(poll(&mut servers, server("connected", 3.0, Some(150)), 152), [(Liveness::Down, Liveness::Up, REQUESTED)]);
    }

    #[test]
    fn a_server_that_could_not_be_started_failed_by_itself() {
        let mut servers = Servers::default();
        let failed = api::Server { error: Some("spawn ENOENT".into()), ..server("disconnected", 0.0, None) };
        assert_eq!(poll(&mut servers, failed, 107), [(Liveness::Unknown, Liveness::Down, UNPROMPTED)]);
    }

    #[test]
    fn a_server_that_the_list_no_longer_has_is_removed() {
        let mut servers = Servers::default();
        poll(&mut servers, server("connected", 7.0, Some(100)), 107);
        let none = api::Servers { servers: Vec::new(), timestamp: None };
        let removed: Vec<Seen> = servers.removed(&none, times(122)).iter().filter_map(changed).collect();
        assert_eq!(removed, [(Liveness::Up, Liveness::Removed, Some(ChangeCause::Configured))]);
        assert_eq!(servers.removed(&none, times(137)), []);
    }

    #[test]
    fn a_line_about_a_connection_that_has_lasted_since_is_of_another_hub() {
        let mut servers = Servers::default();
        poll(&mut servers, server("connected", 7.0, Some(100)), 107);
        let lasts = || server("connected", 22.0, Some(100));
        assert_eq!(weigh(&servers, closed(), 110, lasts(), 122), Decision::Refused(ClaimRefusal::Contradicted));
        // Read after the request had gone out: the next answer tells.
        assert_eq!(weigh(&servers, closed(), 122, lasts(), 122), Decision::Waits);
        let other = ServerClaim::Closed { server: Text::new("weather"), twice: false };
        assert_eq!(weigh(&servers, other, 110, lasts(), 122), Decision::Refused(ClaimRefusal::NotListed));
    }

    #[test]
    fn a_line_about_a_server_that_died_or_was_restarted_since_is_confirmed() {
        let mut servers = Servers::default();
        poll(&mut servers, server("connected", 7.0, Some(100)), 107);
        assert_eq!(weigh(&servers, closed(), 110, server("connected", 0.0, Some(100)), 122), Decision::Confirmed);
        assert_eq!(weigh(&servers, closed(), 110, server("connected", 2.0, Some(119)), 122), Decision::Confirmed);
        assert_eq!(weigh(&servers, closed(), 110, server("disconnected", 0.0, None), 122), Decision::Confirmed);
        let connected = ServerClaim::Connected(Text::new("filesystem"));
        assert_eq!(weigh(&servers, connected.clone(), 120, server("connected", 2.0, Some(119)), 122), Decision::Confirmed);
        let contradicted = Decision::Refused(ClaimRefusal::Contradicted);
        assert_eq!(weigh(&servers, connected, 110, server("disconnected", 0.0, None), 122), contradicted);
    }
}
