//! What stands before a hub: a proxy that passes connections on, answers itself, or listens no longer.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of a connection.
#[derive(Clone)]
pub(crate) enum Mode {
    /// It is passed on to the hub.
    Pass,
    /// It is answered with these bytes and closed.
    Answer(Arc<[u8]>),
}

/// A proxy on a port of its own.
pub(crate) struct Front {
    address: SocketAddr,
    hub: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: Option<JoinHandle<()>>,
}

impl Front {
    /// Before the hub at this address; it does not listen yet.
    pub(crate) async fn before(hub: &str) -> Self {
        let hub: SocketAddr = hub.trim_start_matches("http://").parse().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        Self { address, hub, mode: watch::Sender::new(Mode::Pass), accepting: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Listens from now on.
    pub(crate) fn open(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        let (hub, mode) = (self.hub, self.mode.subscribe());
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, hub, mode.clone()));
            }
        }));
    }

    /// Nobody listens any more, and every connection is gone.
    pub(crate) fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }

    /// Passes connections on from now on; those that were answered otherwise are closed already.
    pub(crate) fn pass(&self) {
        self.mode.send_replace(Mode::Pass);
    }

    /// Answers every request like this; connections that were passed on are closed.
    pub(crate) fn answer(&self, status: &str, content_type: &str, body: &str) {
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
        self.answer_raw(format!("{head}\r\n{body}").into_bytes());
    }

    /// Answers every request with these bytes.
    pub(crate) fn answer_raw(&self, bytes: Vec<u8>) {
        self.mode.send_replace(Mode::Answer(bytes.into()));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.close();
    }
}

async fn serve(mut client: TcpStream, hub: SocketAddr, mut mode: watch::Receiver<Mode>) {
    let now = mode.borrow_and_update().clone();
    match now {
        Mode::Pass => {
            let Ok(mut upstream) = TcpStream::connect(hub).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => {}
                _ = mode.changed() => {}
            }
        }
        Mode::Answer(bytes) => {
            // The request's head has to be read, or closing would reset the connection before the answer is.
            let mut head = Vec::new();
            let mut part = [0; 1024];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match client.read(&mut part).await {
                    Ok(1..) => head.extend_from_slice(&part),
                    _ => return,
                }
            }
            let _ = client.write_all(&bytes).await;
            let _ = client.shutdown().await;
        }
    }
}
