//! The journal as a backend.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;

use super::{Backend, BackendError, Reading, Trace};
use crate::journal::JournalReader;
use crate::watch::TraceId;

/// One trace that is judged, one that is decoded meanwhile.
const CONCURRENCY: usize = 2;

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

    async fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        let rows = self.reader.spans_of(id)?;
        // Decoding takes longer than reading: it goes on while the slot before is judged.
        let decoded = tokio::task::spawn_blocking(move || decode(&rows)).await;
        let unreadable = |reason: String| BackendError::Unreadable { trace: id, reason };
        let spans = decoded.map_err(|gone| unreadable(gone.to_string()))?.map_err(|error| unreadable(error.to_string()))?;
        Ok(Trace { spans, partial: None })
    }
}

fn decode(rows: &[Vec<u8>]) -> Result<Vec<ResourceSpans>, prost::DecodeError> {
    let mut spans = Vec::new();
    for otlp in rows {
        spans.extend(ExportTraceServiceRequest::decode(otlp.as_slice())?.resource_spans);
    }
    Ok(spans)
}

impl Backend for Embedded {
    fn name(&self) -> String {
        "embedded".to_owned()
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn trace(&self, id: TraceId) -> Reading<'_> {
        Box::pin(self.read(id))
    }
}
