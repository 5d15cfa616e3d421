//! A way from an OTLP receiver to a backend: what is written at one end is read at the other by Jaeger's API, as far as it is let through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hubwatch::backend::jaeger::TraceAnswer;
use hubwatch::backend::otlp_json::OtlpTraces;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// What is lost on the way, or stands in it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Way {
    /// Of so many traces one is kept.
    pub samples: Option<usize>,
    /// What is older is not kept.
    pub retention: Option<Duration>,
    /// No text has more bytes.
    pub longest_text: Option<usize>,
    /// No trace has more spans.
    pub most_spans: Option<usize>,
    /// No request has more bytes.
    pub largest_request: Option<usize>,
    /// A trace with more spans can't be read.
    pub most_read: Option<usize>,
    /// After so many traces that were read it is out of order.
    pub dies_after: Option<usize>,
    /// Nothing can be read before.
    pub delay: Duration,
    /// By how many seconds its clock is ahead.
    pub clock: i64,
}

pub struct Laid {
    pub base: String,
    shared: Arc<Shared>,
}

struct Shared {
    way: Way,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    written: usize,
    read: usize,
    traces: BTreeMap<String, (Instant, ExportTraceServiceRequest)>,
}

impl Way {
    pub async fn lay(self) -> Laid {
        let shared = Arc::new(Shared { way: self, kept: Mutex::default() });
        let router = Router::new()
            .route("/v1/traces", post(write))
            .route("/api/v3/traces/{id}", get(read))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Laid { base, shared }
    }
}

impl Laid {
    /// How many traces were written.
    pub fn written(&self) -> usize {
        self.shared.kept.lock().unwrap().written
    }
}

async fn write(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let way = shared.way;
    if way.largest_request.is_some_and(|largest| body.len() > largest) {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    let mut request = ExportTraceServiceRequest::decode(body).unwrap();
    let spans = &mut request.resource_spans[0].scope_spans[0].spans;
    let id = const_hex::encode(&spans[0].trace_id);
    let age =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() - u128::from(spans[0].end_time_unix_nano);
    spans.truncate(way.most_spans.unwrap_or(usize::MAX));
    spans.iter_mut().for_each(|span| cut(span, way.longest_text.unwrap_or(usize::MAX)));
    let mut kept = shared.kept.lock().unwrap();
    kept.written += 1;
    let sampled = way.samples.is_none_or(|of| kept.written % of == 0);
    if sampled && way.retention.is_none_or(|retention| age < retention.as_nanos()) {
        kept.traces.insert(id, (Instant::now(), request));
    }
    StatusCode::OK
}

fn cut(span: &mut Span, longest: usize) {
    let of_events = span.events.iter_mut().flat_map(|event| &mut event.attributes);
    for pair in span.attributes.iter_mut().chain(of_events) {
        if let Some(Value::StringValue(text)) = pair.value.as_mut().and_then(|value| value.value.as_mut()) {
            text.truncate(longest);
        }
    }
}

async fn read(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let way = shared.way;
    let mut kept = shared.kept.lock().unwrap();
    let found = kept.traces.get(&id).filter(|(since, _)| since.elapsed() >= way.delay).map(|(_, request)| request.clone());
    let spans = found.as_ref().map_or(0, |request| request.resource_spans[0].scope_spans[0].spans.len());
    kept.read += usize::from(spans > 0);
    let mut response = if way.dies_after.is_some_and(|after| kept.read > after) {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    } else if way.most_read.is_some_and(|most| spans > most) {
        (StatusCode::INTERNAL_SERVER_ERROR, "trace is too large").into_response()
    } else if let Some(request) = found {
        let answer = TraceAnswer { result: Some(OtlpTraces { resource_spans: request.resource_spans }), error: None };
        ([(header::CONTENT_TYPE, "application/json")], serde_json::to_vec(&answer).unwrap()).into_response()
    } else {
        (StatusCode::NOT_FOUND, r#"{"error":{"httpCode":404,"message":"No traces found"}}"#).into_response()
    };
    let seconds = Duration::from_secs(way.clock.unsigned_abs());
    let now = SystemTime::now();
    let shown = if way.clock < 0 { now - seconds } else { now + seconds };
    response.headers_mut().insert(header::DATE, HeaderValue::from_str(&httpdate::fmt_http_date(shown)).unwrap());
    response
}
