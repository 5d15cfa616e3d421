//! Serves the simulated hub on a real port.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::api::ApiAnswer;
use super::event::Event;
use super::fields::Fields;
use super::hub::{HubState, ServerStatus};
use super::live::LiveSimulation;
use super::mcp;
use super::port::HubPort;
use super::step::Step;

/// How often virtual time advances without requests.
const TICK: Duration = Duration::from_millis(50);

/// Polling interval of a handler that waits for a starting server.
const LOOK: Duration = Duration::from_millis(20);

/// What looks like a key and is none. No watcher may keep it.
const API_KEY: &str = "AIzaSyNotAKeyButShapedLikeOne0123456789";

type Live = Arc<Mutex<LiveSimulation>>;

/// Serves a live simulation on `listener` until `shutdown`; its virtual time follows the wall clock. While the simulated hub isn't
/// running, connections are closed at once. Returns the error of an unwritable log.
pub async fn serve(
    simulation: Live,
    listener: tokio::net::TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let port = HubPort { listener, live: Arc::clone(&simulation) };
    let server = axum::serve(port, router(Arc::clone(&simulation)));
    // Open event streams would block a graceful shutdown; they break off like those of a real hub.
    let ended = tokio::select! {
        result = server.into_future() => result,
        result = keep_time(Arc::clone(&simulation)) => result,
        () = shutdown => Ok(()),
    };
    lock(&simulation).close_connections();
    ended
}

async fn keep_time(live: Live) -> io::Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let mut live = lock(&live);
        live.advance()?;
        live.ping()?;
    }
}

fn router(live: Live) -> Router {
    Router::new()
        .route("/api/health", get(|State(live): State<Live>| answer(live, |live| live.simulation.health())))
        .route("/api/servers", get(|State(live): State<Live>| answer(live, |live| live.simulation.servers())))
        .route("/api/filtering/stats", get(filtering_stats))
        .route("/api/config", get(configuration))
        .route("/api/servers/start", post(start_server))
        .route("/api/servers/stop", post(stop_server))
        .route("/api/restart", post(restart))
        .route("/api/servers/tools", post(call_tool))
        .route("/api/events", get(events))
        .route("/mcp", get(open_mcp))
        .route("/messages", post(mcp_message))
        .with_state(live)
}

/// Locks the simulation. A panic elsewhere must not end the simulated hub.
fn lock(live: &Live) -> MutexGuard<'_, LiveSimulation> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a log write error in the form that the ticker also uses.
fn broken(error: &io::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}

async fn answer(live: Live, ask: impl Fn(&LiveSimulation) -> ApiAnswer) -> Response {
    until_free(&live).await;
    let (answer, load) = {
        let mut live = lock(&live);
        match live.advance() {
            Ok(()) => (ask(&live), live.load()),
            Err(error) => return broken(&error),
        }
    };
    if let Some(load) = load {
        tokio::time::sleep(load.delay.as_duration()).await;
        if load.fails {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    }
    match answer {
        ApiAnswer::Refused => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        ApiAnswer::Json { body, took } => {
            tokio::time::sleep(took.as_duration()).await;
            json_response(StatusCode::OK, body)
        }
    }
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}

async fn filtering_stats(State(live): State<Live>) -> Response {
    let is_fork = lock(&live).simulation.world.profile.is_fork();
    if is_fork {
        return answer(live, |live| live.simulation.filtering_stats()).await;
    }
    not_found("/api/filtering/stats")
}

/// Returns the 404 page in Express's wording.
fn not_found(path: &str) -> Response {
    let body = format!("<pre>Cannot GET {path}</pre>\n");
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

/// Returns the fork's raw configuration, which holds its API key.
async fn configuration(State(live): State<Live>) -> Response {
    let live = lock(&live);
    let world = &live.simulation.world;
    if !world.profile.is_fork() {
        return not_found("/api/config");
    }
    let mut prompt_based = json!({"enabled": true, "defaultExposure": "meta-only", "enableMetaTools": true});
    if let Some(isolation) = world.profile.behaviour.session_isolation {
        prompt_based["sessionIsolation"] = isolation.into();
    }
    let model = json!({"enabled": true, "provider": "gemini", "model": "gemini-2.5-flash", "apiKey": API_KEY});
    let filtering =
        json!({"enabled": true, "mode": "prompt-based", "promptBasedFiltering": prompt_based, "llmCategorization": model});
    let body =
        json!({"config": {"mcpServers": {}, "toolFiltering": filtering}, "version": "1", "timestamp": world.now.to_string()});
    Json(body).into_response()
}

/// Waits until the hub's thread takes up what it is asked.
async fn until_idle(live: &Live) {
    loop {
        until_free(live).await;
        let busy_for = lock(live).busy_for().as_duration();
        if busy_for.is_zero() {
            return;
        }
        tokio::time::sleep(busy_for).await;
    }
}

/// Waits while the hub answers nobody.
async fn until_free(live: &Live) {
    loop {
        let deaf_for = {
            let mut live = lock(live);
            // The ticker reports an unwritable log.
            let _ = live.advance();
            live.deaf_for().as_duration()
        };
        if deaf_for.is_zero() {
            return;
        }
        tokio::time::sleep(deaf_for).await;
    }
}

#[derive(Deserialize)]
struct ServerName {
    server_name: String,
}

async fn start_server(State(live): State<Live>, Json(request): Json<ServerName>) -> Response {
    let name = request.server_name;
    change_server(live, Step::StartServer { name: name.clone() }, name).await
}

#[derive(Deserialize)]
struct Stopping {
    #[serde(default)]
    disable: Option<String>,
}

async fn stop_server(State(live): State<Live>, Query(stopping): Query<Stopping>, Json(request): Json<ServerName>) -> Response {
    let name = request.server_name;
    let disables = stopping.disable.as_deref() == Some("true");
    let step = if disables { Step::DisableServer { name: name.clone() } } else { Step::StopServer { name: name.clone() } };
    change_server(live, step, name).await
}

/// Answers when all servers have started or failed, like the hub.
async fn restart(State(live): State<Live>) -> Response {
    let happened = lock(&live).happen(Event::Step(Step::RestartServers));
    if let Err(error) = happened {
        return broken(&error);
    }
    loop {
        {
            let mut live = lock(&live);
            if let Err(error) = live.advance() {
                return broken(&error);
            }
            let world = &live.simulation.world;
            if world.hub.as_ref().is_none_or(|hub| hub.state != HubState::Restarting) {
                let fields = Fields::new().text("status", "ok").text("timestamp", &world.clock(world.now).to_string());
                return json_response(StatusCode::OK, fields.object().into_bytes());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Answers when the server has started or failed, like the hub.
async fn change_server(live: Live, step: Step, name: String) -> Response {
    until_idle(&live).await;
    let happened = lock(&live).happen(Event::Step(step));
    if let Err(error) = happened {
        return broken(&error);
    }
    loop {
        match server_state(&live, &name) {
            Ok(Some(response)) => return response,
            Ok(None) => tokio::time::sleep(LOOK).await,
            Err(error) => return broken(&error),
        }
    }
}

/// Returns the hub's answer about a server; `None` while the server is starting.
fn server_state(live: &Live, name: &str) -> io::Result<Option<Response>> {
    let mut live = lock(live);
    live.advance()?;
    let world = &live.simulation.world;
    let server = world.hub.iter().flat_map(|hub| &hub.servers).find(|server| server.name == name);
    let now = world.clock(world.now).to_string();
    Ok(match server {
        Some(server) if server.status == ServerStatus::Connecting => None,
        Some(server) => {
            let fields = Fields::new().text("status", "ok").raw("server", world.server_json(server)).text("timestamp", &now);
            Some(json_response(StatusCode::OK, fields.object().into_bytes()))
        }
        None => {
            let body = json!({"error": "Server not found", "code": "SERVER_ERROR", "data": {"server": name}, "timestamp": now});
            Some((StatusCode::NOT_FOUND, Json(body)).into_response())
        }
    })
}

#[derive(Deserialize)]
struct ToolCall {
    server_name: String,
    tool: String,
    #[serde(default)]
    arguments: Value,
}

async fn call_tool(State(live): State<Live>, Json(call): Json<ToolCall>) -> Response {
    until_free(&live).await;
    let mut live = lock(&live);
    if let Err(error) = live.advance() {
        return broken(&error);
    }
    let now = live.simulation.now().to_string();
    match mcp::run_tool(&mut live, &call.server_name, &call.tool) {
        Ok(result) => Json(json!({"result": result, "timestamp": now})).into_response(),
        Err(error) => {
            let data = json!({"server": call.server_name, "tool": call.tool, "args": call.arguments, "originalError": {}});
            let body = json!({"error": error, "code": "TOOL_EXECUTION_ERROR", "data": data, "timestamp": now});
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
    }
}

async fn events(State(live): State<Live>) -> Response {
    let subscribed = lock(&live).subscribe();
    match subscribed {
        Ok((id, receiver)) => {
            let guard = OnEnd { live, end: Some(End::Subscription(id)) };
            event_stream(receiver, guard)
        }
        Err(error) => broken(&error),
    }
}

async fn open_mcp(State(live): State<Live>) -> Response {
    until_free(&live).await;
    let opened = {
        let mut live = lock(&live);
        match live.count_request() {
            Ok(()) if live.takes_clients() => live.open_session(),
            // Express's wording.
            Ok(()) => return (StatusCode::INTERNAL_SERVER_ERROR, "Error establishing MCP connection").into_response(),
            Err(error) => return broken(&error),
        }
    };
    match opened {
        Ok((session, receiver)) => {
            let guard = OnEnd { live, end: Some(End::Session(session)) };
            event_stream(receiver, guard)
        }
        Err(error) => broken(&error),
    }
}

#[derive(Deserialize)]
struct SessionId {
    #[serde(rename = "sessionId")]
    session: String,
}

async fn mcp_message(State(live): State<Live>, Query(id): Query<SessionId>, Json(message): Json<Value>) -> Response {
    until_free(&live).await;
    let mut live = lock(&live);
    if let Err(error) = live.count_request() {
        return broken(&error);
    }
    if !live.knows_session(&id.session) {
        let more = if live.simulation.world.profile.is_fork() { ". The hub may have restarted. Please reconnect." } else { "" };
        let error = json!({"code": -32_000, "message": format!("Session not found: {}{more}", id.session)});
        return (StatusCode::NOT_FOUND, Json(json!({"jsonrpc": "2.0", "error": error, "id": null}))).into_response();
    }
    match mcp::take_message(&mut live, &id.session, &message) {
        Ok(()) => (StatusCode::ACCEPTED, "Accepted").into_response(),
        Err(error) => broken(&error),
    }
}

/// The action on a client closing its stream.
enum End {
    Subscription(String),
    Session(String),
}

/// Notifies the hub that a stream was closed.
struct OnEnd {
    live: Live,
    end: Option<End>,
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        let mut live = lock(&self.live);
        let notified = match self.end.take() {
            Some(End::Subscription(id)) => live.unsubscribe(id),
            Some(End::Session(session)) => live.close_session(session),
            None => Ok(()),
        };
        // The ticker reports an unwritable log.
        drop(notified);
    }
}

fn event_stream(receiver: UnboundedReceiver<String>, guard: OnEnd) -> Response {
    let frames = stream::unfold((receiver, guard), |(mut receiver, guard)| async move {
        let frame = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(frame)), (receiver, guard)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(frames)).into_response()
}
