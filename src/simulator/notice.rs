//! What the hub lets the outside know: lines, events, answers.

use super::lines::Entry;

/// One thing that the hub put out.
#[derive(Clone, Debug)]
pub(super) enum Notice {
    /// The log file was emptied.
    LogTruncated,
    /// A log entry.
    Logged(Entry),
    /// `hub_state`, to everybody.
    HubState(String),
    /// `hub_state`, to a new subscriber only.
    Greeting { id: String, json: String },
    /// `subscription_event` with its type and the rest of its members.
    Changed(String),
    /// `heartbeat`.
    Heartbeat(usize),
    /// The client was told that its tools changed.
    ToolsChanged { session: String },
    /// A call was answered, with the JSON text that the tool returns.
    Answered { call: u64, text: String },
    /// The hub's process is gone, and every connection with it.
    Gone,
}
