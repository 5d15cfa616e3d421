//! A pipeline from an OTLP receiver to a backend: traces written by OTLP are read by Jaeger's API, unless a limit drops them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hubwatch::backend::jaeger::TraceResponse;
use hubwatch::backend::otlp_json::OtlpTraces;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// The pipeline's losses, limits and delay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pipeline {
    /// One of this many traces is kept.
    pub samples: Option<usize>,
    /// Older traces are dropped.
    pub retention: Option<Duration>,
    /// Texts are truncated to this many bytes.
    pub longest_text: Option<usize>,
    /// Traces are truncated to this many spans.
    pub most_spans: Option<usize>,
    /// Larger requests are rejected.
    pub largest_request: Option<usize>,
    /// Traces with more spans can't be read.
    pub most_read: Option<usize>,
    /// Reading fails after this many traces.
    pub dies_after: Option<usize>,
    /// Traces can be read only after this time.
    pub delay: Duration,
    /// Seconds that its clock is ahead.
    pub clock: i64,
}

pub(crate) struct RunningPipeline {
    pub base: String,
    shared: Arc<Shared>,
}

struct Shared {
    pipeline: Pipeline,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    written: usize,
    read: usize,
    traces: BTreeMap<String, (Instant, ExportTraceServiceRequest)>,
}

impl Pipeline {
    pub(crate) async fn start(self) -> RunningPipeline {
        let shared = Arc::new(Shared { pipeline: self, kept: Mutex::default() });
        let router = Router::new()
            .route("/v1/traces", post(write))
            .route("/api/v3/traces/{id}", get(read))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        RunningPipeline { base, shared }
    }
}

impl RunningPipeline {
    /// Returns the number of written traces.
    pub(crate) fn written(&self) -> usize {
        self.shared.kept.lock().unwrap().written
    }
}

async fn write(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let pipeline = shared.pipeline;
    if pipeline.largest_request.is_some_and(|largest| body.len() > largest) {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    let mut request = ExportTraceServiceRequest::decode(body).unwrap();
    let spans = &mut request.resource_spans[0].scope_spans[0].spans;
    let id = const_hex::encode(&spans[0].trace_id);
    let age =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() - u128::from(spans[0].end_time_unix_nano);
    spans.truncate(pipeline.most_spans.unwrap_or(usize::MAX));
    spans.iter_mut().for_each(|span| cut(span, pipeline.longest_text.unwrap_or(usize::MAX)));
    let mut kept = shared.kept.lock().unwrap();
    kept.written += 1;
    let sampled = pipeline.samples.is_none_or(|of| kept.written % of == 0);
    if sampled && pipeline.retention.is_none_or(|retention| age < retention.as_nanos()) {
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
    let pipeline = shared.pipeline;
    let mut kept = shared.kept.lock().unwrap();
    let found = kept.traces.get(&id).filter(|(since, _)| since.elapsed() >= pipeline.delay).map(|(_, request)| request.clone());
    let spans = found.as_ref().map_or(0, |request| request.resource_spans[0].scope_spans[0].spans.len());
    kept.read += usize::from(spans > 0);
    let mut response = if pipeline.dies_after.is_some_and(|after| kept.read > after) {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    } else if pipeline.most_read.is_some_and(|most| spans > most) {
        (StatusCode::INTERNAL_SERVER_ERROR, "trace is too large").into_response()
    } else if let Some(request) = found {
        let answer = TraceResponse { result: Some(OtlpTraces { resource_spans: request.resource_spans }), error: None };
        ([(header::CONTENT_TYPE, "application/json")], serde_json::to_vec(&answer).unwrap()).into_response()
    } else {
        (StatusCode::NOT_FOUND, r#"{"error":{"httpCode":404,"message":"No traces found"}}"#).into_response()
    };
    let seconds = Duration::from_secs(pipeline.clock.unsigned_abs());
    let now = SystemTime::now();
    let shown = if pipeline.clock < 0 { now - seconds } else { now + seconds };
    response.headers_mut().insert(header::DATE, HeaderValue::from_str(&httpdate::fmt_http_date(shown)).unwrap());
    response
}
