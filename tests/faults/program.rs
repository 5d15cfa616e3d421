//! The program under test, its hub and log, and checks of received data.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Json;
use axum::routing::get;
use hubwatch::watch::{Timestamp, names};
use serde_json::json;
use tokio::net::TcpListener;

use super::receiver::{Receiver, Taken, integer, text};

/// How long to wait for a condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A hub that answers polls.
pub(crate) async fn hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let health = async || Json(json!({"status": "ok", "state": "ready", "activeClients": 0}));
    let servers = async || Json(json!({"servers": []}));
    let routes = axum::Router::new().route("/api/health", get(health)).route("/api/servers", get(servers));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// The lines and calls written so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    pub lines: u64,
    pub calls: u64,
}

impl Written {
    /// Appends a line with its number.
    pub(crate) fn line(&mut self, log: &mut impl Write, level: &str, msg: &str) {
        let (seq, time) = (self.lines, Timestamp::now());
        writeln!(log, r#"{{"level":"{level}","time":"{time}","pid":7,"hostname":"h","seq":{seq},"msg":"{msg}"}}"#).unwrap();
        self.lines += 1;
    }

    /// Appends this many unimportant lines, all different.
    pub(crate) fn lines(&mut self, log: &mut impl Write, lines: u64) {
        let (mut block, mut random) = (Vec::new(), fastrand::Rng::with_seed(self.lines));
        for _ in 0..lines {
            self.line(&mut block, "info", &format!("Read report-{:016x}.md for the client", random.u64(..)));
        }
        log.write_all(&block).unwrap();
    }
}

/// Sets the program's arguments, for a log, a state folder and a configuration in `folder`.
pub(crate) fn settle(command: &mut Command, folder: &Path, hub: &str) {
    command.args(["run", "--hub", hub, "--interval", "200ms", "--drain", "20s", "--event-stream", "never", "--log"]);
    command.arg(folder.join("mcp-hub.log")).arg("--state-dir").arg(folder.join("state"));
    command.env_clear().env("HUBWATCH_CONFIG", folder.join("hubwatch.toml"));
    let stderr = File::options().append(true).create(true).open(folder.join("stderr")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
}

/// The search path of system programs.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns whether to skip tests that need namespaces. Without namespaces they fail, unless the variable is set.
pub(crate) fn has_no_namespaces() -> bool {
    let left_out = std::env::var_os("HUBWATCH_NO_NAMESPACES").is_some();
    if left_out {
        println!("skipped because of HUBWATCH_NO_NAMESPACES");
    }
    left_out
}

/// A running program, killed on drop so that a failed test leaves none behind.
pub(crate) struct Program(Child);

impl Program {
    /// Starts a command that is or becomes the program.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Stops it cleanly with SIGTERM.
    pub(crate) async fn stop(mut self, folder: &Path) {
        Command::new("kill").arg(self.id().to_string()).status().unwrap();
        until("it ends", folder, || !self.is_running()).await;
        assert!(self.0.wait().unwrap().success(), "{}", stderr(folder));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program.
pub(crate) fn run(folder: &Path, hub: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    settle(&mut command, folder, hub);
    Program::start(&mut command)
}

/// Waits for a condition; fails with the program's log.
pub(crate) async fn until(what: &str, folder: &Path, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "not within {PATIENCE:?}: {what}; {}", stderr(folder));
}

/// Returns whether a receiver has every line and every finished call.
pub(crate) fn has_all(receiver: &Receiver, written: Written) -> bool {
    receiver
        .read(|taken| taken.lines.len() as u64 >= written.lines && counted(taken) >= written.lines && calls(taken) >= written.calls)
}

/// Returns the number of lines that the Watches counted.
pub(crate) fn counted(taken: &Taken) -> u64 {
    of_all_watches(taken, names::LOG_LINES)
}

/// Returns the number of call spans.
pub(crate) fn calls(taken: &Taken) -> u64 {
    let is_call = |span: &&opentelemetry_proto::tonic::trace::v1::Span| text(&span.attributes, names::MCP_METHOD_NAME).is_some();
    let traces: BTreeSet<_> = taken.spans.values().filter(is_call).map(|span| &span.trace_id).collect();
    traces.len() as u64
}

/// Returns a figure of the sidecar, summed over all Watches.
pub(crate) fn of_all_watches(taken: &Taken, name: &str) -> u64 {
    let watches = taken.spans.values().filter(|span| span.name == names::WATCH_SPAN);
    watches.filter_map(|span| integer(&span.attributes, name)).sum::<i64>().cast_unsigned()
}

/// Returns the numbers of the received lines; checks that each has one identity.
pub(crate) fn numbers(taken: &Taken) -> BTreeSet<u64> {
    assert!(taken.lines.values().all(|numbers| numbers.len() == 1), "one identity for two lines");
    let numbers: BTreeSet<u64> = taken.lines.values().flatten().copied().collect();
    assert_eq!(numbers.len(), taken.lines.len(), "two identities for one line");
    numbers
}

pub(crate) fn stderr(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    let tail = text.char_indices().rev().nth(3_000).map_or(0, |(at, _)| at);
    text[tail..].to_owned()
}
