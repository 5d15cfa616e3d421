//! The tables. People may look into them with `sqlite3 journal.db`; the views are for them.

use rusqlite::Connection;

use super::JournalError;

/// The version of the tables; one more with every change.
pub const VERSION: u32 = 1;

const TABLES: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
-- Watch and call spans: the embedded backend, and at once what the trace senders send.
CREATE TABLE span(
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, trace_id BLOB NOT NULL, span_id BLOB NOT NULL UNIQUE,
  start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, hub TEXT, environment TEXT, run INTEGER, sequence INTEGER,
  otlp BLOB NOT NULL);
CREATE INDEX span_of_trace ON span(trace_id);
CREATE INDEX span_of_hub ON span(hub, environment, end_us) WHERE hub IS NOT NULL;
-- Log lines that were not acknowledged at once, and metrics: for one destination each.
CREATE TABLE outbox(
  id INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT NOT NULL, signal TEXT NOT NULL, records INTEGER NOT NULL,
  otlp BLOB NOT NULL);
CREATE INDEX outbox_next ON outbox(destination, signal, id);
-- How far each destination got with the spans.
CREATE TABLE cursor(destination TEXT PRIMARY KEY, passed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dead_letter(
  id INTEGER PRIMARY KEY, destination TEXT NOT NULL, signal TEXT NOT NULL, reason TEXT NOT NULL, records INTEGER NOT NULL,
  otlp BLOB NOT NULL);
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

/// Sets the connection up for durable writing with little memory, and makes the tables if there are none.
pub fn prepare(connection: &mut Connection) -> Result<(), JournalError> {
    let version = version(connection)?;
    if version == 0 {
        // Only possible before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -2000)?;
    connection.pragma_update(None, "journal_size_limit", 8 * 1024 * 1024)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    if version == 0 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The version of the tables in a file; 0 where there are none. A newer one than ours is refused.
pub fn version(connection: &Connection) -> Result<u32, JournalError> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION { Err(JournalError::Newer { version }) } else { Ok(version) }
}
