//! Whether each server works: judged from its claimed status, its uptime and the log, never from the status alone. A crashed
//! stdio server stays `connected`, with an uptime of 0 and no error, for ever (`captures/npm-4.2.1/servers-after-crash.json`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::watch::{FactKind, Liveness, Micros, ServerChanged, ServerPoll, Source, Text, Timestamp, ToolsChanged, When};

use super::api;
use super::children::{self, Child};

/// A server that was started longer ago than this and still has an uptime of 0 s is dead: a fresh start counts up after one second.
pub const FRESH_START: Micros = Micros::new(2_000_000);

/// More servers than any hub has; beyond it they are not tracked.
pub const MAX_SERVERS: usize = 1024;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Server {
    liveness: Liveness,
    reason: Text,
    tools: Option<u32>,
    /// Whether the last poll saw `connected` with an uptime of 0.
    zero_uptime: bool,
    /// The latest line about the server: a poll that was asked earlier can't contradict it.
    last_line: Option<Timestamp>,
    /// When a poll last confirmed the liveness.
    confirmed: Option<Timestamp>,
    /// Its process as last seen: id and start.
    child: Option<(u32, Timestamp)>,
}

/// What the lines and polls say about the servers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Servers {
    by_name: BTreeMap<String, Server>,
    hub_stopping: bool,
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

impl Servers {
    /// A line says that a server is being started.
    pub fn starting(&mut self, name: &str, when: When) -> Option<Noticed> {
        self.by_line(name, Liveness::Starting, "the hub starts it", when)
    }

    /// A line says that a server is connected.
    pub fn connected(&mut self, name: &str, when: When) -> Option<Noticed> {
        self.by_line(name, Liveness::Up, "the hub says that it connected", when)
    }

    /// A line says that the connection to a server closed.
    pub fn closed(&mut self, name: &str, when: When) -> Option<Noticed> {
        if self.hub_stopping {
            return self.by_line(name, Liveness::Unknown, "the hub is stopping", when);
        }
        self.by_line(name, Liveness::Down, "its connection closed", when)
    }

    /// A line says that a server could not be started.
    pub fn failed(&mut self, name: &str, error: &str, when: When) -> Option<Noticed> {
        self.by_line(name, Liveness::Down, &format!("it could not be started: {error}"), when)
    }

    /// The hub began to stop: what happens to its servers now is no fault of theirs.
    pub fn hub_stopping(&mut self) {
        self.hub_stopping = true;
    }

    /// Another process of the hub started: what was known of its servers says nothing any more.
    pub fn hub_started(&mut self, when: When) -> Vec<Noticed> {
        self.hub_stopping = false;
        self.all_unknown("the hub started anew", when, Source::Log)
    }

    /// The hub is gone: nothing is known of its servers.
    pub fn hub_gone(&mut self, when: When) -> Vec<Noticed> {
        self.all_unknown("the hub does not answer", when, Source::Poll)
    }

    fn all_unknown(&mut self, reason: &str, when: When, source: Source) -> Vec<Noticed> {
        let names: Vec<String> = self.by_name.keys().cloned().collect();
        names.iter().filter_map(|name| self.change(name, Liveness::Unknown, reason, when, source)).collect()
    }

    fn by_line(&mut self, name: &str, to: Liveness, reason: &str, when: When) -> Option<Noticed> {
        let noticed = self.change(name, to, reason, when, Source::Log);
        if let Some(server) = self.by_name.get_mut(name) {
            server.last_line = Some(when.latest());
            server.zero_uptime = false;
        }
        noticed
    }

    fn change(&mut self, name: &str, to: Liveness, reason: &str, when: When, source: Source) -> Option<Noticed> {
        let server = self.server(name)?;
        let from = std::mem::replace(&mut server.liveness, to);
        if from == to {
            return None;
        }
        server.reason = Text::new(reason);
        let kind = ServerChanged { server: Text::new(name), from, to, reason: Text::new(reason), cause: None };
        Some(Noticed { when, source, kind: kind.into() })
    }

    fn server(&mut self, name: &str) -> Option<&mut Server> {
        if self.by_name.len() >= MAX_SERVERS && !self.by_name.contains_key(name) {
            return None;
        }
        Some(self.by_name.entry(name.to_owned()).or_insert_with(|| Server {
            liveness: Liveness::Unknown,
            reason: Text::new("nothing is known of it yet"),
            tools: None,
            zero_uptime: false,
            last_line: None,
            confirmed: None,
            child: None,
        }))
    }

    /// A poll shows the servers. `asked` is when the request went out, `now` when the answer was there.
    /// `children` are the hub's child processes, where they can be seen.
    pub fn poll(
        &mut self,
        answer: &api::Servers,
        children: Option<&[Child]>,
        asked: Timestamp,
        now: Timestamp,
    ) -> (Vec<ServerPoll>, Vec<Noticed>) {
        let mut noticed = Vec::new();
        for seen in &answer.servers {
            let gone = children.is_some_and(|children| self.child_is_gone(&seen.name, children));
            noticed.extend(self.poll_server(seen, gone, answer.timestamp.unwrap_or(now), asked, now));
        }
        let mut polls: Vec<ServerPoll> = answer.servers.iter().map(|seen| self.as_poll(seen)).collect();
        children::assign(&mut polls, answer, children.unwrap_or_default());
        for poll in &polls {
            if let (Some(server), Some(pid), Some(started)) =
                (self.by_name.get_mut(poll.name.as_str()), poll.child_pid, poll.child_started)
            {
                server.child = Some((pid, started));
            }
        }
        (polls, noticed)
    }

    /// Whether the server's process was known and is no longer there.
    fn child_is_gone(&mut self, name: &str, children: &[Child]) -> bool {
        let Some(server) = self.by_name.get_mut(name) else { return false };
        let gone = server.child.is_some_and(|known| children.iter().all(|child| (child.pid, child.started) != known));
        if gone {
            server.child = None;
        }
        gone
    }

    fn poll_server(
        &mut self,
        seen: &api::Server,
        child_gone: bool,
        hub_now: Timestamp,
        asked: Timestamp,
        now: Timestamp,
    ) -> Vec<Noticed> {
        let Some(server) = self.server(&seen.name) else { return Vec::new() };
        let earliest = server.confirmed.unwrap_or(asked).min(asked);
        let outdated = server.last_line.is_some_and(|line| line >= asked);
        let tools = seen.capabilities.tools.0;
        let tools_before = server.tools.replace(tools).filter(|before| *before != tools);
        // A process that went between the answer and our look at it may have been replaced since; an uptime that counts says so.
        let judged = match judge(seen, server, hub_now) {
            None if child_gone => Some((Liveness::Down, "its process is gone")),
            judged => judged,
        };
        server.confirmed = Some(now);
        let when = When::between(earliest, now);
        let mut noticed = Vec::new();
        if let Some((liveness, reason)) = judged.filter(|_| !outdated) {
            if liveness == server.liveness {
                server.reason = Text::new(reason);
            }
            noticed.extend(self.change(&seen.name, liveness, reason, when, Source::Poll));
        }
        if let Some(from) = tools_before {
            let kind = ToolsChanged { server: Text::new(&*seen.name), from, to: tools };
            noticed.push(Noticed { when, source: Source::Poll, kind: kind.into() });
        }
        noticed
    }

    fn as_poll(&mut self, seen: &api::Server) -> ServerPoll {
        let (liveness, reason) = match self.by_name.get(&seen.name) {
            Some(server) => (server.liveness, server.reason.clone()),
            None => (Liveness::Unknown, Text::new("the hub has more servers than are watched")),
        };
        ServerPoll {
            name: Text::new(&*seen.name),
            transport: Text::new(seen.transport.as_deref().unwrap_or("unknown")),
            status: Text::new(&*seen.status),
            liveness,
            reason,
            cause: None,
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

/// What a poll says about a server; `None` where it decides nothing.
fn judge(seen: &api::Server, server: &mut Server, hub_now: Timestamp) -> Option<(Liveness, &'static str)> {
    let zero_before = std::mem::take(&mut server.zero_uptime);
    Some(match seen.status.as_str() {
        "connected" if seen.uptime > 0.0 => (Liveness::Up, "connected, and its uptime counts"),
        "connected" => {
            server.zero_uptime = true;
            let stale = seen.last_started.is_some_and(|started| hub_now.since(started) > FRESH_START);
            let still_zero = zero_before && seen.last_started.is_none();
            if !stale && !still_zero {
                return None;
            }
            (Liveness::Down, "the status says connected, but its uptime stays 0")
        }
        "connecting" => (Liveness::Starting, "the status says connecting"),
        "disconnected" => (Liveness::Down, "the status says disconnected"),
        "unauthorized" => (Liveness::Unauthorized, "the status says unauthorized"),
        "disabled" => (Liveness::Disabled, "the status says disabled"),
        _ => (Liveness::Unknown, "the status says something unheard of"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, uptime: f64, started: u64, now: u64) -> api::Servers {
        api::Servers {
            servers: vec![api::Server {
                name: "filesystem".into(),
                transport: Some("stdio".into()),
                status: status.into(),
                error: None,
                capabilities: api::Capabilities { tools: api::Length(14) },
                uptime,
                last_started: Some(Timestamp::from_secs(started)),
            }],
            timestamp: Some(Timestamp::from_secs(now)),
        }
    }

    fn poll(servers: &mut Servers, answer: &api::Servers, at: u64) -> Vec<(Liveness, Liveness)> {
        let (asked, now) = (Timestamp::from_millis(at * 1_000 - 5), Timestamp::from_secs(at));
        servers.poll(answer, None, asked, now).1.iter().filter_map(changed).collect()
    }

    fn changed(noticed: &Noticed) -> Option<(Liveness, Liveness)> {
        match &noticed.kind {
            FactKind::ServerChanged(change) => Some((change.from, change.to)),
            _ => None,
        }
    }

    #[test]
    fn a_crashed_server_that_stays_connected_is_down() {
        let mut servers = Servers::default();
        assert_eq!(poll(&mut servers, &answer("connected", 7.0, 100, 107), 107), [(Liveness::Unknown, Liveness::Up)]);
        assert_eq!(poll(&mut servers, &answer("connected", 0.0, 100, 122), 122), [(Liveness::Up, Liveness::Down)]);
        assert_eq!(poll(&mut servers, &answer("connected", 0.0, 100, 137), 137), []);
    }

    #[test]
    fn a_fresh_start_with_an_uptime_of_zero_is_not_down() {
        let mut servers = Servers::default();
        assert_eq!(poll(&mut servers, &answer("connected", 0.0, 100, 101), 101), []);
        assert_eq!(poll(&mut servers, &answer("connected", 2.0, 100, 102), 102), [(Liveness::Unknown, Liveness::Up)]);
    }

    #[test]
    fn the_line_tells_the_time_and_the_poll_does_not_say_it_again() {
        let mut servers = Servers::default();
        poll(&mut servers, &answer("connected", 7.0, 100, 107), 107);
        let closed = servers.closed("filesystem", When::At(Timestamp::from_secs(110)));
        assert_eq!(closed.as_ref().and_then(changed), Some((Liveness::Up, Liveness::Down)));
        assert_eq!(poll(&mut servers, &answer("connected", 0.0, 100, 122), 122), []);
    }

    #[test]
    fn a_poll_that_was_asked_before_the_line_does_not_contradict_it() {
        let mut servers = Servers::default();
        poll(&mut servers, &answer("connected", 7.0, 100, 107), 107);
        servers.closed("filesystem", When::At(Timestamp::from_secs(122)));
        assert_eq!(poll(&mut servers, &answer("connected", 22.0, 100, 122), 122), []);
        assert_eq!(poll(&mut servers, &answer("connected", 1.0, 130, 137), 137), [(Liveness::Down, Liveness::Up)]);
    }

    #[test]
    fn a_server_that_closes_while_the_hub_stops_is_not_to_blame() {
        let mut servers = Servers::default();
        poll(&mut servers, &answer("connected", 7.0, 100, 107), 107);
        servers.hub_stopping();
        let closed = servers.closed("filesystem", When::At(Timestamp::from_secs(110)));
        assert_eq!(closed.as_ref().and_then(changed), Some((Liveness::Up, Liveness::Unknown)));
    }
}
