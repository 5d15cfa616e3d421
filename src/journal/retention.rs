//! Keeps the journal within its limits, in batches too small to delay a commit. Watches are dropped last; every dropped row is
//! counted.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};

use super::JournalError;
use super::expiry::{self, Expired, Expiry};
use super::writer::int;
use crate::clocks::Clocks;
use crate::watch::{Count, DropReason, DroppedKind, Drops};

/// Size beyond which the oldest rows are dropped, in bytes: 48 hours of a busy hub take about 100 MB, so a destination can be down
/// for days.
pub const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// Age beyond which rows are dropped: a staging period is a week at most, and its report may be made a week later.
pub const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Bytes left free on the disk, for other programs and for our own work once the disk is full.
pub const RESERVE: u64 = 256 * 1024 * 1024;

/// This file is deleted when the disk is full, because dropping rows needs space as well.
const RESERVE_FILE: &str = "journal.reserve";

/// Enough for the write-ahead log of a few deletions and commits.
const RESERVE_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Rows dropped in one transaction.
const BATCH_ROWS: u64 = 64;

/// Maximum time for dropping rows after one commit.
const MAX_DROP_TIME: Duration = Duration::from_millis(50);

/// Free bytes kept inside the file while the disk is short, so that the next commits need no more space.
const SPARE_BYTES: u64 = 2 * 1024 * 1024;

/// How often free disk space and ages are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The journal's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size in bytes.
    pub max_bytes: u64,
    /// Maximum age of a row.
    pub max_age: Duration,
    /// Bytes to leave free on the disk.
    pub reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: MAX_BYTES, max_age: MAX_AGE, reserve: RESERVE }
    }
}

/// Rows of one kind that can be dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct DroppableRows {
    /// Their kind.
    pub what: DroppedKind,
    /// Their table.
    pub table: &'static str,
    /// SQL condition that selects them in the table.
    pub condition: &'static str,
    /// SQL expression for the number of records of one row.
    records: &'static str,
}

macro_rules! not_in_flight {
    () => {
        "id NOT IN (SELECT lacks.spool FROM temp.in_flight JOIN lacks USING (destination, signal) WHERE lacks.spool <= last)"
    };
}

/// The order in which kinds are dropped. A spool row counts once for each destination that lacks it.
pub(super) const DROP_ORDER: [DroppableRows; 7] = [
    DroppableRows { what: DroppedKind::DeadLetters, table: "dead_letter", condition: "1", records: "records" },
    DroppableRows { what: DroppedKind::Logs, table: "spool", condition: LOGS_NOT_IN_FLIGHT, records: LACKED },
    DroppableRows { what: DroppedKind::NotableLines, table: "notable", condition: "1", records: "1" },
    DroppableRows { what: DroppedKind::Metrics, table: "spool", condition: METRICS_NOT_IN_FLIGHT, records: LACKED },
    DroppableRows { what: DroppedKind::ReceivedSpans, table: "spool", condition: SPANS_NOT_IN_FLIGHT, records: LACKED },
    DroppableRows { what: DroppedKind::Calls, table: "span", condition: "kind = 'call'", records: "1" },
    DroppableRows { what: DroppedKind::Watches, table: "span", condition: "kind = 'watch'", records: "1" },
];

/// Waiting log records, except those that a sender is sending: they may have arrived already.
const LOGS_NOT_IN_FLIGHT: &str = concat!("signal = 'logs' AND ", not_in_flight!());

/// Waiting metrics, with the same exception.
const METRICS_NOT_IN_FLIGHT: &str = concat!("signal = 'metrics' AND ", not_in_flight!());

/// Waiting spans that others sent to the receiver, with the same exception.
const SPANS_NOT_IN_FLIGHT: &str = concat!("signal = 'traces' AND ", not_in_flight!());

const LACKED: &str = "records * (SELECT count(*) FROM lacks WHERE lacks.spool = spool.id)";

/// Keeps the journal within its limits.
#[derive(Debug)]
pub(super) struct Retention {
    limits: Limits,
    folder: PathBuf,
    expiry: Expiry,
    /// Last check of disk space and ages, by the monotonic clock.
    checked: Option<Duration>,
    /// True if free space was below the reserve at the last check.
    disk_is_short: bool,
}

impl Retention {
    /// Creates the retention of the journal in this folder.
    pub(super) fn new(limits: Limits, folder: PathBuf) -> Self {
        let retention = Self { limits, folder, expiry: Expiry::default(), checked: None, disk_is_short: false };
        retention.keep_reserve();
        retention
    }

    /// Drops rows beyond the limits for at most [`MAX_DROP_TIME`]; the next call continues.
    pub(super) fn after_commit(&mut self, connection: &mut Connection, now: Clocks) -> Result<(), JournalError> {
        let begun = Instant::now();
        if self.checked.is_none_or(|checked| now.monotonic.saturating_sub(checked) >= CHECK_INTERVAL) {
            self.checked = Some(now.monotonic);
            self.disk_is_short = free(&self.folder).is_some_and(|free| free < self.limits.reserve);
            self.keep_reserve();
            if let Some(expired) = self.expiry.expired(connection, now, self.limits.max_age)? {
                drop_expired(connection, &expired, begun)?;
                self.expiry.prune(connection, &expired)?;
            }
        }
        while begun.elapsed() < MAX_DROP_TIME {
            let reason = if size(connection)? > self.limits.max_bytes {
                DropReason::Size
            } else if self.disk_is_short && spare(connection)? < SPARE_BYTES {
                DropReason::Reserve
            } else {
                return Ok(());
            };
            if !drop_oldest(connection, reason)? {
                return Ok(());
            }
            if reason == DropReason::Size {
                connection.execute_batch("PRAGMA incremental_vacuum(500)")?;
            }
        }
        Ok(())
    }

    /// Makes room on a full disk: deletes the reserve file and drops rows. Returns whether that made room.
    pub(super) fn make_room(&mut self, connection: &mut Connection, now: Clocks) -> bool {
        // If the reserve file is gone already, no more room can be made.
        if std::fs::remove_file(self.folder.join(RESERVE_FILE)).is_err() {
            return false;
        }
        self.disk_is_short = true;
        self.checked = Some(now.monotonic);
        let mut made = || -> Result<(), JournalError> {
            // A checkpoint frees the write-ahead log's space.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            while spare(connection)? < SPARE_BYTES && drop_oldest(connection, DropReason::DiskFull)? {}
            Ok(())
        };
        if let Err(error) = made() {
            tracing::warn!(%error, "the disk is full and no journal rows could be dropped; free some disk space");
        }
        true
    }

    fn keep_reserve(&self) {
        let path = self.folder.join(RESERVE_FILE);
        let room = free(&self.folder).is_none_or(|free| free > 4 * RESERVE_FILE_BYTES);
        if !room || path.exists() {
            return;
        }
        let make = || -> std::io::Result<()> {
            let file = std::fs::File::create(&path)?;
            Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_FILE_BYTES)?)
        };
        if let Err(error) = make() {
            // Some file systems can't reserve space; delete a partial reserve, which is useless.
            let _ = std::fs::remove_file(&path);
            tracing::debug!(%error, "can't reserve disk space for the journal");
        }
    }
}

/// Drops a batch of expired rows.
fn drop_expired(connection: &mut Connection, expired: &Expired, begun: Instant) -> Result<(), JournalError> {
    for (kind, oldest, batch) in expired.kinds() {
        let mut dropped = 0;
        while begun.elapsed() < MAX_DROP_TIME && dropped < batch {
            let step = (batch - dropped).min(BATCH_ROWS);
            if !drop_rows(connection, &kind, &format!("id <= {oldest}"), step, DropReason::Age)? {
                break;
            }
            dropped += step;
        }
    }
    Ok(())
}

/// Returns the free bytes of the folder's file system.
fn free(folder: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(folder).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

fn pages(connection: &Connection, pragma: &str) -> Result<u64, rusqlite::Error> {
    let pages: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
    Ok(u64::try_from(pages).unwrap_or(0))
}

/// Returns the used bytes of the database file.
pub(super) fn size(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let used = pages(connection, "page_count")?.saturating_sub(pages(connection, "freelist_count")?);
    Ok(used * pages(connection, "page_size")?)
}

fn spare(connection: &Connection) -> Result<u64, rusqlite::Error> {
    Ok(pages(connection, "freelist_count")? * pages(connection, "page_size")?)
}

/// Drops the oldest rows of the most dispensable kind; returns false if there are none. Watches are dropped only for the journal's
/// own size, never because other programs filled the disk.
fn drop_oldest(connection: &mut Connection, reason: DropReason) -> Result<bool, JournalError> {
    for kind in DROP_ORDER.iter().filter(|kind| kind.what != DroppedKind::Watches || reason == DropReason::Size) {
        if drop_rows(connection, kind, "1", BATCH_ROWS, reason)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn drop_rows(
    connection: &mut Connection,
    kind: &DroppableRows,
    also: &str,
    most: u64,
    reason: DropReason,
) -> Result<bool, JournalError> {
    let DroppableRows { what, table, condition, records, .. } = kind;
    let transaction = connection.transaction()?;
    let oldest = format!("SELECT id FROM {table} WHERE {condition} AND {also} ORDER BY id LIMIT {most}");
    let sum = format!("SELECT count(*), coalesce(sum({records}), 0) FROM {table} WHERE id IN ({oldest})");
    let (rows, records): (i64, i64) = transaction.query_row(&sum, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if rows == 0 {
        return Ok(false);
    }
    if *table == "spool" {
        transaction.execute(&format!("DELETE FROM lacks WHERE spool IN ({oldest})"), [])?;
    }
    transaction.execute(&format!("DELETE FROM {table} WHERE id IN ({oldest})"), [])?;
    expiry::forget_emptied(&transaction, table)?;
    count(&transaction, *what, reason, Count::new(u64::try_from(records).unwrap_or(0)))?;
    transaction.commit()?;
    tracing::warn!(%what, records, %reason, "the journal dropped its oldest rows");
    Ok(true)
}

/// Adds to the count of dropped records.
pub(super) fn count(
    transaction: &Transaction<'_>,
    what: DroppedKind,
    reason: DropReason,
    records: Count,
) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO dropped(what, reason, records) VALUES (?, ?, ?)
               ON CONFLICT DO UPDATE SET records = records + excluded.records";
    transaction.prepare_cached(sql)?.execute(params![what.as_str(), reason.as_str(), int(records.get())]).map(drop)
}

/// Returns the counts of dropped records so far.
pub(super) fn dropped(connection: &Connection) -> Result<Drops, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT what, reason, records FROM dropped")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?;
    let mut dropped = Drops::default();
    for row in rows {
        let (what, reason, records) = row?;
        if let (Some(what), Some(reason)) = (DroppedKind::parse(&what), DropReason::parse(&reason)) {
            dropped.add(what, reason, Count::new(u64::try_from(records).unwrap_or(0)));
        }
    }
    Ok(dropped)
}
