//! What happened over a period, put together from its Watches one by one. Pure; feeding a period at once or piece by piece gives
//! the same. One file for each thing that is told about.

mod api;
mod calls;
mod clients;
mod coverage;
mod hub;
mod log;
mod process;
mod servers;
mod sidecar;
mod timeline;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::leak::{LeakWatch, MemoryTrend};
use super::moment::Moment;
use super::planned::Plans;
use super::rules::Rules;
use super::series::Recorder;
use crate::watch::{Fact, FactKind, Poll, Timestamp, Watch};

pub(super) use api::requests;
pub use api::{ApiHistory, LoadHistory};
pub(super) use calls::has_failed;
pub use calls::{CallHistory, FailedRound, KeptCall};
pub use clients::ClientHistory;
pub(super) use coverage::{Admission, Gap};
pub use coverage::{Coverage, GAP};
pub use hub::{HubHistory, HubStop};
pub use log::{LogHistory, NotableLine, StormHistory};
pub use process::{ProcessHistory, WARM_UP};
pub use servers::{ServerHistory, Servers};
pub use sidecar::{LostState, RecoveredJournal, SidecarHistory, WorstLag};
pub use timeline::{LivenessStretch, MAX_STRETCHES, Timeline};

/// The name of the planned disturbance that something belongs to.
pub type Planned<'a> = Option<&'a str>;

/// A stretch of time, in the report's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stretch {
    /// From when.
    pub from: Moment,
    /// To when; `None` where it went on beyond the period.
    pub to: Option<Moment>,
    /// What it was, or why.
    pub reason: String,
    /// How long, up to the period's end.
    pub duration_us: u64,
    /// The planned disturbance that it was part of.
    pub planned: Option<String>,
}

impl Stretch {
    fn open(from: Moment, reason: &str, planned: Planned<'_>) -> Self {
        Self { from, to: None, reason: reason.to_owned(), duration_us: 0, planned: planned.map(str::to_owned) }
    }

    fn end(&mut self, at: Moment) {
        self.to = Some(at);
        self.duration_us = at.0.since(self.from.0).get();
    }

    /// What is still open has lasted until the period's end.
    fn lasts_until(&mut self, end: Timestamp) {
        if self.to.is_none() {
            self.duration_us = end.since(self.from.0).get();
        }
    }
}

/// What a scenario checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioHistory {
    /// Checks that held.
    pub held: u64,
    /// Checks that did not, and what was seen instead.
    pub failed: Vec<String>,
}

/// The period, put together.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    from: Timestamp,
    /// Coverage.
    pub coverage: Coverage,
    /// Servers by name.
    pub servers: Servers,
    /// The hub.
    pub hub: HubHistory,
    /// Clients.
    pub clients: ClientHistory,
    /// Calls.
    pub calls: CallHistory,
    /// The process.
    pub process: ProcessHistory,
    /// The log.
    pub log: LogHistory,
    /// The API.
    pub api: ApiHistory,
    /// The sidecar itself.
    pub sidecar: SidecarHistory,
    /// What scenarios checked, by their name.
    pub scenarios: BTreeMap<String, ScenarioHistory>,
    /// Clock jumps.
    pub clock_jumps: Vec<(Moment, i64)>,
    /// What the memory of the hub's process did.
    pub memory_trend: Option<MemoryTrend>,
    pub(super) recorder: Recorder,
    latest_cpu: Option<u64>,
    memory: LeakWatch,
}

impl History {
    /// Nothing taken in yet.
    pub(super) fn new(from: Timestamp) -> Self {
        Self {
            from,
            coverage: Coverage::default(),
            servers: Servers::default(),
            hub: HubHistory::default(),
            clients: ClientHistory::default(),
            calls: CallHistory::default(),
            process: ProcessHistory::default(),
            log: LogHistory::default(),
            api: ApiHistory::default(),
            sidecar: SidecarHistory::default(),
            scenarios: BTreeMap::new(),
            clock_jumps: Vec::new(),
            recorder: Recorder::default(),
            memory_trend: None,
            latest_cpu: None,
            memory: LeakWatch::default(),
        }
    }

    /// Whether a fact lies in the period: a log that is read from its beginning tells of times before it, too.
    pub(super) fn holds(&self, fact: &Fact) -> bool {
        fact.when.latest() >= self.from
    }

    /// Adds an admitted Watch.
    pub(super) fn take(&mut self, watch: &Watch, gap: Option<Gap>, plans: &Plans, rules: &Rules) {
        let end = watch.interval.end();
        let planned = plans.at(end);
        if let Some(gap) = gap {
            self.servers.unseen(gap.from);
            self.hub.timeline.unseen(gap.from);
        }
        self.coverage.take(watch, planned.is_some());
        self.log.volume(watch);
        self.sidecar.take(watch);
        self.recorder.watch(watch);
        for fact in &watch.facts {
            if self.holds(fact) {
                self.fact(fact, watch, plans.at(fact.when.latest()));
            }
        }
        if let Some(poll) = &watch.poll {
            self.poll(poll, end, planned, rules);
        }
    }

    fn fact(&mut self, fact: &Fact, watch: &Watch, planned: Planned<'_>) {
        let at = Moment(fact.when.latest());
        // The poll of this Watch is counted already, so `answered` looks behind it.
        let this = watch.poll.as_ref().is_some_and(|poll| poll.api.health == crate::watch::ApiOutcome::Ok);
        let answered = self.coverage.polls_answered > u64::from(this);
        self.hub.fact(&fact.kind, at, planned, answered);
        self.clients.fact(&fact.kind);
        self.log.fact(&fact.kind);
        self.sidecar.fact(&fact.kind, at);
        match &fact.kind {
            FactKind::ServerChanged(change) => self.servers.changed(change, at, planned),
            FactKind::ServerStartFailed(failed) => {
                self.servers.get(failed.server.as_str()).last_error = Some(failed.error.to_string());
            }
            FactKind::ToolsChanged(change) => self.servers.tools_changed(change, watch, planned),
            FactKind::CallEnded(call) => self.calls.take(call, at.0, planned),
            FactKind::GeminiRoundFailed(failed) => self.calls.round_failed(failed.failure, at, planned),
            FactKind::ClockJumped(jump) => self.clock_jumps.push((at, jump.jump)),
            FactKind::ScenarioChecked(checked) => {
                let scenario = self.scenarios.entry(checked.scenario.to_string()).or_default();
                if checked.held {
                    scenario.held += 1;
                } else {
                    let detail = checked.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
                    scenario.failed.push(format!("{}{detail}", checked.check));
                }
            }
            _ => {}
        }
    }

    fn poll(&mut self, poll: &Poll, at: Timestamp, planned: Planned<'_>, rules: &Rules) {
        self.api.take(poll, at, planned, rules.high_load_clients);
        self.hub.poll(poll, at);
        self.clients.poll(poll);
        if let Some(file) = &poll.log_file {
            self.log.file(file);
        }
        for server in &poll.servers {
            self.servers.poll(server, Moment(at));
        }
        let cpu = poll.process.as_ref().and_then(|process| self.process.take(process, at, planned));
        self.recorder.poll(poll, cpu, at);
        self.latest_cpu = cpu;
        if let Some(process) = &poll.process {
            self.memory.take(process, at, &rules.leak);
        }
    }

    /// The processor share at the last poll.
    pub(super) fn latest_cpu(&self) -> Option<u64> {
        self.latest_cpu
    }

    /// Ends the period: closes what is open and works out means and shares.
    #[must_use]
    pub(super) fn finish(mut self, to: Timestamp, rules: &Rules) -> Self {
        let end = self.coverage.last.map_or(to, |last| last.0.min(to));
        self.servers.expect(&rules.expected_servers);
        self.servers.finish(end);
        self.memory_trend = self.memory.trend(&rules.leak);
        self.hub.finish(end);
        self.coverage.finish(self.from, to);
        self.api.finish();
        self.calls.finish();
        self.process.finish();
        self.log.finish();
        self
    }
}

/// A share in thousandths; of nothing it is zero.
pub(super) fn share_of(part: u64, whole: u64) -> u64 {
    per_thousand(part, whole).unwrap_or(0)
}

/// A share of failures in thousandths, rounded up: one failure of many is not none.
pub(super) fn failures_per_thousand(part: u64, whole: u64) -> Option<u64> {
    let share = (u128::from(part) * 1_000).div_ceil(u128::from(whole).max(1));
    (whole > 0).then(|| u64::try_from(share).unwrap_or(u64::MAX))
}

/// A share in thousandths, if there is a whole.
pub(super) fn per_thousand(part: u64, whole: u64) -> Option<u64> {
    let share = (u128::from(part) * 1_000).checked_div(u128::from(whole))?;
    Some(u64::try_from(share).unwrap_or(u64::MAX))
}
