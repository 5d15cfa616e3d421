//! How old rows are. No row's own time is asked: whoever wrote it may have had a wrong clock. While the wall clock holds, the journal
//! notes each hour how far each table has got and what time it is then. A row is as old as the first note that covers it.
//!
//! A single reading of a clock therefore drops nothing: the clock has to hold for [`HOLD`] first, then at most a tenth of what is there
//! goes in an hour, and the Watches of the last [`KEPT_NOTES`] hours of running stay whatever the clock says.

use std::time::Duration;

use rusqlite::{Connection, Transaction, params};

use super::JournalError;
use super::clocks::{Clocks, Steadiness};
use super::retention::{KINDS, Kind};
use super::writer::int;
use crate::watch::{DroppedKind, Micros, Timestamp};

/// How long the wall clock has to go on without a jump before anything is dropped for its age. Whoever repairs a clock that is wrong does
/// so within minutes; time synchronisation after a boot takes seconds.
const HOLD: Duration = Duration::from_secs(3600);

/// How often a note is made.
const NOTE_EVERY: Duration = Duration::from_secs(3600);

/// The Watches of this many notes, so many hours of running, are never dropped for their age: the strategy's period, which a report
/// reads unless told otherwise.
const KEPT_NOTES: usize = 48;

/// How often a portion of what is too old is dropped …
const PORTION_EVERY: Duration = Duration::from_secs(30);

/// … and which part of a table that is: with the pause above, a tenth in an hour. In the long run a 40,000th would do.
const PORTION: u64 = 1_200;

/// A clock that says an earlier time than this is not set: hubwatch did not exist then. Machines without a battery begin in 1970.
const NOT_SET: Timestamp = Timestamp::from_secs(1_735_689_600);

/// More notes than a year has hours: then the oldest go, and their rows count as those of the next one.
const MAX_NOTES: usize = 9_000;

/// Minutes of the log's statistics that go with a note.
const MINUTES: u32 = 120;

/// The tables' places when a note was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    id: i64,
    at: i64,
    span: i64,
    spool: i64,
    notable: i64,
    dead_letter: i64,
}

impl Note {
    fn place(&self, table: &str) -> i64 {
        match table {
            "span" => self.span,
            "spool" => self.spool,
            "notable" => self.notable,
            "dead_letter" => self.dead_letter,
            _ => 0,
        }
    }
}

/// Knows what is too old.
#[derive(Debug, Default)]
pub(super) struct Ageing {
    steadiness: Steadiness,
    noted: Option<Duration>,
    portion: Option<Duration>,
}

/// What is too old now.
#[derive(Debug)]
pub(super) struct Aged {
    /// The last note that is too old.
    last: Note,
    /// The last note whose Watches may go.
    unprotected: Option<Note>,
    /// The time before which statistics are too old.
    before: i64,
    /// How many rows of each kind may go now.
    portions: [u64; KINDS.len()],
}

impl Aged {
    /// Each kind with the last row that is too old, and how many may go now.
    pub fn kinds(&self) -> impl Iterator<Item = (Kind, i64, u64)> {
        KINDS.into_iter().zip(self.portions).filter_map(|(kind, portion)| {
            let note = match kind.what {
                DroppedKind::Watches | DroppedKind::Calls => self.unprotected?,
                _ => self.last,
            };
            Some((kind, note.place(kind.table), portion))
        })
    }
}

impl Ageing {
    /// Makes a note if it is time for one; returns what is too old, at most once in [`PORTION_EVERY`].
    pub fn look(&mut self, connection: &mut Connection, now: Clocks, max_age: Duration) -> Result<Option<Aged>, JournalError> {
        let held = self.steadiness.held(now);
        if held < HOLD || now.wall < NOT_SET {
            return Ok(None);
        }
        let is_due = |last: Option<Duration>, every| last.is_none_or(|last| now.monotonic.saturating_sub(last) >= every);
        if is_due(self.noted, NOTE_EVERY) {
            note(connection, now.wall)?;
            self.noted = Some(now.monotonic);
        }
        if !is_due(self.portion, PORTION_EVERY) {
            return Ok(None);
        }
        self.portion = Some(now.monotonic);
        aged(connection, now.wall, max_age)
    }

    /// Forgets notes whose rows are all gone.
    pub fn prune(&self, connection: &mut Connection, aged: &Aged) -> Result<(), JournalError> {
        let gone = "DELETE FROM age WHERE id <= ?1
              AND span < (SELECT coalesce(min(id), 9223372036854775807) FROM span)
              AND spool < (SELECT coalesce(min(id), 9223372036854775807) FROM spool)
              AND notable < (SELECT coalesce(min(id), 9223372036854775807) FROM notable)
              AND dead_letter < (SELECT coalesce(min(id), 9223372036854775807) FROM dead_letter)";
        let minutes = "DELETE FROM log_minute WHERE minute IN
              (SELECT DISTINCT minute FROM log_minute WHERE minute < ? ORDER BY minute LIMIT ?)";
        let transaction = connection.transaction()?;
        if transaction.execute(gone, [aged.unprotected.map_or(0, |note| note.id)])? > 0 {
            transaction.execute(minutes, params![aged.before / 60_000_000, MINUTES])?;
        }
        Ok(transaction.commit()?)
    }
}

/// Ids begin anew in a table that was emptied: no note covers what comes next.
pub(super) fn emptied(transaction: &Transaction<'_>, table: &str) -> Result<(), rusqlite::Error> {
    if table == "notable" || table == "dead_letter" {
        let sql = format!("UPDATE age SET {table} = 0 WHERE {table} > 0 AND NOT EXISTS (SELECT 1 FROM {table})");
        transaction.execute(&sql, [])?;
    }
    Ok(())
}

fn note(connection: &Connection, wall: Timestamp) -> Result<(), rusqlite::Error> {
    let place = |table: &str| format!("(SELECT coalesce(max(id), 0) FROM {table})");
    let [span, spool, notable, dead_letter] = ["span", "spool", "notable", "dead_letter"].map(place);
    let sql =
        format!("INSERT INTO age(at_us, span, spool, notable, dead_letter) VALUES (?, {span}, {spool}, {notable}, {dead_letter})");
    connection.execute(&sql, [int(wall.get())])?;
    let sql = "DELETE FROM age WHERE id <= (SELECT max(id) FROM age) - ?";
    connection.execute(sql, [int(MAX_NOTES as u64)]).map(drop)
}

fn aged(connection: &Connection, wall: Timestamp, max_age: Duration) -> Result<Option<Aged>, JournalError> {
    let before = int(wall.minus(Micros::from_duration(max_age)).get());
    let notes = notes(connection)?;
    // A note that claims a later time than this was made by a wrong clock or is young: what follows it waits behind it.
    let old = notes.iter().take_while(|note| note.at <= before).count();
    let Some(last) = old.checked_sub(1).and_then(|index| notes.get(index)).copied() else { return Ok(None) };
    let hours = usize::try_from(max_age.as_secs() / NOTE_EVERY.as_secs()).unwrap_or(KEPT_NOTES);
    let unprotected = notes.len().saturating_sub(KEPT_NOTES.min(hours)).min(old);
    let unprotected = unprotected.checked_sub(1).and_then(|index| notes.get(index)).copied();
    let mut portions = [0; KINDS.len()];
    for (portion, kind) in portions.iter_mut().zip(KINDS) {
        *portion = rows(connection, kind.table)?.div_ceil(PORTION);
    }
    Ok(Some(Aged { last, unprotected, before, portions }))
}

/// About how many rows a table has: ids go up one by one.
fn rows(connection: &Connection, table: &str) -> Result<u64, rusqlite::Error> {
    let sql = format!("SELECT coalesce(max(id) - min(id) + 1, 0) FROM {table}");
    let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

fn notes(connection: &Connection) -> Result<Vec<Note>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT id, at_us, span, spool, notable, dead_letter FROM age ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(Note {
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
