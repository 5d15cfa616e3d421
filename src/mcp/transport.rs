//! How messages travel: what both transports have in common.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request, Uri};
use tokio::sync::{mpsc, watch};

use super::connection::{Closing, Connection, Reply};
use super::error::{Ended, McpError};
use super::message::{Outgoing, RequestId};
use super::session::SessionId;
use crate::base::sse::{EventParser, Item};

/// The transports of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// The legacy transport, which hubs have: `GET {base}/mcp` opens a stream of server-sent events, whose `endpoint` event says
    /// where messages are posted.
    HttpSse,
    /// Streamable HTTP: `POST {base}/mcp` answers with JSON or with a stream; `GET {base}/mcp` gives a stream for notifications, if
    /// the server has one.
    StreamableHttp,
}

/// The media type of a stream.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// The media type of a message.
pub(super) const JSON: &str = "application/json";

/// Messages that wait to be read, each within the limit of its size. A server that is faster than its reader is held back.
pub(super) const WAITING: usize = 4;

/// What comes from the server.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A message, not read yet.
    Message { bytes: Vec<u8>, at: Instant },
    /// An event of another type than `message`.
    UnknownEvent { start: Vec<u8>, at: Instant },
    /// A message that is larger than the limit; the request that it answers, if that is known.
    TooLarge { request: Option<RequestId>, at: Instant },
    /// The exchange of a request is over. If no answer came in it, none will.
    Unanswered { request: RequestId, how: Ended },
    /// The session's stream is over.
    Ended {
        how: Ended,
        /// Answers come on this stream.
        is_for_answers: bool,
    },
}

/// A way for messages. What comes from the server goes into the channel that the transport was made with.
pub(super) trait Transport: Send + Sync {
    /// Posts a message on a connection. Returns when the exchange is over.
    fn post(&self, connection: Connection, message: Outgoing) -> BoxFuture<'_, Result<(), McpError>>;

    /// Notes the version of the protocol on which the handshake agreed.
    fn agree_on(&self, version: &str);

    /// Opens what is opened after the handshake.
    fn listen(&self) -> BoxFuture<'_, ()>;

    /// Returns the session's id, once the server gave one.
    fn session(&self) -> Option<&SessionId>;

    /// Returns whether answers come on the session's stream: without it, none comes.
    fn answers_on_stream(&self) -> bool;

    /// Stops reading for good.
    fn stop_reading(&self);

    /// Tells the server that the session is over, if the transport has a message for that.
    fn leave(&self) -> BoxFuture<'_, ()>;
}

/// Begins a request for a stream.
pub(super) fn get(path: Uri) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::GET).uri(path).header(ACCEPT, EVENT_STREAM);
    request.body(Full::default()).unwrap_or_default()
}

/// Begins a request that posts a message.
pub(super) fn post(path: Uri, body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, JSON);
    let request = request.header(ACCEPT, format!("{JSON}, {EVENT_STREAM}"));
    request.body(body.into()).unwrap_or_default()
}

/// An event of a stream.
pub(super) enum StreamEvent {
    Event { name: String, data: Vec<u8>, at: Instant },
    TooLarge { at: Instant },
}

/// Reads the events of a reply.
pub(super) struct EventStream {
    reply: Reply,
    parser: EventParser,
    /// The events of the last chunk, which is at most as large as what is read at once.
    ready: VecDeque<StreamEvent>,
}

impl EventStream {
    pub(super) fn new(reply: Reply, limit: usize) -> Self {
        Self { reply, parser: EventParser::new(limit), ready: VecDeque::new() }
    }

    /// Returns the next event, or how the stream ended.
    pub(super) async fn next(&mut self) -> Result<StreamEvent, Ended> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            self.fill().await?;
        }
    }

    /// Waits for bytes, and reads the events that end in them.
    async fn fill(&mut self) -> Result<(), Ended> {
        let chunk = self.reply.chunk().await?;
        let (at, ready) = (Instant::now(), &mut self.ready);
        self.parser.feed(&chunk, |item| {
            ready.push_back(match item {
                Item::Event { name, data } => StreamEvent::Event { name: name.to_owned(), data: data.to_vec(), at },
                Item::TooLarge => StreamEvent::TooLarge { at },
            });
        });
        Ok(())
    }

    /// Passes the stream's messages on, until it ends, nothing comes for `idle`, or `stop` says so; in the last case the connection
    /// stays open and nothing is read. `request` is the one that the stream answers, if it answers only one.
    pub(super) async fn pass_on(
        &mut self,
        to: &mpsc::Sender<Incoming>,
        request: Option<RequestId>,
        idle: Option<Duration>,
        mut stop: watch::Receiver<bool>,
    ) -> Ended {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if let Some(incoming) = incoming(event, request) {
                    // An error means that the client is gone, and with it this task at once.
                    let _ = to.send(incoming).await;
                }
            }
            let filled = tokio::select! {
                biased;
                () = stopped(&mut stop) => return std::future::pending().await,
                filled = within(idle, self.fill()) => filled,
            };
            if let Err(how) = filled {
                if let Ended::Idle { .. } = how {
                    self.reply.closer().close(Closing::Finish).await;
                }
                return how;
            }
        }
    }
}

/// Waits until reading is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the client is gone, and with it this task at once.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn within(idle: Option<Duration>, filling: impl Future<Output = Result<(), Ended>>) -> Result<(), Ended> {
    match idle {
        Some(limit) => tokio::time::timeout(limit, filling).await.unwrap_or(Err(Ended::Idle { limit })),
        None => filling.await,
    }
}

/// Returns what an event says. An event without data only gives a position for resuming, or shows that the stream is alive.
fn incoming(event: StreamEvent, request: Option<RequestId>) -> Option<Incoming> {
    Some(match event {
        StreamEvent::Event { data, .. } if data.is_empty() => return None,
        StreamEvent::Event { name, data, at } if name == "message" => Incoming::Message { bytes: data, at },
        StreamEvent::Event { name, data, at } => {
            // A hub's stream carries a session id in its `endpoint` event.
            let start = if name == "endpoint" { name.into_bytes() } else { [name.as_bytes(), b": ", &data].concat() };
            Incoming::UnknownEvent { start, at }
        }
        StreamEvent::TooLarge { at } => Incoming::TooLarge { request, at },
    })
}
