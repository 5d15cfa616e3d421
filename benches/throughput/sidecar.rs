//! The program under measurement: the built binary, beside a hub that nobody answers for.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running `hubwatch run`.
pub(crate) struct Sidecar(Child);

impl Sidecar {
    pub(crate) fn start(log: &Path, state: &Path, otlp: Option<&str>) -> std::io::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
        // Port 9 is nobody's: the hub does not answer.
        command.args(["run", "--hub", "http://127.0.0.1:9", "--name", "bench", "--log"]).arg(log).arg("--state-dir").arg(state);
        if let Some(otlp) = otlp {
            command.args(["--otlp", otlp]).env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        }
        let quiet = std::env::var_os("BENCH_VERBOSE").is_none();
        command.stdout(Stdio::null()).stderr(if quiet { Stdio::null() } else { Stdio::inherit() });
        command.spawn().map(Self)
    }

    /// Processor time of all its threads, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).into_iter().flatten().flatten();
        tasks.map(|task| on_cpu(&task.path().join("schedstat"))).sum()
    }

    /// A line of its `/proc/PID/status`, in KiB.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) {
        let stopped = Command::new("kill").arg(self.0.id().to_string()).status();
        if stopped.is_err() {
            // It ends in any case.
            let _ = self.0.kill();
        }
        while let Ok(None) = self.0.try_wait() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It has ended already unless the measurement failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first figure of a `schedstat` file: nanoseconds on a processor.
pub(crate) fn on_cpu(schedstat: &Path) -> f64 {
    let text = std::fs::read_to_string(schedstat).unwrap_or_default();
    text.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
