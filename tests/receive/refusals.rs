//! What is refused, with which answer, and how it is counted.

use std::time::Duration;

use hubwatch::journal::Signal;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, Sum, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tonic_types::StatusExt as _;

use super::stage::{JSON, PROTOBUF, Setup, Stage, bytes, logs, metrics, pair, span, traces};

#[tokio::test]
async fn malformed_bodies_are_answered_in_their_format() {
    let stage = Stage::start(Setup::default()).await;
    let answer = stage.post("/v1/traces", &[PROTOBUF], "no protobuf").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (400, "application/x-protobuf"));
    let status = tonic_types::Status::decode(answer.bytes().await.unwrap()).unwrap();
    assert_eq!(status.code, tonic::Code::InvalidArgument as i32);
    let answer = stage.post("/v1/traces", &[JSON], r#"{"resourceSpans":[{"scopeSpans":"s3cret"}]}"#).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (400, "application/json"));
    let status: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(status["code"], 3);
    assert!(!status.to_string().contains("s3cret"), "{status}");
    let grpc = [("content-type", "application/grpc")];
    let answer = stage.post("/opentelemetry.proto.collector.trace.v1.TraceService/Export", &grpc, "\0\0\0\0\x02no").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["grpc-status"].to_str().unwrap()), (200, "3"));
    assert_eq!((stage.refused("malformed"), stage.accepted()), (3, 0));
    assert!(stage.queued(Signal::Traces).await.is_empty());
}

#[tokio::test]
async fn other_content_types_compressions_methods_and_paths_are_refused() {
    let stage = Stage::start(Setup::default()).await;
    let text = ("content-type", "text/plain");
    assert_eq!(stage.post("/v1/traces", &[text], "a").await.status(), 415);
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF, ("content-encoding", "br")], "a").await.status(), 415);
    assert_eq!(stage.refused("unsupported"), 2);
    assert_eq!(stage.post("/v1/profiles", &[PROTOBUF], "").await.status(), 404);
    let get = super::stage::client().get(format!("{}/v1/traces", stage.http())).send().await.unwrap();
    assert_eq!(get.status(), 405);
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF, ("host", "attacker.example")], "").await.status(), 403);
}

#[tokio::test]
async fn the_records_that_are_refused_are_told_and_the_others_kept() {
    let stage = Stage::start(Setup::default()).await;
    let crowded = Span { attributes: (0..2_000).map(|number| pair(&number.to_string(), "")).collect(), ..span(2) };
    let request = traces(vec![span(0), Span { trace_id: Vec::new(), ..span(1) }, crowded]);
    let answer = stage.post("/v1/traces", &[PROTOBUF], bytes(&request)).await;
    assert_eq!(answer.status(), 200);
    let partial = ExportTraceServiceResponse::decode(answer.bytes().await.unwrap()).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.contains("1 refused: at most 1024 attributes"), "{}", partial.error_message);
    assert_eq!(stage.spans().await, [span(0)]);
    assert_eq!((stage.refused("invalid_id"), stage.refused("too_many_attributes"), stage.accepted()), (1, 1, 1));

    let nan = Some(number_data_point::Value::AsDouble(f64::NAN));
    let points = vec![NumberDataPoint { value: nan, ..NumberDataPoint::default() }, NumberDataPoint::default()];
    let sum = metric::Data::Sum(Sum { data_points: points, is_monotonic: true, aggregation_temporality: 2 });
    let answer = stage.post("/v1/metrics", &[PROTOBUF], bytes(&metrics(sum))).await;
    let partial = ExportMetricsServiceResponse::decode(answer.bytes().await.unwrap()).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_data_points, stage.refused("invalid_point")), (1, 1));

    let record = LogRecord { trace_id: vec![1], ..LogRecord::default() };
    let body = serde_json::to_vec(&logs(vec![record])).unwrap();
    let answer: serde_json::Value =
        serde_json::from_slice(&stage.post("/v1/logs", &[JSON], body).await.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1");
    assert!(stage.queued(Signal::Logs).await.is_empty());
    let mut grpc = TraceServiceClient::connect(stage.http()).await.unwrap();
    let answer = grpc.export(traces(vec![Span { span_id: vec![0; 8], ..span(3) }])).await.unwrap().into_inner();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
}

#[tokio::test]
async fn a_request_without_records_is_acknowledged() {
    let stage = Stage::start(Setup::default()).await;
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], "").await.status(), 200);
    assert_eq!(stage.post("/v1/logs", &[JSON], "{}").await.status(), 200);
    assert_eq!(stage.receiver.counters().read(), hubwatch::receive::Totals::default());
}

#[tokio::test]
async fn while_the_watch_is_behind_senders_are_asked_to_repeat() {
    let mut stage = Stage::start(Setup { waiting_observations: 1, ..Setup::default() }).await;
    let send = |number| stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(vec![span(number)])));
    assert_eq!(send(0).await.status(), 200);
    let busy = send(1).await;
    assert_eq!((busy.status().as_u16(), busy.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    let mut grpc = TraceServiceClient::connect(stage.http()).await.unwrap();
    let busy = grpc.export(traces(vec![span(1)])).await.unwrap_err();
    assert_eq!(busy.code(), tonic::Code::ResourceExhausted);
    assert_eq!(busy.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    assert_eq!((stage.spans().await, stage.refused("busy")), (vec![span(0)], 2));
    // The watch takes the observations: there is room again.
    stage.observed.recv().await.unwrap();
    grpc.export(traces(vec![span(1)])).await.unwrap();
    assert_eq!(stage.spans().await, [span(0), span(1)]);
}

#[tokio::test]
async fn what_the_journal_cannot_keep_is_not_acknowledged() {
    let stage = Stage::start(Setup::default()).await;
    // The receiver reads the journal before it listens.
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(vec![span(1)]))).await.status().as_u16(), 200);
    stage.journal.clone().close().await.unwrap();
    let answer = stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(vec![span(0)]))).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert_eq!((stage.refused("not_kept"), stage.accepted()), (1, 1));
}
