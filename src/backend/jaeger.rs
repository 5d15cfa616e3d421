//! Jaeger's v3 query API: OTLP as JSON, `GET /api/v3/traces/{id}`. `hubwatch run --listen` serves its journal in the same form.

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::http::{self, Reply, Server};
use super::otlp_json::OtlpTraces;
use super::{Backend, BackendError, Kind, Reading, Trace, TraceWatches};
use crate::watch::{Decoded, JsonTraces, TraceId};

/// `--backend jaeger=URL`.
pub const KIND: Kind = Kind {
    word: "jaeger",
    target: "the address of Jaeger's UI and query API, or of a `hubwatch run --listen`",
    trace_url: Some("{url}/trace/{trace_id}"),
    open: |url, access| Ok(Box::new(Jaeger::new(url, access)?)),
};

/// Jaeger's answer: OTLP inside `result`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TraceAnswer<T = OtlpTraces> {
    /// The trace, absent beside an error.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub result: Option<T>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorAnswer>,
}

/// Jaeger's error.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ErrorAnswer {
    /// The HTTP status once more.
    pub http_code: u16,
    /// What is wrong.
    pub message: String,
}

/// A Jaeger, or what answers as one.
#[derive(Debug)]
pub struct Jaeger {
    server: Server,
}

impl Jaeger {
    /// At this address, which may have a path prefix.
    pub fn new(url: &str, access: &Access) -> Result<Self, BackendError> {
        Ok(Self { server: Server::new("Jaeger's query API", url, access)? })
    }

    /// Reads an answer with `parse`; `None` if there is no such trace.
    async fn answer<T: Send + 'static>(
        &self,
        id: TraceId,
        parse: impl FnOnce(&[u8]) -> Result<T, String> + Send + 'static,
    ) -> Result<Option<(T, Option<String>)>, BackendError> {
        let (body, partial) = match self.server.get(&format!("/api/v3/traces/{id}"), "application/json").await? {
            Reply::Found { body, partial, .. } => (body, partial),
            // A lack is told in Jaeger's form; any other 404 is a wrong path's.
            Reply::Absent(said) if serde_json::from_str::<TraceAnswer>(&said).is_ok_and(|answer| answer.error.is_some()) => {
                return Ok(None);
            }
            Reply::Absent(said) => return Err(self.server.wrong(format!("it answers HTTP 404 ({said})"))),
        };
        // Parsing takes longer than asking: it must not keep the next answers waiting.
        let parsed = tokio::task::spawn_blocking(move || parse(&body)).await;
        let parsed = parsed.unwrap_or_else(|gone| Err(gone.to_string())).map_err(|reason| self.server.wrong(reason))?;
        Ok(Some((parsed, partial.then(|| "the server calls its answer partial".to_owned()))))
    }

    async fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        match self.answer(id, spans).await? {
            Some((spans, partial)) => self.server.checked(id, Trace { spans, partial }),
            None => Ok(Trace::default()),
        }
    }

    async fn read_watches(&self, id: TraceId) -> Result<TraceWatches, BackendError> {
        match self.answer(id, move |body| watches(body, id)).await? {
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

/// The Watches, or the id of another trace.
fn watches(body: &[u8], id: TraceId) -> Result<Result<Decoded, Vec<u8>>, String> {
    let (mut decoded, mut is_empty, mut foreign) = (Decoded::default(), true, None);
    parse(body, |traces: JsonTraces<'_>| {
        is_empty &= traces.is_empty();
        for span in traces.into_spans() {
            if http::is(&span.trace_id, id) {
                decoded.take(&span);
            } else {
                foreign = Some(span.trace_id.into_owned());
            }
        }
    })?;
    if is_empty { Err(EMPTY.to_owned()) } else { Ok(foreign.map_or(Ok(decoded), Err)) }
}

const EMPTY: &str = "its answer is empty";

/// Older servers write one answer after the other.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], mut take: impl FnMut(T)) -> Result<(), String> {
    for answer in serde_json::Deserializer::from_slice(body).into_iter::<TraceAnswer<T>>() {
        match answer {
            Ok(TraceAnswer { result: Some(traces), error: None }) => take(traces),
            Ok(TraceAnswer { error: Some(error), .. }) => return Err(format!("it says: {}", error.message)),
            Ok(_) => return Err(format!("its answer holds neither a result nor an error: {}", http::words(body))),
            Err(error) => return Err(format!("its answer is not what Jaeger answers ({error}): {}", http::words(body))),
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

    /// Both ways of reading an answer say the same of it.
    fn read(body: &[u8]) -> Result<usize, String> {
        let spans = spans(body);
        let watches = watches(body, TraceId::of_probe(1, 1));
        assert_eq!(spans.as_ref().err(), watches.as_ref().err());
        spans.map(|spans| spans.len())
    }

    #[test]
    fn what_is_no_answer_of_jaeger_is_told_as_that() {
        assert!(read(b"<!doctype html>").unwrap_err().contains("not what Jaeger answers"));
        assert!(read(b"{\"data\":[]}").unwrap_err().contains("neither"));
        assert!(read(b"{\"result\":{\"resourceSpans\":[{\"scopeSpans\":[{}]}]}}").is_ok(), "a scope without spans");
        assert!(read(b"{\"result\":{\"resourceSpans\":[]}}").unwrap_err().contains("empty"));
        assert_eq!(read(br#"{"error":{"httpCode":500,"message":"no disk"}}"#).unwrap_err(), "it says: no disk");
        let two = br#"{"result":{"resourceSpans":[{}]}} {"result":{"resourceSpans":[{}]}}"#;
        assert_eq!(read(two), Ok(2));
    }

    #[test]
    fn a_watch_of_another_trace_is_not_taken_for_one_of_this() {
        let body = br#"{"result":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0f"}]}]}]}}"#;
        assert_eq!(watches(body, TraceId::of_probe(1, 1)), Ok(Err(vec![0x0f])));
    }
}
