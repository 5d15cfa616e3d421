//! What a hub does whose known defects are mended: neither recorded hub does it.

use super::*;
use crate::simulator::hub::ServerStatus;
use crate::simulator::truth::UpCause;

/// A stdio server's start takes about so long.
const START: u64 = 576_000;

impl World {
    /// The hub noticed that a server's transport closed, and will start it again by itself.
    pub(super) fn plan_reconnection(&mut self, name: &str) {
        if let Some(after) = self.profile.reconnects_after {
            self.later(after, Event::Reconnect { name: name.into() });
        }
    }

    /// Starts a server that died. If somebody stopped or started it meanwhile there is nothing to do.
    pub(super) fn reconnect(&mut self, name: &str) {
        let now = self.clock(self.now);
        let Some(hub) = &mut self.hub else { return };
        let child = hub.next_child;
        let Some(server) = hub.server_mut(name) else { return };
        if server.status != ServerStatus::Connected || server.pid.is_some() {
            return;
        }
        server.status = ServerStatus::Connecting;
        server.last_started = Some(now);
        server.pid = Some(child);
        hub.next_child += 11;
        // No recorded line says so: the one about initializing is of all servers' start, which somebody asks for.
        let after = self.about(START);
        self.later(after, Event::Reconnected { name: name.into() });
    }

    pub(super) fn reconnected(&mut self, name: &str) {
        let now = self.now;
        let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) else { return };
        if server.status != ServerStatus::Connecting || server.pid.is_none() {
            return;
        }
        server.status = ServerStatus::Connected;
        server.up_since = Some(now);
        self.say(Saying::info(format!("'{name}' MCP server connected")));
        self.tell(Happening::ServerUp { name: name.into(), cause: UpCause::Reconnected });
    }
}
