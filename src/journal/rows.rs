//! Inserts the rows of a commit.

use rusqlite::{Transaction, params};

use super::writer::int;
use super::{MinuteRow, NotableRow, SpanRow, SpanRowKind};

pub(super) fn insert_spans(transaction: &Transaction<'_>, spans: &[SpanRow]) -> Result<(), rusqlite::Error> {
    let sql = "INSERT OR IGNORE INTO span(kind, trace_id, span_id, start_us, end_us, hub, environment, run, sequence, otlp)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut statement = transaction.prepare_cached(sql)?;
    for span in spans {
        let (kind, hub, environment, run, sequence) = match &span.kind {
            SpanRowKind::Call => ("call", None, None, None, None),
            SpanRowKind::Watch { hub, environment, run, sequence, .. } => {
                ("watch", Some(hub.as_str()), Some(environment.as_str()), Some(*run), Some(int(sequence.get())))
            }
        };
        let (start, end) = (int(span.start.get()), int(span.end.get()));
        let (trace_id, span_id) = (span.trace_id.as_bytes(), span.span_id.as_bytes());
        statement.execute(params![kind, trace_id, span_id, start, end, hub, environment, run, sequence, span.otlp])?;
    }
    Ok(())
}

pub(super) fn add_minutes(transaction: &Transaction<'_>, minutes: &[MinuteRow]) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO log_minute(minute, level, lines, bytes) VALUES (?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET lines = lines + excluded.lines, bytes = bytes + excluded.bytes";
    let mut statement = transaction.prepare_cached(sql)?;
    for row in minutes {
        statement.execute(params![int(row.minute), row.level, int(row.lines), int(row.bytes)])?;
    }
    Ok(())
}

pub(super) fn insert_notable(transaction: &Transaction<'_>, notable: &[NotableRow]) -> Result<(), rusqlite::Error> {
    let mut statement = transaction.prepare_cached("INSERT INTO notable(time_us, level, text) VALUES (?, ?, ?)")?;
    for row in notable {
        statement.execute(params![int(row.time.get()), row.level.as_str(), row.text.as_str()])?;
    }
    Ok(())
}
