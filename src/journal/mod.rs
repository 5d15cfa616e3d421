//! The durable store: one SQLite file in the state folder. Whatever was learned is in it, with the read position and the state
//! that belong to it, in one transaction; the senders take from it, and the report reads it.
//!
//! [`Journal`] is the handle of the one writer, [`JournalReader`] reads beside it.

mod age;
mod known;
mod place;
mod reader;
mod recovery;
mod retention;
mod schema;
mod spool;
mod writer;

use std::path::PathBuf;

pub use crate::clocks::{Clocks, ReadClocks};
pub use known::KnownHub;
pub use place::Loss;
pub use reader::{JournalReader, WatchRow, Watched, written};
pub use recovery::Recovered;
pub use retention::{Limits, MAX_AGE, MAX_BYTES, RESERVE};
pub use schema::VERSION;
pub use writer::{DeadLetter, Journal, Opened, Outgoing};

use crate::watch::{Bytes, Count, Drops, Environment, HubName, Level, Slot, SpanId, Text, Timestamp, TraceId};

/// The file's name in the state folder.
pub const FILE_NAME: &str = "journal.db";

/// The name of the file that is locked while somebody writes.
pub const LOCK_NAME: &str = "journal.lock";

/// Why the journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder can't be made or written.
    #[error(
        "can't use the state folder {path}: {reason}; give one that can be written with --state-dir or HUBWATCH_STATE_DIR; \
             in a container mount a volume there"
    )]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The system gives no random numbers.
    #[error("can't make a key for session ids: the system gives no random numbers")]
    NoRandomness,
    /// Another hubwatch writes there.
    #[error(
        "the state folder {path} is in use by another `hubwatch run` (PID {holder}): stop that one, or give this one its own --state-dir"
    )]
    Locked {
        /// Which folder.
        path: PathBuf,
        /// Who holds it, as it says; only information.
        holder: String,
    },
    /// A newer hubwatch wrote it.
    #[error("the journal has schema {version}, this hubwatch knows {VERSION}: use the hubwatch that wrote it, or a newer one")]
    Newer {
        /// Its version.
        version: u32,
    },
    /// There is none.
    #[error("there is no journal in {path}: is this the state folder that `hubwatch run` uses (--state-dir)?")]
    Absent {
        /// Which folder.
        path: PathBuf,
    },
    /// SQLite's own complaint.
    #[error("the journal: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The files that are being written no longer bear their names: nothing that is written to them would stay.
    #[error("the state folder {path} is lost: {loss}; nothing can be kept until it is made again")]
    Lost {
        /// Which folder.
        path: PathBuf,
        /// What became of it.
        loss: Loss,
    },
    /// The folder could not be made again.
    #[error("the state folder {path} is lost ({loss}) and can't be made again: {reason}")]
    StillLost {
        /// Which folder.
        path: PathBuf,
        /// What became of it.
        loss: Loss,
        /// Why it can't be made.
        reason: String,
    },
    /// Somebody else's file lies where the journal was.
    #[error(
        "another file took the place of {path} while the journal was in use; it is left alone, and what this journal held is {kept};              stop whatever writes there, or give this watch its own --state-dir"
    )]
    Replaced {
        /// Which file.
        path: PathBuf,
        /// Where a copy is.
        kept: String,
    },
    /// The state could not be written down.
    #[error("the state can't be written down: {0}")]
    Checkpoint(serde_json::Error),
    /// The writer's thread is gone.
    #[error("the journal's writer is gone")]
    Gone,
}

impl JournalError {
    /// The state could not be written down.
    pub fn checkpoint(error: serde_json::Error) -> Self {
        Self::Checkpoint(error)
    }

    /// Whether the disk is full or does not take data at the moment (a quota shows as the latter): what was not written can be
    /// written again once it does.
    pub fn is_full(&self) -> bool {
        let code = if let Self::Sqlite(error) = self { error.sqlite_error_code() } else { None };
        matches!(code, Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure))
    }

    /// Whether a later commit may succeed: the watch goes on meanwhile, and keeps what it learns in memory as far as there is room.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::StillLost { .. } => true,
            Self::Sqlite(error) => {
                let passing = [rusqlite::ErrorCode::ReadOnly, rusqlite::ErrorCode::CannotOpen, rusqlite::ErrorCode::DatabaseBusy];
                self.is_full() || error.sqlite_error_code().is_some_and(|code| passing.contains(&code))
            }
            Self::Folder { .. }
            | Self::NoRandomness
            | Self::Locked { .. }
            | Self::Newer { .. }
            | Self::Absent { .. }
            | Self::Replaced { .. }
            | Self::Checkpoint(_)
            | Self::Gone => false,
        }
    }

    /// Whether the file is damaged or no journal at all.
    pub(crate) fn is_corrupt(&self) -> bool {
        let code = if let Self::Sqlite(error) = self { error.sqlite_error_code() } else { None };
        matches!(code, Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
    }
}

/// A commit that failed, with what it was to keep: it can be tried again together with what comes next.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotCommitted {
    /// Why.
    pub error: JournalError,
    /// What is not kept yet; empty if the writer is gone.
    pub commit: Box<Commit>,
}

impl From<NotCommitted> for JournalError {
    fn from(failed: NotCommitted) -> Self {
        failed.error
    }
}

/// The name under which a destination's place in the journal is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationName(String);

impl DestinationName {
    /// The one destination of a configuration that has but one.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// A destination with a name of its own.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// OTLP's signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The word that stands in the journal and in OTLP's paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// What is committed at once.
#[derive(Debug, Default)]
pub struct Commit {
    /// Watch and call spans. One that is there already is passed over: its id is derived, so it is the same.
    pub spans: Vec<SpanRow>,
    /// Log lines that were not acknowledged at once.
    pub logs: Vec<LogRows>,
    /// Metrics, for every destination that wants them.
    pub metrics: Vec<MetricRows>,
    /// Lines by minute and level: added to what is there.
    pub minutes: Vec<MinuteRow>,
    /// Warnings and errors.
    pub notable: Vec<NotableRow>,
    /// What could not be kept until now.
    pub dropped: Drops,
    /// The state that belongs to all this.
    pub checkpoint: Option<Vec<u8>>,
}

/// A span with the few columns that queries need.
#[derive(Debug, Clone)]
pub struct SpanRow {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// What it is.
    pub kind: SpanRowKind,
    /// Its start.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// An encoded `ExportTraceServiceRequest` with this one span.
    pub otlp: Vec<u8>,
}

/// What a span is.
#[derive(Debug, Clone)]
pub enum SpanRowKind {
    /// A Watch.
    Watch {
        /// Of which hub.
        hub: HubName,
        /// Where.
        environment: Environment,
        /// In which slot.
        slot: Slot,
        /// In which part of the slot's trace.
        part: u32,
        /// Of which run.
        run: u32,
        /// At which place of the run.
        sequence: Count,
    },
    /// A part of a meta-tool call's trace.
    Call,
}

/// Log records for the destinations that did not acknowledge them.
#[derive(Debug, Clone)]
pub struct LogRows {
    /// An encoded `ExportLogsServiceRequest`, compressed or not.
    pub otlp: Vec<u8>,
    /// Which of the two.
    pub encoding: Encoding,
    /// How many records.
    pub records: u32,
    /// Who lacks them.
    pub destinations: Vec<DestinationName>,
}

impl LogRows {
    /// Compresses a request for the journal.
    pub fn new(otlp: &[u8], records: u32, destinations: Vec<DestinationName>) -> Self {
        let (encoding, otlp) = spool::compress(otlp);
        Self { otlp, encoding, records, destinations }
    }
}

/// How a request lies in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// By zstd.
    Zstd,
}

/// Metrics of one moment, as the requests that receivers take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricRows {
    /// When.
    pub time: Timestamp,
    /// Totals since the beginning.
    pub cumulative: Vec<u8>,
    /// What was added since the metrics before, where somebody may want that.
    pub delta: Option<Vec<u8>>,
}

/// What a metric's points count from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Temporality {
    /// The beginning: what Prometheus wants, and OpenTelemetry's default.
    #[default]
    Cumulative,
    /// The point before.
    Delta,
}

/// A destination as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its name.
    pub name: DestinationName,
    /// What it gets.
    pub signals: Vec<Signal>,
    /// Which metrics it gets.
    pub temporality: Temporality,
}

/// How the journal stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Its size.
    pub size: Bytes,
    /// Rows that destinations lack.
    pub unsent: u64,
    /// When the oldest of them was made.
    pub oldest_unsent: Option<Timestamp>,
    /// What was dropped since the journal began.
    pub dropped: Drops,
}

/// Lines of one minute and level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteRow {
    /// Minutes since the Unix epoch.
    pub minute: u64,
    /// The level, `none` where there is none.
    pub level: String,
    /// How many lines.
    pub lines: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A warning or an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotableRow {
    /// When.
    pub time: Timestamp,
    /// Which of the two.
    pub level: Level,
    /// Its text, secrets masked.
    pub text: Text,
}
