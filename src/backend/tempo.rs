//! Grafana Tempo, by trace id alone: `GET /api/v2/traces/{id}` as protobuf, and the older `/api/traces/{id}` where there is no v2.
//! Its JSON is not used: the ids in it are base64, the names differ between the two forms.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use super::access::Access;
use super::http::{self, Reply, Server};
use super::{Backend, BackendError, Kind, Reading, Trace, TraceWatches};
use crate::watch::{Decoded, TraceId, spans_of_request};

/// `--backend tempo=URL`.
pub const KIND: Kind = Kind {
    word: "tempo",
    target: "the address of Tempo's query API; a tenant goes into a header: X-Scope-OrgID",
    // Traces are seen in Grafana, whose address we don't know.
    trace_url: None,
    open: |url, access| Ok(Box::new(Tempo::new(url, access)?)),
};

const PROTOBUF: &str = "application/protobuf";

/// Tempo's `TraceByIDResponse` (`tempopb`), the parts of it that matter.
#[derive(Clone, PartialEq, Message)]
struct TraceByIdResponse {
    /// `tempopb.Trace` has the shape of OTLP's `TracesData`.
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    /// `COMPLETE` is 0, `PARTIAL` is 1.
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
}

const PARTIAL: i32 = 1;

/// A Tempo.
#[derive(Debug)]
pub struct Tempo {
    server: Server,
    /// There is no v2: asked once, known from then on.
    only_v1: AtomicBool,
}

impl Tempo {
    /// At this address, which may have a path prefix.
    pub fn new(url: &str, access: &Access) -> Result<Self, BackendError> {
        Ok(Self { server: Server::new("Tempo's query API", url, access)?, only_v1: AtomicBool::new(false) })
    }

    /// Asks for a trace; `None` if there is no such one.
    async fn answer(&self, id: TraceId) -> Result<Option<Answer>, BackendError> {
        if !self.only_v1.load(Ordering::Relaxed) {
            match self.server.get(&format!("/api/v2/traces/{id}"), PROTOBUF).await? {
                Reply::Absent(said) if is_no_route(&said) => self.only_v1.store(true, Ordering::Relaxed),
                Reply::Absent(_) => return Ok(None),
                Reply::Found { body, partial, content_type } => return self.of_v2(&body, partial, &content_type).map(Some),
            }
        }
        match self.server.get(&format!("/api/traces/{id}"), PROTOBUF).await? {
            Reply::Absent(said) if is_no_route(&said) => Err(self.server.wrong(format!("it answers HTTP 404 ({said})"))),
            Reply::Absent(_) => Ok(None),
            Reply::Found { body, partial, content_type } => {
                self.expect_protobuf(&body, &content_type)?;
                Ok(Some(Answer { trace: body, partial: partial.then(|| "Tempo calls its answer partial".to_owned()) }))
            }
        }
    }

    fn of_v2(&self, body: &[u8], partial: bool, content_type: &str) -> Result<Answer, BackendError> {
        self.expect_protobuf(body, content_type)?;
        let answer = TraceByIdResponse::decode(body).map_err(|error| self.no_tempo(&error.to_string()))?;
        let partial = (partial || answer.status == PARTIAL).then(|| match answer.message.as_str() {
            "" => "Tempo calls its answer partial".to_owned(),
            message => format!("Tempo calls its answer partial: {message}"),
        });
        Ok(Answer { trace: answer.trace, partial })
    }

    async fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        let Some(Answer { trace, partial }) = self.answer(id).await? else { return Ok(Trace::default()) };
        let traces = TracesData::decode(trace.as_slice()).map_err(|error| self.no_tempo(&error.to_string()))?;
        self.server.checked(id, Trace { spans: traces.resource_spans, partial })
    }

    async fn read_watches(&self, id: TraceId) -> Result<TraceWatches, BackendError> {
        let Some(Answer { trace, partial }) = self.answer(id).await? else { return Ok(TraceWatches::default()) };
        let (mut decoded, mut foreign) = (Decoded::default(), None);
        let read = spans_of_request(&trace, |span| {
            if http::is(&span.trace_id, id) {
                decoded.take(&span);
            } else {
                foreign = Some(span.trace_id.into_owned());
            }
        });
        read.map_err(|error| self.no_tempo(&error.to_string()))?;
        match foreign {
            Some(foreign) => Err(self.server.foreign(id, &foreign)),
            None => Ok(TraceWatches { decoded, exists: !trace.is_empty(), partial }),
        }
    }

    fn no_tempo(&self, reason: &str) -> BackendError {
        self.server.wrong(format!("its answer is no protobuf of Tempo's ({reason})"))
    }

    fn expect_protobuf(&self, body: &[u8], content_type: &str) -> Result<(), BackendError> {
        if content_type.starts_with("text/html") || content_type.starts_with("application/json") {
            return Err(self
                .server
                .wrong(format!("it answers {content_type} where protobuf was asked for: {}", http::words(body))));
        }
        Ok(())
    }
}

/// A trace as Tempo gives it: protobuf of OTLP's `TracesData`.
struct Answer {
    trace: Vec<u8>,
    partial: Option<String>,
}

/// A 404 of a router or a proxy, as opposed to Tempo's for a trace that it doesn't have.
fn is_no_route(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    said.contains("page not found") || said.starts_with(http::A_PAGE)
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
