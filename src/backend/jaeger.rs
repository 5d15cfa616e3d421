//! Jaeger's v3 query API: OTLP as JSON, `GET /api/v3/traces/{id}`. `hubwatch run --listen` serves its journal in the same form.

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::http::{self, Reply, Server};
use super::otlp_json::OtlpTraces;
use super::{Backend, BackendError, Kind, Reading, Trace};
use crate::watch::TraceId;

/// `--backend jaeger=URL`.
pub const KIND: Kind = Kind {
    word: "jaeger",
    target: "the address of Jaeger's UI and query API, or of a `hubwatch run --listen`",
    trace_url: Some("{url}/trace/{trace_id}"),
    open: |url, access| Ok(Box::new(Jaeger::new(url, access)?)),
};

/// Jaeger's answer: OTLP inside `result`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceAnswer {
    /// The trace, absent beside an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<OtlpTraces>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
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

    async fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        let (body, partial) = match self.server.get(&format!("/api/v3/traces/{id}"), "application/json").await? {
            Reply::Found { body, partial, .. } => (body, partial),
            // A lack is told in Jaeger's form; any other 404 is a wrong path's.
            Reply::Absent(said) if serde_json::from_str::<TraceAnswer>(&said).is_ok_and(|answer| answer.error.is_some()) => {
                return Ok(Trace::default());
            }
            Reply::Absent(said) => return Err(self.server.wrong(format!("it answers HTTP 404 ({said})"))),
        };
        // Parsing takes longer than asking: it must not keep the next answers waiting.
        let parsed = tokio::task::spawn_blocking(move || parse(&body)).await;
        let spans = parsed.unwrap_or_else(|gone| Err(gone.to_string())).map_err(|reason| self.server.wrong(reason))?;
        let partial = partial.then(|| "the server calls its answer partial".to_owned());
        self.server.checked(id, Trace { spans, partial })
    }
}

/// Older servers write one answer after the other.
fn parse(body: &[u8]) -> Result<Vec<ResourceSpans>, String> {
    let mut spans = Vec::new();
    for answer in serde_json::Deserializer::from_slice(body).into_iter::<TraceAnswer>() {
        match answer {
            Ok(TraceAnswer { result: Some(traces), error: None }) => spans.extend(traces.resource_spans),
            Ok(TraceAnswer { error: Some(error), .. }) => return Err(format!("it says: {}", error.message)),
            Ok(_) => return Err(format!("its answer holds neither a result nor an error: {}", http::words(body))),
            Err(error) => return Err(format!("its answer is not what Jaeger answers ({error}): {}", http::words(body))),
        }
    }
    if spans.is_empty() { Err("its answer is empty".to_owned()) } else { Ok(spans) }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_of_jaeger_is_told_as_that() {
        assert!(parse(b"<!doctype html>").unwrap_err().contains("not what Jaeger answers"));
        assert!(parse(b"{\"data\":[]}").unwrap_err().contains("neither"));
        assert!(parse(b"{\"result\":{\"resourceSpans\":[{\"scopeSpans\":[{}]}]}}").is_ok(), "a scope without spans");
        assert_eq!(parse(br#"{"error":{"httpCode":500,"message":"no disk"}}"#).unwrap_err(), "it says: no disk");
        let two = br#"{"result":{"resourceSpans":[{}]}} {"result":{"resourceSpans":[{}]}}"#;
        assert_eq!(parse(two).map(|spans| spans.len()), Ok(2));
    }
}
