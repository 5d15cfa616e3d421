//! Servers that follow a backend's API, or violate it in one way.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use hubwatch::backend::jaeger::TraceResponse;
use hubwatch::backend::otlp_json::OtlpTraces;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost::Message;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::rehearsal::REHEARSAL;

/// The API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contract {
    Jaeger,
    Tempo,
    /// Tempo before v2.
    OldTempo,
}

/// How the server violates the API.
#[derive(Debug, Clone, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Every response has this status.
    Status(u16),
    /// The first responses are 429 with `Retry-After: 0`.
    BusyAtFirst(usize),
    /// No response.
    Silence,
    /// The connection ends within the body.
    HalfABody,
    /// The body is truncated, with a matching length.
    CutJson,
    /// An HTML page.
    Page,
    /// Other JSON.
    OtherJson,
    /// The trace of another quarter-hour.
    OtherTrace,
    /// The server stops at this request.
    DiesAt(usize),
    /// This trace is missing.
    Lacks(String),
    /// This trace is partial.
    Partial(String),
    /// Every span is returned twice, in the wrong order.
    Twice,
}

#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    pub contract: Contract,
    pub fault: Fault,
    /// A required header.
    pub wants: Option<(&'static str, &'static str)>,
}

impl Behaviour {
    pub(crate) fn of(contract: Contract) -> Self {
        Self { contract, fault: Fault::None, wants: None }
    }

    pub(crate) fn with(contract: Contract, fault: Fault) -> Self {
        Self { fault, ..Self::of(contract) }
    }
}

/// A running server.
pub(crate) struct Server {
    pub base: String,
    state: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behaviour: Behaviour,
    requests: AtomicUsize,
    death: Notify,
}

static TRACES: LazyLock<BTreeMap<String, Vec<ResourceSpans>>> = LazyLock::new(|| {
    // A runtime can't be created inside another.
    std::thread::spawn(|| REHEARSAL.traces()).join().unwrap()
});

/// Tempo's `TraceByIDResponse`.
#[derive(Clone, PartialEq, Message)]
struct TraceByIdResponse {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
}

/// Tempo's default `max_attribute_bytes`.
const TEMPO_CUTS_AT: usize = 2_048;

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let state = Arc::new(Shared { behaviour, requests: AtomicUsize::new(0), death: Notify::new() });
        let routes = match state.behaviour.contract {
            Contract::Jaeger => Router::new().route("/api/v3/traces/{id}", get(jaeger)),
            Contract::Tempo => Router::new().route("/api/v2/traces/{id}", get(tempo)),
            Contract::OldTempo => Router::new().route("/api/traces/{id}", get(old_tempo)),
        };
        let router = routes.clone().nest("/behind/a/proxy", routes).fallback(no_route).with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let dying = state.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router).into_future() => served.unwrap(),
                () = dying.death.notified() => {}
            }
        });
        Self { base, state, task }
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn no_route() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "404 page not found\n")
}

async fn jaeger(State(state): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let absent = r#"{"error":{"httpCode":404,"message":"No traces found"}}"#;
    answer(&state, &id, &headers, absent, |spans, _| {
        let answer = TraceResponse { result: Some(OtlpTraces { resource_spans: spans }), error: None };
        ("application/json", serde_json::to_vec(&answer).unwrap())
    })
    .await
}

async fn tempo(State(state): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(&state, &id, &headers, "trace not found", |resource_spans, partial| {
        let trace = Some(TracesData { resource_spans });
        let message = if partial { "trace exceeds max size" } else { "" }.to_owned();
        ("application/protobuf", TraceByIdResponse { trace, status: i32::from(partial), message }.encode_to_vec())
    })
    .await
}

async fn old_tempo(State(state): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let bare = |resource_spans, _| ("application/protobuf", TracesData { resource_spans }.encode_to_vec());
    answer(&state, &id, &headers, "trace not found", bare).await
}

async fn answer(
    state: &Shared,
    id: &str,
    headers: &HeaderMap,
    absent: &'static str,
    form: impl Fn(Vec<ResourceSpans>, bool) -> (&'static str, Vec<u8>),
) -> Response {
    let number = state.requests.fetch_add(1, Ordering::SeqCst);
    let behaviour = &state.behaviour;
    if let Some((name, value)) = behaviour.wants
        && headers.get(name).is_none_or(|given| given.as_bytes() != value.as_bytes())
    {
        return (StatusCode::UNAUTHORIZED, "no org id").into_response();
    }
    let of_tempo = behaviour.contract != Contract::Jaeger;
    if of_tempo && headers.get(header::ACCEPT).is_none_or(|accept| accept != "application/protobuf") {
        return ([(header::CONTENT_TYPE, "application/json")], r#"{"batches":[]}"#).into_response();
    }
    let mut spans = TRACES.get(id).cloned().unwrap_or_default();
    match &behaviour.fault {
        Fault::Status(status) => return (StatusCode::from_u16(*status).unwrap(), "a word of the server").into_response(),
        Fault::BusyAtFirst(times) if number < *times => {
            return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "0")], "busy").into_response();
        }
        Fault::Silence => return std::future::pending().await,
        Fault::Page => return ([(header::CONTENT_TYPE, "text/html")], "<!doctype html><title>Jaeger UI</title>").into_response(),
        Fault::OtherJson => return ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"success"}"#).into_response(),
        Fault::DiesAt(last) if number >= *last => {
            state.death.notify_one();
            return std::future::pending().await;
        }
        Fault::Lacks(lacking) if lacking == id => spans.clear(),
        Fault::OtherTrace => spans = TRACES.iter().find(|(other, _)| *other != id).unwrap().1.clone(),
        Fault::Twice => {
            spans.extend(spans.clone());
            spans.reverse();
        }
        _ => {}
    }
    if spans.is_empty() {
        return (StatusCode::NOT_FOUND, absent).into_response();
    }
    let partial = matches!(&behaviour.fault, Fault::Partial(partial) if partial == id);
    if partial {
        spans.truncate(spans.len() / 2);
    }
    if of_tempo {
        spans.iter_mut().for_each(cut);
    }
    let (content_type, body) = form(spans, partial);
    let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
    let whole = body.len();
    let body = match behaviour.fault {
        Fault::CutJson => Body::from(half),
        Fault::HalfABody => {
            let rest = std::io::Error::other("the cable was cut");
            let body = Body::from_stream(stream::iter([Ok(half), Err(rest)]));
            return ([(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_LENGTH, whole.to_string())], body)
                .into_response();
        }
        _ => Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from(body))])),
    };
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Truncates long values, as Tempo does.
fn cut(resource: &mut ResourceSpans) {
    let shorten = |attributes: &mut Vec<KeyValue>| {
        for pair in attributes {
            if let Some(Value::StringValue(text)) = pair.value.as_mut().and_then(|value| value.value.as_mut()) {
                text.truncate(text.floor_char_boundary(TEMPO_CUTS_AT));
            }
        }
    };
    for span in resource.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans) {
        shorten(&mut span.attributes);
        span.events.iter_mut().for_each(|event| shorten(&mut event.attributes));
    }
}
