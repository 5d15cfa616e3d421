//! Finds rows that are too old. Row times are not trusted: the clock may have been wrong when a row was written. While the wall
//! clock is steady, the journal saves a mark each hour: the time and the last row of each table. A row is as old as the first mark
//! that covers it.
//!
//! So one wrong clock reading deletes nothing: the clock has to be steady for [`CLOCK_HOLD`] first, then at most a tenth of a
//! table is deleted per hour, and the Watches of the last [`KEPT_MARKS`] running hours stay whatever the clock says.

use std::time::Duration;

use rusqlite::{Connection, Transaction, params};

use super::JournalError;
use super::retention::{DROP_ORDER, DroppableRows};
use super::writer::int;
use crate::clocks::{Clocks, Steadiness};
use crate::watch::{DroppedKind, Micros, Timestamp};

/// How long the wall clock has to run without a jump before rows are deleted for their age. A wrong clock is usually repaired
/// within minutes; time synchronisation after a boot takes seconds.
const CLOCK_HOLD: Duration = Duration::from_secs(3600);

/// How often a mark is saved.
const MARK_INTERVAL: Duration = Duration::from_secs(3600);

/// The Watches of this many marks (running hours) are never deleted for their age: the strategy's period, which a report covers
/// by default.
const KEPT_MARKS: usize = 48;

/// How often a batch of expired rows is deleted.
const BATCH_INTERVAL: Duration = Duration::from_secs(30);

/// A batch is this fraction of a table: at [`BATCH_INTERVAL`], a tenth per hour. In the long run a 40,000th would do.
const BATCH_FRACTION: u64 = 1_200;

/// A clock before this time is not set: hubwatch did not exist then. Machines without a battery start in 1970.
const CLOCK_SET_AFTER: Timestamp = Timestamp::from_secs(1_735_689_600);

/// More than the hours of a year. Beyond it the oldest marks are deleted, and their rows count as the next mark's.
const MAX_MARKS: usize = 9_000;

/// Minutes of log statistics that are deleted with a mark.
const MINUTES_PER_MARK: u32 = 120;

/// The last row of each table at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AgeMark {
    id: i64,
    at: i64,
    span: i64,
    spool: i64,
    notable: i64,
    dead_letter: i64,
}

impl AgeMark {
    fn last_row(&self, table: &str) -> i64 {
        match table {
            "span" => self.span,
            "spool" => self.spool,
            "notable" => self.notable,
            "dead_letter" => self.dead_letter,
            _ => 0,
        }
    }
}

/// Finds expired rows.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    steadiness: Steadiness,
    marked: Option<Duration>,
    batch: Option<Duration>,
}

/// The rows that are expired now.
#[derive(Debug)]
pub(super) struct Expired {
    /// The last expired mark.
    last: AgeMark,
    /// The last mark whose Watches may be deleted.
    unprotected: Option<AgeMark>,
    /// The time before which statistics are expired.
    before: i64,
    /// How many rows of each kind may be deleted now.
    batches: [u64; DROP_ORDER.len()],
}

impl Expired {
    /// Returns each kind with its last expired row, and how many rows may be deleted now.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (DroppableRows, i64, u64)> {
        DROP_ORDER.into_iter().zip(self.batches).filter_map(|(kind, batch)| {
            let mark = match kind.what {
                DroppedKind::Watches | DroppedKind::Calls => self.unprotected?,
                _ => self.last,
            };
            Some((kind, mark.last_row(kind.table), batch))
        })
    }
}

impl Expiry {
    /// Saves a mark if one is due; returns the expired rows, at most once per [`BATCH_INTERVAL`].
    pub(super) fn expired(
        &mut self,
        connection: &mut Connection,
        now: Clocks,
        max_age: Duration,
    ) -> Result<Option<Expired>, JournalError> {
        let held = self.steadiness.held(now);
        if held < CLOCK_HOLD || now.wall < CLOCK_SET_AFTER {
            return Ok(None);
        }
        let is_due = |last: Option<Duration>, every| last.is_none_or(|last| now.monotonic.saturating_sub(last) >= every);
        if is_due(self.marked, MARK_INTERVAL) {
            insert_mark(connection, now.wall)?;
            self.marked = Some(now.monotonic);
        }
        if !is_due(self.batch, BATCH_INTERVAL) {
            return Ok(None);
        }
        self.batch = Some(now.monotonic);
        expired(connection, now.wall, max_age)
    }

    /// Deletes marks whose rows are all gone.
    pub(super) fn prune(&self, connection: &mut Connection, expired: &Expired) -> Result<(), JournalError> {
        let gone = "DELETE FROM age WHERE id <= ?1
              AND span < (SELECT coalesce(min(id), 9223372036854775807) FROM span)
              AND spool < (SELECT coalesce(min(id), 9223372036854775807) FROM spool)
              AND notable < (SELECT coalesce(min(id), 9223372036854775807) FROM notable)
              AND dead_letter < (SELECT coalesce(min(id), 9223372036854775807) FROM dead_letter)";
        let minutes = "DELETE FROM log_minute WHERE minute IN
              (SELECT DISTINCT minute FROM log_minute WHERE minute < ? ORDER BY minute LIMIT ?)";
        let transaction = connection.transaction()?;
        if transaction.execute(gone, [expired.unprotected.map_or(0, |mark| mark.id)])? > 0 {
            transaction.execute(minutes, params![expired.before / 60_000_000, MINUTES_PER_MARK])?;
        }
        Ok(transaction.commit()?)
    }
}

/// Resets the marks of an emptied table: its ids start again, and no mark covers the next rows.
pub(super) fn forget_emptied(transaction: &Transaction<'_>, table: &str) -> Result<(), rusqlite::Error> {
    if table == "notable" || table == "dead_letter" {
        let sql = format!("UPDATE age SET {table} = 0 WHERE {table} > 0 AND NOT EXISTS (SELECT 1 FROM {table})");
        transaction.execute(&sql, [])?;
    }
    Ok(())
}

fn insert_mark(connection: &Connection, wall: Timestamp) -> Result<(), rusqlite::Error> {
    let last_row = |table: &str| format!("(SELECT coalesce(max(id), 0) FROM {table})");
    let [span, spool, notable, dead_letter] = ["span", "spool", "notable", "dead_letter"].map(last_row);
    let sql =
        format!("INSERT INTO age(at_us, span, spool, notable, dead_letter) VALUES (?, {span}, {spool}, {notable}, {dead_letter})");
    connection.execute(&sql, [int(wall.get())])?;
    let sql = "DELETE FROM age WHERE id <= (SELECT max(id) FROM age) - ?";
    connection.execute(sql, [int(MAX_MARKS as u64)]).map(drop)
}

fn expired(connection: &Connection, wall: Timestamp, max_age: Duration) -> Result<Option<Expired>, JournalError> {
    let before = int(wall.minus(Micros::from_duration(max_age)).get());
    let marks = marks(connection)?;
    // Stop at the first later mark: it is young, or of a wrong clock, and the marks after it wait.
    let old = marks.iter().take_while(|mark| mark.at <= before).count();
    let Some(last) = old.checked_sub(1).and_then(|index| marks.get(index)).copied() else { return Ok(None) };
    let hours = usize::try_from(max_age.as_secs() / MARK_INTERVAL.as_secs()).unwrap_or(KEPT_MARKS);
    let unprotected = marks.len().saturating_sub(KEPT_MARKS.min(hours)).min(old);
    let unprotected = unprotected.checked_sub(1).and_then(|index| marks.get(index)).copied();
    let mut batches = [0; DROP_ORDER.len()];
    for (batch, kind) in batches.iter_mut().zip(DROP_ORDER) {
        *batch = rows(connection, kind.table)?.div_ceil(BATCH_FRACTION);
    }
    Ok(Some(Expired { last, unprotected, before, batches }))
}

/// Estimates the number of rows of a table: ids rise one by one.
fn rows(connection: &Connection, table: &str) -> Result<u64, rusqlite::Error> {
    let sql = format!("SELECT coalesce(max(id) - min(id) + 1, 0) FROM {table}");
    let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

fn marks(connection: &Connection) -> Result<Vec<AgeMark>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT id, at_us, span, spool, notable, dead_letter FROM age ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(AgeMark {
            id: row.get(0)?,
            at: row.get(1)?,
            span: row.get(2)?,
            spool: row.get(3)?,
            notable: row.get(4)?,
            dead_letter: row.get(5)?,
        })
    })?;
    rows.collect()
}
