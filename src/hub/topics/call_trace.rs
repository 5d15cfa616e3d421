//! A meta-tool call as its own trace, for people: the call itself and its Gemini part, with MCP's and GenAI's convention names.

use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};

use crate::watch::{Attributes, GeminiFailure, GeminiOutcome, SpanId, Text, Timestamp, names};

use super::calls::{EndedCall, StageEvent};

/// The spans of a call: `tools/call hub__analyze_prompt`, and under it `generate_content MODEL` if Gemini was asked.
pub fn spans(call: &EndedCall, model: Option<&str>) -> Vec<Span> {
    let mut spans = vec![call_span(call)];
    if let Some(asked) = call.gemini_asked {
        spans.push(gemini_span(call, asked, model));
    }
    spans
}

fn call_span(call: &EndedCall) -> Span {
    let fact = &call.fact;
    let mut attributes = Attributes::default();
    attributes.put(names::MCP_METHOD_NAME, &Text::from(names::MCP_TOOLS_CALL));
    attributes.put(names::GEN_AI_TOOL_NAME, &Text::from(names::META_TOOL));
    attributes.put(names::GEN_AI_OPERATION_NAME, &Text::from(names::GEN_AI_EXECUTE_TOOL));
    attributes.put(names::CALL_OUTCOME, &fact.outcome);
    attributes.put(names::CALL_PAIRING, &fact.pairing);
    attributes.put(names::CALL_IN_FLIGHT, &fact.in_flight);
    attributes.put(names::CALL_NOTIFICATION, &fact.notification);
    attributes.put(names::SESSION, &fact.session);
    let error = fact.outcome.error().map(Text::from);
    attributes.put(names::ERROR_TYPE, &error);
    let end = call.ended;
    Span {
        trace_id: fact.trace.as_bytes().to_vec(),
        span_id: SpanId::of_call(call.began, "").as_bytes().to_vec(),
        name: format!("{} {}", names::MCP_TOOLS_CALL, names::META_TOOL),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: fact.started.as_nanos(),
        end_time_unix_nano: end.as_nanos(),
        attributes: attributes.into_inner(),
        events: call.events.iter().map(|event| stage(event, fact.started, end)).collect(),
        status: status(error.is_some()),
        ..Span::default()
    }
}

fn gemini_span(call: &EndedCall, asked: Timestamp, model: Option<&str>) -> Span {
    let fact = &call.fact;
    let mut attributes = Attributes::default();
    attributes.put(names::GEN_AI_OPERATION_NAME, &Text::from(names::GEN_AI_GENERATE_CONTENT));
    attributes.put(names::GEN_AI_PROVIDER_NAME, &Text::from(names::GEN_AI_GEMINI));
    attributes.put(names::GEN_AI_REQUEST_MODEL, &model.map(Text::from));
    attributes.put(names::CALL_GEMINI, &fact.gemini);
    attributes.put(names::CALL_GEMINI_FAILED_ROUNDS, &fact.gemini_failed_rounds);
    let failed = matches!(fact.gemini, GeminiOutcome::Failed | GeminiOutcome::Unfinished);
    let error = failed.then(|| Text::from(fact.gemini_failure.map_or("unfinished", GeminiFailure::as_str)));
    attributes.put(names::ERROR_TYPE, &error);
    let duration = fact.gemini_duration.unwrap_or_default();
    Span {
        trace_id: fact.trace.as_bytes().to_vec(),
        span_id: SpanId::of_call(call.began, "gemini").as_bytes().to_vec(),
        parent_span_id: SpanId::of_call(call.began, "").as_bytes().to_vec(),
        name: model.map_or_else(
            || names::GEN_AI_GENERATE_CONTENT.to_owned(),
            |model| format!("{} {model}", names::GEN_AI_GENERATE_CONTENT),
        ),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: asked.as_nanos(),
        end_time_unix_nano: asked.plus(duration).as_nanos(),
        attributes: attributes.into_inner(),
        status: status(failed),
        ..Span::default()
    }
}

/// Error if something failed, otherwise unset: never OK, as the conventions want it.
fn status(failed: bool) -> Option<Status> {
    failed.then(|| Status { code: StatusCode::Error.into(), ..Status::default() })
}

fn stage(event: &StageEvent, start: Timestamp, end: Timestamp) -> Event {
    let at = event.at.clamp(start, end);
    Event { time_unix_nano: at.as_nanos(), name: event.name.as_str().to_owned(), ..Event::default() }
}
