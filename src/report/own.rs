//! The sidecar's own figures, worded.

use std::collections::BTreeMap;

use super::model::Report;
use super::words;

/// A label and its value.
pub(super) type Row = (&'static str, String);

/// Returns how much the sidecar read, lost, sent and used, and how late it was.
pub(super) fn rows(report: &Report) -> Vec<Row> {
    let (own, log) = (&report.sidecar, &report.log);
    let said = |value: Option<u64>, say: fn(u64) -> String| value.map_or_else(|| "–".to_owned(), say);
    let count = |value: u64| value.to_string();
    let lag = own.worst_lag.map(|worst| format!("{}, at {}", words::duration(worst.lag_us), words::minute(worst.at)));
    let cpu = own.cpu_us.map(|used| {
        let second = u128::from(used) * 1_000_000 / u128::from(own.cpu_over_us.max(1));
        format!("{} ({} per second)", words::duration(used), words::duration(u64::try_from(second).unwrap_or(u64::MAX)))
    });
    let unread = [
        (log.lost_bytes, "bytes lost before they were read"),
        (log.cut, "lines truncated"),
        (log.bad_utf8, "lines with invalid UTF-8"),
        (own.parse_failures.unwrap_or(0), "lines of invalid JSON, kept as text"),
        (own.unreadable_answers, "unexpected API answers"),
    ];
    let mut rows = vec![
        ("Read from the log", format!("{} lines, {}", log.lines, words::bytes(log.bytes))),
        ("Maximum log read delay", lag.unwrap_or_else(|| "–".to_owned())),
        ("Maximum unread log at the end of an interval", said(own.most_behind_bytes, words::bytes)),
        ("Read errors", list(unread.into_iter().map(|(number, what)| (number, what.to_owned())))),
        ("Records sent", said(own.sent, |sent| sent.to_string())),
        ("Records permanently rejected", count(own.rejected)),
        ("Records dropped by the sidecar", dropped(report)),
        ("Maximum time in the send queue", said(own.oldest_unsent_us, words::duration)),
        ("Maximum journal size", said(own.journal_peak_bytes, words::bytes)),
        ("Memory, peak", said(own.rss_peak_bytes, words::bytes)),
        ("CPU time", cpu.unwrap_or_else(|| "–".to_owned())),
    ];
    if !own.received.is_empty() || !own.refused.is_empty() {
        let received = own.received.iter().map(|(what, count)| (*count, what.replace('_', " ")));
        rows.extend([("Received by OTLP", list(received)), ("Refused by the OTLP receiver", list(by_reason(&own.refused)))]);
    }
    rows
}

/// Returns what was dropped, and why.
pub(super) fn dropped(report: &Report) -> String {
    list(by_reason(&report.sidecar.dropped))
}

fn by_reason(counts: &BTreeMap<String, BTreeMap<String, u64>>) -> impl Iterator<Item = (u64, String)> {
    counts.iter().flat_map(|(what, reasons)| {
        let what = what.replace('_', " ");
        reasons.iter().map(move |(reason, count)| (*count, format!("{what} ({})", reason.replace('_', " "))))
    })
}

fn list(all: impl Iterator<Item = (u64, String)>) -> String {
    let some: Vec<_> = all.filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}
