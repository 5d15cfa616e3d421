//! The report as data: everything else is rendered from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use crate::judge::criterion::{Group, Severity};
use crate::judge::evaluate::{Ground, LimitJudged, MeasureFigure, WaiverJudged};
use crate::judge::history::{
    ApiHistory, CallHistory, ClientHistory, Coverage, HubHistory, LogHistory, ProcessHistory, ServerHistory, SidecarHistory,
    ToolHistory,
};
use crate::judge::incident::Incident;
use crate::judge::leak::MemoryTrend;
use crate::judge::measure::Measure;
use crate::judge::moment::Moment;
use crate::judge::obstacle::Obstacle;
use crate::judge::planned::Plan;
use crate::judge::series::Series;
use crate::judge::verdict::Verdict;

/// The version of this form; one more when a reader of the last one would misread it. What is only added does not change it.
pub const VERSION: u32 = 1;

/// The health of an MCP Hub over a staging period, and whether its build may be promoted. Durations end in `_us` (microseconds),
/// sizes in `_bytes`, shares in `_permille`; times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The form's version.
    pub version: u32,
    /// Where all this comes from.
    pub provenance: Provenance,
    /// What it comes to.
    pub overall: Overall,
    /// How well the period was watched.
    pub coverage: Coverage,
    /// The strategy's five integration points.
    pub integration_points: Vec<IntegrationPoint>,
    /// Each criterion.
    pub criteria: Vec<CriterionRow>,
    /// Each measure, whether a criterion is set on it or not; `docs/measures.md` defines them.
    #[serde(default)]
    pub measures: Vec<MeasureFigure>,
    /// Each server.
    pub servers: Vec<ServerHistory>,
    /// The hub.
    pub hub: HubHistory,
    /// MCP clients and sessions.
    pub clients: ClientHistory,
    /// Meta-tool calls.
    pub calls: CallHistory,
    /// The hub's process.
    pub process: ProcessHistory,
    /// The log.
    pub log: LogHistory,
    /// The API.
    pub api: ApiHistory,
    /// What the hub did about tools in the background.
    #[serde(default)]
    pub tools: ToolHistory,
    /// The sidecar that watched.
    #[serde(default)]
    pub sidecar: SidecarHistory,
    /// What charts are drawn from.
    pub series: Series,
    /// Planned disturbances.
    pub planned: Vec<Plan>,
    /// What stands in the way of a verdict on the whole period.
    pub obstacles: Vec<Obstacle>,
    /// What the memory of the hub's process did.
    pub memory_trend: Option<MemoryTrend>,
    /// What somebody should look at.
    pub incidents: Vec<Incident>,
    /// What to do, the most pressing first.
    pub recommendations: Vec<Recommendation>,
    /// What this report can't see.
    pub blind_spots: Vec<String>,
    /// Who signs, and whom to ask.
    pub sign_off: SignOff,
    /// What the hub was like at the beginning.
    pub baseline: Option<Baseline>,
    /// The strategy's phases, as far as the period reached.
    pub phases: Vec<Phase>,
    /// The strategy's daily tasks.
    pub daily: Vec<DailyCheck>,
    /// This report beside an earlier one, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Where to see what, if an address is known: by an incident's id, and by a kept call's trace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trace_urls: BTreeMap<String, String>,
}

impl Report {
    /// A measure's value for people: the same text wherever it is shown. `None` where it has no value.
    pub fn shown(&self, measure: Measure) -> Option<&str> {
        self.measures.iter().find(|figure| figure.measure == measure)?.shown.as_deref()
    }
}

/// Where a report comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// The version of hubwatch that made it.
    pub tool_version: String,
    /// The hub.
    pub hub: String,
    /// Where it runs.
    pub environment: String,
    /// The builds under test that were named.
    pub builds: Vec<String>,
    /// Where the Watches were read from.
    pub backend: String,
    /// The period's start; that of the first Watch where nobody asked for a period and the usual one begins before the watch.
    pub from: Moment,
    /// The start of the usual period, where the watch is younger. How much of it was watched is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_from: Option<Moment>,
    /// The period's end.
    pub to: Moment,
    /// When the report was made.
    pub generated_at: Moment,
    /// Whether the watch goes on.
    pub provisional: bool,
    /// Who watched.
    pub watchers: Vec<String>,
    /// What identifies the criteria that were judged by.
    pub criteria_digest: String,
    /// What was judged otherwise than the built-in criteria say, and where that was said.
    pub overrides: Vec<String>,
    /// Watch spans that could not be read, and why.
    pub unreadable: Vec<String>,
    /// Parts of the period that the backend lacks though they were watched, or has not whole: from when to when, and what is lacking.
    #[serde(default)]
    pub incomplete: Vec<String>,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overall {
    /// The verdict.
    pub verdict: Verdict,
    /// How the command ends.
    pub exit_code: u8,
    /// The rule that made it.
    pub rule: String,
    /// What decided.
    pub because: Vec<String>,
}

/// One of the strategy's integration points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IntegrationPoint {
    /// Its name.
    pub name: String,
    /// The parts of the hub that meet there.
    pub components: String,
    /// What its criteria come to: the worst of them.
    pub verdict: Verdict,
    /// The criteria that speak for it.
    pub checks: Vec<Check>,
    /// The evidence, in words.
    pub evidence: String,
}

/// A criterion that speaks for an integration point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The criterion's stable name.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its verdict.
    pub verdict: Verdict,
}

/// A criterion and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CriterionRow {
    /// Its stable name.
    pub id: String,
    /// Its group.
    pub group: Group,
    /// The strategy's words.
    pub title: String,
    /// How much it decides.
    pub severity: Severity,
    /// The verdict.
    pub verdict: Verdict,
    /// Its measures with their values, for people.
    pub value: String,
    /// What they must keep to, for people.
    pub threshold: String,
    /// On what grounds.
    pub ground: Ground,
    /// Each measure with its bare number and what it must keep to.
    pub limits: Vec<LimitJudged>,
    /// What somebody answers for.
    pub waiver: Option<WaiverJudged>,
    /// Samples.
    pub samples: u64,
    /// How much of the period was watched, in thousandths.
    pub coverage_permille: u64,
    /// How much of it a pass needs, in thousandths.
    pub min_coverage_permille: u64,
    /// Why.
    pub why: String,
    /// What happened that speaks for the verdict.
    pub evidence: Vec<Evidence>,
}

/// Something that happened, as evidence for a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// When.
    pub at: Moment,
    /// What.
    pub what: String,
    /// The trace that shows it, where it has one of its own.
    pub trace: Option<String>,
    /// Where to see that trace, or the one of the quarter of an hour in which it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_url: Option<String>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// What to do.
    pub action: String,
    /// What speaks for doing it.
    pub why: String,
    /// The criteria that it should mend.
    pub criteria: Vec<String>,
}

/// Who signs the report, and whom to ask: from the configuration's `[report]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignOff {
    /// Who leads the monitoring.
    pub lead: Option<String>,
    /// Whom to go to, in this order, when a must criterion fails.
    pub escalation: Vec<String>,
    /// Whom else to ask, by subject.
    pub contacts: BTreeMap<String, String>,
    /// The roles that sign before the build is promoted.
    pub signatures: Vec<String>,
}

/// What a hub was like at the beginning: T+0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// When.
    pub at: Moment,
    /// Where it comes from.
    pub origin: String,
    /// Processor time, of one core.
    pub cpu_permille: Option<u64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// The time of an answer of the API.
    pub api_us: Option<u64>,
    /// MCP clients.
    pub mcp_clients: Option<u64>,
    /// Tools that the MCP endpoint offers.
    pub tools: Option<u64>,
    /// Servers that work.
    pub servers_up: Option<u64>,
}

/// A number and what it was at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delta {
    /// The number.
    pub value: Option<u64>,
    /// The baseline's.
    pub baseline: Option<u64>,
}

/// One of the strategy's phases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// From when.
    pub from: Moment,
    /// To when.
    pub to: Moment,
    /// Mean processor time, of one core, planned disturbances left out, as in the two that follow.
    pub cpu_mean_permille: Delta,
    /// Mean resident memory.
    pub rss_mean_bytes: Delta,
    /// The mean time of an answer of the API.
    pub api_mean_us: Delta,
    /// Meta-tool calls that ended in it, however certain their beginnings are.
    pub calls: u64,
    /// Lines of level error.
    pub error_lines: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Incidents that began in it.
    pub incidents: u64,
}

/// One of the strategy's daily tasks, done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DailyCheck {
    /// The strategy's words.
    pub task: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
}

/// The JSON Schema of a report.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".to_owned(), format!("hubwatch report, version {VERSION}").into());
    schema.to_value()
}
