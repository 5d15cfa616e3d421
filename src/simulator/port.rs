//! The hub's port. While the hub's process isn't running, connections are closed at once; connections to an ended process are dead.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::live::LiveSimulation;

/// The hub's port.
pub(super) struct HubPort {
    pub(super) listener: TcpListener,
    pub(super) live: Arc<Mutex<LiveSimulation>>,
}

impl HubPort {
    /// Returns the life of the hub that a new connection belongs to; `None` if the hub isn't running.
    fn current_life(&self) -> Option<Life> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        // The ticker reports an unwritable log; only the state of the hub matters here.
        let _ = live.advance();
        let generation = live.generation();
        live.listening().then(|| Life { began: generation.load(Ordering::SeqCst), generation })
    }
}

impl Listener for HubPort {
    type Io = HubConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            if let Some(life) = self.current_life() {
                return (HubConnection { stream, life }, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// One life of the hub's process.
struct Life {
    began: u64,
    generation: Arc<AtomicU64>,
}

impl Life {
    fn is_over(&self) -> bool {
        self.generation.load(Ordering::SeqCst) != self.began
    }
}

/// A connection to one life of the hub.
pub(super) struct HubConnection {
    stream: TcpStream,
    life: Life,
}

impl AsyncRead for HubConnection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.life.is_over() { Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())) } else { polled }
    }
}

impl AsyncWrite for HubConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.life.is_over() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
