//! A session with an MCP server.

use std::time::Duration;

use serde_json::Value;

use super::answer::Answer;
use super::connection::Closing;
use super::endpoint::Endpoint;
use super::error::{Ended, McpError};
use super::inbox::{Fault, Notification};
use super::limits::Limits;
use super::session::SessionId;
use super::transport::TransportKind;

/// The version of the protocol that this client speaks.
pub const PROTOCOL_VERSION: &str = "2025-06-18";

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
pub struct Client {}

impl Client {
    /// Opens the stream and the session, without the handshake. A hub's count of clients rises here. With streamable HTTP nothing
    /// is sent before the handshake, so only the address is checked.
    ///
    /// # Errors
    /// Each variant of [`McpError`] that concerns a connection or the stream.
    pub async fn open(endpoint: &Endpoint, transport: TransportKind, limits: Limits) -> Result<Self, McpError> {
        let _ = (endpoint, transport, limits);
        unimplemented!()
    }

    /// Sends `initialize` and, unless the server answers an error, `notifications/initialized`. `name` is the client's name
    /// (`clientInfo.name`). Returns the answer to `initialize`.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn handshake(&self, name: &str) -> Result<Answer, McpError> {
        let _ = name;
        unimplemented!()
    }

    /// Opens the session and makes the handshake.
    ///
    /// # Errors
    /// As [`Client::open`] and [`Client::request`]; a handshake that the server answers with an error is [`McpError::NotMcp`].
    pub async fn connect(endpoint: &Endpoint, transport: TransportKind, limits: Limits, name: &str) -> Result<Self, McpError> {
        let client = Self::open(endpoint, transport, limits).await?;
        client.handshake(name).await?;
        Ok(client)
    }

    /// Sends a request and waits for its answer, at most [`Limits::request`].
    ///
    /// # Errors
    /// As [`Client::request_within`].
    pub async fn request(&self, method: &str, params: Value) -> Result<Answer, McpError> {
        let _ = (method, params);
        unimplemented!()
    }

    /// Sends a request and waits for its answer, at most `limit`. `params` that are `null` are left out. After a timeout, or when
    /// the returned future is dropped, the request stays [outstanding](Client::outstanding) until its answer comes. A JSON-RPC error
    /// is an answer.
    ///
    /// # Errors
    /// [`McpError::Timeout`]; [`McpError::Ended`] when the stream ended before the answer came; [`McpError::Status`] when the server
    /// refused the message; [`McpError::TooLarge`] when a message came that was too large while no other request was outstanding.
    pub async fn request_within(&self, method: &str, params: Value, limit: Duration) -> Result<Answer, McpError> {
        let _ = (method, params, limit);
        unimplemented!()
    }

    /// Sends a notification. Returns when the server accepted it.
    ///
    /// # Errors
    /// Each variant of [`McpError`] that concerns a connection, and [`McpError::Status`].
    pub async fn notify(&self, method: &str, params: Value) -> Result<(), McpError> {
        let _ = (method, params);
        unimplemented!()
    }

    /// Returns how many requests were sent whose answer has not come, those that timed out included. A request that the server
    /// refused (HTTP status) is not outstanding.
    pub fn outstanding(&self) -> usize {
        unimplemented!()
    }

    /// Waits until no request is outstanding, at most `limit`. Returns whether that is so. Once the stream ended nothing is awaited.
    pub async fn settled(&self, limit: Duration) -> bool {
        let _ = limit;
        unimplemented!()
    }

    /// Returns the notifications so far, in order, within [`Limits::notifications`] and [`Limits::notification_bytes`].
    pub fn notifications(&self) -> Vec<Notification> {
        unimplemented!()
    }

    /// Returns how many notifications came beyond those that are kept.
    pub fn notifications_dropped(&self) -> u64 {
        unimplemented!()
    }

    /// Returns what the server sent so far that a client can't use, in order, within [`Limits::faults`].
    pub fn faults(&self) -> Vec<Fault> {
        unimplemented!()
    }

    /// Returns how many faults there were beyond those that are kept.
    pub fn faults_dropped(&self) -> u64 {
        unimplemented!()
    }

    /// Returns whether and how the stream ended.
    pub fn ended(&self) -> Option<Ended> {
        unimplemented!()
    }

    /// Waits until the stream has ended.
    pub async fn closed(&self) -> Ended {
        unimplemented!()
    }

    /// Returns the name that the handshake gave.
    pub fn name(&self) -> Option<&ClientName> {
        unimplemented!()
    }

    /// Returns the session's id, once the server gave one.
    pub fn session(&self) -> Option<&SessionId> {
        unimplemented!()
    }

    /// Stops reading the stream, for good, and leaves its TCP connection open: from the server's side a client that is still there
    /// and takes nothing. Answers don't arrive any more, and neither does the end of the stream. [`Client::close`] works as before.
    pub fn stop_reading(&self) {
        unimplemented!()
    }

    /// Closes the session and all its connections; FIN or RST has been sent when this returns. Outstanding requests are abandoned:
    /// await [`Client::settled`] first. There is no reconnection.
    pub async fn close(self, how: Closing) {
        let _ = how;
        unimplemented!()
    }

    /// Posts any message in the name of a session, on a connection of its own, and returns the HTTP status and the beginning of the
    /// body (at most 4 KiB, the session id replaced by `[session]`). For checking that a session is gone: a hub answers 404
    /// `Session not found`.
    ///
    /// # Errors
    /// Each variant of [`McpError`] that concerns a connection.
    pub async fn post_to_session(endpoint: &Endpoint, session: &SessionId, message: &Value) -> Result<(u16, String), McpError> {
        let _ = (endpoint, session, message);
        unimplemented!()
    }
}
