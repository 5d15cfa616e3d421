//! The legacy transport: one stream of server-sent events for everything that the server sends, and a POST for each message to it.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use hyper::Uri;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Connection, Dialer, Reply};
use super::error::McpError;
use super::message::{Outgoing, excerpt};
use super::session::SessionId;
use super::transport::{EVENT_STREAM, EventStream, Incoming, StreamEvent, Transport, WAITING, get, post};

/// The type of a wrong answer that is shown.
const KIND_SHOWN: usize = 100;

/// A session over the legacy transport.
pub(super) struct HttpSse {
    dialer: Arc<Dialer>,
    messages: Uri,
    session: Option<SessionId>,
    stop: watch::Sender<bool>,
    /// Ends the reading of the stream when it is dropped.
    _reader: JoinSet<()>,
}

impl HttpSse {
    /// Opens the stream, and waits for its `endpoint` event.
    pub(super) async fn open(dialer: Arc<Dialer>) -> Result<(Self, mpsc::Receiver<Incoming>), McpError> {
        let limit = dialer.limits.open;
        let late = |what: &str| McpError::Timeout { what: what.to_owned(), limit };
        let connection = dialer.dial().await?;
        let until = tokio::time::Instant::now() + limit;
        let asked = tokio::time::timeout_at(until, connection.send(&dialer.endpoint, get(dialer.endpoint.mcp()))).await;
        let reply = stream(asked.map_err(|_| late("stream"))??).await?;
        let mut events = EventStream::new(reply, dialer.limits.message_bytes);
        let given = tokio::time::timeout_at(until, endpoint_event(&mut events, dialer.limits.message_bytes)).await;
        let messages = dialer.endpoint.resolve(&given.map_err(|_| late("endpoint event"))??)?;
        let session = SessionId::of_path(&messages);
        let (to, incoming) = mpsc::channel(WAITING);
        let (stop, stopped) = watch::channel(false);
        let mut reader = JoinSet::new();
        let idle = dialer.limits.idle;
        reader.spawn(async move {
            let how = events.pass_on(&to, None, idle, stopped).await;
            // An error means that the client is gone.
            let _ = to.send(Incoming::Ended { how, is_for_answers: true }).await;
        });
        Ok((Self { dialer, messages, session, stop, _reader: reader }, incoming))
    }
}

/// Returns the reply if it is a stream.
async fn stream(reply: Reply) -> Result<Reply, McpError> {
    let reply = reply.accepted().await?;
    if reply.is(EVENT_STREAM) {
        return Ok(reply);
    }
    let kind = excerpt(reply.kind().as_bytes(), KIND_SHOWN);
    let kind = if kind.is_empty() { "a body without a type".to_owned() } else { kind };
    Err(McpError::NotMcp { why: format!("it answered {kind} instead of an event stream") })
}

/// Waits for the event that says where messages are posted. Others before it say nothing to a client.
async fn endpoint_event(events: &mut EventStream, limit: usize) -> Result<String, McpError> {
    loop {
        match events.next().await.map_err(|how| McpError::Ended { how })? {
            StreamEvent::Event { name, data, .. } if name == "endpoint" => return Ok(String::from_utf8_lossy(&data).into_owned()),
            StreamEvent::Event { .. } => {}
            StreamEvent::TooLarge { .. } => return Err(McpError::TooLarge { what: "the first event".to_owned(), limit }),
        }
    }
}

impl Transport for HttpSse {
    fn post(&self, connection: Connection, message: Outgoing) -> BoxFuture<'_, Result<(), McpError>> {
        async move {
            let limit = self.dialer.limits.request;
            let sent = timeout(limit, connection.send(&self.dialer.endpoint, post(self.messages.clone(), message.body))).await;
            let reply = sent.map_err(|_| McpError::Timeout { what: "answer to the POST".to_owned(), limit })??;
            reply.accepted().await.map(drop)
        }
        .boxed()
    }

    fn agree_on(&self, _version: &str) {}

    fn listen(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    fn session(&self) -> Option<&SessionId> {
        self.session.as_ref()
    }

    fn answers_on_stream(&self) -> bool {
        true
    }

    fn stop_reading(&self) {
        self.stop.send_replace(true);
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}
