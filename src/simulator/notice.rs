//! The hub's outputs: lines, events, answers.

use super::lines::Entry;

/// One output of the hub.
#[derive(Clone, Debug)]
pub(super) enum Notice {
    /// The log file was emptied.
    LogTruncated,
    /// A log entry.
    Logged(Entry),
    /// `hub_state`, to all subscribers.
    HubState(String),
    /// `hub_state`, to a new subscriber only.
    Greeting { id: String, json: String },
    /// `subscription_event` with its type and its other members.
    Changed(String),
    /// `heartbeat`.
    Heartbeat(usize),
    /// The client was notified that its tools changed.
    ToolsChanged { session: String },
    /// The client was notified that keywords decided: only a hub without the known defects does that.
    FellBack { session: String },
    /// A call was answered with this JSON text of the tool.
    Answered { call: u64, text: String },
    /// The hub's process ended, and with it every connection.
    Gone,
}
