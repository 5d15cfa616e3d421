//! Streamable HTTP: each message is a POST that is answered with JSON or with a stream, and a GET gives a stream for the rest.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Connection, Dialer, Reply};
use super::error::{Ended, McpError};
use super::message::{Outgoing, RequestId, excerpt};
use super::session::SessionId;
use super::transport::{EVENT_STREAM, EventStream, Incoming, JSON, Transport, WAITING, get, post};

/// The header with the session's id.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// The header with the version of the protocol.
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The type of a wrong answer that is shown.
const KIND_SHOWN: usize = 100;

/// A session over streamable HTTP.
pub(super) struct Streamable(Arc<Shared>);

struct Shared {
    dialer: Arc<Dialer>,
    session: OnceLock<SessionId>,
    version: OnceLock<HeaderValue>,
    to: mpsc::Sender<Incoming>,
    stop: watch::Sender<bool>,
    /// Ends the reading of the stream for notifications when it is dropped.
    reader: Mutex<JoinSet<()>>,
}

impl Streamable {
    /// Checks that the server can be reached. Nothing is sent before the first message.
    pub(super) async fn open(dialer: Arc<Dialer>) -> Result<(Self, mpsc::Receiver<Incoming>), McpError> {
        drop(dialer.dial().await?);
        let (to, incoming) = mpsc::channel(WAITING);
        let (session, version, stop) = (OnceLock::new(), OnceLock::new(), watch::Sender::new(false));
        Ok((Self(Arc::new(Shared { dialer, session, version, to, stop, reader: Mutex::default() })), incoming))
    }
}

impl Shared {
    /// Adds the headers that each request has after the handshake.
    fn in_session(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        let headers = request.headers_mut();
        if let Some(session) = self.session.get().and_then(SessionId::header) {
            headers.insert(SESSION, session);
        }
        if let Some(version) = self.version.get() {
            headers.insert(VERSION, version.clone());
        }
        request
    }

    async fn post(&self, connection: Connection, message: Outgoing) -> Result<(), McpError> {
        let endpoint = &self.dialer.endpoint;
        let asked = connection.send(endpoint, self.in_session(post(endpoint.mcp(), message.body)));
        let reply = asked.await?.accepted().await?;
        if let Some(session) = reply.response.headers().get(SESSION).and_then(|id| id.to_str().ok()) {
            self.session.get_or_init(|| SessionId::of_header(session));
        }
        match message.request {
            Some(request) => self.pass_on(reply, request).await,
            None => Ok(()),
        }
    }

    /// Passes on what the reply to a request contains.
    async fn pass_on(&self, mut reply: Reply, request: RequestId) -> Result<(), McpError> {
        let limit = self.dialer.limits.message_bytes;
        let how = if reply.is(EVENT_STREAM) {
            // A call may take its time, so the idle limit is not for this stream.
            EventStream::new(reply, limit).pass_on(&self.to, Some(request), None, self.stop.subscribe()).await
        } else if reply.is(JSON) {
            let whole = reply.whole(limit).await;
            let at = std::time::Instant::now();
            let incoming = match whole {
                Ok(Some(bytes)) => Incoming::Message { bytes, at },
                Ok(None) => Incoming::TooLarge { request: Some(request), at },
                Err(how) => return Err(McpError::Ended { how }),
            };
            self.pass(incoming).await;
            Ended::Complete
        } else {
            let status = reply.response.status().as_u16();
            let kind = excerpt(reply.kind().as_bytes(), KIND_SHOWN);
            return Err(McpError::NotMcp { why: format!("it answered a request with status {status} and type `{kind}`") });
        };
        self.pass(Incoming::Unanswered { request, how }).await;
        Ok(())
    }

    async fn pass(&self, incoming: Incoming) {
        // An error means that the client is gone, and with it this task at once.
        let _ = self.to.send(incoming).await;
    }
}

/// Asks for the stream of notifications and reads it. `opened` is told when it is known whether there is one: a server without one
/// answers 405.
async fn read_notifications(
    dialer: Arc<Dialer>,
    request: Request<Full<Bytes>>,
    to: mpsc::Sender<Incoming>,
    stop: watch::Receiver<bool>,
    opened: oneshot::Sender<()>,
) {
    let reply = async { dialer.dial().await?.send(&dialer.endpoint, request).await }.await;
    let reply = match reply {
        Ok(reply) if reply.response.status() == StatusCode::OK && reply.is(EVENT_STREAM) => reply,
        Ok(reply) => {
            let status = reply.response.status().as_u16();
            tracing::debug!(status, "the MCP server has no stream for notifications");
            return;
        }
        Err(error) => {
            tracing::debug!(%error, "the MCP server's stream for notifications can't be opened");
            return;
        }
    };
    // Nobody waits after a while.
    let _ = opened.send(());
    let limits = dialer.limits;
    let how = EventStream::new(reply, limits.message_bytes).pass_on(&to, None, limits.idle, stop).await;
    // An error means that the client is gone.
    let _ = to.send(Incoming::Ended { how, is_for_answers: false }).await;
}

impl Transport for Streamable {
    fn post(&self, connection: Connection, message: Outgoing) -> BoxFuture<'_, Result<(), McpError>> {
        self.0.post(connection, message).boxed()
    }

    fn agree_on(&self, version: &str) {
        if let Ok(version) = HeaderValue::from_str(version) {
            self.0.version.get_or_init(|| version);
        }
    }

    fn listen(&self) -> BoxFuture<'_, ()> {
        async move {
            let shared = &self.0;
            let (opened, is_known) = oneshot::channel();
            let request = shared.in_session(get(shared.dialer.endpoint.mcp()));
            let reading =
                read_notifications(Arc::clone(&shared.dialer), request, shared.to.clone(), shared.stop.subscribe(), opened);
            shared.reader.lock().unwrap_or_else(PoisonError::into_inner).spawn(reading);
            // A server may send the head with its first notification only; what comes later is read all the same.
            let _ = timeout(shared.dialer.limits.connect, is_known).await;
        }
        .boxed()
    }

    fn session(&self) -> Option<&SessionId> {
        self.0.session.get()
    }

    fn answers_on_stream(&self) -> bool {
        false
    }

    fn stop_reading(&self) {
        self.0.stop.send_replace(true);
    }

    /// Deletes the session. A server may refuse that (405).
    fn leave(&self) -> BoxFuture<'_, ()> {
        async move {
            let Shared { dialer, session, .. } = &*self.0;
            if session.get().is_none() {
                return;
            }
            let mut request = self.0.in_session(get(dialer.endpoint.mcp()));
            *request.method_mut() = Method::DELETE;
            let asked = async { dialer.dial().await?.send(&dialer.endpoint, request).await };
            if let Ok(Err(error)) = timeout(dialer.limits.connect, asked).await {
                tracing::debug!(%error, "the MCP session could not be deleted");
            }
        }
        .boxed()
    }
}
