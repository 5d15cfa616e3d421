//! The report as data: everything else is rendered from it. Durations end in `_us` (microseconds), sizes in `_bytes`, shares in
//! `_permille`; times are RFC 3339 in UTC.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::judge::history::{
    ApiHistory, CallHistory, ClientHistory, Coverage, HubHistory, LogHistory, ProcessHistory, ServerHistory, StormHistory,
};
use crate::judge::incident::Incident;
use crate::judge::moment::Moment;
use crate::judge::verdict::Verdict;

/// The version of this form; one more when a reader of the last one would misread it.
pub const VERSION: u32 = 1;

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Storms by their line.
    pub storms: BTreeMap<String, StormHistory>,
    /// What somebody should look at.
    pub incidents: Vec<Incident>,
    /// What to do.
    pub recommendations: Vec<String>,
    /// What this report can't see.
    pub blind_spots: Vec<String>,
}

/// Where a report comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The period's start.
    pub from: Moment,
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
    /// Watch spans that could not be read, and why.
    pub unreadable: Vec<String>,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationPoint {
    /// Its name.
    pub name: String,
    /// What its criteria come to.
    pub verdict: Verdict,
    /// The evidence, in words.
    pub evidence: String,
}

/// A criterion and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriterionRow {
    /// Its stable name.
    pub id: String,
    /// Its group.
    pub group: String,
    /// The strategy's words.
    pub title: String,
    /// `must`, `should` or `info`.
    pub severity: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Its measures with their values, for people.
    pub value: String,
    /// What they must keep to, for people.
    pub threshold: String,
    /// The measures' bare numbers.
    pub values: BTreeMap<String, Option<u64>>,
    /// Samples.
    pub samples: u64,
    /// Why.
    pub why: String,
}
