//! What can be measured.

use super::exact::Exact;
use super::history::Basis;
use crate::watch::terms;

terms! {
    /// A number that criteria can be set on. The unit is part of its meaning.
    pub enum Measure {
        /// How long servers that should work did not, outside planned windows, all servers together (µs): the sum of their unplanned down
        /// time.
        ServersDownTime = "servers.down_time",
        /// How often a server that should work and did ceased to, outside planned disturbances.
        ServersDisconnections = "servers.disconnections",
        /// The longest time from a server's end to its working again, planned or not (µs). Recoveries that somebody asked for, and
        /// those of unknown cause within 30 s, are left out; an outage that had not ended after 30 s counts with the time that it lasted. Samples: the times that servers were down.
        ServersSlowestRecovery = "servers.slowest_recovery",
        /// How often a server worked again only after somebody had restarted it, planned or not.
        ServersRecoveredByHand = "servers.recovered_by_hand",
        /// How often the number of tools of a server that should work changed while it worked: facts `mcphub.server.tools_changed`
        /// outside planned disturbances whose `from` is above zero, in a Watch whose poll shows the server as up.
        ServersToolChanges = "servers.tool_changes",
        /// Failed Gemini rounds for a thousand calls that asked Gemini: they were seen whole and their `mcphub.call.gemini.outcome` is neither `not_asked` nor `unseen`. Rounds are those of these
        /// calls (`mcphub.call.gemini.failed_rounds`); rounds beyond these that facts `mcphub.gemini.round_failed` tell of belong to calls
        /// that were not seen to end, and count as a round and as a call each. Samples: the calls.
        GeminiFailedShare = "gemini.failed_share",
        /// Calls whose Gemini part failed (`failed`, or `unfinished` after a failed round) and whose outcome is not `fallback`, planned or
        /// not. Samples: the calls whose Gemini part failed.
        GeminiNotFallenBack = "gemini.not_fallen_back",
        /// The mean duration of the Gemini part (µs), over the calls of `calls.mean` that have one.
        GeminiMean = "gemini.mean",
        /// Calls whose outcome is neither `ok` nor `fallback`, for a thousand. Samples: all calls.
        CallsFailedShare = "calls.failed_share",
        /// Calls whose response lacked a part (`mcphub.call.response.complete` is false) or named an unknown category (`mcphub.call.categories.known` is false), for
        /// a thousand calls of which either is known. Samples: the latter.
        CallsInvalid = "calls.invalid",
        /// Calls whose client could not be told that its tools changed (`mcphub.call.notification` is `failed`).
        CallsNotificationsFailed = "calls.notifications_failed",
        /// The mean duration of calls (µs): those that ended as `ok`, `fallback` or `error` without a failed Gemini round and whose duration
        /// is known, guessed pairings included: what retries cost is Gemini's doing.
        CallsMean = "calls.mean",
        /// The duration that 95 of 100 of the calls of `calls.mean` keep to (µs), by nearest rank.
        CallsP95 = "calls.p95",
        /// The duration that 99 of 100 of the calls of `calls.mean` keep to (µs), by nearest rank.
        CallsP99 = "calls.p99",
        /// Times that the log could not be read or written or a part of it was lost: facts `mcphub.log.unreadable` and
        /// `mcphub.log.write_failed`, and Watches that lost bytes of it without such a fact `unreadable`. Samples: Watches at whose end the
        /// log was read.
        LogLosses = "log.losses",
        /// Bytes that the log grows by in a day: the bytes of the time in which the growth is known, by that time, times a day. See "How much
        /// the log grows". Samples: the polls in that time.
        LogGrowthPerDay = "log.growth_per_day",
        /// Lines of level error: the sum of the counts of facts `mcphub.log.lines` of that level. Lines from before the watch make no such
        /// fact.
        LogErrors = "log.errors",
        /// Processor time, of one core (thousandths): all that the process used in the stretches of processor time, by all their time. See
        /// "Stretches of processor time".
        CpuMean = "cpu.mean",
        /// The most processor time that one of the same stretches used, by its time (thousandths of one core).
        CpuPeak = "cpu.peak",
        /// Memory of the host's (thousandths), over the polls at which the process has no limit of its own: the sum of its resident memory by
        /// the sum of the host's memory.
        MemoryHostMean = "memory.host_mean",
        /// The most at one of the same polls (thousandths).
        MemoryHostPeak = "memory.host_peak",
        /// The most memory at a poll, of the control group's limit (thousandths), over the polls at which there is one.
        MemoryLimitPeak = "memory.limit_peak",
        /// The most resident memory at a poll (bytes).
        MemoryPeak = "memory.peak",
        /// By how much memory that leaks grows (bytes an hour); zero where it surely doesn't leak.
        MemoryLeak = "memory.leak",
        /// By how much memory grows at the end (bytes an hour), be it a leak or a cache that fills; zero where it surely doesn't.
        MemoryGrowing = "memory.growing",
        /// The mean time of an answer of the API (µs), over the requests that were answered as a hub answers.
        ApiMean = "api.mean",
        /// The time that 95 of 100 of the same answers keep to (µs), by nearest rank.
        ApiP95 = "api.p95",
        /// The time that 99 of 100 of the same answers keep to (µs), by nearest rank.
        ApiP99 = "api.p99",
        /// The longest of the same answers (µs).
        ApiMax = "api.max",
        /// How long the hub did not answer as a hub answers, or had said that it stops, outside planned windows (µs): its unplanned down
        /// time. Samples: the polls.
        HubDownTime = "hub.down_time",
        /// How often the hub's process ended outside planned disturbances: it said that it stops (facts `mcphub.hub.stopping`, or
        /// `mcphub.hub.stopped` without one before it), or ended without a word (facts `mcphub.hub.exited`). Samples: the polls.
        HubEnds = "hub.ends",
        /// Failed operations, for a thousand: meta-tool calls (failed as in `calls.failed_share`) and our own API requests (failed unless `ok`)
        /// together. Requests made while there was no hub yet are none.
        ErrorsShare = "errors.share",
        /// Clients that left (facts `mcphub.client.disconnected`) without a session being cleaned up (facts `mcphub.session.closed`), planned
        /// or not: the difference of the two, at least zero. Not visible where no session is seen to be opened or closed.
        /// Samples: the clients that left.
        SessionsLeftOpen = "sessions.left_open",
        /// Sessions that showed what belongs to another one, planned or not: facts `mcphub.session.exposure_changed` of a session, while
        /// another one was open, with a category that it neither had nor added; and sessions that began with more categories than the
        /// first one did, while another one was open. Samples: the changes while another session was open.
        SessionsNotIsolated = "sessions.not_isolated",
        /// The most MCP clients at a poll, planned or not.
        ClientsPeak = "clients.peak",
        /// The mean time of an answer of the API under high load (µs), planned or not: at polls with as many clients as `high_load_clients`; a
        /// poll that fails has as many as the one before.
        LoadApiMean = "load.api_mean",
        /// Requests to the API that failed at the same polls, for a thousand.
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
        /// Degradation criteria whose verdict is fail. Samples: those that were exercised.
        DegradationFailed = "degradation.failed",
        /// Degradation criteria that nothing exercised or that can't be seen. Samples: all of them.
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
    /// Whether more data could make it less.
    pub const fn kind(self) -> Kind {
        match self {
            Self::GeminiFailedShare
            | Self::GeminiMean
            | Self::CallsFailedShare
            | Self::CallsInvalid
            | Self::CallsMean
            | Self::CallsP95
            | Self::CallsP99
            | Self::LogGrowthPerDay
            | Self::CpuMean
            | Self::MemoryHostMean
            | Self::ApiMean
            | Self::ApiP95
            | Self::ApiP99
            | Self::ErrorsShare
            | Self::LoadApiMean
            | Self::LoadApiFailedShare => Kind::Estimated,
            Self::ServersDownTime
            | Self::ServersDisconnections
            | Self::ServersSlowestRecovery
            | Self::ServersRecoveredByHand
            | Self::ServersToolChanges
            | Self::GeminiNotFallenBack
            | Self::CallsNotificationsFailed
            | Self::LogLosses
            | Self::LogErrors
            | Self::CpuPeak
            | Self::MemoryHostPeak
            | Self::MemoryLimitPeak
            | Self::MemoryPeak
            | Self::MemoryLeak
            | Self::MemoryGrowing
            | Self::ApiMax
            | Self::HubDownTime
            | Self::HubEnds
            | Self::SessionsLeftOpen
            | Self::SessionsNotIsolated
            | Self::ClientsPeak
            | Self::ChecksSessionIsolation
            | Self::ChecksGeminiFailure
            | Self::ChecksServerCrash
            | Self::ChecksSseDisconnect
            | Self::ChecksHighLoad
            | Self::DegradationFailed
            | Self::DegradationNotExercised => Kind::Happened,
        }
    }

    /// Whether what happens in planned disturbances counts, too.
    pub const fn counts_planned(self) -> bool {
        matches!(
            self,
            Self::ServersSlowestRecovery
                | Self::ServersRecoveredByHand
                | Self::GeminiNotFallenBack
                | Self::SessionsLeftOpen
                | Self::SessionsNotIsolated
                | Self::ClientsPeak
                | Self::LoadApiMean
                | Self::LoadApiFailedShare
                | Self::MemoryLeak
                | Self::MemoryGrowing
                | Self::ChecksSessionIsolation
                | Self::ChecksGeminiFailure
                | Self::ChecksServerCrash
                | Self::ChecksSseDisconnect
                | Self::ChecksHighLoad
                | Self::DegradationFailed
                | Self::DegradationNotExercised
        )
    }

    /// The source that it stands on: a pass needs that to be read for most of the period.
    pub const fn basis(self) -> Basis {
        match self {
            Self::ServersDownTime
            | Self::ServersDisconnections
            | Self::ServersSlowestRecovery
            | Self::ServersRecoveredByHand
            | Self::ServersToolChanges => Basis::Servers,
            Self::GeminiFailedShare
            | Self::GeminiNotFallenBack
            | Self::GeminiMean
            | Self::CallsFailedShare
            | Self::CallsInvalid
            | Self::CallsNotificationsFailed
            | Self::CallsMean
            | Self::CallsP95
            | Self::CallsP99
            | Self::SessionsLeftOpen
            | Self::SessionsNotIsolated => Basis::Calls,
            Self::LogLosses | Self::LogGrowthPerDay => Basis::Log,
            Self::LogErrors => Basis::LogLevels,
            Self::CpuMean
            | Self::CpuPeak
            | Self::MemoryHostMean
            | Self::MemoryHostPeak
            | Self::MemoryLimitPeak
            | Self::MemoryPeak
            | Self::MemoryLeak
            | Self::MemoryGrowing => Basis::Process,
            Self::ApiMean
            | Self::ApiP95
            | Self::ApiP99
            | Self::ApiMax
            | Self::ClientsPeak
            | Self::LoadApiMean
            | Self::LoadApiFailedShare => Basis::Api,
            Self::HubDownTime
            | Self::HubEnds
            | Self::ErrorsShare
            | Self::ChecksSessionIsolation
            | Self::ChecksGeminiFailure
            | Self::ChecksServerCrash
            | Self::ChecksSseDisconnect
            | Self::ChecksHighLoad => Basis::Watch,
            Self::DegradationFailed | Self::DegradationNotExercised => Basis::Criteria,
        }
    }

    /// What it is, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ServersDownTime => "server down time",
            Self::ServersDisconnections => "unexpected server disconnections",
            Self::ServersSlowestRecovery => "slowest server recovery",
            Self::ServersRecoveredByHand => "servers that came back only after a manual restart",
            Self::ServersToolChanges => "tool list changes of connected servers",
            Self::GeminiFailedShare => "failed Gemini rounds per call",
            Self::GeminiNotFallenBack => "calls without a fallback after Gemini failed",
            Self::GeminiMean => "Gemini part of a call, average",
            Self::CallsFailedShare => "failed meta-tool calls",
            Self::CallsInvalid => "invalid meta-tool responses",
            Self::CallsNotificationsFailed => "clients that were not notified of new tools",
            Self::CallsMean => "meta-tool call duration, average",
            Self::CallsP95 => "meta-tool call duration, p95",
            Self::CallsP99 => "meta-tool call duration, p99",
            Self::LogLosses => "log losses and read or write failures",
            Self::LogGrowthPerDay => "log growth per day",
            Self::LogErrors => "error lines in the log",
            Self::CpuMean => "CPU usage of one core, average",
            Self::CpuPeak => "CPU usage of one core, peak",
            Self::MemoryHostMean => "share of host RAM, average",
            Self::MemoryHostPeak => "share of host RAM, peak",
            Self::MemoryLimitPeak => "share of the container's memory limit, peak",
            Self::MemoryPeak => "memory usage, peak",
            Self::MemoryLeak => "memory leak",
            Self::MemoryGrowing => "memory growth",
            Self::ApiMean => "API response time, average",
            Self::ApiP95 => "API response time, p95",
            Self::ApiP99 => "API response time, p99",
            Self::ApiMax => "slowest API response",
            Self::HubDownTime => "hub down time",
            Self::HubEnds => "stops of the hub process",
            Self::ErrorsShare => "failed operations",
            Self::SessionsLeftOpen => "sessions left open by clients that disconnected",
            Self::SessionsNotIsolated => "sessions that showed another session's tools",
            Self::ClientsPeak => "MCP clients at once",
            Self::LoadApiMean => "API response time under high load, average",
            Self::LoadApiFailedShare => "failed API requests under high load",
            Self::ChecksSessionIsolation => "failed checks of scenario session_isolation",
            Self::ChecksGeminiFailure => "failed checks of scenario gemini_failure",
            Self::ChecksServerCrash => "failed checks of scenario server_crash",
            Self::ChecksSseDisconnect => "failed checks of scenario sse_disconnect",
            Self::ChecksHighLoad => "failed checks of scenario high_load",
            Self::DegradationFailed => "failed resilience scenarios",
            Self::DegradationNotExercised => "resilience scenarios that were not tested",
        }
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
            Self::ServersDisconnections
            | Self::ServersRecoveredByHand
            | Self::ServersToolChanges
            | Self::GeminiNotFallenBack
            | Self::CallsNotificationsFailed
            | Self::LogLosses
            | Self::LogErrors
            | Self::HubEnds
            | Self::SessionsLeftOpen
            | Self::SessionsNotIsolated
            | Self::ClientsPeak
            | Self::ChecksSessionIsolation
            | Self::ChecksGeminiFailure
            | Self::ChecksServerCrash
            | Self::ChecksSseDisconnect
            | Self::ChecksHighLoad
            | Self::DegradationFailed
            | Self::DegradationNotExercised => Unit::Count,
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
            Self::ServersDownTime
            | Self::ServersDisconnections
            | Self::ServersSlowestRecovery
            | Self::ServersRecoveredByHand
            | Self::ServersToolChanges
            | Self::GeminiFailedShare
            | Self::GeminiNotFallenBack
            | Self::GeminiMean
            | Self::CallsFailedShare
            | Self::CallsInvalid
            | Self::CallsNotificationsFailed
            | Self::CallsMean
            | Self::CallsP95
            | Self::CallsP99
            | Self::LogLosses
            | Self::LogGrowthPerDay
            | Self::LogErrors
            | Self::CpuMean
            | Self::CpuPeak
            | Self::MemoryHostMean
            | Self::MemoryHostPeak
            | Self::MemoryLimitPeak
            | Self::MemoryPeak
            | Self::MemoryLeak
            | Self::MemoryGrowing
            | Self::ApiMean
            | Self::ApiP95
            | Self::ApiP99
            | Self::ApiMax
            | Self::HubDownTime
            | Self::HubEnds
            | Self::ErrorsShare
            | Self::SessionsLeftOpen
            | Self::SessionsNotIsolated
            | Self::ClientsPeak
            | Self::LoadApiMean
            | Self::LoadApiFailedShare
            | Self::DegradationFailed
            | Self::DegradationNotExercised => None,
        }
    }
}

/// Whether more data could make a value less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A count, a sum or the most of something: it has happened, however little else is known.
    Happened,
    /// A mean, a share, a percentile or a rate: what was not seen could have made it less.
    Estimated,
}

/// What a measure came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measured {
    /// A value and how many samples it stands on.
    Value {
        /// In the measure's unit, not rounded.
        value: Exact,
        /// How many samples.
        samples: u64,
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
