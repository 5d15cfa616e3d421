//! What a poll shows of the servers: how each works, and what changed since the last poll.

use std::collections::BTreeSet;

use crate::hub::api::{self, since};
use crate::hub::topics::children::{self, Child};
use crate::hub::topics::servers::connection::is_counted;
use crate::hub::topics::servers::picture::{is_dead, is_overdue, outlasts_any_start};
use crate::hub::topics::servers::{Asked, Causes, Change, Noticed, Server, Servers};
use crate::watch::{ChangeCause, Liveness, ServerPoll, Source, Text, ToolsChanged, When};

impl Server {
    /// The time of the change: between two polls, narrowed down by the hub's own times.
    fn turned(&self, to: Liveness, noticed: When, seen: &api::Server, times: Asked) -> When {
        match to {
            // A connection that outlasted the time in which nothing was known of it says when it came up, and not when it was known again.
            Liveness::Up if self.liveness == Liveness::Unknown => {
                let told =
                    self.connected_since(seen, times).filter(|told| self.changed.is_some_and(|changed| told.latest() > changed));
                since::narrowed(noticed, told)
            }
            Liveness::Up => since::narrowed(noticed, self.connected_since(seen, times)),
            Liveness::Starting => since::narrowed(noticed, since::started(seen, times)),
            Liveness::Down | Liveness::Unauthorized | Liveness::Disabled | Liveness::Removed | Liveness::Unknown => noticed,
        }
    }

    /// Returns whether the hub restarted a working server since the last poll without a line that shows it.
    fn was_restarted_silently(&self, seen: &api::Server) -> bool {
        let anew = seen.last_started.is_some() && self.last_started.is_some() && seen.last_started != self.last_started;
        anew && self.was_polled && !self.has_changed && self.liveness == Liveness::Up && seen.status == "connected"
    }
}

impl Servers {
    /// A poll shows the servers. `children` are the hub's child processes, where they can be seen.
    pub fn poll(
        &mut self,
        answer: &api::Servers,
        children: Option<&[Child]>,
        times: Asked,
        causes: &dyn Causes,
    ) -> (Vec<ServerPoll>, Vec<Noticed>) {
        let mut noticed = Vec::new();
        // A name that the list has twice is one server, as it stands there first.
        let mut names = BTreeSet::new();
        let listed: Vec<&api::Server> = answer.servers.iter().filter(|seen| names.insert(seen.name.as_str())).collect();
        for seen in &listed {
            noticed.extend(self.poll_server(seen, children, times, causes));
        }
        let mut polls: Vec<ServerPoll> = listed.iter().map(|seen| self.as_poll(seen, times)).collect();
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

    /// Records that servers which are no longer in the hub's list were removed from the configuration. Asked only of a list that is
    /// whole.
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
        let Asked { asked, now, .. } = times;
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
        let judged = judge(seen, server, children, times);
        if is_counted(seen) {
            server.note_connection(seen, when, times);
        }
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
                    Liveness::Starting | Liveness::Unauthorized | Liveness::Unknown | Liveness::Removed => {
                        server.stopped_on_request
                    }
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

    fn as_poll(&self, seen: &api::Server, times: Asked) -> ServerPoll {
        let (liveness, reason, cause, uptime) = match self.by_name.get(&seen.name) {
            Some(server) => (server.liveness, server.reason.clone(), server.cause, server.uptime(seen, times)),
            None => (Liveness::Unknown, Text::new("the hub has more servers than are watched"), None, api::seconds(seen.uptime)),
        };
        ServerPoll {
            name: Text::new(&*seen.name),
            transport: Text::new(seen.transport.as_deref().unwrap_or("unknown")),
            status: Text::new(&*seen.status),
            liveness,
            reason,
            cause,
            uptime,
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
fn judge(seen: &api::Server, server: &mut Server, children: Option<&[Child]>, times: Asked) -> Option<(Liveness, &'static str)> {
    let restarted = seen.last_started.is_some() && server.last_started.is_some() && seen.last_started != server.last_started;
    let dead = is_dead(seen, server, times.hub_now);
    if restarted {
        (server.was_up, server.uncounted_since, server.child) = (false, None, None);
    }
    server.last_started = seen.last_started;
    let zero = seen.status == "connected" && !is_counted(seen);
    if !zero {
        server.uncounted_since = None;
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
            let is_again = server.was_up && server.begins_again(times.hub_now);
            if dead || outlasts_any_start(seen, times) || is_overdue(server, times) && !is_again {
                return Some((Liveness::Down, "the status says connected, but its uptime stays 0"));
            }
            server.uncounted_since.get_or_insert(times.now);
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
