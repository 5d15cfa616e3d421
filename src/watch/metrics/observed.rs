//! Metrics of what instrumentation of the hub told: calls of ordinary tools, requests to LLMs, tokens.
//!
//! Sums and counts are exact. An operation stands in the bucket that the end of its own bucket in the fact falls into, which is at most an
//! eighth above its size.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric};
use serde::{Deserialize, Serialize};

use super::points::{Counting, attributes};
use super::totals::{Durations, GEN_AI_BOUNDS, MCP_BOUNDS, added};
use crate::base::pairs;
use crate::watch::fact::{FactKind, LlmAttemptsCounted, LlmFact, LlmOutcome, ToolCallsCounted, ToolFact, ToolOutcome};
use crate::watch::{Histogram, Visibility, Watch, names};

/// Bucket bounds of GenAI's token metric (GenAI conventions, "Metrics").
const TOKEN_BOUNDS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// So many streams of a metric are kept: a hub has dozens of tools. Beyond that, operations are counted as those of `(other)`.
const MAX_STREAMS: usize = 300;

/// What stands for all that is not kept apart.
const OTHER: &str = "(other)";

/// What the attributes of a stream say: whose it is, what of, how it ended.
type Stream = (String, String, String);

/// Counts since the beginning, or since an earlier time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ObservedTotals {
    /// By server, tool and outcome.
    #[serde(with = "pairs")]
    tools: BTreeMap<Stream, Durations>,
    /// By provider, model and outcome.
    #[serde(with = "pairs")]
    attempts: BTreeMap<Stream, Durations>,
    /// By provider, model and type of token.
    #[serde(with = "pairs")]
    tokens: BTreeMap<Stream, Durations>,
}

/// Whether instrumentation told of its operations in this Watch.
pub(super) fn is_told(watch: &Watch) -> bool {
    matches!(watch.sources.instrumentation, Some(Visibility::Read | Visibility::Partial))
}

impl ObservedTotals {
    pub(super) fn count(&mut self, fact: &FactKind) {
        match fact {
            FactKind::Tool(ToolFact::ToolCallsCounted(counted)) if counted.tool.as_str() != names::META_TOOL => self.tool(counted),
            FactKind::Llm(LlmFact::LlmAttemptsCounted(counted)) => self.attempt(counted),
            FactKind::Tool(_)
            | FactKind::Llm(_)
            | FactKind::Hub(_)
            | FactKind::Server(_)
            | FactKind::Session(_)
            | FactKind::Call(_)
            | FactKind::Log(_)
            | FactKind::Watcher(_)
            | FactKind::Scenario(_) => {}
        }
    }

    fn tool(&mut self, counted: &ToolCallsCounted) {
        let server = counted.server.as_ref().map(ToString::to_string).unwrap_or_default();
        let stream = (server, counted.tool.to_string(), counted.outcome.to_string());
        let all = at(&mut self.tools, stream);
        add_durations(all, &counted.durations, &MCP_BOUNDS);
        all.add_to_sum(counted.sum.as_secs_f64());
    }

    fn attempt(&mut self, counted: &LlmAttemptsCounted) {
        let of = (counted.provider.as_ref().map(ToString::to_string).unwrap_or_default(), counted.model.to_string());
        let all = at(&mut self.attempts, (of.0.clone(), of.1.clone(), counted.outcome.to_string()));
        add_durations(all, &counted.durations, &GEN_AI_BOUNDS);
        all.add_to_sum(counted.sum.as_secs_f64());
        let types =
            [("input", counted.input_tokens, &counted.input_sizes), ("output", counted.output_tokens, &counted.output_sizes)];
        for (kind, sum, sizes) in types {
            let Some(sizes) = sizes else { continue };
            let all = at(&mut self.tokens, (of.0.clone(), of.1.clone(), kind.to_owned()));
            sizes.buckets().for_each(|(end, count)| all.add_several(number(end), count, &TOKEN_BOUNDS));
            all.add_to_sum(number(sum.get()));
        }
    }

    pub(super) fn minus(&self, earlier: &Self) -> Self {
        Self {
            tools: added(&self.tools, &earlier.tools),
            attempts: added(&self.attempts, &earlier.attempts),
            tokens: added(&self.tokens, &earlier.tokens),
        }
    }

    /// Returns the points of calls of ordinary tools.
    pub(super) fn tool_calls(&self, counting: Counting) -> Vec<HistogramDataPoint> {
        let point = |((server, tool, outcome), durations): (&Stream, &Durations)| {
            let error = ToolOutcome::parse(outcome).and_then(ToolOutcome::error);
            let labels = [
                (names::MCP_METHOD_NAME, names::MCP_TOOLS_CALL),
                (names::GEN_AI_TOOL_NAME, tool),
                (names::SERVER_NAME, server),
                (names::TOOL_OUTCOME, outcome),
            ];
            durations.point(counting, &MCP_BOUNDS, attributes(known(&labels).chain(error.map(|error| (names::ERROR_TYPE, error)))))
        };
        self.tools.iter().map(point).collect()
    }

    /// Returns the points of requests to LLMs.
    pub(super) fn attempts(&self, counting: Counting) -> Vec<HistogramDataPoint> {
        let point = |((provider, model, outcome), durations): (&Stream, &Durations)| {
            let error = LlmOutcome::parse(outcome).and_then(LlmOutcome::error);
            let labels = of_model(provider, model);
            let told = known(&labels).chain([(names::LLM_OUTCOME, outcome.as_str())]);
            durations.point(counting, &GEN_AI_BOUNDS, attributes(told.chain(error.map(|error| (names::ERROR_TYPE, error)))))
        };
        self.attempts.iter().map(point).collect()
    }

    /// Returns the metric of tokens.
    pub(super) fn tokens(&self, counting: Counting) -> Metric {
        let point = |((provider, model, kind), tokens): (&Stream, &Durations)| {
            let labels = of_model(provider, model);
            tokens.point(counting, &TOKEN_BOUNDS, attributes(known(&labels).chain([(names::GEN_AI_TOKEN_TYPE, kind.as_str())])))
        };
        let description = "Tokens of each request to an LLM, where instrumentation of the hub shows them.";
        counting.histogram_of("{token}", names::METRIC_TOKENS, description, self.tokens.iter().map(point).collect())
    }
}

fn of_model<'a>(provider: &'a str, model: &'a str) -> [(&'static str, &'a str); 3] {
    [
        (names::GEN_AI_OPERATION_NAME, names::GEN_AI_GENERATE_CONTENT),
        (names::GEN_AI_PROVIDER_NAME, provider),
        (names::GEN_AI_REQUEST_MODEL, model),
    ]
}

/// The labels that have a value.
fn known<'a>(labels: &[(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    labels.iter().copied().filter(|(_, value)| !value.is_empty())
}

fn at(all: &mut BTreeMap<Stream, Durations>, stream: Stream) -> &mut Durations {
    let stream =
        if all.contains_key(&stream) || all.len() < MAX_STREAMS { stream } else { (String::new(), OTHER.to_owned(), stream.2) };
    all.entry(stream).or_default()
}

fn add_durations(to: &mut Durations, durations: &Histogram, bounds: &[f64]) {
    durations.buckets().for_each(|(end, count)| to.add_several(number(end) / 1e6, count, bounds));
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
fn number(of: u64) -> f64 {
    of as f64
}
