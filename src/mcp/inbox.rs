//! What came from the server and is no answer: notifications, and what a client can't use.

use std::time::Instant;

/// A notification of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// When the whole message had arrived.
    pub at: Instant,
    /// For example `notifications/tools/list_changed`.
    pub method: String,
    /// The exact JSON text of the whole message.
    pub raw: String,
}

/// Something from the server that a client can't use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it arrived.
    pub at: Instant,
    /// What is wrong.
    pub kind: FaultKind,
    /// The beginning of what came, at most 200 bytes.
    pub start: String,
}

/// What is wrong with something that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// An answer whose id no request had, or one of another type.
    UnknownId,
    /// A second answer to a request, or one to a request that the server had refused.
    AnsweredTwice,
    /// Neither JSON-RPC 2.0 nor UTF-8.
    Unreadable,
    /// Larger than [`Limits::message_bytes`](super::Limits::message_bytes).
    TooLarge,
    /// A request of the server other than `ping`. It was answered with `-32601 Method not found`.
    ForeignRequest,
    /// An event of the stream that is neither `message` nor the first `endpoint`.
    UnknownEvent,
}
