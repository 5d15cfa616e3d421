//! Tempo can't be had as a module: this server speaks its documented API, with its limits, to a real Collector and to hubwatch. It
//! takes what Loki takes, too: OTLP logs.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;

/// Tempo's default `max_attribute_bytes`.
const CUT_AT: usize = 2_048;

#[derive(Default)]
struct Kept {
    traces: BTreeMap<String, Vec<Span>>,
    log_records: usize,
}

/// A running server.
#[derive(Clone)]
pub(crate) struct Tempo {
    pub base: String,
    kept: Arc<Mutex<Kept>>,
}

/// Tempo's `TraceByIDResponse`, as far as it is whole.
#[derive(Clone, PartialEq, Message)]
struct TraceByIdResponse {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
}

impl Tempo {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tempo = Self { base: format!("http://{}", listener.local_addr().unwrap()), kept: Arc::default() };
        let routes = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/logs", post(logs))
            .route("/api/v2/traces/{id}", get(trace))
            .layer(DefaultBodyLimit::disable())
            .with_state(tempo.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        tempo
    }

    pub(crate) fn log_records(&self) -> usize {
        self.kept.lock().unwrap().log_records
    }
}

/// A Collector compresses unless told otherwise.
fn unpacked(headers: &HeaderMap, body: &Bytes) -> Vec<u8> {
    if headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding != "gzip") {
        return body.to_vec();
    }
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(body.as_ref()).read_to_end(&mut unpacked).unwrap();
    unpacked
}

async fn traces(State(tempo): State<Tempo>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(unpacked(&headers, &body).as_slice()).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let mut kept = tempo.kept.lock().unwrap();
    for mut span in scopes.flat_map(|scope| scope.spans) {
        cut(&mut span.attributes);
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        for event in &mut span.events {
            cut(&mut event.attributes);
            // An event's time is kept as an offset from its span's start.
            assert!((start..=end).contains(&event.time_unix_nano), "an event outside its span");
        }
        kept.traces.entry(const_hex::encode(&span.trace_id)).or_default().push(span);
    }
}

fn cut(attributes: &mut [KeyValue]) {
    for pair in attributes {
        if let Some(Value::StringValue(text)) = pair.value.as_mut().and_then(|value| value.value.as_mut()) {
            text.truncate(text.floor_char_boundary(CUT_AT));
        }
    }
}

async fn logs(State(tempo): State<Tempo>, headers: HeaderMap, body: Bytes) {
    let request = ExportLogsServiceRequest::decode(unpacked(&headers, &body).as_slice()).unwrap();
    let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    tempo.kept.lock().unwrap().log_records += scopes.map(|scope| scope.log_records.len()).sum::<usize>();
}

async fn trace(State(tempo): State<Tempo>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    assert_eq!(headers[header::ACCEPT], "application/protobuf", "ids are base64 in Tempo's JSON");
    let Some(spans) = tempo.kept.lock().unwrap().traces.get(&id).cloned() else {
        return (StatusCode::NOT_FOUND, "trace not found").into_response();
    };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let answer = TraceByIdResponse { trace: Some(TracesData { resource_spans }) };
    ([(header::CONTENT_TYPE, "application/protobuf")], answer.encode_to_vec()).into_response()
}
