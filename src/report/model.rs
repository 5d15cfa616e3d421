//! The report as data: everything else is rendered from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use crate::judge::criterion::{Group, Severity};
use crate::judge::evaluate::{Ground, LimitJudged, MeasureFigure, WaiverJudged};
use crate::judge::history::{
    ApiHistory, CallHistory, ClientHistory, Coverage, HubHistory, LlmHistory, LogHistory, ProcessHistory, ScenarioHistory,
    ServerHistory, SidecarHistory, ToolCallHistory, ToolHistory,
};
use crate::judge::incident::Incident;
use crate::judge::leak::MemoryTrend;
use crate::judge::measure::Measure;
use crate::judge::moment::Moment;
use crate::judge::obstacle::Obstacle;
use crate::judge::planned::Plan;
use crate::judge::series::Series;
use crate::judge::verdict::Verdict;

/// The version of this format. It increases when an old reader would misread the new form; additions don't change it.
pub const VERSION: u32 = 1;

/// The health of an MCP Hub over a staging period, and whether its build may be promoted. Durations end in `_us` (microseconds),
/// sizes in `_bytes`, shares in `_permille`; times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The version of the format.
    pub version: u32,
    /// Where the data comes from.
    pub provenance: Provenance,
    /// The overall verdict.
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
    /// Calls of ordinary tools, where instrumentation of the hub shows them.
    #[serde(default)]
    pub tool_calls: ToolCallHistory,
    /// Requests to LLMs, where instrumentation of the hub shows them.
    #[serde(default)]
    pub llm: LlmHistory,
    /// The scenarios that ran, by name.
    #[serde(default)]
    pub scenarios: Vec<ScenarioHistory>,
    /// The sidecar that watched.
    #[serde(default)]
    pub sidecar: SidecarHistory,
    /// The data of the charts.
    pub series: Series,
    /// Planned disturbances.
    pub planned: Vec<Plan>,
    /// Reasons why the period as a whole can get no verdict.
    pub obstacles: Vec<Obstacle>,
    /// The trend of the hub process's memory.
    pub memory_trend: Option<MemoryTrend>,
    /// Events that need attention.
    pub incidents: Vec<Incident>,
    /// What to do, the most urgent first.
    pub recommendations: Vec<Recommendation>,
    /// What this report can't know.
    pub blind_spots: Vec<String>,
    /// Signatures and contacts.
    pub sign_off: SignOff,
    /// The state of the hub at the beginning.
    pub baseline: Option<Baseline>,
    /// The strategy's phases, as far as the period reached.
    pub phases: Vec<Phase>,
    /// The strategy's daily tasks.
    pub daily: Vec<DailyCheck>,
    /// The comparison with an earlier report, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Addresses of traces, if known: by the id of an incident, and by the trace of a kept call or of a step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trace_urls: BTreeMap<String, String>,
}

impl Report {
    /// Returns a measure's value for people, the same text as everywhere. `None` if it has no value.
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
    /// The source of the Watches.
    pub backend: String,
    /// The period's start. Without a requested period it is the start of the first Watch, if the usual period begins before the watch.
    pub from: Moment,
    /// The start of the usual period, if the watch is younger. The coverage of that period is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_from: Option<Moment>,
    /// The period's end.
    pub to: Moment,
    /// When the report was made.
    pub generated_at: Moment,
    /// Whether the watch is still running.
    pub provisional: bool,
    /// The ids of the watchers.
    pub watchers: Vec<String>,
    /// The digest of the built-in criteria.
    pub criteria_digest: String,
    /// Overrides of the default criteria, each with its source.
    pub overrides: Vec<String>,
    /// Watch spans that could not be read, and why.
    pub unreadable: Vec<String>,
    /// Watched parts of the period that are missing or incomplete in the backend: from when to when, and what is missing.
    #[serde(default)]
    pub incomplete: Vec<String>,
}

/// The overall verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overall {
    /// The verdict.
    pub verdict: Verdict,
    /// The exit code of the command.
    pub exit_code: u8,
    /// The rule behind it.
    pub rule: String,
    /// The reasons.
    pub because: Vec<String>,
}

/// One of the strategy's integration points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IntegrationPoint {
    /// Its name.
    pub name: String,
    /// Its components.
    pub components: String,
    /// The worst verdict of its criteria.
    pub verdict: Verdict,
    /// Its criteria.
    pub checks: Vec<Check>,
    /// The evidence, in words.
    pub evidence: String,
}

/// A criterion of an integration point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The criterion's stable name.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its verdict.
    pub verdict: Verdict,
}

/// A criterion and its result.
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
    /// The values of its measures, for people.
    pub value: String,
    /// Their limits, for people.
    pub threshold: String,
    /// The kind of the reason.
    pub ground: Ground,
    /// Each measure with its number and its limits.
    pub limits: Vec<LimitJudged>,
    /// The waiver, if there is one.
    pub waiver: Option<WaiverJudged>,
    /// Samples.
    pub samples: u64,
    /// How much of the period was watched, in thousandths.
    pub coverage_permille: u64,
    /// The coverage that a pass needs, in thousandths.
    pub min_coverage_permille: u64,
    /// The reason, for people.
    pub why: String,
    /// The events behind the verdict.
    pub evidence: Vec<Evidence>,
}

/// An event behind a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// When.
    pub at: Moment,
    /// What.
    pub what: String,
    /// Its trace, if it has one.
    pub trace: Option<String>,
    /// The address of that trace, or of the watch trace of that quarter of an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_url: Option<String>,
}

/// A recommended action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// What to do.
    pub action: String,
    /// The reason for it.
    pub why: String,
    /// The criteria that it should fix.
    pub criteria: Vec<String>,
}

/// Signatures and contacts, from `[report]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignOff {
    /// Who leads the monitoring.
    pub lead: Option<String>,
    /// The escalation path for a failed must criterion, in order.
    pub escalation: Vec<String>,
    /// Other contacts, by subject.
    pub contacts: BTreeMap<String, String>,
    /// The roles that sign before the build is promoted.
    pub signatures: Vec<String>,
}

/// The state of a hub at the beginning: T+0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// When.
    pub at: Moment,
    /// Where it comes from.
    pub origin: String,
    /// CPU usage, in thousandths of one core.
    pub cpu_permille: Option<u64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// The average API response time, in microseconds.
    pub api_us: Option<u64>,
    /// MCP clients.
    pub mcp_clients: Option<u64>,
    /// Tools that the MCP endpoint offers.
    pub tools: Option<u64>,
    /// Servers that are up.
    pub servers_up: Option<u64>,
}

/// A number and its baseline.
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
    /// From when: the first one from the first Watch in the period on.
    pub from: Moment,
    /// To when: the last one as far as `coverage.span_us` reaches.
    pub to: Moment,
    /// Average CPU usage of one core, without planned disturbances, as in the next two.
    pub cpu_mean_permille: Delta,
    /// Mean resident memory.
    pub rss_mean_bytes: Delta,
    /// The average API response time.
    pub api_mean_us: Delta,
    /// Meta-tool calls that ended in it, even if their start is a guess. This and what follows: what is told of a phase that the watch did
    /// not reach counts in the nearest one.
    pub calls: u64,
    /// Lines of level error.
    pub error_lines: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Incidents that began in it.
    pub incidents: u64,
}

/// The result of one of the strategy's daily tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DailyCheck {
    /// The strategy's words.
    pub task: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
}

/// Returns the JSON Schema of a report.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".to_owned(), format!("hubwatch report, version {VERSION}").into());
    schema.to_value()
}
