//! What happened over a period, put together from its Watches one by one. Pure; feeding a period at once or piece by piece gives
//! the same. One file for each topic.

mod api;
mod calls;
mod clients;
mod comparison;
mod coverage;
mod hub;
mod life;
mod llm;
mod log;
mod phases;
mod process;
mod scenarios;
mod seen;
mod servers;
mod sidecar;
mod sources;
mod timeline;
mod tool_calls;
mod tools;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exact::Exact;
use super::features::Features;
use super::leak::{LeakWatch, Load, MemoryTrend};
use super::moment::Moment;
use super::period::{Period, Place};
use super::planned::Plans;
use super::rules::Rules;
use super::series::Recorder;
use crate::watch::{CallFact, Fact, FactKind, Micros, Poll, Timestamp, Watch, WatcherFact, WatcherId, When};
use phases::Polled;
use sources::SourceClock;

pub(super) use api::requests;
pub use api::{ApiHistory, LoadHistory};
pub use calls::{CallHistory, FailedRound, KeptCall};
pub(super) use calls::{JudgedCalls, has_failed};
pub use clients::ClientHistory;
pub use comparison::{CallComparison, CallMatch};
pub(super) use coverage::{Admission, Gap};
pub use coverage::{Coverage, GAP};
pub use hub::{AWAITED, HubHistory, HubStop, StartedServers};
pub(super) use life::LifeNews;
pub use life::{CountsAs, Ending, MAX_OUTAGES, Outage, STARTING};
pub use llm::{Cost, KeptAttempt, LlmHistory, ModelFigures, Tokens};
pub use log::{DroppedClaims, LogHistory, NotableLine, StormHistory};
pub use phases::{PHASES, PhaseFigures, Phases, Sum};
pub use process::{ProcessHistory, WARM_UP};
pub use scenarios::{ClientFigures, FailedStep, RunHistory, ScenarioHistory, Scenarios, Step, StepCounts};
pub(super) use scenarios::{LOAD, UNDISTURBED};
pub(super) use servers::ServerNews;
pub use servers::{ServerHistory, Servers};
pub use sidecar::{LostState, RecoveredJournal, SidecarHistory, WorstLag};
pub use sources::{Basis, SourceTime};
pub use timeline::{LivenessStretch, MAX_STRETCHES, Timeline};
pub use tool_calls::{KeptToolCall, ToolCallHistory, ToolFigures};
pub use tools::ToolHistory;

/// The name of the planned disturbance that something belongs to.
pub type Planned<'a> = Option<&'a str>;

/// A stretch of time, in the report's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stretch {
    /// From when.
    pub from: Moment,
    /// To when; absent where it went on when the watch or the period ended.
    pub to: Option<Moment>,
    /// What it was, or why.
    pub reason: String,
    /// How long; where it went on, up to the end of the watch or the period.
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

/// What happened to the hub and its servers in a Watch.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lives {
    pub hub: LifeNews,
    pub servers: Vec<ServerNews>,
}

/// The period, put together.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    period: Period,
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
    /// What the hub does about tools in the background.
    pub tools: ToolHistory,
    /// Calls of ordinary tools.
    pub tool_calls: ToolCallHistory,
    /// Requests to LLMs.
    pub llm: LlmHistory,
    /// The sidecar itself.
    pub sidecar: SidecarHistory,
    /// What scenarios found.
    pub scenarios: Scenarios,
    /// Clock jumps.
    pub clock_jumps: Vec<(Moment, i64)>,
    /// What the memory of the hub's process did.
    pub memory_trend: Option<MemoryTrend>,
    /// The strategy's phases.
    pub phases: Phases,
    /// What the hub has.
    pub features: Features,
    pub(super) recorder: Recorder,
    latest_cpu: Option<Exact>,
    memory: LeakWatch,
    sources: SourceClock,
    course: Course,
    /// When the hub was watched for the first time.
    began: Option<Timestamp>,
}

/// A fact whose time is known less well than this, and that can be of before the watch began, is not of now.
const HISTORY: Micros = Micros::new(15 * 60 * 1_000_000);

/// How the last Watch was come by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Course {
    /// Watches that were missing until then.
    missing: u64,
    /// Who made it.
    watcher: Option<WatcherId>,
    /// Whether the clock jumped at its end.
    jumped: bool,
    /// When it ended.
    end: Timestamp,
}

impl Course {
    /// If the clock was set back before this Watch: the time that it showed until then.
    fn set_back_by(&self, watch: &Watch) -> Option<Timestamp> {
        (self.jumped && self.watcher == Some(watch.origin.watcher) && watch.interval.start() < self.end).then_some(self.end)
    }
}

impl History {
    /// Nothing taken in yet. The phases begin at `start`, or with the first Watch.
    pub(super) fn new(period: Period, start: Option<Timestamp>) -> Self {
        Self {
            period,
            coverage: Coverage::default(),
            servers: Servers::new(period.from),
            hub: HubHistory::new(period.from),
            clients: ClientHistory::default(),
            calls: CallHistory::default(),
            process: ProcessHistory::default(),
            log: LogHistory::default(),
            api: ApiHistory::default(),
            tools: ToolHistory::default(),
            tool_calls: ToolCallHistory::default(),
            llm: LlmHistory::default(),
            sidecar: SidecarHistory::default(),
            scenarios: Scenarios::default(),
            clock_jumps: Vec::new(),
            recorder: Recorder::default(),
            memory_trend: None,
            phases: Phases::new(start),
            features: Features::default(),
            latest_cpu: None,
            memory: LeakWatch::default(),
            sources: SourceClock::default(),
            course: Course::default(),
            began: None,
        }
    }

    /// Adds an admitted Watch.
    pub(super) fn take(&mut self, watch: &Watch, gap: Option<Gap>, plans: &Plans, rules: &Rules) {
        let end = watch.interval.end().min(self.period.to);
        if let Some(begin) = self.coverage.begin() {
            self.hub.begin(begin);
            self.servers.begin(begin);
        }
        if let Some(gap) = gap {
            // A gap that begins beyond the period takes nothing from it.
            let from = gap.from.min(self.period.to);
            self.servers.unseen(from);
            self.hub.unseen(from);
        }
        if let Some(from) = self.course.set_back_by(watch) {
            self.servers.set_back(from, watch.interval.start());
            self.hub.set_back(from, watch.interval.start());
        }
        let place = self.period.of_watch(watch);
        if let Some((from, to)) = self.period.share(watch) {
            self.coverage.planned_us = self.coverage.planned_us.saturating_add(plans.part(from, to).get());
            self.phases.begin(from);
        }
        let broken = self.breaks(watch);
        if gap.is_some() || broken {
            self.process.unseen();
        }
        match place {
            Place::Before => self.log.before(watch, broken),
            Place::Inside => self.volumes(watch, broken, plans),
            Place::Beyond => {}
        }
        let mut facts: Vec<&Fact> = watch.facts.iter().collect();
        // A Watch that catches up on a log covers a long time, and not always in order.
        facts.sort_by_key(|fact| fact.when.latest());
        for fact in facts {
            self.fact(fact, watch, plans);
        }
        if let Some(poll) = &watch.poll {
            match place {
                Place::Before => self.standing(poll, watch, end.min(self.period.from.minus(Micros::new(1)))),
                Place::Inside => self.poll(poll, watch, plans, rules),
                Place::Beyond => self.learn(poll, watch),
            }
        }
        self.hub.advance(end, plans);
        self.servers.advance(end, plans);
    }

    /// Counts what a Watch of the period read.
    fn volumes(&mut self, watch: &Watch, broken: bool, plans: &Plans) {
        let (start, end) = self.period.share(watch).unwrap_or((watch.interval.end(), watch.interval.end()));
        let (length, planned) = (end.since(start), plans.part(start, end));
        self.coverage.take(watch);
        self.process.watched_from(watch.interval.start());
        self.sources.take(watch, length, planned);
        let unplanned = Micros::new(length.get().saturating_sub(planned.get()));
        let shows_levels = self.log.watch(log::Watched { watch, length: unplanned, broken, plans });
        self.sidecar.take(watch);
        self.recorder.watch(watch, shows_levels);
        self.phases.watch(watch);
    }

    /// Whether the Watch does not go on where the one before ended: Watches are missing in between, the clock jumped, or another
    /// watcher made it.
    fn breaks(&mut self, watch: &Watch) -> bool {
        let now = Course {
            missing: self.coverage.lacking,
            watcher: Some(watch.origin.watcher),
            jumped: watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Watcher(WatcherFact::ClockJumped(_)))),
            end: watch.interval.end(),
        };
        let before = std::mem::replace(&mut self.course, now);
        before.jumped || before.missing != now.missing || before.watcher.is_some_and(|watcher| Some(watcher) != now.watcher)
    }

    /// Whether it was in the log, without a time of its own, before the hub was watched for the first time.
    fn is_history(&self, fact: &Fact) -> bool {
        fact.when.width() > HISTORY && self.began.is_some_and(|began| fact.when.earliest() < began)
    }

    fn fact(&mut self, fact: &Fact, watch: &Watch, plans: &Plans) {
        let place = self.period.of_fact(fact, watch);
        if place == Place::Beyond {
            self.learn_before(fact, watch);
        }
        if place == Place::Beyond || place == Place::Before && !self.period.is_context(fact, watch) {
            return;
        }
        let (counts, when) = (place == Place::Inside, self.period.when(fact, watch));
        let at = Moment(when.latest());
        let planned = plans.at(at.0);
        self.change(fact, when, watch, planned, counts);
        if let FactKind::Watcher(WatcherFact::WatcherStarted(started)) = &fact.kind {
            self.began = self.began.or((!started.resumed).then_some(at.0));
        }
        if !counts || self.is_history(fact) {
            return;
        }
        match &fact.kind {
            FactKind::Hub(fact) => self.clients.hub(fact),
            FactKind::Server(fact) => {
                self.servers.fact(fact, watch, planned);
                self.hub.servers(fact, at);
            }
            FactKind::Session(fact) => self.clients.fact(fact),
            FactKind::Call(fact) => {
                self.calls.fact(fact, at, planned);
                self.phases.call(fact, at.0);
                if let CallFact::CallEnded(call) = fact {
                    self.scenarios.hub_call(call, planned);
                }
            }
            FactKind::Tool(fact) => {
                self.tools.fact(fact);
                self.tool_calls.fact(fact, at, plans.touched_by(when));
            }
            FactKind::Llm(fact) => self.llm.fact(fact, at, plans.touched_by(when)),
            FactKind::Log(fact) => {
                self.log.fact(fact, at, planned);
                self.phases.log(fact, at.0);
            }
            FactKind::Watcher(fact) => {
                self.sidecar.fact(fact, at);
                if let WatcherFact::ClockJumped(jump) = fact {
                    self.clock_jumps.push((at, jump.jump));
                }
            }
            FactKind::Scenario(fact) => self.scenarios.fact(fact, at),
        }
    }

    /// What a fact changes of how the hub and its servers stand. Facts of other topics change nothing of that.
    fn change(&mut self, fact: &Fact, when: When, watch: &Watch, planned: Planned<'_>, counts: bool) {
        let known = self.known(when);
        match &fact.kind {
            FactKind::Hub(hub) => {
                let before = self.hub.down_since();
                self.hub.fact((hub, fact.id), (when, known), watch, planned, counts);
                self.hub_may_be_gone(before);
            }
            FactKind::Server(server) => self.servers.stand(server, known, fact.id, watch),
            FactKind::Session(_)
            | FactKind::Call(_)
            | FactKind::Tool(_)
            | FactKind::Llm(_)
            | FactKind::Log(_)
            | FactKind::Watcher(_)
            | FactKind::Scenario(_) => {}
        }
    }

    /// Returns the time of a change: one from before the watch began counts just before its beginning.
    fn known(&self, when: When) -> When {
        match self.coverage.begin() {
            Some(begin) if (self.period.from..begin).contains(&when.latest()) => When::At(begin.minus(Micros::new(1))),
            _ => when,
        }
    }

    fn hub_may_be_gone(&mut self, before: Option<Timestamp>) {
        if let Some(since) = self.hub.down_since().filter(|since| before != Some(*since)) {
            self.servers.hub_down(since);
        }
    }

    /// What a poll says about how the hub and its servers stand.
    fn standing(&mut self, poll: &Poll, watch: &Watch, at: Timestamp) {
        let before = self.hub.down_since();
        self.hub.poll(poll, watch, at);
        self.hub_may_be_gone(before);
        self.servers.poll(poll, watch, at);
    }

    /// Reads from a poll after the period the state at the beginning of its Watch, if nothing else shows it.
    fn learn(&mut self, poll: &Poll, watch: &Watch) {
        if watch.interval.start() < self.period.to {
            let before = self.hub.down_since();
            self.hub.learn(poll, watch);
            self.hub_may_be_gone(before);
            self.servers.fill(poll, watch);
        }
        self.hub.poll_beyond(poll, watch);
    }

    /// What a change beyond the period says of how things stood when its Watch began in the period, where nothing else tells that.
    fn learn_before(&mut self, fact: &Fact, watch: &Watch) {
        let began_inside = watch.interval.start() < self.period.to;
        match &fact.kind {
            FactKind::Hub(hub) => {
                if began_inside {
                    let before = self.hub.down_since();
                    self.hub.fill_before(hub, fact.when, watch);
                    self.hub_may_be_gone(before);
                }
                self.hub.fact_beyond(hub);
            }
            FactKind::Server(server) if began_inside => self.servers.fill_before(server, fact.when, watch),
            FactKind::Server(_) => {}
            FactKind::Session(_)
            | FactKind::Call(_)
            | FactKind::Tool(_)
            | FactKind::Llm(_)
            | FactKind::Log(_)
            | FactKind::Watcher(_)
            | FactKind::Scenario(_) => {}
        }
    }

    /// What happened to the hub and its servers since it was last asked.
    pub(super) fn news(&mut self) -> Lives {
        Lives { hub: self.hub.news(), servers: self.servers.news() }
    }

    /// What polls have come to so far.
    fn polled(&self) -> Polled {
        let (cpu, rss) = self.process.sums();
        Polled { cpu, rss, api: self.api.sum() }
    }

    fn poll(&mut self, poll: &Poll, watch: &Watch, plans: &Plans, rules: &Rules) {
        let at = watch.interval.end();
        let planned = plans.at(at);
        let before = self.polled();
        self.standing(poll, watch, at);
        self.api.take(poll, at, planned, rules.high_load_clients, self.hub.is_awaiting());
        self.clients.poll(poll);
        self.features.take(poll);
        if let Some(file) = &poll.log_file {
            self.log.file(file);
        }
        let cpu = match &poll.process {
            Some(process) => self.process.take(process, at, planned, plans),
            None => {
                self.process.missed(at);
                None
            }
        };
        self.phases.polled(at, before, self.polled());
        self.recorder.poll(poll, cpu.map(Exact::rounded), at);
        self.latest_cpu = cpu;
        if let Some(process) = &poll.process {
            let load = Load { clients: poll.api.mcp_clients.unwrap_or(0), operations: self.calls.total };
            self.memory.take(process, load, at, &rules.leak);
        }
    }

    /// The processor share at the last poll.
    pub fn latest_cpu(&self) -> Option<Exact> {
        self.latest_cpu
    }

    /// Ends the period: closes what is open and works out means and shares.
    #[must_use]
    pub(super) fn finish(mut self, to: Timestamp, rules: &Rules, plans: &Plans) -> Self {
        // What no Watch covers is not known.
        let end = self.coverage.reached().map_or(self.period.from, |reached| reached.min(to));
        self.hub.finish(end, plans);
        self.servers.finish(end, &rules.expected_servers, plans, &self.hub.timeline);
        self.phases.finish(end);
        self.memory_trend = self.memory.trend(&rules.leak);
        self.coverage.finish(self.period.from, to);
        self.coverage.sources = self.sources.finish(&self.log, self.coverage.covered_us);
        self.api.finish(self.hub.awaited.is_some());
        self.calls.finish();
        self.tool_calls.finish();
        self.llm.finish(self.coverage.sources.instrumentation_us, &rules.budget);
        self.process.finish();
        self.log.finish();
        self.scenarios.finish(plans);
        self.features.finish(&self.calls, &self.clients, rules);
        self
    }
}

/// Whether a Watch's interpreter knew how things stood when the Watch began: it went on from the Watch before.
fn continues_its_run(watch: &Watch) -> bool {
    watch.origin.sequence.get() > 0
}

/// A share in thousandths; of nothing it is zero.
pub(super) fn share_of(part: u64, whole: u64) -> u64 {
    per_thousand(part, whole).unwrap_or(0)
}

/// A share in thousandths, if there is a whole.
pub(super) fn per_thousand(part: u64, whole: u64) -> Option<u64> {
    let share = (u128::from(part) * 1_000).checked_div(u128::from(whole))?;
    Some(u64::try_from(share).unwrap_or(u64::MAX))
}
