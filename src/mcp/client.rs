//! A session with an MCP server.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::Answer;
use super::connection::{Closing, Connection, Dialer};
use super::endpoint::Endpoint;
use super::error::{Ended, McpError};
use super::http_sse::HttpSse;
use super::inbox::{Fault, Inbox, Notification};
use super::limits::Limits;
use super::message::{Outgoing, excerpt};
use super::session::{Route, SessionId};
use super::streamable::{SESSION, Streamable};
use super::transport::{Incoming, Transport, TransportKind, post};

/// The version of the protocol that this client speaks.
pub const PROTOCOL_VERSION: &str = "2025-06-18";

/// Replies to a server's requests that are under way at once. A server that asks faster gets no reply to the rest.
const REPLIES: usize = 4;

/// What is shown of a body that answers [`Client::post_to_session`].
const BODY_START: usize = 4 * 1024;

/// The name by which a client introduces itself (`clientInfo.name`). A hub's log and API show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName(String);

impl ClientName {
    /// Takes a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A client with an open session.
///
/// Dropping it closes its connections in the background (FIN); [`Client::close`] returns when that has really happened.
pub struct Client {
    core: Arc<Core>,
    name: OnceLock<ClientName>,
    /// Messages under way, and the reading of what comes. They end when this is dropped.
    tasks: Mutex<JoinSet<()>>,
}

/// What the tasks of a client share.
struct Core {
    dialer: Arc<Dialer>,
    transport: Box<dyn Transport>,
    inbox: watch::Sender<Inbox>,
}

impl Client {
    /// Opens the stream and the session, without the handshake. A hub's count of clients rises here. With streamable HTTP nothing
    /// is sent before the handshake, so this only checks that the server can be reached.
    ///
    /// # Errors
    /// Each variant of [`McpError`] that concerns a connection or the stream.
    pub async fn open(endpoint: &Endpoint, transport: TransportKind, limits: Limits) -> Result<Self, McpError> {
        let dialer = Arc::new(Dialer::new(endpoint, limits));
        let (transport, incoming): (Box<dyn Transport>, _) = match transport {
            TransportKind::HttpSse => {
                let (transport, incoming) = HttpSse::open(Arc::clone(&dialer)).await?;
                (Box::new(transport), incoming)
            }
            TransportKind::StreamableHttp => {
                let (transport, incoming) = Streamable::open(Arc::clone(&dialer)).await?;
                (Box::new(transport), incoming)
            }
        };
        let core = Arc::new(Core { dialer, transport, inbox: watch::Sender::new(Inbox::new(limits)) });
        let mut tasks = JoinSet::new();
        tasks.spawn(take_in(Arc::clone(&core), incoming));
        Ok(Self { core, name: OnceLock::new(), tasks: Mutex::new(tasks) })
    }

    /// Sends `initialize` and, unless the server answers an error, `notifications/initialized`. `name` is the client's name
    /// (`clientInfo.name`). Returns the answer to `initialize`.
    ///
    /// # Errors
    /// As [`Client::request_within`].
    pub async fn handshake(&self, name: &str) -> Result<Answer, McpError> {
        self.handshake_with(name, Value::Null).await
    }

    /// As [`Client::handshake`], with this `_meta` in `initialize`, unless it is `null`.
    ///
    /// # Errors
    /// As [`Client::request_within`].
    pub async fn handshake_with(&self, name: &str, meta: Value) -> Result<Answer, McpError> {
        self.name.get_or_init(|| ClientName::new(name));
        let info = json!({"name": name, "version": env!("CARGO_PKG_VERSION")});
        let mut params = json!({"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": info});
        if !meta.is_null() {
            params["_meta"] = meta;
        }
        let answer = self.request("initialize", params).await?;
        if let Ok(result) = &answer.outcome {
            self.core.transport.agree_on(result["protocolVersion"].as_str().unwrap_or(PROTOCOL_VERSION));
            self.notify("notifications/initialized", Value::Null).await?;
            self.core.transport.listen().await;
        }
        Ok(answer)
    }

    /// Opens the session and makes the handshake.
    ///
    /// # Errors
    /// As [`Client::open`] and [`Client::request_within`]; a handshake that the server answers with an error is
    /// [`McpError::NotMcp`].
    pub async fn connect(endpoint: &Endpoint, transport: TransportKind, limits: Limits, name: &str) -> Result<Self, McpError> {
        let client = Self::open(endpoint, transport, limits).await?;
        match client.handshake(name).await?.outcome {
            Ok(_) => Ok(client),
            Err(error) => Err(McpError::NotMcp { why: format!("it answered initialize with error {error}") }),
        }
    }

    /// Sends a request and waits for its answer, at most [`Limits::request`].
    ///
    /// # Errors
    /// As [`Client::request_within`].
    pub async fn request(&self, method: &str, params: Value) -> Result<Answer, McpError> {
        self.request_within(method, params, self.core.dialer.limits.request).await
    }

    /// Sends a request and waits for its answer, at most `limit`. `params` that are `null` are left out. After a timeout, or when
    /// the returned future is dropped, the request stays [outstanding](Client::outstanding) until its answer comes. A JSON-RPC error
    /// is an answer.
    ///
    /// # Errors
    /// [`McpError::Timeout`]; [`McpError::Ended`] when the stream ended before the answer came; [`McpError::Status`] when the server
    /// refused the message; [`McpError::TooLarge`] when a message came that was too large while no other request was outstanding.
    pub async fn request_within(&self, method: &str, params: Value, limit: Duration) -> Result<Answer, McpError> {
        let answered = timeout(limit, self.ask(method, params)).await;
        answered.unwrap_or_else(|_| Err(McpError::Timeout { what: format!("answer to {method}"), limit }))
    }

    /// Sends a notification. Returns when the server accepted it.
    ///
    /// # Errors
    /// Each variant of [`McpError`] that concerns a connection, and [`McpError::Status`].
    pub async fn notify(&self, method: &str, params: Value) -> Result<(), McpError> {
        let (core, limit) = (&self.core, self.core.dialer.limits.request);
        core.check_open()?;
        let sending = async {
            let connection = core.dialer.dial().await?;
            core.post(connection, Outgoing::notification(method, params)).await
        };
        let sent = timeout(limit, sending).await;
        sent.unwrap_or_else(|_| Err(McpError::Timeout { what: format!("answer to the POST of {method}"), limit }))
    }

    /// Returns how many requests were sent whose answer has not come, those that timed out included. A request that the server
    /// refused (HTTP status) is not outstanding.
    pub fn outstanding(&self) -> usize {
        self.core.inbox.borrow().outstanding()
    }

    /// Waits until no request is outstanding, at most `limit`. Returns whether that is so. Once the stream ended nothing is awaited.
    pub async fn settled(&self, limit: Duration) -> bool {
        let mut inbox = self.core.inbox.subscribe();
        let settling = inbox.wait_for(|inbox| inbox.outstanding() == 0 || self.core.is_over(inbox));
        // A timeout leaves requests outstanding. The sender lives as long as this client.
        let _ = timeout(limit, settling).await.is_ok();
        self.outstanding() == 0
    }

    /// Returns the notifications so far, in order, within [`Limits::notifications`] and [`Limits::notification_bytes`].
    pub fn notifications(&self) -> Vec<Notification> {
        self.core.inbox.borrow().notifications().0.to_vec()
    }

    /// Returns how many notifications came beyond those that are kept.
    pub fn notifications_dropped(&self) -> u64 {
        self.core.inbox.borrow().notifications().1
    }

    /// Returns what the server sent so far that a client can't use, in order, within [`Limits::faults`].
    pub fn faults(&self) -> Vec<Fault> {
        self.core.inbox.borrow().faults().0.to_vec()
    }

    /// Returns how many faults there were beyond those that are kept.
    pub fn faults_dropped(&self) -> u64 {
        self.core.inbox.borrow().faults().1
    }

    /// Returns whether and how the stream ended. With streamable HTTP that is the stream for notifications, if the server has one:
    /// requests work without it.
    pub fn ended(&self) -> Option<Ended> {
        self.core.inbox.borrow().ended().cloned()
    }

    /// Waits until the stream has ended; returns how.
    pub async fn closed(&self) -> Ended {
        let mut inbox = self.core.inbox.subscribe();
        let ended = inbox.wait_for(|inbox| inbox.ended().is_some()).await;
        // The sender lives as long as this client.
        ended.ok().and_then(|inbox| inbox.ended().cloned()).unwrap_or(Ended::Ours(Closing::Finish))
    }

    /// Returns the name that the handshake gave.
    pub fn name(&self) -> Option<&ClientName> {
        self.name.get()
    }

    /// Returns the session's id, once the server gave one.
    pub fn session(&self) -> Option<&SessionId> {
        self.core.transport.session()
    }

    /// Stops reading the stream, for good, and leaves its TCP connection open: from the server's side a client that is still there
    /// and takes nothing. Answers don't arrive any more, and neither does the end of the stream. [`Client::close`] works as before.
    pub fn stop_reading(&self) {
        self.core.transport.stop_reading();
    }

    /// Closes the session and all its connections; FIN or RST has been sent when this returns. Outstanding requests are abandoned:
    /// await [`Client::settled`] first. There is no reconnection. With streamable HTTP, [`Closing::Finish`] also deletes the session
    /// at the server; the other two leave it there, like a client that crashed.
    pub async fn close(self, how: Closing) {
        self.core.inbox.send_modify(|inbox| inbox.end(Ended::Ours(how), true));
        if how == Closing::Finish {
            self.core.transport.leave().await;
        }
        self.core.dialer.close_all(how).await;
    }

    /// Posts any message in the name of a session, on a connection of its own, and returns the HTTP status and the beginning of the
    /// body (at most 4 KiB, the session id replaced by `[session]`). For checking that a session is gone: a hub answers 404
    /// `Session not found`.
    ///
    /// # Errors
    /// Each variant of [`McpError`] that concerns a connection.
    pub async fn post_to_session(endpoint: &Endpoint, session: &SessionId, message: &Value) -> Result<(u16, String), McpError> {
        let dialer = Dialer::new(endpoint, Limits::default());
        let body = message.to_string().into();
        let request = match &session.route {
            Route::Path(path) => post(path.clone(), body),
            Route::Header => {
                let mut request = post(endpoint.mcp(), body);
                request.headers_mut().extend(session.header().map(|id| (SESSION, id)));
                request
            }
        };
        let limit = dialer.limits.request;
        let sent = timeout(limit, dialer.dial().await?.send(endpoint, request)).await;
        let reply = sent.map_err(|_| McpError::Timeout { what: "answer to the POST".to_owned(), limit })??;
        let (status, body) = reply.status_and_start(BODY_START).await;
        Ok((status.as_u16(), session.redact(&excerpt(&body, BODY_START))))
    }

    /// Posts a request in a task of its own, so that it goes on when nobody waits any more.
    async fn ask(&self, method: &str, params: Value) -> Result<Answer, McpError> {
        let core = Arc::clone(&self.core);
        core.check_open()?;
        let connection = core.dialer.dial().await?;
        let mut begun = None;
        core.inbox.send_modify(|inbox| begun = Some(inbox.begin()));
        let (id, answer) = begun.unwrap_or(Err(McpError::Ended { how: Ended::Ours(Closing::Finish) }))?;
        let message = Outgoing::request(id, method, params);
        self.spawn(async move {
            if let Err(error) = core.post(connection, message).await {
                core.inbox.send_modify(|inbox| inbox.not_posted(id, error));
            }
        });
        // The inbox answers everybody who waits, at the latest at the end of the stream.
        answer.await.unwrap_or(Err(McpError::Ended { how: Ended::Ours(Closing::Finish) }))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl Core {
    async fn post(&self, connection: Connection, message: Outgoing) -> Result<(), McpError> {
        let posted = self.transport.post(connection, message).await;
        posted.map_err(|error| match self.transport.session() {
            Some(session) => session.redact_error(error),
            None => error,
        })
    }

    /// Returns an error if no answer can come any more.
    fn check_open(&self) -> Result<(), McpError> {
        let inbox = self.inbox.borrow();
        match inbox.ended() {
            Some(how) if self.is_over(&inbox) => Err(McpError::Ended { how: how.clone() }),
            Some(_) | None => Ok(()),
        }
    }

    fn is_over(&self, inbox: &Inbox) -> bool {
        match inbox.ended() {
            Some(Ended::Ours(_)) => true,
            Some(_) => self.transport.answers_on_stream(),
            None => false,
        }
    }
}

/// Takes in what comes, and replies to the server's requests.
async fn take_in(core: Arc<Core>, mut incoming: mpsc::Receiver<Incoming>) {
    let mut replies = JoinSet::new();
    while let Some(next) = incoming.recv().await {
        let mut reply = None;
        core.inbox.send_modify(|inbox| reply = inbox.take(next));
        while replies.try_join_next().is_some() {}
        let Some(message) = reply.filter(|_| replies.len() < REPLIES) else { continue };
        let core = Arc::clone(&core);
        replies.spawn(async move {
            let posting = async { core.post(core.dialer.dial().await?, message).await };
            if let Ok(Err(error)) = timeout(core.dialer.limits.request, posting).await {
                tracing::debug!(%error, "a request of the MCP server could not be answered");
            }
        });
    }
}

/// Shows no session id.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Client");
        shown.field("name", &self.name.get()).field("outstanding", &self.outstanding()).field("ended", &self.ended()).finish()
    }
}
