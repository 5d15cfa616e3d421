//! The hub's start, line by line as recorded.

use super::*;
use crate::simulator::hub::{Server, ServerStatus};
use crate::simulator::profile::Logger;
use crate::simulator::resources::Resources;

/// Node's own start time, before the hub's first line.
const BOOT: Micros = Micros::new(350_000);

const NOT_RUNNING: &str = "Error [ERR_SERVER_NOT_RUNNING]: Server is not running.\n    at Server.close (node:net:2284:12)\n    at Object.onceWrapper (node:events:638:28)\n    at Server.emit (node:events:524:28)\n    at emitCloseNT (node:net:2344:8)\n    at process.processTicksAndRejections (node:internal/process/task_queues:81:21)";

/// The minimum difference of process ids between two starts.
const PID_STEP: u64 = 1_498;

impl World {
    pub(super) fn start_hub(&mut self) {
        if self.hub.is_some() {
            return;
        }
        self.life += 1;
        let hub = self.new_hub();
        self.record(Happening::HubStarted { pid: hub.pid });
        self.hub = Some(hub);
        self.plan_start();
    }

    fn new_hub(&mut self) -> Hub {
        let earlier = self.truth.iter().filter(|truth| matches!(truth.what, Happening::HubStarted { .. })).count() as u64;
        let pid = u32::try_from(u64::from(self.profile.pid) + earlier * PID_STEP).unwrap_or(self.profile.pid);
        Hub {
            pid,
            started: self.now,
            state: HubState::Starting,
            booted: false,
            listening: false,
            servers: Vec::new(),
            clients: Vec::new(),
            calls: Vec::new(),
            subscribers: Vec::new(),
            workspace_changes: 0,
            last_event_at: self.now,
            busy_until: self.now,
            storms_until: self.now,
            resources: Resources::new(self.profile.seed, self.now, self.permille, self.leak_per_hour),
            next_child: pid + 11,
            stop_cause: StopCause::Asked,
            tools_before_restart: 0,
            strays: Vec::new(),
            closed_at_stop: Vec::new(),
        }
    }

    fn plan_start(&mut self) {
        let boot = self.about(BOOT.get()).get();
        let after = |millis: u64| Micros::new(boot + millis * 1_000);
        self.later(after(0), Event::OpenLog);
        self.later(after(5), Event::Listen);
        for (millis, saying) in self.opening_lines() {
            self.say_later(after(millis), saying);
        }
        self.later(after(132), Event::StartServers);
    }

    pub(super) fn open_log(&mut self) {
        if self.profile.logger == Logger::Legacy {
            self.outbox.push(Notice::LogTruncated);
        }
        if let Some(hub) = &mut self.hub {
            hub.resources.work(240_000);
        }
        if self.profile.is_fork() {
            let fields = Fields::new().raw("batchWindow", 100).raw("maxBatchSize", 50);
            self.say(Saying::debug("SSEManager batching enabled").with(fields));
        }
        let port = self.profile.port;
        self.say(Saying::info(format!("Starting HTTP server on port {port}")).with(Fields::new().raw("port", port)));
    }

    pub(super) fn listen(&mut self) {
        if let Some(hub) = &mut self.hub {
            hub.booted = true;
        }
        if self.port_taken && !self.profile.is_fork() {
            self.fail_to_listen();
            return;
        }
        self.say(Saying::info("HTTP_SERVER_STARTED"));
        if self.port_taken {
            // The fork continues without a port, and overwrites the workspace entry of the hub that has the port.
            self.say(Saying::info(self.port_error()));
        } else {
            if let Some(hub) = &mut self.hub {
                hub.listening = true;
            }
            self.record(Happening::HubListening);
        }
        self.register();
        self.say(Saying::info("Initializing workspace cache"));
        self.later(Micros::new(10_000_000 - 7_000), Event::Heartbeat);
    }

    fn register(&mut self) {
        let Some(pid) = self.hub.as_ref().map(|hub| hub.pid) else { return };
        let Profile { cwd, config_file, .. } = self.profile.clone();
        let workspace = Workspace { cwd, config_file, pid, start: self.clock(self.now), connections: 0 };
        self.registry.0.insert(self.profile.port, workspace);
    }

    fn port_error(&self) -> String {
        let port = self.profile.port;
        format!("HTTP_SERVER_START_ERROR: EADDRINUSE: listen EADDRINUSE: address already in use :::{port}")
    }

    /// Fails to start because another hub has the port: the npm hub stops at once, and removes the workspace entry of that other
    /// hub.
    fn fail_to_listen(&mut self) {
        let port = self.profile.port;
        let reason = format!("listen EADDRINUSE: address already in use :::{port}");
        let original = format!(r#"{{"code":"EADDRINUSE","errno":-98,"syscall":"listen","address":"::","port":{port}}}"#);
        self.say(Saying::info(self.port_error()));
        let fields = Fields::new().raw("port", port).raw("originalError", original);
        self.say(Saying::error("EADDRINUSE", reason).with(fields));
        self.say_stopping();
        self.say(Saying::info("Stopping HTTP server and closing all connections"));
        self.say(Saying::warn("MCP Hub is already stopped and cannot be stopped again"));
        self.say(Saying::info("Shutting down SSE manager (0 connections)"));
        self.say(Saying::info("SSE manager shutdown complete"));
        let fields = Fields::new().text("error", "Server is not running.").text("stack", NOT_RUNNING);
        self.say(Saying::error("SERVER_STOP_ERROR", "Failed to stop HTTP server").with(fields));
        self.say(Saying::debug("Error stopping HTTP server: Server is not running."));
        self.deregister();
        self.process_gone(StopCause::OwnError);
    }

    /// Returns the lines between the HTTP server and the MCP servers, with their offsets in milliseconds.
    fn opening_lines(&self) -> Vec<(u64, Saying)> {
        let port = self.profile.port;
        let registry = if self.profile.is_fork() { "ollieb89" } else { "ravitemer" };
        let cache = Fields::new()
            .text("cacheFile", "/home/hub/.local/state/mcp-hub/workspaces.json")
            .text("workspaceKey", &port.to_string());
        let mut lines = vec![
            (10, Saying::debug("WorkspaceCacheManager initialized").with(cache)),
            (13, Saying::info(format!("Registered workspace on port {port}")).with(self.workspace_fields())),
            (15, Saying::debug("Started watching workspace cache file")),
            (15, Saying::info("Initializing marketplace catalog")),
            (
                17,
                Saying::debug(format!(
                    "Fetching marketplace registry from https://{registry}.github.io/mcp-registry/registry.json"
                )),
            ),
            (48, Saying::warn("Fetch failed, falling back to curl").with(Fields::new().text("error", "fetch failed"))),
            (117, marketplace_failed()),
            (117, Saying::info("Marketplace initialized with 0")),
            (117, Saying::info("Initializing MCP Hub")),
        ];
        if !self.profile.is_fork() {
            lines.push((117, self.endpoint_ready()));
        }
        lines.push((131, self.config_loaded()));
        if self.profile.watches_config {
            let paths = Fields::new().texts("paths", std::slice::from_ref(&self.profile.config_file));
            lines.push((131, Saying::debug(format!("Started watching {} files", self.profile.config_file)).with(paths)));
        }
        lines
    }

    /// Returns the workspace's fields. With pino, the `pid` among them makes the key appear twice in the line.
    fn workspace_fields(&self) -> Fields {
        let pid = self.hub.as_ref().map_or(0, |hub| hub.pid);
        Fields::new().raw("port", self.profile.port).text("cwd", &self.profile.cwd).raw("pid", pid).raw("config_files", 1)
    }

    fn endpoint_ready(&self) -> Saying {
        let port = self.profile.port;
        Saying::info(format!("Hub endpoint ready: Use `http://localhost:{port}/mcp` endpoint with any other MCP clients"))
    }

    pub(super) fn start_servers(&mut self) {
        self.say(Saying::info("Disconnecting all servers in parallel").with(Fields::new().raw("count", 0)));
        self.start_configured(UpCause::HubStart);
    }

    /// Starts every configured server; earlier ones are dropped.
    pub(super) fn start_configured(&mut self, starter: UpCause) {
        let plans = self.configured.clone();
        let count = plans.len();
        if let Some(hub) = &mut self.hub {
            hub.servers.clear();
        }
        let text = format!("Starting {count} configured MCP servers in parallel");
        self.say(Saying::info(text).with(Fields::new().raw("count", count)));
        for plan in plans {
            let fields = Fields::new().text("server", &plan.name);
            self.say(Saying::info(format!("Initializing MCP server '{}'", plan.name)).with(fields));
            self.add_server(plan, starter);
        }
        if count == 0 {
            self.finish_starts();
        }
    }

    pub(super) fn add_server(&mut self, plan: ServerPlan, starter: UpCause) {
        let ServerPlan { name, starts, connects_after, toolset, starts_again } = plan;
        self.attempts += 1;
        let server = Server {
            name: name.clone(),
            starts,
            connects_after,
            toolset,
            starts_again,
            crashed: false,
            attempt: self.attempts,
            starter,
            status: ServerStatus::Disconnected,
            error: None,
            last_started: None,
            up_since: None,
            counts_from: None,
            pid: None,
        };
        if let Some(hub) = &mut self.hub {
            hub.servers.push(server);
        }
        self.start_server(&name, starter);
    }

    /// Handles the moment when the start of every server has succeeded or failed.
    pub(super) fn finish_starts(&mut self) {
        match self.hub.as_ref().map(|hub| hub.state) {
            Some(HubState::Starting) => self.finish_start(),
            Some(HubState::Restarting) => self.finish_restart(),
            Some(HubState::Ready | HubState::Restarted | HubState::Stopping) | None => {}
        }
    }

    /// Completes the hub's start.
    fn finish_start(&mut self) {
        self.say_start_summary();
        if self.profile.is_fork() {
            self.say_meta_tools();
            self.say(self.endpoint_ready());
            self.say_llm_ready();
        }
        self.set_state(HubState::Ready);
        self.record(Happening::HubReady);
    }

    pub(super) fn say_start_summary(&mut self) {
        let Some(hub) = &self.hub else { return };
        let total = hub.servers.len();
        let failing = hub.servers.iter().filter(|server| server.status != ServerStatus::Connected);
        let failed: Vec<String> = failing.map(|server| server.name.clone()).collect();
        let successful = total - failed.len();
        let fields = Fields::new()
            .raw("total", total)
            .raw("successful", successful)
            .raw("failed", failed.len())
            .raw("disabled", 0)
            .texts("failedServers", &failed);
        self.say(Saying::info(format!("{successful}/{total} servers started successfully")).with(fields));
    }

    fn say_meta_tools(&mut self) {
        self.say(Saying::debug("LLM configuration validated successfully"));
        self.say(Saying::info("Registering meta-tools for prompt-based filtering (mode: prompt-based, enableMetaTools: true)"));
        self.say(Saying::debug("Registered meta-tool: hub__analyze_prompt"));
        self.say(Saying::info("Registered 1 meta-tools in allCapabilities.tools (total tools now: 1)"));
        self.say(Saying::info("Meta-tools registered: 1 total tools in allCapabilities"));
        self.say_sync(1);
    }

    /// Registers all tools of the fork again; it had so many before.
    pub(super) fn say_sync(&mut self, tools: usize) {
        self.say(Saying::debug("syncCapabilities called with capabilityIds: null, affectedServers: null"));
        let kinds = "  Will sync capability IDs: [\"tools\",\"resources\",\"resourceTemplates\",\"prompts\"]";
        self.say(Saying::debug(kinds));
        self.say(Saying::debug(format!("syncCapabilityType for tools: {tools} tools before sync")));
        self.say(Saying::debug("  Meta-tools before sync: 1"));
        self.say(Saying::debug("Preserving 1 meta-tools during sync: hub__analyze_prompt"));
        self.say(Saying::debug("Restored 1 meta-tools after clear"));
    }

    pub(super) fn config_loaded(&self) -> Saying {
        Saying::debug(format!("Config loaded successfully from {}", self.profile.config_file))
    }

    fn say_llm_ready(&mut self) {
        let model = Fields::new().text("provider", "gemini").text("model", "gemini-2.5-flash");
        let created = model.clone().raw("hasBaseURL", false);
        let cached = model.text("cacheFile", "/home/hub/.local/state/mcp-hub/tool-categories-llm.json");
        self.say(Saying::info("LLM provider created successfully").with(created));
        self.say(Saying::info("No existing LLM cache found, will create on first categorization"));
        self.say(Saying::info("LLM categorization initialized successfully").with(cached));
    }
}

fn marketplace_failed() -> Saying {
    let fields =
        Fields::new().text("error", "Failed to fetch marketplace registry").text("fallback", "Continuing with empty catalog");
    let text = "Failed to initialize marketplace registry: Failed to fetch marketplace registry";
    Saying::error("MARKETPLACE_INIT_ERROR", text).with(fields)
}
