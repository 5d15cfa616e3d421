//! A real Alertmanager (Debian's `prometheus-alertmanager`) is told of a real crash, passes it on, and is told when it is over.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::hub::{Hub, free_port, signal};
use crate::sidecar::binary;
use crate::wait::until;

/// Where Alertmanager is: `tests/live/run` says it.
fn program() -> PathBuf {
    let path = std::env::var_os("HUBWATCH_LIVE_ALERTMANAGER");
    path.expect("run the live tests with tests/live/run, which looks for Debian's prometheus-alertmanager").into()
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Passed = Arc<Mutex<Vec<Value>>>;

/// Whom Alertmanager passes alerts on to.
async fn on_call() -> (Passed, String) {
    let passed = Passed::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let take = async |State(passed): State<Passed>, Json(body): Json<Value>| passed.lock().unwrap().push(body);
    let routes = axum::Router::new().fallback(take).with_state(passed.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (passed, url)
}

/// The alert about the server, as it was passed on with this status.
fn passed_on(passed: &Passed, status: &str) -> Option<Value> {
    let bodies = passed.lock().unwrap().clone();
    let alerts = bodies.iter().flat_map(|body| body["alerts"].as_array().unwrap());
    let about = |alert: &&Value| alert["labels"]["alertname"] == "McpHubServerDown" && alert["labels"]["subject"] == "filesystem";
    alerts.filter(about).find(|alert| alert["status"] == status).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_alertmanager_receives_a_crash_and_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (passed, webhook) = on_call().await;
    let manager = format!("127.0.0.1:{}", free_port());
    let configuration = format!(
        "route: {{receiver: on-call, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: on-call, webhook_configs: [{{url: '{webhook}', send_resolved: true}}]}}]\n"
    );
    std::fs::write(folder.path().join("alertmanager.yml"), configuration).unwrap();
    let mut command = Command::new(program());
    command.arg(format!("--config.file={}", folder.path().join("alertmanager.yml").display()));
    command.arg(format!("--storage.path={}", folder.path().join("alertmanager").display()));
    command.arg(format!("--web.listen-address={manager}")).arg("--cluster.listen-address=").arg("--log.level=warn");
    let _manager = Running(command.spawn().unwrap());
    hubwatch::base::tls::choose_provider();
    let ready = format!("http://{manager}/-/ready");
    until("Alertmanager is ready", async || reqwest::get(&ready).await.ok()?.status().is_success().then_some(())).await;

    let hub = Hub::start().await;
    let file = folder.path().join("hubwatch.toml");
    let notify = format!("[[notify]]\nname = 'am'\nkind = 'alertmanager'\nurl = 'http://{manager}'\nseverity = 'critical'\n");
    std::fs::write(&file, format!("[servers.github]\nexpected = ['connecting', 'disconnected']\n{notify}")).unwrap();
    let mut command = Command::new(binary());
    command
        .args(["run", "--hub", &hub.url, "--name", "live", "--interval", "1s", "--log"])
        .arg(hub.log())
        .arg("--config")
        .arg(file);
    let sidecar = Running(command.arg("--state-dir").arg(folder.path().join("state")).spawn().unwrap());
    let dashboard = folder.path().join("state/dashboard.json");
    until("the sidecar sees the server work", async || {
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&dashboard).ok()?).ok()?;
        let works = |server: &Value| server["name"] == "filesystem" && server["status"] == "connected";
        dashboard["currentState"]["servers"].as_array()?.iter().any(works).then_some(())
    })
    .await;

    signal("-KILL", hub.child("server-filesystem").expect("the filesystem server runs"));
    let firing = until("the crash is passed on", async || passed_on(&passed, "firing")).await;
    assert_eq!((&firing["labels"]["hub"], &firing["labels"]["severity"]), (&Value::from("live"), &Value::from("critical")));
    hub.act("stop", "filesystem").await;
    hub.act("start", "filesystem").await;
    let resolved = until("its end is passed on", async || passed_on(&passed, "resolved")).await;
    assert_eq!(firing["fingerprint"], resolved["fingerprint"], "it is the same alert");
    drop(sidecar);
}
