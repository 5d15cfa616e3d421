//! An MCP client that acts on a hub as the hub's own clients do, and keeps what a monitor needs: the exact text of each answer, its
//! time, everything that a client can't use, and how the stream ended.
//!
//! It speaks protocol 2025-06-18 over both transports: the legacy HTTP+SSE transport, which hubs have, and streamable HTTP.
//!
//! - It never reconnects: a reconnection would hide a hub that stopped.
//! - Each message travels on a TCP connection of its own, and is never sent twice: a tool call isn't idempotent.
//! - The stream is on a connection that this module owns, so the caller chooses how it ends ([`Closing`]).
//! - Whatever a server sends, the memory stays within [`Limits`].
//!
//! ```text
//! client      → the session: requests, answers, notifications
//! transport   ← http_sse, streamable: how messages travel
//! connection  → one HTTP exchange on a connection of our own
//! ```

mod answer;
mod client;
mod connection;
mod endpoint;
mod error;
mod http_sse;
mod inbox;
mod limits;
mod message;
mod session;
mod streamable;
mod transport;

pub use answer::{Answer, RpcError, ToolResult};
pub use client::{Client, ClientName, PROTOCOL_VERSION};
pub use connection::Closing;
pub use endpoint::Endpoint;
pub use error::{Ended, McpError};
pub use inbox::{Fault, FaultKind, Notification};
pub use limits::Limits;
pub use session::SessionId;
pub use transport::TransportKind;
