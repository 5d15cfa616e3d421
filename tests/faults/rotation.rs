//! Changes of the log's files with the whole program: with and without file events, with and without a kill.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::Command;

use super::program::{self, Program, Written, hub, numbers, run, settle, stderr, until};
use super::receiver::Receiver;

/// A change of the log's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogChange {
    /// Renamed; a new one is created.
    Renamed,
    /// Copied, then truncated.
    Copied,
    /// Truncated, as by each hub at its start.
    Emptied,
    /// Deleted; a new one is created.
    Deleted,
}

impl LogChange {
    fn apply(self, log: &Path) {
        let beside = log.with_extension("log.1");
        if beside.exists() {
            std::fs::rename(&beside, log.with_extension("log.2")).unwrap();
        }
        match self {
            Self::Renamed => std::fs::rename(log, beside).unwrap(),
            Self::Copied => {
                std::fs::copy(log, beside).unwrap();
                File::options().write(true).truncate(true).open(log).unwrap();
            }
            Self::Emptied => drop(File::options().write(true).truncate(true).open(log).unwrap()),
            Self::Deleted => std::fs::remove_file(log).unwrap(),
        }
    }

    /// Returns whether unread lines can still be read afterwards.
    fn saves_unread(self) -> bool {
        matches!(self, Self::Renamed | Self::Copied)
    }
}

/// Starts the program without file events, as on many mounts: it has to poll.
fn run_without_events(folder: &Path, hub: &str) -> Program {
    let mut command = Command::new("unshare");
    let script = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$0\" \"$@\"";
    command.args(["--user", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_hubwatch")]);
    settle(&mut command, folder, hub);
    Program::start(command.env("PATH", program::PATH))
}

async fn play(change: LogChange, events: bool, killed: bool) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = folder.path();
    let (hub, (receiver, address)) = (hub().await, Receiver::http().await);
    std::fs::write(folder.join("hubwatch.toml"), format!("[otlp]\nendpoint = '{address}'\nprotocol = 'http/protobuf'\n")).unwrap();
    let path = folder.join("mcp-hub.log");
    let append = || OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let start = || if events { run(folder, &hub) } else { run_without_events(folder, &hub) };
    drop(append());
    let mut child = start();
    until("the watch begins", folder, || receiver.read(|taken| !taken.spans.is_empty())).await;
    let mut written = Written::default();
    for _ in 0..2 {
        written.lines(&mut append(), 300);
        let lines = written.lines;
        // Counted lines are committed, so they are not read again.
        until("the lines are read", folder, || receiver.read(|taken| program::counted(taken) == lines)).await;
        if killed {
            child.kill();
        }
        if change.saves_unread() {
            written.lines(&mut append(), 200);
        }
        change.apply(&path);
        written.lines(&mut append(), 100);
        if killed {
            child = start();
        }
        let lines = written.lines;
        let complete = || receiver.read(|taken| taken.lines.len() as u64 == lines && program::counted(taken) == lines);
        until(&format!("all lines arrive: {change:?}, events {events}, killed {killed}"), folder, complete).await;
    }
    assert!(events || stderr(folder).contains("file events are not available"), "{}", stderr(folder));
    child.stop(folder).await;
    receiver.read(|taken| assert_eq!(numbers(taken).len() as u64, written.lines));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_file_events_each_change_of_the_log_is_followed_even_after_a_kill() {
    for change in [LogChange::Renamed, LogChange::Copied, LogChange::Emptied, LogChange::Deleted] {
        for killed in [false, true] {
            play(change, true, killed).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_file_events_each_change_of_the_log_is_followed_even_after_a_kill() {
    if program::has_no_namespaces() {
        return;
    }
    for change in [LogChange::Renamed, LogChange::Copied, LogChange::Emptied, LogChange::Deleted] {
        for killed in [false, true] {
            play(change, false, killed).await;
        }
    }
}
