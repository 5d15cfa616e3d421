//! What can go wrong, and how a stream ends.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::connection::Closing;

/// Why a client could not do something.
///
/// No text contains a session id, a credential of the address or a header's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum McpError {
    /// The address is not a URL that can be asked.
    #[error("`{url}` is not the address of an MCP server: {reason}; give one like http://127.0.0.1:7000")]
    Url {
        /// The address, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header that HTTP doesn't allow.
    #[error("`{name}` is not an HTTP header, or its value is not allowed; give it as `Name: value`")]
    Header {
        /// The header's name.
        name: String,
    },
    /// The file of the certificate authority can't be used.
    #[error("can't use the CA file {path}: {reason}")]
    Ca {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody listens at the address.
    #[error("{address} refused the connection")]
    Refused {
        /// Host and port.
        address: String,
    },
    /// The address can't be reached.
    #[error("can't connect to {address}: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The TLS handshake failed.
    #[error("no TLS connection to {address}: {reason}")]
    Tls {
        /// Host and port.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// Something took too long.
    #[error("no {what} within {}", seconds(*.limit))]
    Timeout {
        /// What was awaited: `connection`, `stream`, `endpoint event`, `answer to METHOD` …
        what: String,
        /// How long it was awaited.
        limit: Duration,
    },
    /// The server's HTTP status is not one of success.
    #[error("HTTP status {status}: {body}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the body, at most 512 bytes.
        body: String,
    },
    /// The server's answer is HTTP, but not of an MCP server.
    #[error("this is not an MCP server: {why}")]
    NotMcp {
        /// What shows that.
        why: String,
    },
    /// The `endpoint` event names an address of another origin. A client must not send its messages there.
    #[error("the endpoint event names {given}, which is not of the origin {expected}")]
    ForeignEndpoint {
        /// The origin that the event names.
        given: String,
        /// The origin that was asked.
        expected: String,
    },
    /// The server sent more than the limit allows.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The stream or the connection ended before what was awaited came.
    #[error("{how}")]
    Ended {
        /// How it ended.
        how: Ended,
    },
    /// So many requests have no answer that no other one is sent.
    #[error("{limit} requests have no answer yet: another one is not sent")]
    TooManyOutstanding {
        /// The limit.
        limit: usize,
    },
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The server ended its HTTP answer in good order.
    Complete,
    /// The server closed the connection (FIN) without the end of its HTTP answer, like a process that ends.
    Finished,
    /// The server reset the connection (RST).
    Reset,
    /// We closed it.
    Ours(Closing),
    /// Nothing came within [`Limits::idle`](super::Limits::idle), and we closed it.
    Idle {
        /// The limit.
        limit: Duration,
    },
    /// The connection can't be read any more: broken HTTP or TLS, a network that is away.
    Broken {
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("the server ended the stream"),
            Self::Finished => f.write_str("the server closed the connection"),
            Self::Reset => f.write_str("the server reset the connection"),
            Self::Ours(Closing::Finish) => f.write_str("this client closed the connection"),
            Self::Ours(Closing::HalfClose) => f.write_str("this client closed its half of the connection"),
            Self::Ours(Closing::Reset) => f.write_str("this client reset the connection"),
            Self::Idle { limit } => {
                write!(f, "the server sent nothing for {}, and this client closed the connection", seconds(*limit))
            }
            Self::Broken { reason } => write!(f, "the connection broke: {reason}"),
        }
    }
}

/// Writes a limit like `5 s` or `0.3 s`.
fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_millis() as f64 / 1_000.0)
}
