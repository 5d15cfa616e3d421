use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};

use super::*;
use crate::watch::{LlmOutcome, Text};

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn texts(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| pair(key, Value::StringValue((*value).to_owned()))).collect()
}

fn span(kind: SpanKind, ended_secs: u64, took_ms: u64, attributes: Vec<KeyValue>) -> Span {
    let end = ended_secs * 1_000_000_000;
    Span {
        kind: kind.into(),
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        start_time_unix_nano: end - took_ms * 1_000_000,
        end_time_unix_nano: end,
        attributes,
        ..Span::default()
    }
}

fn told_by(service: &str, scope: &str, spans: Vec<Span>) -> Observations {
    let scope = InstrumentationScope { name: scope.to_owned(), ..InstrumentationScope::default() };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: texts(&[(names::SERVICE_NAME, service)]), ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    let mut told = Observations::default();
    told.observe_traces(&request);
    told
}

fn told(spans: Vec<Span>) -> Observations {
    told_by(names::HUB_SERVICE, names::INSTRUMENTATION_SCOPE, spans)
}

fn call(tool: &str, error: Option<&str>) -> Vec<KeyValue> {
    let mut said = texts(&[(names::MCP_METHOD_NAME, names::MCP_TOOLS_CALL), (names::GEN_AI_TOOL_NAME, tool)]);
    said.extend(error.map(|error| pair(names::ERROR_TYPE, Value::StringValue(error.to_owned()))));
    said
}

#[test]
fn calls_are_counted_by_server_tool_and_how_they_ended() {
    let spans = [
        ("files__read", None, 10),
        ("files__read", None, 30),
        ("files__read", Some("tool_error"), 20),
        ("hub__analyze_prompt", Some("-32602"), 5),
    ];
    let told = told(spans.iter().map(|(tool, error, took)| span(SpanKind::Server, 100, *took, call(tool, *error))).collect());
    let all: Vec<_> = told
        .tools
        .iter()
        .map(|(key, tally)| (key.server.as_ref().map(Text::to_string), key.outcome, tally.count, tally.sum, tally.max))
        .collect();
    let files = Some("files".to_owned());
    assert_eq!(
        all,
        [
            (None, ToolOutcome::Error, 1, 5_000, 5_000),
            (files.clone(), ToolOutcome::Ok, 2, 40_000, 30_000),
            (files, ToolOutcome::ToolError, 1, 20_000, 20_000)
        ]
    );
    assert_eq!((told.tool_calls.failed.len(), told.tool_calls.slowest.len(), told.meta_calls.len()), (2, 2, 1));
    assert!(told.is_alive);
}

#[test]
fn what_servers_and_clients_tell_of_the_same_calls_is_not_counted_twice() {
    let spans = || vec![span(SpanKind::Server, 100, 10, call("files__read", None))];
    assert!(told_by("files-server", "other", spans()).is_empty());
    assert!(told(vec![span(SpanKind::Client, 100, 10, call("files__read", None))]).tools.is_empty());
    assert_eq!(told_by("unknown_service:node", "other", spans()).tools.len(), 1);
}

#[test]
fn attempts_are_read_by_todays_names_by_older_ones_and_by_the_host_alone() {
    let number = |key, value| pair(key, Value::IntValue(value));
    let today = [
        texts(&[
            ("gen_ai.operation.name", "generate_content"),
            ("gen_ai.provider.name", "gcp.gemini"),
            ("gen_ai.request.model", "gemini-2.5-flash"),
        ]),
        vec![
            number("gen_ai.usage.input_tokens", 310),
            number("gen_ai.usage.output_tokens", 28),
            number("http.response.status_code", 200),
            number("http.request.resend_count", 2),
        ],
    ]
    .concat();
    let older = [
        texts(&[("llm.request.type", "chat"), ("gen_ai.system", "Google"), ("gen_ai.request.model", "gemini-2.5-flash")]),
        vec![number("gen_ai.usage.prompt_tokens", 10), number("gen_ai.usage.completion_tokens", 2)],
    ]
    .concat();
    let stock = [
        texts(&[
            ("server.address", "generativelanguage.googleapis.com"),
            ("url.full", "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"),
        ]),
        vec![number("http.response.status_code", 429)],
    ]
    .concat();
    let spans =
        [today, older, stock, texts(&[("server.address", "example.com")]), texts(&[("gen_ai.operation.name", "execute_tool")])];
    let told = told(spans.into_iter().map(|said| span(SpanKind::Client, 100, 10, said)).collect());
    let all: Vec<_> = told
        .attempts
        .iter()
        .map(|(key, tally)| {
            (
                key.provider.as_ref().map(Text::to_string).unwrap_or_default(),
                key.outcome,
                tally.input_tokens,
                tally.output_tokens,
                tally.retries,
            )
        })
        .collect();
    let of = |provider: &str| provider.to_owned();
    assert_eq!(
        all,
        [
            (of("Google"), LlmOutcome::Ok, 10, 2, 0),
            (of("gcp.gemini"), LlmOutcome::Ok, 310, 28, 1),
            (of("gcp.gemini"), LlmOutcome::RateLimited, 0, 0, 0)
        ]
    );
    assert!(told.attempts.keys().all(|key| key.model.as_str() == "gemini-2.5-flash"));
}

#[test]
fn a_sender_of_ever_new_names_and_times_takes_no_more_than_its_share() {
    let one = |n: u64| span(SpanKind::Server, 100 + 60 * n, 10, call(&format!("t{n}__x"), Some("e")));
    let mut all = Observations::default();
    for part in 0..20 {
        all.merge(told((0..500).map(|n| one(part * 500 + n)).collect()));
    }
    assert!(all.tools.len() <= 2 * MAX_TOOL_KEYS && all.tool_calls.failed.len() <= MAX_FAILED);
    assert_eq!(all.tools.values().map(|tally| tally.count).sum::<u64>(), 10_000, "all are counted");
}

#[test]
fn what_is_kept_beside_a_request_is_read_back_as_it_was() {
    let told = told(vec![
        span(SpanKind::Server, 100, 10, call("files__read", Some("x"))),
        span(SpanKind::Server, 100, 10, call(names::META_TOOL, None)),
    ]);
    let kept = serde_json::to_vec(&told).unwrap();
    assert_eq!(serde_json::from_slice::<Observations>(&kept).unwrap(), told);
}

#[test]
fn results_of_steps_are_taken_from_the_span_of_a_scenario() {
    let said = texts(&[(names::CHECK, "1.5"), (names::CHECK_TITLE, "B has no tools"), (names::CHECK_VERDICT, "fail")]);
    let said = [said, vec![pair(names::SCENARIO_SEQUENCE, Value::IntValue(4))]].concat();
    let event = opentelemetry_proto::tonic::trace::v1::span::Event {
        time_unix_nano: 5_000_000_000,
        name: names::SCENARIO_CHECKED.to_owned(),
        attributes: said,
        ..Default::default()
    };
    let of_scenario = texts(&[(names::SCENARIO, "session_isolation"), (names::SCENARIO_RUN, "0011223344556677")]);
    let mut told = told_by(
        "hubwatch-scenario",
        "hubwatch.scenario",
        vec![Span { events: vec![event], ..span(SpanKind::Internal, 100, 10, of_scenario) }],
    );
    let checks = told.take_checks();
    assert_eq!(checks.len(), 1);
    assert_eq!((checks[0].0, checks[0].1.check.as_str(), checks[0].1.sequence), (Timestamp::from_secs(5), "1.5", 4));
    assert!(told.is_empty());
}
