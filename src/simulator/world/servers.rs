//! The hub's stdio servers: starts, failures, crashes and stops.

use super::*;
use crate::simulator::hub::ServerStatus;

const ROOTS_NOTE: &str =
    "Client does not support MCP Roots, using allowed directories set from server args: [ '/srv/staging/data' ]";
const CLOSED: &str = "MCP error -32000: Connection closed";

impl World {
    /// Starts a server that isn't connected. The result comes as [`Event::ServerSettled`].
    pub(super) fn start_server(&mut self, name: &str, starter: UpCause) {
        let now = self.clock(self.now);
        self.attempts += 1;
        let attempt = self.attempts;
        let Some(hub) = &mut self.hub else { return };
        let child = hub.next_child;
        let Some(server) = hub.server_mut(name) else { return };
        if !matches!(server.status, ServerStatus::Disconnected | ServerStatus::Disabled) {
            return;
        }
        server.crashed = false;
        let (starts, takes) = (server.starts, server.connects_after);
        server.attempt = attempt;
        server.starter = starter;
        server.status = ServerStatus::Connecting;
        server.error = None;
        server.last_started = Some(now);
        if starts {
            server.pid = Some(child);
            hub.next_child += 11;
        }
        if starts { self.plan_connection(name, attempt, takes) } else { self.plan_failure(name, attempt, takes) }
    }

    fn plan_connection(&mut self, name: &str, attempt: u32, takes: Micros) {
        let after = self.about(takes.get()).get();
        let banner = format!("{name} stderr: Secure MCP Filesystem Server running on stdio");
        self.say_later(Micros::new(after), Saying::warn(banner));
        self.say_later(Micros::new(after + 26_000), Saying::warn(format!("{name} stderr: {ROOTS_NOTE}")));
        self.later(Micros::new(after + 40_000), Event::ServerSettled { name: name.into(), attempt });
    }

    fn plan_failure(&mut self, name: &str, attempt: u32, takes: Micros) {
        let after = self.about(takes.get()).get();
        let banner = format!("{name} stderr: GITHUB_PERSONAL_ACCESS_TOKEN not set");
        self.say_later(Micros::new(after), Saying::warn(banner));
        self.later(Micros::new(after + 14_000), Event::ServerSettled { name: name.into(), attempt });
    }

    pub(super) fn server_settled(&mut self, name: &str, attempt: u32) {
        let (now, said) = (self.now, self.clock(self.now));
        let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) else { return };
        if server.status != ServerStatus::Connecting || server.attempt != attempt {
            return;
        }
        let cause = server.starter;
        if server.starts && server.pid.is_some() {
            server.status = ServerStatus::Connected;
            (server.up_since, server.counts_from) = (Some(now), Some(said));
            self.say(Saying::info(format!("'{name}' MCP server connected")));
            self.record(Happening::ServerUp { name: name.into(), cause });
        } else {
            self.server_failed(name);
        }
        self.after_settling(name, cause);
    }

    fn after_settling(&mut self, name: &str, cause: UpCause) {
        let Some(hub) = &self.hub else { return };
        match (hub.state, cause) {
            (HubState::Starting | HubState::Restarting, _) if hub.settled() => self.finish_starts(),
            (HubState::Ready | HubState::Restarted, UpCause::Added) => self.added(name),
            (HubState::Ready | HubState::Restarted, _) => self.servers_changed(name),
            _ => {}
        }
    }

    fn server_failed(&mut self, name: &str) {
        let long = format!("Failed to connect to \"{name}\" MCP server: {CLOSED}");
        let error = if self.profile.is_fork() { long.clone() } else { CLOSED.to_owned() };
        if let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) {
            server.status = ServerStatus::Disconnected;
            server.error = Some(error.clone());
            server.last_started = None;
            server.pid = None;
        }
        self.say(Saying::debug(format!("'{name}' transport closed")));
        if !self.profile.is_fork() {
            self.say(Saying::debug(format!("'{name}' failed to start connection: {CLOSED}")));
        }
        self.say(Saying::error("CONNECTION_ERROR", long).with(Fields::new().text("server", name).text("error", &error)));
        self.record(Happening::ServerFailed { name: name.into() });
    }

    /// Kills a server: the hub notices the closed transport, and does nothing about it.
    pub(super) fn kill_server(&mut self, name: &str) {
        let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) else { return };
        if server.pid.take().is_none() {
            return;
        }
        server.crashed = true;
        server.starts &= server.starts_again;
        let was_up = server.up_since.take().is_some();
        if was_up {
            self.record(Happening::ServerDown { name: name.into(), cause: DownCause::Crashed });
            self.say_later(Micros::new(8_000), Saying::debug(format!("'{name}' transport closed")));
            self.show_crash(name);
            self.plan_reconnection(name);
        }
    }

    /// Runs `POST /api/servers/stop`.
    pub(super) fn stop_server(&mut self, name: &str) {
        self.put_away(name, ServerStatus::Disconnected, DownCause::Stopped);
    }

    /// Runs `POST /api/servers/stop?disable=true`.
    pub(super) fn disable_server(&mut self, name: &str) {
        self.put_away(name, ServerStatus::Disabled, DownCause::Disabled);
    }

    /// Stops a server. A crashed one has no transport left to close, so nothing is logged about it.
    fn put_away(&mut self, name: &str, status: ServerStatus, cause: DownCause) {
        let Some(server) = self.hub.as_mut().filter(|hub| hub.is_settled()).and_then(|hub| hub.server_mut(name)) else { return };
        let (was_alive, was_up) = (server.pid.take().is_some(), server.up_since.take().is_some());
        server.last_started = None;
        server.status = status;
        server.error = None;
        server.crashed = false;
        if was_alive {
            self.say_closed_twice(name, Micros::new(12_000));
        }
        if was_up {
            self.record(Happening::ServerDown { name: name.into(), cause });
        } else {
            self.record(Happening::ServerPutAway { name: name.into() });
        }
        self.servers_changed(name);
    }

    /// Closes a connection on purpose, which is logged at once, and again when the process has ended.
    pub(super) fn say_closed_twice(&mut self, name: &str, after: Micros) {
        let closed = format!("'{name}' transport closed");
        self.say(Saying::debug(closed.clone()));
        self.say_later(after, Saying::debug(closed));
    }

    /// Writes a text to the server's stderr in one write, however many lines it has.
    pub(super) fn say_stderr(&mut self, name: &str, text: &str) {
        let lives = self.hub.as_mut().and_then(|hub| hub.server_mut(name)).is_some_and(|server| server.pid.is_some());
        if lives {
            self.say(Saying::warn(format!("{name} stderr: {text}")));
        }
    }

    /// Runs `POST /api/servers/start`: while the hub reports the server as connected, it only notifies its subscribers.
    pub(super) fn start_server_again(&mut self, name: &str) {
        let server = self.hub.as_mut().filter(|hub| hub.is_settled()).and_then(|hub| hub.server_mut(name));
        match server.map(|server| server.status) {
            Some(ServerStatus::Disconnected | ServerStatus::Disabled) => self.start_server(name, UpCause::Asked),
            Some(ServerStatus::Connected) => self.servers_changed(name),
            Some(ServerStatus::Connecting) | None => {}
        }
    }

    fn servers_changed(&mut self, name: &str) {
        let changes = Fields::new().texts("modified", &[name.to_owned()]).object();
        let members = Fields::new().text("type", "servers_updated").raw("changes", changes);
        self.outbox.push(Notice::Changed(members.as_str().to_owned()));
    }
}
