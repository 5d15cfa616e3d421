//! Trace backends. A backend needs one ability: return the trace with a given id. [`period`] computes the trace ids of a period and
//! reads its Watches; each backend is a file beside it, and an entry in [`KINDS`].

mod access;
pub mod embedded;
pub mod file;
mod http;
pub mod jaeger;
pub mod otlp_json;
pub mod period;
pub mod probe;
pub mod tempo;

use std::path::PathBuf;
use std::pin::Pin;

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::journal::JournalError;
use crate::watch::{Decoded, TraceId};
pub use access::{Access, DEFAULT_TIMEOUT};

/// An error in reading a backend. A missing trace is not an error.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The embedded backend failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The settings are invalid.
    #[error("{0}")]
    Settings(String),
    /// The server did not answer, or not completely.
    #[error("{url} can't be read after {attempts} attempts: {reason}")]
    Unreachable {
        /// The server's address.
        url: String,
        /// Number of attempts.
        attempts: u32,
        /// The last error.
        reason: String,
    },
    /// The certificate's CA is not trusted, or it is for another name, or expired.
    #[error(
        "{url} has a certificate that is not trusted: {reason}; set its CA certificate with --backend-ca, or as `ca` in [backend]"
    )]
    Untrusted {
        /// The server's address.
        url: String,
        /// Why it is not trusted.
        reason: String,
    },
    /// Credentials or the tenant are missing or wrong.
    #[error("{url} returned HTTP {status} ({said}): {hint}")]
    Denied {
        /// The server's address.
        url: String,
        /// 401 or 403.
        status: u16,
        /// An excerpt of the response body.
        said: String,
        /// What to check.
        hint: &'static str,
    },
    /// Any other HTTP error.
    #[error("{url} returned HTTP {status}: {said}")]
    Status {
        /// The server's address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// An excerpt of the response body.
        said: String,
    },
    /// The response is larger than any trace of hubwatch.
    #[error("{url} returned more than {limit} bytes: no trace of hubwatch is that large")]
    TooLarge {
        /// The server's address.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The server is of another kind, or the path is wrong.
    #[error("{url} is not {kind}, or not at this path: {reason}")]
    WrongServer {
        /// The server's address.
        url: String,
        /// The expected kind.
        kind: &'static str,
        /// How that was detected.
        reason: String,
    },
    /// The server returned another trace.
    #[error("{url} returned spans of trace {got} when asked for trace {asked}")]
    Foreign {
        /// The server's address.
        url: String,
        /// The requested trace.
        asked: TraceId,
        /// The returned id, in hexadecimal.
        got: String,
    },
    /// The data is not valid OTLP.
    #[error("the backend returned invalid OTLP for trace {trace}: {reason}")]
    Unreadable {
        /// The trace.
        trace: TraceId,
        /// Why it is invalid.
        reason: String,
    },
    /// A file that can't be read.
    #[error("can't read {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error.
        reason: String,
    },
}

/// A trace from a backend.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Trace {
    /// Its spans, in any order and perhaps duplicated; empty if there is no such trace.
    pub spans: Vec<ResourceSpans>,
    /// Why spans may be missing, if the backend reports that.
    pub partial: Option<String>,
}

/// The Watches of a trace.
#[derive(Debug, Default, PartialEq)]
pub struct TraceWatches {
    /// Its Watches, and the errors of watch spans that can't be decoded.
    pub decoded: Decoded,
    /// True if the trace has any span.
    pub exists: bool,
    /// Why spans may be missing, if the backend reports that.
    pub partial: Option<String>,
}

impl From<Trace> for TraceWatches {
    fn from(trace: Trace) -> Self {
        Self { decoded: Decoded::of(&trace.spans), exists: !trace.spans.is_empty(), partial: trace.partial }
    }
}

/// The future result of a read.
pub type Reading<'a, T = Trace> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + 'a>>;

/// Returns traces by their id.
pub trait Backend: std::fmt::Debug {
    /// Returns its name for the report, without credentials.
    fn name(&self) -> String;

    /// Returns how many traces may be requested at once. Each takes as much memory as a trace of ours can have.
    fn concurrency(&self) -> usize {
        1
    }

    /// Returns by how many seconds its clock was ahead of ours at the last response, if known.
    fn clock_offset(&self) -> Option<i64> {
        None
    }

    /// Returns whether it is a hubwatch that serves its journal, which accepts no data; known after the first response.
    fn serves_a_journal(&self) -> bool {
        false
    }

    /// Returns messages about lost data of unknown traces: a truncated file can't show which traces it held.
    fn cuts(&self) -> &[String] {
        &[]
    }

    /// Reads all spans of a trace.
    fn trace(&self, id: TraceId) -> Reading<'_>;

    /// Reads the Watches of a trace. Backends override this if they can decode Watches without decoding all spans.
    fn watches(&self, id: TraceId) -> Reading<'_, TraceWatches> {
        Box::pin(async move { Ok(self.trace(id).await?.into()) })
    }
}

/// The result of opening a backend.
pub type Opened = Result<Box<dyn Backend>, BackendError>;

/// A kind of backend on the command line.
#[derive(Debug)]
pub struct Kind {
    /// The word before the `=` of `--backend`.
    pub word: &'static str,
    /// What stands after the `=`, in a word or two: the help's list.
    pub form: &'static str,
    /// Describes the target after the `=`.
    pub target: &'static str,
    /// What it is asked: a column of the README's table.
    pub request: &'static str,
    /// What it was tested with: the next column.
    pub tested_with: &'static str,
    /// Default URL of a trace in a user interface, with the placeholders `{url}` and `{trace_id}`; the configuration overrides it.
    pub trace_url: Option<&'static str>,
    /// Opens the backend for a target.
    pub open: fn(&str, &Access) -> Opened,
}

/// All kinds, in the order of the help.
pub const KINDS: &[Kind] = &[jaeger::KIND, tempo::KIND, file::KIND];

/// Lists the forms of `--backend`, as its help has them.
pub fn forms() -> String {
    KINDS.iter().map(|kind| format!("{}={}", kind.word, kind.form)).collect::<Vec<_>>().join(", ")
}

/// Returns the kind with this word.
pub fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.word == word)
}
