//! What must not get out is not in the journal.

use hubwatch::journal::Signal;
use hubwatch::watch::SessionHash;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::stage::{KEY, PROTOBUF, Setup, Stage, bytes, logs, pair, span, text, traces};

const SESSION: &str = "1f0e9d8c-7b6a-4543-8210-fedcba987654";

fn private_span() -> Span {
    Span {
        attributes: vec![
            pair("mcp.session.id", SESSION),
            pair("gen_ai.input.messages", "please read s3cret-prompt"),
            pair("http.request.header.authorization", "Bearer s3cret-token"),
            pair("note", r#"{"arguments":{"path":"s3cret-path"}}"#),
        ],
        events: vec![Event {
            attributes: vec![pair("session.id", SESSION), pair("gen_ai.tool.call.result", "s3cret-result")],
            ..Event::default()
        }],
        status: Some(Status { message: format!("session {SESSION} is gone"), code: 2 }),
        ..span(0)
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[tokio::test]
async fn sessions_are_hashes_and_prompts_arguments_and_credentials_are_masked() {
    let stage = Stage::start(Setup::default()).await;
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(vec![private_span()]))).await.status(), 200);
    let body = Some(AnyValue { value: Some(any_value::Value::StringValue("s3cret-answer".to_owned())) });
    let record = LogRecord { event_name: "gen_ai.choice".to_owned(), body, ..LogRecord::default() };
    assert_eq!(stage.post("/v1/logs", &[PROTOBUF], bytes(&logs(vec![record]))).await.status(), 200);
    let spans = stage.spans().await;
    let hash = SessionHash::of(SESSION, &KEY).to_string();
    assert_eq!(text(&spans[0].attributes, "mcp.session.id"), Some(hash.as_str()));
    assert_eq!(text(&spans[0].events[0].attributes, "session.id"), Some(hash.as_str()));
    assert_eq!(spans[0].status.as_ref().unwrap().message, format!("session session-{hash} is gone"));
    let mut everything = [stage.queued(Signal::Traces).await, stage.queued(Signal::Logs).await].concat();
    everything.extend(stage.journal.observed().await.unwrap().into_iter().flat_map(|(_, observations)| observations));
    for secret in ["s3cret", SESSION] {
        assert!(!contains(&everything, secret), "{secret}");
    }
}

#[tokio::test]
async fn with_privacy_kept_only_sessions_are_hidden() {
    let stage = Stage::start(Setup { keep_private: true, ..Setup::default() }).await;
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(vec![private_span()]))).await.status(), 200);
    let queued = stage.queued(Signal::Traces).await;
    for kept in ["s3cret-prompt", "s3cret-token", "s3cret-path", "s3cret-result"] {
        assert!(contains(&queued, kept), "{kept}");
    }
    assert!(!contains(&queued, SESSION));
}
