//! The simulated world: a hub, its servers and its clients, in virtual time. Pure: no clock, no I/O, and all randomness comes from
//! the seed.
//!
//! The hub has one thread. Every line costs it some time, and everything else waits: so a storm delays everything, as in the
//! recordings.

mod calls;
mod clients;
mod configuration;
mod mended;
mod restart;
mod servers;
mod shutdown;
mod startup;
mod subscribers;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::agenda::{Agenda, Planned};
use super::event::{CallRequest, Event};
use super::fields::{Fields, quote};
use super::hub::{Hub, HubState};
use super::lines::{Entry, Saying};
use super::notice::Notice;
use super::process::{SimulatedChild, SimulatedProcess};
use super::profile::{Profile, ServerPlan};
use super::prompts::prompt_for;
use super::random::Random;
use super::registry::{Registry, Workspace};
use super::step::{Gemini, Step};
use super::tools::Toolsets;
use super::truth::{CallOutcome, DownCause, Happening, StopCause, Truth, UpCause};
use crate::watch::{Micros, Timestamp};

/// Time for which one line keeps the hub's thread busy.
const LINE_COST: Micros = Micros::new(20);

/// CPU time per mille of a core that an idle hub uses.
const IDLE_PERMILLE: u32 = 3;

pub(super) struct World {
    pub(super) profile: Profile,
    pub(super) tools: Toolsets,
    pub(super) hub: Option<Hub>,
    pub(super) api_delay: Micros,
    pub(super) now: Timestamp,
    pub(super) truth: Vec<Truth>,
    /// The registry of all hubs of the user.
    pub(super) registry: Registry,
    /// True if another hub has the port.
    pub(super) port_taken: bool,
    /// The configured servers: at first those of the profile.
    configured: Vec<ServerPlan>,
    /// The difference of the hub's clock.
    clock_ahead: i64,
    hostname: Arc<str>,
    random: Random,
    agenda: Agenda,
    outbox: Vec<Notice>,
    life: u32,
    /// Number of server starts.
    attempts: u32,
    calls: u64,
    permille: u32,
    leak_per_hour: u64,
    /// What is exposed to everybody because somebody chose it: only a hub that leaks has any.
    leaked: BTreeSet<String>,
}

impl World {
    pub(super) fn new(profile: Profile, start: Timestamp) -> Self {
        Self {
            tools: Toolsets::new(profile.tools),
            hub: None,
            api_delay: Micros::new(0),
            now: start,
            truth: Vec::new(),
            registry: Registry::default(),
            port_taken: false,
            configured: profile.servers.clone(),
            clock_ahead: 0,
            hostname: profile.hostname.as_str().into(),
            random: Random::new(profile.seed),
            agenda: Agenda::default(),
            outbox: Vec::new(),
            life: 0,
            attempts: 0,
            calls: 0,
            permille: IDLE_PERMILLE,
            leak_per_hour: 0,
            leaked: BTreeSet::new(),
            profile,
        }
    }

    /// Plans an external event.
    pub(super) fn plan(&mut self, at: Timestamp, event: Event) {
        self.agenda.plan(at.max(self.now), Planned { life: None, event });
    }

    /// Returns the time of the next event, if it is due up to `to`.
    pub(super) fn next_due(&self, to: Timestamp) -> Option<Timestamp> {
        self.agenda.next_due().filter(|due| *due <= to)
    }

    /// Marks the time up to `to` as finished.
    pub(super) fn wait_until(&mut self, to: Timestamp) {
        self.now = self.now.max(to);
    }

    /// Returns the port that accepts connections.
    pub(super) fn listens_on(&self) -> Option<u16> {
        self.hub.as_ref().filter(|hub| hub.listening).map(|_| self.profile.port)
    }

    /// Handles another hub's change of the workspace list, which this hub watches.
    pub(super) fn registry_changed(&mut self, registry: &Registry) {
        self.registry.clone_from(registry);
        self.workspaces_changed();
    }

    /// Runs the next due event; `None` when there is none up to `to`.
    pub(super) fn step(&mut self, to: Timestamp) -> Option<Vec<Notice>> {
        let (at, place, planned) = self.agenda.take_due(to)?;
        self.now = self.now.max(at);
        let busy_until = self.hub.as_ref().map_or(self.now, |hub| hub.busy_until);
        if busy_until > self.now && !planned.event.ignores_busy_hub() {
            self.agenda.put_off(busy_until, place, planned);
        } else if planned.life.is_none_or(|life| life == self.life && self.hub.is_some()) {
            self.happen(planned.event);
        }
        Some(std::mem::take(&mut self.outbox))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(step) => self.take_step(step),
            Event::Say(saying) => self.say_shared(saying),
            Event::OpenLog => self.open_log(),
            Event::Listen => self.listen(),
            Event::StartServers => self.start_servers(),
            Event::ServerSettled { name, attempt } => self.server_settled(&name, attempt),
            Event::Reconnect { name } => self.reconnect(&name),
            Event::Reconnected { name } => self.reconnected(&name),
            Event::OpenSession { session } => self.open_session(session),
            Event::NameSession { session, name } => self.name_session(&session, name),
            Event::CloseSession { session } => self.close_session(&session),
            Event::Call(request) => self.call(request),
            Event::GeminiRound { call, round } => self.gemini_round(call, round),
            Event::StormBegins { name, session } => self.storm_begins(name, session),
            Event::StormGoesOn { saying, left } => self.storm_goes_on(saying, left),
            Event::Subscribe { id } => self.subscribe(id),
            Event::Unsubscribe { id } => self.unsubscribe(&id),
            Event::WorkspacesSettled { change } => self.workspaces_settled(change),
            Event::Heartbeat => self.heartbeat(),
            Event::CloseSessions => self.close_sessions(),
            Event::CleanUp => self.clean_up(),
            Event::Exit => {
                let cause = self.hub.as_ref().map_or(StopCause::Asked, |hub| hub.stop_cause);
                self.process_gone(cause);
            }
        }
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::StartHub => self.start_hub(),
            Step::StopHub => self.shutdown(StopCause::Asked),
            Step::KillHub => self.process_gone(StopCause::Killed),
            Step::ConnectClient { name } => self.connect_client(name),
            Step::DisconnectClient { name } => self.disconnect_client(&name),
            Step::Analyze { client, gemini } => self.analyze(&client, gemini),
            Step::KillServer { name } => self.kill_server(&name),
            Step::StopServer { name } => self.stop_server(&name),
            Step::DisableServer { name } => self.disable_server(&name),
            Step::RestartServers => self.restart_servers(),
            Step::RemoveServer { name } => self.remove_server(&name),
            Step::AddServer { plan } => self.add_to_configuration(plan),
            Step::Stderr { name, text } => self.say_stderr(&name, &text),
            Step::SetClock { ahead } => self.clock_ahead = ahead,
            Step::StartServer { name } => self.start_server_again(&name),
            Step::Subscribe => {
                let id = self.random.uuid();
                self.subscribe(id);
            }
            Step::Unsubscribe => self.unsubscribe_newest(),
            Step::Warn { text } => self.say(Saying::warn(text)),
            Step::LeakMemory { bytes_per_hour } => self.set_rates(self.permille, bytes_per_hour),
            Step::Cpu { permille_of_core } => self.set_rates(permille_of_core, self.leak_per_hour),
            Step::ApiDelay { delay } => self.api_delay = delay,
        }
    }

    fn set_rates(&mut self, permille: u32, leak_per_hour: u64) {
        self.permille = permille;
        self.leak_per_hour = leak_per_hour;
        if let Some(hub) = &mut self.hub {
            hub.resources.set_rates(self.now, permille, leak_per_hour);
        }
    }

    /// Plans an event that is dropped when the hub ends.
    fn later(&mut self, after: Micros, event: Event) {
        self.agenda.plan(self.now.plus(after), Planned { life: Some(self.life), event });
    }

    fn say_later(&mut self, after: Micros, saying: Saying) {
        self.later(after, Event::Say(Arc::new(saying)));
    }

    fn say(&mut self, saying: Saying) {
        self.say_shared(Arc::new(saying));
    }

    /// Writes a log entry, which keeps the hub's thread busy for a moment.
    fn say_shared(&mut self, saying: Arc<Saying>) {
        let saying = if self.profile.logs_in_order { saying.in_order() } else { saying };
        let Some(hub) = &mut self.hub else { return };
        let at = hub.busy_until.max(self.now);
        hub.busy_until = at.plus(LINE_COST);
        hub.last_event_at = at;
        hub.resources.work(LINE_COST.get());
        let pid = hub.pid;
        let entry = Entry::new(at, self.clock(at), pid, Arc::clone(&self.hostname), saying);
        self.outbox.push(Notice::Logged(entry));
    }

    /// Returns the hub's clock at `at`.
    pub(super) fn clock(&self, at: Timestamp) -> Timestamp {
        let distance = Micros::new(self.clock_ahead.unsigned_abs());
        if self.clock_ahead < 0 { at.minus(distance) } else { at.plus(distance) }
    }

    pub(super) fn record(&mut self, what: Happening) {
        self.truth.push(Truth { at: self.now, what });
    }

    /// Returns a time changed by up to a fifth, because two starts of the same thing differ.
    fn about(&mut self, micros: u64) -> Micros {
        let spread = micros / 5;
        self.random.micros(micros - spread / 2, micros + spread / 2)
    }

    /// Returns the number of the next meta-tool call.
    pub(super) fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    pub(super) fn new_id(&mut self) -> String {
        self.random.uuid()
    }

    /// Ends the process with all its connections.
    fn process_gone(&mut self, cause: StopCause) {
        let Some(hub) = self.hub.take() else { return };
        self.life += 1;
        self.leaked.clear();
        for call in hub.calls {
            self.call_lost(call);
        }
        for client in hub.clients {
            self.record(Happening::ClientDisconnected { name: client.name, session: client.session, lines: 0 });
        }
        for server in hub.servers.into_iter().filter(|server| server.up_since.is_some()) {
            self.record(Happening::ServerDown { name: server.name, cause: DownCause::HubGone });
        }
        if hub.listening {
            self.record(Happening::HubDeaf);
        }
        for _ in hub.subscribers {
            self.record(Happening::Unsubscribed);
        }
        self.record(Happening::HubStopped { cause });
        self.outbox.push(Notice::Gone);
    }

    fn call_lost(&mut self, call: super::hub::Call) {
        self.call_ended(call, CallOutcome::HubGone);
    }

    /// Returns the hub's process, as the operating system shows it.
    pub(super) fn process(&self) -> Option<SimulatedProcess> {
        let hub = self.hub.as_ref()?;
        let child = |server: &super::hub::Server| Some(SimulatedChild { pid: server.pid?, server: server.name.clone() });
        let children: Vec<SimulatedChild> = hub.servers.iter().filter_map(child).collect();
        let sockets = hub.clients.len() + hub.subscribers.len();
        Some(SimulatedProcess {
            pid: hub.pid,
            start: hub.started,
            cpu_time: hub.resources.cpu_at(self.now),
            rss_bytes: hub.resources.rss_at(self.now, hub.clients.len()),
            fds: u32::try_from(24 + sockets + 3 * children.len()).unwrap_or(u32::MAX),
            threads: 11,
            children,
        })
    }

    fn hub_state_json(&self, hub: &Hub) -> String {
        self.state_fields(hub).object()
    }

    fn state_fields(&self, hub: &Hub) -> Fields {
        Fields::new()
            .text("state", hub.state.name())
            .text("server_id", "mcp-hub")
            .raw("pid", hub.pid)
            .raw("port", self.profile.port)
            .raw("timestamp", quote(&self.clock(self.now).to_string()))
    }

    fn set_state(&mut self, state: HubState) {
        if let Some(hub) = &mut self.hub {
            hub.state = state;
        }
        if let Some(json) = self.hub.as_ref().map(|hub| self.hub_state_json(hub)) {
            self.outbox.push(Notice::HubState(json));
        }
    }
}
