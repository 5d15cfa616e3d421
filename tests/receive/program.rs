//! The program under test and its hub.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Json;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

/// How long to wait for a condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The hub's name.
pub(crate) const HUB: &str = "hub-a";

/// Returns a port that is free now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) async fn serve(routes: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

pub(crate) async fn hub() -> String {
    let health = async || Json(json!({"status": "ok", "state": "ready", "activeClients": 0}));
    let servers = async || Json(json!({"servers": []}));
    serve(axum::Router::new().route("/api/health", get(health)).route("/api/servers", get(servers))).await
}

/// A running program, killed on drop so that a failed test leaves none behind.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it with these further arguments; it listens on this port.
    pub(crate) fn start(folder: &Path, hub: &str, port: u16, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
        command.args(["run", "--hub", hub, "--interval", "200ms", "--drain", "20s", "--event-stream", "never"]);
        command.args(["--name", HUB, "--receive", &port.to_string()]).args(more).arg("--state-dir").arg(folder.join("state"));
        command.env_clear().env("HUBWATCH_OTLP_SIGNALS", "traces").current_dir(folder);
        let stderr = std::fs::File::options().append(true).create(true).open(folder.join("stderr")).unwrap();
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap())
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Stops it cleanly with SIGTERM.
    pub(crate) async fn stop(mut self, folder: &Path) {
        Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        until("it ends", folder, || self.0.try_wait().unwrap().is_some()).await;
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

pub(crate) fn stderr(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    let tail = text.char_indices().rev().nth(3_000).map_or(0, |(at, _)| at);
    text[tail..].to_owned()
}

pub(crate) async fn until(what: &str, folder: &Path, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "not within {PATIENCE:?}: {what}; {}", stderr(folder));
}
