//! The events of the simulated world, steps included.

use std::sync::Arc;

use super::lines::Saying;
use super::step::{Gemini, Step};

/// An event at an instant of virtual time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A step of the script.
    Step(Step),
    /// The hub logs an entry.
    Say(Arc<Saying>),
    /// The hub's HTTP server accepts connections.
    Listen,
    /// The log file is opened: the legacy logger empties it.
    OpenLog,
    /// The hub starts all its servers.
    StartServers,
    /// A server's start succeeded or failed.
    ServerSettled { name: String, attempt: u32 },
    /// A hub without the known defects restarts a crashed server.
    Reconnect { name: String },
    /// That start succeeded or failed.
    Reconnected { name: String },
    /// A client opened the MCP stream.
    OpenSession { session: String },
    /// A client finished its handshake.
    NameSession { session: String, name: String },
    /// A client's connection closed.
    CloseSession { session: String },
    /// A client calls the meta-tool.
    Call(CallRequest),
    /// A round of requests to Gemini ended.
    GeminiRound { call: u64, round: u32 },
    /// The lines about a closed connection begin.
    StormBegins { name: Arc<str>, session: String },
    /// The next lines about a closed connection.
    StormGoesOn { saying: Arc<Saying>, left: u32 },
    /// A client opened the event stream.
    Subscribe { id: String },
    /// A client closed the event stream.
    Unsubscribe { id: String },
    /// The debounce time of the workspace file's watcher has passed.
    WorkspacesSettled { change: u64 },
    /// A heartbeat, every ten seconds.
    Heartbeat,
    /// Shutdown: sessions are closed.
    CloseSessions,
    /// Shutdown: everything else.
    CleanUp,
    /// The process ends.
    Exit,
}

/// A call of the meta-tool.
#[derive(Clone, Debug)]
pub(super) struct CallRequest {
    /// A number that identifies the call.
    pub(super) id: u64,
    pub(super) session: String,
    pub(super) prompt: String,
    pub(super) gemini: Gemini,
}

impl Event {
    /// Returns true if the event happens even while the hub's only thread is busy: because the hub has no part in it, or because
    /// the event itself keeps the thread busy.
    pub(super) fn ignores_busy_hub(&self) -> bool {
        match self {
            Self::StormGoesOn { .. } => true,
            Self::Step(step) => matches!(
                step,
                Step::StartHub
                    | Step::KillHub
                    | Step::KillServer { .. }
                    | Step::LeakMemory { .. }
                    | Step::Cpu { .. }
                    | Step::ApiDelay { .. }
                    | Step::SetClock { .. }
            ),
            _ => false,
        }
    }
}
