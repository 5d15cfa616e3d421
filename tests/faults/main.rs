//! The program is killed again and again while lines, polls and calls flow and its receivers misbehave. In the end each receiver has
//! each line once, and what the Watches counted is what was written.
//!
//! `HUBWATCH_KILLS` sets how often it is killed, `HUBWATCH_SEED` the moments; a failure prints the seed.

mod receiver;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::routing::get;
use hubwatch::watch::{Timestamp, names};
use receiver::{MOODS, Mood, Receiver, integer, text};
use serde_json::json;
use tokio::net::TcpListener;

/// How often it is killed unless told otherwise: more take longer than a test should.
const KILLS: u64 = 20;

/// How long the last run may take to deliver everything.
const LAST_RUN: Duration = Duration::from_secs(120);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A hub that answers polls.
async fn hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let health = async || Json(json!({"status": "ok", "state": "ready", "activeClients": 0}));
    let servers = async || Json(json!({"servers": []}));
    let routes = axum::Router::new().route("/api/health", get(health)).route("/api/servers", get(servers));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// What was written so far.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    lines: u64,
    calls: u64,
}

/// Writes numbered lines, with a meta-tool call now and then, until told to stop.
async fn write(mut log: File, written: Arc<Mutex<Written>>, stop: Arc<AtomicBool>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed ^ 1);
    let line = |log: &mut File, level: &str, msg: &str| {
        let mut written = written.lock().unwrap();
        let (seq, time) = (written.lines, Timestamp::now());
        writeln!(log, r#"{{"level":"{level}","time":"{time}","pid":7,"hostname":"h","seq":{seq},"msg":"{msg}"}}"#).unwrap();
        written.lines += 1;
    };
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..random.u32(0..60) {
            line(&mut log, "info", "Sent a batch of events to the subscribers");
        }
        if random.u8(0..4) == 0 {
            for step in ["1: handleAnalyzePrompt entry", "2: Calling analyzePromptWithFallback", "3: LLM analysis complete"] {
                line(&mut log, "debug", &format!("CHECKPOINT {step}"));
            }
            tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await;
            line(&mut log, "debug", "CHECKPOINT 6: Returning success response");
            written.lock().unwrap().calls += 1;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(1..10))).await;
    }
}

fn run(folder: &Path, hub: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    command.args(["run", "--hub", hub, "--interval", "200ms", "--drain", "20s", "--event-stream", "never", "--log"]);
    command.arg(folder.join("mcp-hub.log")).arg("--state-dir").arg(folder.join("state"));
    command.env_clear().env("HUBWATCH_CONFIG", folder.join("hubwatch.toml"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::options().append(true).create(true).open(folder.join("stderr")).unwrap());
    command.spawn().unwrap()
}

async fn ended(child: &mut Child) -> std::process::ExitStatus {
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Whether a receiver has every line, and every call that ended.
fn has_all(receiver: &Receiver, written: Written) -> bool {
    receiver
        .read(|taken| taken.lines.len() as u64 >= written.lines && counted(taken) >= written.lines && calls(taken) >= written.calls)
}

/// The lines that the Watches counted.
fn counted(taken: &receiver::Taken) -> u64 {
    let watches = taken.spans.values().filter(|span| span.name == names::WATCH_SPAN);
    watches.filter_map(|span| integer(&span.attributes, names::LOG_LINES)).sum::<i64>().cast_unsigned()
}

/// Calls that have a span.
fn calls(taken: &receiver::Taken) -> u64 {
    let is_call = |span: &&opentelemetry_proto::tonic::trace::v1::Span| text(&span.attributes, names::MCP_METHOD_NAME).is_some();
    let traces: BTreeSet<_> = taken.spans.values().filter(is_call).map(|span| &span.trace_id).collect();
    traces.len() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_beside_receivers_that_misbehave_it_loses_nothing_and_doubles_nothing() {
    let (kills, seed) = (setting("HUBWATCH_KILLS", KILLS), setting("HUBWATCH_SEED", 42));
    println!("{kills} kills, HUBWATCH_SEED={seed}");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let hub = hub().await;
    let (http, http_address) = Receiver::http().await;
    let (grpc, grpc_address) = Receiver::grpc().await;
    let config = format!(
        "[otlp]\nendpoint = '{http_address}'\nprotocol = 'http/protobuf'\ncompression = 'none'\n
         [[destination]]\nname = 'second'\nendpoint = '{grpc_address}'\nprotocol = 'grpc'\nsignals = ['logs', 'traces']\n"
    );
    std::fs::write(folder.path().join("hubwatch.toml"), config).unwrap();
    let log = File::options().append(true).create(true).open(folder.path().join("mcp-hub.log")).unwrap();
    let (written, stop) = (Arc::new(Mutex::new(Written::default())), Arc::new(AtomicBool::new(false)));
    // The first run begins before the first line: what a log holds at first may be of an earlier process of the hub.
    let mut child = run(folder.path(), &hub);
    let begun = async {
        while !http.read(|taken| !taken.spans.is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(LAST_RUN, begun).await.is_ok(), "{}", stderr(folder.path()));
    let writer = tokio::spawn(write(log, written.clone(), stop.clone(), seed));
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..kills {
        for receiver in [&http, &grpc] {
            receiver.behave(MOODS[random.usize(..MOODS.len())]);
        }
        tokio::time::sleep(Duration::from_millis(random.u64(30..900))).await;
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself: {}", stderr(folder.path()));
        child.kill().unwrap();
        child.wait().unwrap();
        child = run(folder.path(), &hub);
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let written = *written.lock().unwrap();
    for receiver in [&http, &grpc] {
        receiver.behave(Mood::Fine);
    }
    let all = async {
        while ![&http, &grpc].into_iter().all(|receiver| has_all(receiver, written)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let complete = tokio::time::timeout(LAST_RUN, all).await.is_ok();
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(ended(&mut child).await.success(), "{}", stderr(folder.path()));
    for (name, receiver) in [("http", &http), ("grpc", &grpc)] {
        receiver.read(|taken| {
            let numbers: BTreeSet<u64> = taken.lines.values().flatten().copied().collect();
            let lost = written.lines - numbers.len() as u64;
            let doubled = taken.lines.len() - numbers.len();
            println!(
                "{name}: {} lines, {lost} lost, {doubled} doubled, {} sent again; the Watches counted {}; {} of {} calls",
                written.lines,
                taken.again,
                counted(taken),
                calls(taken),
                written.calls
            );
            assert!(taken.lines.values().all(|numbers| numbers.len() == 1), "{name}: one identity for two lines");
            assert_eq!((lost, doubled), (0, 0), "{name}, seed {seed}");
            assert_eq!(counted(taken), written.lines, "{name}, seed {seed}: each line is counted in one Watch");
            assert_eq!(calls(taken), written.calls, "{name}, seed {seed}");
        });
    }
    assert!(complete, "not everything was delivered in {LAST_RUN:?}: {}", stderr(folder.path()));
}

fn stderr(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    let tail = text.char_indices().rev().nth(3_000).map_or(0, |(at, _)| at);
    text[tail..].to_owned()
}
