//! Failing receivers, which remember the data that they took, whatever they answered.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use hubwatch::watch::names;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    Fine,
    /// Connections are closed at once.
    Down,
    /// Takes data, but answers after the sender's timeout.
    Slow,
    /// HTTP 429, gRPC RESOURCE_EXHAUSTED with a retry delay.
    Busy,
    /// HTTP 503, gRPC RESOURCE_EXHAUSTED without a delay.
    Exhausted,
    /// Takes data, and the connection breaks before the response.
    Cut,
    /// Takes data, and returns a message.
    Partial,
}

pub(crate) const FAULTS: [Fault; 7] =
    [Fault::Fine, Fault::Down, Fault::Slow, Fault::Busy, Fault::Exhausted, Fault::Cut, Fault::Partial];

/// The labels that distinguish the streams of a metric.
pub(crate) type Labels = Vec<(String, String)>;

/// A stream of points: resource, metric name and labels.
pub(crate) type Stream = (String, String, Labels);

/// The received data.
#[derive(Default)]
pub(crate) struct Taken {
    /// The line number of each record, by the record's identity; more than one would be a bug.
    pub lines: BTreeMap<String, BTreeSet<u64>>,
    /// Number of repeated records.
    pub again: u64,
    pub spans: BTreeMap<Vec<u8>, Span>,
    /// The totals of each stream by time, in the order of their first arrival.
    pub totals: BTreeMap<Stream, Vec<(u64, f64)>>,
    /// Hashes of records and spans, without their observation time, by identity.
    pub forms: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    /// Metrics that contradict earlier ones.
    pub contradictions: Vec<String>,
}

impl Taken {
    /// Takes a total: later totals must not be lower, and each time has one value.
    fn total(&mut self, stream: Stream, time: u64, value: f64) {
        let points = self.totals.entry(stream.clone()).or_default();
        match points.iter().find(|(known, _)| *known == time) {
            // Data that was taken but not acknowledged comes again, unchanged.
            Some((_, known)) if known.to_bits() == value.to_bits() => {}
            Some((_, known)) => self.contradictions.push(format!("{stream:?} at {time} is {known} and {value}")),
            None => {
                if let Some((last, before)) = points.last().filter(|(last, before)| time < *last || value < *before) {
                    self.contradictions.push(format!("{stream:?} is {before} at {last} and then {value} at {time}"));
                }
                points.push((time, value));
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct Receiver {
    fault: Arc<AtomicU8>,
    taken: Arc<Mutex<Taken>>,
}

impl Receiver {
    fn new() -> Self {
        Self { fault: Arc::new(AtomicU8::new(0)), taken: Arc::default() }
    }

    pub(crate) fn behave(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::Relaxed);
    }

    fn fault(&self) -> Fault {
        FAULTS[usize::from(self.fault.load(Ordering::Relaxed))]
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Taken) -> T) -> T {
        look(&self.taken.lock().unwrap())
    }

    fn take_logs(&self, request: ExportLogsServiceRequest) {
        let mut taken = self.taken.lock().unwrap();
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        for mut record in scopes.flat_map(|scope| scope.log_records) {
            let uid = text(&record.attributes, names::LOG_RECORD_UID).expect("a record has no identity").to_owned();
            record.observed_time_unix_nano = 0;
            taken.forms.entry(uid.clone().into_bytes()).or_default().insert(form(&record));
            let numbers = taken.lines.entry(uid).or_default();
            let again = !numbers.insert(number(&record));
            taken.again += u64::from(again);
        }
    }

    fn take_spans(&self, request: ExportTraceServiceRequest) {
        let mut taken = self.taken.lock().unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            taken.forms.entry(span.span_id.clone()).or_default().insert(form(&span));
            taken.spans.insert(span.span_id.clone(), span);
        }
    }

    fn take_metrics(&self, request: ExportMetricsServiceRequest) {
        let mut taken = self.taken.lock().unwrap();
        for resource in request.resource_metrics {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let whose = text(&attributes, names::SERVICE_NAME).unwrap_or_default().to_owned();
            for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let name = metric.name;
                for (labels, time, value) in totals(metric.data) {
                    taken.total((whose.clone(), name.clone(), labels), time, value);
                }
            }
        }
    }

    /// Clears the received data and returns it.
    pub(crate) fn forget(&self) -> Taken {
        std::mem::take(&mut self.taken.lock().unwrap())
    }

    /// Applies the fault to an HTTP request; returns `None` to accept it.
    async fn http_fault(&self) -> Option<Response> {
        match self.fault() {
            Fault::Busy => Some((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()),
            Fault::Exhausted => Some(StatusCode::SERVICE_UNAVAILABLE.into_response()),
            _ => None,
        }
    }

    async fn late(&self) {
        if self.fault() == Fault::Slow {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
    }

    fn grpc_fault(&self) -> Result<(), Status> {
        match self.fault() {
            Fault::Down => Err(Status::unavailable("down")),
            Fault::Busy => {
                let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(300)));
                Err(Status::with_error_details(Code::ResourceExhausted, "busy", details))
            }
            Fault::Exhausted => Err(Status::resource_exhausted("out of something")),
            _ => Ok(()),
        }
    }

    /// Applies faults after the request was taken: the response may be lost.
    async fn grpc_answer(&self) -> Result<(), Status> {
        self.late().await;
        if self.fault() == Fault::Cut { Err(Status::unavailable("the connection broke")) } else { Ok(()) }
    }

    /// Starts an HTTP receiver, behind a proxy that can break connections.
    pub(crate) async fn http() -> (Self, String) {
        let (receiver, inner) = (Self::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let behind = inner.local_addr().unwrap();
        let routes =
            Router::new().route("/v1/logs", post(logs)).route("/v1/traces", post(traces)).route("/v1/metrics", post(metrics));
        let routes = routes.with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(inner, routes).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let moody = receiver.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if moody.fault() != Fault::Down {
                    tokio::spawn(forward(client, behind, moody.clone()));
                }
            }
        });
        (receiver, address)
    }

    pub(crate) async fn grpc() -> (Self, String) {
        let (receiver, listener) = (Self::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(receiver.clone()))
            .add_service(LogsServiceServer::new(receiver.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        (receiver, address)
    }
}

/// Forwards bytes both ways; with the fault for it, breaks the connection where a response begins.
async fn forward(client: TcpStream, behind: std::net::SocketAddr, receiver: Receiver) {
    let Ok(server) = TcpStream::connect(behind).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut bytes = vec![0; 8192];
    while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
        if matches!(receiver.fault(), Fault::Cut | Fault::Down) || to_client.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
    there.abort();
}

async fn logs(State(receiver): State<Receiver>, body: Bytes) -> Response {
    if let Some(refusal) = receiver.http_fault().await {
        return refusal;
    }
    receiver.take_logs(ExportLogsServiceRequest::decode(body).unwrap());
    receiver.late().await;
    let remark = ExportLogsPartialSuccess { rejected_log_records: 0, error_message: "some records look odd".to_owned() };
    let partial_success = (receiver.fault() == Fault::Partial).then_some(remark);
    ExportLogsServiceResponse { partial_success }.encode_to_vec().into_response()
}

async fn traces(State(receiver): State<Receiver>, body: Bytes) -> Response {
    if let Some(refusal) = receiver.http_fault().await {
        return refusal;
    }
    receiver.take_spans(ExportTraceServiceRequest::decode(body).unwrap());
    receiver.late().await;
    StatusCode::OK.into_response()
}

async fn metrics(State(receiver): State<Receiver>, body: Bytes) -> Response {
    if let Some(refusal) = receiver.http_fault().await {
        return refusal;
    }
    receiver.take_metrics(ExportMetricsServiceRequest::decode(body).unwrap());
    receiver.late().await;
    StatusCode::OK.into_response()
}

/// Returns monotonic points: labels, time and value.
fn totals(data: Option<metric::Data>) -> Vec<(Labels, u64, f64)> {
    let labels = |attributes: &[KeyValue]| {
        let label = |pair: &KeyValue| (pair.key.clone(), text(attributes, &pair.key).unwrap_or_default().to_owned());
        attributes.iter().map(label).collect()
    };
    match data {
        Some(metric::Data::Sum(sum)) if sum.is_monotonic => {
            let value = |point: &NumberDataPoint| match point.value {
                Some(number_data_point::Value::AsInt(value)) => value as f64,
                Some(number_data_point::Value::AsDouble(value)) => value,
                None => f64::NAN,
            };
            sum.data_points.iter().map(|point| (labels(&point.attributes), point.time_unix_nano, value(point))).collect()
        }
        Some(metric::Data::Histogram(histogram)) => {
            let points = histogram.data_points.iter();
            points.map(|point| (labels(&point.attributes), point.time_unix_nano, point.count as f64)).collect()
        }
        _ => Vec::new(),
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        self.grpc_fault()?;
        self.take_logs(request.into_inner());
        self.grpc_answer().await?;
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        self.grpc_fault()?;
        self.take_spans(request.into_inner());
        self.grpc_answer().await?;
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

pub(crate) fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    match attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn integer(attributes: &[KeyValue], name: &str) -> Option<i64> {
    match attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()? {
        any_value::Value::IntValue(number) => Some(*number),
        _ => None,
    }
}

/// Returns a hash of a message's bytes.
fn form(message: &impl prost::Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&message.encode_to_vec());
    hasher.finish()
}

/// Returns the writer's number of the line.
fn number(record: &LogRecord) -> u64 {
    let line = text(&record.attributes, names::LOG_RECORD_ORIGINAL).expect("the record of a JSON line lacks the line");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["seq"].as_u64().unwrap()
}
