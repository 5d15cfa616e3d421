//! The journal as a backend.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;

use super::{Backend, BackendError, Reading, Trace, TraceWatches};
use crate::journal::JournalReader;
use crate::watch::{Decoded, TraceId, WireError, spans_of_request};

/// Reads two traces while one is judged: one for each CPU of a small machine.
const CONCURRENCY: usize = 2;

/// The journal of a state folder.
#[derive(Debug)]
pub struct Embedded {
    reader: Arc<Mutex<JournalReader>>,
}

impl Embedded {
    /// Creates a backend from this reader.
    pub fn new(reader: JournalReader) -> Self {
        Self { reader: Arc::new(Mutex::new(reader)) }
    }

    /// Reads and decodes the rows of a trace in another thread, while the previous trace is judged.
    async fn read<T: Send + 'static, E: std::fmt::Display>(
        &self,
        id: TraceId,
        make: impl FnOnce(&[Vec<u8>]) -> Result<T, E> + Send + 'static,
    ) -> Result<T, BackendError> {
        let reader = self.reader.clone();
        let unreadable = move |reason: String| BackendError::Unreadable { trace: id, reason };
        let read = move || {
            // A panic leaves no partial state in the reader.
            let rows = reader.lock().unwrap_or_else(PoisonError::into_inner).spans_of(id)?;
            make(&rows).map_err(|error| unreadable(error.to_string()))
        };
        tokio::task::spawn_blocking(read).await.map_err(|gone| unreadable(gone.to_string()))?
    }
}

fn spans(rows: &[Vec<u8>]) -> Result<Vec<ResourceSpans>, prost::DecodeError> {
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
        Box::pin(async move { Ok(Trace { spans: self.read(id, spans).await?, partial: None }) })
    }

    fn watches(&self, id: TraceId) -> Reading<'_, TraceWatches> {
        Box::pin(self.read(id, watches))
    }
}
