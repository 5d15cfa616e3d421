//! The real events, with which a watcher's findings are compared.

use crate::watch::{Micros, Timestamp};

/// One real event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Its time.
    pub at: Timestamp,
    /// The event.
    pub what: Happening,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The hub's process was started.
    HubStarted {
        /// Its process id.
        pid: u32,
    },
    /// The hub's port accepts connections.
    HubListening,
    /// The hub's port is closed. The process may run for a moment longer.
    HubDeaf,
    /// The start of every server has succeeded or failed: the MCP endpoint exists.
    HubReady,
    /// `POST /api/restart`: the process continues, and its servers restart.
    ServersRestarted,
    /// The hub began to shut down, by itself or by SIGTERM.
    HubStopping,
    /// The hub's process ended.
    HubStopped {
        /// The reason.
        cause: StopCause,
    },
    /// A server answers.
    ServerUp {
        /// Its name.
        name: String,
        /// The cause of its start.
        cause: UpCause,
    },
    /// A server stopped working.
    ServerDown {
        /// Its name.
        name: String,
        /// The reason.
        cause: DownCause,
    },
    /// A server failed to start.
    ServerFailed {
        /// Its name.
        name: String,
    },
    /// A server that did not work is stopped or disabled by a user.
    ServerPutAway {
        /// Its name.
        name: String,
    },
    /// A server was added to the hub's configuration.
    ServerAdded {
        /// Its name.
        name: String,
    },
    /// A server was removed from the hub's configuration.
    ServerRemoved {
        /// Its name.
        name: String,
    },
    /// A client finished its handshake.
    ClientConnected {
        /// The name that it gave itself.
        name: String,
        /// Its session id.
        session: String,
    },
    /// A client's connection was closed.
    ClientDisconnected {
        /// The name that it gave itself; `None` before the handshake.
        name: Option<String>,
        /// Its session id.
        session: String,
        /// Number of equal lines that the hub wrote about it at once (without late ones at the hub's shutdown).
        lines: u32,
    },
    /// A call of the meta-tool ended.
    CallEnded {
        /// The session that made it.
        session: String,
        /// The client that made it.
        client: String,
        /// When it began (checkpoint 1).
        start: Timestamp,
        /// When it ended.
        end: Timestamp,
        /// Its outcome.
        outcome: CallOutcome,
        /// Gemini's part of the time, retries included.
        gemini_us: Micros,
    },
    /// One round of requests to Gemini ended with HTTP 429.
    RateLimited {
        /// The session of the call.
        session: String,
    },
    /// A server's tool was run over the live hub's port.
    ToolRan {
        /// The server.
        server: String,
        /// The tool, without the server's name.
        tool: String,
    },
    /// A client opened the event stream.
    Subscribed,
    /// A client closed the event stream.
    Unsubscribed,
}

/// The reasons for the end of a hub's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// SIGTERM from outside.
    Asked,
    /// SIGKILL.
    Killed,
    /// Its own error helper sent it SIGTERM.
    OwnError,
}

/// The causes of a server's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpCause {
    /// The hub's own start.
    HubStart,
    /// A user: `POST /api/servers/start`.
    Asked,
    /// A user restarted all servers.
    Restarted,
    /// It was added to the configuration.
    Added,
    /// The hub by itself, after the server had crashed: only a hub without the known defects does that.
    Reconnected,
}

/// The reasons for a server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownCause {
    /// It crashed.
    Crashed,
    /// A user stopped it.
    Stopped,
    /// A user disabled it.
    Disabled,
    /// A user restarted all servers.
    Restarted,
    /// It was removed from the configuration.
    Removed,
    /// The hub ended.
    HubGone,
}

/// The outcomes of a meta-tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// Gemini answered.
    Answered {
        /// True if the client was notified that its tools changed.
        notified: bool,
    },
    /// Gemini answered without a category.
    NoCategories,
    /// Gemini failed; keywords decided.
    FellBack {
        /// True if the client was notified that its tools changed.
        notified: bool,
    },
    /// The key was invalid; the hub stopped without an answer.
    KeyInvalid,
    /// Gemini failed; the hub stopped without an answer.
    GeminiFailed,
    /// The client had disconnected; the hub stopped because of it.
    SessionGone,
    /// The hub was stopped or killed during the call.
    HubGone,
}
