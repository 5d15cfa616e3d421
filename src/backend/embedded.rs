//! The journal as a backend.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;

use super::{Backend, BackendError, Reading, Trace, TraceWatches};
use crate::journal::JournalReader;
use crate::watch::{Decoded, TraceId, WireError, spans_of_request};

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

    fn read(&self, id: TraceId) -> Result<Trace, BackendError> {
        let rows = self.reader.spans_of(id)?;
        let spans = decode(&rows).map_err(|error| BackendError::Unreadable { trace: id, reason: error.to_string() })?;
        Ok(Trace { spans, partial: None })
    }

    async fn read_watches(&self, id: TraceId) -> Result<TraceWatches, BackendError> {
        let rows = self.reader.spans_of(id)?;
        // It goes on while the slot before is judged.
        let decoded = tokio::task::spawn_blocking(move || watches(&rows)).await;
        let unreadable = |reason: String| BackendError::Unreadable { trace: id, reason };
        decoded.map_err(|gone| unreadable(gone.to_string()))?.map_err(|error| unreadable(error.to_string()))
    }
}

fn decode(rows: &[Vec<u8>]) -> Result<Vec<ResourceSpans>, prost::DecodeError> {
    let mut spans = Vec::new();
    for otlp in rows {
        spans.extend(ExportTraceServiceRequest::decode(otlp.as_slice())?.resource_spans);
    }
    Ok(spans)
}

fn watches(rows: &[Vec<u8>]) -> Result<TraceWatches, WireError> {
    let mut decoded = Decoded::default();
    for otlp in rows {
        spans_of_request(otlp, |span| decoded.take(&span))?;
    }
    Ok(TraceWatches { decoded, exists: !rows.is_empty(), partial: None })
}

impl Backend for Embedded {
    fn name(&self) -> String {
        "embedded".to_owned()
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn trace(&self, id: TraceId) -> Reading<'_> {
        Box::pin(std::future::ready(self.read(id)))
    }

    fn watches(&self, id: TraceId) -> Reading<'_, TraceWatches> {
        Box::pin(self.read_watches(id))
    }
}
