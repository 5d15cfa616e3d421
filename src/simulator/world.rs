//! The simulated hub itself: pure and deterministic, in virtual time. What it writes and answers is what the recorded hubs wrote and
//! answered, their bugs included.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::fields::Fields;
use super::lines::{Entry, Saying};
use super::profile::Profile;
use super::random::Random;
use super::sink::LogSink;
use super::step::{Gemini, Step};
use crate::watch::{Micros, Timestamp};

/// How long the hub's one thread is busy with the lines of a disconnect (0.3 s in the recordings).
const STORM: Micros = Micros::new(300_000);
/// From the start of the process to its first line.
const BOOT: Micros = Micros::new(450_000);
/// How long a server takes to start (0.3 to 0.6 s in the recordings).
const SERVER_START: Micros = Micros::new(400_000);
/// A round of three tries that end in HTTP 429, with backoff (17 s for three rounds in the recordings).
const RATE_LIMITED_ROUND: Micros = Micros::new(5_600_000);
/// How long Gemini takes to refuse a key.
const KEY_REFUSED: Micros = Micros::new(5_000_000);
/// Rounds of Gemini requests before the keywords decide.
const ROUNDS: u32 = 3;

/// An answer of the simulated API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiAnswer {
    /// Nobody listens.
    Refused,
    /// A JSON body.
    Json {
        /// The body.
        body: Vec<u8>,
        /// How long the hub takes for it.
        took: Micros,
    },
}

/// The simulated hub's process, as the system would show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedProcess {
    /// Its id.
    pub pid: u32,
    /// When it started.
    pub start: Timestamp,
    /// Processor time since then.
    pub cpu_time: Micros,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub fds: u32,
    /// Threads.
    pub threads: u32,
    /// Child processes.
    pub children: u32,
}

/// What really happened: what a watcher's findings can be held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// The hub's process began.
    HubStarted,
    /// It ended; in good order or not.
    HubEnded {
        /// Whether it said its last words.
        graceful: bool,
    },
    /// A server began to work.
    ServerUp(String),
    /// A server ceased to work.
    ServerDown(String),
    /// A client connected.
    ClientConnected(String),
    /// A client left.
    ClientDisconnected(String),
    /// A meta-tool call ended.
    CallEnded {
        /// How: `ok`, `fallback`, `error` or `aborted`.
        outcome: &'static str,
        /// How long it took.
        duration: Micros,
    },
}

#[derive(Debug, Clone)]
enum Event {
    Step(Step),
    Boot,
    Settled(String),
    Named(u64),
    Round { call: u64, round: u32 },
    Answered { call: u64, categories: Vec<String> },
    Shutdown,
    Exit,
}

#[derive(Debug)]
struct Server {
    status: &'static str,
    error: Option<&'static str>,
    alive: bool,
    connected: Option<Timestamp>,
    last_started: Option<Timestamp>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    id: String,
    name: String,
    named: bool,
    exposed: Vec<String>,
}

#[derive(Debug)]
struct Call {
    number: u64,
    session: u64,
    started: Timestamp,
    fallback: bool,
    gemini: Gemini,
}

#[derive(Debug)]
struct Hub {
    pid: u32,
    started: Timestamp,
    listening: bool,
    ready: bool,
    stopping: bool,
    servers: BTreeMap<String, Server>,
    sessions: Vec<Session>,
    subscribers: Vec<String>,
    calls: Vec<Call>,
    busy: Micros,
}

/// A simulated hub. Nothing runs until [`Step::StartHub`].
#[derive(Debug)]
pub struct Simulation {
    profile: Profile,
    tools: String,
    random: Random,
    now: Timestamp,
    /// Until when the hub's one thread is busy with lines.
    busy_until: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Event>,
    planned: u64,
    numbers: u64,
    next_pid: u32,
    hub: Option<Hub>,
    cpu_permille: u32,
    leak: (Timestamp, u64, u64),
    delay: Micros,
    written: Vec<Entry>,
    truth: Vec<(Timestamp, Truth)>,
    /// Entries for live listeners; off in rehearsals.
    keep_entries: bool,
    entries: Vec<Entry>,
    answers: BTreeMap<u64, Result<Vec<String>, ()>>,
    truncate: bool,
}

impl Simulation {
    /// A hub at the beginning of its virtual time.
    pub fn new(profile: Profile, start: Timestamp) -> Self {
        Self {
            tools: tools_json(profile.tools),
            random: Random::new(profile.seed),
            next_pid: profile.pid,
            profile,
            now: start,
            busy_until: start,
            agenda: BTreeMap::new(),
            planned: 0,
            numbers: 0,
            hub: None,
            cpu_permille: 3,
            leak: (start, 0, 0),
            delay: Micros::new(0),
            written: Vec::new(),
            truth: Vec::new(),
            keep_entries: false,
            entries: Vec::new(),
            answers: BTreeMap::new(),
            truncate: false,
        }
    }

    /// Plans a step; one in the past happens at the next advance.
    pub fn schedule(&mut self, at: Timestamp, step: Step) {
        self.plan(at, Event::Step(step));
    }

    /// The virtual time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What really happened.
    pub fn truth(&self) -> &[(Timestamp, Truth)] {
        &self.truth
    }

    /// Lets time pass: everything that is due by `to` happens in its order, and the log gets its lines.
    pub fn advance(&mut self, to: Timestamp, log: &mut dyn LogSink) -> io::Result<()> {
        while let Some(entry) = self.agenda.first_entry() {
            let (due, _) = *entry.key();
            if due > to {
                break;
            }
            let event = entry.remove();
            self.now = due.max(self.now).max(self.busy_until);
            self.happen(event);
            self.write(log)?;
        }
        self.now = self.now.max(to);
        log.flush()
    }

    fn write(&mut self, log: &mut dyn LogSink) -> io::Result<()> {
        if std::mem::take(&mut self.truncate) {
            log.truncate()?;
        }
        for entry in self.written.drain(..) {
            log.line(&entry.file_line(self.profile.logger))?;
            if self.keep_entries {
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    fn plan(&mut self, at: Timestamp, event: Event) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), event);
    }

    fn plan_in(&mut self, span: Micros, event: Event) {
        self.plan(self.now.plus(span), event);
    }

    fn say(&mut self, saying: Saying) {
        self.say_at(self.now, Arc::new(saying));
    }

    fn say_at(&mut self, at: Timestamp, saying: Arc<Saying>) {
        let pid = self.hub.as_ref().map_or(self.next_pid, |hub| hub.pid);
        self.written.push(Entry::new(at, pid, self.profile.hostname.as_str().into(), saying));
    }

    fn info(&mut self, text: impl Into<std::borrow::Cow<'static, str>>) {
        self.say(Saying::info(text));
    }

    fn debug(&mut self, text: impl Into<std::borrow::Cow<'static, str>>) {
        self.say(Saying::debug(text));
    }

    fn checkpoint(&mut self, text: &'static str, session: &str) {
        self.say(Saying::debug(text).swapped(Fields::new().text("sessionId", session)));
    }

    fn happened(&mut self, truth: Truth) {
        self.truth.push((self.now, truth));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(step) => self.step(step),
            Event::Boot => self.boot(),
            Event::Settled(name) => self.settled(&name),
            Event::Named(session) => self.named(session),
            Event::Round { call, round } => self.round(call, round),
            Event::Answered { call, categories } => self.answered(call, &categories),
            Event::Shutdown => self.shut_down(),
            Event::Exit => self.exit(true),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::StartHub => self.start_hub(),
            Step::StopHub => self.signal_stop(),
            Step::KillHub => self.exit(false),
            Step::ConnectClient { name } => {
                self.connect(&name);
            }
            Step::DisconnectClient { name } => {
                let session = self.hub.as_ref().and_then(|hub| hub.sessions.iter().rfind(|session| session.name == name));
                if let Some(number) = session.map(|session| session.number) {
                    self.disconnect(number);
                }
            }
            Step::Analyze { client, gemini } => {
                let session = self.hub.as_ref().and_then(|hub| hub.sessions.iter().rfind(|session| session.name == client));
                if let Some(number) = session.map(|session| session.number) {
                    self.analyze(number, gemini);
                }
            }
            Step::KillServer { name } => self.server_gone(&name),
            Step::StopServer { name } => self.stop_server(&name),
            Step::StartServer { name } => self.start_server(&name),
            Step::Subscribe => {
                self.subscribe();
            }
            Step::Unsubscribe => {
                let last = self.hub.as_ref().and_then(|hub| hub.subscribers.last().cloned());
                if let Some(id) = last {
                    self.unsubscribe(&id);
                }
            }
            Step::Warn { text } => self.say(Saying::warn(text)),
            Step::LeakMemory { bytes_per_hour } => self.leak = (self.now, self.leaked(), bytes_per_hour),
            Step::Cpu { permille_of_core } => self.cpu_permille = permille_of_core,
            Step::ApiDelay { delay } => self.delay = delay,
        }
    }

    // The hub's life.

    fn start_hub(&mut self) {
        if self.hub.is_some() {
            return;
        }
        let servers = self.profile.servers.iter().map(|plan| {
            let server = Server { status: "disconnected", error: None, alive: false, connected: None, last_started: None };
            (plan.name.clone(), server)
        });
        self.hub = Some(Hub {
            pid: self.next_pid,
            started: self.now,
            listening: false,
            ready: false,
            stopping: false,
            servers: servers.collect(),
            sessions: Vec::new(),
            subscribers: Vec::new(),
            calls: Vec::new(),
            busy: BOOT,
        });
        self.next_pid += 1_331;
        self.happened(Truth::HubStarted);
        self.plan_in(BOOT, Event::Boot);
    }

    fn boot(&mut self) {
        let (fork, port) = (self.profile.is_fork(), self.profile.port);
        self.truncate = self.profile.logger == super::profile::Logger::Legacy;
        let Some(hub) = &mut self.hub else { return };
        hub.listening = true;
        let pid = hub.pid;
        if fork {
            self.debug("SSEManager batching enabled");
        }
        self.say(Saying::info(format!("Starting HTTP server on port {port}")).with(Fields::new().raw("port", port)));
        self.info("HTTP_SERVER_STARTED");
        self.info("Initializing workspace cache");
        self.debug("WorkspaceCacheManager initialized");
        let fields = Fields::new().raw("port", port).text("cwd", &self.profile.cwd).raw("pid", pid).raw("config_files", 1);
        self.say(Saying::info(format!("Registered workspace on port {port}")).with(fields));
        self.debug("Started watching workspace cache file");
        self.marketplace(if fork { "ollieb89" } else { "ravitemer" });
        self.info("Initializing MCP Hub");
        if !fork {
            self.endpoint_ready();
        }
        self.debug(format!("Config loaded successfully from {}", self.profile.config_file));
        self.info("Disconnecting all servers in parallel");
        let servers: Vec<String> = self.profile.servers.iter().map(|server| server.name.clone()).collect();
        self.info(format!("Starting {} configured MCP servers in parallel", servers.len()));
        for name in servers {
            self.info(format!("Initializing MCP server '{name}'"));
            self.begin_server(&name);
        }
    }

    fn marketplace(&mut self, owner: &str) {
        self.info("Initializing marketplace catalog");
        self.debug(format!("Fetching marketplace registry from https://{owner}.github.io/mcp-registry/registry.json"));
        self.say(Saying::warn("Fetch failed, falling back to curl").with(Fields::new().text("error", "fetch failed")));
        let failed = "Failed to initialize marketplace registry: Failed to fetch marketplace registry";
        self.say(Saying::error("MARKETPLACE_INIT_ERROR", failed));
        self.info("Marketplace initialized with 0");
    }

    fn endpoint_ready(&mut self) {
        let port = self.profile.port;
        self.info(format!("Hub endpoint ready: Use `http://localhost:{port}/mcp` endpoint with any other MCP clients"));
    }

    fn begin_server(&mut self, name: &str) {
        let now = self.now;
        if let Some(server) = self.server(name) {
            server.status = "connecting";
            server.error = None;
            server.last_started = Some(now);
        }
        let wait = Micros::new(SERVER_START.get() + self.random.between(0, 100_000));
        self.plan_in(wait, Event::Settled(name.to_owned()));
    }

    fn server(&mut self, name: &str) -> Option<&mut Server> {
        self.hub.as_mut()?.servers.get_mut(name)
    }

    fn settled(&mut self, name: &str) {
        let now = self.now;
        let starts = self.profile.servers.iter().any(|plan| plan.name == name && plan.starts);
        let fork = self.profile.is_fork();
        let Some(server) = self.server(name).filter(|server| server.status == "connecting") else { return };
        if starts {
            (server.status, server.alive, server.connected) = ("connected", true, Some(now));
            self.say(Saying::warn(format!("{name} stderr: Secure MCP Filesystem Server running on stdio")));
            self.say(Saying::warn(format!(
                "{name} stderr: Client does not support MCP Roots, using allowed directories set from server args: [ '/srv/staging/data' ]"
            )));
            self.info(format!("'{name}' MCP server connected"));
            self.happened(Truth::ServerUp(name.to_owned()));
        } else {
            server.status = "disconnected";
            server.error = Some("MCP error -32000: Connection closed");
            self.say(Saying::warn(format!("{name} stderr: GITHUB_PERSONAL_ACCESS_TOKEN not set")));
            self.debug(format!("'{name}' transport closed"));
            if !fork {
                self.debug(format!("'{name}' failed to start connection: MCP error -32000: Connection closed"));
            }
            let text = format!("Failed to connect to \"{name}\" MCP server: MCP error -32000: Connection closed");
            self.say(Saying::error("CONNECTION_ERROR", text).with(Fields::new().text("server", name)));
        }
        self.ready_if_all_settled();
    }

    fn ready_if_all_settled(&mut self) {
        let fork = self.profile.is_fork();
        let Some(hub) = self.hub.as_mut().filter(|hub| !hub.ready) else { return };
        if hub.servers.values().any(|server| server.status == "connecting") {
            return;
        }
        hub.ready = true;
        let (up, all) = (hub.servers.values().filter(|server| server.alive).count(), hub.servers.len());
        self.info(format!("{up}/{all} servers started successfully"));
        if fork {
            self.fork_ready();
        }
        self.debug(format!("Updated workspace state for port {}", self.profile.port));
    }

    fn fork_ready(&mut self) {
        self.debug("LLM configuration validated successfully");
        self.info("Registering meta-tools for prompt-based filtering (mode: prompt-based, enableMetaTools: true)");
        self.debug("Registered meta-tool: hub__analyze_prompt");
        self.info("Registered 1 meta-tools in allCapabilities.tools (total tools now: 1)");
        self.info("Meta-tools registered: 1 total tools in allCapabilities");
        self.endpoint_ready();
        let fields = Fields::new().text("provider", "gemini").text("model", "gemini-2.5-flash");
        self.say(Saying::info("LLM provider created successfully").with(fields.clone()));
        self.info("No existing LLM cache found, will create on first categorization");
        self.say(Saying::info("LLM categorization initialized successfully").with(fields));
    }

    fn signal_stop(&mut self) {
        let Some(hub) = self.hub.as_mut().filter(|hub| !hub.stopping) else { return };
        hub.stopping = true;
        self.say(
            Saying::info("Received SIGTERM signal - initiating graceful shutdown").with(Fields::new().text("signal", "SIGTERM")),
        );
        self.info("Starting graceful shutdown process");
        self.plan_in(Micros::new(2_000), Event::Shutdown);
    }

    fn shut_down(&mut self) {
        let Some(hub) = &mut self.hub else { return };
        let calls = std::mem::take(&mut hub.calls);
        let sessions: Vec<u64> = hub.sessions.iter().map(|session| session.number).collect();
        for call in calls {
            let duration = self.now.since(call.started);
            self.answers.insert(call.number, Err(()));
            self.happened(Truth::CallEnded { outcome: "aborted", duration });
        }
        let mut strays = Vec::new();
        for number in sessions {
            strays.extend(self.disconnect(number));
        }
        for name in strays {
            self.info(format!("'{name}' client disconnected from MCP HUB"));
        }
        self.say_shutdown();
        self.plan_in(Micros::new(15_000), Event::Exit);
    }

    fn say_shutdown(&mut self) {
        let Some(hub) = &mut self.hub else { return };
        let (subscribers, servers) = (hub.subscribers.len(), hub.servers.len());
        let alive: Vec<String> = hub.servers.iter().filter(|(_, server)| server.alive).map(|(name, _)| name.clone()).collect();
        for text in [
            "MCP server endpoint closed",
            "Stopping HTTP server and closing all connections",
            "Stopping MCP Hub and cleaning up resources",
            "Starting MCP Hub cleanup",
            "Disconnecting all servers in parallel",
        ] {
            self.info(text);
        }
        for name in alive {
            self.debug(format!("'{name}' transport closed"));
            if let Some(server) = self.server(&name) {
                server.alive = false;
            }
            self.happened(Truth::ServerDown(name));
        }
        self.info(format!("Shutting down SSE manager ({subscribers} connections)"));
        self.info("SSE manager shutdown complete");
        self.debug("Stopped watching workspace cache file");
        self.info(format!("{servers} servers disconnected"));
        self.info("MCP Hub cleanup completed");
        self.info("MCP Hub has been successfully stopped and cleaned up");
    }

    fn exit(&mut self, graceful: bool) {
        if self.hub.is_none() {
            return;
        }
        if graceful {
            self.info(format!("Deregistered workspace on port {}", self.profile.port));
            self.debug("WorkspaceCacheManager shutdown complete");
            self.info("Graceful shutdown completed successfully");
        }
        self.happened(Truth::HubEnded { graceful });
        self.hub = None;
        // What the process had planned ends with it.
        self.agenda.retain(|_, event| matches!(event, Event::Step(_)));
    }

    // Servers.

    fn server_gone(&mut self, name: &str) {
        let Some(server) = self.server(name).filter(|server| server.alive) else { return };
        // The bug: the status stays as it is.
        (server.alive, server.connected) = (false, None);
        self.debug(format!("'{name}' transport closed"));
        self.happened(Truth::ServerDown(name.to_owned()));
    }

    /// `POST /api/servers/stop`.
    pub(super) fn stop_server(&mut self, name: &str) {
        let Some(server) = self.server(name) else { return };
        let alive = std::mem::replace(&mut server.alive, false);
        (server.status, server.connected, server.last_started, server.error) = ("disconnected", None, None, None);
        if alive {
            self.debug(format!("'{name}' transport closed"));
            self.happened(Truth::ServerDown(name.to_owned()));
        }
    }

    /// `POST /api/servers/start`: nothing happens while the hub thinks that the server is connected.
    pub(super) fn start_server(&mut self, name: &str) {
        if self.server(name).is_some_and(|server| server.status != "connected") {
            self.begin_server(name);
        }
    }

    /// Whether a server really works.
    pub(super) fn server_works(&self, name: &str) -> bool {
        self.hub.as_ref().and_then(|hub| hub.servers.get(name)).is_some_and(|server| server.alive)
    }

    // Clients.

    /// A client opens a session; the handshake follows.
    pub(super) fn connect(&mut self, name: &str) -> Option<(u64, String)> {
        self.hub.as_ref().filter(|hub| hub.listening && !hub.stopping)?;
        self.numbers += 1;
        let (number, id) = (self.numbers, self.random.uuid());
        if self.profile.is_fork() {
            let fields = Fields::new().text("sessionId", &id).text("defaultExposure", "meta-only");
            self.say(Saying::debug("CHECKPOINT: Session initialized with tool exposure").swapped(fields));
            self.debug_swapped("Additive mode: accumulating categories", &id);
            self.say(Saying::info("Updated client tool exposure").swapped(Fields::new().text("sessionId", &id)));
            self.debug_swapped("No new categories added, skipping notification", &id);
        }
        let session = Session { number, id: id.clone(), name: name.to_owned(), named: false, exposed: Vec::new() };
        if let Some(hub) = &mut self.hub {
            hub.sessions.push(session);
        }
        let handshake = self.random.micros(80_000, 160_000);
        self.plan_in(handshake, Event::Named(number));
        Some((number, id))
    }

    fn debug_swapped(&mut self, text: &'static str, session: &str) {
        self.say(Saying::debug(text).swapped(Fields::new().text("sessionId", session)));
    }

    fn named(&mut self, number: u64) {
        let Some(session) = self.session(number) else { return };
        session.named = true;
        let name = session.name.clone();
        self.info(format!("'{name}' client connected to MCP HUB"));
        self.happened(Truth::ClientConnected(name));
    }

    fn session(&mut self, number: u64) -> Option<&mut Session> {
        self.hub.as_mut()?.sessions.iter_mut().find(|session| session.number == number)
    }

    /// A client goes: one disconnect, thousands of lines. Gives back the name for the stray lines at a shutdown.
    pub(super) fn disconnect(&mut self, number: u64) -> Option<String> {
        let hub = self.hub.as_mut()?;
        let index = hub.sessions.iter().position(|session| session.number == number)?;
        let session = hub.sessions.remove(index);
        hub.busy = Micros::new(hub.busy.get() + STORM.get());
        if self.profile.is_fork() {
            self.debug(format!("Cleaned up session {}", session.id));
        }
        if !session.named {
            return None;
        }
        let name = session.name;
        self.say(Saying::warn(format!("Error closing server connected to {name}: Maximum call stack size exceeded")));
        let (least, most) = self.profile.storm_lines;
        let lines = self.random.between(u64::from(least), u64::from(most));
        let line = Arc::new(Saying::info(format!("'{name}' client disconnected from MCP HUB")));
        for index in 0..lines {
            self.say_at(self.now.plus(Micros::new(STORM.get() * index / lines)), line.clone());
        }
        self.busy_until = self.now.plus(STORM);
        self.happened(Truth::ClientDisconnected(name.clone()));
        Some(name)
    }

    /// Somebody opens the event stream.
    pub(super) fn subscribe(&mut self) -> Option<String> {
        let id = self.random.uuid();
        let hub = self.hub.as_mut().filter(|hub| hub.listening)?;
        hub.subscribers.push(id.clone());
        let total = hub.subscribers.len();
        self.debug(format!("Updated workspace state for port {}", self.profile.port));
        let fields = Fields::new().text("clientId", &id).raw("totalConnections", total);
        self.say(Saying::debug("SSE client connected").with(fields));
        Some(id)
    }

    /// Somebody leaves the event stream.
    pub(super) fn unsubscribe(&mut self, id: &str) {
        let Some(hub) = &mut self.hub else { return };
        hub.subscribers.retain(|subscriber| subscriber != id);
        self.debug("SSE_CONNECTION_ERROR: aborted");
        self.debug("SSE client disconnected");
    }

    // Meta-tool calls.

    /// A client calls `hub__analyze_prompt`; gives back the call's number. The npm hub has no such tool.
    pub(super) fn analyze(&mut self, session: u64, gemini: Gemini) -> Option<u64> {
        if !self.profile.is_fork() {
            return None;
        }
        let id = self.session(session)?.id.clone();
        self.numbers += 1;
        let number = self.numbers;
        self.checkpoint("CHECKPOINT 1: handleAnalyzePrompt entry", &id);
        self.checkpoint("CHECKPOINT 2: Calling analyzePromptWithFallback", &id);
        let wait = match &gemini {
            Gemini::Answers { after, .. } => *after,
            Gemini::NoCategories => Micros::new(500_000),
            Gemini::RateLimited => RATE_LIMITED_ROUND,
            Gemini::KeyInvalid | Gemini::Fails => KEY_REFUSED,
        };
        let event = match &gemini {
            Gemini::Answers { categories, .. } => Event::Answered { call: number, categories: categories.clone() },
            Gemini::NoCategories => Event::Answered { call: number, categories: Vec::new() },
            Gemini::RateLimited | Gemini::KeyInvalid | Gemini::Fails => Event::Round { call: number, round: 1 },
        };
        let call = Call { number, session, started: self.now, fallback: false, gemini };
        if let Some(hub) = &mut self.hub {
            hub.calls.push(call);
            hub.busy = Micros::new(hub.busy.get() + 20_000);
        }
        self.plan_in(wait, event);
        Some(number)
    }

    fn call(&mut self, number: u64) -> Option<&mut Call> {
        self.hub.as_mut()?.calls.iter_mut().find(|call| call.number == number)
    }

    fn round(&mut self, number: u64, round: u32) {
        let Some(call) = self.call(number) else { return };
        let gemini = call.gemini.clone();
        match gemini {
            Gemini::RateLimited => {
                let prompt = Fields::new().text("prompt", "Check my github pull requests");
                self.say(Saying::warn("Gemini rate limit exceeded during prompt analysis").with(prompt));
                self.say(Saying::warn("LLM analysis attempt failed").swapped(Fields::new()));
                if round < ROUNDS {
                    self.plan_in(RATE_LIMITED_ROUND, Event::Round { call: number, round: round + 1 });
                    return;
                }
                self.say(Saying::warn("LLM analysis failed, using heuristic fallback").swapped(Fields::new()));
                if let Some(call) = self.call(number) {
                    call.fallback = true;
                }
                self.answered(number, &["github".to_owned()]);
            }
            _ => {
                let text = if gemini == Gemini::KeyInvalid {
                    "Gemini API key invalid during prompt analysis"
                } else {
                    "Gemini prompt analysis failed: fetch failed"
                };
                let prompt = Fields::new().text("prompt", "Check my github pull requests");
                self.say(Saying::text_as_code(text.to_owned(), prompt));
                // The bug: the error helper ends the process.
                self.signal_stop();
            }
        }
    }

    fn answered(&mut self, number: u64, categories: &[String]) {
        let Some(hub) = &mut self.hub else { return };
        let Some(index) = hub.calls.iter().position(|call| call.number == number) else { return };
        let call = hub.calls.remove(index);
        let Some(session) = self.session(call.session) else { return };
        let id = session.id.clone();
        let new: Vec<String> = categories.iter().filter(|category| !session.exposed.contains(category)).cloned().collect();
        session.exposed.extend(new.iter().cloned());
        self.checkpoint("CHECKPOINT 3: LLM analysis complete", &id);
        self.checkpoint("CHECKPOINT 4: Updating client tools", &id);
        self.debug_swapped("Additive mode: accumulating categories", &id);
        self.say(Saying::info("Updated client tool exposure").swapped(Fields::new().text("sessionId", &id)));
        if new.is_empty() {
            self.debug_swapped("No new categories added, skipping notification", &id);
        } else {
            self.say(Saying::info("Sent tools/list_changed notification to client").swapped(Fields::new()));
        }
        self.checkpoint("CHECKPOINT 5: Client tools updated", &id);
        self.checkpoint("CHECKPOINT 6: Returning success response", &id);
        self.answers.insert(number, Ok(categories.to_vec()));
        let outcome = if call.fallback { "fallback" } else { "ok" };
        self.happened(Truth::CallEnded { outcome, duration: self.now.since(call.started) });
    }

    /// The answer to a call, once: the categories, or an error if the hub went away.
    pub(super) fn take_answer(&mut self, call: u64) -> Option<Result<Vec<String>, ()>> {
        self.answers.remove(&call)
    }

    // What can be seen from outside.

    /// Whether somebody listens on the port.
    pub(super) fn listens(&self) -> bool {
        self.hub.as_ref().is_some_and(|hub| hub.listening)
    }

    /// From now on log entries are kept for [`take_entries`](Self::take_entries).
    pub(super) fn keep_entries(&mut self) {
        self.keep_entries = true;
    }

    /// The log entries since the last time.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Which hub it is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// `GET /api/health`.
    pub fn health(&self) -> ApiAnswer {
        let Some(hub) = self.hub.as_ref().filter(|hub| hub.listening) else { return ApiAnswer::Refused };
        let (port, version) = (self.profile.port, self.profile.version.as_ref());
        let version = version.map(|version| format!(r#""version":"{version}","#)).unwrap_or_default();
        let state = match (hub.ready, hub.stopping) {
            (_, true) => "stopping",
            (true, false) => "ready",
            (false, false) => "starting",
        };
        let endpoint = if hub.ready { self.endpoint(hub) } else { String::new() };
        let workspace = format!(
            r#"{{"cwd":"{}","config_files":["{}"],"pid":{},"port":{port},"startTime":"{}","state":"active","activeConnections":{},"shutdownStartedAt":null,"shutdownDelay":null}}"#,
            self.profile.cwd,
            self.profile.config_file,
            hub.pid,
            hub.started.plus(BOOT),
            hub.subscribers.len(),
        );
        let subscribers = hub.subscribers.len();
        self.json(format!(
            r#"{{"status":"ok","state":"{state}","server_id":"mcp-hub",{version}"activeClients":{subscribers},"timestamp":"{}","servers":[{}],"connections":{{"totalConnections":{subscribers},"connections":[]}},{endpoint}"workspaces":{{"current":"{port}","allActive":{{"{port}":{workspace}}}}}}}"#,
            self.now,
            self.servers_json(hub),
        ))
    }

    fn endpoint(&self, hub: &Hub) -> String {
        let claimed = hub.servers.values().filter(|server| server.status == "connected").count();
        let tools = claimed * self.profile.tools + usize::from(self.profile.is_fork());
        let clients = hub.sessions.iter().filter(|session| session.named).count();
        format!(
            r#""mcpEndpoint":{{"activeClients":{clients},"registeredCapabilities":{{"tools":{tools},"resources":0,"resourceTemplates":0,"prompts":0}},"totalCapabilities":{tools}}},"#
        )
    }

    /// `GET /api/servers`.
    pub fn servers(&self) -> ApiAnswer {
        let Some(hub) = self.hub.as_ref().filter(|hub| hub.listening) else { return ApiAnswer::Refused };
        self.json(format!(r#"{{"servers":[{}],"timestamp":"{}"}}"#, self.servers_json(hub), self.now))
    }

    /// `GET /api/filtering/stats`; the npm hub has none.
    pub fn filtering_stats(&self) -> Option<ApiAnswer> {
        self.hub.as_ref().filter(|hub| hub.listening && self.profile.is_fork())?;
        let tools = self.profile.tools;
        Some(self.json(format!(
            r#"{{"enabled":true,"mode":"prompt-based","totalTools":{tools},"filteredTools":0,"exposedTools":{tools},"filterRate":0,"serverFilterMode":null,"allowedServers":[],"allowedCategories":[],"categoryCacheSize":{tools},"cacheHitRate":0,"llmCacheSize":0,"llmCacheHitRate":0,"timestamp":"{}"}}"#,
            self.now
        )))
    }

    fn servers_json(&self, hub: &Hub) -> String {
        let all = hub.servers.iter().map(|(name, server)| {
            let quoted = |text: Option<String>| text.map_or("null".to_owned(), |text| format!("\"{text}\""));
            let uptime = server.connected.map_or(0, |connected| self.now.since(connected).get() / 1_000_000);
            let tools = if server.status == "connected" { self.tools.as_str() } else { "" };
            format!(
                r#"{{"name":"{name}","displayName":"{name}","description":"","transportType":"stdio","status":"{}","error":{},"capabilities":{{"tools":[{tools}],"resources":[],"resourceTemplates":[],"prompts":[]}},"uptime":{uptime},"lastStarted":{},"authorizationUrl":null,"serverInfo":null,"config_source":"{}"}}"#,
                server.status,
                quoted(server.error.map(str::to_owned)),
                quoted(server.last_started.map(|started| started.to_string())),
                self.profile.config_file,
            )
        });
        all.collect::<Vec<_>>().join(",")
    }

    fn json(&self, body: String) -> ApiAnswer {
        // Deterministic, and spread like a healthy hub's answers: 1 to 4 ms.
        let noise = super::random::mix(self.now.get()) % 3_000;
        ApiAnswer::Json { body: body.into_bytes(), took: Micros::new(1_000 + noise + self.delay.get()) }
    }

    /// The hub's process; `None` while there is none.
    pub fn process(&self) -> Option<SimulatedProcess> {
        let hub = self.hub.as_ref()?;
        let age = self.now.since(hub.started);
        let cpu = age.get() / 1_000 * u64::from(self.cpu_permille) + hub.busy.get();
        // A garbage collector's sawtooth: 18 MB over eight minutes.
        let sawtooth = age.get() % 480_000_000 * 18_000_000 / 480_000_000;
        let noise = super::random::mix(self.now.get() / 1_000_000) % 700_000;
        let sessions = hub.sessions.len() as u64;
        Some(SimulatedProcess {
            pid: hub.pid,
            start: hub.started,
            cpu_time: Micros::new(cpu),
            rss_bytes: 88_000_000 + sawtooth + noise + sessions * 900_000 + self.leaked(),
            fds: 24 + u32::try_from(sessions).unwrap_or(0),
            threads: 11,
            children: u32::try_from(hub.servers.values().filter(|server| server.alive).count()).unwrap_or(0),
        })
    }

    fn leaked(&self) -> u64 {
        let (since, before, rate) = self.leak;
        let grown = u128::from(rate) * u128::from(self.now.since(since).get()) / 3_600_000_000;
        before.saturating_add(u64::try_from(grown).unwrap_or(u64::MAX))
    }
}

/// The recorded filesystem server's tools, as the members of a JSON array.
fn tools_json(count: usize) -> String {
    let all: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(include_str!("tools.json")).unwrap_or_default();
    all.iter().take(count).map(|tool| tool.get().trim()).collect::<Vec<_>>().join(",")
}
