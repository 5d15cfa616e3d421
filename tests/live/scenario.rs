//! The scenarios, on the real npm hub with its real filesystem server, a watch beside it, and a real Collector, Jaeger and Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use hubwatch::watch::names;
use serde_json::Value;

use crate::hub::Hub;
use crate::played::{Played, assert_server_crash};
use crate::servers::{Collector, Jaeger, Outlets, Prometheus, get};
use crate::sidecar::{INTERVAL_US, Sidecar};
use crate::wait::until;

/// What `run all --allow server-crash` plays, in order.
const PLAYED: [&str; 9] = [
    "meta_tool",
    "tools_usable",
    "session_isolation",
    "session_cleanup",
    "concurrent_sessions",
    "sse_lost",
    "high_load",
    "log_growth",
    "server_crash",
];

/// This hub has no meta-tool, so nothing of tools that a client chooses applies; and the end of a server's process escapes it.
fn assert_verdicts(played: &Played) {
    assert_eq!((played.names(), played.code), (PLAYED.to_vec(), Some(1)), "{}", played.said);
    played.assert("meta_tool", &[("pass", "1 after"), ("not_applicable", "2 3 4 5 6 7")]);
    played.assert_holds("tools_usable");
    assert_eq!(played.step("tools_usable", "2")["detail"], "14 tools");
    played.assert("session_isolation", &[("pass", "1.1 1.4 after"), ("not_applicable", "1.2 1.3 1.5 1.6 1.7 1.8")]);
    played.assert("session_cleanup", &[("pass", "2.1 2.3 2.4 2.5 2.6 after"), ("not_applicable", "2.2 2.7")]);
    played.assert("concurrent_sessions", &[("pass", "3.1 after"), ("not_applicable", "3.2 3.3 3.4 3.5 3.6")]);
    played.assert_holds("sse_lost");
    played.assert("high_load", &[("pass", "1 2 4 5 6 after"), ("not_applicable", "3")]);
    played.assert("log_growth", &[("pass", "1 2 3 5 after"), ("not_applicable", "4"), ("not_verifiable", "6")]);
    assert_server_crash(played);
    for (scenario, step, counted) in
        [("session_isolation", "1.4", "2 clients"), ("concurrent_sessions", "3.1", "3 clients"), ("high_load", "1", "10 clients")]
    {
        assert!(played.step(scenario, step)["detail"].as_str().unwrap().contains(counted), "{:#}", played.step(scenario, step));
    }
}

/// A span of Jaeger's API, its tags by name.
struct InJaeger {
    id: String,
    name: String,
    parent: Option<String>,
    tags: BTreeMap<String, Value>,
    from: u64,
    to: u64,
    /// The attributes of its events.
    events: Vec<BTreeMap<String, Value>>,
    service: String,
}

fn tags(list: &Value) -> BTreeMap<String, Value> {
    let tag = |tag: &Value| (tag["key"].as_str().unwrap().to_owned(), tag["value"].clone());
    list.as_array().unwrap().iter().map(tag).collect()
}

impl InJaeger {
    fn of(span: &Value, processes: &Value) -> Self {
        let word = |name: &str| span[name].as_str().unwrap().to_owned();
        let from = span["startTime"].as_u64().unwrap();
        Self {
            id: word("spanID"),
            name: word("operationName"),
            parent: span["references"][0]["spanID"].as_str().map(str::to_owned),
            tags: tags(&span["tags"]),
            from,
            to: from + span["duration"].as_u64().unwrap(),
            events: span["logs"].as_array().unwrap().iter().map(|log| tags(&log["fields"])).collect(),
            service: processes[word("processID")]["serviceName"].as_str().unwrap().to_owned(),
        }
    }

    fn is_client(&self) -> bool {
        self.tags["span.kind"] == "client"
    }
}

async fn trace(jaeger: &Jaeger, id: &str) -> Vec<InJaeger> {
    let Some((200, body)) = get(&format!("{}/api/traces/{id}", jaeger.query)).await else { return Vec::new() };
    let answer: Value = serde_json::from_str(&body).unwrap();
    let found = &answer["data"][0];
    found["spans"].as_array().unwrap().iter().map(|span| InJaeger::of(span, &found["processes"])).collect()
}

/// How many requests Prometheus counts.
async fn measured(prometheus: &Prometheus) -> u64 {
    let samples = prometheus.query("sum(mcp_client_operation_duration_seconds_count)").await;
    samples.first().map_or(0, |sample| sample["value"][1].as_str().unwrap().parse().unwrap())
}

/// All spans are in Jaeger, a trace for each scenario, and the metric has counted each of them.
async fn traces(played: &Played, jaeger: &Jaeger, prometheus: &Prometheus) -> BTreeMap<String, Vec<InJaeger>> {
    until("all spans and the metric have arrived", async || {
        let mut all = BTreeMap::new();
        for one in played.scenarios() {
            let spans = trace(jaeger, one["trace_id"].as_str().unwrap()).await;
            all.insert(one["scenario"].as_str().unwrap().to_owned(), spans);
        }
        let whole = all.values().all(|spans: &Vec<InJaeger>| spans.iter().any(|span| span.parent.is_none()));
        let requests = all.values().flatten().filter(|span| span.is_client()).count() as u64;
        (whole && requests > 50 && measured(prometheus).await == requests).then_some(all)
    })
    .await
}

fn assert_trace(played: &Played, scenario: &str, spans: &[InJaeger]) {
    let (requests, roots): (Vec<&InJaeger>, Vec<&InJaeger>) = spans.iter().partition(|span| span.is_client());
    let [root] = roots.as_slice() else { panic!("{scenario} has {} roots", roots.len()) };
    assert_eq!((&root.name, &root.parent), (&format!("scenario {scenario}"), &None));
    let steps = played.scenario(scenario)["steps"].as_array().unwrap();
    assert_eq!(
        root.events.iter().map(|event| &event[names::CHECK]).collect::<Vec<_>>(),
        steps.iter().map(|step| &step["id"]).collect::<Vec<_>>()
    );
    assert!(!requests.is_empty());
    let mut sessions = BTreeSet::new();
    for span in requests {
        assert_eq!((span.parent.as_ref(), &*span.service), (Some(&root.id), "hubwatch-scenario"), "{}", span.name);
        assert!(root.from <= span.from && span.to <= root.to, "{}", span.name);
        let method = span.tags["mcp.method.name"].as_str().unwrap();
        let tool = span.tags.get("gen_ai.tool.name").map(|tool| tool.as_str().unwrap());
        assert_eq!(span.name, tool.map_or(method.to_owned(), |tool| format!("{method} {tool}")));
        assert_eq!(method == "tools/call", tool.is_some());
        assert_eq!(span.tags["mcp.protocol.version"], "2025-06-18");
        assert_eq!(span.tags.contains_key("error.type"), span.tags.get("otel.status_code").is_some_and(|code| code == "ERROR"));
        // The hub's ids are UUIDs with hyphens; ours are hashes.
        let session = span.tags["mcp.session.id"].as_str().unwrap();
        assert!(session.len() >= 16 && session.bytes().all(|byte| byte.is_ascii_hexdigit()), "{session}");
        sessions.insert(session);
        let arguments = span.tags.keys().find(|key| key.contains("argument") || key.contains("params"));
        assert_eq!(arguments, None, "{:?}", span.tags);
    }
    let handshakes = spans.iter().filter(|span| span.name == "initialize").count();
    assert_eq!(sessions.len(), handshakes, "{scenario}: each client has a session of its own");
}

/// The report has the steps in its sections on degradation and on sessions, each with its trace.
fn assert_report(played: &Played, sidecar: &Sidecar) {
    let (report, code) = sidecar.report();
    assert_eq!(code, Some(1));
    let told = report["scenarios"].as_array().unwrap();
    for one in played.scenarios() {
        let name = &one["scenario"];
        let told = told.iter().find(|told| told["name"] == *name).unwrap_or_else(|| panic!("{name} is not in the report"));
        assert_eq!((&told["runs"], &told["latest"]["run"]), (&1.into(), &one["run"]));
        let seen = |steps: &Value, id: &str| {
            let step = |step: &Value| (step[id].clone(), step["verdict"].clone());
            steps.as_array().unwrap().iter().map(step).collect::<Vec<_>>()
        };
        assert_eq!(seen(&told["latest"]["steps"], "check"), seen(&one["steps"], "id"), "{name}");
    }
    let verdict = |id: &str| {
        let row = report["criteria"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap();
        println!("{id}: {} ({})", row["verdict"], row["why"]);
        row["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict("degradation.server_recovery"), "fail");
    assert_eq!(verdict("degradation.session_cleanup"), "pass");
    // What a scenario does on purpose is no failure of the build. So short a watch is no proof of the rest.
    for id in [
        "integration.tools_synchronised",
        "integration.session_isolation",
        "stability.no_restarts",
        "integration.no_unexpected_disconnections",
        "performance.log_growth",
    ] {
        assert_ne!(verdict(id), "fail", "{id}");
    }
    let incidents = report["incidents"].as_array().unwrap().iter();
    let unplanned: Vec<&Value> =
        incidents.filter(|incident| incident["planned"].is_null() && incident["subject"] != "github").collect();
    assert!(unplanned.is_empty(), "{unplanned:#?}");

    let page = sidecar.page("md");
    let section = |from: &str, to: &str| page.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    let (third, fourth) = (section("\n## 3. ", "\n## 4. "), section("\n## 4. ", "\n## 5. "));
    for one in played.scenarios() {
        let name = one["scenario"].as_str().unwrap();
        let heading = format!("### Scenario {}: ", name.replace('_', "\\_"));
        let of_sessions = ["session_isolation", "concurrent_sessions", "session_cleanup"].contains(&name);
        let (here, there) = if of_sessions { (&fourth, &third) } else { (&third, &fourth) };
        let elsewhere = there.contains(&heading);
        let after = here.split_once(&heading).unwrap_or_else(|| panic!("{name} is not in its section")).1;
        assert!(!elsewhere && after.contains(one["trace_id"].as_str().unwrap()), "{name}");
    }
    assert!(
        third.contains("### Scenario server\\_crash: ✗ FAIL") && third.contains("[known defect of the hub](https://"),
        "{third}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scenarios_of_a_real_hub_hold_or_fail_for_what_is_known_and_all_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let sub = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (jaeger, prometheus) = (Jaeger::memory(&sub("jaeger")).await, Prometheus::start(&sub("prometheus")).await);
    let away = "http://127.0.0.1:9";
    let to = Outlets {
        jaeger: &jaeger.otlp_grpc,
        second_jaeger: "127.0.0.1:9",
        tempo: away,
        prometheus: &format!("{}/api/v1/otlp", prometheus.base),
        loki: away,
    };
    let collector = Collector::with(&sub("collector"), &to, &[]).await;
    let hub = Hub::start().await;
    let mut sidecar = Sidecar::start(&hub.url, &hub.log(), &collector.grpc, "grpc");
    until("the watch is in its journal", async || sidecar.watches().filter(|watches| *watches > 2)).await;

    let more = ["all", "--allow", "server-crash", "--otlp", &collector.http];
    let played = Played::run(&hub.url, &hub.log(), &sidecar.state(), &more).await;
    assert!(!played.said.contains("could not be sent"), "{}", played.said);
    assert_verdicts(&played);

    let health = hub.get("/api/health").await.expect("the hub lives");
    assert_eq!((&health["state"], &health["mcpEndpoint"]["activeClients"]), (&"ready".into(), &0.into()), "{health:#}");
    let filesystem = hub.server("filesystem").await.unwrap();
    assert!(filesystem["status"] == "connected" && filesystem["uptime"].as_f64() > Some(0.0), "{filesystem:#}");
    assert!(hub.child("server-filesystem").is_some());

    let traces = traces(&played, &jaeger, &prometheus).await;
    for (scenario, spans) in &traces {
        assert_trace(&played, scenario, spans);
    }
    let labels = prometheus.query("mcp_client_operation_duration_seconds_count{mcp_method_name=\"tools/call\"}").await;
    assert!(labels.iter().all(|sample| sample["metric"]["gen_ai_tool_name"].is_string()) && !labels.is_empty(), "{labels:#?}");

    let before = sidecar.watches().unwrap();
    until("all results are told", async || sidecar.watches().filter(|watches| *watches > before + 2)).await;
    println!("peak memory of the sidecar: {} KiB, polling each {} ms", sidecar.peak_memory_kib(), INTERVAL_US / 1_000);
    sidecar.stop();
    assert_report(&played, &sidecar);
}
