//! What can be made to happen to a simulated hub.

use super::profile::ServerPlan;
use crate::watch::Micros;

/// Something that happens at an instant. A step that makes no sense then (a call by a client that isn't there) does nothing, as
/// with a real hub.
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
    /// The newest connection of that name is closed; the hub answers with a storm of lines. With a call in flight a fork doesn't
    /// survive it: the call finds no session, and the line that says so goes through the error helper that stops the hub (known
    /// from its public source, not from a recording).
    DisconnectClient {
        /// The name it gave itself.
        name: String,
    },
    /// The client calls `hub__analyze_prompt` (fork only).
    Analyze {
        /// The name it gave itself.
        client: String,
        /// What Gemini does with it.
        gemini: Gemini,
    },
    /// A server's process gets SIGKILL. The hub says `transport closed`, and goes on calling it connected.
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
    /// `POST /api/restart`: all servers are stopped and started anew, in the same process.
    RestartServers,
    /// The configuration loses a server, and the hub reloads it.
    RemoveServer {
        /// The server's name.
        name: String,
    },
    /// The configuration gets a server, and the hub reloads it.
    AddServer {
        /// The server.
        plan: ServerPlan,
    },
    /// A server writes a text to its stderr at once. Only its first line gets a prefix in the hub's log.
    Stderr {
        /// The server's name.
        name: String,
        /// The text.
        text: String,
    },
    /// From now on the hub's clock is so many microseconds ahead; negative is behind.
    SetClock {
        /// How far.
        ahead: i64,
    },
    /// `POST /api/servers/start`: does nothing while the hub thinks that the server is connected.
    StartServer {
        /// The server's name.
        name: String,
    },
    /// Somebody opens the event stream.
    Subscribe,
    /// The newest subscriber goes away.
    Unsubscribe,
    /// The hub logs a warning.
    Warn {
        /// Its text.
        text: String,
    },
    /// From now on the hub's memory grows by so much; zero ends it.
    LeakMemory {
        /// How fast.
        bytes_per_hour: u64,
    },
    /// From now on the hub uses so much CPU time when nothing happens (3 at first).
    Cpu {
        /// Thousandths of a core.
        permille_of_core: u32,
    },
    /// From now on every API answer takes so much longer.
    ApiDelay {
        /// How much.
        delay: Micros,
    },
}

/// What Gemini does with a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gemini {
    /// It answers.
    Answers {
        /// How long it takes.
        after: Micros,
        /// The categories that it finds.
        categories: Vec<String>,
    },
    /// HTTP 429, three rounds of three tries, about 17 s in all; then keywords decide (recorded).
    RateLimited,
    /// HTTP 400 `API_KEY_INVALID`, after about 5 s: the hub logs an error and with that shuts itself down (recorded).
    KeyInvalid,
    /// Any other error: the same error helper, so the same end (from the fork's public source).
    Fails,
    /// It answers after half a second that nothing fits.
    NoCategories,
}
