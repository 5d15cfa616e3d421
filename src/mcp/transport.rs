//! How messages travel.

/// The transports of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// The legacy transport, which hubs have: `GET {base}/mcp` opens a stream of server-sent events, whose `endpoint` event says
    /// where messages are posted.
    HttpSse,
    /// Streamable HTTP: `POST {base}/mcp` answers with JSON or with a stream; `GET {base}/mcp` gives a stream for notifications, if
    /// the server has one.
    StreamableHttp,
}
