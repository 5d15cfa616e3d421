//! What can be measured.

use crate::watch::terms;

terms! {
    /// A number that criteria can be set on. The unit is part of its meaning.
    pub enum Measure {
        /// How long servers that should work did not, together (µs).
        ServersDownTime = "servers.down_time",
        /// How often a server that worked ceased to.
        ServersDisconnections = "servers.disconnections",
        /// The longest time from a server's end to its working again (µs).
        ServersSlowestRecovery = "servers.slowest_recovery",
        /// How often the number of tools of a working server changed.
        ServersToolChanges = "servers.tool_changes",
        /// Failed Gemini rounds for a thousand calls that asked it.
        GeminiFailedShare = "gemini.failed_share",
        /// Calls whose Gemini part failed and that did not fall back.
        GeminiNotFallenBack = "gemini.not_fallen_back",
        /// Calls that ended in anything but ok or fallback, for a thousand.
        CallsFailedShare = "calls.failed_share",
        /// The mean duration of calls without a failed Gemini round (µs).
        CallsMean = "calls.mean",
        /// Times that the log could not be read, and stretches of it that were lost.
        LogLosses = "log.losses",
        /// Bytes that the log grows by in a day.
        LogGrowthPerDay = "log.growth_per_day",
        /// Processor time, of one core (thousandths).
        CpuMean = "cpu.mean",
        /// The most of it between two polls.
        CpuPeak = "cpu.peak",
        /// Memory, of the host's (thousandths), where the hub has no limit of its own.
        MemoryHostMean = "memory.host_mean",
        /// The most of it at a poll.
        MemoryHostPeak = "memory.host_peak",
        /// The most memory at a poll, of the control group's limit (thousandths), where there is one.
        MemoryLimitPeak = "memory.limit_peak",
        /// The mean time of an answer of the API (µs).
        ApiMean = "api.mean",
        /// How long the hub did not answer (µs).
        HubDownTime = "hub.down_time",
        /// How often the hub's process ended.
        HubEnds = "hub.ends",
        /// Failed operations, for a thousand: meta-tool calls and our own API requests.
        ErrorsShare = "errors.share",
        /// Clients that left without their session being cleaned up.
        SessionsLeftOpen = "sessions.left_open",
    }
}

/// What a measure came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measured {
    /// A value and how many samples it stands on.
    Value {
        /// In the measure's unit.
        value: u64,
        /// How many samples.
        samples: u64,
        /// Whether each sample of it is an event that can't be undone by more data: a count rather than a mean.
        counts: bool,
    },
    /// The sources at hand can't show it.
    NotVisible(String),
    /// Nothing happened that it could have been measured on.
    NotExercised(String),
    /// It doesn't apply: the memory limit of a hub that has none.
    NotApplicable(String),
}
