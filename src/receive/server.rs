//! Accepts connections and serves them, by HTTP/1 and HTTP/2 on the same port.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::connection::{Connection, Watched};
use super::limits::{
    CONNECTION_WINDOW_BYTES, HEADER_TIMEOUT, HTTP1_BUFFER_BYTES, LAST_REQUESTS, MAX_CONNECTIONS, MAX_HEADER_BYTES, MAX_STREAMS,
    STREAM_WINDOW_BYTES,
};
use super::service::Service;
use crate::watch::Refusal;

/// The pause after a connection could not be accepted: most often the process has too many open files.
const ACCEPT_RETRY: std::time::Duration = std::time::Duration::from_millis(100);

/// How often the end looks for open requests.
const QUIET_POLL: std::time::Duration = std::time::Duration::from_millis(10);

/// Open connections.
type Open = Arc<Mutex<Vec<Arc<Connection>>>>;

/// What the accept loops share.
#[derive(Clone)]
pub(super) struct Server {
    service: Arc<Service>,
    tls: Option<TlsAcceptor>,
    open: Open,
    builder: auto::Builder<TokioExecutor>,
}

impl Server {
    pub(super) fn new(service: Arc<Service>, tls: Option<TlsAcceptor>) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // A process that ends sends its last spans and closes: it waits for no answer.
        builder.http1().max_buf_size(HTTP1_BUFFER_BYTES).half_close(true);
        builder
            .http2()
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(MAX_HEADER_BYTES);
        Self { service, tls, open: Open::default(), builder }
    }

    /// Accepts connections of a listener until it is dropped.
    pub(super) async fn accept(self, listener: TcpListener, health: &watch::Sender<Option<String>>) -> Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    health.send_if_modified(|reason| reason.take().is_some());
                    if let Some(connection) = self.admit() {
                        tokio::spawn(self.clone().serve(stream, connection));
                    } else {
                        self.service.counters().refuse(Refusal::TooManyConnections);
                    }
                }
                Err(error) => {
                    health.send_replace(Some(format!("the OTLP receiver can't accept connections: {error}")));
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Returns a guard that closes all connections: they belong to a receiver that has ended.
    pub(super) fn close_on_drop(&self) -> CloseOnDrop {
        CloseOnDrop(Arc::clone(&self.open))
    }

    /// Waits until no connection has a request.
    pub(super) async fn is_quiet(&self) {
        while lock(&self.open).iter().any(|connection| connection.idle_since().is_none()) {
            tokio::time::sleep(QUIET_POLL).await;
        }
    }

    /// Makes room for a connection: the one that has been idle the longest is closed. Returns `None` if none is idle.
    fn admit(&self) -> Option<Arc<Connection>> {
        let mut open = lock(&self.open);
        if open.len() >= MAX_CONNECTIONS {
            let idle = open.iter().enumerate().filter_map(|(at, connection)| Some((connection.idle_since()?, at)));
            let (_, longest) = idle.min()?;
            open.swap_remove(longest).close();
        }
        let connection = Arc::new(Connection::new());
        open.push(Arc::clone(&connection));
        Some(connection)
    }

    async fn serve(self, stream: TcpStream, connection: Arc<Connection>) {
        let on_loopback = stream.local_addr().is_ok_and(|address| address.ip().is_loopback());
        // Small answers are sent at once; a failure only delays them.
        let _ = stream.set_nodelay(true);
        let served = async {
            match self.tls.clone() {
                None => self.serve_stream(Box::new(stream), &connection, on_loopback).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await {
                        self.serve_stream(Box::new(stream), &connection, on_loopback).await;
                    }
                }
            }
        };
        tokio::select! {
            () = served => {}
            // It was idle: nobody waits for an answer.
            () = connection.is_closed() => {}
        }
        lock(&self.open).retain(|open| !Arc::ptr_eq(open, &connection));
    }

    async fn serve_stream(&self, stream: Box<dyn Stream>, connection: &Arc<Connection>, on_loopback: bool) {
        let (service, of_request) = (Arc::clone(&self.service), Arc::clone(connection));
        let take = service_fn(move |request| {
            let (service, in_request) = (Arc::clone(&service), of_request.begin());
            async move {
                let answer = service.answer(request, on_loopback).await;
                drop(in_request);
                Ok::<_, Infallible>(answer)
            }
        });
        let stream = TokioIo::new(Watched { stream, connection: Arc::clone(connection) });
        let mut serving = std::pin::pin!(self.builder.serve_connection(stream, take));
        loop {
            let deadline = connection.deadline();
            let ended = tokio::select! {
                // An error is the peer's: it breaks off, or speaks no HTTP.
                _ = &mut serving => true,
                () = tokio::time::sleep_until(deadline) => false,
            };
            if ended {
                return;
            }
            if connection.deadline() <= Instant::now() {
                break;
            }
        }
        serving.as_mut().graceful_shutdown();
        let _: Result<_, _> = tokio::time::timeout(LAST_REQUESTS, serving).await;
    }
}

/// What is served, encrypted or not: of one type, so that HTTP is in the program once.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// See [`Server::close_on_drop`].
pub(super) struct CloseOnDrop(Open);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        lock(&self.0).drain(..).for_each(|connection| connection.close());
    }
}

/// Locks the list. It is valid even after a panic elsewhere.
fn lock(open: &Open) -> MutexGuard<'_, Vec<Arc<Connection>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
