//! Real servers, each with the configuration that users get from `otel-config/`: on free ports, with their state in a folder that goes
//! away, stopped by the id they were started with.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::hub::signal;
use crate::wait::until;

/// A running server; stopped when dropped.
struct Running {
    process: Child,
    log: PathBuf,
}

impl Running {
    /// `program` names the variable that `tests/live/run` sets to the server's path.
    async fn start(program: &str, configure: impl FnOnce(&mut Command), log: PathBuf, ready: &str) -> Self {
        let path = std::env::var(program).expect("run the live tests with tests/live/run");
        let (out, err) = (File::create(&log).unwrap(), File::options().append(true).open(&log).unwrap());
        let mut command = Command::new(path);
        configure(&mut command);
        let mut running = Self { process: command.stdout(out).stderr(err).spawn().unwrap(), log };
        until(program, async || {
            if let Some(status) = running.process.try_wait().unwrap() {
                panic!("{program} ended ({status}): {}", running.said());
            }
            get(ready).await.filter(|(status, _)| *status == 200)
        })
        .await;
        running
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal("-TERM", self.process.id());
            let _ = self.process.wait();
        }
    }
}

/// What a server answers; nothing if nobody does.
pub(crate) async fn get(url: &str) -> Option<(u16, String)> {
    hubwatch::base::tls::choose_provider();
    let response = reqwest::get(url).await.ok()?;
    Some((response.status().as_u16(), response.text().await.ok()?))
}

/// An address that nobody listens on at the moment.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub(crate) fn configuration(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A Jaeger.
pub(crate) struct Jaeger {
    _running: Running,
    /// Its UI and query API.
    pub query: String,
    /// Its OTLP receiver, by gRPC.
    pub otlp_grpc: String,
}

impl Jaeger {
    /// Keeps what it gets in this folder.
    pub(crate) async fn badger(folder: &Path) -> Self {
        Self::start(folder, &[]).await
    }

    /// Keeps what it gets in memory.
    pub(crate) async fn memory(folder: &Path) -> Self {
        Self::start(folder, &["tests/live/servers/jaeger/memory.yaml"]).await
    }

    async fn start(folder: &Path, more: &[&str]) -> Self {
        let (query, otlp_grpc, health) = (free(), free(), free());
        let configure = |command: &mut Command| {
            command.arg("--config").arg(configuration("otel-config/jaeger/jaeger.yaml"));
            for file in more {
                command.arg("--config").arg(configuration(file));
            }
            command.env("JAEGER_DATA", folder).env("JAEGER_HTTP", &query).env("JAEGER_GRPC", free());
            command.env("JAEGER_OTLP_GRPC", &otlp_grpc).env("JAEGER_OTLP_HTTP", free()).env("JAEGER_HEALTH", &health);
        };
        let ready = format!("http://{health}/status");
        let running = Running::start("HUBWATCH_LIVE_JAEGER", configure, folder.join("jaeger.log"), &ready).await;
        Self { _running: running, query: format!("http://{query}"), otlp_grpc }
    }
}

/// Where a Collector sends what it gets.
pub(crate) struct Outlets<'a> {
    pub jaeger: &'a str,
    pub second_jaeger: &'a str,
    pub tempo: &'a str,
    pub prometheus: &'a str,
    pub loki: &'a str,
}

/// An OpenTelemetry Collector.
pub(crate) struct Collector {
    _running: Running,
    /// Its receivers.
    pub grpc: String,
    pub http: String,
    /// Where its file exporter writes.
    pub archive: PathBuf,
}

impl Collector {
    /// Keeps archives, and sends traces to both Jaegers.
    pub(crate) async fn start(folder: &Path, to: &Outlets<'_>) -> Self {
        let more = ["otel-config/collector/archive.yaml", "tests/live/servers/collector/second-jaeger.yaml"];
        Self::with(folder, to, &more).await
    }

    /// With these configurations beside the main one.
    pub(crate) async fn with(folder: &Path, to: &Outlets<'_>, more: &[&str]) -> Self {
        let (grpc, http, health) = (free(), free(), free());
        let configure = |command: &mut Command| {
            command.arg("--config").arg(configuration("otel-config/collector/collector.yaml"));
            for file in more {
                command.arg("--config").arg(configuration(file));
            }
            command.env("COLLECTOR_OTLP_GRPC", &grpc).env("COLLECTOR_OTLP_HTTP", &http).env("COLLECTOR_HEALTH", &health);
            command.env("JAEGER_OTLP_GRPC", to.jaeger).env("SECOND_JAEGER", to.second_jaeger);
            command.env("TEMPO_OTLP_HTTP", to.tempo).env("PROMETHEUS_OTLP", to.prometheus).env("LOKI_OTLP", to.loki);
            command.env("ARCHIVE", folder);
        };
        let ready = format!("http://{health}/");
        let running = Running::start("HUBWATCH_LIVE_COLLECTOR", configure, folder.join("collector.log"), &ready).await;
        let archive = folder.to_owned();
        Self { _running: running, grpc: format!("http://{grpc}"), http: format!("http://{http}"), archive }
    }
}

/// A Prometheus.
pub(crate) struct Prometheus {
    _running: Running,
    pub base: String,
}

impl Prometheus {
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::with(folder, &configuration("otel-config/prometheus/prometheus.yml")).await
    }

    /// With this configuration.
    pub(crate) async fn with(folder: &Path, file: &Path) -> Self {
        let address = free();
        let configure = |command: &mut Command| {
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--storage.tsdb.path={}", folder.display()));
            command.args(["--web.enable-otlp-receiver", &format!("--web.listen-address={address}")]);
        };
        let ready = format!("http://{address}/-/ready");
        let running = Running::start("HUBWATCH_LIVE_PROMETHEUS", configure, folder.join("prometheus.log"), &ready).await;
        Self { _running: running, base: format!("http://{address}") }
    }

    /// What it answers, the envelope taken off.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> serde_json::Value {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.base), parameters).unwrap();
        let (status, body) = get(url.as_str()).await.expect("Prometheus answers");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &answer["status"]), (200, &"success".into()), "{parameters:?}: {body}");
        answer["data"].clone()
    }

    /// The samples that a query gives now.
    pub(crate) async fn query(&self, query: &str) -> Vec<serde_json::Value> {
        self.ask("/api/v1/query", &[("query", query)]).await["result"].as_array().unwrap().clone()
    }
}
