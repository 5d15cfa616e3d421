//! The journal's queue reaches a real receiver, whatever the receiver answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use hubwatch::export::{Compression, Destination, Protocol, Route, Senders};
use hubwatch::journal::{Commit, DestinationName, Journal, SpanRow, SpanRowKind, Temporality};
use hubwatch::watch::{RecordUid, SpanId, Timestamp, TraceId, WatcherId};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::net::TcpListener;

/// The receiver's responses, in order; the last one repeats.
#[derive(Clone, Copy)]
enum Say {
    Ok,
    Status(u16),
    /// Accepts the request except one span.
    Partial,
    /// Rejects every request with the eighth span.
    Poisoned,
}

#[derive(Clone)]
struct Receiver {
    says: Arc<Mutex<Vec<Say>>>,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
    requests: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Receiver {
    async fn listen(listener: TcpListener, says: &[Say]) -> Self {
        let mut says = says.to_vec();
        says.reverse();
        let receiver = Self { says: Arc::new(Mutex::new(says)), taken: Arc::default(), requests: Arc::default() };
        let routes = Router::new().route("/v1/traces", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        receiver
    }

    fn span_ids(&self) -> Vec<Vec<u8>> {
        self.taken.lock().unwrap().clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    receiver.requests.lock().unwrap().push(headers.clone());
    let say = {
        let mut says = receiver.says.lock().unwrap();
        let last = *says.last().unwrap();
        if says.len() > 1 { says.pop().unwrap_or(last) } else { last }
    };
    let body = match headers.get("content-encoding") {
        None => body.to_vec(),
        Some(_) => {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut plain).unwrap();
            plain
        }
    };
    let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    let partial = match say {
        Say::Status(status) => return (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")]).into_response(),
        Say::Ok => None,
        Say::Poisoned => {
            let poison = span_row(7).span_id;
            let mut scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            if scopes.any(|scope| scope.spans.iter().any(|span| span.span_id == poison.as_bytes())) {
                return StatusCode::BAD_REQUEST.into_response();
            }
            None
        }
        Say::Partial => Some(ExportTracePartialSuccess { rejected_spans: 1, error_message: "one is odd".to_owned() }),
    };
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    receiver.taken.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans).map(|span| span.span_id));
    ExportTraceServiceResponse { partial_success: partial }.encode_to_vec().into_response()
}

fn span_row(number: u64) -> SpanRow {
    let began = RecordUid::of_line(WatcherId::from_seed(b"test"), "log", 0, number);
    let (trace_id, span_id) = (TraceId::of_call(began), SpanId::of_call(began, ""));
    let span = Span { trace_id: trace_id.as_bytes().to_vec(), span_id: span_id.as_bytes().to_vec(), ..Span::default() };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    let otlp = ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec();
    let at = Timestamp::from_secs(number);
    SpanRow { trace_id, span_id, kind: SpanRowKind::Call, start: at, end: at, otlp }
}

fn destination(listener: &TcpListener, compression: Compression) -> Destination {
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let route = Route { compression, ..Route::to(&endpoint, Protocol::HttpProtobuf) };
    Destination::new(DestinationName::main(), Temporality::Cumulative, |_| Some(route.clone())).unwrap()
}

async fn commit(journal: &Journal, numbers: std::ops::Range<u64>) {
    journal.commit(Commit { spans: numbers.map(span_row).collect(), ..Commit::default() }).await.unwrap();
}

/// Sends twenty spans to a receiver with these responses; returns the receiver once nothing is left to send.
async fn send_twenty(says: &[Say], compression: Compression) -> Receiver {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = destination(&listener, compression);
    let receiver = Receiver::listen(listener, says).await;
    let journal = Journal::open(folder.path()).unwrap().journal;
    let senders = Senders::spawn(&[destination], &journal).await.unwrap();
    commit(&journal, 0..20).await;
    await_sent(&journal).await;
    drop(senders);
    receiver
}

async fn await_sent(journal: &Journal) {
    let sent = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while journal.unsent().await.unwrap() > 0 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), sent).await.expect("everything is sent within 30 s");
}

fn all_twenty() -> Vec<Vec<u8>> {
    (0..20).map(|number| span_row(number).span_id.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn committed_spans_arrive_in_order() {
    let receiver = send_twenty(&[Say::Ok], Compression::None).await;
    assert_eq!(receiver.span_ids(), all_twenty());
}

#[tokio::test]
async fn a_compressed_request_arrives_complete() {
    let receiver = send_twenty(&[Say::Ok], Compression::Gzip).await;
    assert_eq!(receiver.span_ids(), all_twenty());
    assert_eq!(receiver.requests.lock().unwrap()[0]["content-encoding"], "gzip");
}

#[tokio::test]
async fn a_busy_receiver_gets_everything_later_and_only_once() {
    let receiver = send_twenty(&[Say::Status(503), Say::Status(429), Say::Ok], Compression::None).await;
    assert_eq!(receiver.span_ids(), all_twenty());
    assert_eq!(receiver.requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_split() {
    let receiver = send_twenty(&[Say::Status(413), Say::Status(413), Say::Ok], Compression::None).await;
    assert_eq!(receiver.span_ids(), all_twenty());
}

#[tokio::test]
async fn a_partial_success_is_not_sent_again() {
    let receiver = send_twenty(&[Say::Partial], Compression::None).await;
    assert_eq!(receiver.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_permanently_rejected_request_becomes_a_dead_letter_and_blocks_no_other() {
    let receiver = send_twenty(&[Say::Poisoned], Compression::None).await;
    let mut others = all_twenty();
    others.remove(7);
    assert_eq!(receiver.span_ids(), others);
}

#[tokio::test]
async fn a_receiver_that_starts_later_gets_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = destination(&listener, Compression::None);
    let address = listener.local_addr().unwrap();
    drop(listener);
    let journal = Journal::open(folder.path()).unwrap().journal;
    let senders = Senders::spawn(std::slice::from_ref(&destination), &journal).await.unwrap();
    commit(&journal, 0..10).await;
    assert!(senders.drain(Duration::from_secs(20)).await, "no receiver listens, so data is left");
    let receiver = Receiver::listen(TcpListener::bind(address).await.unwrap(), &[Say::Ok]).await;
    let senders = Senders::spawn(&[destination], &journal).await.unwrap();
    commit(&journal, 10..20).await;
    assert!(!senders.drain(Duration::from_secs(20)).await);
    assert_eq!(receiver.span_ids(), all_twenty());
}

#[tokio::test]
async fn a_destination_that_is_down_delays_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (away, here) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let named = |name: &str, listener: &TcpListener| {
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let route = Route::to(&endpoint, Protocol::HttpProtobuf);
        Destination::new(DestinationName::named(name), Temporality::Cumulative, |_| Some(route.clone())).unwrap()
    };
    let destinations = [named("away", &away), named("here", &here)];
    drop(away);
    let receiver = Receiver::listen(here, &[Say::Ok]).await;
    let journal = Journal::open(folder.path()).unwrap().journal;
    let senders = Senders::spawn(&destinations, &journal).await.unwrap();
    commit(&journal, 0..20).await;
    let all = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while receiver.span_ids().len() < 20 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("the receiver that is up gets everything");
    // The receiver has the spans a moment before their acknowledgement is committed.
    let acknowledged = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while journal.unsent().await.unwrap() > 20 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), acknowledged).await.expect("received spans are acknowledged");
    assert_eq!(journal.unsent().await.unwrap(), 20, "the other's are kept");
    drop(senders);
}

#[tokio::test]
async fn a_span_that_is_committed_twice_is_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = destination(&listener, Compression::None);
    let receiver = Receiver::listen(listener, &[Say::Ok]).await;
    let journal = Journal::open(folder.path()).unwrap().journal;
    let senders = Senders::spawn(&[destination], &journal).await.unwrap();
    commit(&journal, 0..15).await;
    commit(&journal, 5..20).await;
    assert!(!senders.drain(Duration::from_secs(20)).await);
    assert_eq!(receiver.span_ids(), all_twenty());
}
