//! One HTTP exchange on a TCP connection of our own, whose end is under our control.

use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
use super::error::{Ended, McpError};
use super::limits::Limits;
use super::message::excerpt;
use crate::base::causes;

/// Node sends heads of at most 16 KiB by itself; proxies add some headers.
const HEAD_BYTES: usize = 32 * 1024;

/// What is read at once. hyper requires room for a head.
const READ_BYTES: usize = 64 * 1024;

/// The kernel sends RST instead of FIN when bytes are unread at the end. A server on the same machine answers a FIN within
/// milliseconds; one that is frozen must not hold the caller.
const FINISH_WAIT: Duration = Duration::from_secs(1);

/// The beginning of a refusal: enough for a JSON error of a hub and for the title of a page.
const BODY_START: usize = 512;

/// How long to wait for the body of a refusal, whose status is known already.
const BODY_WAIT: Duration = Duration::from_secs(2);

/// How we close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// In good order: FIN, then the server's own FIN is awaited for at most 1 s.
    Finish,
    /// FIN in our direction only: whatever still comes is read (and dropped) until the server closes, at most
    /// [`Limits::request`](super::Limits::request). Then the connection is closed.
    HalfClose,
    /// RST at once.
    Reset,
}

/// Opens connections to one server, and closes those that are open.
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    pub(super) limits: Limits,
    open: Mutex<Vec<Weak<Closer>>>,
}

impl Dialer {
    pub(super) fn new(endpoint: &Endpoint, limits: Limits) -> Self {
        Self { endpoint: endpoint.clone(), limits, open: Mutex::default() }
    }

    /// Opens a connection within [`Limits::connect`].
    pub(super) async fn dial(&self) -> Result<Connection, McpError> {
        let limit = self.limits.connect;
        let dialed = timeout(limit, connect(&self.endpoint)).await;
        let wire = dialed.map_err(|_| McpError::Timeout { what: "connection".to_owned(), limit })??;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(READ_BYTES).max_header_size(HEAD_BYTES);
        let made = builder.handshake::<_, Full<Bytes>>(TokioIo::new(wire)).await;
        let (sender, connection) = made.map_err(|error| failure(&error))?;
        let (ask, asked) = watch::channel(None);
        let (over, is_over) = watch::channel(false);
        tokio::spawn(drive(connection, asked, over, self.limits.request));
        let closer = Arc::new(Closer { ask, over: is_over });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|closer| closer.strong_count() > 0);
        open.push(Arc::downgrade(&closer));
        Ok(Connection { sender, closer })
    }

    /// Closes all connections that are open.
    pub(super) async fn close_all(&self, how: Closing) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        let open: Vec<_> = open.iter().filter_map(Weak::upgrade).collect();
        futures_util::future::join_all(open.iter().map(|closer| closer.close(how))).await;
    }
}

/// Closes one connection. When the last one is dropped, the connection is closed in the background (FIN).
pub(super) struct Closer {
    ask: watch::Sender<Option<Closing>>,
    over: watch::Receiver<bool>,
}

impl Closer {
    /// Closes the connection, unless that has been asked before. Returns when it is closed.
    pub(super) async fn close(&self, how: Closing) {
        self.ask.send_if_modified(|asked| asked.is_none() && asked.replace(how).is_none());
        // An error means that the task is gone, and the connection with it.
        let _ = self.over.clone().wait_for(|over| *over).await;
    }
}

/// A connection for one exchange.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    closer: Arc<Closer>,
}

impl Connection {
    /// Sends a request, completed by the endpoint's headers; returns the answer when its head has come.
    pub(super) async fn send(mut self, endpoint: &Endpoint, mut request: Request<Full<Bytes>>) -> Result<Reply, McpError> {
        for (name, value) in endpoint.headers() {
            request.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let response = self.sender.send_request(request).await.map_err(|error| failure(&error))?;
        Ok(Reply::new(response, self))
    }
}

/// An answer whose head has come.
pub(super) struct Reply {
    pub(super) response: Response<Incoming>,
    /// The end of the connection is the end of the body, so the one can't be told from the other.
    is_delimited_by_close: bool,
    connection: Connection,
}

impl Reply {
    fn new(response: Response<Incoming>, connection: Connection) -> Self {
        let has = |name| response.headers().contains_key(name);
        let is_delimited_by_close = !has(CONTENT_LENGTH) && !has(TRANSFER_ENCODING);
        Self { response, is_delimited_by_close, connection }
    }

    /// Returns the reply if its status is one of success.
    pub(super) async fn accepted(self) -> Result<Self, McpError> {
        let status = self.response.status();
        if status.is_success() {
            return Ok(self);
        }
        let (_, body) = self.status_and_start(BODY_START).await;
        Err(McpError::Status { status: status.as_u16(), body: excerpt(&body, BODY_START) })
    }

    /// Returns the status and the beginning of the body.
    pub(super) async fn status_and_start(mut self, limit: usize) -> (StatusCode, Vec<u8>) {
        let mut start = Vec::new();
        let reading = async {
            while let Ok(chunk) = self.chunk().await {
                start.extend_from_slice(&chunk[..chunk.len().min(limit - start.len())]);
                if start.len() == limit {
                    break;
                }
            }
        };
        // What came within the time is enough.
        let _ = timeout(BODY_WAIT, reading).await;
        (self.response.status(), start)
    }

    /// Returns whether the media type of the body is this one.
    pub(super) fn is(&self, media_type: &str) -> bool {
        let kind = self.kind();
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(media_type))
    }

    /// Returns the header `Content-Type`.
    pub(super) fn kind(&self) -> &str {
        self.response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
    }

    /// Returns the next bytes of the body, or how it ended.
    pub(super) async fn chunk(&mut self) -> Result<Bytes, Ended> {
        loop {
            match self.response.body_mut().frame().await {
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(data) = frame.into_data() {
                        return Ok(data);
                    }
                }
                Some(Err(error)) => return Err(end(&error)),
                None if self.is_delimited_by_close => return Err(Ended::Finished),
                None => return Err(Ended::Complete),
            }
        }
    }

    /// Reads the rest of the body, or `None` if it is larger than `limit` bytes.
    pub(super) async fn whole(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Ended> {
        let mut body = Vec::new();
        loop {
            match self.chunk().await {
                Ok(chunk) if body.len() + chunk.len() > limit => return Ok(None),
                Ok(chunk) => body.extend_from_slice(&chunk),
                Err(Ended::Complete) => return Ok(Some(body)),
                Err(Ended::Finished) if self.is_delimited_by_close => return Ok(Some(body)),
                Err(how) => return Err(how),
            }
        }
    }

    /// Returns what closes the connection.
    pub(super) fn closer(&self) -> Arc<Closer> {
        Arc::clone(&self.connection.closer)
    }
}

/// A connection, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn connect(endpoint: &Endpoint) -> Result<Box<dyn Wire>, McpError> {
    let (host, port) = endpoint.address();
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let tcp = TcpStream::connect((host, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => McpError::Refused { address: address.clone() },
        _ => McpError::Unreachable { address: address.clone(), reason: error.to_string() },
    })?;
    // A request is one small write; without this it could wait for an acknowledgement.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = endpoint.tls() else { return Ok(Box::new(tcp)) };
    let encrypted = TlsConnector::from(Arc::clone(&tls.config)).connect(tls.server.clone(), tcp).await;
    Ok(Box::new(encrypted.map_err(|error| McpError::Tls { address, reason: causes::of(&error) })?))
}

/// Drives a connection until it ends or is to be closed, and closes it.
async fn drive(
    mut connection: http1::Connection<TokioIo<Box<dyn Wire>>, Full<Bytes>>,
    mut asked: watch::Receiver<Option<Closing>>,
    over: watch::Sender<bool>,
    patience: Duration,
) {
    tokio::select! {
        biased;
        how = asked_to_close(&mut asked) => {
            close(connection.into_parts().io.into_inner(), how, patience).await;
        }
        ended = &mut connection => {
            if let Err(error) = ended {
                tracing::debug!(error = causes::of(&error), "a connection to an MCP server ended");
            }
            drop(connection);
        }
    }
    // Nobody may be waiting.
    let _ = over.send(true);
}

/// Waits until the connection is to be closed, or nobody holds it any more.
async fn asked_to_close(asked: &mut watch::Receiver<Option<Closing>>) -> Closing {
    asked.wait_for(Option::is_some).await.ok().and_then(|how| *how).unwrap_or(Closing::Finish)
}

async fn close(mut wire: Box<dyn Wire>, how: Closing, patience: Duration) {
    let patience = match how {
        Closing::Reset => {
            // The drop that follows sends RST.
            if let Err(error) = socket2::SockRef::from(wire.tcp()).set_linger(Some(Duration::ZERO)) {
                tracing::warn!(%error, "the connection can't be reset; it is closed with FIN");
            }
            return;
        }
        Closing::Finish => FINISH_WAIT,
        Closing::HalfClose => patience,
    };
    let finishing = async {
        wire.shutdown().await?;
        let mut unread = [0; 8 * 1024];
        while wire.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // An error or a timeout leaves nothing to wait for: dropping the connection closes it.
    let _ = timeout(patience, finishing).await;
}

/// Tells why there is no answer.
fn failure(error: &hyper::Error) -> McpError {
    if error.is_parse_too_large() {
        return McpError::TooLarge { what: "the head of the HTTP answer".to_owned(), limit: HEAD_BYTES };
    }
    if error.is_parse() {
        return McpError::NotMcp { why: format!("it doesn't speak HTTP ({})", causes::of(error)) };
    }
    McpError::Ended { how: end(error) }
}

/// Tells how a connection ended.
fn end(error: &hyper::Error) -> Ended {
    let mut source = error.source();
    while let Some(cause) = source {
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe) => {
                return Ended::Reset;
            }
            Some(io::ErrorKind::UnexpectedEof) => return Ended::Finished,
            Some(_) | None => source = cause.source(),
        }
    }
    if error.is_incomplete_message() { Ended::Finished } else { Ended::Broken { reason: causes::of(error) } }
}
