//! Grafana Tempo, by trace id alone: `GET /api/v2/traces/{id}` as protobuf, and the older `/api/traces/{id}` where there is no v2.
//! Its JSON is not used: the ids in it are base64, the names differ between the two forms.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use super::access::Access;
use super::http::{self, Reply, Server};
use super::{Backend, BackendError, Kind, Reading, Trace};
use crate::watch::TraceId;

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
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
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

    async fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        if !self.only_v1.load(Ordering::Relaxed) {
            match self.server.get(&format!("/api/v2/traces/{id}"), PROTOBUF).await? {
                Reply::Absent(said) if is_no_route(&said) => self.only_v1.store(true, Ordering::Relaxed),
                Reply::Absent(_) => return Ok(Trace::default()),
                Reply::Found { body, partial, content_type } => return self.of_v2(id, &body, partial, &content_type),
            }
        }
        match self.server.get(&format!("/api/traces/{id}"), PROTOBUF).await? {
            Reply::Absent(said) if is_no_route(&said) => Err(self.server.wrong(format!("it answers HTTP 404 ({said})"))),
            Reply::Absent(_) => Ok(Trace::default()),
            Reply::Found { body, partial, content_type } => {
                let traces = self.decode::<TracesData>(&body, &content_type)?;
                let partial = partial.then(|| "Tempo calls its answer partial".to_owned());
                self.server.checked(id, Trace { spans: traces.resource_spans, partial })
            }
        }
    }

    fn of_v2(&self, id: TraceId, body: &[u8], partial: bool, content_type: &str) -> Result<Trace, BackendError> {
        let answer = self.decode::<TraceByIdResponse>(body, content_type)?;
        let partial = (partial || answer.status == PARTIAL).then(|| match answer.message.as_str() {
            "" => "Tempo calls its answer partial".to_owned(),
            message => format!("Tempo calls its answer partial: {message}"),
        });
        self.server.checked(id, Trace { spans: answer.trace.unwrap_or_default().resource_spans, partial })
    }

    fn decode<M: Message + Default>(&self, body: &[u8], content_type: &str) -> Result<M, BackendError> {
        if content_type.starts_with("text/html") || content_type.starts_with("application/json") {
            return Err(self
                .server
                .wrong(format!("it answers {content_type} where protobuf was asked for: {}", http::words(body))));
        }
        M::decode(body).map_err(|error| self.server.wrong(format!("its answer is no protobuf of Tempo's ({error})")))
    }
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
}
