//! The hub's process, as the operating system shows it.

use crate::watch::{Micros, Timestamp};

/// A running hub's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedProcess {
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub start: Timestamp,
    /// Its CPU time since its start.
    pub cpu_time: Micros,
    /// Its resident memory.
    pub rss_bytes: u64,
    /// Its open file descriptors.
    pub fds: u32,
    /// Its threads.
    pub threads: u32,
    /// Its child processes: the living stdio servers.
    pub children: Vec<SimulatedChild>,
}

/// The process of a stdio server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedChild {
    /// Its process id.
    pub pid: u32,
    /// The server.
    pub server: String,
}
