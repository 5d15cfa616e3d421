//! The queue of requests for destinations: each stored once, compressed, with the destinations that lack it. Our own spans stand in
//! their own table, which the trace senders read first.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::writer::{Outgoing, Passed, int};
use super::{DestinationName, Encoding, MetricRows, Recipient, Signal, Temporality};
use crate::watch::Timestamp;

/// zstd's fastest level: a third of the size, for a fifth of the time that encoding the records takes.
const ZSTD_LEVEL: i32 = 1;

/// Bytes of the largest request that we write; a blob that claims more is damaged.
const MAX_PLAIN_BYTES: usize = 64 * 1024 * 1024;

/// Compresses a request, unless that makes it larger.
pub(super) fn compress(otlp: &[u8]) -> (Encoding, Vec<u8>) {
    match zstd::bulk::compress(otlp, ZSTD_LEVEL) {
        Ok(small) if small.len() < otlp.len() => (Encoding::Zstd, small),
        _ => (Encoding::Plain, otlp.to_vec()),
    }
}

fn plain(encoding: i64, otlp: &[u8], into: &mut Vec<u8>) -> Result<(), rusqlite::Error> {
    if encoding == 0 {
        into.extend_from_slice(otlp);
        return Ok(());
    }
    let damaged = |error: std::io::Error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, error.into());
    let size = zstd::bulk::Decompressor::upper_bound(otlp).unwrap_or(MAX_PLAIN_BYTES).min(MAX_PLAIN_BYTES);
    into.extend(zstd::bulk::decompress(otlp, size).map_err(damaged)?);
    Ok(())
}

/// Queues a request for these destinations.
pub(super) fn insert<'a>(
    transaction: &Transaction<'_>,
    signal: Signal,
    records: u32,
    encoding: Encoding,
    otlp: &[u8],
    destinations: impl Iterator<Item = &'a DestinationName>,
) -> Result<(), rusqlite::Error> {
    let mut destinations = destinations.peekable();
    if destinations.peek().is_none() {
        return Ok(());
    }
    let sql = "INSERT INTO spool(signal, records, time_us, encoding, otlp) VALUES (?, ?, ?, ?, ?)";
    let (time, encoding) = (int(Timestamp::now().get()), i64::from(encoding == Encoding::Zstd));
    let id = transaction.prepare_cached(sql)?.insert(params![signal.as_str(), records, time, encoding, otlp])?;
    let mut lacks = transaction.prepare_cached("INSERT INTO lacks(destination, signal, spool) VALUES (?, ?, ?)")?;
    for destination in destinations {
        lacks.execute(params![destination.as_str(), signal.as_str(), id])?;
    }
    Ok(())
}

/// Queues metrics for all destinations that want them, each in its temporality.
pub(super) fn insert_metrics(
    transaction: &Transaction<'_>,
    metrics: &MetricRows,
    recipients: &[Recipient],
) -> Result<(), rusqlite::Error> {
    let wanting = |temporality| {
        let wants =
            move |recipient: &&Recipient| recipient.signals.contains(&Signal::Metrics) && recipient.temporality == temporality;
        recipients.iter().filter(wants).map(|recipient| &recipient.name)
    };
    let (encoding, cumulative) = compress(&metrics.cumulative);
    insert(transaction, Signal::Metrics, 1, encoding, &cumulative, wanting(Temporality::Cumulative))?;
    if let Some(delta) = &metrics.delta {
        let (encoding, delta) = compress(delta);
        insert(transaction, Signal::Metrics, 1, encoding, &delta, wanting(Temporality::Delta))?;
    }
    Ok(())
}

/// Deletes the queues of destinations that are no longer configured, and adds new destinations.
pub(super) fn register(transaction: &Transaction<'_>, recipients: &[Recipient]) -> Result<(), rusqlite::Error> {
    let wanted = |destination: &str, signal: &str| {
        let same = |recipient: &&Recipient| recipient.name.as_str() == destination;
        recipients.iter().find(same).is_some_and(|recipient| recipient.signals.iter().any(|wanted| wanted.as_str() == signal))
    };
    let known: Vec<(String, String)> = {
        let mut statement = transaction.prepare("SELECT DISTINCT destination, signal FROM lacks")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (destination, signal) in known.iter().filter(|(destination, signal)| !wanted(destination, signal)) {
        transaction.execute("DELETE FROM lacks WHERE destination = ? AND signal = ?", params![destination, signal])?;
    }
    transaction.execute("DELETE FROM spool WHERE id NOT IN (SELECT spool FROM lacks)", [])?;
    let cursors: Vec<String> = {
        let mut statement = transaction.prepare("SELECT destination FROM cursor")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    for destination in cursors.iter().filter(|destination| !wanted(destination, Signal::Traces.as_str())) {
        transaction.execute("DELETE FROM cursor WHERE destination = ?", [destination])?;
    }
    for recipient in recipients.iter().filter(|recipient| recipient.signals.contains(&Signal::Traces)) {
        let sql = "INSERT OR IGNORE INTO cursor SELECT ?, coalesce(max(id), 0) FROM span";
        transaction.execute(sql, [recipient.name.as_str()])?;
    }
    Ok(())
}

/// Returns the next spans for a destination.
pub(super) fn next_spans(
    connection: &Connection,
    destination: &DestinationName,
    max: usize,
) -> Result<Option<Outgoing>, rusqlite::Error> {
    let sql = "SELECT id, 1, 0, otlp FROM span WHERE id > (SELECT passed FROM cursor WHERE destination = ?) ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    gather(statement.query([destination.as_str()])?, max, false, Passed::Span)
}

/// Returns the next rows of the spool for a destination.
pub(super) fn next(
    connection: &Connection,
    destination: &DestinationName,
    signal: Signal,
    max: usize,
) -> Result<Option<Outgoing>, rusqlite::Error> {
    let sql = "SELECT spool.id, spool.records, spool.encoding, spool.otlp FROM lacks JOIN spool ON spool.id = lacks.spool
               WHERE lacks.destination = ? AND lacks.signal = ? ORDER BY lacks.spool";
    let mut statement = connection.prepare_cached(sql)?;
    // Metrics are sent one by one: a receiver that rejects a point rejects the whole request.
    let outgoing =
        gather(statement.query(params![destination.as_str(), signal.as_str()])?, max, signal == Signal::Metrics, Passed::Spool)?;
    if let Some(Outgoing { last: Passed::Spool(last), .. }) = outgoing {
        let sql = "INSERT OR REPLACE INTO temp.in_flight(destination, signal, last) VALUES (?, ?, ?)";
        connection.prepare_cached(sql)?.execute(params![destination.as_str(), signal.as_str(), last])?;
    }
    Ok(outgoing)
}

fn gather(
    mut rows: rusqlite::Rows<'_>,
    max: usize,
    alone: bool,
    table: impl Fn(i64) -> Passed,
) -> Result<Option<Outgoing>, rusqlite::Error> {
    let mut outgoing = Outgoing { otlp: Vec::new(), rows: 0, last: table(0), records: 0 };
    while let Some(row) = rows.next()? {
        let before = outgoing.otlp.len();
        let damaged = add(row, &mut outgoing.otlp).is_err();
        if outgoing.rows > 0 && (alone || outgoing.otlp.len() > max) {
            outgoing.otlp.truncate(before);
            break;
        }
        if damaged {
            outgoing.otlp.truncate(before);
        }
        outgoing.rows += 1;
        outgoing.last = table(row.get(0)?);
        outgoing.records += u64::from(row.get::<_, u32>(1)?);
    }
    Ok((outgoing.rows > 0).then_some(outgoing))
}

fn add(row: &Row<'_>, into: &mut Vec<u8>) -> Result<(), rusqlite::Error> {
    plain(row.get(2)?, row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?, into)
}

/// Records that a destination has everything of a table up to row `last`.
pub(super) fn passed(
    transaction: &Transaction<'_>,
    destination: &DestinationName,
    signal: Signal,
    last: Passed,
) -> Result<(), rusqlite::Error> {
    let last = match last {
        Passed::Span(last) => {
            let sql = "UPDATE cursor SET passed = max(passed, ?) WHERE destination = ?";
            return transaction.prepare_cached(sql)?.execute(params![last, destination.as_str()]).map(drop);
        }
        Passed::Spool(last) => last,
    };
    let sql = "SELECT spool FROM lacks WHERE destination = ? AND signal = ? AND spool <= ?";
    let rows: Vec<i64> = {
        let mut statement = transaction.prepare_cached(sql)?;
        let rows = statement.query_map(params![destination.as_str(), signal.as_str(), last], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    let mut lacks = transaction.prepare_cached("DELETE FROM lacks WHERE destination = ? AND signal = ? AND spool = ?")?;
    let sql = "DELETE FROM spool WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM lacks WHERE spool = ?1)";
    let mut spool = transaction.prepare_cached(sql)?;
    for row in rows {
        lacks.execute(params![destination.as_str(), signal.as_str(), row])?;
        spool.execute([row])?;
    }
    Ok(())
}

/// Returns the number of rows that destinations lack, and the time of the oldest.
pub(super) fn unsent(connection: &Connection) -> Result<(u64, Option<Timestamp>), rusqlite::Error> {
    let sql = "SELECT (SELECT count(*) FROM lacks)
                    + coalesce((SELECT sum((SELECT count(*) FROM span WHERE span.id > cursor.passed)) FROM cursor), 0)";
    let unsent: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let sql = "SELECT min(time) FROM (SELECT min(time_us) AS time FROM (SELECT time_us FROM spool ORDER BY id LIMIT 1)
               UNION ALL SELECT end_us FROM (SELECT end_us FROM span WHERE id > (SELECT min(passed) FROM cursor) ORDER BY id LIMIT 1))";
    let oldest: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.flatten();
    let oldest = oldest.and_then(|oldest| u64::try_from(oldest).ok()).map(Timestamp::new);
    Ok((u64::try_from(unsent).unwrap_or(0), oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_requests_are_restored() {
        for otlp in [vec![b'x'; 100_000], (0..=255).collect(), Vec::new()] {
            let (encoding, small) = compress(&otlp);
            let mut back = Vec::new();
            plain(i64::from(encoding == Encoding::Zstd), &small, &mut back).unwrap();
            assert_eq!(back, otlp);
        }
    }
}
