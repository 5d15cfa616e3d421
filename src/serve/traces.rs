//! A trace by its id, in the format of Jaeger's v3 query API, so that a report can be made in another container.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::Served;
use crate::backend::jaeger::{ErrorResponse, TraceResponse};
use crate::backend::otlp_json::OtlpTraces;
use crate::journal::{JournalError, JournalReader};
use crate::watch::TraceId;

/// The reason why no trace is returned.
enum NoTrace {
    Malformed(String),
    Unknown,
    Journal(JournalError),
}

impl IntoResponse for NoTrace {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Malformed(id) => (StatusCode::BAD_REQUEST, format!("malformed parameter trace_id: `{id}` is not a trace id")),
            // Jaeger's own wording, which its clients know.
            Self::Unknown => (StatusCode::NOT_FOUND, "No traces found".to_owned()),
            Self::Journal(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        let error = Some(ErrorResponse { http_code: status.as_u16(), message });
        (status, Json(TraceResponse::<OtlpTraces> { result: None, error })).into_response()
    }
}

/// Serves `GET /api/v3/traces/{id}`. Jaeger's parameters of time and format are ignored.
pub(super) async fn trace(State(served): State<Served>, Path(digits): Path<String>) -> Response {
    let Some(id) = trace_id(&digits) else { return NoTrace::Malformed(digits).into_response() };
    // The file is read on a thread of its own, so that the watch is not blocked.
    let read = tokio::task::spawn_blocking(move || body(&served, id)).await;
    match read {
        Ok(Ok(Some(json))) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Ok(None)) => NoTrace::Unknown.into_response(),
        Ok(Err(error)) => NoTrace::Journal(error).into_response(),
        Err(gone) => {
            tracing::error!(error = %gone, "the task that reads a trace failed");
            NoTrace::Journal(JournalError::Gone).into_response()
        }
    }
}

/// Parses up to 32 hexadecimal digits; like in Jaeger, fewer digits are the lower ones.
fn trace_id(digits: &str) -> Option<TraceId> {
    TraceId::parse(&format!("{digits:0>32}"))
}

fn body(served: &Served, id: TraceId) -> Result<Option<Vec<u8>>, JournalError> {
    for hub in served.hubs.iter() {
        let rows = hub.journal.read(|reader| reader.spans_of(id))?;
        if rows.is_empty() {
            continue;
        }
        // The journal holds only encoded requests, so decoding doesn't fail.
        let requests = rows.iter().filter_map(|row| ExportTraceServiceRequest::decode(row.as_slice()).ok());
        let traces = OtlpTraces::merged(requests.flat_map(|request| request.resource_spans));
        let answer = TraceResponse { result: Some(traces), error: None };
        // A struct of strings, numbers and lists can always be written as JSON.
        return Ok(Some(serde_json::to_vec(&answer).unwrap_or_default()));
    }
    Ok(None)
}

/// Opens the journal at the first request and keeps it open. One reader at a time bounds the cost of answering.
#[derive(Debug)]
pub(super) struct SharedReader {
    state_dir: std::path::PathBuf,
    reader: std::sync::Mutex<Option<JournalReader>>,
}

impl SharedReader {
    pub(super) fn new(state_dir: std::path::PathBuf) -> Self {
        Self { state_dir, reader: std::sync::Mutex::new(None) }
    }

    fn read<T>(&self, read: impl FnOnce(&JournalReader) -> Result<T, JournalError>) -> Result<T, JournalError> {
        // A reader only reads, so it is valid even after a panic elsewhere.
        let mut slot = self.reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let reader = match slot.take().filter(JournalReader::is_current) {
            Some(reader) => reader,
            None => JournalReader::open(&self.state_dir)?,
        };
        let result = read(&reader);
        *slot = Some(reader);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_are_parsed_like_in_jaeger() {
        assert_eq!(trace_id("1").map(|id| id.to_string()).as_deref(), Some("00000000000000000000000000000001"));
        assert!(trace_id("x").is_none() && trace_id(&"1".repeat(33)).is_none());
    }
}
