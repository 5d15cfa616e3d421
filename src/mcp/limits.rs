//! The limits of a client: time and memory.

use std::time::Duration;

/// A connection within a data centre takes milliseconds. After 5 s the kernel has sent its SYN three times (at 0, 1 and 3 s).
const CONNECT: Duration = Duration::from_secs(5);

/// A hub that is busy with the departure of 50 clients answers nobody for up to 26 s.
const OPEN: Duration = Duration::from_secs(30);

/// The official SDK's own limit for a request. The fork's meta-tool takes up to 19 s while Gemini answers 429.
const REQUEST: Duration = Duration::from_secs(60);

/// A hub's tools take 0.9 KB each in `tools/list`: enough for 4,600 tools.
const MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// A client of the hub gets one notification for each new category. More than this is a storm, and its count tells enough.
const NOTIFICATIONS: usize = 1_024;

/// Notifications of a hub have 60 bytes each. This holds all that [`NOTIFICATIONS`] allows, ten times over.
const NOTIFICATION_BYTES: usize = 1024 * 1024;

/// A well-behaved server has none; the first ones tell what is wrong.
const FAULTS: usize = 128;

/// A scenario has at most a few calls at once in each client. Requests that time out stay outstanding.
const OUTSTANDING: usize = 256;

/// The limits of one client. The default suits a hub on the same machine or in the same data centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For looking up the name, the TCP connection and TLS, together. It applies to each connection. Default: 5 s.
    pub connect: Duration,
    /// For the stream, from the request for it to its `endpoint` event. Default: 30 s.
    pub open: Duration,
    /// For each request, from its connection to its answer. Default: 60 s.
    pub request: Duration,
    /// The stream is closed (FIN) when no byte came for so long. Default: none, because a hub sends nothing to a client that calls
    /// nothing.
    pub idle: Option<Duration>,
    /// Size of a message, in bytes of JSON. A larger one is skipped. Default: 4 MiB.
    pub message_bytes: usize,
    /// Notifications that are kept; more are counted. Default: 1,024.
    pub notifications: usize,
    /// Size of all notifications that are kept, in bytes of JSON; more are counted. Default: 1 MiB.
    pub notification_bytes: usize,
    /// Faults that are kept; more are counted. Default: 128.
    pub faults: usize,
    /// Requests without an answer, those that timed out included; another one is refused. Default: 256.
    pub outstanding: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: CONNECT,
            open: OPEN,
            request: REQUEST,
            idle: None,
            message_bytes: MESSAGE_BYTES,
            notifications: NOTIFICATIONS,
            notification_bytes: NOTIFICATION_BYTES,
            faults: FAULTS,
            outstanding: OUTSTANDING,
        }
    }
}
