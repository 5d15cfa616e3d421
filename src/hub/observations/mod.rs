//! Tool calls and requests to LLMs that an instrumented hub reports by OTLP, read by OpenTelemetry's MCP and GenAI conventions from any
//! instrumentation's spans.
//!
//! [`conventions`] reads spans, [`tally`] counts them. [`Observations`] holds the result of one or several requests. Its size is bounded,
//! and it is kept beside the request until a Watch contains it.

mod conventions;
mod tally;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric, number_data_point};
use serde::{Deserialize, Serialize};

use crate::base::pairs;
use crate::watch::{
    FactKind, LlmAttemptSeen, LlmFact, Micros, ScenarioChecked, SessionHash, Timestamp, ToolCallSeen, ToolFact, ToolOutcome,
    TraceId, names,
};
use conventions::{Attributes, Observed, OfResource};
pub(super) use tally::{AttemptKey, ToolKey};
use tally::{AttemptTally, Tally};

/// So many tools, outcomes and minutes are kept apart: a hub offers dozens of tools. Those beyond are counted as `(other)`.
const MAX_TOOL_KEYS: usize = 200;

/// So many models, outcomes and minutes are kept apart: a hub asks one model or two.
const MAX_ATTEMPT_KEYS: usize = 50;

/// Maximum failed operations of a kind that become facts of their own; all are counted.
const MAX_FAILED: usize = 16;

/// Maximum slow operations of a kind that become facts of their own.
const MAX_SLOWEST: usize = 3;

/// So many meta-tool calls are compared with the log's: more than a hub ends in an interval.
const MAX_META_CALLS: usize = 512;

/// So many results of scenarios' steps are taken from requests between two Watches: a run of all scenarios has about 120 steps.
const MAX_CHECKS: usize = 512;

/// So many processes tell how much they lost: the hub restarts less often between two Watches.
const MAX_PROCESSES: usize = 8;

/// A call of the meta-tool, as its span shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MetaCall {
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) session: Option<SessionHash>,
    pub(super) outcome: ToolOutcome,
    pub(super) trace: TraceId,
}

/// The content of received requests about a hub, of bounded size.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observations {
    #[serde(with = "pairs")]
    pub(super) tools: BTreeMap<ToolKey, Tally>,
    #[serde(with = "pairs")]
    pub(super) attempts: BTreeMap<AttemptKey, AttemptTally>,
    pub(super) tool_calls: Kept<ToolCallSeen>,
    pub(super) llm_attempts: Kept<LlmAttemptSeen>,
    pub(super) meta_calls: Vec<MetaCall>,
    pub(super) checks: Vec<(Timestamp, ScenarioChecked)>,
    /// Whether the hub's instrumentation told of itself.
    pub(super) is_alive: bool,
    /// Spans that it lost and calls that it could not follow so far, by the number of the process.
    pub(super) lost: BTreeMap<u32, u64>,
}

/// Operations that become facts of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept<T> {
    pub(super) failed: Vec<T>,
    pub(super) slowest: Vec<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { failed: Vec::new(), slowest: Vec::new() }
    }
}

impl<T> Kept<T> {
    fn failed(&mut self, one: T) {
        if self.failed.len() < MAX_FAILED {
            self.failed.push(one);
        }
    }

    fn slow(&mut self, one: T, duration: impl Fn(&T) -> Micros) {
        self.slowest.push(one);
        self.slowest.sort_by_key(|kept| std::cmp::Reverse(duration(kept)));
        self.slowest.truncate(MAX_SLOWEST);
    }

    fn merge(&mut self, other: Self, duration: impl Fn(&T) -> Micros) {
        other.failed.into_iter().for_each(|one| self.failed(one));
        other.slowest.into_iter().for_each(|one| self.slow(one, &duration));
    }
}

impl Observations {
    /// Adds the spans of a request. Session ids in it are keyed hashes already.
    pub fn observe_traces(&mut self, request: &ExportTraceServiceRequest) {
        for resource in &request.resource_spans {
            let of = OfResource::of(resource.resource.as_ref());
            for scope in &resource.scope_spans {
                let by_us = scope.scope.as_ref().is_some_and(|scope| scope.name == names::INSTRUMENTATION_SCOPE);
                self.is_alive |= by_us && of.is_hub();
                for span in &scope.spans {
                    for (at, checked) in conventions::checks(span) {
                        self.check(at, checked);
                    }
                    if of.is_hub() {
                        conventions::observed(span).into_iter().for_each(|observed| self.add(observed));
                    }
                }
            }
        }
    }

    /// Adds what metrics of a request say of the instrumentation itself.
    pub fn observe_metrics(&mut self, request: &ExportMetricsServiceRequest) {
        for resource in &request.resource_metrics {
            let of = OfResource::of(resource.resource.as_ref());
            let ours = |name: &str| name == names::INSTRUMENTATION_SCOPE;
            let scopes = resource.scope_metrics.iter();
            for scope in scopes.filter(|scope| scope.scope.as_ref().is_some_and(|scope| ours(&scope.name)) && of.is_hub()) {
                self.is_alive = true;
                if let Some(pid) = of.pid {
                    self.lost(pid, scope.metrics.iter().map(lost_spans).sum());
                }
            }
        }
    }

    /// Adds all that another one holds.
    pub fn merge(&mut self, other: Self) {
        let Self { tools, attempts, tool_calls, llm_attempts, meta_calls, checks, is_alive, lost } = other;
        for (key, tally) in tools {
            tally::at(&mut self.tools, key, MAX_TOOL_KEYS).merge(&tally);
        }
        for (key, tally) in attempts {
            tally::at(&mut self.attempts, key, MAX_ATTEMPT_KEYS).merge(&tally);
        }
        self.tool_calls.merge(tool_calls, |call| call.duration);
        self.llm_attempts.merge(llm_attempts, |attempt| attempt.duration);
        meta_calls.into_iter().for_each(|call| self.meta_call(call));
        checks.into_iter().for_each(|(at, checked)| self.check(at, checked));
        self.is_alive |= is_alive;
        lost.into_iter().for_each(|(pid, lost)| self.lost(pid, lost));
    }

    /// Takes the results of scenarios' steps out of it, each with its time.
    pub fn take_checks(&mut self) -> Vec<(Timestamp, ScenarioChecked)> {
        std::mem::take(&mut self.checks)
    }

    /// Returns whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, observed: Observed) {
        match observed {
            Observed::ToolCall(call) => {
                let ended = call.started.plus(call.duration);
                if let Some(trace) = call.trace.filter(|_| call.tool.as_str() == names::META_TOOL) {
                    let (started, session, outcome) = (call.started, call.session, call.outcome);
                    self.meta_call(MetaCall { started, ended, session, outcome, trace });
                }
                let key = ToolKey::of(&call, ended);
                tally::at(&mut self.tools, key, MAX_TOOL_KEYS).add(call.duration, ended);
                if call.outcome != ToolOutcome::Ok {
                    self.tool_calls.failed(call);
                } else {
                    self.tool_calls.slow(call, |call| call.duration);
                }
            }
            Observed::LlmAttempt(attempt) => {
                let ended = attempt.seen.started.plus(attempt.seen.duration);
                let key = AttemptKey::of(&attempt, ended);
                tally::at(&mut self.attempts, key, MAX_ATTEMPT_KEYS).add(&attempt, ended);
                if attempt.seen.outcome.error().is_some() {
                    self.llm_attempts.failed(attempt.seen);
                } else {
                    self.llm_attempts.slow(attempt.seen, |attempt| attempt.duration);
                }
            }
        }
    }

    fn meta_call(&mut self, call: MetaCall) {
        if self.meta_calls.len() < MAX_META_CALLS {
            self.meta_calls.push(call);
        }
    }

    fn check(&mut self, at: Timestamp, checked: ScenarioChecked) {
        if self.checks.len() < MAX_CHECKS {
            self.checks.push((at, checked));
        }
    }

    fn lost(&mut self, pid: u32, lost: u64) {
        if self.lost.len() < MAX_PROCESSES || self.lost.contains_key(&pid) {
            let so_far = self.lost.entry(pid).or_default();
            *so_far = lost.max(*so_far);
        }
    }
}

/// Returns the total of the points that tell of spans that were lost, and of calls that could not be followed.
fn lost_spans(metric: &Metric) -> u64 {
    let Some(metric::Data::Sum(sum)) = &metric.data else { return 0 };
    let has_failed = |point: &&NumberDataPoint| Attributes(&point.attributes).text(names::ERROR_TYPE).is_some();
    let lost = sum.data_points.iter().filter(|point| match metric.name.as_str() {
        names::METRIC_SPANS_PROCESSED => has_failed(point),
        names::METRIC_NOT_UNDERSTOOD => true,
        _ => false,
    });
    let value = |value: &number_data_point::Value| match value {
        number_data_point::Value::AsInt(value) => u64::try_from(*value).unwrap_or(0),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating cast is what is wanted")]
        number_data_point::Value::AsDouble(value) => *value as u64,
    };
    lost.filter_map(|point| point.value.as_ref()).map(value).sum()
}

/// Gives the times of a fact that instrumentation told by another clock.
pub(super) fn retime(kind: &mut FactKind, by: impl Fn(Timestamp) -> Timestamp) {
    if let FactKind::Tool(ToolFact::ToolCallSeen(call)) = kind {
        call.started = by(call.started);
    }
    if let FactKind::Llm(LlmFact::LlmAttemptSeen(attempt)) = kind {
        attempt.started = by(attempt.started);
    }
}

#[cfg(test)]
mod tests;
