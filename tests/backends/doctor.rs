//! `hubwatch doctor` on backends, receivers and a watch's sources.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwatch::config::listen::Listen;
use hubwatch::live::vitals::Vitals;
use hubwatch::serve::{Server as Serving, WatchedHub};
use hubwatch::simulator::{FileSink, LiveSimulation, LogSink as _, Profile, Simulation, Step, serve};
use hubwatch::watch::{Environment, HubName, Micros, Timestamp};
use serde_json::Value;

use crate::pipeline::Pipeline;
use crate::rehearsal::{FROM, TO, hubwatch};
use crate::server::{Behaviour, Contract, Fault, Server};

/// The doctor's findings by check, and its exit code.
struct Diagnosis {
    code: Option<i32>,
    findings: Vec<Value>,
    text: String,
}

impl Diagnosis {
    fn outcome(&self, check: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {}", self.text))["outcome"].as_str().unwrap()
    }

    fn has(&self, check: &str) -> bool {
        self.findings.iter().any(|finding| finding["check"] == check)
    }

    /// Returns what a check saw.
    fn seen(&self, check: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {}", self.text))["seen"].as_str().unwrap()
    }
}

async fn doctor(arguments: Vec<String>) -> Diagnosis {
    doctor_with(&[], &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

async fn doctor_with(variables: &[(&str, &str)], arguments: &[&str]) -> Diagnosis {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables: Vec<(String, String)> = variables.iter().map(owned).collect();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let output = tokio::task::spawn_blocking(move || {
        let mut command = hubwatch();
        command.envs(variables).env("HUBWATCH_BACKEND_TIMEOUT", "500ms").args(["doctor", "--format", "json"]);
        command.args(arguments).output().unwrap()
    });
    let output = output.await.unwrap();
    let (text, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{complaints}"));
    Diagnosis { code: output.status.code(), findings: json["findings"].as_array().unwrap().clone(), text }
}

async fn of_backend(backend: &str, more: &[&str]) -> Diagnosis {
    let arguments = [&["--state-dir", "/nonexistent", "--backend", backend], more].concat();
    doctor(arguments.into_iter().map(str::to_owned).collect()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_backend_is_ok() {
    for (contract, kind) in [(Contract::Jaeger, "jaeger"), (Contract::Tempo, "tempo"), (Contract::OldTempo, "tempo")] {
        let server = Server::start(Behaviour::of(contract)).await;
        let diagnosis = of_backend(&format!("{kind}={}", server.base), &[]).await;
        assert_eq!(
            (diagnosis.code, diagnosis.outcome("reading"), diagnosis.outcome("clock")),
            (Some(0), "ok", "ok"),
            "{}",
            diagnosis.text
        );
        assert_eq!(diagnosis.outcome("probes"), "note", "nothing was written: {}", diagnosis.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_backend_is_explained() {
    let (jaeger, tempo) = (Contract::Jaeger, Contract::Tempo);
    let tenant = Behaviour { wants: Some(("x-scope-orgid", "staging")), ..Behaviour::of(tempo) };
    let cases = [
        (Behaviour::of(jaeger), "jaeger", "/wrong", "is not Jaeger's query API, or not at this path"),
        (Behaviour::of(jaeger), "tempo", "", "is not Tempo's query API, or not at this path"),
        (Behaviour::of(tempo), "jaeger", "", "is not Jaeger's query API, or not at this path"),
        (Behaviour::with(jaeger, Fault::Page), "jaeger", "", "a web page (“jaeger ui”)"),
        (Behaviour::with(tempo, Fault::Page), "tempo", "", "a web page (“jaeger ui”)"),
        (tenant, "tempo", "", "returned HTTP 401 (no org id): check the credentials and the tenant (X-Scope-OrgID)"),
        (Behaviour::with(jaeger, Fault::Status(403)), "jaeger", "", "returned HTTP 403"),
        (Behaviour::with(jaeger, Fault::Status(500)), "jaeger", "", "returned HTTP 500: a word of the server"),
        (Behaviour::with(jaeger, Fault::Silence), "jaeger", "", "timeout"),
    ];
    for (behaviour, kind, path, said) in cases {
        let server = Server::start(behaviour).await;
        let diagnosis = of_backend(&format!("{kind}={}{path}", server.base), &[]).await;
        assert_eq!((diagnosis.code, diagnosis.outcome("reading")), (Some(4), "unreachable"), "{}", diagnosis.text);
        let finding = &diagnosis.findings[0];
        assert!(finding["seen"].as_str().unwrap().contains(said), "{said}: {}", diagnosis.text);
        assert!(finding["advice"].is_string(), "{}", diagnosis.text);
    }
    let refused = of_backend("jaeger=http://127.0.0.1:9", &[]).await;
    assert_eq!(refused.code, Some(4));
    assert!(refused.text.contains("Connection refused"), "{}", refused.text);
    let no_file = of_backend("file=/nonexistent/staging.jsonl", &[]).await;
    assert!(no_file.code == Some(4) && no_file.text.contains("can't read /nonexistent/staging.jsonl"), "{}", no_file.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_tenant_is_accepted() {
    let behaviour = Behaviour { wants: Some(("x-scope-orgid", "staging")), ..Behaviour::of(Contract::Tempo) };
    let server = Server::start(behaviour).await;
    let diagnosis = of_backend(&format!("tempo={}", server.base), &["--backend-header", "X-Scope-OrgID: staging"]).await;
    assert_eq!((diagnosis.code, diagnosis.outcome("reading")), (Some(0), "ok"), "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_rejects_or_loses_everything_is_reported() {
    let server = Server::start(Behaviour::of(Contract::Jaeger)).await;
    let backend = format!("jaeger={}", server.base);
    let away = of_backend(&backend, &["--otlp", "http://127.0.0.1:9"]).await;
    assert_eq!((away.code, away.outcome("writing")), (Some(4), "unreachable"), "{}", away.text);
    let refusing = of_backend(&backend, &["--otlp", &server.base]).await;
    assert_eq!((refusing.code, refusing.outcome("writing")), (Some(1), "wrong"), "{}", refusing.text);

    // It reads requests to their end: a connection that breaks within a request would be another fault.
    let swallowing = axum::Router::new().fallback(|_: axum::body::Bytes| async { axum::http::StatusCode::OK });
    let swallowing = swallowing.layer(axum::extract::DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async { axum::serve(listener, swallowing).await.unwrap() });
    let swallowed = of_backend(&backend, &["--otlp", &otlp, "--wait", "600ms"]).await;
    assert_eq!((swallowed.code, swallowed.outcome("writing"), swallowed.outcome("reading back")), (Some(1), "ok", "wrong"));
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_its_log_and_its_process_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("mcp-hub.log");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // The hub has been up for a while, so its log shows its format.
    let begin = Timestamp::now().minus(Micros::new(60_000_000));
    let mut simulation = Simulation::new(Profile { port, ..Profile::fork_pino() }, begin);
    simulation.schedule(begin, Step::StartHub);
    let mut sink = FileSink::open(&log).unwrap();
    simulation.advance(Timestamp::now(), &mut sink).unwrap();
    sink.flush().unwrap();
    let live = LiveSimulation::new(simulation, Box::new(sink));
    let serving = tokio::spawn(serve(Arc::new(Mutex::new(live)), listener, std::future::pending()));
    let hub = format!("http://127.0.0.1:{port}");
    let pid = std::process::id().to_string();
    let arguments = ["--hub", &hub, "--log", log.to_str().unwrap(), "--pid", &pid];
    let diagnosis = doctor(arguments.map(str::to_owned).to_vec()).await;
    let outcomes = ["hub", "servers", "log file", "process"].map(|check| diagnosis.outcome(check));
    assert_eq!((diagnosis.code, outcomes), (Some(0), ["ok"; 4]), "{}", diagnosis.text);
    assert!(diagnosis.text.contains("pino"), "{}", diagnosis.text);
    serving.abort();

    let absent = doctor(["--hub", "http://127.0.0.1:9", "--log", "/nonexistent/log"].map(str::to_owned).to_vec()).await;
    let outcomes = ["hub", "log file", "process", "not visible"].map(|check| absent.outcome(check));
    assert_eq!((absent.code, outcomes), (Some(4), ["unreachable", "wrong", "note", "note"]), "{}", absent.text);

    let server = Server::start(Behaviour::of(Contract::Jaeger)).await;
    let other = doctor(vec!["--hub".to_owned(), server.base.clone()]).await;
    assert_eq!((other.code, other.outcome("hub")), (Some(1), "wrong"), "{}", other.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_are_in_the_journal_but_not_in_the_backend_are_reported() {
    let state = tempfile::tempdir().unwrap();
    let mut watch = hubwatch();
    watch.args(["run", "--hub", "http://127.0.0.1:9", "--name", "absent", "--for", "1s", "--state-dir"]).arg(state.path());
    assert!(watch.output().unwrap().status.success());
    let diagnose = async |backend: String| {
        let state = state.path().to_str().unwrap().to_owned();
        doctor(["--state-dir", &state, "--backend", &backend].map(str::to_owned).to_vec()).await
    };
    let server = Server::start(Behaviour::of(Contract::Jaeger)).await;
    let lacking = diagnose(format!("jaeger={}", server.base)).await;
    assert_eq!((lacking.code, lacking.outcome("retention")), (Some(1), "wrong"), "{}", lacking.text);

    let (hub, environment) = (HubName::parse("absent").unwrap(), Environment::parse("staging").unwrap());
    let watched = WatchedHub::new(hub, environment, Duration::from_secs(15), Vitals::default(), state.path().to_owned());
    let serving = Serving::start("127.0.0.1:0".parse::<Listen>().unwrap(), vec![watched]).await.unwrap();
    let having = diagnose(format!("jaeger=http://{}", serving.address())).await;
    let outcomes = ["retention", "watches", "probes"].map(|check| having.outcome(check));
    assert_eq!((having.code, outcomes), (Some(0), ["ok", "ok", "note"]), "{}", having.text);
    assert!(having.seen("probes").contains("a hubwatch that serves its journal"), "{}", having.text);
    serving.end().await;
}

/// Runs the doctor with probes through this pipeline.
async fn probed(pipeline: Pipeline) -> Diagnosis {
    probed_within("1s", pipeline).await
}

/// The same with a time limit; the doctor ends as soon as all probes came back.
async fn probed_within(wait: &str, pipeline: Pipeline) -> Diagnosis {
    let running = pipeline.start().await;
    of_backend(&format!("jaeger={}", running.base), &["--otlp", &running.base, "--wait", wait]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_loss_between_receiver_and_backend_is_explained() {
    let well = probed_within("30s", Pipeline::default()).await;
    let checks = ["reading", "clock", "writing", "sampling", "delay", "content", "size", "late data"];
    assert_eq!((well.code, checks.map(|check| well.outcome(check))), (Some(0), ["ok"; 8]), "{}", well.text);

    let (day, none) = (Duration::from_secs(24 * 3600), Pipeline::default());
    let losses = [
        (Pipeline { samples: Some(2), ..none }, "sampling", "10 of 20 small probes came back within 1 s"),
        (Pipeline { retention: Some(day), ..none }, "late data", "a trace from 48 hours ago did not come back"),
        (Pipeline { longest_text: Some(256), ..none }, "content", "a text of 1024 bytes came back with 256"),
        (Pipeline { most_spans: Some(20), ..none }, "size", "20 of 60 spans came back"),
        (Pipeline { largest_request: Some(1_000_000), ..none }, "writing", "takes no request of 2 MB"),
    ];
    for (pipeline, check, said) in losses {
        let diagnosis = probed(pipeline).await;
        assert_eq!((diagnosis.code, diagnosis.outcome(check)), (Some(1), "wrong"), "{pipeline:?}: {}", diagnosis.text);
        assert!(diagnosis.seen(check).contains(said), "{pipeline:?}: {}", diagnosis.text);
        let others = ["sampling", "content"].into_iter().filter(|other| *other != check);
        assert!(others.clone().all(|other| diagnosis.outcome(other) == "ok"), "other checks are not affected: {}", diagnosis.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_offset_of_a_clock_and_the_length_of_a_delay_are_reported() {
    for (clock, word) in [(300, "ahead of"), (-600, "behind")] {
        let diagnosis = probed_within("30s", Pipeline { clock, ..Pipeline::default() }).await;
        assert_eq!((diagnosis.code, diagnosis.outcome("clock")), (Some(0), "note"), "{}", diagnosis.text);
        let off = |second: i64| format!("the backend's clock is {} s {word} ours", clock.abs() + second);
        assert!((-1..=1).any(|second| diagnosis.seen("clock") == off(second)), "{}", diagnosis.text);
    }
    let late = probed_within("30s", Pipeline { delay: Duration::from_millis(700), ..Pipeline::default() }).await;
    let seconds: f64 = late.seen("delay").split_whitespace().nth_back(1).unwrap().parse().unwrap();
    assert!(late.code == Some(0) && (0.5..30.0).contains(&seconds), "{}", late.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_can_not_be_read_is_a_finding_and_the_rest_is_checked() {
    let too_large = probed(Pipeline { most_read: Some(20), ..Pipeline::default() }).await;
    assert_eq!((too_large.code, too_large.outcome("reading back"), too_large.outcome("size")), (Some(4), "unreachable", "wrong"));
    assert!(too_large.seen("size").contains("HTTP 500: trace is too large"), "{}", too_large.text);
    let others = ["sampling", "content", "late data"].map(|check| too_large.outcome(check));
    assert_eq!(others, ["ok"; 3], "{}", too_large.text);

    let dying = probed(Pipeline { dies_after: Some(7), ..Pipeline::default() }).await;
    assert_eq!((dying.code, dying.outcome("reading back"), dying.outcome("sampling")), (Some(4), "unreachable", "ok"));
    assert!(dying.seen("reading back").starts_with("15 of 22 probes could not be read"), "{}", dying.text);
    assert!(!dying.has("late data"), "a probe that could not be requested is not reported as lost: {}", dying.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_without_otlp_flag() {
    let running = Pipeline::default().start().await;
    let backend = format!("jaeger={}", running.base);
    let diagnosis =
        doctor_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &running.base)], &["--state-dir", "/nonexistent", "--backend", &backend])
            .await;
    assert_eq!((diagnosis.code, diagnosis.outcome("probes"), running.written()), (Some(0), "note", 0), "{}", diagnosis.text);
    assert!(
        diagnosis.text.contains("--otlp is not set") && diagnosis.text.contains(&format!("--otlp {}", running.base)),
        "{}",
        diagnosis.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_checked_without_probes() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("staging.jsonl");
    assert_eq!(crate::export_embedded(&archive, &[]).0, Some(0));
    let running = Pipeline::default().start().await;
    let diagnose = async |archive: &Path, name: &str| {
        let period = ["--name", name, "--from", FROM, "--to", TO, "--otlp", &running.base];
        of_backend(&format!("file={}", archive.display()), &period).await
    };
    let whole = diagnose(&archive, "demo-hub").await;
    let outcomes = ["reading", "probes", "watches"].map(|check| whole.outcome(check));
    assert_eq!((whole.code, outcomes, running.written()), (Some(0), ["ok", "note", "ok"], 0), "{}", whole.text);
    assert!(whole.seen("probes").contains("a file can't receive probes"), "{}", whole.text);
    assert!(whole.seen("watches").contains("from 2026-11-01T00:00:00.000Z to 2026-11-01T01:15:00.000Z"), "{}", whole.text);

    let other = diagnose(&archive, "other-hub").await;
    assert_eq!((other.code, other.outcome("watches")), (Some(1), "wrong"), "{}", other.text);

    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let cut = diagnose(&archive, "demo-hub").await;
    assert_eq!((cut.code, cut.outcome("watches")), (Some(1), "ok"), "{}", cut.text);
    assert!(cut.text.contains("is truncated in line"), "{}", cut.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_hub_everything_else_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("mcp-hub.log");
    std::fs::write(&log, "{\"level\":30,\"time\":1795000000000,\"msg\":\"hub is ready\"}\n").unwrap();
    let diagnosis = doctor(["--log", log.to_str().unwrap()].map(str::to_owned).to_vec()).await;
    let outcomes = ["hub", "log file", "process", "not visible"].map(|check| diagnosis.outcome(check));
    assert_eq!((diagnosis.code, outcomes), (Some(4), ["unreachable", "ok", "note", "note"]), "{}", diagnosis.text);
    assert!(diagnosis.seen("hub").contains("no hub was named and none is listed"), "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hub_of_the_configuration_is_checked_unless_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (config, log) = (folder.path().join("hubwatch.toml"), folder.path().join("b.log"));
    std::fs::write(&log, "a line\n").unwrap();
    let hubs = "[[hub]]\nname = 'a'\nurl = 'http://127.0.0.1:9'\n[[hub]]\nname = 'b'\nurl = 'http://user:s3cret@127.0.0.1:9'\n";
    std::fs::write(&config, format!("{hubs}log = '{}'\n", log.display())).unwrap();
    let config = config.to_str().unwrap();
    let all = doctor_with(&[], &["--config", config]).await;
    let seen = |diagnosis: &Diagnosis, check: &str| {
        let of = diagnosis.findings.iter().filter(|finding| finding["check"] == check);
        of.map(|finding| finding["seen"].as_str().unwrap().split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (all.code, seen(&all, "hub"), seen(&all, "log file")),
        (Some(4), vec!["a:".to_owned(), "b:".to_owned()], vec!["a:".to_owned(), "b:".to_owned()])
    );
    assert!(!all.text.contains("s3cret"), "{}", all.text);
    let one = doctor_with(&[], &["--config", config, "--name", "b"]).await;
    assert_eq!((seen(&one, "hub"), one.outcome("log file")), (vec!["b:".to_owned()], "ok"), "{}", one.text);
}
