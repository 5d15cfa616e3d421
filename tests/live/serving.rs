//! A sidecar that serves its status page and its metrics, beside a real hub; and a real Prometheus that scrapes them.

use std::process::{Child, Command};

use crate::hub::{Hub, free_port, signal};
use crate::servers::{self, Prometheus};
use crate::sidecar::binary;
use crate::wait::until;

/// `hubwatch run --listen`; killed when dropped.
pub(crate) struct Serving {
    process: Child,
    state: tempfile::TempDir,
    /// Where it serves.
    pub url: String,
}

impl Serving {
    pub(crate) fn start(hub: &Hub) -> Self {
        let (port, state) = (free_port(), tempfile::tempdir().unwrap());
        let mut command = Command::new(binary());
        let configuration = state.path().join("hubwatch.toml");
        std::fs::write(&configuration, "[servers.github]\nexpected = ['disconnected', 'connecting']\n").unwrap();
        command.arg("--config").arg(configuration);
        command.args(["run", "--hub", &hub.url, "--name", "live", "--interval", "1s", "--log"]).arg(hub.log());
        command.arg("--listen").arg(port.to_string()).arg("--state-dir").arg(state.path().join("state"));
        Self { process: command.spawn().unwrap(), state, url: format!("http://127.0.0.1:{port}") }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// `hubwatch mark EDGE NAME`.
    fn mark(&self, edge: &str, name: &str) {
        let mut command = Command::new(binary());
        let status = command.args(["mark", edge, name, "--state-dir"]).arg(self.state.path().join("state")).status();
        assert!(status.unwrap().success(), "mark {edge} {name}");
    }
}

impl Serving {
    /// One for several hubs, by their names.
    pub(crate) fn of_several(hubs: &[(&str, &Hub)]) -> Self {
        let (port, state) = (free_port(), tempfile::tempdir().unwrap());
        let section = |(name, hub): &(&str, &Hub)| {
            format!("[[hub]]\nname = '{name}'\nurl = '{}'\nlog = '{}'\n", hub.url, hub.log().display())
        };
        let configuration = state.path().join("hubwatch.toml");
        std::fs::write(&configuration, hubs.iter().map(section).collect::<String>()).unwrap();
        let mut command = Command::new(binary());
        command.arg("--config").arg(configuration).args(["run", "--interval", "1s", "--listen", &port.to_string()]);
        command.arg("--state-dir").arg(state.path().join("state"));
        Self { process: command.spawn().unwrap(), state, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Prometheus that scrapes what is served, with the shipped configuration and rules, made faster.
async fn scraping(serving: &Serving, folder: &std::path::Path) -> Prometheus {
    let shipped = |name: &str| std::fs::read_to_string(servers::configuration("otel-config/prometheus").join(name)).unwrap();
    let rules = folder.join("hubwatch-rules.yml");
    std::fs::write(&rules, shipped("hubwatch-rules.yml").replace("for: 30s", "for: 2s").replace("for: 1m", "for: 2s")).unwrap();
    let here = shipped("scrape.yml").replace("127.0.0.1:9684", serving.url.trim_start_matches("http://")).replace("15s", "1s");
    let configuration = folder.join("scrape.yml");
    std::fs::write(&configuration, here).unwrap();
    Prometheus::with(folder, &configuration).await
}

async fn value(prometheus: &Prometheus, query: &str) -> Option<f64> {
    let samples = prometheus.query(query).await;
    assert!(samples.len() < 2, "{query}: {samples:#?}");
    samples.first().and_then(|sample| sample["value"][1].as_str()?.parse::<f64>().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_the_metrics_and_sees_a_crash() {
    let hub = Hub::start().await;
    let serving = Serving::start(&hub);
    let folder = tempfile::tempdir().unwrap();
    let prometheus = scraping(&serving, folder.path()).await;
    let value = async |query: &str| value(&prometheus, query).await;
    let server_up = "mcphub_server_up_ratio{job=\"mcp-hub\",instance=\"live\",mcphub_server_name=\"filesystem\"}";
    until("the server is up", async || value(server_up).await.filter(|up| *up == 1.0)).await;
    assert_eq!(value("up{job=\"hubwatch\",instance=~\"127.*\"}").await, Some(1.0));
    until("a rate of answers", async || value("sum(rate(http_client_request_duration_seconds_count[10s]))").await).await;
    signal("-KILL", hub.child("server-filesystem").expect("the filesystem server runs"));
    until("the server is down", async || value(server_up).await.filter(|up| *up == 0.0)).await;
    let open = "hubwatch_incidents_open{severity=\"critical\"}";
    until("a critical incident goes on", async || value(open).await.filter(|open| *open >= 1.0)).await;
    let firing = "ALERTS{alertname=\"ServerDown\",alertstate=\"firing\",instance=\"live\",mcphub_server_name=\"filesystem\"}";
    until("the shipped rules see it", async || value(firing).await).await;
    // The other server never worked, as expected: nobody is paged for it.
    let expected = "mcphub_server_up_ratio{mcphub_server_name=\"github\"} + mcphub_server_expected_ratio";
    assert_eq!(value(expected).await, Some(0.0));
    assert_eq!(value("ALERTS{mcphub_server_name=\"github\"}").await, None);
    assert_eq!(value("hubwatch:server_down:sum").await, Some(1.0));
    assert_eq!(value("hubwatch_verdict{verdict=\"fail\"}").await, Some(1.0));
    assert_eq!(value("up{job=\"hubwatch\",instance=~\"127.*\"}").await, Some(1.0), "all of it was understood");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_planned_time_the_shipped_rules_page_nobody() {
    let mut hub = Hub::start().await;
    let serving = Serving::start(&hub);
    let folder = tempfile::tempdir().unwrap();
    let prometheus = scraping(&serving, folder.path()).await;
    let value = async |query: &str| value(&prometheus, query).await;
    until("the hub is up", async || value("mcphub_up_ratio").await.filter(|up| *up == 1.0)).await;
    serving.mark("begin", "server_crash");
    until("it is planned", async || value("mcphub_planned_ratio").await.filter(|planned| *planned == 1.0)).await;
    signal("-KILL", hub.child("server-filesystem").expect("the filesystem server runs"));
    let down = "min_over_time(mcphub_server_up_ratio{mcphub_server_name=\"filesystem\"}[8s])";
    let up_long_ago = async || value("max_over_time(mcphub_server_up_ratio{mcphub_server_name=\"filesystem\"}[8s])").await;
    until("it was down for long", async || (value(down).await == Some(0.0) && up_long_ago().await == Some(0.0)).then_some(()))
        .await;
    hub.stop().await;
    let gone = async || value("max_over_time(mcphub_up_ratio[8s])").await.filter(|up| *up == 0.0);
    until("the hub was away for long", gone).await;
    // Before the first scrape nobody watched, which the rules say at once.
    let told = "count(last_over_time(ALERTS{alertname!=\"HubNotWatched\"}[5m]))";
    assert_eq!(value(told).await, None, "not even pending");
}

/// Resident memory, as the system says.
fn rss(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_tells_the_hubs_process_from_the_sidecars_by_value() {
    let mut hub = Hub::start().await;
    let serving = Serving::start(&hub);
    let folder = tempfile::tempdir().unwrap();
    let prometheus = scraping(&serving, folder.path()).await;
    let value = async |query: &str| value(&prometheus, query).await;
    let (hubs, own) = ("process_memory_usage_bytes{job=\"mcp-hub\"}", "process_memory_usage_bytes{job=\"hubwatch\"}");
    let hubs_memory = until("the hub's memory", async || value(hubs).await).await;
    let own_memory = until("the sidecar's memory", async || value(own).await).await;
    let (hub_really, own_really) = (rss(hub.id()), rss(serving.id()));
    println!("hub {hubs_memory} of {hub_really}, sidecar {own_memory} of {own_really}");
    assert!((0.7..1.3).contains(&(hubs_memory / hub_really)) && (0.7..1.3).contains(&(own_memory / own_really)));
    assert!(hubs_memory > 2.0 * own_memory, "they can be told apart by value");
    let info = "target_info{job=\"hubwatch\",mcphub_watch_hub=\"live\"} * on (instance, job) group_left process_memory_usage_bytes";
    assert!(value(info).await.is_some(), "the sidecar's own are joined with what is known of it");
    hub.stop().await;
    until("the hub's series are gone", async || value(hubs).await.is_none().then_some(())).await;
    assert!(value(own).await.is_some());
    assert_eq!(value("hubwatch:cpu_cores:mean1m{job!=\"mcp-hub\"}").await, None);
    assert_eq!(value("count(process_memory_usage_bytes)").await, Some(1.0));
}
