//! Incidents: what somebody should look at, with its start, end, cause, effect and evidence. [`detect`](super::detect) finds them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::watch::{FactId, TraceId, terms};

/// More evidence than this nobody looks through; the count says how much there is.
pub const MAX_EVIDENCE: usize = 20;

terms! {
    /// How bad an incident is.
    pub enum Gravity {
        /// Something that must work did not.
        Critical = "critical",
        /// Something worked worse than it should, or we could not see.
        Warning = "warning",
        /// Worth knowing.
        Notice = "notice",
    }
}

terms! {
    /// What kind of incident it is. Each has its entry among the alerts of the criteria file.
    pub enum IncidentKind {
        /// The hub stopped, died or did not answer.
        HubDown = "hub_down",
        /// The watch began before there was a hub.
        HubAwaited = "hub_awaited",
        /// The hub answered, but not as a hub does.
        ApiFailing = "api_failing",
        /// The API took too long to answer.
        ApiSlow = "api_slow",
        /// A server that worked ceased to.
        ServerDown = "server_down",
        /// A server never worked.
        ServerNeverUp = "server_never_up",
        /// A server went down and came back again and again.
        ServerFlapping = "server_flapping",
        /// The hub tried again and again to connect to a server.
        ServerReconnecting = "server_reconnecting",
        /// A server that works offers no tools any more.
        ToolsLost = "tools_lost",
        /// A server that works offers another number of tools.
        ToolsChanged = "tools_changed",
        /// Meta-tool calls took too long.
        CallsSlow = "calls_slow",
        /// Meta-tool calls ended in errors.
        CallsFailing = "calls_failing",
        /// Clients could not be told that their tools changed.
        NotificationsFailing = "notifications_failing",
        /// Gemini failed again and again.
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
        /// The log repeats a line again and again.
        LogStorm = "log_storm",
        /// The log repeats a line because of a known defect of the hub.
        LogStormKnown = "log_storm_known",
        /// The hub could not write its log.
        LogWriteFailed = "log_write_failed",
        /// The log could not be read.
        LogUnreadable = "log_unreadable",
        /// The log's file system is nearly full.
        DiskLow = "disk_low",
        /// Nobody watched.
        WatchGap = "watch_gap",
        /// The host's clock jumped.
        ClockJumped = "clock_jumped",
        /// Another build runs than before.
        BuildChanged = "build_changed",
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

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// The same whenever and wherever the same Watches are judged: kind, subject and start.
    pub id: String,
    /// What kind.
    pub kind: IncidentKind,
    /// How bad.
    pub severity: Gravity,
    /// What it is about: a server's name, a line of the log. Empty where the kind says all.
    pub subject: String,
    /// When it began.
    pub start: Moment,
    /// When it ended; `None` while it goes on.
    pub end: Option<Moment>,
    /// What happened.
    pub title: String,
    /// Why, where it is known.
    pub cause: Option<String>,
    /// What it did.
    pub effect: String,
    /// How often what it is made of happened.
    pub count: u64,
    /// What shows it, at most [`MAX_EVIDENCE`].
    pub evidence: Vec<Evidence>,
    /// The planned disturbance that it was part of.
    pub planned: Option<String>,
}
