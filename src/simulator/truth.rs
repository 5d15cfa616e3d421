//! What really happened: what a watcher's findings are measured against.

use crate::watch::{Micros, Timestamp};

/// One thing that really happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

/// The kinds of things that happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The hub's process was started.
    HubStarted {
        /// Its process id.
        pid: u32,
    },
    /// The hub's port accepts connections.
    HubListening,
    /// The hub's port is closed. The process may go on for a moment.
    HubDeaf,
    /// All servers came up or failed: the MCP endpoint is there.
    HubReady,
    /// `POST /api/restart`: the process stays, its servers are started anew.
    ServersRestarted,
    /// The hub began to shut down by itself or by SIGTERM.
    HubStopping,
    /// The hub's process is gone.
    HubStopped {
        /// Why.
        cause: StopCause,
    },
    /// A server answers.
    ServerUp {
        /// Its name.
        name: String,
        /// Who started it.
        cause: UpCause,
    },
    /// A server is gone.
    ServerDown {
        /// Its name.
        name: String,
        /// Why.
        cause: DownCause,
    },
    /// A server did not come up.
    ServerFailed {
        /// Its name.
        name: String,
    },
    /// A server that did not work is stopped or disabled by somebody.
    ServerPutAway {
        /// Its name.
        name: String,
    },
    /// The hub's configuration has a server more.
    ServerAdded {
        /// Its name.
        name: String,
    },
    /// The hub's configuration has a server less.
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
        /// How many equal lines the hub wrote about it at once (strays at the hub's shutdown not counted).
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
        /// How.
        outcome: CallOutcome,
        /// The part of the time that Gemini took, retries included.
        gemini_us: Micros,
    },
    /// One round of tries at Gemini ended with HTTP 429.
    RateLimited {
        /// The session whose call it was.
        session: String,
    },
    /// Somebody opened the event stream.
    Subscribed,
    /// Somebody left the event stream.
    Unsubscribed,
}

/// Why a hub's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// SIGTERM from outside.
    Asked,
    /// SIGKILL.
    Killed,
    /// Its own error helper sent it SIGTERM.
    OwnError,
}

/// Who started a server that came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpCause {
    /// The hub, at its own start.
    HubStart,
    /// Somebody: `POST /api/servers/start`.
    Asked,
    /// Somebody who restarted all servers.
    Restarted,
    /// It was put into the configuration.
    Added,
    /// The hub by itself, after the server had crashed: only a hub whose defects are mended does that.
    Reconnected,
}

/// Why a server is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownCause {
    /// It crashed.
    Crashed,
    /// Somebody stopped it.
    Stopped,
    /// Somebody disabled it.
    Disabled,
    /// Somebody restarted all servers.
    Restarted,
    /// It was taken out of the configuration.
    Removed,
    /// The hub went, and took it along.
    HubGone,
}

/// How a call of the meta-tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// Gemini answered.
    Answered {
        /// Whether the client was told that its tools changed.
        notified: bool,
    },
    /// Gemini answered, but found no category.
    NoCategories,
    /// Gemini didn't answer; keywords decided.
    FellBack {
        /// Whether the client was told that its tools changed.
        notified: bool,
    },
    /// The key was invalid; the hub stopped and nobody was answered.
    KeyInvalid,
    /// Gemini failed; the hub stopped and nobody was answered.
    GeminiFailed,
    /// The client had gone; the hub stopped over it.
    SessionGone,
    /// The hub was stopped or killed meanwhile.
    HubGone,
}
