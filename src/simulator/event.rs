//! The things that the simulated world reacts to, steps included.

use std::sync::Arc;

use super::lines::Saying;
use super::step::{Gemini, Step};

/// Something that happens at an instant of virtual time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// From the script.
    Step(Step),
    /// The hub says something.
    Say(Arc<Saying>),
    /// The hub's HTTP server accepts connections.
    Listen,
    /// The log file is opened: the legacy logger empties it.
    OpenLog,
    /// The hub starts all its servers.
    StartServers,
    /// A server's start came to its end.
    ServerSettled { name: String, attempt: u32 },
    /// A hub whose defects are mended starts a crashed server again.
    Reconnect { name: String },
    /// That start came to its end.
    Reconnected { name: String },
    /// A client opened the MCP stream.
    OpenSession { session: String },
    /// A client finished its handshake.
    NameSession { session: String, name: String },
    /// A client's connection closed.
    CloseSession { session: String },
    /// A client calls the meta-tool.
    Call(CallRequest),
    /// A round of tries at Gemini ended.
    GeminiRound { call: u64, round: u32 },
    /// The lines about a closed connection begin.
    StormBegins { name: Arc<str>, session: String },
    /// The next lines about a closed connection.
    StormGoesOn { saying: Arc<Saying>, left: u32 },
    /// Somebody opened the event stream.
    Subscribe { id: String },
    /// Somebody left the event stream.
    Unsubscribe { id: String },
    /// The workspace file's watcher has waited long enough.
    WorkspacesSettled { change: u64 },
    /// Every ten seconds.
    Heartbeat,
    /// Shutting down: sessions are closed.
    CloseSessions,
    /// Shutting down: everything else.
    CleanUp,
    /// The process ends.
    Exit,
}

/// A call of the meta-tool.
#[derive(Clone, Debug)]
pub(super) struct CallRequest {
    /// A number that finds the answer again.
    pub(super) id: u64,
    pub(super) session: String,
    pub(super) prompt: String,
    pub(super) gemini: Gemini,
}

impl Event {
    /// Whether it happens even while the hub's one thread is busy: because it isn't the hub that does it, or because it is what
    /// keeps the thread busy.
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
