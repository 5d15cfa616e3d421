//! What a span says by OpenTelemetry's MCP and GenAI conventions. Older names are read, too: those of OpenLLMetry and of the GenAI
//! conventions before 1.27; and HTTP client spans to the hosts of LLMs, as Node's stock instrumentation makes them.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

use crate::watch::{
    LlmAttemptSeen, LlmOutcome, Micros, ScenarioChecked, ScenarioRun, SessionHash, StepVerdict, Text, Timestamp, ToolCallSeen,
    ToolOutcome, TraceId, names,
};

/// The provider of each host that LLMs are asked at.
const LLM_HOSTS: [(&str, &str); 5] = [
    ("generativelanguage.googleapis.com", names::GEN_AI_GEMINI),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("api.mistral.ai", "mistral_ai"),
];

/// The operations of the GenAI conventions that ask a model; the others are what agents and tools do.
const LLM_OPERATIONS: [&str; 4] = ["generate_content", "chat", "text_completion", "embeddings"];

/// A model that a span does not name.
const UNKNOWN_MODEL: &str = "(unknown)";

/// What one span is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    /// A call of a tool, as the hub served it.
    ToolCall(ToolCallSeen),
    /// A request to an LLM.
    LlmAttempt(LlmAttempt),
}

/// A request to an LLM and its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LlmAttempt {
    pub(super) seen: LlmAttemptSeen,
    pub(super) provider: Option<Text>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) reasoning_tokens: Option<u64>,
}

/// Attributes, by name.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [KeyValue]);

impl<'a> Attributes<'a> {
    fn value(self, name: &str) -> Option<&'a any_value::Value> {
        self.0.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        match self.value(name)? {
            any_value::Value::StringValue(text) if !text.is_empty() => Some(text),
            any_value::Value::ArrayValue(several) => match several.values.first() {
                Some(AnyValue { value: Some(any_value::Value::StringValue(text)) }) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    fn first_text(self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A number, also where it was written as text.
    fn number(self, name: &str) -> Option<u64> {
        match self.value(name)? {
            any_value::Value::IntValue(number) => u64::try_from(*number).ok(),
            any_value::Value::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn first_number(self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.number(name))
    }

    fn is_true(self, name: &str) -> bool {
        matches!(self.value(name), Some(any_value::Value::BoolValue(true)))
    }
}

/// Whose spans they are.
pub(super) struct OfResource<'a> {
    service: Option<&'a str>,
    /// The process.
    pub(super) pid: Option<u32>,
}

impl<'a> OfResource<'a> {
    pub(super) fn of(resource: Option<&'a Resource>) -> Self {
        let attributes = Attributes(resource.map(|resource| resource.attributes.as_slice()).unwrap_or_default());
        let pid = attributes.number(names::PROCESS_PID).and_then(|pid| u32::try_from(pid).ok());
        Self { service: attributes.text(names::SERVICE_NAME), pid }
    }

    /// Returns whether it is the hub: its `service.name` is the hub's, unknown or absent. Spans of an MCP server or a client for the same
    /// calls would count them twice.
    pub(super) fn is_hub(&self) -> bool {
        self.service.is_none_or(|service| service == names::HUB_SERVICE || service.starts_with("unknown_service"))
    }
}

/// Returns what a span of the hub is, if it is a call of a tool or a request to an LLM.
pub(super) fn observed(span: &Span) -> Option<Observed> {
    let said = Attributes(&span.attributes);
    let kind = span.kind();
    if kind == SpanKind::Server && said.text(names::MCP_METHOD_NAME) == Some(names::MCP_TOOLS_CALL) {
        return Some(Observed::ToolCall(tool_call(span, said)));
    }
    let host = said.first_text(&[names::SERVER_ADDRESS, "net.peer.name", "http.host"]).unwrap_or_default();
    let by_host =
        LLM_HOSTS.iter().find(|(llm, _)| host == *llm || host.ends_with(&format!("-{llm}"))).map(|(_, provider)| *provider);
    let asks = said.text(names::GEN_AI_OPERATION_NAME).map_or_else(
        || said.first_text(&["llm.request.type", "gen_ai.system", "llm.vendor"]).is_some() || by_host.is_some(),
        |operation| LLM_OPERATIONS.contains(&operation),
    );
    // Some libraries leave the kind at its default.
    let is_client = matches!(kind, SpanKind::Client | SpanKind::Internal | SpanKind::Unspecified);
    (asks && is_client).then(|| Observed::LlmAttempt(llm_attempt(span, said, by_host)))
}

fn tool_call(span: &Span, said: Attributes<'_>) -> ToolCallSeen {
    let error = said.text(names::ERROR_TYPE);
    let outcome = match error {
        Some("tool_error") => ToolOutcome::ToolError,
        Some("client_closed" | "cancelled") => ToolOutcome::ClientClosed,
        Some("no_answer") => ToolOutcome::NoAnswer,
        Some(_) => ToolOutcome::Error,
        None if has_failed(span) => ToolOutcome::Error,
        None => ToolOutcome::Ok,
    };
    let tool = said.first_text(&[names::GEN_AI_TOOL_NAME, "mcp.tool.name"]).unwrap_or("(unknown)");
    let prefix = tool.split_once("__").map(|(server, _)| server).filter(|_| tool != names::META_TOOL);
    ToolCallSeen {
        started: started(span),
        duration: duration(span),
        server: said.text(names::SERVER_NAME).or(prefix).map(Text::from),
        tool: tool.into(),
        outcome,
        injected: said.is_true(names::INJECTED),
        error: error.map(Text::from),
        session: session(said),
        trace: TraceId::from_slice(&span.trace_id),
    }
}

fn llm_attempt(span: &Span, said: Attributes<'_>, by_host: Option<&str>) -> LlmAttempt {
    let status =
        said.first_number(&[names::HTTP_RESPONSE_STATUS_CODE, "http.status_code"]).and_then(|status| u32::try_from(status).ok());
    let error = said.text(names::ERROR_TYPE);
    let model = said.first_text(&[names::GEN_AI_REQUEST_MODEL, names::GEN_AI_RESPONSE_MODEL, "llm.request.model"]);
    let in_address = || said.first_text(&["url.full", "http.url"]).and_then(model_of_address);
    let provider = said.first_text(&[names::GEN_AI_PROVIDER_NAME, "gen_ai.system", "llm.vendor"]).or(by_host);
    let retry = said.number(names::HTTP_REQUEST_RESEND_COUNT).and_then(|retry| u32::try_from(retry).ok());
    LlmAttempt {
        seen: LlmAttemptSeen {
            started: started(span),
            duration: duration(span),
            model: model.or_else(in_address).unwrap_or(UNKNOWN_MODEL).into(),
            outcome: llm_outcome(status.or_else(|| error?.parse().ok()), error, has_failed(span)),
            injected: said.is_true(names::INJECTED),
            status,
            error: error.map(Text::from),
            retry: retry.filter(|retry| *retry > 0),
            session: session(said),
            tool: said.text(names::GEN_AI_TOOL_NAME).map(Text::from),
            trace: TraceId::from_slice(&span.trace_id),
        },
        provider: provider.map(Text::from),
        input_tokens: said.first_number(&[names::GEN_AI_INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"]),
        output_tokens: said.first_number(&[
            names::GEN_AI_OUTPUT_TOKENS,
            "gen_ai.usage.completion_tokens",
            "llm.usage.completion_tokens",
        ]),
        reasoning_tokens: said.first_number(&[names::GEN_AI_REASONING_TOKENS, "gen_ai.usage.reasoning_tokens"]),
    }
}

/// The model in an address such as `…/models/gemini-2.5-flash:generateContent?…`.
fn model_of_address(address: &str) -> Option<&str> {
    let (_, model) = address.split_once("/models/")?;
    model.split([':', '/', '?']).next().filter(|model| !model.is_empty())
}

fn llm_outcome(status: Option<u32>, error: Option<&str>, has_failed: bool) -> LlmOutcome {
    match (status, error) {
        (Some(429), _) => LlmOutcome::RateLimited,
        (Some(400..=499), _) => LlmOutcome::Rejected,
        (Some(500..), _) => LlmOutcome::ServerError,
        (_, Some(error)) => {
            let error = error.to_ascii_lowercase();
            let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
            if says(&["timeout", "timedout", "abort"]) {
                LlmOutcome::Timeout
            } else if says(&["rate_limit", "ratelimit", "resource_exhausted"]) {
                LlmOutcome::RateLimited
            } else {
                LlmOutcome::Failed
            }
        }
        (_, None) if has_failed => LlmOutcome::Failed,
        (_, None) => LlmOutcome::Ok,
    }
}

fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

fn started(span: &Span) -> Timestamp {
    Timestamp::from_nanos(span.start_time_unix_nano)
}

fn duration(span: &Span) -> Micros {
    Micros::new(span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano) / 1_000)
}

fn session(said: Attributes<'_>) -> Option<SessionHash> {
    said.text(names::MCP_SESSION_ID).and_then(SessionHash::parse)
}

/// Returns the step results in a scenario's span, each with its time.
pub(super) fn checks(span: &Span) -> impl Iterator<Item = (Timestamp, ScenarioChecked)> {
    let of_span = Attributes(&span.attributes);
    let scenario = of_span.text(names::SCENARIO).zip(of_span.text(names::SCENARIO_RUN).and_then(ScenarioRun::parse));
    let trace = TraceId::from_slice(&span.trace_id);
    let events = span.events.iter().filter(|event| event.name == names::SCENARIO_CHECKED);
    events.filter_map(move |event| {
        let (scenario, run) = scenario?;
        let said = Attributes(&event.attributes);
        let checked = ScenarioChecked {
            scenario: scenario.into(),
            run,
            sequence: said.number(names::SCENARIO_SEQUENCE).and_then(|sequence| u32::try_from(sequence).ok())?,
            check: said.text(names::CHECK)?.into(),
            title: said.text(names::CHECK_TITLE)?.into(),
            verdict: StepVerdict::parse(said.text(names::CHECK_VERDICT)?)?,
            detail: said.text(names::DETAIL).map(Text::from),
            known_defect: said.text(names::KNOWN_DEFECT).map(Text::from),
            trace_id: trace.map(|trace| trace.to_string().into()),
        };
        Some((Timestamp::from_nanos(event.time_unix_nano), checked))
    })
}
