//! Steps that a script can apply to a simulated hub.

use super::profile::ServerPlan;
use crate::watch::Micros;

/// A step at an instant. An impossible step (a call by a client that isn't connected) does nothing, as with a real hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The hub's process is started; a second start does nothing.
    StartHub,
    /// SIGTERM: the hub shuts down with all its lines.
    StopHub,
    /// SIGKILL: the process is gone, without a line.
    KillHub,
    /// An MCP client connects and shakes hands (about 0.15 s).
    ConnectClient {
        /// The name it gives itself.
        name: String,
    },
    /// The newest connection of that name is closed; the hub answers with a storm of lines. With a call in flight, a fork stops:
    /// the call finds no session, and the line about it goes through the error helper that stops the hub (known from its public
    /// source, not from a recording).
    DisconnectClient {
        /// The name it gave itself.
        name: String,
    },
    /// The client calls `hub__analyze_prompt` (fork only).
    Analyze {
        /// The name it gave itself.
        client: String,
        /// Gemini's answer.
        gemini: Gemini,
    },
    /// A server's process gets SIGKILL. The hub logs `transport closed`, and keeps reporting the server as connected.
    KillServer {
        /// The server's name.
        name: String,
    },
    /// `POST /api/servers/stop`.
    StopServer {
        /// The server's name.
        name: String,
    },
    /// `POST /api/servers/stop?disable=true`.
    DisableServer {
        /// The server's name.
        name: String,
    },
    /// `POST /api/restart`: all servers are stopped and started again, in the same process.
    RestartServers,
    /// A server is removed from the configuration, and the hub reloads it.
    RemoveServer {
        /// The server's name.
        name: String,
    },
    /// A server is added to the configuration, and the hub reloads it.
    AddServer {
        /// The server.
        plan: ServerPlan,
    },
    /// A server writes a text to its stderr in one write. Only its first line gets a prefix in the hub's log.
    Stderr {
        /// The server's name.
        name: String,
        /// The text.
        text: String,
    },
    /// From now on the hub's clock is ahead by so many microseconds; negative is behind.
    SetClock {
        /// The difference.
        ahead: i64,
    },
    /// `POST /api/servers/start`: does nothing while the hub reports the server as connected.
    StartServer {
        /// The server's name.
        name: String,
    },
    /// A client opens the event stream.
    Subscribe,
    /// The newest subscriber leaves.
    Unsubscribe,
    /// The hub logs a warning.
    Warn {
        /// Its text.
        text: String,
    },
    /// From now on the hub's memory grows at this rate; zero ends it.
    LeakMemory {
        /// The rate.
        bytes_per_hour: u64,
    },
    /// From now on the idle hub uses this CPU time (3 at first).
    Cpu {
        /// Thousandths of a core.
        permille_of_core: u32,
    },
    /// From now on every API answer takes longer by this time.
    ApiDelay {
        /// The additional time.
        delay: Micros,
    },
}

/// Gemini's answer to a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gemini {
    /// An answer.
    Answers {
        /// Its response time.
        after: Micros,
        /// The categories in it.
        categories: Vec<String>,
    },
    /// HTTP 429, three rounds of three tries, about 17 s in all; then keywords decide (recorded).
    RateLimited,
    /// HTTP 400 `API_KEY_INVALID`, after about 5 s: the hub logs an error and with that shuts itself down (recorded).
    KeyInvalid,
    /// Any other error: the same error helper, so also the hub's end (from the fork's public source).
    Fails,
    /// After half a second, the answer that no category fits.
    NoCategories,
    /// No answer at all.
    Silent,
}
