//! A trace by its id, in the form of Jaeger's v3 query API: a report can be made from another container.

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

/// Why there is no trace to give.
enum NoTrace {
    Malformed(String),
    Unknown,
    Journal(JournalError),
}

impl IntoResponse for NoTrace {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Malformed(id) => (StatusCode::BAD_REQUEST, format!("malformed parameter trace_id: `{id}` is no trace id")),
            // Jaeger's own words, which its clients know.
            Self::Unknown => (StatusCode::NOT_FOUND, "No traces found".to_owned()),
            Self::Journal(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        let error = Some(ErrorResponse { http_code: status.as_u16(), message });
        (status, Json(TraceResponse::<OtlpTraces> { result: None, error })).into_response()
    }
}

/// `GET /api/v3/traces/{id}`: the parameters of time and form that Jaeger takes change nothing here.
pub(super) async fn trace(State(served): State<Served>, Path(digits): Path<String>) -> Response {
    let Some(id) = trace_id(&digits) else { return NoTrace::Malformed(digits).into_response() };
    // The file is read on a thread of its own: the watch goes on meanwhile.
    let read = tokio::task::spawn_blocking(move || body(&served, id)).await;
    match read {
        Ok(Ok(Some(json))) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Ok(None)) => NoTrace::Unknown.into_response(),
        Ok(Err(error)) => NoTrace::Journal(error).into_response(),
        Err(gone) => {
            tracing::error!(error = %gone, "reading a trace ended early");
            NoTrace::Journal(JournalError::Gone).into_response()
        }
    }
}

/// Up to 32 hexadecimal digits; as for Jaeger, fewer are the lower ones.
fn trace_id(digits: &str) -> Option<TraceId> {
    TraceId::parse(&format!("{digits:0>32}"))
}

fn body(served: &Served, id: TraceId) -> Result<Option<Vec<u8>>, JournalError> {
    for hub in served.hubs.iter() {
        let rows = hub.journal.read(|reader| reader.spans_of(id))?;
        if rows.is_empty() {
            continue;
        }
        // What the journal gave back it was given encoded.
        let requests = rows.iter().filter_map(|row| ExportTraceServiceRequest::decode(row.as_slice()).ok());
        let traces = OtlpTraces::merged(requests.flat_map(|request| request.resource_spans));
        let answer = TraceResponse { result: Some(traces), error: None };
        // A struct of strings, numbers and lists always has a JSON form.
        return Ok(Some(serde_json::to_vec(&answer).unwrap_or_default()));
    }
    Ok(None)
}

/// Opens the journal when it is first asked, and keeps it open; one reader at a time bounds what answering costs.
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
        // A reader only reads: one that somebody panicked with is as good as before.
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
    fn ids_are_read_as_jaeger_reads_them() {
        assert_eq!(trace_id("1").map(|id| id.to_string()).as_deref(), Some("00000000000000000000000000000001"));
        assert!(trace_id("x").is_none() && trace_id(&"1".repeat(33)).is_none());
    }
}
