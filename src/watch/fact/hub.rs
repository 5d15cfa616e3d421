//! The hub itself: its process, its API, its state.

use super::facts;
use crate::watch::names;
use crate::watch::poll::ApiOutcome;
use crate::watch::record::record;
use crate::watch::text::Text;

record! {
    /// The hub's process started.
    pub struct HubStarted {
        /// Its process id, where the source says.
        pub pid: Option<u32> = names::PROCESS_PID,
    }
}

record! {
    /// The hub began to stop.
    pub struct HubStopping {
        /// The signal that it says it received.
        pub signal: Option<Text> = names::SIGNAL,
        /// What led to it, from the lines just before.
        pub cause: Option<Text> = names::CAUSE,
    }
}

record! {
    /// The hub said its last words: a graceful stop.
    pub struct HubStopped {}
}

record! {
    /// The hub's process ended without a word, or was replaced by another.
    pub struct HubExited {
        /// The process that is gone.
        pub pid: Option<u32> = names::PROCESS_PID,
        /// Its cause, as far as it is known.
        pub cause: Option<Text> = names::CAUSE,
    }
}

record! {
    /// The API stopped answering.
    pub struct HubUnreachable {
        /// How the request failed.
        pub outcome: ApiOutcome = names::HEALTH_OUTCOME,
    }
}

record! {
    /// The API answers (again).
    pub struct HubReachable {
        /// Whether another process answers than before; absent where that is unknown.
        pub restarted: Option<bool> = names::RESTARTED,
    }
}

record! {
    /// The hub's own state changed.
    pub struct HubStateChanged {
        /// Before.
        pub from: Text = names::FROM,
        /// Now.
        pub to: Text = names::TO,
    }
}

record! {
    /// The connection to an event-stream subscriber broke.
    pub struct SubscriberFailed {
        /// What the hub says about it.
        pub error: Text = names::ERROR,
    }
}

facts! {
    /// The hub itself: its process, its API, its state.
    pub enum HubFact in Hub {
        HubStarted = "mcphub.hub.started",
        HubStopping = "mcphub.hub.stopping",
        HubStopped = "mcphub.hub.stopped",
        HubExited = "mcphub.hub.exited",
        HubUnreachable = "mcphub.hub.unreachable",
        HubReachable = "mcphub.hub.reachable",
        HubStateChanged = "mcphub.hub.state_changed",
        SubscriberFailed = "mcphub.event_stream.subscriber_failed",
    }
}
