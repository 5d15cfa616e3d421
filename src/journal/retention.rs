//! Keeps the journal within its bounds, in steps so small that no commit waits for them. Watches go last; every dropped row is counted.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};

use super::JournalError;
use super::age::{self, Aged, Ageing};
use super::writer::int;
use crate::clocks::Clocks;
use crate::watch::{Count, DropReason, DroppedKind, Drops};

/// The journal's size beyond which the oldest rows are dropped: 48 hours of a busy hub take about 100 MB, so a destination can be
/// away for days.
pub const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// How long anything is kept: a staging period is a week at most, and its report may be made a week later.
pub const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// How much of the disk is left to others, and to us for the moment when it is full nevertheless.
pub const RESERVE: u64 = 256 * 1024 * 1024;

/// The file that is given up when the disk is full: deleting rows needs room, too.
const RESERVE_FILE: &str = "journal.reserve";

/// Enough for the write-ahead log of a few deletions and commits.
const RESERVE_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Rows that are dropped in one transaction.
const STEP_ROWS: u64 = 64;

/// How long dropping may take after one commit.
const TURN: Duration = Duration::from_millis(50);

/// Free pages that are kept inside the file while the disk is short, so that the next commits need no more of it.
const SPARE_BYTES: u64 = 2 * 1024 * 1024;

/// How often the disk is asked for its free space, and the age is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The journal's size in bytes.
    pub max_bytes: u64,
    /// How long anything is kept.
    pub max_age: Duration,
    /// How much of the disk is left free, in bytes.
    pub reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: MAX_BYTES, max_age: MAX_AGE, reserve: RESERVE }
    }
}

/// A kind of rows that can be dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// What they are.
    pub what: DroppedKind,
    /// Where they are.
    pub table: &'static str,
    /// Which rows of the table, as SQL.
    pub condition: &'static str,
    /// How many records the rows are, as SQL on one row.
    records: &'static str,
}

macro_rules! at_rest {
    () => {
        "id NOT IN (SELECT lacks.spool FROM temp.under_way JOIN lacks USING (destination, signal) WHERE lacks.spool <= last)"
    };
}

/// What goes first. A row of the spool counts once for everyone who lacks it.
pub(super) const KINDS: [Kind; 6] = [
    Kind { what: DroppedKind::DeadLetters, table: "dead_letter", condition: "1", records: "records" },
    Kind { what: DroppedKind::Logs, table: "spool", condition: LOGS_AT_REST, records: LACKED },
    Kind { what: DroppedKind::NotableLines, table: "notable", condition: "1", records: "1" },
    Kind { what: DroppedKind::Metrics, table: "spool", condition: METRICS_AT_REST, records: LACKED },
    Kind { what: DroppedKind::Calls, table: "span", condition: "kind = 'call'", records: "1" },
    Kind { what: DroppedKind::Watches, table: "span", condition: "kind = 'watch'", records: "1" },
];

/// Log records that wait, but for those that a sender has in hand: they may have arrived already.
const LOGS_AT_REST: &str = concat!("signal = 'logs' AND ", at_rest!());

/// Metrics likewise.
const METRICS_AT_REST: &str = concat!("signal = 'metrics' AND ", at_rest!());

const LACKED: &str = "records * (SELECT count(*) FROM lacks WHERE lacks.spool = spool.id)";

/// Keeps the bounds.
#[derive(Debug)]
pub struct Retention {
    limits: Limits,
    folder: PathBuf,
    ageing: Ageing,
    /// When it last looked at the disk and at ages, on the monotonic clock.
    looked: Option<Duration>,
    /// The free space was below the reserve when it was looked at.
    short: bool,
}

impl Retention {
    /// Of the journal in this folder.
    pub fn new(limits: Limits, folder: PathBuf) -> Self {
        let retention = Self { limits, folder, ageing: Ageing::default(), looked: None, short: false };
        retention.keep_reserve();
        retention
    }

    /// Drops what is beyond the bounds, as far as its turn reaches; the next call continues.
    pub fn after_commit(&mut self, connection: &mut Connection, now: Clocks) -> Result<(), JournalError> {
        let begun = Instant::now();
        if self.looked.is_none_or(|looked| now.monotonic.saturating_sub(looked) >= LOOK) {
            self.looked = Some(now.monotonic);
            self.short = free(&self.folder).is_some_and(|free| free < self.limits.reserve);
            self.keep_reserve();
            if let Some(aged) = self.ageing.look(connection, now, self.limits.max_age)? {
                drop_aged(connection, &aged, begun)?;
                self.ageing.prune(connection, &aged)?;
            }
        }
        while begun.elapsed() < TURN {
            let reason = if size(connection)? > self.limits.max_bytes {
                DropReason::Size
            } else if self.short && spare(connection)? < SPARE_BYTES {
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

    /// The disk is full: gives the reserve up and drops what can be spared; whether that made room.
    pub fn make_room(&mut self, connection: &mut Connection, now: Clocks) -> bool {
        // It may be gone already; then there is nothing more to give.
        if std::fs::remove_file(self.folder.join(RESERVE_FILE)).is_err() {
            return false;
        }
        self.short = true;
        self.looked = Some(now.monotonic);
        let mut made = || -> Result<(), JournalError> {
            // Pages that were written home make the write-ahead log's room usable again.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            while spare(connection)? < SPARE_BYTES && drop_oldest(connection, DropReason::DiskFull)? {}
            Ok(())
        };
        if let Err(error) = made() {
            tracing::warn!(%error, "the disk is full, and nothing could be dropped to make room");
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
            // A file system that can't promise space has none to promise: half a reserve is none.
            let _ = std::fs::remove_file(&path);
            tracing::debug!(%error, "no reserve is kept on the disk");
        }
    }
}

/// Drops a portion of what is too old.
fn drop_aged(connection: &mut Connection, aged: &Aged, begun: Instant) -> Result<(), JournalError> {
    for (kind, oldest, portion) in aged.kinds() {
        let mut dropped = 0;
        while begun.elapsed() < TURN && dropped < portion {
            let step = (portion - dropped).min(STEP_ROWS);
            if !drop_rows(connection, &kind, &format!("id <= {oldest}"), step, DropReason::Age)? {
                break;
            }
            dropped += step;
        }
    }
    Ok(())
}

/// The free space of the folder's file system.
fn free(folder: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(folder).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

fn pages(connection: &Connection, pragma: &str) -> Result<u64, rusqlite::Error> {
    let pages: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
    Ok(u64::try_from(pages).unwrap_or(0))
}

/// How much of the file is in use.
pub fn size(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let used = pages(connection, "page_count")?.saturating_sub(pages(connection, "freelist_count")?);
    Ok(used * pages(connection, "page_size")?)
}

fn spare(connection: &Connection) -> Result<u64, rusqlite::Error> {
    Ok(pages(connection, "freelist_count")? * pages(connection, "page_size")?)
}

/// Drops the oldest rows of what can be spared most; false if there is nothing. Watches only go for the journal's own size: a disk
/// that others filled is not theirs to empty.
fn drop_oldest(connection: &mut Connection, reason: DropReason) -> Result<bool, JournalError> {
    for kind in KINDS.iter().filter(|kind| kind.what != DroppedKind::Watches || reason == DropReason::Size) {
        if drop_rows(connection, kind, "1", STEP_ROWS, reason)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn drop_rows(connection: &mut Connection, kind: &Kind, also: &str, most: u64, reason: DropReason) -> Result<bool, JournalError> {
    let Kind { what, table, condition, records, .. } = kind;
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
    age::emptied(&transaction, table)?;
    count(&transaction, *what, reason, Count::new(u64::try_from(records).unwrap_or(0)))?;
    transaction.commit()?;
    tracing::warn!(%what, records, %reason, "the journal drops its oldest rows");
    Ok(true)
}

/// Adds to the count of what was dropped.
pub fn count(transaction: &Transaction<'_>, what: DroppedKind, reason: DropReason, records: Count) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO dropped(what, reason, records) VALUES (?, ?, ?)
               ON CONFLICT DO UPDATE SET records = records + excluded.records";
    transaction.prepare_cached(sql)?.execute(params![what.as_str(), reason.as_str(), int(records.get())]).map(drop)
}

/// What was dropped so far.
pub fn dropped(connection: &Connection) -> Result<Drops, rusqlite::Error> {
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
