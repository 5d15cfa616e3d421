//! The program under test, what it watches, and what its receivers have of it.

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

/// How long something may take that has to come about.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A hub that answers polls.
pub async fn hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let health = async || Json(json!({"status": "ok", "state": "ready", "activeClients": 0}));
    let servers = async || Json(json!({"servers": []}));
    let routes = axum::Router::new().route("/api/health", get(health)).route("/api/servers", get(servers));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// What was written so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    pub lines: u64,
    pub calls: u64,
}

impl Written {
    /// Appends a line with its number.
    pub fn line(&mut self, log: &mut impl Write, level: &str, msg: &str) {
        let (seq, time) = (self.lines, Timestamp::now());
        writeln!(log, r#"{{"level":"{level}","time":"{time}","pid":7,"hostname":"h","seq":{seq},"msg":"{msg}"}}"#).unwrap();
        self.lines += 1;
    }

    /// Appends so many lines of no importance; no two are alike.
    pub fn lines(&mut self, log: &mut impl Write, lines: u64) {
        let (mut block, mut random) = (Vec::new(), fastrand::Rng::with_seed(self.lines));
        for _ in 0..lines {
            self.line(&mut block, "info", &format!("Read report-{:016x}.md for the client", random.u64(..)));
        }
        log.write_all(&block).unwrap();
    }
}

/// The program's arguments and settings, beside a log, a state folder and a configuration in `folder`.
pub fn settle(command: &mut Command, folder: &Path, hub: &str) {
    command.args(["run", "--hub", hub, "--interval", "200ms", "--drain", "20s", "--event-stream", "never", "--log"]);
    command.arg(folder.join("mcp-hub.log")).arg("--state-dir").arg(folder.join("state"));
    command.env_clear().env("HUBWATCH_CONFIG", folder.join("hubwatch.toml"));
    let stderr = File::options().append(true).create(true).open(folder.join("stderr")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
}

/// Where system programs are.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether tests that need namespaces are to be left out. Where there are none they fail unless somebody says so.
pub fn has_no_namespaces() -> bool {
    let left_out = std::env::var_os("HUBWATCH_NO_NAMESPACES").is_some();
    if left_out {
        println!("left out because of HUBWATCH_NO_NAMESPACES");
    }
    left_out
}

/// A running program; killed when it is dropped, so that a test that fails leaves none behind.
pub struct Program(Child);

impl Program {
    /// Starts a command that is or becomes the program.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Kills it with `kill -9`.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Ends it in good order.
    pub async fn stop(mut self, folder: &Path) {
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

/// The program as it is.
pub fn run(folder: &Path, hub: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    settle(&mut command, folder, hub);
    Program::start(&mut command)
}

/// Waits until it is so; what the program said otherwise.
pub async fn until(what: &str, folder: &Path, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "not within {PATIENCE:?}: {what}; {}", stderr(folder));
}

/// Whether a receiver has every line, and every call that ended.
pub fn has_all(receiver: &Receiver, written: Written) -> bool {
    receiver
        .read(|taken| taken.lines.len() as u64 >= written.lines && counted(taken) >= written.lines && calls(taken) >= written.calls)
}

/// The lines that the Watches counted.
pub fn counted(taken: &Taken) -> u64 {
    of_all_watches(taken, names::LOG_LINES)
}

/// Calls that have a span.
pub fn calls(taken: &Taken) -> u64 {
    let is_call = |span: &&opentelemetry_proto::tonic::trace::v1::Span| text(&span.attributes, names::MCP_METHOD_NAME).is_some();
    let traces: BTreeSet<_> = taken.spans.values().filter(is_call).map(|span| &span.trace_id).collect();
    traces.len() as u64
}

/// A figure of the sidecar's own, of all Watches together.
pub fn of_all_watches(taken: &Taken, name: &str) -> u64 {
    let watches = taken.spans.values().filter(|span| span.name == names::WATCH_SPAN);
    watches.filter_map(|span| integer(&span.attributes, name)).sum::<i64>().cast_unsigned()
}

/// The numbers of the lines that came, and whether each has one identity.
pub fn numbers(taken: &Taken) -> BTreeSet<u64> {
    assert!(taken.lines.values().all(|numbers| numbers.len() == 1), "one identity for two lines");
    let numbers: BTreeSet<u64> = taken.lines.values().flatten().copied().collect();
    assert_eq!(numbers.len(), taken.lines.len(), "two identities for one line");
    numbers
}

pub fn stderr(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    let tail = text.char_indices().rev().nth(3_000).map_or(0, |(at, _)| at);
    text[tail..].to_owned()
}
