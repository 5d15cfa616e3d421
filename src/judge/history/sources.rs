//! For how long each source was read: what a measure can vouch for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LogHistory;
use crate::judge::exact::Exact;
use crate::watch::{ApiOutcome, Micros, Visibility, Watch, terms};

terms! {
    /// The source that a measure stands on.
    pub enum Basis {
        /// The watch itself.
        Watch = "watch",
        /// The hub's API: polls whose `GET /api/health` was answered as a hub answers.
        Api = "api",
        /// The hub's list of servers: polls whose `GET /api/servers` was answered as a hub answers.
        Servers = "servers",
        /// The hub's process: polls that saw it.
        Process = "process",
        /// The log's text.
        Log = "log",
        /// The levels of the log's lines.
        LogLevels = "log_levels",
        /// A source that shows the lines of meta-tool calls and sessions.
        Calls = "calls",
        /// Instrumentation in the hub's process.
        Instrumentation = "instrumentation",
        /// Other criteria: nothing of its own is watched.
        Criteria = "criteria",
    }
}

impl Basis {
    /// What is read, as the beginning of a sentence.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Watch => "the hub was watched",
            Self::Api => "the hub's API answered",
            Self::Servers => "the hub listed its servers",
            Self::Process => "the hub's process was seen",
            Self::Log => "the hub's log was read",
            Self::LogLevels => "the levels of the hub's log lines were visible",
            Self::Calls => "meta-tool calls were visible",
            Self::Instrumentation => "instrumentation of the hub could be read",
            Self::Criteria => "criteria were judged",
        }
    }

    /// What to do to have more of it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Watch | Self::Criteria => "keep hubwatch running for the whole period",
            Self::Api | Self::Servers => "find out why the hub did not answer, and keep hubwatch running for the whole period",
            Self::Process => "run hubwatch where it sees the hub's process (--pid, or its control group) for the whole period",
            Self::Log => "let hubwatch read the hub's log (--log) for the whole period",
            Self::LogLevels => "read the hub's standard output, or let the event stream be joined for the whole period",
            Self::Instrumentation => {
                "start the hub with its instrumentation (`hubwatch instrument node`), and `hubwatch run` with --receive, for the whole period"
            }
            Self::Calls => {
                "start the hub with ENABLE_PINO_LOGGER=true, read its standard output, or let the event stream be joined for the \
                 whole period"
            }
        }
    }
}

/// For how long each source was read, in the period, planned disturbances left out. Where a source is read by polls, a poll speaks for
/// the watched time since the poll before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceTime {
    /// Time whose poll was answered: `GET /api/health` was `ok`.
    pub api_us: u64,
    /// Time whose poll brought the list of servers: `GET /api/servers` was `ok`.
    pub servers_us: u64,
    /// Time whose poll saw the hub's process.
    pub process_us: u64,
    /// Watched time whose log was read to its end, then or by a later Watch without a break in between.
    pub log_us: u64,
    /// Time of Watches in which lines with levels were read: the log was read (`read`) and is not the plain file, or the event stream was.
    pub log_levels_us: u64,
    /// Time of Watches whose sources showed the lines of meta-tool calls, or in which instrumentation told of itself. Time before that was
    /// known is what it turned out to be.
    pub calls_us: u64,
    /// Time of Watches in which instrumentation in the hub's process told of itself (`mcphub.source.instrumentation` is `read` or `partial`).
    #[serde(default)]
    pub instrumentation_us: u64,
    /// Watched time in planned disturbances. What happens in them is left out, so that no source lacks it: it counts as read for each.
    pub planned_us: u64,
}

impl SourceTime {
    /// In which share of the period a source was read, in thousandths; nothing of no period.
    pub fn coverage(&self, basis: Basis, covered_us: u64, period_us: u64) -> Exact {
        let read = match basis {
            Basis::Watch => covered_us,
            Basis::Criteria => period_us,
            Basis::Api => self.api_us.saturating_add(self.planned_us),
            Basis::Servers => self.servers_us.saturating_add(self.planned_us),
            Basis::Process => self.process_us.saturating_add(self.planned_us),
            Basis::Log => self.log_us.saturating_add(self.planned_us),
            Basis::LogLevels => self.log_levels_us.saturating_add(self.planned_us),
            Basis::Calls => self.calls_us.saturating_add(self.planned_us),
            Basis::Instrumentation => self.instrumentation_us.saturating_add(self.planned_us),
        };
        let whole = Exact::whole(1_000);
        Exact::permille(read, period_us).unwrap_or(Exact::ZERO).min(whole)
    }
}

/// Adds up the time of each source, Watch by Watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SourceClock {
    time: SourceTime,
    /// Watched time since the last poll.
    since_poll: u64,
    /// Watched time in which it is not known yet whether calls can be seen.
    calls_unknown: u64,
}

impl SourceClock {
    /// Takes a Watch in, of which so much lies in the period, and so much of that in planned disturbances.
    pub(super) fn take(&mut self, watch: &Watch, length: Micros, planned: Micros) {
        let length = length.get().saturating_sub(planned.get());
        add(&mut self.time.planned_us, planned.get());
        self.since_poll = self.since_poll.saturating_add(length);
        let is_instrumented = matches!(watch.sources.instrumentation, Some(Visibility::Read | Visibility::Partial));
        match watch.sources.checkpoints {
            // Spans show calls, too.
            None | Some(false) if is_instrumented => {
                add(&mut self.time.calls_us, std::mem::take(&mut self.calls_unknown).saturating_add(length));
            }
            None if matches!(watch.sources.log, Visibility::Missing | Visibility::Off) => self.calls_unknown = 0,
            None => self.calls_unknown = self.calls_unknown.saturating_add(length),
            Some(true) => add(&mut self.time.calls_us, std::mem::take(&mut self.calls_unknown).saturating_add(length)),
            Some(false) => self.calls_unknown = 0,
        }
        if is_instrumented {
            add(&mut self.time.instrumentation_us, length);
        }
        let Some(poll) = &watch.poll else { return };
        let polled = std::mem::take(&mut self.since_poll);
        let sees = [
            (&mut self.time.api_us, poll.api.health == ApiOutcome::Ok),
            (&mut self.time.servers_us, poll.api.servers == Some(ApiOutcome::Ok)),
            (&mut self.time.process_us, poll.process.is_some()),
        ];
        for (time, _) in sees.into_iter().filter(|(_, sees)| *sees) {
            add(time, polled);
        }
    }

    /// What it comes to; no source was read for longer than was watched.
    pub(super) fn finish(&self, log: &LogHistory, covered_us: u64) -> SourceTime {
        let SourceTime { api_us, servers_us, process_us, calls_us, instrumentation_us, planned_us, .. } = self.time;
        let all = [api_us, servers_us, process_us, log.read_us, log.judged.levels_us, calls_us, instrumentation_us];
        let planned_us = planned_us.min(covered_us);
        let [api_us, servers_us, process_us, log_us, log_levels_us, calls_us, instrumentation_us] =
            all.map(|time| time.min(covered_us - planned_us));
        SourceTime { api_us, servers_us, process_us, log_us, log_levels_us, calls_us, instrumentation_us, planned_us }
    }
}

fn add(to: &mut u64, more: u64) {
    *to = to.saturating_add(more);
}
