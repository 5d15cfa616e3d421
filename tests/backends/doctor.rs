//! What `hubwatch doctor` says of a backend, and of a watch's sources.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwatch::config::listen::Listen;
use hubwatch::serve::{Server as Serving, Vitals, WatchedHub};
use hubwatch::simulator::{FileSink, LiveSimulation, LogSink as _, Profile, Simulation, Step, serve};
use hubwatch::watch::{Environment, HubName, Micros, Timestamp};
use serde_json::Value;

use crate::rehearsal::hubwatch;
use crate::server::{Behaviour, Contract, Fault, Server};

/// What was found, by what was looked at; and how the doctor ended.
struct Told {
    code: Option<i32>,
    findings: Vec<Value>,
    text: String,
}

impl Told {
    fn outcome(&self, check: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {}", self.text))["outcome"].as_str().unwrap()
    }
}

async fn doctor(arguments: Vec<String>) -> Told {
    let output = tokio::task::spawn_blocking(move || {
        let mut command = hubwatch();
        command.env("HUBWATCH_BACKEND_TIMEOUT", "500ms").args(["doctor", "--format", "json"]);
        command.args(arguments).output().unwrap()
    });
    let output = output.await.unwrap();
    let (text, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{complaints}"));
    Told { code: output.status.code(), findings: json["findings"].as_array().unwrap().clone(), text }
}

async fn of_backend(backend: &str, more: &[&str]) -> Told {
    let arguments = [&["--state-dir", "/nonexistent", "--backend", backend], more].concat();
    doctor(arguments.into_iter().map(str::to_owned).collect()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_answers_as_it_should_is_ok() {
    for (contract, kind) in [(Contract::Jaeger, "jaeger"), (Contract::Tempo, "tempo"), (Contract::OldTempo, "tempo")] {
        let server = Server::start(Behaviour::of(contract)).await;
        let told = of_backend(&format!("{kind}={}", server.base), &[]).await;
        assert_eq!((told.code, told.outcome("reading"), told.outcome("clock")), (Some(0), "ok", "ok"), "{}", told.text);
        assert_eq!(told.outcome("probes"), "note", "nothing was written: {}", told.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_backend_is_said_in_words() {
    let (jaeger, tempo) = (Contract::Jaeger, Contract::Tempo);
    let tenant = Behaviour { wants: Some(("x-scope-orgid", "staging")), ..Behaviour::of(tempo) };
    let cases = [
        (Behaviour::of(jaeger), "jaeger", "/wrong", "is not Jaeger's query API, or not at this path"),
        (Behaviour::of(jaeger), "tempo", "", "is not Tempo's query API, or not at this path"),
        (Behaviour::of(tempo), "jaeger", "", "is not Jaeger's query API, or not at this path"),
        (Behaviour::with(jaeger, Fault::Page), "jaeger", "", "a web page (“jaeger ui”)"),
        (Behaviour::with(tempo, Fault::Page), "tempo", "", "a web page (“jaeger ui”)"),
        (tenant, "tempo", "", "answers HTTP 401 (no org id): look at the credentials and the tenant (X-Scope-OrgID)"),
        (Behaviour::with(jaeger, Fault::Status(403)), "jaeger", "", "answers HTTP 403"),
        (Behaviour::with(jaeger, Fault::Status(500)), "jaeger", "", "answers HTTP 500: a word of the server"),
        (Behaviour::with(jaeger, Fault::Silence), "jaeger", "", "no answer in time"),
    ];
    for (behaviour, kind, path, said) in cases {
        let server = Server::start(behaviour).await;
        let told = of_backend(&format!("{kind}={}{path}", server.base), &[]).await;
        assert_eq!((told.code, told.outcome("reading")), (Some(4), "unreachable"), "{}", told.text);
        let finding = &told.findings[0];
        assert!(finding["seen"].as_str().unwrap().contains(said), "{said}: {}", told.text);
        assert!(finding["advice"].is_string(), "{}", told.text);
    }
    let nobody = of_backend("jaeger=http://127.0.0.1:9", &[]).await;
    assert_eq!(nobody.code, Some(4));
    assert!(nobody.text.contains("Connection refused"), "{}", nobody.text);
    let no_file = of_backend("file=/nonexistent/staging.jsonl", &[]).await;
    assert!(no_file.code == Some(4) && no_file.text.contains("can't read /nonexistent/staging.jsonl"), "{}", no_file.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_tenant_is_let_in() {
    let behaviour = Behaviour { wants: Some(("x-scope-orgid", "staging")), ..Behaviour::of(Contract::Tempo) };
    let server = Server::start(behaviour).await;
    let told = of_backend(&format!("tempo={}", server.base), &["--backend-header", "X-Scope-OrgID: staging"]).await;
    assert_eq!((told.code, told.outcome("reading")), (Some(0), "ok"), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_takes_nothing_or_loses_all_is_told() {
    let server = Server::start(Behaviour::of(Contract::Jaeger)).await;
    let backend = format!("jaeger={}", server.base);
    let away = of_backend(&backend, &["--otlp", "http://127.0.0.1:9"]).await;
    assert_eq!((away.code, away.outcome("writing")), (Some(4), "unreachable"), "{}", away.text);
    let refusing = of_backend(&backend, &["--otlp", &server.base]).await;
    assert_eq!((refusing.code, refusing.outcome("writing")), (Some(1), "wrong"), "{}", refusing.text);

    let swallowing = axum::Router::new().fallback(|| async { axum::http::StatusCode::OK });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async { axum::serve(listener, swallowing).await.unwrap() });
    let swallowed = of_backend(&backend, &["--otlp", &otlp, "--wait", "600ms"]).await;
    assert_eq!((swallowed.code, swallowed.outcome("writing"), swallowed.outcome("reading back")), (Some(1), "ok", "wrong"));
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_its_log_and_its_process_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("mcp-hub.log");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // The hub has been up for a while, so its log says in which shape it writes.
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
    let told = doctor(arguments.map(str::to_owned).to_vec()).await;
    let outcomes = ["hub", "servers", "log file", "process"].map(|check| told.outcome(check));
    assert_eq!((told.code, outcomes), (Some(0), ["ok"; 4]), "{}", told.text);
    assert!(told.text.contains("pino"), "{}", told.text);
    serving.abort();

    let absent = doctor(["--hub", "http://127.0.0.1:9", "--log", "/nonexistent/log"].map(str::to_owned).to_vec()).await;
    let outcomes = ["hub", "log file", "process", "not visible"].map(|check| absent.outcome(check));
    assert_eq!((absent.code, outcomes), (Some(4), ["unreachable", "wrong", "note", "note"]), "{}", absent.text);

    let server = Server::start(Behaviour::of(Contract::Jaeger)).await;
    let other = doctor(vec!["--hub".to_owned(), server.base.clone()]).await;
    assert_eq!((other.code, other.outcome("hub")), (Some(1), "wrong"), "{}", other.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_has_and_the_backend_has_not_is_told() {
    let state = tempfile::tempdir().unwrap();
    let mut watch = hubwatch();
    watch.args(["run", "--hub", "http://127.0.0.1:9", "--name", "absent", "--for", "1s", "--state-dir"]).arg(state.path());
    assert!(watch.output().unwrap().status.success());
    let told = async |backend: String| {
        let state = state.path().to_str().unwrap().to_owned();
        doctor(["--state-dir", &state, "--backend", &backend].map(str::to_owned).to_vec()).await
    };
    let server = Server::start(Behaviour::of(Contract::Jaeger)).await;
    let lacking = told(format!("jaeger={}", server.base)).await;
    assert_eq!((lacking.code, lacking.outcome("retention")), (Some(1), "wrong"), "{}", lacking.text);

    let (hub, environment) = (HubName::parse("absent").unwrap(), Environment::parse("staging").unwrap());
    let watched = WatchedHub::new(hub, environment, Duration::from_secs(15), Vitals::default(), state.path().to_owned());
    let serving = Serving::start("127.0.0.1:0".parse::<Listen>().unwrap(), vec![watched]).await.unwrap();
    let having = told(format!("jaeger=http://{}", serving.address())).await;
    assert_eq!((having.code, having.outcome("retention")), (Some(0), "ok"), "{}", having.text);
    serving.end().await;
}
