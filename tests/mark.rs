//! `hubwatch mark` beside a running sidecar: what it announces is not held against stability, live and in the report.

mod watched;

use serde_json::Value;
use watched::{Hub, told};

fn verdict<'a>(report: &'a Value, id: &str) -> &'a str {
    let rows = report["criteria"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == id).unwrap()["verdict"].as_str().unwrap()
}

fn is_down(report: &Value) -> bool {
    report["servers"].as_array().unwrap().iter().any(|server| server["name"] == "filesystem" && server["last_liveness"] == "down")
}

fn mark(hub: &Hub, edge: &str) {
    let (code, stdout, stderr) = told(hub.command("mark", &[edge, "server_crash", "--name", "simulated"]).output().unwrap());
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_crash_counts_for_the_recovery_and_not_against_stability() {
    let hub = Hub::start().await;
    hub.configure("[servers.github]\nexpected = ['disconnected', 'connecting']\n");
    let sidecar = hub.watch(&[]);
    sidecar.until("/metrics", |page| page.contains("mcphub_server_name=\"filesystem\"} 1\n")).await;
    mark(&hub, "begin");
    let planned = |report: &Value| report["planned"].as_array().unwrap().len() == 1;
    sidecar.until_json("/report.json", planned).await;
    hub.kills("filesystem");
    sidecar.until_json("/report.json", is_down).await;
    hub.brings_back("filesystem");
    sidecar.until_json("/report.json", |report| !is_down(report)).await;
    mark(&hub, "end");
    let live = sidecar.until_json("/report.json", |report| !report["planned"][0]["to"].is_null()).await;
    sidecar.stop();
    for report in [live, hub.report()] {
        assert_eq!(report["planned"][0]["name"], "server_crash");
        let crash = report["incidents"].as_array().unwrap().iter().find(|incident| incident["kind"] == "server_down").unwrap();
        assert_eq!(crash["planned"], "server_crash");
        assert_ne!(verdict(&report, "integration.no_unexpected_disconnections"), "fail");
        assert_eq!(verdict(&report, "degradation.server_recovery"), "pass");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_crash_without_an_announcement_fails() {
    let hub = Hub::start().await;
    let sidecar = hub.watch(&[]);
    sidecar.until("/metrics", |page| page.contains("mcphub_server_name=\"filesystem\"} 1\n")).await;
    hub.kills("filesystem");
    sidecar.until_json("/report.json", is_down).await;
    sidecar.stop();
    assert_eq!(verdict(&hub.report(), "integration.no_unexpected_disconnections"), "fail");
}
