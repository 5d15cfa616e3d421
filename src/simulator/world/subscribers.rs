//! Subscribers of the event stream.

use super::*;
use crate::simulator::hub::Subscriber;
use crate::simulator::random::mix;

/// Debounce time of the workspace file's watcher.
const SETTLE: Micros = Micros::new(103_000);
const HEARTBEAT: Micros = Micros::new(10_000_000);
/// Maximum CPU time in microseconds for garbage collection and timers between two heartbeats, beyond the usual.
const HEARTBEAT_WORK: u64 = 4_000;
const ABORTED: &str = "Error: aborted\n    at abortIncoming (node:_http_server:796:17)\n    at socketOnClose (node:_http_server:790:3)\n    at Socket.emit (node:events:536:35)\n    at TCP.<anonymous> (node:net:343:12)";

impl World {
    pub(super) fn subscribe(&mut self, id: String) {
        let now = self.now;
        let port = self.profile.port;
        let Some(hub) = self.hub.as_mut().filter(|hub| hub.listening) else { return };
        hub.subscribers.push(Subscriber { id: id.clone(), connected_at: now });
        let total = hub.subscribers.len();
        if let Some(workspace) = self.registry.0.get_mut(&port) {
            workspace.connections = total;
            let updates = Fields::new().raw("activeConnections", total).object();
            let updated = Fields::new().raw("port", port).raw("updates", updates);
            self.say(Saying::debug(format!("Updated workspace state for port {port}")).with(updated));
            self.workspaces_changed();
        }
        let connected = Fields::new().text("clientId", &id).raw("totalConnections", total);
        self.say(Saying::debug("SSE client connected").with(connected));
        self.greet(id);
        self.record(Happening::Subscribed);
    }

    /// Handles a change of the workspace file: its watcher waits until no more changes follow.
    pub(super) fn workspaces_changed(&mut self) {
        let Some(hub) = self.hub.as_mut().filter(|hub| hub.booted) else { return };
        hub.workspace_changes += 1;
        let change = hub.workspace_changes;
        self.later(SETTLE, Event::WorkspacesSettled { change });
    }

    fn greet(&mut self, id: String) {
        if let Some(json) = self.hub.as_ref().map(|hub| self.hub_state_json(hub)) {
            self.outbox.push(Notice::Greeting { id, json });
        }
    }

    pub(super) fn workspaces_settled(&mut self, change: u64) {
        if self.hub.as_ref().is_none_or(|hub| hub.workspace_changes != change || hub.state == HubState::Stopping) {
            return;
        }
        let members = Fields::new().text("type", "workspaces_updated").raw("workspaces", self.registry.json());
        self.outbox.push(Notice::Changed(members.as_str().to_owned()));
        let active = Fields::new().raw("activeWorkspaces", self.registry.0.len());
        self.say(Saying::debug("Workspace cache updated").with(active));
    }

    pub(super) fn unsubscribe_newest(&mut self) {
        let newest = self.hub.as_ref().and_then(|hub| hub.subscribers.last()).map(|subscriber| subscriber.id.clone());
        if let Some(id) = newest {
            self.unsubscribe(&id);
        }
    }

    pub(super) fn unsubscribe(&mut self, id: &str) {
        let Some(hub) = &mut self.hub else { return };
        let before = hub.subscribers.len();
        hub.subscribers.retain(|subscriber| subscriber.id != id);
        if hub.subscribers.len() == before {
            return;
        }
        let fields = Fields::new().text("error", "aborted").text("stack", ABORTED);
        self.say(Saying::debug("SSE_CONNECTION_ERROR: aborted").with(fields));
        self.say(Saying::debug("SSE client disconnected"));
        self.record(Happening::Unsubscribed);
    }

    pub(super) fn heartbeat(&mut self) {
        let noise = mix(self.profile.seed ^ self.now.get()) % HEARTBEAT_WORK;
        let Some(hub) = &mut self.hub else { return };
        hub.resources.work(noise);
        let connections = hub.subscribers.len();
        if connections > 0 {
            self.outbox.push(Notice::Heartbeat(connections));
        }
        self.later(HEARTBEAT, Event::Heartbeat);
    }
}
