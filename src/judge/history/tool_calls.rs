//! Calls of ordinary tools, as instrumentation of the hub shows them. Those of the meta-tool are told with its own calls.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Planned;
use crate::judge::exact::Exact;
use crate::judge::moment::Moment;
use crate::watch::{Histogram, ToolCallSeen, ToolCallsCounted, ToolFact, ToolOutcome, TraceId, names};

/// So many calls are kept as evidence.
const KEPT_CALLS: usize = 5;

/// So many tools are told apart over the period: a hub offers dozens.
const MAX_TOOLS: usize = 500;

/// Calls of ordinary tools: facts `mcphub.tool.calls_counted` of other tools than the meta-tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ToolCallHistory {
    /// How many ended, planned and injected ones included.
    pub total: u64,
    /// Of these, those in planned disturbances, and those whose course the instrumentation changed; what is judged leaves them out.
    pub planned: u64,
    /// By outcome, planned ones included.
    pub by_outcome: BTreeMap<String, u64>,
    /// The judged calls, in which those are left out whose client left before the answer: how many.
    pub judged: u64,
    /// Of these, those that failed: `tool_error`, `error` or `no_answer`.
    pub failed: u64,
    /// Their mean duration, to the nearest µs.
    pub mean_us: Option<u64>,
    /// The duration that 50 of 100 of them keep to, by nearest rank: the end of its bucket, at most an eighth above it.
    pub p50_us: Option<u64>,
    /// The same for 95 of 100.
    pub p95_us: Option<u64>,
    /// The same for 99 of 100.
    pub p99_us: Option<u64>,
    /// The longest of them.
    pub max_us: Option<u64>,
    /// The judged calls by server and tool, the most often called first.
    pub tools: Vec<ToolFigures>,
    /// The last calls that failed, planned ones included.
    pub last_failed: Vec<KeptToolCall>,
    /// The slowest calls, planned ones included, the slowest first.
    pub slowest: Vec<KeptToolCall>,
    #[serde(skip)]
    sums: BTreeMap<(String, String), Sums>,
}

/// The judged calls of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolFigures {
    /// The server; empty where no call says.
    pub server: String,
    /// The tool, as clients call it.
    pub tool: String,
    /// How many.
    pub calls: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Their mean duration, to the nearest µs.
    pub mean_us: u64,
    /// The duration that 95 of 100 of them keep to: the end of its bucket, at most an eighth above it.
    pub p95_us: u64,
    /// The longest of them.
    pub max_us: u64,
}

/// A call to look into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptToolCall {
    /// The tool, as the client called it.
    pub tool: String,
    /// The server; empty where the call does not say.
    pub server: String,
    /// When it ended.
    pub at: Moment,
    /// How long it took.
    pub duration_us: u64,
    /// How it ended.
    pub outcome: ToolOutcome,
    /// What went wrong; empty where nothing did.
    pub error: String,
    /// Its trace.
    #[schemars(with = "Option<String>")]
    pub trace: Option<TraceId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    calls: u64,
    failed: u64,
    sum_us: u128,
    max_us: u64,
    durations: Histogram,
}

impl Sums {
    fn add(&mut self, counted: &ToolCallsCounted, failed: bool) {
        let count = counted.count.get();
        self.calls = self.calls.saturating_add(count);
        self.failed = self.failed.saturating_add(if failed { count } else { 0 });
        self.sum_us += u128::from(counted.sum.get());
        self.max_us = self.max_us.max(counted.max.get());
        self.durations.merge(&counted.durations);
    }

    fn merge(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
        self.durations.merge(&other.durations);
    }
}

/// Whether a call ended in a failure that counts; `None` if it says nothing: its client left.
const fn has_failed(outcome: ToolOutcome) -> Option<bool> {
    match outcome {
        ToolOutcome::Ok => Some(false),
        ToolOutcome::ToolError | ToolOutcome::Error | ToolOutcome::NoAnswer => Some(true),
        ToolOutcome::ClientClosed => None,
    }
}

impl ToolCallHistory {
    pub(super) fn fact(&mut self, fact: &ToolFact, at: Moment, planned: Planned<'_>) {
        match fact {
            ToolFact::ToolCallsCounted(counted) if counted.tool.as_str() != names::META_TOOL => self.counted(counted, planned),
            ToolFact::ToolCallSeen(call) if call.tool.as_str() != names::META_TOOL => self.seen(call, at),
            ToolFact::ToolCallsCounted(_) | ToolFact::ToolCallSeen(_) => {}
            ToolFact::BreakerChanged(_)
            | ToolFact::ToolCategorized(_)
            | ToolFact::CategorizationFailed(_)
            | ToolFact::MarketplaceFailed(_) => {}
        }
    }

    fn counted(&mut self, counted: &ToolCallsCounted, planned: Planned<'_>) {
        let count = counted.count.get();
        self.total = self.total.saturating_add(count);
        let of_outcome = self.by_outcome.entry(counted.outcome.as_str().to_owned()).or_default();
        *of_outcome = of_outcome.saturating_add(count);
        if planned.is_some() || counted.injected {
            self.planned = self.planned.saturating_add(count);
            return;
        }
        let Some(failed) = has_failed(counted.outcome) else { return };
        let server = counted.server.as_ref().map(ToString::to_string).unwrap_or_default();
        let tool = (server, counted.tool.to_string());
        let tool = if self.sums.contains_key(&tool) || self.sums.len() < MAX_TOOLS { tool } else { Default::default() };
        self.sums.entry(tool).or_default().add(counted, failed);
    }

    fn seen(&mut self, call: &ToolCallSeen, at: Moment) {
        let kept = KeptToolCall {
            tool: call.tool.to_string(),
            server: call.server.as_ref().map(ToString::to_string).unwrap_or_default(),
            at,
            duration_us: call.duration.get(),
            outcome: call.outcome,
            error: call.error.as_ref().map(ToString::to_string).unwrap_or_default(),
            trace: call.trace,
        };
        if has_failed(call.outcome) == Some(true) {
            if self.last_failed.len() >= KEPT_CALLS {
                self.last_failed.remove(0);
            }
            self.last_failed.push(kept.clone());
        }
        self.slowest.push(kept);
        self.slowest.sort_by_key(|call| std::cmp::Reverse(call.duration_us));
        self.slowest.truncate(KEPT_CALLS);
    }

    fn whole(&self) -> Sums {
        let mut whole = Sums::default();
        self.sums.values().for_each(|sums| whole.merge(sums));
        whole
    }

    /// The mean duration of the judged calls (µs).
    pub fn mean(&self) -> Option<Exact> {
        let Sums { calls, sum_us, .. } = self.whole();
        Exact::mean(sum_us, calls)
    }

    pub(super) fn finish(&mut self) {
        let whole = self.whole();
        (self.judged, self.failed) = (whole.calls, whole.failed);
        self.mean_us = Exact::mean(whole.sum_us, whole.calls).map(Exact::rounded);
        let at_most = |sums: &Sums, permille| sums.durations.at_most(permille).map(|end| end.min(sums.max_us));
        [self.p50_us, self.p95_us, self.p99_us] = [500, 950, 990].map(|permille| at_most(&whole, permille));
        self.max_us = (whole.calls > 0).then_some(whole.max_us);
        let figures = self.sums.iter().map(|((server, tool), sums)| ToolFigures {
            server: server.clone(),
            tool: if tool.is_empty() { "(other)".to_owned() } else { tool.clone() },
            calls: sums.calls,
            failed: sums.failed,
            mean_us: Exact::mean(sums.sum_us, sums.calls).map_or(0, Exact::rounded),
            p95_us: at_most(sums, 950).unwrap_or(0),
            max_us: sums.max_us,
        });
        self.tools = figures.collect();
        self.tools.sort_by(|one, other| {
            other.calls.cmp(&one.calls).then_with(|| (&one.server, &one.tool).cmp(&(&other.server, &other.tool)))
        });
    }
}
