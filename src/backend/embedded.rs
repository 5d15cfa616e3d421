//! The journal as a backend.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;

use super::{Backend, BackendError};
use crate::journal::JournalReader;
use crate::watch::TraceId;

/// The journal of a state folder.
#[derive(Debug)]
pub struct Embedded {
    reader: JournalReader,
}

impl Embedded {
    /// Reads through this reader.
    pub fn new(reader: JournalReader) -> Self {
        Self { reader }
    }
}

impl Backend for Embedded {
    fn name(&self) -> &str {
        "embedded"
    }

    async fn trace(&self, id: TraceId) -> Result<Vec<ResourceSpans>, BackendError> {
        let mut spans = Vec::new();
        for otlp in self.reader.spans_of(id)? {
            let request = ExportTraceServiceRequest::decode(otlp.as_slice())
                .map_err(|error| BackendError::Unreadable { trace: id, reason: error.to_string() })?;
            spans.extend(request.resource_spans);
        }
        Ok(spans)
    }
}
