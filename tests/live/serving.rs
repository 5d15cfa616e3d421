//! A sidecar that serves its status page and its metrics, beside a real hub; and a real Prometheus that scrapes them.

use std::process::{Child, Command};

use crate::hub::{Hub, free_port, signal};
use crate::servers::{self, Prometheus};
use crate::sidecar::binary;
use crate::wait::until;

/// `hubwatch run --listen`; killed when dropped.
pub struct Serving {
    process: Child,
    _state: tempfile::TempDir,
    /// Where it serves.
    pub url: String,
}

impl Serving {
    pub fn start(hub: &Hub) -> Self {
        let (port, state) = (free_port(), tempfile::tempdir().unwrap());
        let mut command = Command::new(binary());
        command.args(["run", "--hub", &hub.url, "--name", "live", "--interval", "1s", "--log"]).arg(hub.log());
        command.arg("--listen").arg(port.to_string()).arg("--state-dir").arg(state.path());
        Self { process: command.spawn().unwrap(), _state: state, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Serving {
    /// One for several hubs, by their names.
    pub fn of_several(hubs: &[(&str, &Hub)]) -> Self {
        let (port, state) = (free_port(), tempfile::tempdir().unwrap());
        let section = |(name, hub): &(&str, &Hub)| {
            format!("[[hub]]\nname = '{name}'\nurl = '{}'\nlog = '{}'\n", hub.url, hub.log().display())
        };
        let configuration = state.path().join("hubwatch.toml");
        std::fs::write(&configuration, hubs.iter().map(section).collect::<String>()).unwrap();
        let mut command = Command::new(binary());
        command.arg("--config").arg(configuration).args(["run", "--interval", "1s", "--listen", &port.to_string()]);
        command.arg("--state-dir").arg(state.path().join("state"));
        Self { process: command.spawn().unwrap(), _state: state, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_the_metrics_and_sees_a_crash() {
    let hub = Hub::start().await;
    let serving = Serving::start(&hub);
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("scrape.yml");
    let shipped = std::fs::read_to_string(servers::configuration("otel-config/prometheus/scrape.yml")).unwrap();
    let rules = servers::configuration("otel-config/prometheus/hubwatch-rules.yml");
    let here = shipped.replace("127.0.0.1:9684", serving.url.trim_start_matches("http://")).replace("15s", "1s");
    std::fs::write(&configuration, here.replace("hubwatch-rules.yml", rules.to_str().unwrap())).unwrap();
    let prometheus = Prometheus::with(folder.path(), &configuration).await;
    let value = async |query: &str| {
        let samples = prometheus.query(query).await;
        samples.first().and_then(|sample| sample["value"][1].as_str()?.parse::<f64>().ok())
    };
    let server_up = "mcphub_server_up_ratio{job=\"mcp-hub\",instance=\"live\",mcphub_server_name=\"filesystem\"}";
    until("the server is up", async || value(server_up).await.filter(|up| *up == 1.0)).await;
    assert_eq!(value("up{job=\"hubwatch\"}").await, Some(1.0));
    until("a rate of answers", async || value("rate(http_client_request_duration_seconds_count[10s])").await).await;
    signal("-KILL", hub.child("server-filesystem").expect("the filesystem server runs"));
    until("the server is down", async || value(server_up).await.filter(|up| *up == 0.0)).await;
    let open = "hubwatch_incidents_open{severity=\"critical\"}";
    until("a critical incident goes on", async || value(open).await.filter(|open| *open >= 1.0)).await;
    until("the shipped rules see it", async || value("ALERTS{alertname=\"ServerDown\",instance=\"live\"}").await).await;
    assert_eq!(value("hubwatch_verdict{verdict=\"fail\"}").await, Some(1.0));
    assert_eq!(value("up{job=\"hubwatch\"}").await, Some(1.0), "all of it was understood");
}
