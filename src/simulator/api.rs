//! Bodies of the hub's HTTP API, assembled from cached parts because a period of 48 hours needs tens of thousands of them.

use super::behaviour::Counts;
use super::fields::{Fields, quote};
use super::hub::{Hub, HubState, Server, ServerStatus};
use super::random::mix;
use super::world::World;
use crate::watch::Micros;

/// The result of a request to the hub's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiAnswer {
    /// No connection: the hub isn't running. Also used for the npm hub's filtering statistics, whose 404 has no JSON body.
    Refused,
    /// An answer.
    Json {
        /// The body.
        body: Vec<u8>,
        /// The response time.
        took: Micros,
    },
}

impl World {
    /// Returns `GET /api/health` (recordings: `health.json`).
    pub(super) fn health(&self) -> ApiAnswer {
        self.answer(|hub| self.health_json(hub))
    }

    /// Returns `GET /api/servers` (recordings: `servers.json`).
    pub(super) fn servers(&self) -> ApiAnswer {
        self.answer(|hub| {
            let servers = self.servers_json(hub);
            Fields::new().raw("servers", servers).text("timestamp", &self.clock(self.now).to_string()).object()
        })
    }

    /// Returns `GET /api/filtering/stats` (recordings: `filtering-stats.json`, forks only).
    pub(super) fn filtering_stats(&self) -> ApiAnswer {
        if !self.profile.is_fork() {
            return ApiAnswer::Refused;
        }
        self.answer(|hub| self.filtering_json(hub))
    }

    fn answer(&self, body: impl FnOnce(&Hub) -> String) -> ApiAnswer {
        match self.hub.as_ref().filter(|hub| hub.listening) {
            Some(hub) => ApiAnswer::Json { body: body(hub).into_bytes(), took: self.took(hub) },
            None => ApiAnswer::Refused,
        }
    }

    /// Returns the response time: a few milliseconds, the delay of the script, and the time until the hub's thread is free.
    fn took(&self, hub: &Hub) -> Micros {
        let noise = 1_800 + mix(self.profile.seed ^ self.now.get()) % 3_400;
        Micros::new(noise + self.api_delay.get() + hub.busy_until.since(self.now).get())
    }

    fn health_json(&self, hub: &Hub) -> String {
        let mut fields = Fields::new().text("status", "ok").text("state", hub.state.name()).text("server_id", "mcp-hub");
        if let Some(version) = &self.profile.version {
            fields = fields.text("version", version);
        }
        fields = fields
            .raw("activeClients", hub.subscribers.len())
            .text("timestamp", &self.clock(self.now).to_string())
            .raw("servers", self.servers_json(hub))
            .raw("connections", self.connections_json(hub));
        // The npm hub has its endpoint before its servers, the fork after them.
        if hub.state != HubState::Starting || !self.profile.is_fork() {
            fields = fields.raw("mcpEndpoint", self.endpoint_json(hub));
        }
        fields.raw("workspaces", self.current_workspaces_json()).object()
    }

    fn servers_json(&self, hub: &Hub) -> String {
        let servers: Vec<String> = hub.servers.iter().map(|server| self.server_json(server)).collect();
        format!("[{}]", servers.join(","))
    }

    /// Returns one server as the hub reports it. A crashed one is connected, has its tools, and an uptime of 0.
    pub(super) fn server_json(&self, server: &Server) -> String {
        let connected = server.status == ServerStatus::Connected;
        let capabilities = Fields::new()
            .raw("tools", if connected { self.tools.of(server.toolset).array.as_str() } else { "[]" })
            .raw("resources", "[]")
            .raw("resourceTemplates", "[]")
            .raw("prompts", "[]");
        let info = r#"{"name":"secure-filesystem-server","version":"0.2.0"}"#;
        Fields::new()
            .text("name", &server.name)
            .text("displayName", &server.name)
            .text("description", "")
            .text("transportType", "stdio")
            .text("status", server.status.name())
            .raw("error", or_null(server.error.as_deref()))
            .raw("capabilities", capabilities.object())
            .raw("uptime", self.uptime(server))
            .raw("lastStarted", or_null(server.last_started.map(|at| at.to_string()).as_deref()))
            .raw("authorizationUrl", "null")
            .raw("serverInfo", if connected { info } else { "null" })
            .text("config_source", &self.profile.config_file)
            .object()
    }

    /// Returns a server's uptime in whole seconds, rounded down, as a hub counts it by its clock: below 0 where that was set back by
    /// more.
    fn uptime(&self, server: &Server) -> i64 {
        let (Some(_), Some(from)) = (server.up_since, server.counts_from) else { return 0 };
        let now = self.clock(self.now);
        let (micros, below) = (now.since(from).get().cast_signed(), from.since(now).get().cast_signed());
        (micros - below).div_euclid(1_000_000)
    }

    fn connections_json(&self, hub: &Hub) -> String {
        let last = quote(&self.clock(hub.last_event_at).to_string());
        let each = hub.subscribers.iter().map(|subscriber| {
            Fields::new()
                .text("id", &subscriber.id)
                .text("state", "connected")
                .text("connectedAt", &self.clock(subscriber.connected_at).to_string())
                .raw("lastEventAt", &last)
                .object()
        });
        let all: Vec<String> = each.collect();
        Fields::new().raw("totalConnections", all.len()).raw("connections", format!("[{}]", all.join(","))).object()
    }

    fn endpoint_json(&self, hub: &Hub) -> String {
        let tools = self.listed_tools(hub) + usize::from(self.profile.is_fork());
        let registered =
            Fields::new().raw("tools", tools).raw("resources", 0).raw("resourceTemplates", 0).raw("prompts", 0).object();
        let fields = match self.profile.behaviour.counts {
            Counts::Right => Fields::new().raw("activeClients", hub.clients.len()),
            Counts::Zero => Fields::new().raw("activeClients", 0),
            Counts::Absent => Fields::new(),
        };
        fields.raw("registeredCapabilities", registered).raw("totalCapabilities", tools).object()
    }

    /// Returns the tools of the servers that the hub reports as connected.
    pub(super) fn listed_tools(&self, hub: &Hub) -> usize {
        let connected = hub.servers.iter().filter(|server| server.status == ServerStatus::Connected);
        connected.map(|server| self.tools.of(server.toolset).len()).sum()
    }

    fn current_workspaces_json(&self) -> String {
        let port = self.profile.port.to_string();
        Fields::new().text("current", &port).raw("allActive", self.registry.json()).object()
    }

    fn filtering_json(&self, hub: &Hub) -> String {
        let tools = self.listed_tools(hub);
        Fields::new()
            .raw("enabled", true)
            .text("mode", "prompt-based")
            .raw("totalTools", tools)
            .raw("filteredTools", 0)
            .raw("exposedTools", tools)
            .raw("filterRate", 0)
            .raw("serverFilterMode", "null")
            .raw("allowedServers", "[]")
            .raw("allowedCategories", "[]")
            .raw("categoryCacheSize", tools)
            .raw("cacheHitRate", 0)
            .raw("llmCacheSize", 0)
            .raw("llmCacheHitRate", 0)
            .text("timestamp", &self.clock(self.now).to_string())
            .object()
    }
}

fn or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".into(), quote)
}
