//! The sidecar's own figures in words.

use super::model::Report;
use super::words;

/// A figure and what it is.
pub type Row = (&'static str, String);

/// What the sidecar read late, lost, sent and cost.
pub fn rows(report: &Report) -> Vec<Row> {
    let (own, log) = (&report.sidecar, &report.log);
    let said = |value: Option<u64>, say: fn(u64) -> String| value.map_or_else(|| "–".to_owned(), say);
    let count = |value: u64| value.to_string();
    let lag = own.worst_lag.map(|worst| {
        let at = worst.at.to_string();
        format!("{}, up to {}", words::duration(worst.lag_us), at.get(..16).unwrap_or(&at).replace('T', " "))
    });
    let cpu = own.cpu_us.map(|used| {
        let second = u128::from(used) * 1_000_000 / u128::from(own.cpu_over_us.max(1));
        format!("{}, or {} a second", words::duration(used), words::duration(u64::try_from(second).unwrap_or(u64::MAX)))
    });
    let unread = [
        (log.lost_bytes, "bytes of the log gone before anybody could read them"),
        (log.cut, "lines cut"),
        (log.bad_utf8, "lines with bytes that are not UTF-8"),
        (own.parse_failures.unwrap_or(0), "lines of broken JSON, kept as text"),
        (own.unreadable_answers, "answers that no hub gives"),
    ];
    vec![
        ("Read from the log", format!("{} lines, {}", log.lines, words::bytes(log.bytes))),
        ("Longest from a line's time to its reading", lag.unwrap_or_else(|| "–".to_owned())),
        ("Most of the log unread at the end of an interval", said(own.most_behind_bytes, words::bytes)),
        ("Could not be read as it was", list(unread.into_iter().map(|(number, what)| (number, what.to_owned())))),
        ("Records that destinations took", said(own.sent, |sent| sent.to_string())),
        ("Records that destinations refused for good", count(own.rejected)),
        ("Records dropped by the sidecar", dropped(report)),
        ("Longest that something waited for a destination", said(own.oldest_unsent_us, words::duration)),
        ("Largest journal", said(own.journal_peak_bytes, words::bytes)),
        ("Most memory", said(own.rss_peak_bytes, words::bytes)),
        ("Processor time", cpu.unwrap_or_else(|| "–".to_owned())),
    ]
}

/// What was dropped and why, in words.
pub fn dropped(report: &Report) -> String {
    let all = report.sidecar.dropped.iter().flat_map(|(what, reasons)| {
        let what = what.replace('_', " ");
        reasons.iter().map(move |(reason, count)| (*count, format!("{what} ({})", reason.replace('_', " "))))
    });
    list(all)
}

fn list(all: impl Iterator<Item = (u64, String)>) -> String {
    let some: Vec<_> = all.filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}
