//! A hub without the known defects. Neither recorded hub behaves like this.

use super::*;
use crate::simulator::hub::ServerStatus;
use crate::simulator::truth::UpCause;

/// Approximate start time of a stdio server.
const START: u64 = 576_000;

impl World {
    /// Shows a crashed server as disconnected, and notifies all clients.
    pub(super) fn show_crash(&mut self, name: &str) {
        if !self.profile.behaviour.notices_crashes {
            return;
        }
        if let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) {
            server.status = ServerStatus::Disconnected;
        }
        self.notify_everybody();
    }

    /// Plans the restart of a server whose transport closed.
    pub(super) fn plan_reconnection(&mut self, name: &str) {
        if let Some(after) = self.profile.reconnects_after {
            self.later(after, Event::Reconnect { name: name.into() });
        }
    }

    /// Restarts a crashed server, unless a user stopped or started it in the meantime.
    pub(super) fn reconnect(&mut self, name: &str) {
        let now = self.clock(self.now);
        let Some(hub) = &mut self.hub else { return };
        let child = hub.next_child;
        let Some(server) = hub.server_mut(name) else { return };
        if !server.crashed || !server.starts {
            return;
        }
        server.crashed = false;
        server.status = ServerStatus::Connecting;
        server.last_started = Some(now);
        server.pid = Some(child);
        hub.next_child += 11;
        // Not recorded: the line about initializing is only written when all servers start.
        let after = self.about(START);
        self.later(after, Event::Reconnected { name: name.into() });
    }

    pub(super) fn reconnected(&mut self, name: &str) {
        let (now, said) = (self.now, self.clock(self.now));
        let Some(server) = self.hub.as_mut().and_then(|hub| hub.server_mut(name)) else { return };
        if server.status != ServerStatus::Connecting || server.pid.is_none() {
            return;
        }
        server.status = ServerStatus::Connected;
        (server.up_since, server.counts_from) = (Some(now), Some(said));
        self.say(Saying::info(format!("'{name}' MCP server connected")));
        self.record(Happening::ServerUp { name: name.into(), cause: UpCause::Reconnected });
    }
}
