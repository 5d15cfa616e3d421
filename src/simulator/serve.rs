//! The simulated hub on a real socket: API, event stream and MCP endpoint. Its virtual time follows the wall clock.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::Stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};

use super::profile::Flavor;
use super::sink::LogSink;
use super::step::Gemini;
use super::world::{ApiAnswer, Simulation};
use crate::watch::{Micros, Timestamp};

/// How often virtual time catches up when nobody asks.
const TICK: Duration = Duration::from_millis(20);

/// The hub's own heartbeat (recorded: every ten seconds).
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Events that a slow listener may fall behind by; more are lost to it, as with a real socket that is closed for it.
const EVENTS: usize = 8_192;

/// How long Gemini takes when a real client calls the meta-tool of a live simulator.
const LIVE_GEMINI: Micros = Micros::new(600_000);

/// A simulation whose time follows the wall clock.
pub struct LiveSimulation {
    inner: Mutex<(Simulation, Box<dyn LogSink + Send>)>,
    events: broadcast::Sender<(&'static str, String)>,
}

impl std::fmt::Debug for LiveSimulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveSimulation")
    }
}

impl LiveSimulation {
    /// Lets a simulation run in real time; its log goes to `log`.
    pub fn new(mut simulation: Simulation, log: impl LogSink + Send + 'static) -> Arc<Self> {
        simulation.keep_entries();
        let (events, _) = broadcast::channel(EVENTS);
        Arc::new(Self { inner: Mutex::new((simulation, Box::new(log))), events })
    }

    /// Brings the simulation up to the present, then does something with it.
    pub fn with<T>(&self, action: impl FnOnce(&mut Simulation) -> T) -> T {
        let mut inner = self.lock();
        let (simulation, log) = &mut *inner;
        let advanced = simulation.advance(Timestamp::now(), log.as_mut());
        let result = action(simulation);
        // What the action planned for now happens now.
        let advanced = advanced.and_then(|()| simulation.advance(Timestamp::now(), log.as_mut()));
        if let Err(error) = advanced {
            tracing::error!(%error, "the simulated hub can't write its log");
        }
        self.tell(simulation);
        result
    }

    fn lock(&self) -> MutexGuard<'_, (Simulation, Box<dyn LogSink + Send>)> {
        // A panic elsewhere leaves a simulation that is as good as before.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, simulation: &mut Simulation) {
        let logger = simulation.profile().logger;
        let fork = simulation.profile().flavor == Flavor::Fork;
        for entry in simulation.take_entries() {
            let json = entry.event_json(logger);
            let event = if fork {
                let batch = format!(
                    r#"{{"type":"log_batch","batchSize":1,"events":[{json}],"reason":"critical","timestamp":"{}"}}"#,
                    entry.at()
                );
                ("log_batch", batch)
            } else {
                ("log", json)
            };
            // Nobody listens: nobody is told.
            let _ = self.events.send(event);
        }
    }
}

type Shared = State<Arc<LiveSimulation>>;

/// Serves the simulated hub until `shutdown`. While the simulated process isn't there, requests are cut off without an answer.
pub async fn serve(
    live: Arc<LiveSimulation>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let ticking = tokio::spawn(tick(live.clone()));
    let routes = Router::new()
        .route("/api/health", get(health))
        .route("/api/servers", get(servers))
        .route("/api/filtering/stats", get(filtering_stats))
        .route("/api/servers/start", post(start_server))
        .route("/api/servers/stop", post(stop_server))
        .route("/api/servers/tools", post(call_server_tool))
        .route("/api/events", get(events))
        .route("/mcp", get(mcp))
        .route("/messages", post(messages))
        .with_state(live);
    let served = axum::serve(listener, routes).with_graceful_shutdown(shutdown).await;
    ticking.abort();
    served
}

async fn tick(live: Arc<LiveSimulation>) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        live.with(|_| ());
    }
}

async fn answer(answer: ApiAnswer) -> Response {
    match answer {
        // The closest to a refused connection that a listening socket can do.
        ApiAnswer::Refused => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        ApiAnswer::Json { body, took } => {
            tokio::time::sleep(took.as_duration()).await;
            ([("content-type", "application/json; charset=utf-8")], body).into_response()
        }
    }
}

async fn health(State(live): Shared) -> Response {
    answer(live.with(|simulation| simulation.health())).await
}

async fn servers(State(live): Shared) -> Response {
    answer(live.with(|simulation| simulation.servers())).await
}

async fn filtering_stats(State(live): Shared) -> Response {
    match live.with(|simulation| simulation.filtering_stats()) {
        Some(stats) => answer(stats).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn name_in(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["server_name"].as_str().unwrap_or_default().to_owned()
}

async fn start_server(State(live): Shared, body: axum::body::Bytes) -> Response {
    live.with(|simulation| simulation.start_server(&name_in(&body)));
    answer(live.with(|simulation| simulation.servers())).await
}

async fn stop_server(State(live): Shared, body: axum::body::Bytes) -> Response {
    live.with(|simulation| simulation.stop_server(&name_in(&body)));
    answer(live.with(|simulation| simulation.servers())).await
}

async fn call_server_tool(State(live): Shared, body: axum::body::Bytes) -> Response {
    let name = name_in(&body);
    if live.with(|simulation| simulation.server_works(&name)) {
        return axum::Json(json!({"result": {"content": [{"type": "text", "text": "[FILE] a.txt"}]}})).into_response();
    }
    let refused = json!({"error": "Not connected", "code": "TOOL_EXECUTION_ERROR", "data": {"server": name}});
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(refused)).into_response()
}

/// Runs its closure when dropped: how a stream learns that its listener has gone.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

async fn events(State(live): Shared) -> Response {
    let told = live.events.subscribe();
    let Some(id) = live.with(|simulation| simulation.subscribe()) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let state = live.with(|simulation| {
        let pid = simulation.process().map_or(0, |process| process.pid);
        json!({"state": "ready", "server_id": "mcp-hub", "pid": pid, "port": simulation.profile().port}).to_string()
    });
    let leaves = live.clone();
    let gone = OnDrop(move || leaves.with(|simulation| simulation.unsubscribe(&id)));
    Sse::new(event_stream(told, state, gone)).into_response()
}

fn event_stream<F: FnMut() + Send + 'static>(
    told: broadcast::Receiver<(&'static str, String)>,
    state: String,
    gone: OnDrop<F>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let first = Some(state);
    let heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    futures_util::stream::unfold((told, first, heartbeat, gone), async |(mut told, mut first, mut heartbeat, gone)| {
        if let Some(state) = first.take() {
            return Some((Ok(Event::default().event("hub_state").data(state)), (told, first, heartbeat, gone)));
        }
        let event = loop {
            tokio::select! {
                heard = told.recv() => match heard {
                    Ok((name, data)) => break Event::default().event(name).data(data),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                _ = heartbeat.tick() => break Event::default().event("heartbeat").data(r#"{"type":"heartbeat"}"#),
            }
        };
        Some((Ok(event), (told, first, heartbeat, gone)))
    })
}

/// The sessions of real MCP clients: where their answers go.
type Answers = mpsc::UnboundedSender<String>;

fn open_sessions() -> &'static Mutex<std::collections::BTreeMap<String, (u64, Answers)>> {
    static OPEN: Mutex<std::collections::BTreeMap<String, (u64, Answers)>> = Mutex::new(std::collections::BTreeMap::new());
    &OPEN
}

/// The legacy HTTP+SSE transport: the first event tells where to post.
async fn mcp(State(live): Shared) -> Response {
    let Some((number, id)) = live.with(|simulation| simulation.connect("mcp-client")) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (send, receive) = mpsc::unbounded_channel();
    open_sessions().lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), (number, send));
    let (leaves, leaving) = (live.clone(), id.clone());
    let gone = OnDrop(move || {
        open_sessions().lock().unwrap_or_else(PoisonError::into_inner).remove(&leaving);
        leaves.with(|simulation| simulation.disconnect(number));
    });
    let first = Some(format!("/messages?sessionId={id}"));
    let stream = futures_util::stream::unfold((receive, first, gone), async |(mut receive, mut first, gone)| {
        let event = match first.take() {
            Some(endpoint) => Event::default().event("endpoint").data(endpoint),
            None => Event::default().event("message").data(receive.recv().await?),
        };
        Some((Ok::<_, Infallible>(event), (receive, first, gone)))
    });
    Sse::new(stream).into_response()
}

#[derive(serde::Deserialize)]
struct Posted {
    #[serde(rename = "sessionId")]
    session: String,
}

async fn messages(State(live): Shared, Query(posted): Query<Posted>, body: axum::body::Bytes) -> Response {
    let open = open_sessions().lock().unwrap_or_else(PoisonError::into_inner).get(&posted.session).cloned();
    let Some((number, answers)) = open else {
        return (StatusCode::NOT_FOUND, "Session not found").into_response();
    };
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "Invalid message").into_response();
    };
    tokio::spawn(async move {
        if let Some(result) = json_rpc(&live, number, &request).await {
            // The client may have gone meanwhile.
            let _ = answers.send(result.to_string());
        }
    });
    (StatusCode::ACCEPTED, "Accepted").into_response()
}

/// Answers a request; a notification has no answer.
async fn json_rpc(live: &Arc<LiveSimulation>, session: u64, request: &Value) -> Option<Value> {
    let id = request.get("id")?.clone();
    let fork = live.with(|simulation| simulation.profile().flavor == Flavor::Fork);
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": true}},
                               "serverInfo": {"name": "mcp-hub", "version": "simulated"}}),
        "ping" => json!({}),
        // The fork's bug in prompt-based mode (hub notes).
        "tools/list" if fork => {
            let message = "MCP error -32603: Cannot read properties of undefined (reading 'toolFiltering')";
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": message}}));
        }
        "tools/list" => json!({"tools": []}),
        "tools/call" => call_tool(live, session, request["params"]["name"].as_str().unwrap_or_default()).await,
        method => {
            let error = json!({"code": -32601, "message": format!("Method not found: {method}")});
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

async fn call_tool(live: &Arc<LiveSimulation>, session: u64, tool: &str) -> Value {
    let text = |text: String, failed: bool| json!({"content": [{"type": "text", "text": text}], "isError": failed});
    if tool != crate::watch::names::META_TOOL {
        let server = tool.split_once("__").map_or(tool, |(server, _)| server);
        let works = live.with(|simulation| simulation.server_works(server));
        return if works { text("[FILE] a.txt".to_owned(), false) } else { text("Not connected".to_owned(), true) };
    }
    let gemini = Gemini::Answers { after: LIVE_GEMINI, categories: vec!["filesystem".to_owned()] };
    let Some(call) = live.with(|simulation| simulation.analyze(session, gemini)) else {
        return text(format!("Unknown tool: {tool}"), true);
    };
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        match live.with(|simulation| simulation.take_answer(call)) {
            Some(Ok(categories)) => return text(json!({"categories": categories}).to_string(), false),
            Some(Err(())) => return text("the hub stopped".to_owned(), true),
            None if !live.with(|simulation| simulation.listens()) => return text("the hub is gone".to_owned(), true),
            None => {}
        }
    }
}
