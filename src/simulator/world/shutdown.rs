//! The hub's graceful shutdown, line by line as recorded.

use super::*;
use crate::simulator::profile::Logger;

impl World {
    /// Handles SIGTERM, from outside or from the hub itself.
    pub(super) fn shutdown(&mut self, cause: StopCause) {
        let Some(hub) = self.hub.as_mut().filter(|hub| hub.state != HubState::Stopping) else { return };
        if !hub.booted {
            // Node is still loading: no signal handler is installed.
            self.process_gone(cause);
            return;
        }
        hub.stop_cause = cause;
        self.set_state(HubState::Stopping);
        self.record(Happening::HubStopping);
        self.say_stopping();
        self.later(Micros::new(1_000), Event::CloseSessions);
    }

    pub(super) fn say_stopping(&mut self) {
        let fields = Fields::new().text("signal", "SIGTERM");
        self.say(Saying::info("Received SIGTERM signal - initiating graceful shutdown").with(fields));
        self.say(Saying::info("Starting graceful shutdown process"));
    }

    /// Writes the storm of each open connection now, and a late line or two at the very end.
    pub(super) fn close_sessions(&mut self) {
        let open: Vec<String> = self.hub.iter().flat_map(|hub| &hub.clients).map(|client| client.session.clone()).collect();
        for session in &open {
            if let Some(name) = self.drop_session(session) {
                if let Some(hub) = &mut self.hub {
                    hub.strays.push(name.clone());
                }
                self.later(Micros::new(52_000), Event::StormBegins { name: name.into(), session: session.clone() });
            }
        }
        let after = if open.is_empty() { 0 } else { 53_000 };
        self.later(Micros::new(after), Event::CleanUp);
    }

    pub(super) fn clean_up(&mut self) {
        self.say_http_closing();
        self.disconnect_servers();
        self.close_event_stream();
        self.say_cleaned_up();
        self.say_strays();
        self.say_farewell();
        self.later(Micros::new(4_000), Event::Exit);
    }

    fn say_http_closing(&mut self) {
        self.say(Saying::info("MCP server endpoint closed"));
        self.say(Saying::info("Stopping HTTP server and closing all connections"));
        if self.hub.as_mut().is_some_and(|hub| std::mem::take(&mut hub.listening)) {
            self.record(Happening::HubDeaf);
        }
        self.say(Saying::info("Stopping MCP Hub and cleaning up resources"));
        self.say(Saying::info("Starting MCP Hub cleanup"));
        if self.profile.watches_config {
            self.say(Saying::debug("Stopping config file watcher"));
            self.say(Saying::info(format!("Stopped watching config file at {}", self.profile.config_file)));
        }
    }

    fn disconnect_servers(&mut self) {
        let Some(hub) = &mut self.hub else { return };
        let count = hub.servers.len();
        let alive = hub.servers.iter().filter(|server| server.pid.is_some());
        hub.closed_at_stop = alive.map(|server| server.name.clone()).collect();
        let worked = hub.servers.iter().filter(|server| server.up_since.is_some()).map(|server| server.name.clone());
        let worked: Vec<String> = worked.collect();
        for server in &mut hub.servers {
            server.pid = None;
            server.up_since = None;
        }
        let closed = hub.closed_at_stop.clone();
        self.say(Saying::info("Disconnecting all servers in parallel").with(Fields::new().raw("count", count)));
        for name in closed {
            self.say(Saying::debug(format!("'{name}' transport closed")));
        }
        for name in worked {
            self.record(Happening::ServerDown { name, cause: DownCause::HubGone });
        }
    }

    fn close_event_stream(&mut self) {
        let subscribers = self.hub.as_ref().map_or(0, |hub| hub.subscribers.len());
        self.say(Saying::info(format!("Shutting down SSE manager ({subscribers} connections)")));
        self.say(Saying::info("SSE manager shutdown complete"));
        self.say(Saying::debug("Stopped watching workspace cache file"));
    }

    fn say_cleaned_up(&mut self) {
        let total = self.hub.as_ref().map_or(0, |hub| hub.servers.len());
        let fields = Fields::new().raw("total", total).raw("successful", total).raw("failed", 0).raw("failedServers", "[]");
        self.say(Saying::info(format!("{total} servers disconnected")).with(fields));
        self.say(Saying::info("MCP Hub cleanup completed"));
        self.say(Saying::info("MCP Hub has been successfully stopped and cleaned up"));
    }

    fn say_strays(&mut self) {
        let strays = self.hub.as_mut().map(|hub| std::mem::take(&mut hub.strays)).unwrap_or_default();
        for name in strays {
            for _ in 0..self.random.between(1, 2) {
                self.say(Saying::info(format!("'{name}' client disconnected from MCP HUB")));
            }
        }
    }

    fn say_farewell(&mut self) {
        let (closed, subscribers) = match &mut self.hub {
            Some(hub) => (std::mem::take(&mut hub.closed_at_stop), hub.subscribers.len()),
            None => return,
        };
        for name in closed {
            self.say(Saying::debug(format!("'{name}' transport closed")));
        }
        for _ in 0..subscribers {
            self.say(Saying::debug("SSE client disconnected"));
        }
        if self.profile.logger == Logger::Legacy {
            // With pino the process ends before this line is written.
            self.say(Saying::info("HTTP server has been successfully stopped"));
        }
        self.deregister();
    }

    pub(super) fn deregister(&mut self) {
        let port = self.profile.port;
        self.registry.0.remove(&port);
        let fields = Fields::new().raw("port", port).text("cwd", &self.profile.cwd);
        self.say(Saying::info(format!("Deregistered workspace on port {port}")).with(fields));
        self.say(Saying::debug("WorkspaceCacheManager shutdown complete"));
        self.say(Saying::info("Graceful shutdown completed successfully"));
    }
}
