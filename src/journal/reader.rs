//! Reads the journal while it is written, or in a read-only folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::file_loss::inode;
use super::{FILE_NAME, JournalError, KnownHub, LOCK_NAME, hubs, schema};
use crate::watch::{Environment, HubName, Timestamp, TraceId};

/// A hub with Watches in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedPeriod {
    /// Its name.
    pub hub: HubName,
    /// Its environment.
    pub environment: Environment,
    /// Start of the first Watch.
    pub first: Timestamp,
    /// End of the last Watch.
    pub last: Timestamp,
}

/// A Watch as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRow {
    /// Row id: a later Watch has a higher one.
    pub id: i64,
    /// The encoded request with its span.
    pub otlp: Vec<u8>,
}

/// A read-only connection.
#[derive(Debug)]
pub struct JournalReader {
    connection: Connection,
    running: bool,
    path: PathBuf,
    /// Device and inode of the open file.
    inode: Option<(u64, u64)>,
}

impl JournalReader {
    /// Opens the journal of a state folder, which may be in use or read-only.
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

    /// Returns whether the open file is still the journal on disk: a lost journal is created again.
    pub fn is_current(&self) -> bool {
        inode(&self.path) == self.inode
    }

    /// Returns whether a watch was writing the journal when it was opened.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Returns the encoded requests of all spans of a trace.
    pub fn spans_of(&self, trace: TraceId) -> Result<Vec<Vec<u8>>, JournalError> {
        let mut statement = self.connection.prepare_cached("SELECT otlp FROM span WHERE trace_id = ? ORDER BY id")?;
        let rows = statement.query_map([trace.as_bytes()], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Returns the row id of a hub's first Watch that ends at `from` or later; `None` if there is none yet.
    pub fn first_watch(&self, hub: &HubName, environment: &Environment, from: Timestamp) -> Result<Option<i64>, JournalError> {
        let sql = "SELECT min(id) FROM span WHERE hub = ? AND environment = ? AND end_us >= ?";
        let from = i64::try_from(from.get()).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row((hub.as_str(), environment.as_str(), from), |row| row.get(0))?)
    }

    /// Returns up to `limit` Watches of a hub from row `first`, in commit order.
    pub fn watches_from(
        &self,
        hub: &HubName,
        environment: &Environment,
        first: i64,
        limit: usize,
    ) -> Result<Vec<WatchRow>, JournalError> {
        // `+` avoids the index by hub, which SQLite would scan from its beginning each time.
        let sql = "SELECT id, otlp FROM span WHERE id >= ? AND +hub = ? AND +environment = ? ORDER BY id LIMIT ?";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map((first, hub.as_str(), environment.as_str(), limit), |row| {
            Ok(WatchRow { id: row.get(0)?, otlp: row.get(1)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Returns the hubs that the journal knows, without a scan of all Watches.
    pub fn hubs(&self) -> Result<Vec<KnownHub>, JournalError> {
        hubs::all(&self.connection)
    }

    /// Returns the hubs with Watches in the journal.
    pub fn watched(&self) -> Result<Vec<WatchedPeriod>, JournalError> {
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
                watched.push(WatchedPeriod { hub, environment, first, last });
            }
        }
        Ok(watched)
    }
}

/// Opens the database. Reading a WAL database needs write access for its index, so a read-only one that no process writes is
/// opened as immutable.
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
