//! What is known of the hub before anything is done: its state, servers, tools, process.

use std::time::Duration;

use crate::hub::act::{FilteringConfig, ServerWithTools};
use crate::hub::api::Health;
use crate::process::{ApiProcess, HubProcess};
use crate::scenario::target::Target;
use crate::watch::{ApiOutcome, Timestamp};

/// Hubs count the uptime of a server in whole seconds: for its first one it is 0.
const COUNTS_AFTER: Duration = Duration::from_millis(1_500);

/// How often a server that connected just now is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The hub at one time.
pub(super) struct Survey {
    /// Its answer to `/api/health`.
    pub health: Health,
    /// Its servers with their tools.
    pub servers: Vec<ServerWithTools>,
    /// Whether it has a meta-tool; `None` if it can't be told.
    pub has_meta_tool: Option<bool>,
    /// Its settings, if it tells them.
    pub config: Option<FilteringConfig>,
    /// Its process, if it is visible.
    pub process: Option<HubProcess>,
}

impl Survey {
    /// Looks at the hub.
    ///
    /// # Errors
    /// Why it does not answer as a hub does.
    pub(super) async fn of(target: &Target) -> Result<Self, ApiOutcome> {
        let health = target.hub.health().await.0?;
        let servers = target.hub.servers_with_tools().await.0?.servers;
        let has_meta_tool = match target.hub.filtering_stats().await {
            Some((Ok(_), _)) => Some(true),
            Some((Err(ApiOutcome::NotFound), _)) => Some(false),
            Some((Err(_), _)) | None => None,
        };
        let config = if has_meta_tool == Some(true) { target.hub.filtering_config().await } else { None };
        let process = process(target, &health);
        Ok(Self { health, servers, has_meta_tool, config, process })
    }

    /// Looks at the hub; if a server seems to have lost its process, again until it has one or a second has passed: a server that
    /// connected just now shows the same uptime as one that is dead.
    ///
    /// # Errors
    /// Why it does not answer as a hub does.
    pub(super) async fn settled(target: &Target) -> Result<Self, ApiOutcome> {
        let end = tokio::time::Instant::now() + COUNTS_AFTER;
        loop {
            let survey = Self::of(target).await?;
            let is_dead_or_new = |server: &ServerWithTools| server.status == "connected" && !is_usable(server);
            if !survey.servers.iter().any(is_dead_or_new) || tokio::time::Instant::now() >= end {
                return Ok(survey);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Its connected MCP clients, if it counts them.
    pub(super) fn clients(&self) -> Option<u32> {
        self.health.mcp_endpoint.as_ref().and_then(|endpoint| endpoint.clients)
    }

    /// What makes it the same process: its PID and start time by its API, or else by the process table.
    pub(super) fn identity(&self) -> Option<(u32, Option<Timestamp>)> {
        match ApiProcess::of_health(&self.health) {
            ApiProcess::Process(pid, started) => Some((pid, started)),
            ApiProcess::Unknown | ApiProcess::PortClosed => {
                self.process.as_ref().map(|process| (process.poll.pid, Some(process.poll.started)))
            }
        }
    }

    /// The server of this name.
    pub(super) fn server(&self, name: &str) -> Option<&ServerWithTools> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// The servers that are usable: connected, and their connection is not one that has ended unnoticed.
    pub(super) fn usable(&self) -> impl Iterator<Item = &ServerWithTools> {
        self.servers.iter().filter(|server| is_usable(server))
    }
}

/// A server that is called connected with uptime 0 has lost its process (or connected in this very second).
pub(super) fn is_usable(server: &ServerWithTools) -> bool {
    server.status == "connected" && server.uptime.is_none_or(|uptime| uptime > 0.0)
}

/// Whether a hub in this state works. (`restarted` lasts for ever.)
pub(super) fn is_ready(state: &str) -> bool {
    matches!(state, "ready" | "restarted")
}

/// Reads the hub's process.
pub(super) fn process(target: &Target, health: &Health) -> Option<HubProcess> {
    target.process.as_ref().and_then(|source| (source.borrow_mut())(ApiProcess::of_health(health)))
}
