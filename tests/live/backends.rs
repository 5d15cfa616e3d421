//! One session in every backend at once: the same report from each, every metric in Prometheus, every query of the dashboards and rules
//! answered. A real Collector stands between, real Jaegers behind.

use std::path::Path;
use std::process::{Child, Command, Output};

use hubwatch::watch::{Micros, Timestamp, names};
use serde_json::Value;

use crate::hub::signal;
use crate::servers::{Collector, Jaeger, Outlets, Prometheus, configuration, get};
use crate::session::Session;
use crate::sidecar::binary;
use crate::sound::sound;
use crate::tempo::Tempo;
use crate::wait::until;

/// A `hubwatch run`; stopped when dropped.
struct Watching {
    process: Child,
    name: &'static str,
    state: tempfile::TempDir,
    said: std::path::PathBuf,
    listen: String,
}

impl Watching {
    fn start(name: &'static str, session: &Session, otlp: &str, protocol: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let process = Command::new(binary())
            .args(["run", "--hub", &session.url, "--name", name, "--interval", "1s", "--otlp", otlp, "--listen", &listen])
            // The simulated hub has no process: the test's own stands for it.
            .args(["--pid", &std::process::id().to_string(), "--build", "4.3.0-live"])
            .arg("--log")
            .arg(&session.log)
            .arg("--state-dir")
            .arg(state.path())
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .stderr(std::fs::File::create(session.log.with_file_name(name)).unwrap())
            .spawn()
            .unwrap();
        Self { process, name, state, said: session.log.with_file_name(name), listen: format!("http://{listen}") }
    }

    fn stop(&mut self) {
        signal("-TERM", self.process.id());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        let said = std::fs::read_to_string(&self.said).unwrap();
        assert!(!said.contains("ERROR"), "{}: {said}", self.name);
    }

    /// A report on the session; `backend` is where from, the state folder if nowhere else.
    fn report(&self, from: Timestamp, to: Timestamp, backend: Option<&str>) -> (Value, Option<i32>) {
        let mut command = Command::new(binary());
        command.args(["report", "--name", self.name, "--format", "json"]);
        command.args(["--from", &from.to_string(), "--to", &to.to_string()]).arg("--state-dir").arg(self.state.path());
        command.args(backend.iter().flat_map(|backend| ["--backend", backend]));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let report = serde_json::from_slice(&stdout);
        let report = report.unwrap_or_else(|_| panic!("{backend:?}: {}", String::from_utf8_lossy(&stderr)));
        (sound(report), status.code())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The report without what says from where and when it was made.
pub(crate) fn content((mut report, code): (Value, Option<i32>)) -> (Value, Option<i32>) {
    let provenance = report["provenance"].as_object_mut().unwrap();
    provenance.remove("backend").unwrap();
    provenance.remove("generated_at").unwrap();
    without_links(&mut report);
    (report, code)
}

fn without_links(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("trace_url");
            fields.remove("trace_urls");
            fields.values_mut().for_each(without_links);
        }
        Value::Array(items) => items.iter_mut().for_each(without_links),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_is_the_same_in_every_backend() {
    let folder = tempfile::tempdir().unwrap();
    let sub = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let badger = sub("badger");
    let (jaeger, memory) = (Jaeger::badger(&badger).await, Jaeger::memory(&sub("memory")).await);
    let (tempo, prometheus) = (Tempo::start().await, Prometheus::start(&sub("prometheus")).await);
    let to = Outlets {
        jaeger: &jaeger.otlp_grpc,
        second_jaeger: &memory.otlp_grpc,
        tempo: &tempo.base,
        prometheus: &format!("{}/api/v1/otlp", prometheus.base),
        loki: &tempo.base,
    };
    let collector = Collector::start(&sub("collector"), &to).await;
    let session = Session::begin(folder.path()).await;
    let mut by_grpc = Watching::start("live-grpc", &session, &collector.grpc, "grpc");
    let mut by_http = Watching::start("live-http", &session, &collector.http, "http/protobuf");
    let hub_ended = async || {
        let log = std::fs::read_to_string(&session.log).ok()?;
        log.contains("shutdown").then_some(()).filter(|()| Timestamp::now().since(session.from).as_secs_f64() > 42.0)
    };
    until("the session ends", hub_ended).await;

    // What goes on may be added to between the two reports: they end where all is committed.
    let now = Timestamp::now().minus(Micros::new(2_000_000));
    let served = content(by_grpc.report(session.from, now, Some(&format!("jaeger={}", by_grpc.listen))));
    assert_eq!(content(by_grpc.report(session.from, now, None)), served, "while the watch goes on");
    assert_eq!(served.0["provenance"]["provisional"], true);

    by_grpc.stop();
    by_http.stop();
    let to = Timestamp::now();
    let in_jaeger = |watching: &Watching, jaeger: &Jaeger| {
        let backend = format!("jaeger={}", jaeger.query);
        content(watching.report(session.from, to, Some(&backend)))
    };
    let file = |name: &str| format!("file={}", collector.archive.join(name).display());
    let backends = [
        format!("jaeger={}", jaeger.query),
        format!("jaeger={}", memory.query),
        format!("tempo={}", tempo.base),
        file("traces.jsonl"),
        file("traces.zst.json"),
    ];
    for watching in [&by_grpc, &by_http] {
        let embedded = content(watching.report(session.from, to, None));
        assert_eq!((embedded.1, &embedded.0["coverage"]["missing_watches"]), (Some(1), &0.into()), "{:#}", embedded.0["coverage"]);
        assert!(embedded.0["calls"]["total"].as_u64() > Some(3), "{:#}", embedded.0["calls"]);
        for backend in &backends {
            let whole = async || {
                let there = content(watching.report(session.from, to, Some(backend)));
                (there.0["coverage"] == embedded.0["coverage"]).then_some(there)
            };
            let there = until("all Watches are in the backend", whole).await;
            assert_eq!(there, embedded, "{}, {backend}", watching.name);
        }
    }

    let before = in_jaeger(&by_grpc, &jaeger);
    drop(jaeger);
    let again = Jaeger::badger(&badger).await;
    assert_eq!(in_jaeger(&by_grpc, &again), before, "badger after a restart");

    assert!(tempo.log_records() > 10, "log records for Loki: {}", tempo.log_records());
    assert_files(&collector.archive);
    assert_metrics(&prometheus).await;
    assert_rules(&prometheus).await;
    assert_dashboards(&prometheus).await;
}

/// The file exporter wrote all three signals.
fn assert_files(archive: &Path) {
    let read = |name: &str| std::fs::read_to_string(archive.join(name)).unwrap();
    assert!(read("logs.jsonl").contains("log.record.uid"));
    assert!(read("metrics.jsonl").contains("mcphub.server.up"));
}

/// What this session has nothing of: the simulated servers are no processes of this host nor instrumented, and no record has to be
/// dropped.
const NOT_HERE: [&str; 4] =
    [names::METRIC_SERVER_CPU_TIME, names::METRIC_SERVER_MEMORY, names::METRIC_SIDECAR_DROPPED, names::METRIC_TOKENS];

/// Metrics of the receiver, which does not run here.
const OF_RECEIVER: [&str; 2] = ["otelcol_receiver_", "mcphub.sidecar.receiver."];

/// Each metric of docs/telemetry.md, under the name that otel-config/README.md says Prometheus gives it.
async fn assert_metrics(prometheus: &Prometheus) {
    let document = std::fs::read_to_string(configuration("docs/telemetry.md")).unwrap();
    let table = document.split("\n## ").find(|section| section.starts_with("Metrics")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
    let (mut documented, mut missing) = (0, Vec::new());
    for row in rows {
        let name = in_prometheus(row[1], row[2], row[3]);
        documented += 1;
        let there = prometheus.query(&format!("count_over_time({name}[10m])")).await;
        let of_receiver = OF_RECEIVER.iter().any(|name| row[1].starts_with(name));
        if there.is_empty() && !of_receiver && !NOT_HERE.contains(&row[1]) {
            missing.push(name);
        }
    }
    assert!(documented > 25, "{documented}");
    assert!(missing.is_empty(), "not in Prometheus: {missing:?}");
}

fn in_prometheus(metric: &str, instrument: &str, unit: &str) -> String {
    let unit = match (unit, instrument) {
        // It is not said twice.
        ("By", _) if metric.contains("bytes") => "",
        ("By", _) => "_bytes",
        ("s", _) => "_seconds",
        ("1", "gauge") => "_ratio",
        _ => "",
    };
    let kind = match instrument {
        "counter" => "_total",
        "histogram" => "_bucket",
        _ => "",
    };
    format!("{}{unit}{kind}", metric.replace('.', "_"))
}

/// Every rule is evaluated without an error, and what it compares has a value.
async fn assert_rules(prometheus: &Prometheus) {
    let rules = until("all rules are evaluated", async || {
        let groups = prometheus.ask("/api/v1/rules", &[]).await["groups"].as_array().unwrap().clone();
        let rules: Vec<Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    })
    .await;
    assert!(rules.len() > 15, "{}", rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
        // What is planned or expected is left out, which may leave nothing.
        let query = rule["query"].as_str().unwrap().split(" unless ").next().unwrap();
        let compared = query
            .split(
                [">", "=="]
                    .map(|sign| format!(" {sign} "))
                    .iter()
                    .find(|sign| query.contains(*sign))
                    .map_or("\n\n", String::as_str),
            )
            .next()
            .unwrap();
        if !compared.starts_with("absent_over_time") {
            assert!(!prometheus.query(compared).await.is_empty(), "no data: {compared}");
        }
    }
}

/// Every query of every dashboard is understood, and gives data unless the panel says that it needs instrumentation of the hub.
async fn assert_dashboards(prometheus: &Prometheus) {
    for file in ["hub.json", "fleet.json"] {
        let text = std::fs::read_to_string(configuration("otel-config/grafana/dashboards").join(file)).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                let query = query.replace("$environment", "staging").replace("$hub", "live-.*").replace("$__range", "10m");
                let is_instrumented = panel["description"].as_str().is_some_and(|text| text.contains("instrumentation"));
                let there = prometheus.query(&query).await;
                assert!(!there.is_empty() || is_instrumented, "{file}, {}: no data for {query}", panel["title"]);
            }
        }
    }
}

fn doctor(otlp: &str, jaeger: &Jaeger) -> (Option<i32>, Value) {
    let backend = format!("jaeger={}", jaeger.query);
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["doctor", "--format", "json", "--backend", &backend, "--otlp", otlp, "--wait", "20s", "--state-dir"]);
    let Output { status, stdout, stderr } = command.arg(state.path()).output().unwrap();
    let found = serde_json::from_slice(&stdout);
    (status.code(), found.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stderr))))
}

fn finding<'a>(found: &'a Value, check: &str) -> &'a Value {
    let findings = found["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check}: {found:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_sees_what_becomes_of_traces_on_their_way() {
    let folder = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::badger(folder.path()).await;
    let away = "127.0.0.1:9";
    let to = Outlets {
        jaeger: &jaeger.otlp_grpc,
        second_jaeger: away,
        tempo: "http://127.0.0.1:9",
        prometheus: "http://127.0.0.1:9",
        loki: "http://127.0.0.1:9",
    };
    let sampling = "otel-config/collector/tail-sampling.yaml";

    let (code, found) = doctor(&format!("http://{}", jaeger.otlp_grpc), &jaeger);
    assert!(code == Some(4) && finding(&found, "writing")["outcome"] == "unreachable", "HTTP to a gRPC port: {found:#}");

    let collector = Collector::with(&folder.path().join("."), &to, &[sampling]).await;
    let (code, found) = doctor(&collector.http, &jaeger);
    assert_eq!(code, Some(0), "a sampler that keeps the watch: {found:#}");
    for check in ["reading", "clock", "writing", "sampling", "delay", "content", "size", "late data"] {
        assert_eq!(finding(&found, check)["outcome"], "ok", "{found:#}");
    }
    drop(collector);

    let careless = [sampling, "tests/live/servers/collector/careless-sampler.yaml"];
    let collector = Collector::with(&folder.path().join("."), &to, &careless).await;
    let (code, found) = doctor(&collector.http, &jaeger);
    assert_eq!(code, Some(1), "{found:#}");
    assert_eq!(finding(&found, "sampling")["outcome"], "wrong", "{found:#}");
    assert!(get(&jaeger.query).await.is_some(), "Jaeger lives");
}
