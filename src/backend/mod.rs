//! Trace backends. A backend needs one ability: give the trace with this id. [`period`] computes the ids of a period and reads its
//! Watches back; each backend is a file beside it.

pub mod embedded;
pub mod period;

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::journal::JournalError;
use crate::watch::TraceId;

/// Why a backend could not be read. A trace that it doesn't have is no error.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The embedded store.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was found is not what OTLP looks like.
    #[error("the backend gave something that is not OTLP for trace {trace}: {reason}")]
    Unreadable {
        /// Which trace.
        trace: TraceId,
        /// What is wrong.
        reason: String,
    },
}

/// Gives traces by their id.
pub trait Backend {
    /// What the report calls it.
    fn name(&self) -> &str;

    /// All spans of a trace; none if there is no such trace. Spans may be there more than once and in any order.
    fn trace(&self, id: TraceId) -> impl Future<Output = Result<Vec<ResourceSpans>, BackendError>>;
}
