//! The hub's stdio servers: how they come up, fail, crash and are stopped.

use super::*;
use crate::simulator::hub::ServerStatus;

const ROOTS_NOTE: &str =
    "Client does not support MCP Roots, using allowed directories set from server args: [ '/srv/staging/data' ]";
const CLOSED: &str = "MCP error -32000: Connection closed";

impl World {
    /// Starts a server that isn't connected. The outcome comes as [`Event::ServerSettled`].
    pub(super) fn start_server(&mut self, name: &str) {
        let now = self.now;
        let Some(hub) = &mut self.hub else { return };
        let child = hub.next_child;
        let Some(server) = hub.server_mut(name) else { return };
        if server.status != ServerStatus::Disconnected {
            return;
        }
        let starts = server.starts;
        server.status = ServerStatus::Connecting;
        server.error = None;
        server.last_started = starts.then_some(now);
        if starts {
            server.pid = Some(child);
            hub.next_child += 11;
        }
        if starts { self.plan_connection(name) } else { self.plan_failure(name) }
    }

    fn plan_connection(&mut self, name: &str) {
        let after = self.about(536_000).get();
        let banner = format!("{name} stderr: Secure MCP Filesystem Server running on stdio");
        self.say_later(Micros::new(after), Saying::warn(banner));
        self.say_later(Micros::new(after + 26_000), Saying::warn(format!("{name} stderr: {ROOTS_NOTE}")));
        self.later(Micros::new(after + 40_000), Event::ServerSettled { name: name.into() });
    }

    fn plan_failure(&mut self, name: &str) {
        let after = self.about(124_000).get();
        let banner = format!("{name} stderr: GITHUB_PERSONAL_ACCESS_TOKEN not set");
        self.say_later(Micros::new(after), Saying::warn(banner));
        self.later(Micros::new(after + 14_000), Event::ServerSettled { name: name.into() });
    }

    pub(super) fn server_settled(&mut self, name: &str) {
        let now = self.now;
        let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) else { return };
        if server.status != ServerStatus::Connecting {
            return;
        }
        if server.starts && server.pid.is_some() {
            server.status = ServerStatus::Connected;
            server.up_since = Some(now);
            self.say(Saying::info(format!("'{name}' MCP server connected")));
            self.tell(Happening::ServerUp { name: name.into() });
        } else {
            self.server_failed(name);
        }
        self.after_settling(name);
    }

    fn after_settling(&mut self, name: &str) {
        let Some(hub) = &self.hub else { return };
        if hub.state == HubState::Starting && hub.settled() {
            self.finish_start();
        } else if hub.state == HubState::Ready {
            self.servers_changed(name);
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
        self.tell(Happening::ServerFailed { name: name.into() });
    }

    /// SIGKILL: the hub notices that the transport closed, and draws no conclusion from it.
    pub(super) fn kill_server(&mut self, name: &str) {
        let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) else { return };
        if server.pid.take().is_none() {
            return;
        }
        let was_up = server.up_since.take().is_some();
        if was_up {
            self.tell(Happening::ServerDown { name: name.into(), cause: DownCause::Crashed });
            self.say_later(Micros::new(8_000), Saying::debug(format!("'{name}' transport closed")));
        }
    }

    /// `POST /api/servers/stop`. A server that crashed has no transport left to close, so nothing is logged about it.
    pub(super) fn stop_server(&mut self, name: &str) {
        let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) else { return };
        if server.status == ServerStatus::Disconnected {
            return;
        }
        let was_alive = server.pid.take().is_some() && server.up_since.is_some();
        server.up_since = None;
        server.last_started = None;
        server.status = ServerStatus::Disconnected;
        server.error = None;
        if was_alive {
            self.say(Saying::debug(format!("'{name}' transport closed")));
            self.tell(Happening::ServerDown { name: name.into(), cause: DownCause::Stopped });
        }
        self.servers_changed(name);
    }

    /// `POST /api/servers/start`: while the hub calls the server connected, it does nothing, but tells its subscribers.
    pub(super) fn start_server_again(&mut self, name: &str) {
        let server = self.hub.as_mut().and_then(|hub| hub.server_mut(name));
        match server.map(|server| server.status) {
            Some(ServerStatus::Disconnected) => self.start_server(name),
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
