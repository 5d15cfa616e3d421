//! How a simulated hub treats MCP clients where that differs from the recorded hubs.

use crate::watch::Micros;

/// Deviations from the recorded hubs. The default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// A tool that one client chose is exposed to all clients, later ones included.
    pub leaks_exposure: bool,
    /// The hub exposes nothing of what its meta-tool returns.
    pub exposes_nothing: bool,
    /// Categories that are exposed to every client from the beginning, beside `meta`.
    pub default_exposure: Vec<String>,
    /// A session whose connection was closed is counted as before, and messages to it are accepted.
    pub keeps_sessions: bool,
    /// Who is notified when a client's tools change.
    pub notifies: Notifies,
    /// What the API says of the number of MCP clients.
    pub counts: Counts,
    /// The fork answers `tools/list` and calls of tools as it should.
    pub tools_work: bool,
    /// `tools/list` of such a fork lists the tools of all servers to each client, though calls are refused.
    pub lists_everything: bool,
    /// A client that leaves during its call does not stop the fork.
    pub survives_leaving: bool,
    /// A crashed server is shown as disconnected, and all clients are notified.
    pub notices_crashes: bool,
    /// The hub pings its clients, and drops one that answered nothing for this time.
    pub drops_silent_after: Option<Micros>,
    /// The hub has no model to ask.
    pub has_no_llm: bool,
    /// A client is told by `notifications/message` that keywords decided.
    pub tells_of_fallback: bool,
    /// A call that Gemini rejects ends in an error instead of the fallback to keywords.
    pub has_no_fallback: bool,
    /// The meta-tool answers this text at once, whatever it is asked.
    pub meta_tool_says: Option<String>,
    /// `sessionIsolation` in the configuration; with `false` the first call of the meta-tool stops the fork.
    pub session_isolation: Option<bool>,
    /// More clients than this are refused with HTTP status 500.
    pub most_clients: Option<usize>,
    /// What becomes of the API while clients are connected.
    pub under_load: Option<UnderLoad>,
    /// The hub's process ends (SIGKILL) when this MCP request comes: each `GET /mcp` and each message counts, from 1.
    pub dies_at_request: Option<u64>,
}

/// Who is notified that tools changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notifies {
    /// The client that chose them, once, as recorded.
    #[default]
    Caller,
    /// All clients.
    Everybody,
    /// The client that chose them, twice.
    CallerTwice,
    /// No client.
    Nobody,
}

/// What the API says of the number of MCP clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counts {
    /// The number, as recorded.
    #[default]
    Right,
    /// Always 0.
    Zero,
    /// Nothing.
    Absent,
}

/// What becomes of the API under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderLoad {
    /// The number of MCP clients from which it applies.
    pub clients: usize,
    /// How much longer each answer takes.
    pub delay: Micros,
    /// Whether each answer is HTTP status 500.
    pub fails: bool,
}
