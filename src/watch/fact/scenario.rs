//! What scenarios found when they acted on the hub as its clients do.

use super::facts;
use crate::watch::ids::{FactId, ScenarioRun};
use crate::watch::names;
use crate::watch::quantity::{Count, Micros};
use crate::watch::record::{record, terms};
use crate::watch::text::Text;

terms! {
    /// What came of a step of a scenario.
    pub enum StepVerdict {
        /// It held.
        Pass = "pass",
        /// It did not hold.
        Fail = "fail",
        /// It could not be seen whether it held; the detail says why.
        NotVerifiable = "not_verifiable",
        /// It can't exist on this hub; the detail says why.
        NotApplicable = "not_applicable",
    }
}

terms! {
    /// What a client measured.
    pub enum MeasuredByClient {
        /// Calls of the meta-tool.
        MetaToolCall = "meta_tool_call",
        /// Requests to the hub's REST API.
        ApiRequest = "api_request",
        /// Calls of ordinary tools.
        ToolCall = "tool_call",
    }
}

record! {
    /// A step of a scenario: something was checked.
    pub struct ScenarioChecked {
        /// The name of the scenario.
        pub scenario: Text = names::SCENARIO,
        /// Which run of it.
        pub run: ScenarioRun = names::SCENARIO_RUN,
        /// The number within the run.
        pub sequence: u32 = names::SCENARIO_SEQUENCE,
        /// The short id of the step, such as `1.5`.
        pub check: Text = names::CHECK,
        /// What should hold.
        pub title: Text = names::CHECK_TITLE,
        /// What came of it: `pass`, `fail`, `not_verifiable` or `not_applicable`.
        pub verdict: StepVerdict = names::CHECK_VERDICT,
        /// What was seen, or why nothing could be seen.
        pub detail: Option<Text> = names::DETAIL,
        /// A link, if a failure is a known defect of the hub.
        pub known_defect: Option<Text> = names::KNOWN_DEFECT,
        /// The trace of the step, 32 hexadecimal digits.
        pub trace_id: Option<Text> = names::SCENARIO_TRACE,
    }
}

record! {
    /// What the clients of a scenario measured. One run may tell it several times, each time about other operations: the figures add up.
    pub struct ScenarioMeasured {
        /// The name of the scenario.
        pub scenario: Text = names::SCENARIO,
        /// Which run of it.
        pub run: ScenarioRun = names::SCENARIO_RUN,
        /// The number within the run.
        pub sequence: u32 = names::SCENARIO_SEQUENCE,
        /// What was measured: `meta_tool_call`, `api_request` or `tool_call`.
        pub measured: MeasuredByClient = names::MEASURED,
        /// How many operations were made, failed ones included.
        pub count: Count = names::COUNT,
        /// How many of these failed: an error, or no answer in time.
        pub failed: Count = names::MEASURED_FAILED,
        /// The total duration of those that did not fail.
        pub sum: Micros = names::MEASURED_SUM,
        /// The median duration of those that did not fail.
        pub p50: Option<Micros> = names::MEASURED_P50,
        /// The same for the 95th percentile.
        pub p95: Option<Micros> = names::MEASURED_P95,
        /// The same for the 99th percentile.
        pub p99: Option<Micros> = names::MEASURED_P99,
        /// The longest duration of those that did not fail.
        pub max: Option<Micros> = names::MEASURED_MAX,
    }
}

facts! {
    /// What scenarios found.
    pub enum ScenarioFact in Scenario {
        ScenarioChecked = "hubwatch.scenario.checked",
        ScenarioMeasured = "hubwatch.scenario.measured",
    }
}

impl ScenarioFact {
    /// Returns the name of the scenario.
    pub fn scenario(&self) -> &Text {
        match self {
            Self::ScenarioChecked(checked) => &checked.scenario,
            Self::ScenarioMeasured(measured) => &measured.scenario,
        }
    }

    /// Returns the run of the scenario, and the number of the fact within the run.
    pub const fn place(&self) -> (ScenarioRun, u32) {
        match self {
            Self::ScenarioChecked(checked) => (checked.run, checked.sequence),
            Self::ScenarioMeasured(measured) => (measured.run, measured.sequence),
        }
    }

    /// Returns the id of the fact: the same however often it is read.
    pub fn id(&self) -> FactId {
        let (run, sequence) = self.place();
        FactId::of_scenario(run, self.name(), sequence)
    }
}
