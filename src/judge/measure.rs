//! What can be measured.

use crate::watch::terms;

terms! {
    /// A number that criteria can be set on. The unit is part of its meaning.
    pub enum Measure {
        /// How long servers that should work did not, together (µs).
        ServersDownTime = "servers.down_time",
        /// How often a server that worked ceased to.
        ServersDisconnections = "servers.disconnections",
        /// The longest time from a server's end to its working again, planned or not (µs).
        ServersSlowestRecovery = "servers.slowest_recovery",
        /// How often the number of tools of a working server changed.
        ServersToolChanges = "servers.tool_changes",
        /// Failed Gemini rounds for a thousand calls that asked it.
        GeminiFailedShare = "gemini.failed_share",
        /// Calls whose Gemini part failed and that did not fall back, planned or not.
        GeminiNotFallenBack = "gemini.not_fallen_back",
        /// The mean duration of the Gemini part, of calls without a failed round (µs).
        GeminiMean = "gemini.mean",
        /// Calls that ended in anything but ok or fallback, for a thousand.
        CallsFailedShare = "calls.failed_share",
        /// Responses that lacked a part or named an unknown category, for a thousand that were seen.
        CallsInvalid = "calls.invalid",
        /// Calls whose client could not be told that its tools changed.
        CallsNotificationsFailed = "calls.notifications_failed",
        /// The mean duration of calls without a failed Gemini round (µs).
        CallsMean = "calls.mean",
        /// The duration that 95 of 100 calls keep to, of those whose beginning and end are certain (µs).
        CallsP95 = "calls.p95",
        /// The duration that 99 of 100 calls keep to, of these (µs).
        CallsP99 = "calls.p99",
        /// Times that the log could not be read or written, and whether a stretch of it was lost.
        LogLosses = "log.losses",
        /// Bytes that the log grows by in a day.
        LogGrowthPerDay = "log.growth_per_day",
        /// Lines of level error.
        LogErrors = "log.errors",
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
        /// The most memory at a poll (bytes).
        MemoryPeak = "memory.peak",
        /// By how much memory that leaks grows (bytes an hour); zero where it doesn't leak.
        MemoryLeak = "memory.leak",
        /// By how much memory surely grows (bytes an hour), leak or not; zero where it doesn't.
        MemoryGrowing = "memory.growing",
        /// The mean time of an answer of the API (µs).
        ApiMean = "api.mean",
        /// The time that 95 of 100 answers keep to (µs).
        ApiP95 = "api.p95",
        /// The time that 99 of 100 answers keep to (µs).
        ApiP99 = "api.p99",
        /// The longest answer (µs).
        ApiMax = "api.max",
        /// How long the hub did not answer (µs).
        HubDownTime = "hub.down_time",
        /// How often the hub's process ended.
        HubEnds = "hub.ends",
        /// Failed operations, for a thousand: meta-tool calls and our own API requests.
        ErrorsShare = "errors.share",
        /// Clients that left without their session being cleaned up, planned or not.
        SessionsLeftOpen = "sessions.left_open",
        /// Sessions that showed what belongs to another one, planned or not.
        SessionsNotIsolated = "sessions.not_isolated",
        /// The most MCP clients at a poll.
        ClientsPeak = "clients.peak",
        /// The mean time of an answer of the API under high load (µs).
        LoadApiMean = "load.api_mean",
        /// Requests to the API that failed under high load, for a thousand.
        LoadApiFailedShare = "load.api_failed_share",
        /// Checks of scenario `session_isolation` that did not hold.
        ChecksSessionIsolation = "checks.session_isolation",
        /// Checks of scenario `gemini_failure` that did not hold.
        ChecksGeminiFailure = "checks.gemini_failure",
        /// Checks of scenario `server_crash` that did not hold.
        ChecksServerCrash = "checks.server_crash",
        /// Checks of scenario `sse_disconnect` that did not hold.
        ChecksSseDisconnect = "checks.sse_disconnect",
        /// Checks of scenario `high_load` that did not hold.
        ChecksHighLoad = "checks.high_load",
        /// Degradation criteria that failed.
        DegradationFailed = "degradation.failed",
        /// Degradation criteria that nothing exercised.
        DegradationNotExercised = "degradation.not_exercised",
    }
}

terms! {
    /// What a measure's number counts.
    pub enum Unit {
        /// Microseconds.
        Micros = "µs",
        /// Thousandths of a whole.
        Permille = "permille",
        /// Bytes.
        Bytes = "bytes",
        /// Bytes an hour.
        BytesPerHour = "bytes/h",
        /// Bare numbers.
        Count = "count",
    }
}

impl Measure {
    /// Whether it is seen only where a source shows the lines of meta-tool calls.
    pub const fn is_of_calls(self) -> bool {
        matches!(
            self,
            Self::GeminiFailedShare
                | Self::GeminiNotFallenBack
                | Self::GeminiMean
                | Self::CallsFailedShare
                | Self::CallsInvalid
                | Self::CallsNotificationsFailed
                | Self::CallsMean
                | Self::CallsP95
                | Self::CallsP99
        )
    }

    /// In which unit it is.
    pub const fn unit(self) -> Unit {
        match self {
            Self::ServersDownTime
            | Self::ServersSlowestRecovery
            | Self::GeminiMean
            | Self::CallsMean
            | Self::CallsP95
            | Self::CallsP99
            | Self::ApiMean
            | Self::ApiP95
            | Self::ApiP99
            | Self::ApiMax
            | Self::HubDownTime
            | Self::LoadApiMean => Unit::Micros,
            Self::GeminiFailedShare
            | Self::CallsFailedShare
            | Self::CallsInvalid
            | Self::CpuMean
            | Self::CpuPeak
            | Self::MemoryHostMean
            | Self::MemoryHostPeak
            | Self::MemoryLimitPeak
            | Self::ErrorsShare
            | Self::LoadApiFailedShare => Unit::Permille,
            Self::LogGrowthPerDay | Self::MemoryPeak => Unit::Bytes,
            Self::MemoryLeak | Self::MemoryGrowing => Unit::BytesPerHour,
            _ => Unit::Count,
        }
    }

    /// The scenario whose checks it counts, if it does.
    pub(super) const fn scenario(self) -> Option<&'static str> {
        match self {
            Self::ChecksSessionIsolation => Some("session_isolation"),
            Self::ChecksGeminiFailure => Some("gemini_failure"),
            Self::ChecksServerCrash => Some("server_crash"),
            Self::ChecksSseDisconnect => Some("sse_disconnect"),
            Self::ChecksHighLoad => Some("high_load"),
            _ => None,
        }
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
    /// There is something to measure, but not enough of it.
    TooLittle(String),
    /// It doesn't apply: the memory limit of a hub that has none.
    NotApplicable(String),
}
