//! The tables, and views for people who open the file with `sqlite3 journal.db`.

use rusqlite::{Connection, Transaction};

use super::JournalError;

/// The schema version. Every change raises it by one and adds a step to [`migrate`].
pub const VERSION: u32 = 4;

const TABLES: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
-- Watch and call spans: the embedded backend, and the queue of the trace senders.
CREATE TABLE span(
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, trace_id BLOB NOT NULL, span_id BLOB NOT NULL UNIQUE,
  start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, hub TEXT, environment TEXT, run INTEGER, sequence INTEGER,
  otlp BLOB NOT NULL);
CREATE INDEX span_of_trace ON span(trace_id);
CREATE INDEX span_of_hub ON span(hub, environment, end_us) WHERE hub IS NOT NULL;
-- The last span that each destination received.
CREATE TABLE cursor(destination TEXT PRIMARY KEY, passed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log_minute(
  minute INTEGER NOT NULL, level TEXT NOT NULL, lines INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(minute, level)) WITHOUT ROWID;
CREATE TABLE notable(id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL);
CREATE VIEW watches AS
  SELECT hub, environment, run, sequence, datetime(start_us / 1000000, 'unixepoch') AS start,
         datetime(end_us / 1000000, 'unixepoch') AS end, lower(hex(trace_id)) AS trace_id
  FROM span WHERE kind = 'watch' ORDER BY id;
CREATE VIEW log_minutes AS
  SELECT datetime(minute * 60, 'unixepoch') AS minute, level, lines, bytes FROM log_minute ORDER BY 1, 2;
CREATE VIEW notable_lines AS
  SELECT datetime(time_us / 1000000, 'unixepoch') AS time, level, text FROM notable ORDER BY time_us;
";

/// Added in version 2: data that waits for several destinations is stored once, compressed; rejected and dropped records are
/// counted.
const SPOOL: &str = "
-- Log lines that were not acknowledged at once, metrics, and received telemetry. Encoding: 0 plain, 1 zstd.
CREATE TABLE spool(
  id INTEGER PRIMARY KEY AUTOINCREMENT, signal TEXT NOT NULL, records INTEGER NOT NULL, time_us INTEGER NOT NULL,
  encoding INTEGER NOT NULL, otlp BLOB NOT NULL);
-- The destinations that lack a spool row. A row that no destination lacks is deleted.
CREATE TABLE lacks(
  destination TEXT NOT NULL, signal TEXT NOT NULL, spool INTEGER NOT NULL,
  PRIMARY KEY(destination, signal, spool)) WITHOUT ROWID;
CREATE INDEX lacks_spool ON lacks(spool);
-- Requests that a destination permanently rejected.
CREATE TABLE dead_letter(
  id INTEGER PRIMARY KEY, destination TEXT NOT NULL, signal TEXT NOT NULL, reason TEXT NOT NULL, records INTEGER NOT NULL,
  time_us INTEGER NOT NULL, otlp BLOB NOT NULL);
-- Dropped records, by kind and reason.
CREATE TABLE dropped(what TEXT NOT NULL, reason TEXT NOT NULL, records INTEGER NOT NULL, PRIMARY KEY(what, reason)) WITHOUT ROWID;
";

/// Added in version 3: the age of rows, by marks of each table's last row at times when the clock was steady.
const AGE: &str = "
CREATE TABLE age(
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, span INTEGER NOT NULL, spool INTEGER NOT NULL,
  notable INTEGER NOT NULL, dead_letter INTEGER NOT NULL);
";

/// Added in version 4: what the OTLP receiver accepted.
const RECEIVED: &str = "
-- Hashes of received requests, so that a repeated one is kept once. The hour counts hours of running, not of a clock.
CREATE TABLE received(id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, hour INTEGER NOT NULL);
-- Observations of received requests that no commit of the watch has used yet, as JSON.
CREATE TABLE observed(id INTEGER PRIMARY KEY AUTOINCREMENT, observations BLOB NOT NULL);
";

/// The last spool row that each sender is sending: rows up to it may have arrived already, so they are neither dropped nor counted
/// as lost. Exists in this run only.
const IN_FLIGHT: &str = "
CREATE TEMP TABLE in_flight(
  destination TEXT NOT NULL, signal TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY(destination, signal)) WITHOUT ROWID;
";

/// Migrates from version 1, which stored a copy for each destination.
const FROM_1: &str = "
INSERT INTO spool(id, signal, records, time_us, encoding, otlp) SELECT id, signal, records, ?1, 0, otlp FROM outbox;
INSERT INTO lacks(destination, signal, spool) SELECT destination, signal, id FROM outbox;
INSERT INTO dead_letter(destination, signal, reason, records, time_us, otlp)
  SELECT destination, signal, reason, records, ?1, otlp FROM dead_letter_1;
DROP TABLE outbox;
DROP TABLE dead_letter_1;
";

/// Cache size of a connection in KiB: small, because rows are appended at the end and read once.
pub(super) const CACHE_KIB: i64 = 512;

/// Sets the connection up for durable writing with little memory; creates or migrates the tables.
pub(super) fn prepare(connection: &mut Connection, now_us: i64) -> Result<(), JournalError> {
    let version = version(connection)?;
    if version == 0 {
        // SQLite allows this only before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", 8 * 1024 * 1024)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    if version < VERSION {
        let transaction = connection.transaction()?;
        migrate(&transaction, version, now_us)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.execute_batch(IN_FLIGHT)?;
    Ok(())
}

/// Runs all steps from this version to [`VERSION`]; in one transaction, so that a crash leaves the old journal.
fn migrate(transaction: &Transaction<'_>, version: u32, now_us: i64) -> Result<(), rusqlite::Error> {
    if version == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(SPOOL)?;
    }
    if version == 1 {
        transaction.execute_batch("ALTER TABLE dead_letter RENAME TO dead_letter_1")?;
        transaction.execute_batch(SPOOL)?;
        for statement in FROM_1.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let mut statement = transaction.prepare(statement)?;
            if statement.parameter_count() == 1 {
                statement.execute([now_us])?
            } else {
                statement.execute([])?
            };
        }
    }
    if version < 3 {
        transaction.execute_batch(AGE)?;
    }
    if version < 4 {
        transaction.execute_batch(RECEIVED)?;
    }
    Ok(())
}

/// Returns the schema version of a file, 0 without tables; fails if it is newer than [`VERSION`].
pub(super) fn version(connection: &Connection) -> Result<u32, JournalError> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION { Err(JournalError::Newer { version }) } else { Ok(version) }
}
