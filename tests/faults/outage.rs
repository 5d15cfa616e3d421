//! A destination is down for a day: queued records arrive afterwards, and records dropped for lack of space are counted exactly.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use hubwatch::watch::names;

use super::program::{self, Written, hub, numbers, of_all_watches, run, until};
use super::receiver::{Fault, Receiver};

/// Lines of a busy hub in a day: two per second.
const DAY: u64 = 172_800;

/// Returns the queued and the dropped log records of the journal.
fn kept_and_dropped(folder: &Path) -> (u64, u64) {
    let read = || {
        let path = folder.join("state/journal.db");
        let journal = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        let number = |sql| journal.query_row(sql, [], |row| row.get::<_, i64>(0)).ok();
        let kept = number("SELECT coalesce(sum(records), 0) FROM spool WHERE signal = 'logs'")?;
        Some((kept, number("SELECT coalesce(sum(records), 0) FROM dropped WHERE what = 'logs'")?))
    };
    // During a transaction the journal may not be readable.
    read().map_or((0, 0), |(kept, dropped)| (kept.cast_unsigned(), dropped.cast_unsigned()))
}

/// Runs a day without a receiver, then with one that accepts everything; returns it with the number of lines once all are received
/// or counted as dropped.
async fn day(folder: &Path, max_bytes: &str) -> (Receiver, u64) {
    let (hub, (receiver, address)) = (hub().await, Receiver::http().await);
    receiver.behave(Fault::Down);
    let config = format!("[otlp]\nendpoint = '{address}'\nprotocol = 'http/protobuf'\n[journal]\nmax_bytes = '{max_bytes}'\n");
    std::fs::write(folder.join("hubwatch.toml"), config).unwrap();
    let mut log = File::options().append(true).create(true).open(folder.join("mcp-hub.log")).unwrap();
    let child = run(folder, &hub);
    until("the watch begins", folder, || folder.join("state/journal.db").exists()).await;
    let mut written = Written::default();
    for _ in 0..24 {
        written.lines(&mut log, DAY / 24);
    }
    let lines = written.lines;
    let accounted = || {
        let (kept, dropped) = kept_and_dropped(folder);
        kept + dropped == lines
    };
    until("each line of the day is kept or counted as dropped", folder, accounted).await;
    receiver.behave(Fault::Fine);
    let dropped = format!("{}.logs.size", names::SIDECAR_DROPPED);
    let complete = || receiver.read(|taken| taken.lines.len() as u64 + of_all_watches(taken, &dropped) == lines);
    until("queued lines arrive, and dropped lines are reported", folder, complete).await;
    child.stop(folder).await;
    (receiver, lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_without_a_destination_costs_disk_and_no_data() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (receiver, lines) = day(folder.path(), "1 GiB").await;
    assert_eq!(receiver.read(|taken| numbers(taken).len() as u64), lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_without_a_destination_and_with_little_disk_costs_the_oldest_lines_and_each_is_counted() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (receiver, lines) = day(folder.path(), "2 MB").await;
    let lost = receiver.read(|taken| {
        let came = numbers(taken);
        let lost = lines - came.len() as u64;
        assert!(lost > 0 && came.len() > 1_000, "{lost} of {lines} were lost");
        // The request that is in flight while room is made is kept, wherever it begins; of the rest, only the oldest lines are lost.
        let gaps: Vec<u64> = came.iter().copied().filter(|line| *line > 0 && !came.contains(&(line - 1))).collect();
        assert!((1..=2).contains(&gaps.len()) && came.last() == Some(&(lines - 1)), "the received lines have gaps at {gaps:?}");
        assert_eq!(program::counted(taken), lines, "the Watches counted each line before it was dropped");
        let totals = taken.totals.iter().filter(|((_, name, _), _)| name == names::METRIC_SIDECAR_DROPPED);
        let reported: f64 = totals.filter_map(|(_, points)| points.last()).map(|(_, value)| *value).sum();
        assert!((reported - lost as f64).abs() < 0.5, "the metrics report {reported} dropped, {lost} were lost");
        lost
    });
    let report = Command::new(env!("CARGO_BIN_EXE_hubwatch"))
        .args(["report", "--since", "1h", "--format", "json", "--state-dir"])
        .arg(folder.path().join("state"))
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["sidecar"]["dropped"]["logs"]["size"], lost, "{:#}", report["sidecar"]);
    assert_eq!(report["log"]["lines"], lines);
    let spots = report["blind_spots"].to_string();
    assert!(spots.contains(&format!("{lost} log records")), "{spots}");
}
