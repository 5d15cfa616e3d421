//! Servers made by hand: each connection is handled by a test's own function, byte by byte.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hubwatch::mcp::{Client, Endpoint, Limits, McpError, TransportKind};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Far longer than anything here takes: only a fault reaches it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Short limits for what never comes.
pub(crate) fn short() -> Limits {
    let soon = Duration::from_millis(300);
    Limits { open: soon, request: soon, ..Limits::default() }
}

/// A connection whose request has been read.
pub(crate) struct Exchange<S = TcpStream> {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Value,
    pub(crate) stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    /// Reads a request. `None` if the client closed the connection without one.
    pub(crate) async fn read(mut stream: S) -> Option<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut words = head.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        while bytes.len() < end + length {
            stream.read_buf(&mut bytes).await.ok()?;
        }
        let body = serde_json::from_slice(&bytes[end..]).unwrap_or_default();
        Some(Self { method, path, head, body, stream })
    }

    pub(crate) async fn write(&mut self, text: &str) {
        // The client may be gone.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// A whole answer.
    pub(crate) async fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.write(&format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")).await;
        let _ = self.stream.shutdown().await;
    }

    pub(crate) async fn accept(self) {
        self.answer("202 Accepted", "", "Accepted").await;
    }

    /// The head of a stream of chunks.
    pub(crate) async fn begin_stream(&mut self) {
        self.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    }

    pub(crate) async fn chunk(&mut self, text: &str) {
        self.write(&format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    pub(crate) async fn event(&mut self, name: &str, data: &str) {
        self.chunk(&format!("event: {name}\ndata: {data}\n\n")).await;
    }

    /// Reads to the end of the client's bytes: how it ended.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1024];
        while self.stream.read(&mut buffer).await? > 0 {}
        Ok(())
    }
}

/// Sends RST at the drop.
pub(crate) fn reset(exchange: Exchange) {
    socket2::SockRef::from(&exchange.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Serves each connection by `handle`; returns the address.
pub(crate) async fn serve<F: Future<Output = ()> + Send>(handle: impl Fn(Exchange) -> F + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handle = Arc::new(handle);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let handle = Arc::clone(&handle);
            tokio::spawn(async move {
                if let Some(exchange) = Exchange::read(stream).await {
                    handle(exchange).await;
                }
            });
        }
    });
    url
}

/// What a legacy server does to its stream on a message: the text of whole events, or the end.
pub(crate) enum Act {
    Data(String),
    Event(&'static str, String),
    Raw(String),
    /// Ends the answer in good order.
    Complete,
    /// Closes the connection in the middle.
    Finish,
    Reset,
}

/// A legacy server that answers the handshake itself and any other message with acts. Returns its address, and how each stream
/// ended on the client's side.
pub(crate) async fn legacy(
    answer: impl Fn(&Value) -> Vec<Act> + Send + Sync + 'static,
) -> (String, mpsc::UnboundedReceiver<io::Result<()>>) {
    let (acts, queue) = mpsc::unbounded_channel();
    let (ended, ends) = mpsc::unbounded_channel();
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    let answer = Arc::new(answer);
    let url = serve(move |mut exchange: Exchange| {
        let (acts, queue, ended, answer) = (acts.clone(), Arc::clone(&queue), ended.clone(), Arc::clone(&answer));
        async move {
            if exchange.method == "GET" {
                exchange.begin_stream().await;
                exchange.event("endpoint", "/messages?sessionId=secret-1").await;
                play(exchange, &mut *queue.lock().await, ended).await;
                return;
            }
            assert_eq!(exchange.path, "/messages?sessionId=secret-1");
            let message = exchange.body.clone();
            exchange.accept().await;
            let all = match message["method"].as_str() {
                Some("initialize") => {
                    let result = serde_json::json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}});
                    vec![Act::Data(serde_json::json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())]
                }
                Some("notifications/initialized") => vec![],
                Some(_) | None => answer(&message),
            };
            all.into_iter().for_each(|act| acts.send(act).unwrap());
        }
    })
    .await;
    (url, ends)
}

async fn play(mut exchange: Exchange, queue: &mut mpsc::UnboundedReceiver<Act>, ended: mpsc::UnboundedSender<io::Result<()>>) {
    let mut buffer = [0; 16];
    loop {
        let act = tokio::select! {
            act = queue.recv() => act.unwrap(),
            read = exchange.stream.read(&mut buffer) => {
                let _ = ended.send(read.map(|count| assert_eq!(count, 0)));
                return;
            }
        };
        match act {
            Act::Data(data) => exchange.event("message", &data).await,
            Act::Event(name, data) => exchange.event(name, &data).await,
            Act::Raw(text) => exchange.write(&text).await,
            Act::Complete => return exchange.write("0\r\n\r\n").await,
            Act::Finish => return,
            Act::Reset => return reset(exchange),
        }
    }
}

/// A good answer with this result.
pub(crate) fn result(message: &Value, result: &Value) -> Act {
    Act::Data(serde_json::json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
}

pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url, &[], None).unwrap()
}

pub(crate) async fn connect(url: &str, limits: Limits) -> Result<Client, McpError> {
    Client::connect(&endpoint(url), TransportKind::HttpSse, limits, "probe").await
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
}
