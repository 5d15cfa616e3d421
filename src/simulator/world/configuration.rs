//! Changes of the configuration, which a hub with `--watch` reloads, line by line as recorded.

use super::*;

/// The time in which the process of a removed server ends.
const REMOVED_ENDS: Micros = Micros::new(9_000);

impl World {
    pub(super) fn remove_server(&mut self, name: &str) {
        let before = self.configured.len();
        self.configured.retain(|plan| plan.name != name);
        if self.configured.len() == before || !self.reloads() {
            return;
        }
        let tools = self.registered_tools();
        let Some(hub) = &mut self.hub else { return };
        let Some(index) = hub.servers.iter().position(|server| server.name == name) else { return };
        let server = hub.servers.remove(index);
        let changes = self.changes(&[], std::slice::from_ref(&server.name));
        self.say_reload(&changes);
        if server.pid.is_some() {
            self.say_closed_twice(name, REMOVED_ENDS);
        }
        if server.up_since.is_some() {
            self.record(Happening::ServerDown { name: name.into(), cause: DownCause::Removed });
        }
        self.record(Happening::ServerRemoved { name: name.into() });
        self.say_processed(0, 1);
        self.say(Saying::info(format!("Removed server {name}")));
        if self.profile.is_fork() {
            self.say_sync(tools);
        }
        self.changed("servers_updated", &changes);
    }

    pub(super) fn add_to_configuration(&mut self, plan: ServerPlan) {
        if self.configured.iter().any(|known| known.name == plan.name) {
            return;
        }
        self.configured.push(plan.clone());
        if !self.reloads() {
            return;
        }
        let changes = self.changes(std::slice::from_ref(&plan.name), &[]);
        self.say_reload(&changes);
        self.say_processed(1, 0);
        self.record(Happening::ServerAdded { name: plan.name.clone() });
        self.add_server(plan, UpCause::Added);
    }

    /// Handles the result of an added server's start.
    pub(super) fn added(&mut self, name: &str) {
        self.say(Saying::info(format!("Added new server '{name}'")));
        if self.profile.is_fork() {
            // The tools of the new server are registered before the others are registered again.
            let tools = self.registered_tools();
            let new = self.hub.as_ref().and_then(|hub| hub.server(name)).filter(|new| new.up_since.is_some());
            self.say_sync(tools - new.map_or(0, |new| self.tools.of(new.toolset).len()));
        }
        let changes = self.changes(&[name.to_owned()], &[]);
        self.changed("servers_updated", &changes);
    }

    /// Reloads the configuration. Only a hub that was started with `--watch` does.
    fn reloads(&self) -> bool {
        self.profile.watches_config && self.hub.as_ref().is_some_and(Hub::is_settled)
    }

    /// Counts the tools of connected servers, and the fork's own.
    fn registered_tools(&self) -> usize {
        self.hub.as_ref().map_or(0, |hub| self.listed_tools(hub)) + 1
    }

    fn say_reload(&mut self, changes: &str) {
        self.say(Saying::debug(format!("Config file change detected at {}", self.profile.config_file)));
        self.say(self.config_loaded());
        let members = Fields::new().text("type", "config_changed").raw("newConfig", self.configuration_json());
        self.outbox.push(Notice::Changed(members.as_str().to_owned()));
        self.changed("servers_updating", changes);
    }

    fn configuration_json(&self) -> String {
        let servers = self.configured.iter().fold(Fields::new(), |servers, plan| {
            let server = Fields::new()
                .text("command", "node")
                .texts("args", &[format!("/srv/staging/{}.mjs", plan.name)])
                .text("config_source", &self.profile.config_file)
                .text("type", "stdio");
            servers.raw(&plan.name, server.object())
        });
        Fields::new().raw("mcpServers", servers.object()).object()
    }

    fn say_processed(&mut self, added: usize, removed: usize) {
        let fields = Fields::new()
            .text("changedFile", &self.profile.config_file)
            .raw("added", added)
            .raw("removed", removed)
            .raw("modified", 0);
        self.say(Saying::info("Config changes processed").with(fields));
    }

    fn changes(&self, added: &[String], removed: &[String]) -> String {
        let others = self.configured.iter().map(|plan| plan.name.clone()).filter(|name| !added.contains(name));
        Fields::new()
            .texts("added", added)
            .texts("removed", removed)
            .raw("modified", "[]")
            .texts("unchanged", &others.collect::<Vec<_>>())
            .raw("details", "{}")
            .object()
    }

    fn changed(&mut self, kind: &str, changes: &str) {
        let members = Fields::new().text("type", kind).raw("changes", changes);
        self.outbox.push(Notice::Changed(members.as_str().to_owned()));
    }
}
