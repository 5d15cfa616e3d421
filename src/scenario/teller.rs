//! Tells the watch beside the hub what a scenario does and finds, through its state folder: each step as soon as it is judged, so that
//! nothing is lost if the scenario is killed.

use std::cell::Cell;
use std::path::PathBuf;

use super::outcome::{Measured, Step};
use super::plan::Scenario;
use crate::announce::marks::{self, Edge, Mark};
use crate::announce::results::{self, Told, ToldResult};
use crate::watch::{Count, Micros, ScenarioChecked, ScenarioMeasured, ScenarioRun, Text, Timestamp};

/// The teller of one run of a scenario.
pub(super) struct Teller {
    scenario: Scenario,
    run: ScenarioRun,
    trace_id: String,
    /// `None` if nobody has ever watched this hub with this state folder.
    state_dir: Option<PathBuf>,
    sequence: Cell<u32>,
}

impl Teller {
    pub(super) const fn new(scenario: Scenario, run: ScenarioRun, trace_id: String, state_dir: Option<PathBuf>) -> Self {
        Self { scenario, run, trace_id, state_dir, sequence: Cell::new(0) }
    }

    /// Whether anybody is told.
    pub(super) const fn is_heard(&self) -> bool {
        self.state_dir.is_some()
    }

    /// Announces the begin or the end of its time.
    pub(super) fn mark(&self, edge: Edge) {
        let Some(state_dir) = self.state_dir.as_ref().filter(|_| self.scenario.is_planned()) else { return };
        let mark = Mark { at: Timestamp::now(), edge, name: self.scenario.word().to_owned() };
        warn(marks::lay(state_dir, &mark), "the scenario's time can't be announced to the watch");
    }

    /// Tells a step. Returns what is told, for others who tell it in another way.
    pub(super) fn step(&self, step: &Step) -> ScenarioChecked {
        let checked = ScenarioChecked {
            scenario: Text::from(self.scenario.word()),
            run: self.run,
            sequence: self.next(),
            check: Text::from(step.id),
            title: Text::new(step.holds.as_str()),
            verdict: step.verdict,
            detail: Some(Text::new(step.detail.as_str())),
            known_defect: step.known_defect.map(Text::from),
            trace_id: Some(Text::new(self.trace_id.as_str())),
        };
        self.lay(ToldResult::Checked(checked.clone()));
        checked
    }

    /// Tells what the clients measured.
    pub(super) fn measured(&self, measured: &Measured) {
        let micros = |figure: Option<u64>| figure.map(Micros::new);
        self.lay(ToldResult::Measured(ScenarioMeasured {
            scenario: Text::from(self.scenario.word()),
            run: self.run,
            sequence: self.next(),
            measured: measured.operation,
            count: Count::new(measured.count),
            failed: Count::new(measured.failed),
            sum: Micros::new(measured.sum_us),
            p50: micros(measured.p50_us),
            p95: micros(measured.p95_us),
            p99: micros(measured.p99_us),
            max: micros(measured.max_us),
        }));
    }

    /// The number of what is told next.
    fn next(&self) -> u32 {
        self.sequence.replace(self.sequence.get() + 1)
    }

    fn lay(&self, result: ToldResult) {
        let Some(state_dir) = &self.state_dir else { return };
        let told = Told { at: Timestamp::now(), result };
        warn(results::lay(state_dir, &told), "a result can't be told to the watch");
    }
}

fn warn(laid: std::io::Result<()>, what: &str) {
    if let Err(error) = laid {
        tracing::warn!(%error, "{what}: it will be missing in the report");
    }
}
