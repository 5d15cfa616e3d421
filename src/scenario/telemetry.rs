//! What a scenario did, as OpenTelemetry: a trace for each scenario, a CLIENT span for each MCP request by the MCP conventions, and
//! the metric `mcp.client.operation.duration`, by the official SDK.
//!
//! Each request carries its span's context in `params._meta`, so that whoever instruments the hub continues the trace. Session ids are
//! hashed; prompts and arguments are in no span.

use std::time::Duration;

use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanExporter};

use super::target::Target;
use crate::mcp::{Answer, McpError, PROTOCOL_VERSION, SessionId};
use crate::watch::names;

/// The instrumentation scope of all spans and metrics.
const SCOPE: &str = "hubwatch.scenario";

/// The buckets of the MCP conventions for the duration of an operation, in seconds.
const BUCKETS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The telemetry of a run of the command.
pub struct Telemetry {
    spans: SdkTracerProvider,
    tracer: SdkTracer,
    meters: SdkMeterProvider,
    durations: Histogram<f64>,
    /// Hides session ids.
    key: [u8; 32],
}

impl Telemetry {
    /// Telemetry that goes where these exporters send it. Without one it goes nowhere, but spans have ids all the same.
    pub fn to(
        spans: impl IntoIterator<Item = impl SpanExporter + 'static>,
        metrics: impl IntoIterator<Item = impl PushMetricExporter>,
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
        let sent_to = SdkTracerProvider::builder().with_resource(resource.clone()).with_sampler(Sampler::AlwaysOn);
        let spans = spans.into_iter().fold(sent_to, opentelemetry_sdk::trace::TracerProviderBuilder::with_batch_exporter).build();
        let sent_to = SdkMeterProvider::builder().with_resource(resource);
        let meters =
            metrics.into_iter().fold(sent_to, opentelemetry_sdk::metrics::MeterProviderBuilder::with_periodic_exporter).build();
        let tracer = spans.tracer(SCOPE);
        let durations = meters
            .meter(SCOPE)
            .f64_histogram("mcp.client.operation.duration")
            .with_unit("s")
            .with_description("How long MCP requests took, as the client measured them")
            .with_boundaries(BUCKETS.to_vec())
            .build();
        let mut key = [0; 32];
        fastrand::fill(&mut key);
        Self { spans, tracer, meters, durations, key }
    }

    /// Begins the trace of a scenario.
    pub(super) fn scenario(&self, name: &'static str, hub: &str) -> ScenarioSpan {
        let attributes = vec![KeyValue::new(names::SCENARIO, name), KeyValue::new(names::WATCH_HUB, hub.to_owned())];
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
        ];
        if let Some(tool) = tool {
            attributes.push(KeyValue::new("gen_ai.tool.name", tool.to_owned()));
            attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
        }
        let measured = attributes.clone();
        if let Some(session) = session {
            attributes.push(KeyValue::new("mcp.session.id", session.hashed(&self.key).to_string()));
        }
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Client).with_attributes(attributes);
        RequestSpan { span: builder.start_with_context(&self.tracer, &of.context), durations: self.durations.clone(), measured }
    }

    /// Sends what has not been sent, within this time.
    ///
    /// # Errors
    /// What could not be sent.
    pub async fn end(self, within: Duration) -> Result<(), String> {
        // The SDK waits for its own threads, which need this one to send.
        let ended = tokio::task::spawn_blocking(move || {
            let spans = self.spans.shutdown_with_timeout(within);
            let metrics = self.meters.shutdown_with_timeout(within);
            spans.and(metrics)
        });
        match tokio::time::timeout(within * 2, ended).await {
            Ok(Ok(ended)) => ended.map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", within.as_secs() * 2)),
        }
    }
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

    /// Adds a step that was judged.
    pub(super) fn step(&self, id: &'static str, verdict: &'static str, detail: &str) {
        let attributes = vec![
            KeyValue::new(names::CHECK, id),
            KeyValue::new(names::CHECK_VERDICT, verdict),
            KeyValue::new(names::DETAIL, detail.to_owned()),
        ];
        self.context.span().add_event("hubwatch.scenario.checked", attributes);
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
    measured: Vec<KeyValue>,
}

impl RequestSpan {
    /// Its context in the form of W3C's `traceparent`.
    pub(super) fn traceparent(&self) -> String {
        traceparent(self.span.span_context())
    }

    /// Ends it with what came of the request.
    pub(super) fn end(mut self, outcome: &Result<Answer, McpError>, took: Duration) {
        if let Some((kind, message)) = failure(outcome) {
            self.span.set_attribute(KeyValue::new("error.type", kind.clone()));
            self.measured.push(KeyValue::new("error.type", kind));
            self.span.set_status(Status::error(message));
        }
        self.durations.record(took.as_secs_f64(), &self.measured);
        self.span.end();
    }
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
