//! How long scenarios wait: each default beside the sentence that justifies it.

use std::time::Duration;

use crate::mcp::Limits;

/// How long scenarios wait for what should happen. Tests wait less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For connections and handshakes.
    pub connection: Limits,
    /// How long a meta-tool call may take until it counts as unanswered: nine tries of a Gemini that answers 429 take up to 19 s.
    /// Default: 45 s.
    pub meta_tool: Duration,
    /// How long a tool's call may take: a probe's tool does next to nothing. Default: 30 s.
    pub tool: Duration,
    /// How long `tools/list` and `ping` may take: the hub asks no server for them. Default: 10 s.
    pub request: Duration,
    /// How long a client that leaves waits for its outstanding answers: a client that leaves during its call stops the fork.
    /// Default: 30 s.
    pub outstanding: Duration,
    /// How long a parked client is waited for at the end: Node gives up a request without an answer after 5 min. Default: 310 s.
    pub parked: Duration,
    /// How long the hub may take to calm down after a client left. Default: 30 s.
    pub calm: Duration,
    /// How long the hub may take to count a client that connected: its first answer afterwards shows it. Default: 5 s.
    pub counted: Duration,
    /// How long the hub may take to notice that a client left: on real hubs it took 0.7 s at most. Default: 10 s.
    pub left: Duration,
    /// How long the hub may take to show the end of a server's process: it gets the end of the pipe at once. Default: 10 s.
    pub shown: Duration,
    /// The strategy: a crashed server is reconnected within 30 seconds. Default: 30 s.
    pub reconnected: Duration,
    /// How long a server may take to answer after it was put back. Default: 60 s.
    pub back: Duration,
    /// A log that has not grown for so long has said what it had to say. Default: 1.5 s.
    pub quiet: Duration,
    /// How long the log may take to come to rest: a disconnect was written within 4 s on a busy machine. Default: 30 s.
    pub written: Duration,
    /// How long the hub works with a full disk: it writes a line at the latest with the next request that makes one. Default: 20 s.
    pub disk_full: Duration,
    /// How long the hub is watched once its disk has room again. Default: 10 s.
    pub disk_free: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            connection: Limits::default(),
            meta_tool: secs(45),
            tool: secs(30),
            request: secs(10),
            outstanding: secs(30),
            parked: secs(310),
            calm: secs(30),
            counted: secs(5),
            left: secs(10),
            shown: secs(10),
            reconnected: secs(30),
            back: secs(60),
            quiet: Duration::from_millis(1_500),
            written: secs(30),
            disk_full: secs(20),
            disk_free: secs(10),
        }
    }
}
