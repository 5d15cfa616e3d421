//! Receivers in bad moods: what they took is remembered, whatever they said about it.

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
pub enum Mood {
    Fine,
    /// Nobody accepts connections for long.
    Down,
    /// It takes data, but answers late: the sender has given up by then.
    Slow,
    /// HTTP 429, gRPC RESOURCE_EXHAUSTED with a time to wait.
    Busy,
    /// HTTP 503, gRPC RESOURCE_EXHAUSTED without one.
    Exhausted,
    /// It takes data, and the connection breaks before the answer.
    Cut,
    /// It takes data and has something to remark.
    Partial,
}

pub const MOODS: [Mood; 7] = [Mood::Fine, Mood::Down, Mood::Slow, Mood::Busy, Mood::Exhausted, Mood::Cut, Mood::Partial];

/// What tells the streams of one metric apart.
pub type Labels = Vec<(String, String)>;

/// A stream of points: whose they are, the metric's name and the labels.
pub type Stream = (String, String, Labels);

/// What was taken.
#[derive(Default)]
pub struct Taken {
    /// The number of the line of each record, by the record's identity; more than one would be a mistake.
    pub lines: BTreeMap<String, BTreeSet<u64>>,
    /// How often a record came again.
    pub again: u64,
    pub spans: BTreeMap<Vec<u8>, Span>,
    /// The totals of each stream in the order in which they came first, by their time.
    pub totals: BTreeMap<Stream, Vec<(u64, f64)>>,
    /// What the records and spans that came were like, but for the time of their observation, by their identity.
    pub forms: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    /// Metrics that contradict what came before.
    pub contradictions: Vec<String>,
}

impl Taken {
    /// A total: later ones are no less, and each time has one.
    fn total(&mut self, stream: Stream, time: u64, value: f64) {
        let points = self.totals.entry(stream.clone()).or_default();
        match points.iter().find(|(known, _)| *known == time) {
            // What was taken and not acknowledged comes again, the same.
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
pub struct Receiver {
    mood: Arc<AtomicU8>,
    taken: Arc<Mutex<Taken>>,
}

impl Receiver {
    fn new() -> Self {
        Self { mood: Arc::new(AtomicU8::new(0)), taken: Arc::default() }
    }

    pub fn behave(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }

    fn mood(&self) -> Mood {
        MOODS[usize::from(self.mood.load(Ordering::Relaxed))]
    }

    pub fn read<T>(&self, look: impl FnOnce(&Taken) -> T) -> T {
        look(&self.taken.lock().unwrap())
    }

    fn take_logs(&self, request: ExportLogsServiceRequest) {
        let mut taken = self.taken.lock().unwrap();
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        for mut record in scopes.flat_map(|scope| scope.log_records) {
            let uid = text(&record.attributes, names::LOG_RECORD_UID).expect("each record has an identity").to_owned();
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

    /// Forgets what was taken.
    pub fn forget(&self) -> Taken {
        std::mem::take(&mut self.taken.lock().unwrap())
    }

    /// What the mood makes of a request by HTTP; `None` lets it through.
    async fn http_mood(&self) -> Option<Response> {
        match self.mood() {
            Mood::Busy => Some((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()),
            Mood::Exhausted => Some(StatusCode::SERVICE_UNAVAILABLE.into_response()),
            _ => None,
        }
    }

    async fn late(&self) {
        if self.mood() == Mood::Slow {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
    }

    fn grpc_mood(&self) -> Result<(), Status> {
        match self.mood() {
            Mood::Down => Err(Status::unavailable("down")),
            Mood::Busy => {
                let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(300)));
                Err(Status::with_error_details(Code::ResourceExhausted, "busy", details))
            }
            Mood::Exhausted => Err(Status::resource_exhausted("out of something")),
            _ => Ok(()),
        }
    }

    /// After the request was taken: the answer may be lost.
    async fn grpc_answer(&self) -> Result<(), Status> {
        self.late().await;
        if self.mood() == Mood::Cut { Err(Status::unavailable("the connection broke")) } else { Ok(()) }
    }

    /// By HTTP, behind a proxy that breaks connections.
    pub async fn http() -> (Self, String) {
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
                if moody.mood() != Mood::Down {
                    tokio::spawn(forward(client, behind, moody.clone()));
                }
            }
        });
        (receiver, address)
    }

    pub async fn grpc() -> (Self, String) {
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

/// Carries bytes both ways; in the mood for it, breaks off where an answer begins.
async fn forward(client: TcpStream, behind: std::net::SocketAddr, receiver: Receiver) {
    let Ok(server) = TcpStream::connect(behind).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut bytes = vec![0; 8192];
    while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
        if matches!(receiver.mood(), Mood::Cut | Mood::Down) || to_client.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
    there.abort();
}

async fn logs(State(receiver): State<Receiver>, body: Bytes) -> Response {
    if let Some(refusal) = receiver.http_mood().await {
        return refusal;
    }
    receiver.take_logs(ExportLogsServiceRequest::decode(body).unwrap());
    receiver.late().await;
    let remark = ExportLogsPartialSuccess { rejected_log_records: 0, error_message: "some records look odd".to_owned() };
    let partial_success = (receiver.mood() == Mood::Partial).then_some(remark);
    ExportLogsServiceResponse { partial_success }.encode_to_vec().into_response()
}

async fn traces(State(receiver): State<Receiver>, body: Bytes) -> Response {
    if let Some(refusal) = receiver.http_mood().await {
        return refusal;
    }
    receiver.take_spans(ExportTraceServiceRequest::decode(body).unwrap());
    receiver.late().await;
    StatusCode::OK.into_response()
}

async fn metrics(State(receiver): State<Receiver>, body: Bytes) -> Response {
    if let Some(refusal) = receiver.http_mood().await {
        return refusal;
    }
    receiver.take_metrics(ExportMetricsServiceRequest::decode(body).unwrap());
    receiver.late().await;
    StatusCode::OK.into_response()
}

/// The points that only grow: their labels, time and value.
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
        self.grpc_mood()?;
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
        self.grpc_mood()?;
        self.take_spans(request.into_inner());
        self.grpc_answer().await?;
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

pub fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    match attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

pub fn integer(attributes: &[KeyValue], name: &str) -> Option<i64> {
    match attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()? {
        any_value::Value::IntValue(number) => Some(*number),
        _ => None,
    }
}

/// The bytes of a message, told apart.
fn form(message: &impl prost::Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&message.encode_to_vec());
    hasher.finish()
}

/// The number that the writer gave the line.
fn number(record: &LogRecord) -> u64 {
    let line = text(&record.attributes, names::LOG_RECORD_ORIGINAL).expect("a JSON line's record carries the line");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["seq"].as_u64().unwrap()
}
