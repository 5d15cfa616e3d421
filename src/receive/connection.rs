//! One connection: what it does, when it is overdue, and the bytes that show it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::limits::{HEADER_TIMEOUT, IDLE_TIMEOUT};
use super::service::LONGEST_REQUEST;

/// The beginning of HTTP/2. No method of HTTP/1 that the receiver has begins like this.
const HTTP2_BEGIN: &[u8] = b"PR";

/// What a connection does.
#[derive(Debug)]
pub(super) struct Connection {
    state: Mutex<State>,
    closed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Requests without an answer.
    requests: u32,
    /// The end of the last request, or the beginning of the connection.
    idle_since: Instant,
    /// When the head of a request began; by HTTP/2 only that of the first.
    head_since: Option<Instant>,
    /// True after the first bytes.
    has_begun: bool,
    is_http2: bool,
}

impl Connection {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        // The first bytes must come as fast as a head.
        let state = State { requests: 0, idle_since: now, head_since: Some(now), has_begun: false, is_http2: false };
        Self { state: Mutex::new(state), closed: Notify::new() }
    }

    /// Records the beginning of a request; it ends when the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InRequest {
        let mut state = self.state();
        state.requests += 1;
        state.head_since = None;
        InRequest(Arc::clone(self))
    }

    /// Returns since when it has had no request; `None` if it has one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.requests == 0).then_some(state.idle_since)
    }

    /// Asks the connection to close.
    pub(super) fn close(&self) {
        self.closed.notify_one();
    }

    /// Waits until it is asked to close.
    pub(super) async fn is_closed(&self) {
        self.closed.notified().await;
    }

    /// Returns when it is overdue if nothing changes until then.
    pub(super) fn deadline(&self) -> Instant {
        let state = self.state();
        match (state.requests, state.head_since) {
            (0, Some(head)) => head + HEADER_TIMEOUT,
            (0, None) => state.idle_since + IDLE_TIMEOUT,
            // A request has its own limits; look again when it must be over.
            (_, _) => Instant::now() + LONGEST_REQUEST,
        }
    }

    fn read(&self, bytes: &[u8]) {
        let mut state = self.state();
        if bytes.is_empty() {
            return;
        }
        if !state.has_begun {
            state.has_begun = true;
            state.is_http2 = bytes.starts_with(HTTP2_BEGIN);
            if state.is_http2 {
                // A client connects before it has a request.
                state.head_since = None;
            }
        } else if state.requests == 0 && !state.is_http2 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// Locks the state. It is valid even after a panic elsewhere.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request of a connection.
pub(super) struct InRequest(Arc<Connection>);

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}

/// A stream that records what is read.
pub(super) struct Watched<S> {
    pub stream: S,
    pub connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if read.is_ready() {
            self.connection.read(&into.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
