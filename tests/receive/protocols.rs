//! Both protocols, both formats, compression, TLS and tokens; and that a repeated request is kept once.

use hubwatch::base::secret::Secret;
use hubwatch::journal::Signal;
use hubwatch::receive::{Settings, TlsFiles};
use hubwatch::watch::names;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use rcgen::{CertificateParams, KeyPair};
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::stage::{
    JSON, PROTOBUF, Setup, Stage, bytes, client, gauge, gzip, logs, loopback, metrics, post, span, spans_of, text, traces,
};

#[tokio::test]
async fn both_protocols_work_on_one_port_and_on_two() {
    for ports in [1, 2] {
        let settings = Settings { addresses: vec![loopback(); ports], token: None, tls: None };
        let stage = Stage::start(Setup { settings, ..Setup::default() }).await;
        let mut sent = 0;
        for address in stage.receiver.addresses() {
            let address = format!("http://{address}");
            let answer = post(&format!("{address}/v1/traces"), &[PROTOBUF], bytes(&traces(vec![span(sent)]))).await;
            assert_eq!((answer.status(), answer.bytes().await.unwrap().len()), (200.try_into().unwrap(), 0));
            let mut grpc = TraceServiceClient::connect(address).await.unwrap();
            let answer = grpc.export(traces(vec![span(sent + 1)])).await.unwrap().into_inner();
            assert_eq!(answer.partial_success, None);
            sent += 2;
        }
        let expected: Vec<_> = (0..sent).map(span).collect();
        assert_eq!(stage.spans().await, expected);
        assert_eq!(stage.accepted(), sent);
    }
}

#[tokio::test]
async fn each_signal_is_received_by_both_protocols() {
    let stage = Stage::start(Setup::default()).await;
    let record = |number| LogRecord { time_unix_nano: number, ..LogRecord::default() };
    assert_eq!(stage.post("/v1/logs", &[PROTOBUF], bytes(&logs(vec![record(1)]))).await.status(), 200);
    assert_eq!(stage.post("/v1/metrics", &[PROTOBUF], bytes(&metrics(gauge(1)))).await.status(), 200);
    LogsServiceClient::connect(stage.http()).await.unwrap().export(logs(vec![record(2)])).await.unwrap();
    MetricsServiceClient::connect(stage.http()).await.unwrap().export(metrics(gauge(2))).await.unwrap();
    let queued = ExportLogsServiceRequest::decode(&*stage.queued(Signal::Logs).await).unwrap();
    let times = queued.resource_logs.iter().map(|resource| resource.scope_logs[0].log_records[0].time_unix_nano);
    assert_eq!(times.collect::<Vec<_>>(), [1, 2]);
    let queued = ExportMetricsServiceRequest::decode(&*stage.queued(Signal::Metrics).await).unwrap();
    // Metrics are sent one request at a time.
    assert_eq!(queued.resource_metrics[0].scope_metrics[0].metrics[0].data, Some(gauge(1)));
    assert_eq!(stage.accepted(), 4);
}

#[tokio::test]
async fn json_is_the_same_as_protobuf() {
    let stage = Stage::start(Setup::default()).await;
    // As the JavaScript SDK writes it.
    let body = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mcp-hub"}}],
        "droppedAttributesCount":0},"scopeSpans":[{"scope":{"name":"hubwatch"},"spans":[{"traceId":"09090909090909090909090909090909",
        "spanId":"0909090909090909","parentSpanId":"0102030405060708","name":"tools/call","kind":2,
        "startTimeUnixNano":"1795000000000000000","endTimeUnixNano":"1795000000000000001",
        "attributes":[{"key":"mcp.method.name","value":{"stringValue":"tools/call"}},{"key":"n","value":{"intValue":3}},
        {"key":"d","value":{"doubleValue":0.5}},{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"a"}]}}}],
        "droppedAttributesCount":0,"events":[{"attributes":[],"name":"e","timeUnixNano":"1795000000000000001",
        "droppedAttributesCount":0}],"droppedEventsCount":0,"status":{"code":0},"links":[],"droppedLinksCount":0,"flags":257}]}]}]}"#;
    let answer = stage.post("/v1/traces", &[JSON], body).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (200, "application/json"));
    assert_eq!(answer.text().await.unwrap(), "{}");
    let from_json = stage.take_spans().await;
    assert_eq!(from_json[0].attributes.len(), 4);
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], bytes(&traces(from_json.clone()))).await.status(), 200);
    assert_eq!(stage.spans().await, from_json);

    let body = r#"{"resourceMetrics":[{"resource":{"attributes":[]},"scopeMetrics":[{"scope":{"name":"a"},"metrics":[
        {"name":"mcp.server.operation.duration","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[{"attributes":
        [{"key":"mcp.method.name","value":{"stringValue":"tools/call"}}],"startTimeUnixNano":"1795000000000000000",
        "timeUnixNano":"1795000000000000001","count":3,"sum":0.5,"min":0.1,"max":0.3,"bucketCounts":[1,2],"explicitBounds":[0.2]}]}},
        {"name":"mcp.server.sessions","sum":{"aggregationTemporality":2,"isMonotonic":false,"dataPoints":
        [{"attributes":[],"timeUnixNano":"1795000000000000001","asInt":"4"},{"attributes":[],"timeUnixNano":"1795000000000000001","asInt":4},
        {"attributes":[],"timeUnixNano":"1795000000000000001","asDouble":4.5}]}}]}]}]}"#;
    let answer = stage.post("/v1/metrics", &[JSON], body).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "{}"));
}

#[tokio::test]
async fn gzip_and_zstd_work_by_both_protocols() {
    let stage = Stage::start(Setup::default()).await;
    let body = |number| bytes(&traces(vec![span(number)]));
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], gzip(&body(0))).await.status(), 200);
    let zstd = zstd::bulk::compress(&body(1), 3).unwrap();
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF, ("content-encoding", "zstd")], zstd.clone()).await.status(), 200);
    let grpc = TraceServiceClient::connect(stage.http()).await.unwrap();
    grpc.send_compressed(CompressionEncoding::Gzip).export(traces(vec![span(2)])).await.unwrap();
    // By hand: tonic's client is built without zstd here.
    let zstd = zstd::bulk::compress(&body(3), 3).unwrap();
    let mut framed = vec![1];
    framed.extend(u32::try_from(zstd.len()).unwrap().to_be_bytes());
    framed.extend(zstd);
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let answer = stage.post(path, &[("content-type", "application/grpc"), ("grpc-encoding", "zstd")], framed).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(stage.spans().await, (0..4).map(span).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_repeated_request_is_acknowledged_again_and_kept_once() {
    let stage = Stage::start(Setup::default()).await;
    let body = bytes(&traces(vec![span(0)]));
    for _ in 0..3 {
        assert_eq!(stage.post("/v1/traces", &[PROTOBUF], body.clone()).await.status(), 200);
    }
    // Compressed, it is the same request.
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], gzip(&body)).await.status(), 200);
    assert_eq!((stage.spans().await.len(), stage.accepted()), (1, 1));
    let observed = stage.journal.observed().await.unwrap();
    assert_eq!(observed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn requests_that_wait_together_are_each_kept_and_their_observations_come_in_the_order_of_their_ids() {
    let mut stage = Stage::start(Setup::default()).await;
    let client = TraceServiceClient::connect(stage.http()).await.unwrap();
    let sends = (0..40).map(|number| {
        let mut client = client.clone();
        async move { client.export(traces(vec![span(number)])).await.unwrap() }
    });
    futures_util::future::join_all(sends).await;
    assert_eq!((stage.spans().await.len(), stage.accepted()), (40, 40));
    let mut ids = Vec::new();
    while let Ok((id, _)) = stage.observed.try_recv() {
        ids.push(id);
    }
    assert_eq!(ids, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_forwarded_is_what_was_sent_with_the_hubs_resource_where_it_was_missing() {
    let stage = Stage::start(Setup::default()).await;
    let sent = traces(vec![span(0), span(1)]);
    assert_eq!(stage.post("/v1/traces", &[PROTOBUF], bytes(&sent)).await.status(), 200);
    let mut queued = ExportTraceServiceRequest::decode(&*stage.queued(Signal::Traces).await).unwrap();
    let attributes = queued.resource_spans[0].resource.as_ref().unwrap().attributes.clone();
    let resource = |key| text(&attributes, key);
    assert_eq!(resource("service.name"), Some(names::HUB_SERVICE));
    assert_eq!(resource("service.instance.id"), Some("hub-a"));
    assert_eq!(resource("deployment.environment.name"), Some("staging"));
    assert_eq!(resource("service.version"), Some("4.3.0-rc.1"));
    queued.resource_spans[0].resource = sent.resource_spans[0].resource.clone();
    assert_eq!(queued, sent);
    // The order of our own spans and of others' is that of the tables; both are sent.
    assert_eq!(spans_of(sent), stage.take_spans().await);
    assert!(stage.spans().await.is_empty());
}

#[tokio::test]
async fn with_tls_and_a_token_only_senders_that_know_both_get_through() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (certificate_file, key_file) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    std::fs::write(&certificate_file, certificate.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let tls = Some(TlsFiles { certificate: certificate_file, key: key_file });
    let settings = Settings { addresses: vec![loopback()], token: Some(Secret::new("to-ken")), tls };
    let stage = Stage::start(Setup { settings, ..Setup::default() }).await;
    let address = format!("https://localhost:{}", stage.receiver.addresses()[0].port());

    hubwatch::base::tls::choose_provider();
    let trusted = reqwest::Certificate::from_pem(certificate.pem().as_bytes()).unwrap();
    let https = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
    let post = |token: &str| {
        let request = https.post(format!("{address}/v1/traces")).header("content-type", "application/x-protobuf");
        request.header("authorization", format!("Bearer {token}")).body(bytes(&traces(vec![span(0)]))).send()
    };
    assert_eq!(post("to-ken").await.unwrap().status(), 200);
    let refused = post("wrong").await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    assert!(client().post(format!("{address}/v1/traces")).send().await.is_err());

    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate.pem())).domain_name("localhost");
    let channel = Endpoint::from_shared(address).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    let mut grpc = TraceServiceClient::new(channel);
    let refused = grpc.export(traces(vec![span(1)])).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let mut request = tonic::Request::new(traces(vec![span(1)]));
    request.metadata_mut().insert("authorization", "Bearer to-ken".parse().unwrap());
    grpc.export(request).await.unwrap();
    assert_eq!((stage.spans().await.len(), stage.refused("unauthenticated")), (2, 2));
}
