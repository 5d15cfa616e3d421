//! Trace backends. A backend needs one ability: give the trace with this id. [`period`] computes the ids of a period and reads its
//! Watches back; each backend is a file beside it, and a row of [`KINDS`].

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

/// Why a backend could not be read. A trace that it doesn't have is no error.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The embedded store.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was asked for can't be a backend, or not be reached with these settings.
    #[error("{0}")]
    Settings(String),
    /// Nobody answers, or not to the end.
    #[error("{url} can't be read, after {tries} tries: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// How often it was tried.
        tries: u32,
        /// What happened the last time.
        reason: String,
    },
    /// Its certificate is from nobody who is trusted, or for another name, or no longer valid.
    #[error(
        "{url} has a certificate that is not trusted: {reason}; give its authority's certificate by --backend-ca, or as `ca` in [backend]"
    )]
    Untrusted {
        /// Where.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Other credentials are wanted, or a tenant.
    #[error("{url} answers HTTP {status} ({said}): {hint}")]
    Denied {
        /// Where.
        url: String,
        /// 401 or 403.
        status: u16,
        /// The server's own words.
        said: String,
        /// What to look at.
        hint: &'static str,
    },
    /// An answer that is neither a trace nor the lack of one.
    #[error("{url} answers HTTP {status}: {said}")]
    Status {
        /// Where.
        url: String,
        /// The status.
        status: u16,
        /// The server's own words.
        said: String,
    },
    /// More than a trace of ours can be.
    #[error("{url} answers with more than {limit} bytes: no trace of hubwatch is that large")]
    TooLarge {
        /// Where.
        url: String,
        /// How much would be read.
        limit: usize,
    },
    /// A server of another kind, or another path of it.
    #[error("{url} is not {kind}, or not at this path: {reason}")]
    WrongServer {
        /// Where.
        url: String,
        /// What it should be.
        kind: &'static str,
        /// How that is known.
        reason: String,
    },
    /// A trace that nobody asked for.
    #[error("{url} gave spans of trace {got} when asked for trace {asked}")]
    Foreign {
        /// Where.
        url: String,
        /// Which trace was wanted.
        asked: TraceId,
        /// The id that came, in hexadecimal.
        got: String,
    },
    /// What was found is not what OTLP looks like.
    #[error("the backend gave something that is not OTLP for trace {trace}: {reason}")]
    Unreadable {
        /// Which trace.
        trace: TraceId,
        /// What is wrong.
        reason: String,
    },
    /// A file that can't be read.
    #[error("can't read {path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A trace as a backend has it.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Trace {
    /// Its spans; none if there is no such trace. They may be there more than once and in any order.
    pub spans: Vec<ResourceSpans>,
    /// Why spans may be missing, where the backend says so itself.
    pub partial: Option<String>,
}

/// What a report wants of a trace.
#[derive(Debug, Default, PartialEq)]
pub struct TraceWatches {
    /// Its Watches, and those of its watch spans that are none.
    pub decoded: Decoded,
    /// Whether it has any span at all, of whomever.
    pub exists: bool,
    /// Why spans may be missing, where the backend says so itself.
    pub partial: Option<String>,
}

impl From<Trace> for TraceWatches {
    fn from(trace: Trace) -> Self {
        Self { decoded: Decoded::of(&trace.spans), exists: !trace.spans.is_empty(), partial: trace.partial }
    }
}

/// The answer to come.
pub type Reading<'a, T = Trace> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + 'a>>;

/// Gives traces by their id.
pub trait Backend: std::fmt::Debug {
    /// What the report calls it, without credentials.
    fn name(&self) -> String;

    /// How many traces may be asked for at once. Each may take as much memory as a trace of ours can be long.
    fn concurrency(&self) -> usize {
        1
    }

    /// By how many seconds its clock was ahead of ours at its last answer, where it says the time.
    fn clock_offset(&self) -> Option<i64> {
        None
    }

    /// Whether it is a hubwatch that serves what it saw, which takes nothing from others; known once it has answered.
    fn serves_a_journal(&self) -> bool {
        false
    }

    /// What of it is lost, whichever trace is asked for, in words: a file that was cut can't say which traces it held.
    fn cuts(&self) -> &[String] {
        &[]
    }

    /// All spans of a trace.
    fn trace(&self, id: TraceId) -> Reading<'_>;

    /// The Watches of a trace. A backend says how where it can do so without making all of the trace's spans.
    fn watches(&self, id: TraceId) -> Reading<'_, TraceWatches> {
        Box::pin(async move { Ok(self.trace(id).await?.into()) })
    }
}

/// A backend, or why what was named can't be one.
pub type Opened = Result<Box<dyn Backend>, BackendError>;

/// A kind of backend that can be named on the command line.
#[derive(Debug)]
pub struct Kind {
    /// The word before the `=` of `--backend`.
    pub word: &'static str,
    /// What stands behind the `=`.
    pub target: &'static str,
    /// Where people see a trace, unless the configuration says so: `{url}` and `{trace_id}` are filled in.
    pub trace_url: Option<&'static str>,
    /// Makes it of what stands behind the `=`.
    pub open: fn(&str, &Access) -> Opened,
}

/// Every kind, in the order of the help.
pub const KINDS: &[Kind] = &[jaeger::KIND, tempo::KIND, file::KIND];

/// The kind with this word.
pub fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.word == word)
}
