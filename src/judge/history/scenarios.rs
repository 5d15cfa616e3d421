//! What scenarios told: their steps, and what their clients measured.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Planned;
use super::comparison::{CallComparison, HubCalls};
use super::seen::Seen;
use crate::judge::exact::Exact;
use crate::judge::moment::Moment;
use crate::judge::planned::Plans;
use crate::watch::{
    CallEnded, MeasuredByClient, ScenarioChecked, ScenarioFact, ScenarioMeasured, ScenarioRun, StepVerdict, Text, TraceId,
};

/// Scenarios in which the hub works as usual: what their clients measured counts for the criteria of performance. In the others it is
/// overloaded or disturbed on purpose.
pub(in crate::judge) const UNDISTURBED: [&str; 7] =
    ["meta_tool", "tools_usable", "session_isolation", "session_cleanup", "concurrent_sessions", "log_growth", "soak"];

/// The scenario whose clients are many.
pub(in crate::judge) const LOAD: [&str; 1] = ["high_load"];

/// Maximum number of scenarios: there are fourteen. What names beyond it tell is passed over.
const MAX_SCENARIOS: usize = 64;

/// Maximum number of runs of a scenario by which results that are told twice are recognised.
const MAX_RUNS: usize = 1_000;

/// Runs whose steps are kept: the latest one, and the one that it may follow too early when results come late.
const RUNS_WITH_STEPS: usize = 2;

/// Maximum number of steps of a run that are kept: a scenario has about ten.
const MAX_STEPS: usize = 200;

/// Maximum number of earlier runs that are listed.
const MAX_EARLIER: usize = 20;

/// Maximum number of different steps of a scenario that are listed as failed.
const MAX_FAILURES: usize = 20;

/// What a scenario came to, in all its runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioHistory {
    /// Its name.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// The steps of all runs.
    pub steps: StepCounts,
    /// The steps that failed in any run, each once.
    pub failures: Vec<FailedStep>,
    /// Why the first step was not verifiable that was not.
    pub not_verifiable: Option<String>,
    /// Why the first step did not apply that did not.
    pub not_applicable: Option<String>,
    /// The latest run.
    pub latest: RunHistory,
    /// The runs before it, the latest first, without their steps.
    pub earlier: Vec<RunHistory>,
    /// Earlier runs that are not listed.
    pub earlier_left_out: u64,
    /// What its clients measured.
    pub measured: Vec<ClientFigures>,
    /// The meta-tool calls as its clients measured them, compared with the hub's log.
    pub compared: Option<CallComparison>,
}

/// How many steps came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepCounts {
    /// Steps that held.
    pub passed: u64,
    /// Steps that did not.
    pub failed: u64,
    /// Steps of which it could not be seen.
    pub not_verifiable: u64,
    /// Steps that can't exist on this hub.
    pub not_applicable: u64,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedStep {
    /// The step's short id.
    pub check: String,
    /// What should hold.
    pub title: String,
    /// How often it failed.
    pub times: u64,
    /// The first time.
    pub first: Moment,
    /// The last time.
    pub last: Moment,
    /// What was seen the last time.
    pub detail: Option<String>,
    /// A link, if it is a known defect of the hub.
    pub known_defect: Option<String>,
    /// The trace of the last time.
    pub trace: Option<String>,
}

/// One run of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunHistory {
    /// Its id.
    pub run: String,
    /// When it told its first result.
    pub from: Moment,
    /// When it told its last.
    pub to: Moment,
    /// Its steps.
    pub counts: StepCounts,
    /// The ids of the first steps that failed.
    pub failed: Vec<String>,
    /// The steps one by one; only of the latest run.
    pub steps: Vec<Step>,
    /// Steps that are not listed, because there are too many.
    pub steps_left_out: u64,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// When it was told.
    pub at: Moment,
    /// The number within the run.
    pub sequence: u32,
    /// Its short id.
    pub check: String,
    /// What should hold.
    pub title: String,
    /// What came of it.
    pub verdict: StepVerdict,
    /// What was seen, or why nothing could be seen.
    pub detail: Option<String>,
    /// A link, if a failure is a known defect of the hub.
    pub known_defect: Option<String>,
    /// Its trace.
    pub trace: Option<String>,
}

/// Durations as the clients of a scenario measured them, in all its runs. Failed operations have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientFigures {
    /// What was measured.
    pub measured: MeasuredByClient,
    /// Operations, failed ones included.
    pub count: u64,
    /// Operations that failed.
    pub failed: u64,
    /// The mean duration, to the nearest µs.
    pub mean_us: Option<u64>,
    /// The median; of several measurements the highest.
    pub p50_us: Option<u64>,
    /// The 95th percentile; of several measurements the highest.
    pub p95_us: Option<u64>,
    /// The 99th percentile; of several measurements the highest.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
    /// The total duration.
    pub sum_us: u64,
}

/// Maximum number of failed steps that the line of an earlier run names.
const NAMED_FAILURES: usize = 3;

/// The scenarios of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scenarios {
    taken: BTreeMap<Text, Taken>,
    hub_calls: HubCalls,
    /// What they came to, by name; filled at the end.
    pub all: Vec<ScenarioHistory>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Taken {
    history: ScenarioHistory,
    measured: BTreeMap<MeasuredByClient, ClientFigures>,
    runs: BTreeMap<ScenarioRun, Run>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Run {
    checked: Seen,
    measured: Seen,
    history: RunHistory,
    /// Whether its steps are no longer kept.
    settled: bool,
}

impl Scenarios {
    pub(super) fn fact(&mut self, fact: &ScenarioFact, at: Moment) {
        if self.taken.len() >= MAX_SCENARIOS && !self.taken.contains_key(fact.scenario()) {
            return;
        }
        let taken = self.taken.entry(fact.scenario().clone()).or_default();
        match fact {
            ScenarioFact::ScenarioChecked(checked) => taken.checked(checked, at),
            ScenarioFact::ScenarioMeasured(measured) => taken.measured(measured, at),
        }
    }

    /// Returns what a scenario came to; `None` if it told nothing.
    pub fn of(&self, name: &str) -> Option<&ScenarioHistory> {
        self.all.iter().find(|scenario| scenario.name == name)
    }

    /// Returns the mean duration of an operation over some scenarios, and how many operations it stands on.
    pub(in crate::judge) fn mean(&self, measured: MeasuredByClient, names: &[&str]) -> (Option<Exact>, u64) {
        let of = self.all.iter().filter(|scenario| names.contains(&scenario.name.as_str()));
        let figures = of.flat_map(|scenario| &scenario.measured).filter(|figures| figures.measured == measured);
        let (sum, timed) = figures
            .fold((0, 0_u64), |(sum, timed), figures| (sum + u128::from(figures.sum_us), timed.saturating_add(figures.timed())));
        (Exact::mean(sum, timed), timed)
    }

    /// Takes a meta-tool call that the hub's log shows.
    pub(super) fn hub_call(&mut self, call: &CallEnded, planned: Planned<'_>) {
        self.hub_calls.take(call, planned);
    }

    pub(super) fn finish(&mut self, plans: &Plans) {
        let taken = std::mem::take(&mut self.taken);
        self.all = taken.into_iter().map(|(name, taken)| taken.finish(name.as_str(), plans, &self.hub_calls)).collect();
    }
}

impl Taken {
    fn checked(&mut self, checked: &ScenarioChecked, at: Moment) {
        let run = self.run(checked.run, at);
        if !run.checked.insert(checked.sequence) {
            return;
        }
        run.history.take(&step(checked, at), run.settled);
        let text = |text: &Option<Text>| text.as_ref().map(Text::to_string);
        let history = &mut self.history;
        history.steps.count(checked.verdict);
        let why = || Some(text(&checked.detail).unwrap_or_else(|| checked.title.to_string()));
        match checked.verdict {
            StepVerdict::Pass => {}
            StepVerdict::Fail => history.failed(step(checked, at)),
            StepVerdict::NotVerifiable => history.not_verifiable = history.not_verifiable.take().or_else(why),
            StepVerdict::NotApplicable => history.not_applicable = history.not_applicable.take().or_else(why),
        }
    }

    fn measured(&mut self, measured: &ScenarioMeasured, at: Moment) {
        if !self.run(measured.run, at).measured.insert(measured.sequence) {
            return;
        }
        self.measured.entry(measured.measured).or_insert_with(|| ClientFigures::none(measured.measured)).add(measured);
    }

    /// Returns the run, with this time among its own.
    fn run(&mut self, id: ScenarioRun, at: Moment) -> &mut Run {
        if !self.runs.contains_key(&id) {
            self.begin(id, at);
        }
        let run = self.runs.entry(id).or_default();
        run.history.from = run.history.from.min(at);
        run.history.to = run.history.to.max(at);
        run
    }

    fn begin(&mut self, id: ScenarioRun, at: Moment) {
        self.history.runs += 1;
        let history = RunHistory { run: id.to_string(), from: at, to: at, ..RunHistory::default() };
        self.runs.insert(id, Run { history, ..Run::default() });
        let mut by_time: Vec<(Moment, ScenarioRun)> = self.runs.iter().map(|(id, run)| (run.history.from, *id)).collect();
        by_time.sort_unstable();
        let settled = by_time.len().saturating_sub(RUNS_WITH_STEPS);
        for (_, id) in &by_time[..settled] {
            let run = self.runs.entry(*id).or_default();
            run.settled = true;
            run.history.steps = Vec::new();
        }
        let surplus = by_time.len().saturating_sub(MAX_RUNS);
        for (_, old) in by_time.iter().filter(|(_, old)| *old != id).take(surplus) {
            self.runs.remove(old);
        }
    }

    fn finish(self, name: &str, plans: &Plans, hub_calls: &HubCalls) -> ScenarioHistory {
        let calls = self.measured.get(&MeasuredByClient::MetaToolCall);
        let compared = calls.and_then(|calls| hub_calls.compare(calls, &plans.windows(name)));
        let mut runs: Vec<RunHistory> = self.runs.into_values().map(|run| run.history).collect();
        runs.sort_by(|one, other| (other.from, &other.run).cmp(&(one.from, &one.run)));
        let mut runs = runs.into_iter();
        let mut latest = runs.next().unwrap_or_default();
        latest.steps.sort_by_key(|step| step.sequence);
        let earlier: Vec<RunHistory> = runs.take(MAX_EARLIER).map(|run| RunHistory { steps: Vec::new(), ..run }).collect();
        let listed = 1 + earlier.len() as u64;
        ScenarioHistory {
            name: name.to_owned(),
            earlier_left_out: self.history.runs.saturating_sub(listed),
            latest,
            earlier,
            measured: self.measured.into_values().collect(),
            compared,
            ..self.history
        }
    }
}

impl RunHistory {
    /// Returns why a step of this run is not verifiable; `None` if all are.
    pub(in crate::judge) fn unverified(&self) -> Option<String> {
        if self.counts.not_verifiable == 0 {
            return None;
        }
        let first = self.steps.iter().find(|step| step.verdict == StepVerdict::NotVerifiable);
        Some(first.map_or_else(String::new, |step| step.detail.clone().unwrap_or_else(|| step.title.clone())))
    }
}

impl ScenarioHistory {
    fn failed(&mut self, step: Step) {
        let is_listed = self.failures.len() < MAX_FAILURES;
        let known = self.failures.iter_mut().find(|failed| failed.check == step.check);
        let Step { at, check, title, detail, known_defect, trace, .. } = step;
        match known {
            Some(failed) => {
                failed.times += 1;
                failed.first = failed.first.min(at);
                if failed.last <= at {
                    (failed.title, failed.last, failed.detail) = (title, at, detail);
                    (failed.known_defect, failed.trace) = (known_defect, trace);
                }
            }
            None if is_listed => {
                self.failures.push(FailedStep { check, title, times: 1, first: at, last: at, detail, known_defect, trace });
            }
            None => {}
        }
    }
}

impl RunHistory {
    fn take(&mut self, step: &Step, settled: bool) {
        self.counts.count(step.verdict);
        let is_failed = step.verdict == StepVerdict::Fail;
        if is_failed && self.failed.len() < NAMED_FAILURES {
            self.failed.push(step.check.clone());
        }
        if settled {
            return;
        }
        if self.steps.len() < MAX_STEPS {
            self.steps.push(step.clone());
            return;
        }
        self.steps_left_out += 1;
        let held = self.steps.iter_mut().rev().find(|kept| is_failed && kept.verdict == StepVerdict::Pass);
        if let Some(held) = held {
            *held = step.clone();
        }
    }
}

impl StepCounts {
    fn count(&mut self, verdict: StepVerdict) {
        let count = match verdict {
            StepVerdict::Pass => &mut self.passed,
            StepVerdict::Fail => &mut self.failed,
            StepVerdict::NotVerifiable => &mut self.not_verifiable,
            StepVerdict::NotApplicable => &mut self.not_applicable,
        };
        *count += 1;
    }

    /// Steps that held or did not.
    pub const fn decided(&self) -> u64 {
        self.passed + self.failed
    }

    /// All steps.
    pub const fn all(&self) -> u64 {
        self.decided() + self.not_verifiable + self.not_applicable
    }
}

impl ClientFigures {
    fn none(measured: MeasuredByClient) -> Self {
        let (count, failed, sum_us) = (0, 0, 0);
        Self { measured, count, failed, mean_us: None, p50_us: None, p95_us: None, p99_us: None, max_us: None, sum_us }
    }

    fn add(&mut self, measured: &ScenarioMeasured) {
        // No more can fail than were made.
        let count = measured.count.get();
        self.count = self.count.saturating_add(count);
        self.failed = self.failed.saturating_add(measured.failed.get().min(count));
        self.sum_us = self.sum_us.saturating_add(measured.sum.get());
        self.mean_us = self.mean().map(Exact::rounded);
        let highest = |of: &mut Option<u64>, more: Option<crate::watch::Micros>| *of = (*of).max(more.map(|more| more.get()));
        highest(&mut self.p50_us, measured.p50);
        highest(&mut self.p95_us, measured.p95);
        highest(&mut self.p99_us, measured.p99);
        highest(&mut self.max_us, measured.max);
    }

    /// Operations that have a duration.
    pub const fn timed(&self) -> u64 {
        self.count.saturating_sub(self.failed)
    }

    pub(super) fn mean(&self) -> Option<Exact> {
        Exact::mean(u128::from(self.sum_us), self.timed())
    }
}

fn step(checked: &ScenarioChecked, at: Moment) -> Step {
    let text = |text: &Option<Text>| text.as_ref().map(Text::to_string);
    let trace = checked.trace_id.as_ref().and_then(|trace| TraceId::parse(trace.as_str()));
    Step {
        at,
        sequence: checked.sequence,
        check: checked.check.to_string(),
        title: checked.title.to_string(),
        verdict: checked.verdict,
        detail: text(&checked.detail),
        known_defect: text(&checked.known_defect),
        trace: trace.map(|trace| trace.to_string()),
    }
}
