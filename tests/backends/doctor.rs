//! What `hubwatch doctor` says of a backend, and of a watch's sources.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwatch::config::listen::Listen;
use hubwatch::live::vitals::Vitals;
use hubwatch::serve::{Server as Serving, WatchedHub};
use hubwatch::simulator::{FileSink, LiveSimulation, LogSink as _, Profile, Simulation, Step, serve};
use hubwatch::watch::{Environment, HubName, Micros, Timestamp};
use serde_json::Value;

use crate::rehearsal::{FROM, TO, hubwatch};
use crate::server::{Behaviour, Contract, Fault, Server};
use crate::way::Way;

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

    fn has(&self, check: &str) -> bool {
        self.findings.iter().any(|finding| finding["check"] == check)
    }

    /// What was seen there.
    fn seen(&self, check: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {}", self.text))["seen"].as_str().unwrap()
    }
}

async fn doctor(arguments: Vec<String>) -> Told {
    doctor_with(&[], &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

async fn doctor_with(variables: &[(&str, &str)], arguments: &[&str]) -> Told {
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

    // It reads what it is sent: a connection that ends within a request would be another trouble.
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
    let outcomes = ["retention", "watches", "probes"].map(|check| having.outcome(check));
    assert_eq!((having.code, outcomes), (Some(0), ["ok", "ok", "note"]), "{}", having.text);
    assert!(having.seen("probes").contains("a hubwatch that serves its journal"), "{}", having.text);
    serving.end().await;
}

/// With the probes that were asked for.
async fn probed(way: Way) -> Told {
    probed_within("1s", way).await
}

/// Where all come back, it is over as soon as they have, however long it may take.
async fn probed_within(wait: &str, way: Way) -> Told {
    let laid = way.lay().await;
    of_backend(&format!("jaeger={}", laid.base), &["--otlp", &laid.base, "--wait", wait]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_traces_on_their_way_is_said_in_words() {
    let well = probed_within("30s", Way::default()).await;
    let checks = ["reading", "clock", "writing", "sampling", "delay", "content", "size", "late data"];
    assert_eq!((well.code, checks.map(|check| well.outcome(check))), (Some(0), ["ok"; 8]), "{}", well.text);

    let (day, none) = (Duration::from_secs(24 * 3600), Way::default());
    let losses = [
        (Way { samples: Some(2), ..none }, "sampling", "10 of 20 small probes came back within 1 s"),
        (Way { retention: Some(day), ..none }, "late data", "a trace of 48 hours ago did not come back"),
        (Way { longest_text: Some(256), ..none }, "content", "a text of 1024 bytes came back with 256"),
        (Way { most_spans: Some(20), ..none }, "size", "20 of 60 spans came back"),
        (Way { largest_request: Some(1_000_000), ..none }, "writing", "takes no request of 2 MB"),
    ];
    for (way, check, said) in losses {
        let told = probed(way).await;
        assert_eq!((told.code, told.outcome(check)), (Some(1), "wrong"), "{way:?}: {}", told.text);
        assert!(told.seen(check).contains(said), "{way:?}: {}", told.text);
        let others = ["sampling", "content"].into_iter().filter(|other| *other != check);
        assert!(others.clone().all(|other| told.outcome(other) == "ok"), "one lack is no other: {}", told.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_by_how_much_and_a_delay_how_long_it_was() {
    for (clock, word) in [(300, "ahead of"), (-600, "behind")] {
        let told = probed_within("30s", Way { clock, ..Way::default() }).await;
        assert_eq!((told.code, told.outcome("clock")), (Some(0), "note"), "{}", told.text);
        let off = |second: i64| format!("the backend's clock is {} s {word} ours", clock.abs() + second);
        assert!((-1..=1).any(|second| told.seen("clock") == off(second)), "{}", told.text);
    }
    let late = probed_within("30s", Way { delay: Duration::from_millis(700), ..Way::default() }).await;
    let seconds: f64 = late.seen("delay").split_whitespace().nth_back(1).unwrap().parse().unwrap();
    assert!(late.code == Some(0) && (0.5..30.0).contains(&seconds), "{}", late.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_back_is_a_finding_and_the_rest_is_looked_at() {
    let too_large = probed(Way { most_read: Some(20), ..Way::default() }).await;
    assert_eq!((too_large.code, too_large.outcome("reading back"), too_large.outcome("size")), (Some(4), "unreachable", "wrong"));
    assert!(too_large.seen("size").contains("HTTP 500: trace is too large"), "{}", too_large.text);
    let others = ["sampling", "content", "late data"].map(|check| too_large.outcome(check));
    assert_eq!(others, ["ok"; 3], "{}", too_large.text);

    let dying = probed(Way { dies_after: Some(7), ..Way::default() }).await;
    assert_eq!((dying.code, dying.outcome("reading back"), dying.outcome("sampling")), (Some(4), "unreachable", "ok"));
    assert!(dying.seen("reading back").starts_with("15 of 22 probes could not be read"), "{}", dying.text);
    assert!(!dying.has("late data"), "what could not be asked for is not said to be lost: {}", dying.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_anywhere_unless_that_was_asked_for() {
    let laid = Way::default().lay().await;
    let backend = format!("jaeger={}", laid.base);
    let told =
        doctor_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &laid.base)], &["--state-dir", "/nonexistent", "--backend", &backend]).await;
    assert_eq!((told.code, told.outcome("probes"), laid.written()), (Some(0), "note", 0), "{}", told.text);
    assert!(told.text.contains("nobody asked for it") && told.text.contains(&format!("--otlp {}", laid.base)), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_looked_at_as_far_as_an_archive_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("staging.jsonl");
    assert_eq!(crate::export_embedded(&archive, &[]).0, Some(0));
    let laid = Way::default().lay().await;
    let told = async |archive: &Path, name: &str| {
        let period = ["--name", name, "--from", FROM, "--to", TO, "--otlp", &laid.base];
        of_backend(&format!("file={}", archive.display()), &period).await
    };
    let whole = told(&archive, "demo-hub").await;
    let outcomes = ["reading", "probes", "watches"].map(|check| whole.outcome(check));
    assert_eq!((whole.code, outcomes, laid.written()), (Some(0), ["ok", "note", "ok"], 0), "{}", whole.text);
    assert!(whole.seen("probes").contains("a file gives back what it holds"), "{}", whole.text);
    assert!(whole.seen("watches").contains("from 2026-11-01T00:00:00.000Z to 2026-11-01T01:15:00.000Z"), "{}", whole.text);

    let other = told(&archive, "other-hub").await;
    assert_eq!((other.code, other.outcome("watches")), (Some(1), "wrong"), "{}", other.text);

    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let cut = told(&archive, "demo-hub").await;
    assert_eq!((cut.code, cut.outcome("watches")), (Some(1), "ok"), "{}", cut.text);
    assert!(cut.text.contains("is cut in line"), "{}", cut.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_hub_everything_else_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("mcp-hub.log");
    std::fs::write(&log, "{\"level\":30,\"time\":1795000000000,\"msg\":\"hub is ready\"}\n").unwrap();
    let told = doctor(["--log", log.to_str().unwrap()].map(str::to_owned).to_vec()).await;
    let outcomes = ["hub", "log file", "process", "not visible"].map(|check| told.outcome(check));
    assert_eq!((told.code, outcomes), (Some(4), ["unreachable", "ok", "note", "note"]), "{}", told.text);
    assert!(told.seen("hub").contains("no hub was named and none is listed"), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hub_of_the_configuration_is_looked_at_unless_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (config, log) = (folder.path().join("hubwatch.toml"), folder.path().join("b.log"));
    std::fs::write(&log, "a line\n").unwrap();
    let hubs = "[[hub]]\nname = 'a'\nurl = 'http://127.0.0.1:9'\n[[hub]]\nname = 'b'\nurl = 'http://user:s3cret@127.0.0.1:9'\n";
    std::fs::write(&config, format!("{hubs}log = '{}'\n", log.display())).unwrap();
    let config = config.to_str().unwrap();
    let all = doctor_with(&[], &["--config", config]).await;
    let seen = |told: &Told, check: &str| {
        let of = told.findings.iter().filter(|finding| finding["check"] == check);
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
