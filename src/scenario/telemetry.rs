//! What a scenario did, as OpenTelemetry: a trace for each scenario, a CLIENT span for each MCP request by the MCP conventions, and
//! the metric `mcp.client.operation.duration`, by the official SDK.
//!
//! Each request carries its span's context in `params._meta`, so that whoever instruments the hub continues the trace. Session ids are
//! hashed; prompts and arguments are in no span.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanExporter};
use serde::Deserialize;
use serde_json::{Value, json};

use super::target::Target;
use crate::export::{Outlet, Receipt};
use crate::mcp::{Answer, McpError, PROTOCOL_VERSION, SessionId};
use crate::watch::{ScenarioChecked, ScenarioRun, names};

/// The instrumentation scope of all spans and metrics.
const SCOPE: &str = "hubwatch.scenario";

/// The metric of the MCP conventions for what a client's requests took.
const DURATION: &str = "mcp.client.operation.duration";

/// The buckets of the MCP conventions for the duration of an operation, in seconds.
const BUCKETS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The telemetry of a run of the command.
pub struct Telemetry {
    spans: SdkTracerProvider,
    tracer: SdkTracer,
    meters: SdkMeterProvider,
    durations: Histogram<f64>,
    /// What every request has in common.
    hub: Vec<KeyValue>,
    /// What became of the spans, and of the metrics, receiver by receiver.
    receipts: [Vec<Arc<Receipt>>; 2],
    /// Spans that were begun; all of them end before this does.
    begun: AtomicU64,
    /// Requests that were measured.
    measured: Arc<AtomicU64>,
    /// Hides session ids.
    key: [u8; 32],
}

impl Telemetry {
    /// Telemetry that goes to these receivers. Without one it goes nowhere, but spans have ids all the same.
    pub fn to<S: SpanExporter + 'static, M: PushMetricExporter>(
        spans: Vec<Outlet<S>>,
        metrics: Vec<Outlet<M>>,
        hub: &Target,
    ) -> Self {
        let resource = Resource::builder()
            .with_service_name("hubwatch-scenario")
            .with_attributes([
                KeyValue::new(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
                KeyValue::new(names::WATCH_HUB, hub.name.to_string()),
                KeyValue::new(names::DEPLOYMENT_ENVIRONMENT_NAME, hub.environment.to_string()),
            ])
            .build();
        let receipts = [spans.iter().map(Outlet::receipt).collect(), metrics.iter().map(Outlet::receipt).collect()];
        let sent_to = SdkTracerProvider::builder().with_resource(resource.clone()).with_sampler(Sampler::AlwaysOn);
        let spans = spans.into_iter().fold(sent_to, opentelemetry_sdk::trace::TracerProviderBuilder::with_batch_exporter).build();
        let sent_to = SdkMeterProvider::builder().with_resource(resource);
        let meters =
            metrics.into_iter().fold(sent_to, opentelemetry_sdk::metrics::MeterProviderBuilder::with_periodic_exporter).build();
        let durations = meters
            .meter(SCOPE)
            .f64_histogram(DURATION)
            .with_unit("s")
            .with_description("How long MCP requests took, as the client measured them")
            .with_boundaries(BUCKETS.to_vec())
            .build();
        let mut key = [0; 32];
        fastrand::fill(&mut key);
        let tracer = spans.tracer(SCOPE);
        let (begun, measured) = (AtomicU64::new(0), Arc::default());
        Self { spans, tracer, meters, durations, hub: address(hub.hub.base()), receipts, begun, measured, key }
    }

    /// Begins the trace of a run of a scenario.
    pub(super) fn scenario(&self, name: &'static str, run: ScenarioRun, hub: &str) -> ScenarioSpan {
        let attributes = vec![
            KeyValue::new(names::SCENARIO, name),
            KeyValue::new(names::SCENARIO_RUN, run.to_string()),
            KeyValue::new(names::WATCH_HUB, hub.to_owned()),
        ];
        self.begun.fetch_add(1, Ordering::Relaxed);
        let span = self.tracer.span_builder(format!("scenario {name}")).with_attributes(attributes).start(&self.tracer);
        ScenarioSpan { context: Context::new().with_span(span) }
    }

    /// Begins the span of an MCP request.
    pub(super) fn request(&self, of: &ScenarioSpan, method: &str, tool: Option<&str>, session: Option<&SessionId>) -> RequestSpan {
        let name = tool.map_or_else(|| method.to_owned(), |tool| format!("{method} {tool}"));
        let mut attributes = vec![
            KeyValue::new("mcp.method.name", method.to_owned()),
            KeyValue::new("mcp.protocol.version", PROTOCOL_VERSION),
            KeyValue::new("network.transport", "tcp"),
            KeyValue::new("network.protocol.name", "http"),
        ];
        attributes.extend(self.hub.iter().cloned());
        if let Some(tool) = tool {
            attributes.push(KeyValue::new("gen_ai.tool.name", tool.to_owned()));
            attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
        }
        let measured = attributes.clone();
        if let Some(session) = session {
            attributes.push(KeyValue::new("mcp.session.id", session.hashed(&self.key).to_string()));
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Client).with_attributes(attributes);
        let span = builder.start_with_context(&self.tracer, &of.context);
        RequestSpan { span, durations: self.durations.clone(), count: Arc::clone(&self.measured), measured }
    }

    /// Sends what has not been sent, within this time. Returns what could not be sent, a sentence for each signal and receiver.
    pub async fn end(self, within: Duration) -> Vec<String> {
        let Self { spans, meters, receipts: [of_spans, of_metrics], begun, measured, .. } = self;
        // The SDK waits for its own threads, which need this one to send.
        let ended = [
            tokio::task::spawn_blocking(move || spans.shutdown_with_timeout(within)),
            tokio::task::spawn_blocking(move || meters.shutdown_with_timeout(within)),
        ];
        // What became of it is counted: the SDK's own results know only of its last request.
        let _ = tokio::time::timeout(within, futures_util::future::join_all(ended)).await;
        let (begun, measured) = (begun.into_inner(), measured.load(Ordering::Relaxed));
        let why = |receipt: &Receipt| {
            let why = receipt.failure().unwrap_or_else(|| format!("no answer within {} s", within.as_secs()));
            format!("could not be sent to {}: {why}", receipt.to())
        };
        let spans = of_spans.iter().map(|receipt| (receipt, begun.saturating_sub(receipt.taken())));
        let spans = spans.filter(|(_, lost)| *lost > 0).map(|(receipt, lost)| format!("{lost} of {begun} spans {}", why(receipt)));
        // Each time they are all sent.
        let metrics = of_metrics.iter().filter(|receipt| measured > 0 && !receipt.took_the_last());
        let metrics = metrics.map(|receipt| format!("the metric {DURATION} {}", why(receipt)));
        spans.chain(metrics).collect()
    }
}

/// The address of the hub, by the conventions' names.
fn address(base: &str) -> Vec<KeyValue> {
    let Ok(url) = reqwest::Url::parse(base) else { return Vec::new() };
    let host = url.host_str().map(|host| KeyValue::new("server.address", host.trim_matches(['[', ']']).to_owned()));
    let port = url.port_or_known_default().map(|port| KeyValue::new("server.port", i64::from(port)));
    host.into_iter().chain(port).collect()
}

/// The span of a scenario.
pub(super) struct ScenarioSpan {
    context: Context,
}

impl ScenarioSpan {
    /// Its trace, as 32 hexadecimal digits.
    pub(super) fn trace_id(&self) -> String {
        self.context.span().span_context().trace_id().to_string()
    }

    /// Adds a step that was judged: with the attributes of the span all that a watch's receiver makes the same fact of.
    pub(super) fn step(&self, checked: &ScenarioChecked) {
        let optional = [(names::DETAIL, &checked.detail), (names::KNOWN_DEFECT, &checked.known_defect)];
        let mut attributes = vec![
            KeyValue::new(names::SCENARIO_SEQUENCE, i64::from(checked.sequence)),
            KeyValue::new(names::CHECK, checked.check.to_string()),
            KeyValue::new(names::CHECK_TITLE, checked.title.to_string()),
            KeyValue::new(names::CHECK_VERDICT, checked.verdict.as_str()),
        ];
        attributes.extend(optional.iter().filter_map(|(name, text)| Some(KeyValue::new(*name, text.as_ref()?.to_string()))));
        self.context.span().add_event(names::SCENARIO_CHECKED, attributes);
    }

    /// Ends it.
    pub(super) fn end(self, failed: bool) {
        let span = self.context.span();
        if failed {
            span.set_status(Status::error("a step failed"));
        }
        span.end();
    }
}

/// The span of an MCP request.
pub(super) struct RequestSpan {
    span: Span,
    durations: Histogram<f64>,
    count: Arc<AtomicU64>,
    measured: Vec<KeyValue>,
}

impl RequestSpan {
    /// What the request has as `_meta`: its context in the form of W3C's `traceparent`.
    pub(super) fn meta(&self) -> Value {
        json!({"traceparent": traceparent(self.span.span_context())})
    }

    /// Ends it with what came of the request.
    pub(super) fn end(mut self, outcome: &Result<Answer, McpError>, took: Duration) {
        if let Ok(answer) = outcome {
            self.span.set_attributes(id_of(answer).map(|id| KeyValue::new("jsonrpc.request.id", id)));
            if let Err(error) = &answer.outcome {
                let code = KeyValue::new("rpc.response.status_code", error.code.to_string());
                self.span.set_attribute(code.clone());
                self.measured.push(code);
            }
        }
        if let Some((kind, message)) = failure(outcome) {
            self.span.set_attribute(KeyValue::new("error.type", kind.clone()));
            self.measured.push(KeyValue::new("error.type", kind));
            self.span.set_status(Status::error(message));
        }
        self.durations.record(took.as_secs_f64(), &self.measured);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.span.end();
    }
}

/// The id of the request that was answered.
fn id_of(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Message {
        id: Value,
    }
    let Message { id } = serde_json::from_str(&answer.raw).ok()?;
    Some(id.to_string())
}

fn traceparent(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

/// The conventions' `error.type` and a description; `None` for a request that succeeded. What a server says may hold what is private:
/// it is not in the description.
fn failure(outcome: &Result<Answer, McpError>) -> Option<(String, String)> {
    match outcome {
        Ok(answer) => match &answer.outcome {
            Err(error) => Some((error.code.to_string(), format!("JSON-RPC error {}", error.code))),
            Ok(result) if result["isError"] == true => Some(("tool_error".to_owned(), "the tool answered an error".to_owned())),
            Ok(_) => None,
        },
        Err(McpError::Timeout { .. }) => Some(("timeout".to_owned(), "no answer in time".to_owned())),
        Err(McpError::Status { status, .. }) => Some((status.to_string(), format!("HTTP status {status}"))),
        Err(error) => Some(("_OTHER".to_owned(), error.to_string())),
    }
}
