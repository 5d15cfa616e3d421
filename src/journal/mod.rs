//! The durable store: one SQLite file in the state folder. One transaction commits facts with the read position and state that
//! belong to them; the senders read it as their queue, and the report reads it.
//!
//! [`Journal`] is the handle of the only writer, [`JournalReader`] reads beside it.

mod commits;
mod expiry;
mod file_loss;
mod hubs;
mod reader;
mod received;
mod recovery;
mod retention;
mod rows;
mod schema;
mod spool;
mod writer;

use std::path::PathBuf;

pub use crate::clocks::{Clocks, ReadClocks};
pub use commits::Commits;
pub use file_loss::Loss;
pub use hubs::KnownHub;
pub use reader::{JournalReader, WatchRow, WatchedPeriod};
pub use received::{ReceivedRows, Recorded};
pub use recovery::Recovered;
pub use retention::{Limits, MAX_AGE, MAX_BYTES, RESERVE};
pub use schema::VERSION;
pub use writer::{DeadLetter, Journal, Opened, Outgoing, Passed};

use crate::watch::{Bytes, Count, Drops, Environment, HubName, Level, Slot, SpanId, Text, Timestamp, TraceId};

/// The file's name in the state folder.
pub const FILE_NAME: &str = "journal.db";

/// The file that the writer locks.
pub const LOCK_NAME: &str = "journal.lock";

/// An error of the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder can't be created or written.
    #[error(
        "can't use the state folder {path}: {reason}; set a writable folder with --state-dir or HUBWATCH_STATE_DIR; \
             in a container, mount a volume there"
    )]
    Folder {
        /// The state folder.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The system returned no random numbers.
    #[error("can't create a key for session ids: the system returned no random numbers")]
    NoRandomness,
    /// Another hubwatch writes to the folder.
    #[error(
        "the state folder {path} is in use by another `hubwatch run` (PID {holder}): stop it, or give this one its own --state-dir"
    )]
    Locked {
        /// The state folder.
        path: PathBuf,
        /// PID of the holder, as written in the lock file.
        holder: String,
    },
    /// A newer hubwatch wrote it.
    #[error(
        "the journal has schema {version}, but this hubwatch supports only up to {VERSION}: use the hubwatch that wrote it, or a newer one"
    )]
    Newer {
        /// The journal's schema version.
        version: u32,
    },
    /// There is no journal.
    #[error("there is no journal in {path}: is this the state folder that `hubwatch run` uses (--state-dir)?")]
    Absent {
        /// The state folder.
        path: PathBuf,
    },
    /// An error of SQLite.
    #[error("journal error: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The open files were deleted or replaced: data written to them would be gone with the process.
    #[error("the state folder {path} is lost: {loss}; no data can be saved until it is created again")]
    Lost {
        /// The state folder.
        path: PathBuf,
        /// How it was lost.
        loss: Loss,
    },
    /// The folder could not be created again.
    #[error("the state folder {path} is lost ({loss}) and can't be created again: {reason}")]
    StillLost {
        /// The state folder.
        path: PathBuf,
        /// How it was lost.
        loss: Loss,
        /// Why it can't be created.
        reason: String,
    },
    /// A foreign file is at the journal's path.
    #[error(
        "another file replaced {path} while the journal was in use; it is left alone, and this journal's data is {kept}; \
             stop the program that writes there, or give this watch its own --state-dir"
    )]
    Replaced {
        /// The journal file.
        path: PathBuf,
        /// Where a copy was saved, or why not.
        kept: String,
    },
    /// The state could not be serialised.
    #[error("can't serialise the state: {0}")]
    Checkpoint(serde_json::Error),
    /// The writer's thread has ended.
    #[error("the journal's writer thread has ended")]
    Gone,
}

impl JournalError {
    /// The state could not be serialised.
    pub fn checkpoint(error: serde_json::Error) -> Self {
        Self::Checkpoint(error)
    }

    /// Returns whether the disk is full or rejects data at the moment (as for a quota): the write can be retried later.
    pub fn is_full(&self) -> bool {
        let code = if let Self::Sqlite(error) = self { error.sqlite_error_code() } else { None };
        matches!(code, Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure))
    }

    /// Returns whether a later commit may succeed: the watch continues meanwhile, and keeps its data in memory within a limit.
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

    /// Returns whether the file is damaged or not a journal.
    pub(crate) fn is_corrupt(&self) -> bool {
        let code = if let Self::Sqlite(error) = self { error.sqlite_error_code() } else { None };
        matches!(code, Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
    }
}

/// A failed commit, with its data: it can be retried together with the next one.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotCommitted {
    /// Why.
    pub error: JournalError,
    /// The data to commit; empty if the writer has ended.
    pub commit: Box<Commit>,
}

impl From<NotCommitted> for JournalError {
    fn from(failed: NotCommitted) -> Self {
        failed.error
    }
}

/// The name of a destination's cursor in the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationName(String);

impl DestinationName {
    /// Returns the name of the only destination.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// Returns the name of a named destination.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the name.
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

    /// Returns the word in the journal and in OTLP's URL paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// Data that is committed in one transaction.
#[derive(Debug, Default)]
pub struct Commit {
    /// Watch and call spans. A span with an existing id is skipped: ids are derived, so it is the same span.
    pub spans: Vec<SpanRow>,
    /// Log lines that were not acknowledged at once.
    pub logs: Vec<LogRows>,
    /// Metrics, for each destination that wants them.
    pub metrics: Vec<MetricRows>,
    /// Lines by minute and level, added to the existing counts.
    pub minutes: Vec<MinuteRow>,
    /// Warnings and errors.
    pub notable: Vec<NotableRow>,
    /// Records dropped since the last commit.
    pub dropped: Drops,
    /// The state that belongs to this data.
    pub checkpoint: Option<Vec<u8>>,
    /// The last observations of received requests that are part of this state: they are deleted up to here.
    pub consumed: Option<i64>,
}

/// A span, with the columns that queries need.
#[derive(Debug, Clone)]
pub struct SpanRow {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// Its kind.
    pub kind: SpanRowKind,
    /// Its start.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// An encoded `ExportTraceServiceRequest` with this one span.
    pub otlp: Vec<u8>,
}

/// The kind of a span.
#[derive(Debug, Clone)]
pub enum SpanRowKind {
    /// A Watch.
    Watch {
        /// The hub.
        hub: HubName,
        /// Its environment.
        environment: Environment,
        /// The slot.
        slot: Slot,
        /// The part of the slot's trace.
        part: u32,
        /// The run.
        run: u32,
        /// The number within the run.
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
    /// Its encoding.
    pub encoding: Encoding,
    /// Number of records.
    pub records: u32,
    /// The destinations that lack them.
    pub destinations: Vec<DestinationName>,
}

impl LogRows {
    /// Compresses a request for the journal.
    pub fn new(otlp: &[u8], records: u32, destinations: Vec<DestinationName>) -> Self {
        let (encoding, otlp) = spool::compress(otlp);
        Self { otlp, encoding, records, destinations }
    }
}

/// The encoding of a request in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not compressed.
    Plain,
    /// Compressed with zstd.
    Zstd,
}

/// Metrics of one moment, as encoded requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricRows {
    /// Their time.
    pub time: Timestamp,
    /// Totals since the beginning.
    pub cumulative: Vec<u8>,
    /// Changes since the metrics before, if a destination may want delta temporality.
    pub delta: Option<Vec<u8>>,
}

/// The start from which a metric's points count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Temporality {
    /// The beginning: needed by Prometheus, and OpenTelemetry's default.
    #[default]
    Cumulative,
    /// The previous point.
    Delta,
}

/// A destination, as the journal needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its name.
    pub name: DestinationName,
    /// The signals that it receives.
    pub signals: Vec<Signal>,
    /// The temporality of its metrics.
    pub temporality: Temporality,
}

/// The journal's size, backlog and losses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Used size.
    pub size: Bytes,
    /// Rows that destinations lack.
    pub unsent: u64,
    /// Time of the oldest of them.
    pub oldest_unsent: Option<Timestamp>,
    /// Records dropped since the journal was created.
    pub dropped: Drops,
    /// Losses of its files since the last question after which they were created again.
    pub created_again: Vec<CreatedAgain>,
}

/// The journal's files were lost while they were in use, and were created again with all that it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedAgain {
    /// The state folder.
    pub folder: PathBuf,
    /// How they were lost.
    pub loss: Loss,
}

/// Lines of one minute and level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteRow {
    /// Minutes since the Unix epoch.
    pub minute: u64,
    /// The level, `none` where there is none.
    pub level: String,
    /// Number of lines.
    pub lines: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// A warning or an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotableRow {
    /// Its time.
    pub time: Timestamp,
    /// Its level.
    pub level: Level,
    /// Its text, with secrets masked.
    pub text: Text,
}
