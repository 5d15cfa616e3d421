//! Senders that mean harm: what they send is bounded, counted, and keeps nobody else out.

use std::time::Duration;

use hubwatch::journal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stage::{JSON, PROTOBUF, Setup, Stage, bytes, gzip, pair, span, traces};

/// More than any request may have.
const TOO_MUCH: usize = 5 * 1024 * 1024;

async fn connect(stage: &Stage) -> TcpStream {
    TcpStream::connect(stage.receiver.addresses()[0]).await.unwrap()
}

/// Waits until the other side closes; returns what it sent.
async fn closed(stream: &mut TcpStream, patience: Duration) -> String {
    let mut answer = Vec::new();
    // A broken connection is closed, too.
    let _ = tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await.expect("it stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Returns once an honest sender got through.
async fn still_works(stage: &Stage, number: u64) {
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(vec![span(number)]))).await.status(), 200);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_whatever_its_form() {
    let stage = Stage::start(Setup::default()).await;
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], vec![0; TOO_MUCH]).await.status(), 413);
    let bomb = gzip(&vec![0; 100 * TOO_MUCH]);
    assert!(bomb.len() < TOO_MUCH / 4);
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], bomb.clone()).await.status(), 413);
    let mut framed = vec![1];
    framed.extend(u32::try_from(bomb.len()).unwrap().to_be_bytes());
    framed.extend(bomb);
    let headers = [("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    let answer = stage.post("/opentelemetry.proto.collector.trace.v1.TraceService/Export", &headers, framed).await;
    assert_eq!(answer.headers()["grpc-status"], "8");
    assert!(answer.headers().get("grpc-status-details-bin").is_none(), "it is not to be repeated");
    // Empty attributes and empty spans are small when they are sent, and large when they are decoded.
    let attributes = vec![KeyValue::default(); 1_000_000];
    let request = bytes(&traces(vec![Span { attributes, ..span(0) }]));
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], request).await.status(), 413);
    let spans = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}{{}}]}}]}}]}}"#, "{},".repeat(500_000));
    assert_eq!(stage.post("/v1/traces", &[JSON], spans).await.status(), 413);
    assert_eq!((stage.refused("too_large"), stage.accepted()), (5, 0));
    still_works(&stage, 1).await;
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let stage = Stage::start(Setup::default()).await;
    let mut stream = connect(&stage).await;
    let head =
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[0; 0x10000], b"\r\n"].concat();
    let (mut reading, mut writing) = stream.into_split();
    let endless = tokio::spawn(async move { while writing.write_all(&chunk).await.is_ok() {} });
    let mut answer = vec![0; 64];
    let read = tokio::time::timeout(Duration::from_secs(30), reading.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    tokio::time::timeout(Duration::from_secs(30), endless).await.expect("the connection stays open").unwrap();
    assert_eq!(stage.refused("too_large"), 1);
    still_works(&stage, 1).await;
}

#[tokio::test]
async fn deep_nesting_and_doubled_attributes_do_no_harm() {
    let stage = Stage::start(Setup::default()).await;
    let mut deep = AnyValue { value: Some(any_value::Value::IntValue(1)) };
    for _ in 0..200 {
        deep = AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![deep] })) };
    }
    let attributes = vec![KeyValue { key: "deep".to_owned(), value: Some(deep), ..KeyValue::default() }];
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(vec![Span { attributes, ..span(0) }]))).await.status(), 400);
    assert_eq!(stage.post("/v1/traces", &[JSON], "[".repeat(1_000_000)).await.status(), 400);
    let attributes = vec![pair("a", "first"), pair("b", "only"), pair("a", "last")];
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(vec![Span { attributes, ..span(1) }]))).await.status(), 200);
    let kept = stage.spans().await.remove(0);
    assert_eq!((kept.attributes, kept.dropped_attributes_count), (vec![pair("b", "only"), pair("a", "last")], 1));
}

#[tokio::test]
async fn connections_that_do_nothing_make_room_for_others() {
    let stage = Stage::start(Setup::default()).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(connect(&stage).await);
    }
    still_works(&stage, 1).await;
    // The first ones were closed, the last ones are open.
    assert_eq!(closed(&mut idle[0], Duration::from_secs(10)).await, "");
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(50), idle[199].read(&mut byte)).await.is_err());
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let stage = Stage::start(Setup::default()).await;
    let (mut silent, mut slow) = (connect(&stage).await, connect(&stage).await);
    let begun = tokio::time::Instant::now();
    slow.write_all(b"POST /v1/traces HTTP/1.1\r\n").await.unwrap();
    let (mut reading, mut writing) = slow.into_split();
    let trickle = tokio::spawn(async move {
        while writing.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), reading.read_to_end(&mut answer)).await.expect("it stays open");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    trickle.await.unwrap();
    closed(&mut silent, Duration::from_secs(20)).await;
    assert!(begun.elapsed() > Duration::from_secs(5));
    still_works(&stage, 1).await;
}

#[tokio::test]
async fn bodies_that_do_not_come_keep_no_room() {
    let stage = Stage::start(Setup::default()).await;
    // Two requests that announce more than there is room for, and send a part.
    let mut parts = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&stage).await;
        let length = 4 * 1024 * 1024;
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The second one is refused on the way, and the connection may break.
        let _ = stream.write_all(&vec![0; 7 * 512 * 1024]).await;
        parts.push(stream);
    }
    let answer = closed(&mut parts[1], Duration::from_secs(30)).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // Small requests still find room.
    still_works(&stage, 1).await;
    let answer = closed(&mut parts[0], Duration::from_secs(30)).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!((stage.refused("busy"), stage.refused("too_slow")), (1, 1));
}

#[tokio::test]
async fn random_bytes_are_never_accepted_as_something_else() {
    let stage = Stage::start(Setup::default()).await;
    let mut random = fastrand::Rng::with_seed(7);
    let good = bytes(&traces((0..20).map(span).collect()));
    for _ in 0..300 {
        let mut body = good.clone();
        for _ in 0..random.usize(1..20) {
            let at = random.usize(0..body.len());
            body[at] = random.u8(..);
        }
        body.truncate(random.usize(0..=body.len()));
        let status = stage.post("/v1/traces", &[PROTOBUF], body.clone()).await.status().as_u16();
        assert!(matches!(status, 200 | 400), "{status}");
        assert!(status == 400 || ExportTraceServiceRequest::decode(&*body).is_ok());
    }
    assert!(ExportTraceServiceRequest::decode(&*stage.queued(Signal::Traces).await).is_ok());
    assert!(stage.receiver.problem().is_none());
}
