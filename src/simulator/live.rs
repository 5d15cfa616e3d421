//! A simulation whose virtual time follows the wall clock, and the open connections of its hub.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::behaviour::UnderLoad;
use super::dialect::frame;
use super::event::{CallRequest, Event};
use super::notice::Notice;
use super::prompts::by_keyword;
use super::simulation::Simulation;
use super::sink::LogSink;
use super::step::{Gemini, Step};
use crate::watch::{Micros, Timestamp};

/// Gemini's default response time.
const GEMINI_TAKES: Micros = Micros::new(420_000);

/// A hub in wall clock time.
pub struct LiveSimulation {
    pub(super) simulation: Simulation,
    log: Box<dyn LogSink + Send>,
    anchor: (Timestamp, Instant),
    gemini: Option<Gemini>,
    fault_file: Option<PathBuf>,
    /// MCP requests so far, over all lives of the hub.
    requests: u64,
    connections: Connections,
}

/// The open connections to the hub's process. All of them close when the process ends.
#[derive(Default)]
struct Connections {
    /// Number of ends of the hub's process: earlier connections belong to an ended process.
    generation: Arc<AtomicU64>,
    subscribers: HashMap<String, UnboundedSender<String>>,
    sessions: HashMap<String, Session>,
    /// The session and request of each call in flight.
    calls: HashMap<u64, (String, serde_json::Value)>,
}

struct Session {
    stream: UnboundedSender<String>,
    name: String,
    /// When a ping was sent that was not answered; only a hub that pings has one.
    pinged: Option<Instant>,
}

impl LiveSimulation {
    /// Creates a live simulation: the time of `simulation` follows the wall clock, and its log lines go to `log`.
    pub fn new(simulation: Simulation, log: Box<dyn LogSink + Send>) -> Self {
        let anchor = (simulation.now(), Instant::now());
        Self { simulation, log, anchor, gemini: None, fault_file: None, requests: 0, connections: Connections::default() }
    }

    /// Returns the simulation itself, to schedule steps and to read its state.
    pub fn simulation(&mut self) -> &mut Simulation {
        &mut self.simulation
    }

    /// Sets Gemini's answer to later calls over the MCP endpoint. With `None`, the default, it answers after 0.4 s with the
    /// categories that the prompt's words suggest.
    pub fn set_gemini(&mut self, gemini: Option<Gemini>) {
        self.gemini = gemini;
    }

    /// Sets the file by which the hub's instrumentation is told to answer HTTP 429 in Gemini's place: it does so while the file
    /// exists.
    pub fn set_fault_file(&mut self, path: Option<PathBuf>) {
        self.fault_file = path;
    }

    /// Returns the number of MCP requests so far: each `GET /mcp` and each message.
    pub fn mcp_requests(&self) -> u64 {
        self.requests
    }

    /// Advances to the wall clock's time.
    pub fn advance(&mut self) -> io::Result<()> {
        let to = self.anchor.0.plus(Micros::from_duration(self.anchor.1.elapsed()));
        let profile = self.simulation.world.profile.clone();
        let now = self.simulation.world.clock(to);
        let connections = &mut self.connections;
        self.simulation.advance_noticing(to, self.log.as_mut(), &mut |notice| {
            if let Some(frame) = frame(notice, &profile, now) {
                connections.send_event(frame.only.as_deref(), &frame.text);
            }
            connections.pass_on(notice);
        })
    }

    /// Ends the serving of the hub.
    pub(super) fn close_connections(&mut self) {
        self.connections.close_all();
    }

    /// Returns true if the hub accepts connections.
    pub(super) fn listening(&self) -> bool {
        self.simulation.world.hub.as_ref().is_some_and(|hub| hub.listening)
    }

    /// Returns true if the MCP endpoint takes another client.
    pub(super) fn takes_clients(&self) -> bool {
        let world = &self.simulation.world;
        let is_ready = world.hub.as_ref().is_some_and(super::hub::Hub::is_settled);
        is_ready && world.profile.behaviour.most_clients.is_none_or(|most| self.connections.sessions.len() < most)
    }

    /// Returns how long the hub answers nobody because clients have left.
    pub(super) fn deaf_for(&self) -> Micros {
        let world = &self.simulation.world;
        world.hub.as_ref().map_or(Micros::new(0), |hub| hub.storms_until.since(world.now))
    }

    /// Returns for how long the hub's thread is busy.
    pub(super) fn busy_for(&self) -> Micros {
        let world = &self.simulation.world;
        world.hub.as_ref().map_or(Micros::new(0), |hub| hub.busy_until.since(world.now))
    }

    /// Returns what becomes of the API now, if it suffers from the number of clients.
    pub(super) fn load(&self) -> Option<UnderLoad> {
        let world = &self.simulation.world;
        let clients = world.hub.as_ref().map_or(0, |hub| hub.clients.len());
        world.profile.behaviour.under_load.filter(|load| clients >= load.clients)
    }

    /// Counts an MCP request; a hub that dies at it is gone afterwards.
    pub(super) fn count_request(&mut self) -> io::Result<()> {
        self.requests += 1;
        if self.simulation.world.profile.behaviour.dies_at_request == Some(self.requests) {
            self.happen(Event::Step(Step::KillHub))?;
        }
        Ok(())
    }

    pub(super) fn generation(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.connections.generation)
    }

    /// Runs an event as soon as the hub has time for it.
    pub(super) fn happen(&mut self, event: Event) -> io::Result<()> {
        let now = self.anchor.0.plus(Micros::from_duration(self.anchor.1.elapsed()));
        self.simulation.world.plan(now, event);
        self.advance()
    }

    pub(super) fn subscribe(&mut self) -> io::Result<(String, UnboundedReceiver<String>)> {
        let id = self.simulation.world.new_id();
        let (sender, receiver) = unbounded_channel();
        self.connections.subscribers.insert(id.clone(), sender);
        self.happen(Event::Subscribe { id: id.clone() })?;
        Ok((id, receiver))
    }

    pub(super) fn unsubscribe(&mut self, id: String) -> io::Result<()> {
        self.connections.subscribers.remove(&id);
        self.happen(Event::Unsubscribe { id })
    }

    pub(super) fn open_session(&mut self) -> io::Result<(String, UnboundedReceiver<String>)> {
        let session = self.simulation.world.new_id();
        let (stream, receiver) = unbounded_channel();
        // A closed receiver means that the client is gone already.
        let _ = stream.send(format!("event: endpoint\ndata: /messages?sessionId={session}\n\n"));
        self.connections.sessions.insert(session.clone(), Session { stream, name: String::new(), pinged: None });
        self.happen(Event::OpenSession { session: session.clone() })?;
        Ok((session, receiver))
    }

    /// Handles the end of a client's stream.
    pub(super) fn close_session(&mut self, session: String) -> io::Result<()> {
        if self.simulation.world.profile.behaviour.keeps_sessions {
            return Ok(());
        }
        self.connections.sessions.remove(&session);
        self.happen(Event::CloseSession { session })
    }

    pub(super) fn knows_session(&self, session: &str) -> bool {
        self.connections.sessions.contains_key(session)
    }

    pub(super) fn remember_name(&mut self, session: &str, name: &str) {
        if let Some(session) = self.connections.sessions.get_mut(session) {
            name.clone_into(&mut session.name);
        }
    }

    /// Pings all clients, and drops those that have not answered an earlier ping. The recorded hubs do neither.
    pub(super) fn ping(&mut self) -> io::Result<()> {
        let Some(after) = self.simulation.world.profile.behaviour.drops_silent_after else { return Ok(()) };
        let mut silent = Vec::new();
        for (id, session) in self.connections.sessions.iter_mut().filter(|(_, session)| !session.name.is_empty()) {
            match session.pinged {
                Some(since) if since.elapsed() > after.as_duration() => silent.push(id.clone()),
                Some(_) => {}
                None => {
                    session.pinged = Some(Instant::now());
                    session.send(&serde_json::json!({"jsonrpc": "2.0", "id": "ping", "method": "ping"}));
                }
            }
        }
        silent.into_iter().try_for_each(|session| self.close_session(session))
    }

    /// Notes that a client answered.
    pub(super) fn heard(&mut self, session: &str) {
        if let Some(session) = self.connections.sessions.get_mut(session) {
            session.pinged = None;
        }
    }

    /// Completes the handshake: now the hub logs the client.
    pub(super) fn initialized(&mut self, session: &str) -> io::Result<()> {
        let name = self.connections.sessions.get(session).map(|session| session.name.clone()).unwrap_or_default();
        self.happen(Event::NameSession { session: session.to_owned(), name })
    }

    /// Starts a call of the meta-tool; its answer goes to the session's stream.
    pub(super) fn call(&mut self, session: &str, request: serde_json::Value, prompt: String) -> io::Result<()> {
        let id = self.simulation.world.next_call();
        self.connections.calls.insert(id, (session.to_owned(), request));
        let by_words = || Gemini::Answers { after: GEMINI_TAKES, categories: by_keyword(&prompt) };
        let is_faulty = self.fault_file.as_ref().is_some_and(|file| file.exists());
        let gemini = if is_faulty { Gemini::RateLimited } else { self.gemini.clone().unwrap_or_else(by_words) };
        self.happen(Event::Call(CallRequest { id, session: session.to_owned(), prompt, gemini }))
    }

    /// Sends a JSON-RPC message to the client.
    pub(super) fn send_message(&self, session: &str, message: &serde_json::Value) {
        self.connections.send_message(session, message);
    }
}

impl Session {
    fn send(&self, message: &serde_json::Value) {
        // A closed receiver means that the client is gone already.
        let _ = self.stream.send(format!("event: message\ndata: {message}\n\n"));
    }
}

impl Connections {
    fn send_event(&mut self, only: Option<&str>, text: &str) {
        self.subscribers.retain(|id, stream| match only {
            Some(wanted) if wanted != id => true,
            _ => stream.send(text.to_owned()).is_ok(),
        });
    }

    fn pass_on(&mut self, notice: &Notice) {
        match notice {
            Notice::ToolsChanged { session } => {
                // In the hub's order of keys.
                self.send_message(session, &serde_json::json!({"method": "notifications/tools/list_changed", "jsonrpc": "2.0"}));
            }
            Notice::FellBack { session } => {
                let params = serde_json::json!({"level": "warning", "data": "degraded: keywords decided"});
                let message = serde_json::json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params});
                self.send_message(session, &message);
            }
            Notice::Answered { call, text } => self.answer(*call, text),
            Notice::Gone => self.close_all(),
            _ => {}
        }
    }

    fn answer(&mut self, call: u64, text: &str) {
        let Some((session, id)) = self.calls.remove(&call) else { return };
        let result = serde_json::json!({"content": [{"type": "text", "text": text}]});
        self.send_message(&session, &serde_json::json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }

    fn send_message(&self, session: &str, message: &serde_json::Value) {
        if let Some(session) = self.sessions.get(session) {
            session.send(message);
        }
    }

    fn close_all(&mut self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.subscribers.clear();
        self.sessions.clear();
        self.calls.clear();
    }
}
