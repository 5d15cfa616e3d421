//! The scenarios, on a checkout of the fork of the hub (`HUBWATCH_LIVE_FORK=DIR tests/live/run fork`), with both of its loggers. Stand-ins
//! of ours answer in Gemini's place and are its MCP servers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use hubwatch::watch::names;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};

use crate::hub::{free_port, instrumentation, modules};
use crate::played::{Played, assert_server_crash};
use crate::receiver::Receiver;
use crate::servers::{configuration, get};
use crate::sidecar::Sidecar;
use crate::wait::until;
use crate::{attribute, await_watches};

/// Its servers: three of the categories that it knows.
const SERVERS: [&str; 3] = ["filesystem", "github", "memory"];

/// How the fork writes its log.
#[derive(Debug, Clone, Copy)]
enum Logger {
    Pino,
    Legacy,
}

/// A running fork; killed when dropped.
struct Fork {
    process: Child,
    folder: tempfile::TempDir,
    url: String,
}

/// Where the checkout is; `None`, with a word, if there is none.
pub(crate) fn checkout() -> Option<PathBuf> {
    let folder = std::env::var_os("HUBWATCH_LIVE_FORK").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    if folder.is_none() {
        println!("LEFT OUT: the fork of the hub: HUBWATCH_LIVE_FORK names no checkout");
    }
    folder
}

impl Fork {
    /// Starts it with the instrumentation, which sends to this port.
    async fn start(checkout: &Path, logger: Logger, receiver: u16) -> Self {
        hubwatch::base::tls::choose_provider();
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let server = configuration("tests/live/fork/server.mjs");
        let server = |name: &str| (name.to_owned(), json!({"command": "node", "args": [&server, modules(), name]}));
        let filtering = json!({
            "enabled": true,
            "mode": "prompt-based",
            "promptBasedFiltering": {"enabled": true, "defaultExposure": "meta-only", "enableMetaTools": true, "sessionIsolation": true},
            "llmCategorization": {"enabled": true, "provider": "gemini", "apiKey": "stand-in", "model": "gemini-2.5-flash"},
        });
        let config =
            json!({"toolFiltering": filtering, "mcpServers": SERVERS.into_iter().map(server).collect::<serde_json::Map<_, _>>()});
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let output = std::fs::File::create(folder.path().join("hub.out")).unwrap();
        let process = Command::new("node")
            .args(["src/utils/cli.js", "--port", &port.to_string(), "--config"])
            .arg(folder.path().join("config.json"))
            .current_dir(checkout)
            .env("HOME", folder.path())
            .env("XDG_STATE_HOME", folder.path().join("state"))
            .env("ENABLE_PINO_LOGGER", if matches!(logger, Logger::Pino) { "true" } else { "false" })
            .envs(instrumentation(receiver))
            // The stand-in for Gemini first: the instrumentation sees what is asked of it.
            .env(
                "NODE_OPTIONS",
                ["tests/live/fork/gemini.mjs", "instrument/node/hubwatch.mjs"]
                    .map(|module| format!("--import {}", configuration(module).display()))
                    .join(" "),
            )
            .env("HUBWATCH_ALLOW_FAULTS", "1")
            .env("HUBWATCH_FAULT_FILE", folder.path().join("fault"))
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let fork = Self { process, folder, url: format!("http://127.0.0.1:{port}") };
        until("the fork is ready", async || {
            let health = fork.health().await?;
            (health["state"] == "ready" && fork.usable().await == SERVERS).then_some(())
        })
        .await;
        fork
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("state/mcp-hub/logs/mcp-hub.log")
    }

    async fn health(&self) -> Option<Value> {
        serde_json::from_str(&get(&format!("{}/api/health", self.url)).await?.1).ok()
    }

    /// The servers that work, by name.
    async fn usable(&self) -> Vec<String> {
        let Some((_, body)) = get(&format!("{}/api/servers", self.url)).await else { return Vec::new() };
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        let Some(servers) = answer["servers"].as_array() else { return Vec::new() };
        let works = |server: &&Value| server["status"] == "connected" && server["uptime"].as_f64() > Some(0.0);
        let mut names: Vec<String> =
            servers.iter().filter(works).map(|server| server["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    fn lives(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn assert_verdicts(played: &Played) {
    let all = [
        "meta_tool",
        "tools_usable",
        "session_isolation",
        "session_cleanup",
        "concurrent_sessions",
        "sse_lost",
        "high_load",
        "log_growth",
        "server_crash",
        "gemini_failure",
    ];
    assert_eq!((played.names(), played.code), (all.to_vec(), Some(1)));
    for holds in ["session_isolation", "session_cleanup", "concurrent_sessions", "meta_tool", "sse_lost", "high_load"] {
        played.assert_holds(holds);
    }
    played.assert("tools_usable", &[("pass", "1 5 after"), ("fail", "2 4"), ("not_verifiable", "3")]);
    played.assert_known("tools_usable", "2 4");
    played.assert("log_growth", &[("pass", "1 2 3 4 5 after"), ("not_verifiable", "6")]);
    // The fallback works, and nobody is told of it.
    played.assert("gemini_failure", &[("pass", "1 2 5 6 after"), ("fail", "3 4")]);
    played.assert_known("gemini_failure", "3 4");
    assert_server_crash(played);
}

/// What failed is an error in the spans, too, the hub's own included: its instrumentation continues the client's trace. (A probe that is
/// not exposed yet ends in another error, -32602.)
fn assert_spans(played: &Played, receiver: &Receiver) {
    let trace = played.scenario("tools_usable")["trace_id"].as_str().unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let failed = |kind: SpanKind| -> Vec<String> {
        receiver.read(|received| {
            let spans = received.spans.iter().filter(|span| hex(&span.trace_id) == trace && span.kind() == kind);
            let internal = any_value::Value::StringValue("-32603".to_owned());
            spans
                .filter(|span| attribute(&span.attributes, "error.type") == Some(&internal))
                .map(|span| span.name.clone())
                .collect()
        })
    };
    assert_eq!(failed(SpanKind::Client), ["tools/list", "tools/call filesystem__whoami"]);
    assert_eq!(failed(SpanKind::Server), ["tools/call filesystem__whoami"]);
}

/// The tokens of prompts and of answers, as facts of all Watches tell them.
fn tokens(receiver: &Receiver) -> [u64; 2] {
    receiver.read(|received| {
        let watches = received.spans.iter().filter(|span| span.name == names::WATCH_SPAN);
        let told: Vec<_> =
            watches.flat_map(|span| &span.events).filter(|event| event.name == "mcphub.llm.attempts_counted").collect();
        [names::LLM_INPUT_TOKENS, names::LLM_OUTPUT_TOKENS].map(|name| {
            let number = |event: &&opentelemetry_proto::tonic::trace::v1::span::Event| match attribute(&event.attributes, name) {
                Some(any_value::Value::IntValue(tokens)) => u64::try_from(*tokens).unwrap(),
                _ => 0,
            };
            told.iter().copied().map(|event| number(&event)).sum()
        })
    })
}

/// What only the instrumentation shows: which call is whose, although their lines don't say it; attempts and their tokens.
fn assert_instrumented(report: &Value, receiver: &Receiver) {
    let (calls, llm) = (&report["calls"], &report["llm"]);
    assert_eq!((calls["guessed"].as_u64(), calls["partial"].as_u64()), (Some(0), Some(0)), "{calls:#}");
    // The stand-in counts 10 tokens for each prompt and 5 for each answer. All calls were those of scenarios, which don't count.
    let (answered, [input, output]) = (llm["by_outcome"]["ok"].as_u64().unwrap(), tokens(receiver));
    assert!(answered > 30, "{llm:#}");
    assert_eq!((input, output, llm["planned"].as_u64()), (10 * answered, 5 * answered, llm["total"].as_u64()));
    // Nine attempts were answered with 429 by the instrumentation itself, in the window of that scenario.
    assert_eq!((llm["by_outcome"]["rate_limited"].as_u64(), llm["rate_limited"].as_u64()), (Some(9), Some(0)), "{llm:#}");
}

async fn play(logger: Logger) {
    let Some(checkout) = checkout() else { return };
    let port = free_port();
    let mut fork = Fork::start(&checkout, logger, port).await;
    let (receiver, otlp) = Receiver::grpc().await;
    let mut sidecar = Sidecar::receiving(&fork.url, &fork.log(), port, &otlp, "grpc");
    await_watches(&receiver, 3).await;
    let fault = fork.folder.path().join("fault");
    let (log, state) = (fork.log(), sidecar.state());
    let more = ["all", "--allow", "server-crash,gemini", "--otlp", &otlp, "--otlp-protocol", "grpc", "--fault-file"];
    let played = Played::run(&fork.url, &log, &state, &[&more[..], &[fault.to_str().unwrap()]].concat()).await;
    assert_verdicts(&played);
    assert_spans(&played, &receiver);
    assert!(fork.lives() && !fault.exists(), "{logger:?}");
    assert_eq!(fork.usable().await, SERVERS);
    assert_eq!(fork.health().await.unwrap()["mcpEndpoint"]["activeClients"], 0);

    await_watches(&receiver, 3).await;
    let harmful = Played::run(&fork.url, &log, &state, &["mid_call_leave", "--allow", "hub-stop"]).await;
    harmful.assert("mid_call_leave", &[("pass", "1 2"), ("fail", "3 after")]);
    harmful.assert_known("mid_call_leave", "3");
    assert_eq!(harmful.code, Some(1));
    until("the fork has stopped", async || (!fork.lives()).then_some(())).await;

    await_watches(&receiver, 3).await;
    println!("peak memory of the sidecar, {logger:?}: {} KiB", sidecar.peak_memory_kib());
    sidecar.stop();
    let (report, _) = sidecar.report();
    let told: Vec<&Value> = report["scenarios"].as_array().unwrap().iter().map(|told| &told["name"]).collect();
    assert_eq!(told.len(), played.names().len() + 1, "{told:?}");
    let verdict = |id: &str| report["criteria"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()["verdict"].clone();
    assert_instrumented(&report, &receiver);
    // So short a watch proves nothing, but it shows what fails.
    assert_ne!(verdict("integration.session_isolation"), "fail");
    assert_eq!((verdict("integration.tools_synchronised"), verdict("degradation.gemini_fallback")), ("fail".into(), "fail".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scenarios_of_the_fork_hold_or_fail_for_what_is_known_with_pino() {
    play(Logger::Pino).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scenarios_of_the_fork_hold_or_fail_for_what_is_known_with_its_legacy_logger() {
    play(Logger::Legacy).await;
}
