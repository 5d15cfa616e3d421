//! Jaeger's v3 query API: OTLP as JSON, `GET /api/v3/traces/{id}`. `hubwatch run --listen` serves its journal in the same format.

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::http::{self, Reply, TraceServer};
use super::otlp_json::OtlpTraces;
use super::{Backend, BackendError, Kind, Reading, Trace, TraceWatches};
use crate::watch::{Decoded, JsonTraces, TraceId};

/// `--backend jaeger=URL`.
pub const KIND: Kind = Kind {
    word: "jaeger",
    form: "URL (also a `hubwatch run --listen`)",
    target: "the address of Jaeger's UI and query API, or of a `hubwatch run --listen`",
    request: "v3 API, OTLP JSON",
    tested_with: "real Jaeger 2.13: memory, and badger over a restart; our own served journal",
    trace_url: Some("{url}/trace/{trace_id}"),
    open: |url, access| Ok(Box::new(Jaeger::new(url, access)?)),
};

/// Jaeger's response: OTLP inside `result`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TraceResponse<T = OtlpTraces> {
    /// The trace; absent if there is an error.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub result: Option<T>,
    /// The error, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorResponse>,
}

/// Jaeger's error.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ErrorResponse {
    /// The HTTP status.
    pub http_code: u16,
    /// The error message.
    pub message: String,
}

/// A Jaeger, or a server with the same API.
#[derive(Debug)]
pub struct Jaeger {
    server: TraceServer,
}

impl Jaeger {
    /// Creates a backend at this address, which may have a path prefix.
    pub fn new(url: &str, access: &Access) -> Result<Self, BackendError> {
        Ok(Self { server: TraceServer::new("Jaeger's query API", url, access)? })
    }

    /// Requests a trace and decodes it with `parse`; returns `None` if there is no such trace.
    async fn fetch<T: Send + 'static>(
        &self,
        id: TraceId,
        parse: impl FnOnce(&[u8]) -> Result<T, String> + Send + 'static,
    ) -> Result<Option<(T, Option<String>)>, BackendError> {
        let (body, partial) = match self.server.get(&format!("/api/v3/traces/{id}"), "application/json").await? {
            Reply::Found { body, partial, .. } => (body, partial),
            // Jaeger reports a missing trace in its own format; any other 404 means a wrong path.
            Reply::Absent(said) if serde_json::from_str::<TraceResponse>(&said).is_ok_and(|answer| answer.error.is_some()) => {
                return Ok(None);
            }
            Reply::Absent(said) => return Err(self.server.wrong_server(format!("it returned HTTP 404 ({said})"))),
        };
        // Parsing takes longer than the request, and must not delay the next responses.
        let parsed = tokio::task::spawn_blocking(move || parse(&body)).await;
        let parsed = parsed.unwrap_or_else(|gone| Err(gone.to_string())).map_err(|reason| self.server.wrong_server(reason))?;
        Ok(Some((parsed, partial.then(|| "the server marked its response as partial".to_owned()))))
    }

    async fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        match self.fetch(id, spans).await? {
            Some((spans, partial)) => self.server.checked(id, Trace { spans, partial }),
            None => Ok(Trace::default()),
        }
    }

    async fn read_watches(&self, id: TraceId) -> Result<TraceWatches, BackendError> {
        match self.fetch(id, move |body| watches(body, id)).await? {
            Some((Ok(decoded), partial)) => Ok(TraceWatches { decoded, exists: true, partial }),
            Some((Err(foreign), _)) => Err(self.server.foreign(id, &foreign)),
            None => Ok(TraceWatches::default()),
        }
    }
}

fn spans(body: &[u8]) -> Result<Vec<ResourceSpans>, String> {
    let mut spans = Vec::new();
    parse(body, |traces: OtlpTraces| spans.extend(traces.resource_spans))?;
    if spans.is_empty() { Err(EMPTY.to_owned()) } else { Ok(spans) }
}

/// Decodes the Watches; returns the foreign id if a span is of another trace.
fn watches(body: &[u8], id: TraceId) -> Result<Result<Decoded, Vec<u8>>, String> {
    let (mut decoded, mut is_empty, mut foreign) = (Decoded::default(), true, None);
    parse(body, |traces: JsonTraces<'_>| {
        is_empty &= traces.is_empty();
        for span in traces.into_spans() {
            if http::is_same_id(&span.trace_id, id) {
                decoded.take(&span);
            } else {
                foreign = Some(span.trace_id.into_owned());
            }
        }
    })?;
    if is_empty { Err(EMPTY.to_owned()) } else { Ok(foreign.map_or(Ok(decoded), Err)) }
}

const EMPTY: &str = "its response is empty";

/// Parses a body, which holds several concatenated responses on older servers.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], mut take: impl FnMut(T)) -> Result<(), String> {
    for answer in serde_json::Deserializer::from_slice(body).into_iter::<TraceResponse<T>>() {
        match answer {
            Ok(TraceResponse { result: Some(traces), error: None }) => take(traces),
            Ok(TraceResponse { error: Some(error), .. }) => return Err(format!("it returned an error: {}", error.message)),
            Ok(_) => return Err(format!("its response contains neither a result nor an error: {}", http::excerpt(body))),
            Err(error) => return Err(format!("its response is not Jaeger's ({error}): {}", http::excerpt(body))),
        }
    }
    Ok(())
}

impl Backend for Jaeger {
    fn name(&self) -> String {
        format!("jaeger {}", self.server.shown())
    }

    fn concurrency(&self) -> usize {
        http::CONCURRENCY
    }

    fn clock_offset(&self) -> Option<i64> {
        self.server.clock_offset()
    }

    fn serves_a_journal(&self) -> bool {
        self.server.is_hubwatch()
    }

    fn trace(&self, id: TraceId) -> Reading<'_> {
        Box::pin(self.read(id))
    }

    fn watches(&self, id: TraceId) -> Reading<'_, TraceWatches> {
        Box::pin(self.read_watches(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that both decoders agree on a body.
    fn read(body: &[u8]) -> Result<usize, String> {
        let spans = spans(body);
        let watches = watches(body, TraceId::of_probe(1, 1));
        assert_eq!(spans.as_ref().err(), watches.as_ref().err());
        spans.map(|spans| spans.len())
    }

    #[test]
    fn responses_that_are_not_jaegers_are_reported() {
        assert!(read(b"<!doctype html>").unwrap_err().contains("not Jaeger's"));
        assert!(read(b"{\"data\":[]}").unwrap_err().contains("neither"));
        assert!(read(b"{\"result\":{\"resourceSpans\":[{\"scopeSpans\":[{}]}]}}").is_ok(), "a scope without spans");
        assert!(read(b"{\"result\":{\"resourceSpans\":[]}}").unwrap_err().contains("empty"));
        assert_eq!(read(br#"{"error":{"httpCode":500,"message":"no disk"}}"#).unwrap_err(), "it returned an error: no disk");
        let two = br#"{"result":{"resourceSpans":[{}]}} {"result":{"resourceSpans":[{}]}}"#;
        assert_eq!(read(two), Ok(2));
    }

    #[test]
    fn a_watch_of_another_trace_is_an_error() {
        let body = br#"{"result":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0f"}]}]}]}}"#;
        assert_eq!(watches(body, TraceId::of_probe(1, 1)), Ok(Err(vec![0x0f])));
    }
}
