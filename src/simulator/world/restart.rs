//! `POST /api/restart`: all servers are stopped and started again, in the same process, line by line as recorded.

use super::*;

/// The time in which the old processes end.
const OLD_PROCESSES_END: Micros = Micros::new(50_000);

impl World {
    pub(super) fn restart_servers(&mut self) {
        if self.hub.as_ref().is_none_or(|hub| !hub.is_settled()) {
            return;
        }
        self.set_state(HubState::Restarting);
        self.record(Happening::ServersRestarted);
        self.say(Saying::info("Restarting MCP Hub"));
        self.say(self.config_loaded());
        self.close_servers();
        self.start_configured(UpCause::Restarted);
    }

    /// Ends the old processes while the new ones are already starting.
    fn close_servers(&mut self) {
        let tools = self.hub.as_ref().map_or(0, |hub| self.listed_tools(hub));
        let Some(hub) = &mut self.hub else { return };
        hub.tools_before_restart = tools;
        let servers = std::mem::take(&mut hub.servers);
        let count = servers.len();
        self.say(Saying::info("Disconnecting all servers in parallel").with(Fields::new().raw("count", count)));
        for server in servers {
            if server.pid.is_some() {
                self.say_closed_twice(&server.name, OLD_PROCESSES_END);
            }
            if server.up_since.is_some() {
                self.record(Happening::ServerDown { name: server.name, cause: DownCause::Restarted });
            }
        }
        let fields = Fields::new().raw("total", count).raw("successful", count).raw("failed", 0).raw("failedServers", "[]");
        self.say(Saying::info(format!("{count} servers disconnected")).with(fields));
    }

    pub(super) fn finish_restart(&mut self) {
        self.say_start_summary();
        self.say(Saying::info("MCP Hub restarted successfully"));
        if self.profile.is_fork() {
            let tools = self.hub.as_ref().map_or(0, |hub| hub.tools_before_restart);
            self.say_sync(tools + 1);
        }
        if let Some(hub) = &mut self.hub {
            hub.state = HubState::Restarted;
        }
        if let Some(json) = self.hub.as_ref().map(|hub| self.state_fields(hub).raw("has_restarted", true).object()) {
            self.outbox.push(Notice::HubState(json));
        }
    }
}
