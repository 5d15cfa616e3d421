//! A real hub without faults, watched for a short period, passes: everything that this hub can do is exercised by real clients, and
//! what it can't is found out from it.

use std::process::{Child, Command};
use std::time::Duration;

use hubwatch::watch::Timestamp;
use serde_json::Value;

use crate::hub::{Hub, signal};
use crate::sidecar::binary;
use crate::sound::sound;
use crate::wait::until;

/// The configuration for a verdict after minutes: shorter times and fewer samples; no limit of a measured quantity is changed.
const CONFIGURATION: &str = r#"
[servers.github]                      # it lacks its token here
expected = ["disconnected", "connecting"]

[judge]
min_period = "3m"
leak_warm_up = "2m"
leak_window = "5s"
leak_min_steady = "45s"
leak_min_growth_bytes = 40_000_000    # in minutes a heap breathes by more than it would leak,
leak_tolerated_bytes_per_day = 1_000_000_000_000  # and what that comes to in a day can't be told

[[criterion]]
id = "performance.log_growth"
min_samples = 20

[[criterion]]
id = "stability.error_rate"
min_samples = 50

# The recordings show that this hub never reconnects a server by itself.
[[criterion]]
id = "degradation.server_recovery"
enabled = false
"#;

/// One more than the strategy's ten clients at once, and one to spare.
const CLIENTS: &str = "12";

/// How long it is left alone before and after the clients. The quiet time itself is the input: memory and CPU are judged by it.
const QUIET: [Duration; 2] = [Duration::from_secs(50), Duration::from_secs(110)];

/// How long so many clients stay: at an interval of 3 s, five polls see them. The time itself is the input.
const TOGETHER: Duration = Duration::from_secs(15);

struct Watching {
    process: Child,
    folder: tempfile::TempDir,
}

impl Watching {
    fn start(hub: &Hub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hubwatch.toml"), CONFIGURATION).unwrap();
        let mut command = Self::hubwatch(&folder, &["run", "--hub", &hub.url, "--name", "live", "--interval", "3s"]);
        let process = command.arg("--log").arg(hub.log()).spawn().unwrap();
        Self { process, folder }
    }

    fn hubwatch(folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(folder.path()).args(arguments);
        command.arg("--state-dir").arg(folder.path().join("state"));
        command
    }

    fn mark(&self, edge: &str) {
        assert!(Self::hubwatch(&self.folder, &["mark", edge, "high_load"]).status().unwrap().success());
    }

    fn stop(&mut self) {
        signal("-TERM", self.process.id());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }

    /// The report on the period in this format, and how the command ended.
    fn report(&self, from: Timestamp, to: Timestamp, format: &str) -> (String, Option<i32>) {
        let (from, to) = (from.to_string(), to.to_string());
        let period = ["--name", "live", "--from", &from, "--to", &to, "--format", format];
        let output = Self::hubwatch(&self.folder, &["report"]).args(period).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_hub_without_faults_passes() {
    let hub = Hub::start().await;
    let mut watching = Watching::start(&hub);
    let journal = watching.folder.path().join("state/journal.db");
    until("the watch keeps a journal", async || journal.exists().then_some(())).await;
    let from = Timestamp::now();
    tokio::time::sleep(QUIET[0]).await;
    watching.mark("begin");
    let crowd = hub.connect_crowd(CLIENTS);
    tokio::time::sleep(TOGETHER).await;
    crowd.leave();
    watching.mark("end");
    tokio::time::sleep(QUIET[1]).await;
    let to = Timestamp::now();
    watching.stop();

    let (report, code) = watching.report(from, to, "json");
    let report = sound(serde_json::from_str(&report).unwrap());
    let of = |row: &Value| format!("{} {}: {} ({})", row["verdict"], row["id"], row["value"], row["why"]);
    let rows: Vec<String> = report["criteria"].as_array().unwrap().iter().map(of).collect();
    println!("{}", rows.join("\n"));
    let verdict = |id: &str| {
        let row = report["criteria"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap();
        row["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!((report["overall"]["verdict"].as_str(), code), (Some("pass"), Some(0)), "{rows:#?}\n{}", report["overall"]);
    for id in ["integration.meta_tool_succeeds", "integration.gemini_without_errors", "integration.session_isolation"] {
        assert_eq!(verdict(id), "not_applicable", "{id}");
    }
    for id in ["degradation.high_load", "stability.degradation_passes", "integration.servers_connected", "performance.cpu"] {
        assert_eq!(verdict(id), "pass", "{id}");
    }
    let (markdown, code) = watching.report(from, to, "md");
    assert!(markdown.contains("✅ pass – promote") && markdown.contains("switched off"), "{markdown}");
    assert_eq!(code, Some(0));
}
