//! The scenarios there are: what each does, which steps it has, and what must be allowed for it.

use std::fmt;

use clap::ValueEnum;

use super::acts;

/// A step as it stands in the plan: its number and what should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSpec {
    /// Its number within the scenario.
    pub id: &'static str,
    /// What should hold.
    pub holds: &'static str,
}

/// Makes the list of a scenario's steps.
macro_rules! steps {
    ($($id:literal $holds:literal,)+) => { &[$($crate::scenario::plan::StepSpec { id: $id, holds: $holds }),+] };
}
pub(super) use steps;

/// The step that ends every scenario.
pub const UNHARMED: StepSpec =
    StepSpec { id: "after", holds: "The hub is unharmed: the same process, its port answers, its servers are as before" };

/// What a user must allow, because it may harm a hub or those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Allow {
    /// Kill a server's process, and put it back
    ServerCrash,
    /// Have the hub's instrumentation answer in Gemini's place
    Gemini,
    /// Do what is known to stop hubs
    HubStop,
    /// Act on a hub that Bun runs, which may stop when a client leaves
    Bun,
    /// Act on a hub that other MCP clients use
    ForeignClients,
    /// Act on a hub whose environment is production
    Production,
}

impl Allow {
    /// The word of `--allow`.
    pub fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word())
    }
}

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Test case 1 of the strategy.
    SessionIsolation,
    /// Test case 2.
    SessionCleanup,
    /// Test case 3.
    ConcurrentSessions,
    /// One call of the meta-tool.
    MetaTool,
    /// Listing and calling tools.
    ToolsUsable,
    /// Many clients at once.
    HighLoad,
    /// A client whose connection breaks.
    SseLost,
    /// What the log costs.
    LogGrowth,
    /// A server's process is killed.
    ServerCrash,
    /// Gemini answers 429.
    GeminiFailure,
    /// A client that vanishes without a word.
    HalfOpen,
    /// A client that leaves during its call.
    MidCallLeave,
    /// The log's disk is full.
    LogDiskFull,
    /// One client for a long time.
    Soak,
}

impl Scenario {
    /// All of them, in the order in which `run all` plays those that it plays.
    pub const ALL: [Self; 14] = [
        Self::MetaTool,
        Self::ToolsUsable,
        Self::SessionIsolation,
        Self::SessionCleanup,
        Self::ConcurrentSessions,
        Self::SseLost,
        Self::HighLoad,
        Self::LogGrowth,
        Self::ServerCrash,
        Self::GeminiFailure,
        Self::HalfOpen,
        Self::MidCallLeave,
        Self::LogDiskFull,
        Self::Soak,
    ];

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SessionIsolation => "session_isolation",
            Self::SessionCleanup => "session_cleanup",
            Self::ConcurrentSessions => "concurrent_sessions",
            Self::MetaTool => "meta_tool",
            Self::ToolsUsable => "tools_usable",
            Self::HighLoad => "high_load",
            Self::SseLost => "sse_lost",
            Self::LogGrowth => "log_growth",
            Self::ServerCrash => "server_crash",
            Self::GeminiFailure => "gemini_failure",
            Self::HalfOpen => "half_open",
            Self::MidCallLeave => "mid_call_leave",
            Self::LogDiskFull => "log_disk_full",
            Self::Soak => "soak",
        }
    }

    /// The scenario of this name.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.word() == word)
    }

    /// What it does, in one sentence.
    pub const fn does(self) -> &'static str {
        match self {
            Self::SessionIsolation => "Two clients choose different tools; each must have its own only (test case 1)",
            Self::SessionCleanup => {
                "A client chooses tools, leaves and comes back; nothing of its session must be left (test case 2)"
            }
            Self::ConcurrentSessions => {
                "Three clients choose tools at once, one of them twice; none may change another's (test case 3)"
            }
            Self::MetaTool => "One client calls the meta-tool: time, answer, notification, and the error for an empty prompt",
            Self::ToolsUsable => "One client lists the tools and calls a read-only one of each server",
            Self::HighLoad => "Ten clients at once (--clients) call, while the API is asked all the time",
            Self::SseLost => "An idle client's connection is cut by FIN, then by RST, while another one looks on",
            Self::LogGrowth => "Measures the log's growth by API request, session, call and disconnect, and what that is in a day",
            Self::ServerCrash => "Kills the process of a stdio server, watches for 30 s, and puts the server back",
            Self::GeminiFailure => {
                "Has the hub's instrumentation answer 429 in Gemini's place, and watches the fallback and the recovery"
            }
            Self::HalfOpen => "A client vanishes without closing its connection: known to be left in the hub's list for ever",
            Self::MidCallLeave => "A client leaves during its meta-tool call: known to stop the fork of the hub",
            Self::LogDiskFull => "Fills the disk of the hub's log, watches, and frees it again: known to stop hubs",
            Self::Soak => {
                "One client calls the meta-tool and a read-only tool every --every for --for: traffic for a staging without any"
            }
        }
    }

    /// Its steps, in order. [`UNHARMED`] comes after them.
    pub const fn steps(self) -> &'static [StepSpec] {
        match self {
            Self::SessionIsolation => acts::session_isolation::STEPS,
            Self::SessionCleanup => acts::session_cleanup::STEPS,
            Self::ConcurrentSessions => acts::concurrent_sessions::STEPS,
            Self::MetaTool => acts::meta_tool::STEPS,
            Self::ToolsUsable => acts::tools_usable::STEPS,
            Self::HighLoad => acts::high_load::STEPS,
            Self::SseLost => acts::sse_lost::STEPS,
            Self::LogGrowth => acts::log_growth::STEPS,
            Self::ServerCrash => acts::server_crash::STEPS,
            Self::GeminiFailure => acts::gemini_failure::STEPS,
            Self::HalfOpen => acts::half_open::STEPS,
            Self::MidCallLeave => acts::mid_call_leave::STEPS,
            Self::LogDiskFull => acts::log_disk_full::STEPS,
            Self::Soak => acts::soak::STEPS,
        }
    }

    /// What must be allowed for it.
    pub const fn needs(self) -> Option<Allow> {
        match self {
            Self::ServerCrash => Some(Allow::ServerCrash),
            Self::GeminiFailure => Some(Allow::Gemini),
            Self::HalfOpen | Self::MidCallLeave | Self::LogDiskFull => Some(Allow::HubStop),
            Self::SessionIsolation
            | Self::SessionCleanup
            | Self::ConcurrentSessions
            | Self::MetaTool
            | Self::ToolsUsable
            | Self::HighLoad
            | Self::SseLost
            | Self::LogGrowth
            | Self::Soak => None,
        }
    }

    /// Whether `run all` plays it, once what it needs is allowed.
    pub const fn is_in_all(self) -> bool {
        !matches!(self, Self::HalfOpen | Self::MidCallLeave | Self::LogDiskFull | Self::Soak)
    }

    /// Whether it acts as an MCP client.
    pub const fn has_clients(self) -> bool {
        !matches!(self, Self::LogDiskFull)
    }

    /// Whether its time is announced as planned. `soak` is no disturbance: it is the traffic on which a build is judged.
    pub const fn is_planned(self) -> bool {
        !matches!(self, Self::Soak)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_found_by_its_name_and_has_steps_with_names_of_their_own() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::of_word(scenario.word()), Some(scenario));
            let ids: std::collections::BTreeSet<&str> = scenario.steps().iter().map(|step| step.id).collect();
            assert!(!ids.is_empty() && ids.len() == scenario.steps().len() && !ids.contains(UNHARMED.id), "{scenario}");
        }
    }

    #[test]
    fn what_hurts_hubs_is_never_in_all() {
        for scenario in Scenario::ALL {
            assert!(!(scenario.is_in_all() && scenario.needs() == Some(Allow::HubStop)), "{scenario}");
        }
    }
}
