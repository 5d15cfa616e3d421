//! The release binary, as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use serde_json::Value;

use crate::hub::signal;
use crate::sound::sound;

/// How often the live tests poll.
pub(crate) const INTERVAL_US: u64 = 1_000_000;

pub(crate) fn binary() -> PathBuf {
    std::env::var("HUBWATCH_BIN").expect("run the live tests with tests/live/run").into()
}

/// A running `hubwatch run`; killed when dropped.
pub(crate) struct Sidecar {
    process: Child,
    state: tempfile::TempDir,
}

impl Sidecar {
    /// With exactly the flags that must be enough, and a shorter interval.
    pub(crate) fn start(hub: &str, log: &Path, otlp: &str, protocol: &str) -> Self {
        let mut command = Command::new(binary());
        command.args(["run", "--hub", hub, "--log"]).arg(log);
        Self::spawn(command, otlp, protocol)
    }

    /// The same, with a receiver on this port for what the hub's instrumentation sends.
    pub(crate) fn receiving(hub: &str, log: &Path, port: u16, otlp: &str, protocol: &str) -> Self {
        let mut command = Command::new(binary());
        command.args(["run", "--hub", hub, "--receive", &format!("127.0.0.1:{port}"), "--log"]).arg(log);
        Self::spawn(command, otlp, protocol)
    }

    /// Without being told where the hub and its log are: both are found in the hub's own folders.
    pub(crate) fn discover(home: &Path, otlp: &str, protocol: &str) -> Self {
        let mut command = Command::new(binary());
        command.arg("run").env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
        Self::spawn(command, otlp, protocol)
    }

    fn spawn(mut command: Command, otlp: &str, protocol: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let process = command
            .args(["--name", "live", "--otlp", otlp, "--interval", "1s", "--state-dir"])
            .arg(state.path())
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .spawn()
            .unwrap();
        Self { process, state }
    }

    /// The most memory that it has used so far, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Its state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.state.path().to_owned()
    }

    /// How many Watches its journal has; `None` while there is no journal.
    pub(crate) fn watches(&self) -> Option<i64> {
        let journal = rusqlite::Connection::open(self.state.path().join("journal.db")).ok()?;
        journal.query_row("SELECT count(*) FROM span WHERE kind = 'watch'", [], |row| row.get(0)).ok()
    }

    /// Asks it to stop, and expects it to do so well.
    pub(crate) fn stop(&mut self) {
        signal("-TERM", self.process.id());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }

    /// Its report, and how the command ended.
    pub(crate) fn report(&self) -> (Value, Option<i32>) {
        let output = self.report_as("json");
        (sound(serde_json::from_slice(&output.stdout).unwrap()), output.status.code())
    }

    /// Its report in a form for people.
    pub(crate) fn page(&self, format: &str) -> String {
        String::from_utf8(self.report_as(format).stdout).unwrap()
    }

    fn report_as(&self, format: &str) -> Output {
        let mut command = Command::new(binary());
        command.args(["report", "--name", "live", "--since", "1h", "--format", format, "--state-dir"]).arg(self.state.path());
        command.output().unwrap()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
