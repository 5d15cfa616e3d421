//! A receiver with its journal, and senders made by hand.

use std::io::Write as _;
use std::net::SocketAddr;

use hubwatch::hub::observations::Observations;
use hubwatch::journal::{DestinationName, Journal, Opened, Passed, Recipient, Signal, Temporality};
use hubwatch::receive::{Context, Receiver, Settings};
use hubwatch::watch::{Count, Environment, HubName, Micros, Origin, Text, WatcherId, names};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::sync::mpsc;

/// The key of session hashes.
pub(crate) const KEY: [u8; 32] = [7; 32];

/// More than any request of the tests.
const LARGE: usize = 64 * 1024 * 1024;

/// A receiver with its journal, whose only destination wants all signals.
pub(crate) struct Stage {
    pub receiver: Receiver,
    pub journal: Journal,
    pub observed: mpsc::Receiver<(i64, Observations)>,
    _folder: tempfile::TempDir,
}

/// How a receiver is set up.
pub(crate) struct Setup {
    pub settings: Settings,
    pub keep_private: bool,
    pub waiting_observations: usize,
}

impl Default for Setup {
    fn default() -> Self {
        let settings = Settings { addresses: vec![loopback()], token: None, tls: None };
        Self { settings, keep_private: false, waiting_observations: 64 }
    }
}

/// A free port of loopback.
pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// The hub of the receiver.
pub(crate) fn origin() -> Origin {
    Origin {
        hub: HubName::parse("hub-a").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        watcher: WatcherId::from_seed(b"receive"),
        run: 1,
        sequence: Count::new(0),
        part: 0,
        tool_version: Text::from("0"),
        build: Some(Text::from("4.3.0-rc.1")),
        interval: Micros::new(1),
    }
}

impl Stage {
    pub(crate) async fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let Opened { journal, .. } = Journal::open(folder.path()).unwrap();
        let main = Recipient { name: DestinationName::main(), signals: Signal::ALL.to_vec(), temporality: Temporality::Cumulative };
        journal.register(vec![main]).await.unwrap();
        let context = Context { origin: origin(), key: KEY, keep_private: setup.keep_private, journal: journal.clone(), passed: 0 };
        let (observations, observed) = mpsc::channel(setup.waiting_observations);
        let receiver = Receiver::start(&setup.settings, context, observations).unwrap();
        Self { receiver, journal, observed, _folder: folder }
    }

    /// The only address, or the first.
    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.receiver.addresses()[0])
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> reqwest::Response {
        post(&format!("{}{path}", self.http()), headers, body).await
    }

    /// What waits for the destination.
    pub(crate) async fn queued(&self, signal: Signal) -> Vec<u8> {
        let outgoing = self.journal.outgoing(&DestinationName::main(), signal, LARGE).await.unwrap();
        outgoing.map(|outgoing| outgoing.otlp).unwrap_or_default()
    }

    /// The spans that wait for the destination.
    pub(crate) async fn spans(&self) -> Vec<Span> {
        spans_of(ExportTraceServiceRequest::decode(&*self.queued(Signal::Traces).await).unwrap())
    }

    /// Takes the spans away that wait for the destination.
    pub(crate) async fn take_spans(&self) -> Vec<Span> {
        let spans = self.spans().await;
        let main = DestinationName::main();
        self.journal.sent(&main, Signal::Traces, Passed::Spool(i64::MAX)).await.unwrap();
        spans
    }

    /// The count of refused requests or records of a reason.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        let totals = self.receiver.counters().read();
        totals.refused.iter().filter(|(_, of, _)| of.as_str() == reason).map(|(.., count)| count.get()).sum()
    }

    /// The count of accepted records.
    pub(crate) fn accepted(&self) -> u64 {
        self.receiver.counters().read().received.iter().map(|(.., count)| count.get()).sum()
    }
}

pub(crate) fn client() -> reqwest::Client {
    hubwatch::base::tls::choose_provider();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

pub(crate) async fn post(url: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> reqwest::Response {
    let mut request = client().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).send().await.unwrap()
}

pub(crate) const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn pair(key: &str, text: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

pub(crate) fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// A span of the hub with this number: a tool call, which the watch uses.
pub(crate) fn span(number: u64) -> Span {
    let (mut trace_id, mut span_id) = (vec![9; 16], vec![9; 8]);
    trace_id[..8].copy_from_slice(&number.to_be_bytes());
    span_id.copy_from_slice(&(number + 1).to_be_bytes());
    Span {
        trace_id,
        span_id,
        name: "tools/call".to_owned(),
        kind: SpanKind::Server as i32,
        start_time_unix_nano: 1_795_000_000_000_000_000 + number,
        end_time_unix_nano: 1_795_000_001_000_000_000 + number,
        attributes: vec![pair("mcp.method.name", "tools/call")],
        ..Span::default()
    }
}

pub(crate) fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Some(Resource { attributes: vec![pair("service.name", names::HUB_SERVICE)], ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }] }
}

pub(crate) fn logs(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
}

pub(crate) fn metrics(data: metric::Data) -> ExportMetricsServiceRequest {
    let metrics = vec![Metric { name: "mcp.server.sessions".to_owned(), data: Some(data), ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }] }
}

pub(crate) fn gauge(value: i64) -> metric::Data {
    let value = Some(number_data_point::Value::AsInt(value));
    let point = NumberDataPoint { time_unix_nano: 1_795_000_000_000_000_000, value, ..NumberDataPoint::default() };
    metric::Data::Gauge(Gauge { data_points: vec![point] })
}

pub(crate) fn spans_of(request: ExportTraceServiceRequest) -> Vec<Span> {
    request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

/// The bytes of a request.
pub(crate) fn bytes(request: &impl Message) -> Vec<u8> {
    request.encode_to_vec()
}
