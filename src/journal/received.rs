//! What the OTLP receiver accepted: the requests go into the spool, their hashes recognise repeated requests, and their observations
//! wait until the watch has used them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{Encoding, Recipient, Signal, spool};

/// Hashes are kept for so many hours of running. A sender repeats a request within minutes; a Collector with a queue on disk may do so
/// after hours. Hours of running are counted instead of a clock's, because a clock may be wrong.
const KEPT_HOURS: i64 = 24;

/// At most so many hashes are kept (30 MB): with five requests a second those of a whole day.
const KEPT_HASHES: i64 = 500_000;

/// Expired hashes deleted with one commit, so that deleting delays none.
const BATCH: u32 = 256;

/// A received request, ready for the journal.
#[derive(Debug, Clone)]
pub struct ReceivedRows {
    /// Its signal.
    pub signal: Signal,
    /// Number of records.
    pub records: u32,
    /// The encoding of `otlp`.
    pub encoding: Encoding,
    /// The encoded request as it is sent on.
    pub otlp: Vec<u8>,
    /// A hash of the received bytes.
    pub hash: [u8; 16],
    /// What the watch should know of it, as JSON; `None` if nothing.
    pub observations: Option<Vec<u8>>,
}

impl ReceivedRows {
    /// Compresses a request for the journal.
    pub fn new(signal: Signal, otlp: &[u8], records: u32, hash: [u8; 16], observations: Option<Vec<u8>>) -> Self {
        let (encoding, otlp) = spool::compress(otlp);
        Self { signal, records, encoding, otlp, hash, observations }
    }
}

/// What became of a received request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the journal now; with the id of its observations, if it has any. A later request has a higher id.
    New(Option<i64>),
    /// It was in the journal already.
    Repeated,
}

/// Counts hours of running, over all runs.
#[derive(Debug, Default)]
pub(super) struct Hours {
    /// The hour at this process's first request.
    first: Option<i64>,
}

impl Hours {
    /// Returns the current hour, given the time since this process began.
    pub(super) fn now(&mut self, connection: &Connection, running: Duration) -> Result<i64, rusqlite::Error> {
        let first = match self.first {
            Some(first) => first,
            None => {
                let last = connection.query_row("SELECT hour FROM received ORDER BY id DESC LIMIT 1", [], |row| row.get(0));
                *self.first.insert(last.optional()?.unwrap_or(0))
            }
        };
        Ok(first + i64::try_from(running.as_secs() / 3600).unwrap_or(i64::MAX / 2))
    }
}

/// Records requests in this order.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    rows: &[ReceivedRows],
    recipients: &[Recipient],
    hour: i64,
) -> Result<Vec<Recorded>, rusqlite::Error> {
    let mut recorded = Vec::with_capacity(rows.len());
    for row in rows {
        let sql = "INSERT OR IGNORE INTO received(hash, hour) VALUES (?, ?)";
        if transaction.prepare_cached(sql)?.execute(params![row.hash, hour])? == 0 {
            recorded.push(Recorded::Repeated);
            continue;
        }
        let wanting = recipients.iter().filter(|recipient| recipient.signals.contains(&row.signal));
        spool::insert(transaction, row.signal, row.records, row.encoding, &row.otlp, wanting.map(|recipient| &recipient.name))?;
        let observed = match &row.observations {
            None => None,
            Some(observations) => {
                let sql = "INSERT INTO observed(observations) VALUES (?)";
                Some(transaction.prepare_cached(sql)?.insert([observations])?)
            }
        };
        recorded.push(Recorded::New(observed));
    }
    forget_old(transaction, hour)?;
    Ok(recorded)
}

fn forget_old(transaction: &Transaction<'_>, hour: i64) -> Result<(), rusqlite::Error> {
    let newest: Option<i64> = transaction.prepare_cached("SELECT max(id) FROM received")?.query_row([], |row| row.get(0))?;
    let (before, last) = (hour - KEPT_HOURS, newest.unwrap_or(0) - KEPT_HASHES);
    let sql = "DELETE FROM received WHERE id IN (SELECT id FROM received ORDER BY id LIMIT ?) AND (hour < ? OR id <= ?)";
    let oldest = "SELECT hour < ? OR id <= ? FROM received ORDER BY id LIMIT 1";
    let expired: Option<bool> =
        transaction.prepare_cached(oldest)?.query_row(params![before, last], |row| row.get(0)).optional()?;
    if expired == Some(true) {
        transaction.prepare_cached(sql)?.execute(params![BATCH, before, last])?;
    }
    Ok(())
}

/// Returns the observations that no commit of the watch has used, in order.
pub(super) fn observed(connection: &Connection) -> Result<Vec<(i64, Vec<u8>)>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT id, observations FROM observed ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Deletes the observations that the state of this commit holds.
pub(super) fn consume(transaction: &Transaction<'_>, last: i64) -> Result<(), rusqlite::Error> {
    transaction.prepare_cached("DELETE FROM observed WHERE id <= ?")?.execute([last]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> ReceivedRows {
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        ReceivedRows::new(Signal::Traces, b"spans", 1, hash, None)
    }

    fn journal() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::prepare(&mut connection, 0).unwrap();
        connection
    }

    fn insert_at(connection: &mut Connection, number: u64, hour: i64) -> Recorded {
        let transaction = connection.transaction().unwrap();
        let recorded = insert(&transaction, &[row(number)], &[], hour).unwrap();
        transaction.commit().unwrap();
        recorded[0]
    }

    #[test]
    fn a_hash_is_known_for_a_day_of_running_and_forgotten_afterwards() {
        let mut connection = journal();
        assert_eq!(insert_at(&mut connection, 1, 0), Recorded::New(None));
        assert_eq!(insert_at(&mut connection, 1, KEPT_HOURS), Recorded::Repeated);
        assert_eq!(insert_at(&mut connection, 2, KEPT_HOURS + 1), Recorded::New(None));
        assert_eq!(insert_at(&mut connection, 1, KEPT_HOURS + 1), Recorded::New(None));
    }

    #[test]
    fn hours_go_on_in_the_next_run() {
        let mut connection = journal();
        insert_at(&mut connection, 1, 7);
        let mut hours = Hours::default();
        assert_eq!(hours.now(&connection, Duration::from_secs(7_300)).unwrap(), 9);
    }

    #[test]
    fn without_destinations_nothing_is_spooled_and_the_observations_wait() {
        let mut connection = journal();
        let transaction = connection.transaction().unwrap();
        let rows = [ReceivedRows { observations: Some(b"{}".to_vec()), ..row(1) }, row(2)];
        assert_eq!(insert(&transaction, &rows, &[], 0).unwrap(), [Recorded::New(Some(1)), Recorded::New(None)]);
        let spooled: i64 = transaction.query_row("SELECT count(*) FROM spool", [], |row| row.get(0)).unwrap();
        assert_eq!((spooled, observed(&transaction).unwrap()), (0, vec![(1, b"{}".to_vec())]));
        consume(&transaction, 1).unwrap();
        assert!(observed(&transaction).unwrap().is_empty());
    }
}
