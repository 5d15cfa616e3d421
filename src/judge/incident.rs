//! Incidents: events that need attention, each with its start, end, cause, effect and evidence. [`detect`](super::detect) finds them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::watch::{FactId, TraceId, terms};

/// Limit of the evidence that is kept; `count` has the full number.
pub const MAX_EVIDENCE: usize = 20;

terms! {
    /// How bad an incident is.
    pub enum Gravity {
        /// Something that must work did not.
        Critical = "critical",
        /// Something worked worse than it should, or could not be observed.
        Warning = "warning",
        /// Worth knowing.
        Notice = "notice",
    }
}

terms! {
    /// What kind of incident it is. The criteria file has the thresholds of those that have one.
    pub enum IncidentKind {
        /// The hub stopped, died or did not answer.
        HubDown = "hub_down",
        /// The watch began before there was a hub.
        HubAwaited = "hub_awaited",
        /// The hub answered unexpectedly.
        ApiFailing = "api_failing",
        /// The API took too long to answer.
        ApiSlow = "api_slow",
        /// A server that worked went down.
        ServerDown = "server_down",
        /// A server never worked.
        ServerNeverUp = "server_never_up",
        /// A server went down and came back repeatedly.
        ServerFlapping = "server_flapping",
        /// The hub repeatedly tried to connect to a server.
        ServerReconnecting = "server_reconnecting",
        /// A server that works lost all its tools.
        ToolsLost = "tools_lost",
        /// The number of tools of a server that works changed.
        ToolsChanged = "tools_changed",
        /// Meta-tool calls took too long.
        CallsSlow = "calls_slow",
        /// Meta-tool calls ended in errors.
        CallsFailing = "calls_failing",
        /// Clients were not notified of their changed tools.
        NotificationsFailing = "notifications_failing",
        /// Gemini failed repeatedly.
        GeminiFailing = "gemini_failing",
        /// The hub stopped asking the LLM.
        BreakerOpen = "breaker_open",
        /// Many errors within minutes.
        ErrorSpike = "error_spike",
        /// Many errors within an hour.
        ErrorRate = "error_rate",
        /// More clients than usual.
        ClientsUnusual = "clients_unusual",
        /// Far more clients than usual.
        ClientsExcessive = "clients_excessive",
        /// The processor was busy for long.
        CpuHigh = "cpu_high",
        /// Much of the host's memory is used.
        MemoryHigh = "memory_high",
        /// Much of the memory limit is used.
        MemoryNearLimit = "memory_near_limit",
        /// Memory grows fast.
        MemoryGrowth = "memory_growth",
        /// The log grows fast.
        LogGrowth = "log_growth",
        /// The log repeats a line many times.
        LogStorm = "log_storm",
        /// The log repeats a line because of a known defect of the hub.
        LogStormKnown = "log_storm_known",
        /// The hub could not write its log.
        LogWriteFailed = "log_write_failed",
        /// The log could not be read.
        LogUnreadable = "log_unreadable",
        /// The log's file system is nearly full.
        DiskLow = "disk_low",
        /// hubwatch was not watching.
        WatchGap = "watch_gap",
        /// The host's clock jumped.
        ClockJumped = "clock_jumped",
        /// The build changed.
        BuildChanged = "build_changed",
    }
}

impl IncidentKind {
    /// Returns how bad an incident is, unless the rules say otherwise. The strategy calls critical: a server that disconnects, a tool list
    /// that becomes empty, a full disk, many errors within minutes.
    pub const fn severity(self) -> Gravity {
        match self {
            Self::HubDown
            | Self::ServerDown
            | Self::ServerNeverUp
            | Self::ServerFlapping
            | Self::ToolsLost
            | Self::ErrorSpike
            | Self::MemoryNearLimit
            | Self::LogWriteFailed
            | Self::DiskLow => Gravity::Critical,
            Self::ApiFailing
            | Self::ApiSlow
            | Self::ServerReconnecting
            | Self::ToolsChanged
            | Self::CallsSlow
            | Self::CallsFailing
            | Self::NotificationsFailing
            | Self::GeminiFailing
            | Self::BreakerOpen
            | Self::ErrorRate
            | Self::ClientsExcessive
            | Self::CpuHigh
            | Self::MemoryHigh
            | Self::MemoryGrowth
            | Self::LogGrowth
            | Self::LogStorm
            | Self::LogUnreadable
            | Self::WatchGap
            | Self::BuildChanged => Gravity::Warning,
            Self::HubAwaited | Self::ClientsUnusual | Self::LogStormKnown | Self::ClockJumped => Gravity::Notice,
        }
    }

    /// Returns what to do about an incident.
    pub const fn next_step(self) -> &'static str {
        match self {
            Self::HubDown => "check the hub's process and the end of its log, then start it",
            Self::HubAwaited => "start the hub, or check the address that hubwatch watches",
            Self::ApiFailing => "look for failed requests in the hub's log",
            Self::ApiSlow => "check the hub's CPU usage and what blocks its event loop",
            Self::ServerDown => "restart the server (stop it, then start it)",
            Self::ServerNeverUp => "check the server's command, its credentials and its last error",
            Self::ServerFlapping | Self::ServerReconnecting => "check the server's own log and its connection",
            Self::ToolsLost => "restart the server and check its tool list",
            Self::ToolsChanged => "check that the server's version is the expected one",
            Self::CallsSlow => "open the call's trace and check Gemini's response times",
            Self::CallsFailing => "open the call's trace and read its error",
            Self::NotificationsFailing => "reconnect the clients",
            Self::GeminiFailing => "check Gemini's quota, the API key and the network",
            Self::BreakerOpen => "check why Gemini requests fail",
            Self::ErrorSpike | Self::ErrorRate => "read the errors in the hub's log",
            Self::ClientsUnusual | Self::ClientsExcessive => "check which clients are connected",
            Self::CpuHigh => "check the load and profile the hub",
            Self::MemoryHigh | Self::MemoryNearLimit => "raise the memory limit or restart the hub",
            Self::MemoryGrowth => "compare heap snapshots of the hub",
            Self::LogGrowth => "lower the log level or rotate the log",
            Self::LogStorm => "find out why the line repeats",
            Self::LogStormKnown => "nothing: rotate the log if it gets too large",
            Self::LogWriteFailed => "check free space and permissions of the log's folder",
            Self::LogUnreadable => "check the path and permissions of the log file",
            Self::DiskLow => "free space on the log's disk",
            Self::WatchGap => "check that hubwatch runs and is not suspended",
            Self::ClockJumped => "check the time synchronization of the host",
            Self::BuildChanged => "report on each build separately (--from and --to)",
        }
    }

    /// Maps kinds that mean the same trouble: a server that is down since before the judged time looks as if it had never been up.
    pub const fn trouble(self) -> Self {
        match self {
            Self::ServerNeverUp => Self::ServerDown,
            Self::HubAwaited => Self::HubDown,
            Self::HubDown
            | Self::ApiFailing
            | Self::ApiSlow
            | Self::ServerDown
            | Self::ServerFlapping
            | Self::ServerReconnecting
            | Self::ToolsLost
            | Self::ToolsChanged
            | Self::CallsSlow
            | Self::CallsFailing
            | Self::NotificationsFailing
            | Self::GeminiFailing
            | Self::BreakerOpen
            | Self::ErrorSpike
            | Self::ErrorRate
            | Self::ClientsUnusual
            | Self::ClientsExcessive
            | Self::CpuHigh
            | Self::MemoryHigh
            | Self::MemoryNearLimit
            | Self::MemoryGrowth
            | Self::LogGrowth
            | Self::LogStorm
            | Self::LogStormKnown
            | Self::LogWriteFailed
            | Self::LogUnreadable
            | Self::DiskLow
            | Self::WatchGap
            | Self::ClockJumped
            | Self::BuildChanged => self,
        }
    }

    /// Whether it is an outage of the hub or of a server, whose times are those of that one's history.
    pub(super) const fn is_an_outage(self) -> bool {
        matches!(self.trouble(), Self::HubDown | Self::ServerDown)
    }
}

/// What shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A fact of a Watch.
    Fact(#[schemars(with = "String")] FactId),
    /// The trace of a call.
    Trace(#[schemars(with = "String")] TraceId),
}

/// An event that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Kind, start and subject: the same wherever the same Watches are judged.
    pub id: String,
    /// What kind.
    pub kind: IncidentKind,
    /// How bad.
    pub severity: Gravity,
    /// What it is about: a server's name or a log line. Empty where the kind is enough.
    pub subject: String,
    /// When it began.
    pub start: Moment,
    /// When it ended; `None` while it lasts.
    pub end: Option<Moment>,
    /// What happened.
    pub title: String,
    /// The cause, if known.
    pub cause: Option<String>,
    /// The effect.
    pub effect: String,
    /// How often its event happened.
    pub count: u64,
    /// The evidence, at most [`MAX_EVIDENCE`].
    pub evidence: Vec<Evidence>,
    /// The planned disturbance that it was part of.
    pub planned: Option<String>,
}
