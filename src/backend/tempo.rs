//! Grafana Tempo, by trace id alone: `GET /api/v2/traces/{id}` as protobuf, and the older `/api/traces/{id}` if there is no v2.
//! Its JSON is not used, because ids are base64 and the names differ between the two versions.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use super::access::Access;
use super::http::{self, Reply, TraceServer};
use super::{Backend, BackendError, Kind, Reading, Trace, TraceWatches};
use crate::watch::{Decoded, TraceId, spans_of_request};

/// `--backend tempo=URL`.
pub const KIND: Kind = Kind {
    word: "tempo",
    form: "URL",
    target: "the address of Tempo's query API; set a tenant as header X-Scope-OrgID",
    request: "trace by id, protobuf; v2, or v1 where there is no v2",
    tested_with: "its documented API only: a test server implements it, with its limits",
    // Traces are shown in Grafana, whose address is unknown.
    trace_url: None,
    open: |url, access| Ok(Box::new(Tempo::new(url, access)?)),
};

const PROTOBUF: &str = "application/protobuf";

/// The needed fields of Tempo's `TraceByIDResponse` (`tempopb`).
#[derive(Clone, PartialEq, Message)]
struct TraceByIdResponse {
    /// `tempopb.Trace` has the format of OTLP's `TracesData`.
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    /// `COMPLETE` is 0, `PARTIAL` is 1.
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
}

const PARTIAL: i32 = 1;

/// A Tempo server.
#[derive(Debug)]
pub struct Tempo {
    server: TraceServer,
    /// True once a request showed that there is no v2.
    only_v1: AtomicBool,
}

impl Tempo {
    /// Creates a backend at this address, which may have a path prefix.
    pub fn new(url: &str, access: &Access) -> Result<Self, BackendError> {
        Ok(Self { server: TraceServer::new("Tempo's query API", url, access)?, only_v1: AtomicBool::new(false) })
    }

    /// Requests a trace; returns `None` if there is no such trace.
    async fn fetch(&self, id: TraceId) -> Result<Option<TempoTrace>, BackendError> {
        if !self.only_v1.load(Ordering::Relaxed) {
            match self.server.get(&format!("/api/v2/traces/{id}"), PROTOBUF).await? {
                Reply::Absent(said) if is_no_route(&said) => self.only_v1.store(true, Ordering::Relaxed),
                Reply::Absent(_) => return Ok(None),
                Reply::Found { body, partial, content_type } => return self.of_v2(&body, partial, &content_type).map(Some),
            }
        }
        match self.server.get(&format!("/api/traces/{id}"), PROTOBUF).await? {
            Reply::Absent(said) if is_no_route(&said) => Err(self.server.wrong_server(format!("it returned HTTP 404 ({said})"))),
            Reply::Absent(_) => Ok(None),
            Reply::Found { body, partial, content_type } => {
                self.expect_protobuf(&body, &content_type)?;
                Ok(Some(TempoTrace { trace: body, partial: partial.then(|| "Tempo marked the trace as partial".to_owned()) }))
            }
        }
    }

    fn of_v2(&self, body: &[u8], partial: bool, content_type: &str) -> Result<TempoTrace, BackendError> {
        self.expect_protobuf(body, content_type)?;
        let answer = TraceByIdResponse::decode(body).map_err(|error| self.not_tempo(&error.to_string()))?;
        let partial = (partial || answer.status == PARTIAL).then(|| match answer.message.as_str() {
            "" => "Tempo marked the trace as partial".to_owned(),
            message => format!("Tempo marked the trace as partial: {message}"),
        });
        Ok(TempoTrace { trace: answer.trace, partial })
    }

    async fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        let Some(TempoTrace { trace, partial }) = self.fetch(id).await? else { return Ok(Trace::default()) };
        let traces = TracesData::decode(trace.as_slice()).map_err(|error| self.not_tempo(&error.to_string()))?;
        self.server.checked(id, Trace { spans: traces.resource_spans, partial })
    }

    async fn read_watches(&self, id: TraceId) -> Result<TraceWatches, BackendError> {
        let Some(TempoTrace { trace, partial }) = self.fetch(id).await? else { return Ok(TraceWatches::default()) };
        let (mut decoded, mut foreign) = (Decoded::default(), None);
        let read = spans_of_request(&trace, |span| {
            if http::is_same_id(&span.trace_id, id) {
                decoded.take(&span);
            } else {
                foreign = Some(span.trace_id.into_owned());
            }
        });
        read.map_err(|error| self.not_tempo(&error.to_string()))?;
        match foreign {
            Some(foreign) => Err(self.server.foreign(id, &foreign)),
            None => Ok(TraceWatches { decoded, exists: !trace.is_empty(), partial }),
        }
    }

    fn not_tempo(&self, reason: &str) -> BackendError {
        self.server.wrong_server(format!("its response is not Tempo's protobuf ({reason})"))
    }

    fn expect_protobuf(&self, body: &[u8], content_type: &str) -> Result<(), BackendError> {
        if content_type.starts_with("text/html") || content_type.starts_with("application/json") {
            return Err(self
                .server
                .wrong_server(format!("it returned {content_type} instead of protobuf: {}", http::excerpt(body))));
        }
        Ok(())
    }
}

/// A trace from Tempo: protobuf of OTLP's `TracesData`.
struct TempoTrace {
    trace: Vec<u8>,
    partial: Option<String>,
}

/// Detects a 404 of a router or a proxy, as opposed to Tempo's for a missing trace.
fn is_no_route(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    said.contains("page not found") || said.starts_with(http::WEB_PAGE)
}

impl Backend for Tempo {
    fn name(&self) -> String {
        format!("tempo {}", self.server.shown())
    }

    fn concurrency(&self) -> usize {
        http::CONCURRENCY
    }

    fn clock_offset(&self) -> Option<i64> {
        self.server.clock_offset()
    }

    fn trace(&self, id: TraceId) -> Reading<'_> {
        Box::pin(self.read(id))
    }

    fn watches(&self, id: TraceId) -> Reading<'_, TraceWatches> {
        Box::pin(self.read_watches(id))
    }
}
