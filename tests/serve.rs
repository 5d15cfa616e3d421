//! The server of `hubwatch run --listen`: health, readiness, metrics in Prometheus' format, and traces in Jaeger's.

mod watched;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hubwatch::backend::jaeger::TraceResponse;
use hubwatch::watch::{Decoded, Environment, HubName, Slot, Timestamp};
use serde_json::{Value, json};

fn run(state_dir: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    command.args(["run", "--hub", "http://127.0.0.1:9", "--name", "absent", "--interval", "200ms", "--listen", listen]);
    command.arg("--state-dir").arg(state_dir).env_clear().stderr(Stdio::piped());
    command
}

/// A sidecar of a hub that isn't running, and its address.
struct Serving {
    process: Child,
    base: String,
}

impl Serving {
    fn start(state_dir: &Path) -> Self {
        let mut process = run(state_dir, "127.0.0.1:0").spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| Some(line.unwrap().split_once("address=")?.1.to_owned())).unwrap();
        // Keeps reading, because a full pipe would block the sidecar.
        std::thread::spawn(move || lines.count());
        Self { process, base: format!("http://{address}") }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        hubwatch::base::tls::choose_provider();
        let response = reqwest::get(format!("{}{path}", self.base)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn until(&self, path: impl Fn() -> String, holds: impl Fn(&(u16, String)) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.get(&path()).await;
            if holds(&answer) {
                return answer.1;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{}: {answer:?}", path());
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn readiness_comes_with_the_first_poll_and_says_how_the_hub_answered() {
    let state = tempfile::tempdir().unwrap();
    let serving = Serving::start(state.path());
    assert_eq!(serving.get("/healthz").await, (200, "ok\n".to_owned()));
    let ready: Value = serde_json::from_str(&serving.until(|| "/readyz".to_owned(), |(status, _)| *status == 200).await).unwrap();
    assert_eq!((&ready["ready"], &ready["hubs"][0]["hub"]), (&json!(true), &json!("absent")));
    assert_eq!((&ready["hubs"][0]["hub_answers"], &ready["hubs"][0]["not_ready"]), (&json!("refused"), &json!([])));
}

#[tokio::test]
async fn the_journal_is_served_as_jaeger_serves_a_trace() {
    let state = tempfile::tempdir().unwrap();
    let serving = Serving::start(state.path());
    let (hub, environment) = (HubName::parse("absent").unwrap(), Environment::parse("staging").unwrap());
    // A slot of a quarter of an hour may end in the meantime.
    let path = || format!("/api/v3/traces/{}?raw_traces=true", Slot::of(Timestamp::now()).trace_id(&hub, &environment, 0));
    let watches = |answer: &str| {
        let answer: TraceResponse = serde_json::from_str(answer).unwrap();
        let decoded = Decoded::of(&answer.result.unwrap_or_default().resource_spans);
        assert_eq!(decoded.unreadable, []);
        decoded.watches
    };
    let body = serving.until(path, |(status, body)| *status == 200 && watches(body).len() > 2).await;
    let watches = watches(&body);
    assert!(watches.iter().all(|watch| watch.origin.hub == hub));

    let (status, body) = serving.get("/api/v3/traces/1").await;
    let expected = json!({"error": {"httpCode": 404, "message": "No traces found"}});
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (404, expected));
    assert_eq!(serving.get("/api/v3/traces/nonsense").await.0, 400);
}

#[tokio::test]
async fn a_port_in_use_is_told_and_a_signal_ends_it_well() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut serving = Serving::start(one.path());
    let address = serving.base.trim_start_matches("http://").to_owned();
    let refused = run(other.path(), &address).output().unwrap();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(&format!("can't listen on {address}")) && stderr.contains("--listen"), "{stderr}");

    let pid = serving.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(serving.process.wait().unwrap().code(), Some(0));
}

/// A series of Prometheus' text format: its name and its labels, in order.
type Series = (String, BTreeMap<String, String>);

/// Returns the values of a metrics page by series. No series appears twice.
fn series(page: &str) -> BTreeMap<Series, f64> {
    let mut all = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (of, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = of.strip_suffix('}').unwrap().split_once('{').unwrap();
        let pair = |label: &str| {
            let (name, value) = label.split_once("=\"").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let labels: BTreeMap<String, String> =
            labels.split_terminator("\",").map(|label| pair(label.trim_end_matches('"'))).collect();
        let before = all.insert((name.to_owned(), labels), value.parse().unwrap());
        assert!(before.is_none(), "two series with the same labels: {of}");
    }
    all
}

/// Returns the values of the series with this name and job, by instance.
fn of(page: &str, name: &str, job: &str) -> BTreeMap<String, f64> {
    let all = series(page).into_iter().filter(|((of, labels), _)| of == name && labels.get("job").is_some_and(|of| of == job));
    all.map(|((_, labels), value)| (labels["instance"].clone(), value)).collect()
}

/// Returns the resident memory from the system.
fn rss(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

fn about(value: f64, expected: f64) -> bool {
    (expected * 0.7..expected * 1.3).contains(&value)
}

const MEMORY: &str = "process_memory_usage_bytes";

#[tokio::test]
async fn where_the_hub_is_away_its_series_are_absent_and_the_sidecars_own_stand_under_another_name() {
    let state = tempfile::tempdir().unwrap();
    let serving = Serving::start(state.path());
    let own = |page: &str| of(page, MEMORY, "hubwatch");
    let page = serving.until(|| "/metrics".to_owned(), |(_, page)| !own(page).is_empty()).await;
    for ((name, labels), _) in series(&page).into_iter().filter(|((name, _), _)| name.starts_with("process_")) {
        assert_eq!(labels["job"], "hubwatch", "{name} {labels:?}");
    }
    let own = own(&page);
    assert_eq!(own.len(), 1);
    let (watcher, memory) = own.first_key_value().unwrap();
    assert!(watcher != "absent" && about(*memory, rss(serving.process.id())), "{own:?}");
    assert_eq!(of(&page, "mcphub_up_ratio", "mcp-hub"), [("absent".to_owned(), 0.0)].into());
    assert_eq!(of(&page, "mcphub_planned_ratio", "mcp-hub"), [("absent".to_owned(), 0.0)].into());
    let info: Vec<_> = series(&page).into_keys().filter(|(name, _)| name == "target_info").map(|(_, labels)| labels).collect();
    let about_hub = info.iter().find(|labels| labels["job"] == "mcp-hub").unwrap();
    let about_us = info.iter().find(|labels| labels["job"] == "hubwatch").unwrap();
    assert_eq!((info.len(), about_hub["instance"].as_str()), (2, "absent"));
    assert_eq!((&about_us["instance"], about_us["mcphub_watch_hub"].as_str()), (watcher, "absent"));
    assert_eq!(about_us["service_version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hubs_process_and_the_sidecars_are_told_apart_by_their_values_and_what_is_expected_is_told() {
    // A small process stands for the hub's: it uses much less memory than the sidecar.
    let mut process = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = process.id().to_string();
    let hub = watched::Hub::start().await;
    hub.configure("[servers.github]\nexpected = ['disconnected']\n");
    let sidecar = hub.watch(&["--pid", &pid, "--build", "4.3.0-test"]);
    let has_all = |page: &str| !of(page, MEMORY, "mcp-hub").is_empty() && !of(page, MEMORY, "hubwatch").is_empty();
    let page = sidecar.until("/metrics", has_all).await;
    let (hubs, own) = (of(&page, MEMORY, "mcp-hub"), of(&page, MEMORY, "hubwatch"));
    assert!(about(hubs["simulated"], rss(process.id())), "{hubs:?}, really {}", rss(process.id()));
    let (_, memory) = own.first_key_value().unwrap();
    assert!(*memory > 2.0 * hubs["simulated"], "{own:?} {hubs:?}");
    assert_eq!(of(&page, "process_uptime_seconds", "hubwatch").len(), 0);

    let server = |page: &str, name: &str, server: &str| {
        let is = |labels: &BTreeMap<String, String>| labels.get("mcphub_server_name").is_some_and(|name| name == server);
        series(page).into_iter().find(|((of, labels), _)| of == name && is(labels)).map(|(_, value)| value)
    };
    let expected = |page: &str| ["filesystem", "github"].map(|name| server(page, "mcphub_server_expected_ratio", name));
    let page = sidecar.until("/metrics", |page| expected(page).iter().all(Option::is_some)).await;
    assert_eq!(expected(&page), [Some(1.0), Some(0.0)]);
    let planned = |page: &str| of(page, "mcphub_planned_ratio", "mcp-hub").get("simulated").copied();
    assert_eq!(planned(&page), Some(0.0));
    let marked = hub.command("mark", &["begin", "server_crash"]).output().unwrap();
    assert!(marked.status.success(), "{}", String::from_utf8_lossy(&marked.stderr));
    sidecar.until("/metrics", |page| planned(page) == Some(1.0)).await;
    sidecar.stop();
    process.kill().unwrap();
    process.wait().unwrap();
}
