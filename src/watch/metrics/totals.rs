//! Counters and histograms, as running totals.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric};
use serde::{Deserialize, Serialize};

use super::observed::{self, ObservedTotals};
use super::own::OwnTotals;
use super::points::{Counting, Labels, attributes};
use crate::watch::fact::{CallFact, CallOutcome, FactKind, GeminiOutcome};
use crate::watch::operation::{OperationKind, operations};
use crate::watch::poll::ApiOutcome;
use crate::watch::quantity::Micros;
use crate::watch::{Watch, names};

/// Bucket bounds of MCP's duration metrics, in seconds (MCP conventions, "Metrics").
pub(super) const MCP_BOUNDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Bucket bounds of GenAI's duration metrics, in seconds (GenAI conventions, "Metrics").
pub(super) const GEN_AI_BOUNDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Bucket bounds of the HTTP client's duration metric, in seconds (HTTP conventions, "Metrics").
const HTTP_BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Durations {
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Durations {
    /// Adds so many of this size.
    pub(super) fn add_several(&mut self, size: f64, count: u64, bounds: &[f64]) {
        self.buckets.resize(bounds.len() + 1, 0);
        let bucket = bounds.iter().position(|bound| size <= *bound).unwrap_or(bounds.len());
        self.buckets[bucket] = self.buckets[bucket].saturating_add(count);
        self.count = self.count.saturating_add(count);
    }

    /// Adds to the sum of all sizes.
    pub(super) fn add_to_sum(&mut self, sum: f64) {
        self.sum += sum;
    }

    pub(super) fn point(&self, counting: Counting, bounds: &[f64], attributes: Vec<KeyValue>) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: counting.from.as_nanos(),
            time_unix_nano: counting.to.as_nanos(),
            count: self.count,
            sum: Some(self.sum),
            // A stream of which only the sum is known has no bucket yet.
            bucket_counts: if self.buckets.is_empty() { vec![0; bounds.len() + 1] } else { self.buckets.clone() },
            explicit_bounds: bounds.to_vec(),
            ..HistogramDataPoint::default()
        }
    }
}

/// Counts since the beginning, or since an earlier time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Totals {
    lines: BTreeMap<String, u64>,
    bytes: u64,
    http: BTreeMap<String, Durations>,
    calls: BTreeMap<String, Durations>,
    gemini: BTreeMap<String, Durations>,
    /// What instrumentation of the hub told.
    #[serde(default)]
    observed: ObservedTotals,
    /// The sidecar's own counts.
    #[serde(default)]
    pub(super) own: OwnTotals,
}

impl Totals {
    /// Adds a Watch.
    pub(super) fn count(&mut self, watch: &Watch) {
        let levels = [
            ("debug", watch.log.debug),
            ("info", watch.log.info),
            ("warn", watch.log.warn),
            ("error", watch.log.error),
            ("none", watch.log.unlevelled),
        ];
        for (level, count) in levels.into_iter().filter(|(_, count)| count.get() > 0) {
            let total = self.lines.entry(level.to_owned()).or_default();
            *total = total.saturating_add(count.get());
        }
        self.bytes = self.bytes.saturating_add(watch.log.bytes.get());
        self.own.count(&watch.sidecar);
        for operation in operations(watch) {
            // A histogram can't count a call whose duration is unknown: such a call is only a fact of its Watch.
            let Some(duration) = operation.duration else { continue };
            match operation.kind {
                OperationKind::ApiRequest => add(&mut self.http, operation.outcome, duration, &HTTP_BOUNDS),
                OperationKind::MetaToolCall => add(&mut self.calls, operation.outcome, duration, &MCP_BOUNDS),
            }
        }
        for fact in &watch.facts {
            self.observed.count(&fact.kind);
            // Where instrumentation shows each attempt, what the log shows of them together would count them twice.
            if let FactKind::Call(CallFact::CallEnded(call)) = &fact.kind
                && let Some(duration) = call.gemini_duration
                && !observed::is_told(watch)
            {
                add(&mut self.gemini, call.gemini.as_str(), duration, &GEN_AI_BOUNDS);
            }
        }
    }

    /// Returns what was added since `earlier`.
    pub(super) fn minus(&self, earlier: &Self) -> Self {
        let lines = self.lines.iter().filter_map(|(level, count)| {
            let added = count - earlier.lines.get(level).copied().unwrap_or(0).min(*count);
            (added > 0).then(|| (level.clone(), added))
        });
        Self {
            lines: lines.collect(),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            http: added(&self.http, &earlier.http),
            calls: added(&self.calls, &earlier.calls),
            gemini: added(&self.gemini, &earlier.gemini),
            observed: self.observed.minus(&earlier.observed),
            own: self.own.minus(&earlier.own),
        }
    }

    /// Returns the metrics.
    pub(super) fn metrics(&self, counting: Counting) -> Vec<Metric> {
        let lines = self.lines.iter().map(|(level, count)| counting.number(*count, &[("level", level)]));
        vec![
            counting.sum(names::METRIC_LOG_LINES, "{line}", "Lines that the hub logged.", lines.collect()),
            counting.sum(names::METRIC_LOG_BYTES, "By", "Bytes that the hub logged.", vec![counting.number(self.bytes, &[])]),
            histogram(counting, &API_REQUESTS, &self.http),
            counting.histogram(
                META_TOOL_CALLS.name,
                META_TOOL_CALLS.description,
                [points(counting, &META_TOOL_CALLS, &self.calls), self.observed.tool_calls(counting)].concat(),
            ),
            counting.histogram(
                GEMINI_PARTS.name,
                GEMINI_PARTS.description,
                [points(counting, &GEMINI_PARTS, &self.gemini), self.observed.attempts(counting)].concat(),
            ),
            self.observed.tokens(counting),
        ]
    }
}

/// Describes a duration histogram.
struct Timed {
    name: &'static str,
    description: &'static str,
    bounds: &'static [f64],
    /// The name of the outcome's attribute.
    outcome: &'static str,
    /// Attributes of all points.
    labels: Labels<'static>,
    /// Returns `error.type` for an outcome.
    error: fn(&str) -> Option<&str>,
}

const API_REQUESTS: Timed = Timed {
    name: names::METRIC_HTTP_DURATION,
    description: "Requests of the watch to the hub's API.",
    bounds: &HTTP_BOUNDS,
    outcome: names::API_OUTCOME,
    labels: &[(names::HTTP_REQUEST_METHOD, "GET")],
    error: |outcome| ApiOutcome::parse(outcome)?.error(),
};

const META_TOOL_CALLS: Timed = Timed {
    name: names::METRIC_CALL_DURATION,
    description: "Calls of tools that ended: of the meta-tool, and of others where instrumentation of the hub shows them.",
    bounds: &MCP_BOUNDS,
    outcome: names::CALL_OUTCOME,
    labels: &[(names::MCP_METHOD_NAME, names::MCP_TOOLS_CALL), (names::GEN_AI_TOOL_NAME, names::META_TOOL)],
    error: |outcome| CallOutcome::parse(outcome)?.error(),
};

const GEMINI_PARTS: Timed = Timed {
    name: names::METRIC_GEMINI_DURATION,
    description: "Requests to LLMs where instrumentation of the hub shows them, else the Gemini part of meta-tool calls, retries included.",
    bounds: &GEN_AI_BOUNDS,
    outcome: names::CALL_GEMINI,
    labels: &[(names::GEN_AI_OPERATION_NAME, names::GEN_AI_GENERATE_CONTENT), (names::GEN_AI_PROVIDER_NAME, names::GEN_AI_GEMINI)],
    error: |outcome| match GeminiOutcome::parse(outcome)? {
        GeminiOutcome::Failed | GeminiOutcome::Unfinished => Some(outcome),
        GeminiOutcome::Ok | GeminiOutcome::Recovered | GeminiOutcome::NotAsked | GeminiOutcome::Unseen => None,
    },
};

pub(super) fn added<K: Ord + Clone>(all: &BTreeMap<K, Durations>, earlier: &BTreeMap<K, Durations>) -> BTreeMap<K, Durations> {
    let streams = all.iter().filter_map(|(label, now)| {
        let Some(then) = earlier.get(label) else { return Some((label.clone(), now.clone())) };
        let buckets = now.buckets.iter().zip(&then.buckets).map(|(now, then)| now.saturating_sub(*then)).collect();
        let added = Durations { buckets, count: now.count.saturating_sub(then.count), sum: now.sum - then.sum };
        (added.count > 0).then(|| (label.clone(), added))
    });
    streams.collect()
}

/// Returns the histogram, with one point for each outcome.
fn histogram(counting: Counting, of: &Timed, all: &BTreeMap<String, Durations>) -> Metric {
    counting.histogram(of.name, of.description, points(counting, of, all))
}

fn points(counting: Counting, of: &Timed, all: &BTreeMap<String, Durations>) -> Vec<HistogramDataPoint> {
    let points = all.iter().map(|(outcome, durations)| {
        let error = (of.error)(outcome).map(|error| (names::ERROR_TYPE, error));
        let own = std::iter::once((of.outcome, outcome.as_str())).chain(error);
        durations.point(counting, of.bounds, attributes(of.labels.iter().copied().chain(own)))
    });
    points.collect()
}

fn add(all: &mut BTreeMap<String, Durations>, label: &str, duration: Micros, bounds: &[f64]) {
    let durations = all.entry(label.to_owned()).or_default();
    let seconds = duration.as_secs_f64();
    durations.add_several(seconds, 1, bounds);
    durations.add_to_sum(seconds);
}
