//! Reading the journal beside its writer, or where nobody may write.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OpenFlags};

use super::place::{inode, write_ahead_log};
use super::{FILE_NAME, JournalError, KnownHub, LOCK_NAME, known, schema};
use crate::watch::{Environment, HubName, Timestamp, TraceId};

/// A hub that the journal holds Watches of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Which hub.
    pub hub: HubName,
    /// Where.
    pub environment: Environment,
    /// The start of the first Watch.
    pub first: Timestamp,
    /// The end of the last one.
    pub last: Timestamp,
}

/// A Watch as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRow {
    /// Its place: a later one has a higher number.
    pub id: i64,
    /// The request that holds its span.
    pub otlp: Vec<u8>,
}

/// A connection that only reads.
#[derive(Debug)]
pub struct JournalReader {
    connection: Connection,
    running: bool,
    path: PathBuf,
    /// The file that is read.
    inode: Option<(u64, u64)>,
}

impl JournalReader {
    /// Opens the journal of a state folder. It may be written meanwhile, and the folder may be read-only.
    pub fn open(state_dir: &Path) -> Result<Self, JournalError> {
        let path = state_dir.join(FILE_NAME);
        if !path.exists() {
            return Err(JournalError::Absent { path: state_dir.to_owned() });
        }
        let running = is_locked(state_dir);
        let connection = open(&path, running)?;
        if schema::version(&connection)? == 0 {
            return Err(JournalError::Absent { path: state_dir.to_owned() });
        }
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "cache_size", -schema::CACHE_KIB)?;
        Ok(Self { connection, running, inode: inode(&path), path })
    }

    /// Whether the file that is read is still the one that bears the journal's name: a journal that was lost is made again.
    pub fn is_current(&self) -> bool {
        inode(&self.path) == self.inode
    }

    /// Whether somebody writes it at the moment.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// The requests of all spans of a trace.
    pub fn spans_of(&self, trace: TraceId) -> Result<Vec<Vec<u8>>, JournalError> {
        let mut statement = self.connection.prepare_cached("SELECT otlp FROM span WHERE trace_id = ? ORDER BY id")?;
        let rows = statement.query_map([trace.as_bytes()], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The place of the first Watch of a hub that ends at `from` or later; `None` if there is none yet.
    pub fn first_watch(&self, hub: &HubName, environment: &Environment, from: Timestamp) -> Result<Option<i64>, JournalError> {
        let sql = "SELECT min(id) FROM span WHERE hub = ? AND environment = ? AND end_us >= ?";
        let from = i64::try_from(from.get()).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row((hub.as_str(), environment.as_str(), from), |row| row.get(0))?)
    }

    /// The Watches of a hub from this place on, in the order in which they were committed; at most `limit`.
    pub fn watches_from(
        &self,
        hub: &HubName,
        environment: &Environment,
        first: i64,
        limit: usize,
    ) -> Result<Vec<WatchRow>, JournalError> {
        // The index by hub is not used: it would be gone through from its beginning at each look.
        let sql = "SELECT id, otlp FROM span WHERE id >= ? AND +hub = ? AND +environment = ? ORDER BY id LIMIT ?";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map((first, hub.as_str(), environment.as_str(), limit), |row| {
            Ok(WatchRow { id: row.get(0)?, otlp: row.get(1)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The hubs that the journal knows, without looking through it.
    pub fn hubs(&self) -> Result<Vec<KnownHub>, JournalError> {
        known::all(&self.connection)
    }

    /// The hubs that were watched.
    pub fn watched(&self) -> Result<Vec<Watched>, JournalError> {
        let sql = "SELECT hub, environment, min(start_us), max(end_us) FROM span WHERE hub IS NOT NULL GROUP BY 1, 2";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            let time = |index| row.get(index).map(|micros: i64| Timestamp::new(u64::try_from(micros).unwrap_or(0)));
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, time(2)?, time(3)?))
        })?;
        let mut watched = Vec::new();
        for row in rows {
            let (hub, environment, first, last) = row?;
            if let (Ok(hub), Ok(environment)) = (HubName::parse(&hub), Environment::parse(&environment)) {
                watched.push(Watched { hub, environment, first, last });
            }
        }
        Ok(watched)
    }
}

/// When the journal of a state folder was last written; `None` where that can't be told.
pub fn written(state_dir: &Path) -> Option<SystemTime> {
    // A commit goes into the file beside it first, and stays there until a quiet moment.
    std::fs::metadata(write_ahead_log(state_dir)).ok()?.modified().ok()
}

/// Reading a WAL database wants to write its index. Where nobody may write and nobody does, the file is taken as it is.
fn open(path: &Path, running: bool) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let plain = Connection::open_with_flags(path, flags)?;
    match schema::version(&plain) {
        Err(JournalError::Sqlite(error)) if !running && error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) => {}
        Err(JournalError::Sqlite(error)) if !running && error.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly) => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(plain),
    }
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{escaped}?immutable=1");
    Ok(Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?)
}

fn is_locked(state_dir: &Path) -> bool {
    let Ok(file) = File::open(state_dir.join(LOCK_NAME)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}
