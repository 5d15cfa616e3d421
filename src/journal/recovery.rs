//! Recovers a damaged journal: copies the readable rows to a new one, and keeps the damaged file beside it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::writer::int;
use super::{JournalError, schema};
use crate::watch::Timestamp;

/// The outcome of a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Path of the damaged file.
    pub aside: PathBuf,
    /// The damage that SQLite found.
    pub damage: String,
    /// Rows that were copied to the new journal.
    pub rows: u64,
    /// Tables that may lack rows.
    pub incomplete: Vec<String>,
}

/// The tables to copy. The watcher's identity and the cursors come first.
const TABLES: [&str; 12] =
    ["meta", "cursor", "span", "spool", "lacks", "dead_letter", "dropped", "log_minute", "notable", "age", "received", "observed"];

/// Opens the journal; recovers it if it is damaged.
pub(super) fn open(
    path: &Path,
    folder: impl Fn(std::io::Error) -> JournalError,
) -> Result<(Connection, Option<Recovered>), JournalError> {
    let damage = match open_sound(path) {
        Ok(connection) => return Ok((connection, None)),
        Err(error) if error.is_corrupt() => error.to_string(),
        Err(error) => return Err(error),
    };
    let aside = suffixed(path, &format!(".damaged-{}", Timestamp::now().get() / 1_000_000));
    for rest in ["", "-wal", "-shm"] {
        match std::fs::rename(suffixed(path, rest), suffixed(&aside, rest)) {
            // The write-ahead log and its index may not exist.
            Err(error) if rest.is_empty() => return Err(folder(error)),
            _ => {}
        }
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(&folder)?;
    let mut connection = open_sound(path)?;
    let (rows, incomplete) = salvage(&aside, &mut connection);
    Ok((connection, Some(Recovered { aside, damage, rows, incomplete })))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn open_sound(path: &Path) -> Result<Connection, JournalError> {
    let mut connection = Connection::open(path)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        return Err(rusqlite::Error::SqliteFailure(corrupt, Some(verdict)).into());
    }
    schema::prepare(&mut connection, int(Timestamp::now().get()))?;
    Ok(connection)
}

/// Copies the readable rows; returns their number, and the tables that may lack rows. Each table is read forwards up to the
/// damage, then backwards down to it.
fn salvage(aside: &Path, into: &mut Connection) -> (u64, Vec<String>) {
    // Reading a write-ahead log creates its index, so open the file for writing if possible.
    let Ok(from) = Connection::open_with_flags(aside, OpenFlags::SQLITE_OPEN_READ_WRITE) else {
        return (0, TABLES.map(str::to_owned).to_vec());
    };
    let (mut rows, mut incomplete) = (0, Vec::new());
    for table in TABLES {
        let (copied, whole) = copy(&from, into, table);
        rows += copied;
        if !whole {
            incomplete.push(table.to_owned());
        }
    }
    (rows, incomplete)
}

fn copy(from: &Connection, into: &mut Connection, table: &str) -> (u64, bool) {
    let mut copied = 0;
    for order in ["", "ORDER BY rowid DESC"] {
        // Tables without a rowid can be read in one order only.
        if matches!(copy_in_order(from, into, table, order, &mut copied), Ok(true)) {
            return (copied, true);
        }
    }
    (copied, false)
}

/// Copies rows in one order; returns whether the end was reached.
fn copy_in_order(from: &Connection, into: &mut Connection, table: &str, order: &str, copied: &mut u64) -> rusqlite::Result<bool> {
    let mut statement = from.prepare(&format!("SELECT * FROM {table} {order}"))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let places = vec!["?"; names.len()].join(",");
    let sql = format!("INSERT OR IGNORE INTO {table}({}) VALUES ({places})", names.join(","));
    let transaction = into.transaction()?;
    let mut ended = true;
    {
        let mut insert = transaction.prepare(&sql)?;
        let mut rows = statement.query([])?;
        loop {
            let Ok(row) = rows.next() else {
                ended = false;
                break;
            };
            let Some(row) = row else { break };
            let values: Result<Vec<Value>, _> = (0..names.len()).map(|index| row.get(index)).collect();
            // A row with unreadable values is part of the damage.
            let Ok(values) = values else { continue };
            *copied += insert.execute(params_from_iter(values)).unwrap_or(0) as u64;
        }
    }
    transaction.commit()?;
    Ok(ended)
}
