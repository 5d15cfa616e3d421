//! The journal as a backend.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::{Backend, BackendError, Reading, Trace};
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

    fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        let mut trace = Trace::default();
        for otlp in self.reader.spans_of(id)? {
            let request = ExportTraceServiceRequest::decode(otlp.as_slice())
                .map_err(|error| BackendError::Unreadable { trace: id, reason: error.to_string() })?;
            trace.spans.extend(request.resource_spans);
        }
        Ok(trace)
    }
}

impl Backend for Embedded {
    fn name(&self) -> String {
        "embedded".to_owned()
    }

    fn trace(&self, id: TraceId) -> Reading<'_> {
        Box::pin(std::future::ready(self.read(id)))
    }
}
