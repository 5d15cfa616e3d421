//! The simulated hub compared with the recordings of real ones: the same session must give the same lines and bodies.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use hubwatch::simulator::{
    ApiAnswer, CallOutcome, Flavor, Gemini, Happening, LiveSimulation, Logger, Profile, Script, ServerPlan, Simulation, Step,
    StopCause, UpCause, serve,
};
use hubwatch::watch::{Micros, Timestamp};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn recording(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(path)
}

fn recorded_lines(path: &str) -> Vec<String> {
    let file = std::fs::File::open(recording(path)).unwrap();
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn recorded_json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(recording(path)).unwrap()).unwrap()
}

/// The beginning of each simulated session. The first line comes about 0.35 s later.
fn start() -> Timestamp {
    Timestamp::parse("2026-11-23T03:40:37.752Z").unwrap()
}

fn at(millis: u64) -> Timestamp {
    start().plus(Micros::new(millis * 1_000))
}

fn answers(millis: u64, category: &str) -> Gemini {
    Gemini::Answers { after: Micros::new(millis * 1_000), categories: vec![category.into()] }
}

fn connect(name: &str) -> Step {
    Step::ConnectClient { name: name.into() }
}

fn disconnect(name: &str) -> Step {
    Step::DisconnectClient { name: name.into() }
}

fn analyze(client: &str, gemini: Gemini) -> Step {
    Step::Analyze { client: client.into(), gemini }
}

fn filesystem(step: impl Fn(String) -> Step) -> Step {
    step("filesystem".into())
}

/// The three concurrent calls of a fork's recording: client, start, Gemini's time, category, in entry order; then when each client
/// left.
struct Trio {
    calls: [(&'static str, u64, u64, &'static str); 3],
    leaves: [(&'static str, u64); 3],
    /// The gaps between the five subscribers, which decide which changes of the workspace file are reported.
    gaps: [u64; 4],
}

const PINO: Trio = Trio {
    calls: [("probe-2", 7_282, 602, "meta"), ("probe-0", 7_319, 601, "github"), ("probe-1", 7_349, 1_202, "filesystem")],
    leaves: [("probe-2", 8_221), ("probe-1", 8_566), ("probe-0", 8_877)],
    gaps: [131, 107, 101, 99],
};

const LEGACY: Trio = Trio {
    calls: [("probe-2", 7_282, 607, "meta"), ("probe-0", 7_329, 666, "github"), ("probe-1", 7_339, 464, "filesystem")],
    leaves: [("probe-1", 8_139), ("probe-2", 8_419), ("probe-0", 8_879)],
    gaps: [104, 95, 102, 100],
};

/// The recorded session of both forks.
fn fork_session(trio: &Trio) -> Vec<(u64, Step)> {
    let mut steps = vec![(0, Step::StartHub), (6_454, Step::Subscribe)];
    for (index, name) in ["probe-0", "probe-1", "probe-2"].into_iter().enumerate() {
        steps.push((6_994 + 9 * index as u64, connect(name)));
    }
    steps.extend(trio.calls.iter().map(|(name, at, takes, category)| (*at, analyze(name, answers(*takes, category)))));
    steps.extend(trio.leaves.iter().map(|(name, at)| (*at, disconnect(name))));
    steps.extend([
        (9_988, connect("probe-0")),
        (10_190, analyze("probe-0", Gemini::RateLimited)),
        (30_000, disconnect("probe-0")),
        (31_000, filesystem(|name| Step::KillServer { name })),
        (33_700, filesystem(|name| Step::StartServer { name })),
        (33_750, filesystem(|name| Step::StopServer { name })),
        (33_800, filesystem(|name| Step::StartServer { name })),
    ]);
    let mut subscription = 35_000;
    steps.push((subscription, Step::Subscribe));
    for gap in trio.gaps {
        subscription += gap;
        steps.push((subscription, Step::Subscribe));
    }
    steps.extend((0..5).map(|index| (38_500 + 10 * index, Step::Unsubscribe)));
    steps.extend([(41_100, connect("probe-0")), (41_300, analyze("probe-0", Gemini::KeyInvalid))]);
    steps
}

/// The recorded session of the npm hub.
fn npm_session() -> Vec<(u64, Step)> {
    vec![
        (0, Step::StartHub),
        (6_000, Step::Subscribe),
        (7_400, connect("probe")),
        (7_650, disconnect("probe")),
        (8_500, filesystem(|name| Step::KillServer { name })),
        (10_900, filesystem(|name| Step::StartServer { name })),
        (25_000, Step::StopHub),
    ]
}

struct Played {
    simulation: Simulation,
    file: Vec<String>,
    stdout: Vec<String>,
}

fn play(profile: Profile, steps: &[(u64, Step)], until: u64) -> Played {
    let logger = profile.logger;
    let mut simulation = Simulation::new(profile, start());
    for (millis, step) in steps {
        simulation.schedule(at(*millis), step.clone());
    }
    let mut log = Vec::new();
    let mut stdout = Vec::new();
    simulation.advance_watched(at(until), &mut log, &mut |entry| stdout.push(entry.stdout_line(logger))).unwrap();
    let file = String::from_utf8(log).unwrap().lines().map(str::to_owned).collect();
    Played { simulation, file, stdout }
}

/// Masks ids and numbers, which are not compared.
fn masked(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = after_uuid(rest) {
            out.push_str("<id>");
            rest = after;
        } else if next.is_ascii_digit() {
            out.push('#');
            rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

fn after_uuid(text: &str) -> Option<&str> {
    let (id, rest) = text.split_at_checked(36)?;
    let is_uuid = id.char_indices().all(|(index, symbol)| match index {
        8 | 13 | 18 | 23 => symbol == '-',
        _ => symbol.is_ascii_hexdigit(),
    });
    is_uuid.then_some(rest)
}

/// Returns masked lines, in order, with each storm as one line, because its length is random.
fn normalised<'a>(lines: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in lines {
        let of_a_storm = line.contains("client disconnected from MCP HUB") || line.contains("Error closing server connected to");
        let line = if of_a_storm { "<storm>".to_owned() } else { masked(line) };
        if !(of_a_storm && out.last() == Some(&line)) {
            out.push(line);
        }
    }
    out
}

fn assert_same_lines(simulated: &[String], recorded: &[String]) {
    let (simulated, recorded) = (normalised(simulated), normalised(recorded));
    for (index, (ours, theirs)) in simulated.iter().zip(&recorded).enumerate() {
        assert_eq!(ours, theirs, "line {index}, after {:#?}", &recorded[index.saturating_sub(3)..index]);
    }
    assert_eq!(simulated.len(), recorded.len());
}

#[test]
fn the_pino_log_is_the_recorded_one() {
    let played = play(Profile::fork_pino(), &fork_session(&PINO), 60_000);
    assert_same_lines(&played.file, &recorded_lines("fork-pino/mcp-hub.log.gz"));
}

#[test]
fn the_legacy_log_is_the_recorded_one() {
    let played = play(Profile::fork_legacy(), &fork_session(&LEGACY), 60_000);
    assert_same_lines(&played.file, &recorded_lines("fork-legacy/mcp-hub.log.gz"));
}

#[test]
fn the_legacy_stdout_is_the_recorded_one() {
    let played = play(Profile::fork_legacy(), &fork_session(&LEGACY), 60_000);
    let recorded = recorded_lines("fork-legacy/stdout.log.gz").into_iter();
    // Stack traces come from Node, and the first line comes before the simulated logger starts.
    let entries = recorded.filter(|line| line.starts_with('{') && !line.contains("Using legacy logger"));
    assert_same_lines(&played.stdout, &entries.collect::<Vec<_>>());
}

#[test]
fn the_npm_logs_are_the_recorded_ones() {
    let played = play(Profile::npm(), &npm_session(), 40_000);
    assert_same_lines(&played.file, &recorded_lines("npm-4.2.1/mcp-hub.log.gz"));
    let recorded = recorded_lines("npm-4.2.1/stdout.log.gz");
    let entries: Vec<String> = recorded.into_iter().filter(|line| line.starts_with('{')).collect();
    assert_same_lines(&played.stdout, &entries);
}

/// Returns the paths and types of a JSON document; items of an array count as one.
fn shape(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, out: &mut BTreeSet<String>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        out.insert(format!("{path}: {kind}"));
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), out)),
            Value::Object(members) => members.iter().for_each(|(key, member)| walk(member, &format!("{path}.{key}"), out)),
            _ => {}
        }
    }
    let mut out = BTreeSet::new();
    walk(value, "", &mut out);
    out
}

fn body(answer: ApiAnswer) -> Value {
    match answer {
        ApiAnswer::Json { body, .. } => serde_json::from_slice(&body).unwrap(),
        ApiAnswer::Refused => panic!("the hub refused"),
    }
}

#[test]
fn the_bodies_have_the_recorded_shape() {
    let forks = [(Profile::fork_pino(), &PINO, "fork-pino"), (Profile::fork_legacy(), &LEGACY, "fork-legacy")];
    for (profile, trio, name) in forks {
        let played = play(profile.clone(), &fork_session(trio), 9_900).simulation;
        assert_eq!(shape(&body(played.health())), shape(&recorded_json(&format!("{name}/health.json"))));
        assert_eq!(shape(&body(played.servers())), shape(&recorded_json(&format!("{name}/servers.json"))));
        assert_eq!(shape(&body(played.filtering_stats())), shape(&recorded_json(&format!("{name}/filtering-stats.json"))));
        let crowded = body(play(profile, &fork_session(trio), 36_000).simulation.health());
        let recorded = recorded_json(&format!("{name}/health-5-sse.json"));
        assert_eq!(shape(&crowded), shape(&recorded));
        assert_eq!(crowded["activeClients"], recorded["activeClients"]);
    }
    let npm = play(Profile::npm(), &npm_session(), 8_400).simulation;
    assert_eq!(shape(&body(npm.health())), shape(&recorded_json("npm-4.2.1/health.json")));
    assert_eq!(npm.filtering_stats(), ApiAnswer::Refused);
}

/// Returns a body without everything that depends on the time.
fn timeless(mut servers: Value) -> Value {
    servers["timestamp"] = Value::Null;
    for server in servers["servers"].as_array_mut().unwrap() {
        if !server["lastStarted"].is_null() {
            server["lastStarted"] = Value::from("then");
        }
    }
    servers
}

#[test]
fn a_crashed_server_is_reported_as_recorded_and_start_alone_changes_nothing() {
    let steps = npm_session();
    let crashed = play(Profile::npm(), &steps, 10_000).simulation;
    assert_eq!(timeless(body(crashed.servers())), timeless(recorded_json("npm-4.2.1/servers-after-crash.json")));
    let started = play(Profile::npm(), &steps, 13_000).simulation;
    assert_eq!(timeless(body(started.servers())), timeless(recorded_json("npm-4.2.1/servers-recovered.json")));
    assert_eq!(started.process().unwrap().children, []);
}

#[test]
fn a_stopped_server_restarts_as_recorded() {
    let session = fork_session(&PINO);
    let recovered = play(Profile::fork_pino(), &session, 36_000).simulation;
    let (mut ours, mut theirs) = (body(recovered.servers()), recorded_json("fork-pino/servers-recovered.json"));
    for servers in [&mut ours, &mut theirs] {
        servers["servers"][0]["uptime"] = Value::Null;
    }
    assert_eq!(timeless(ours), timeless(theirs));
    let later = play(Profile::fork_pino(), &session, 38_000).simulation;
    assert_eq!(body(later.servers())["servers"][0]["uptime"], 3);
    assert_eq!(recovered.process().unwrap().children.len(), 1);
}

#[test]
fn the_endpoint_is_absent_until_all_servers_have_started_or_failed() {
    let early = body(play(Profile::fork_pino(), &fork_session(&PINO), 700).simulation.health());
    assert_eq!((early["state"].as_str(), early.get("mcpEndpoint")), (Some("starting"), None));
    let booting = play(Profile::fork_pino(), &fork_session(&PINO), 200).simulation;
    assert_eq!(booting.health(), ApiAnswer::Refused);
}

#[test]
fn the_truth_has_all_events_in_time_order() {
    let played = play(Profile::fork_pino(), &fork_session(&PINO), 60_000).simulation;
    let truth = played.truth();
    assert!(truth.is_sorted_by_key(|each| each.at));
    let outcomes: Vec<_> = truth
        .iter()
        .filter_map(|each| match &each.what {
            Happening::CallEnded { outcome, .. } => Some(*outcome),
            _ => None,
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            CallOutcome::Answered { notified: false },
            CallOutcome::Answered { notified: true },
            CallOutcome::Answered { notified: true },
            CallOutcome::FellBack { notified: true },
            CallOutcome::KeyInvalid,
        ]
    );
    assert_eq!(truth.last().unwrap().what, Happening::HubStopped { cause: StopCause::OwnError });
    assert_eq!(played.process(), None);
}

#[test]
fn storms_have_the_length_in_the_truth_and_in_the_recordings() {
    let played = play(Profile::npm(), &npm_session(), 20_000);
    let lengths: Vec<u32> = played
        .simulation
        .truth()
        .iter()
        .filter_map(|each| match &each.what {
            Happening::ClientDisconnected { lines, .. } => Some(*lines),
            _ => None,
        })
        .collect();
    let written = played.file.iter().filter(|line| line.as_str() == "'probe' client disconnected from MCP HUB").count();
    assert_eq!(lengths, [u32::try_from(written).unwrap()]);
    assert!((1_963..=3_696).contains(&lengths[0]), "{lengths:?}");
}

#[test]
fn lines_never_go_back_in_time() {
    let played = play(Profile::fork_pino(), &fork_session(&PINO), 60_000);
    let times: Vec<Timestamp> = played.file.iter().map(|line| time_of(line)).collect();
    assert!(times.is_sorted());
}

fn time_of(line: &str) -> Timestamp {
    let value: Value = serde_json::from_str(line).unwrap();
    Timestamp::parse(value["time"].as_str().unwrap()).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let session = fork_session(&PINO);
    let first = play(Profile::fork_pino(), &session, 60_000).file;
    assert_eq!(first, play(Profile::fork_pino(), &session, 60_000).file);
    let other = Profile { seed: 2, ..Profile::fork_pino() };
    assert_ne!(first, play(other, &session, 60_000).file);
}

#[test]
fn a_kill_leaves_no_line_and_a_start_appends_with_pino_but_truncates_with_legacy() {
    let steps = [(0, Step::StartHub), (5_000, Step::KillHub), (6_000, Step::StartHub)];
    for (profile, first_lines) in [(Profile::fork_pino(), 2), (Profile::fork_legacy(), 1)] {
        let played = play(profile, &steps, 10_000);
        let starts = played.file.iter().filter(|line| line.contains("Starting HTTP server on port")).count();
        assert_eq!(starts, first_lines);
        assert!(!played.file.iter().any(|line| line.contains("SIGTERM")));
        let killed = Happening::HubStopped { cause: StopCause::Killed };
        assert!(played.simulation.truth().iter().any(|each| each.what == killed));
    }
}

#[test]
fn a_client_that_leaves_during_its_call_stops_the_fork() {
    let steps = [
        (0, Step::StartHub),
        (2_000, connect("editor")),
        (3_000, analyze("editor", answers(2_000, "github"))),
        (3_500, disconnect("editor")),
    ];
    let played = play(Profile::fork_legacy(), &steps, 10_000);
    assert!(played.file.iter().any(|line| line == "CHECKPOINT 7: Error in analyze_prompt meta-tool"));
    assert_eq!(played.simulation.health(), ApiAnswer::Refused);
}

/// Runs a script to its end, with a poll of the API every half minute like a watcher.
fn rehearse(hours: u64) -> (Simulation, usize, u64) {
    let length = Micros::new(hours * 3_600_000_000);
    let mut simulation = Simulation::new(Profile::fork_pino(), start());
    for (at, step) in Script::rehearsal(start(), length, 7) {
        simulation.schedule(at, step);
    }
    let mut bytes = 0;
    let mut peak = 0;
    let mut refused = 0;
    for poll in 1..=hours * 120 {
        let mut log = Vec::new();
        simulation.advance(start().plus(Micros::new(poll * 30_000_000)), &mut log).unwrap();
        bytes += log.len();
        peak = peak.max(simulation.process().map_or(0, |process| process.rss_bytes));
        for answer in [simulation.health(), simulation.servers()] {
            match answer {
                ApiAnswer::Json { body, .. } => assert!(body.len() > 10_000, "poll {poll}"),
                ApiAnswer::Refused => refused += 1,
            }
        }
    }
    // The restart takes eight seconds: it can hide one poll, and so two answers.
    assert!(refused <= 2, "{refused}");
    (simulation, bytes, peak)
}

#[test]
fn two_days_have_the_documented_events() {
    let (simulation, bytes, peak) = rehearse(48);
    let count = |wanted: fn(&Happening) -> bool| simulation.truth().iter().filter(|each| wanted(&each.what)).count();
    let calls = count(|what| matches!(what, Happening::CallEnded { .. }));
    assert!((400..1_600).contains(&calls), "{calls}");
    assert_eq!(count(|what| matches!(what, Happening::CallEnded { outcome: CallOutcome::FellBack { .. }, .. })), 3);
    assert_eq!(count(|what| matches!(what, Happening::RateLimited { .. })), 9);
    assert_eq!(count(|what| matches!(what, Happening::HubStarted { .. })), 2);
    let unhappy = [CallOutcome::HubGone, CallOutcome::SessionGone, CallOutcome::KeyInvalid];
    let lost = |what: &Happening| matches!(what, Happening::CallEnded { outcome, .. } if unhappy.contains(outcome));
    assert_eq!(simulation.truth().iter().filter(|each| lost(&each.what)).count(), 0);
    let crashes = count(|what| matches!(what, Happening::ServerDown { cause: hubwatch::simulator::DownCause::Crashed, .. }));
    assert_eq!(crashes, 1);
    let connected = count(|what| matches!(what, Happening::ClientConnected { .. }));
    assert!((15..40).contains(&connected), "{connected}");
    assert!(bytes > 1_000_000, "{bytes}");
    assert!((90_000_000..140_000_000).contains(&peak), "{peak}");
}

#[test]
fn an_idle_hub_uses_a_third_of_a_percent_of_a_core() {
    let mut simulation = Simulation::new(Profile::npm(), start());
    simulation.schedule(start(), Step::StartHub);
    let mut cpu = Vec::new();
    for millis in [10_000, 1_010_000] {
        simulation.advance(at(millis), &mut Vec::new()).unwrap();
        cpu.push(simulation.process().unwrap().cpu_time.get());
    }
    let permille_of_a_core = (cpu[1] - cpu[0]) / 1_000_000;
    assert_eq!(permille_of_a_core, 3);
    // Not exact to the microsecond because of noise.
    assert_ne!((cpu[1] - cpu[0]) % 1_000, 0);
}

#[test]
fn the_demo_has_its_documented_events_and_ends_with_a_stopped_hub() {
    let mut simulation = Simulation::new(Profile::fork_pino(), start());
    for (at, step) in Script::demo(start()) {
        simulation.schedule(at, step);
    }
    simulation.advance(at(42_000), &mut Vec::new()).unwrap();
    let truth = simulation.truth();
    assert_eq!(truth.last().unwrap().what, Happening::HubStopped { cause: StopCause::Asked });
    let ended = truth.iter().filter(|each| matches!(each.what, Happening::CallEnded { .. })).count();
    assert_eq!(ended, 6);
    assert!(
        truth
            .iter()
            .any(|each| each.what == Happening::ServerUp { name: "filesystem".into(), cause: UpCause::Asked }
                && each.at > at(26_000))
    );
}

/// Starts a live hub on its own port.
async fn live_hub(profile: Profile) -> (Arc<Mutex<LiveSimulation>>, std::net::SocketAddr) {
    let mut simulation = Simulation::new(profile, start());
    simulation.schedule(start(), Step::StartHub);
    simulation.advance(at(5_000), &mut Vec::new()).unwrap();
    let live = Arc::new(Mutex::new(LiveSimulation::new(simulation, Box::new(Vec::new()))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(Arc::clone(&live), listener, std::future::pending()));
    (live, address)
}

async fn send(address: std::net::SocketAddr, method: &str, path: &str, body: &Value) -> TcpStream {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream
}

async fn ask(address: std::net::SocketAddr, method: &str, path: &str, body: Value) -> String {
    let mut text = String::new();
    send(address, method, path, &body).await.read_to_string(&mut text).await.unwrap();
    text
}

/// Reads a stream until `wanted` has come; `seen` has everything so far.
async fn read_until(stream: &mut TcpStream, seen: &mut String, wanted: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(wanted) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the stream ended without {wanted}: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test]
async fn a_live_hub_answers_a_call_over_mcp() {
    let (live, address) = live_hub(Profile::fork_pino()).await;
    let (mut stream, mut seen) = (send(address, "GET", "/mcp", &Value::Null).await, String::new());
    read_until(&mut stream, &mut seen, "\n\n\r\n").await;
    let path = seen.split("data: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let messages = [
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"clientInfo": {"name": "probe"}}}),
        serde_json::json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        serde_json::json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params":
            {"name": "hub__analyze_prompt", "arguments": {"prompt": "Check my github pull requests"}}}),
    ];
    for message in messages {
        assert!(ask(address, "POST", &path, message).await.starts_with("HTTP/1.1 202"));
    }
    read_until(&mut stream, &mut seen, "\"id\":2").await;
    assert!(seen.contains("notifications/tools/list_changed"), "{seen}");
    let mut live = live.lock().unwrap();
    let truth = live.simulation().truth();
    assert!(truth.iter().any(|each| matches!(&each.what, Happening::CallEnded { client, .. } if client == "probe")));
}

#[tokio::test]
async fn a_live_hub_streams_its_log_and_restarts_its_server() {
    for (profile, event) in [(Profile::npm(), "event: log\n"), (Profile::fork_pino(), "event: log_batch\n")] {
        let (_live, address) = live_hub(profile).await;
        let (mut stream, mut seen) = (send(address, "GET", "/api/events", &Value::Null).await, String::new());
        read_until(&mut stream, &mut seen, "event: hub_state\n").await;
        assert!(seen.contains(event), "{seen}");
        let server = serde_json::json!({"server_name": "filesystem"});
        let stopped = ask(address, "POST", "/api/servers/stop", server.clone()).await;
        assert!(stopped.contains("\"status\":\"disconnected\""), "{stopped}");
        let tool = serde_json::json!({"server_name": "filesystem", "tool": "list_directory", "arguments": {"path": "/srv"}});
        assert!(ask(address, "POST", "/api/servers/tools", tool).await.contains("\"error\":\"Server not initialized\""));
        let started = ask(address, "POST", "/api/servers/start", server).await;
        assert!(started.contains("\"status\":\"connected\""), "{started}");
        read_until(&mut stream, &mut seen, "'filesystem' MCP server connected").await;
    }
}

#[tokio::test]
async fn a_stopped_live_hub_closes_its_connections() {
    let (live, address) = live_hub(Profile::npm()).await;
    assert!(ask(address, "GET", "/api/filtering/stats", Value::Null).await.starts_with("HTTP/1.1 404"));
    let mut stream = send(address, "GET", "/api/events", &Value::Null).await;
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, "event: hub_state\n").await;
    {
        let mut live = live.lock().unwrap();
        let now = live.simulation().now();
        live.simulation().schedule(now, Step::KillHub);
        live.advance().unwrap();
    }
    // The stream ends or breaks off: a killed process can cause both.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let mut refused = TcpStream::connect(address).await.unwrap();
    let read = refused.read(&mut [0; 16]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[test]
fn only_the_legacy_stdout_has_session_ids() {
    let session = fork_session(&LEGACY);
    let with_session = |lines: &[String]| lines.iter().any(|line| line.contains("\"sessionId\""));
    let legacy = play(Profile::fork_legacy(), &session, 20_000);
    assert!(with_session(&legacy.stdout) && !with_session(&legacy.file));
    let pino = play(Profile { logger: Logger::Pino, ..Profile::fork_legacy() }, &session, 20_000);
    assert!(!with_session(&pino.stdout) && !with_session(&pino.file));
}

/// Returns the actions on each hub in the recordings `*-actions`, by seconds after its start.
fn actions(profile: &Profile) -> Vec<(u64, Step)> {
    let named = |step: fn(String) -> Step, name: &str| step(name.to_owned());
    let weather = |step| named(step, "weather");
    let forged = "it rains\nStarting HTTP server on port 3001\nReceived SIGTERM signal - initiating graceful shutdown\n";
    // The event stream of the fork with the legacy logger had no subscriber.
    let subscribed = match (profile.flavor, profile.logger) {
        (Flavor::Npm, _) => Some(1_200),
        (Flavor::Fork, Logger::Pino) => Some(2_500),
        (Flavor::Fork, Logger::Legacy) => None,
    };
    let mut steps = vec![
        (0, Step::StartHub),
        (6_000, Step::Stderr { name: "weather".into(), text: forged.trim_end().into() }),
        (7_500, weather(|name| Step::DisableServer { name })),
        (9_000, weather(|name| Step::StartServer { name })),
        (11_500, weather(|name| Step::StopServer { name })),
        (13_000, weather(|name| Step::StartServer { name })),
        (15_500, weather(|name| Step::KillServer { name })),
        (17_000, weather(|name| Step::DisableServer { name })),
        (18_000, weather(|name| Step::StartServer { name })),
        (20_500, named(|name| Step::StopServer { name }, "github")),
        (21_500, named(|name| Step::KillServer { name }, "filesystem")),
        (23_000, Step::RestartServers),
        (28_500, weather(|name| Step::RemoveServer { name })),
        (31_000, Step::AddServer { plan: ServerPlan::working("weather") }),
    ];
    steps.extend(subscribed.map(|at| (at, Step::Subscribe)));
    steps
}

/// Adds the two extra servers of the hub in these recordings.
fn with_actions(profile: Profile) -> Profile {
    let slow = ServerPlan { connects_after: Micros::new(3_500_000), ..ServerPlan::working("slow") };
    let weather = ServerPlan { connects_after: Micros::new(900_000), ..ServerPlan::working("weather") };
    let servers = vec![ServerPlan::working("filesystem"), weather, slow, ServerPlan::failing("github")];
    Profile { servers, watches_config: true, ..profile }
}

fn play_actions(profile: Profile) -> Played {
    let steps = actions(&profile);
    play(with_actions(profile), &steps, 33_500)
}

/// Sorts lines that are only separated by each other: servers that start or end at the same time do so in any order.
fn in_any_order(lines: &[String]) -> Vec<String> {
    let of_servers =
        |line: &String| ["stderr: ", " transport closed", " MCP server connected"].iter().any(|part| line.contains(part));
    // The key of the recordings was not a real one, and some lines come before the simulated logger starts.
    let besides = ["API key appears to be too short", "Using legacy logger", "Using Pino logger"];
    let kept = lines.iter().filter(|line| besides.iter().all(|part| !line.contains(part))).map(|line| masked(line));
    let mut lines: Vec<String> = kept.collect();
    lines.chunk_by_mut(|one, other| of_servers(one) == of_servers(other)).for_each(|chunk| {
        if of_servers(&chunk[0]) {
            chunk.sort();
        }
    });
    lines
}

#[test]
fn user_actions_give_the_recorded_lines() {
    let hubs = [(Profile::npm(), "npm"), (Profile::fork_pino(), "fork-pino"), (Profile::fork_legacy(), "fork-legacy")];
    for (profile, name) in hubs {
        let played = play_actions(profile);
        assert_in_any_order(&played.file, &recorded_lines(&format!("{name}-actions/mcp-hub.log.gz")), name);
        let stdout = recorded_lines(&format!("{name}-actions/stdout.log.gz"));
        // The recording continues with a failed start of another hub, and its own stop.
        let entries = stdout.into_iter().filter(|line| line.starts_with('{') && !line.contains("Using "));
        assert_in_any_order(&played.stdout, &entries.take(played.stdout.len() + 1).collect::<Vec<_>>(), name);
    }
}

fn assert_in_any_order(simulated: &[String], recorded: &[String], name: &str) {
    let (ours, theirs) = (in_any_order(simulated), in_any_order(recorded));
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "{name}, line {index}");
    }
    assert!(ours.len().abs_diff(theirs.len()) <= 1, "{name}: {} and {}", ours.len(), theirs.len());
}

/// Returns each change in the hub's reported state: state, endpoint, and each server's name, status, error, and whether it has an
/// uptime and a start.
fn states(profile: Profile) -> Vec<Value> {
    let steps = actions(&profile);
    let mut simulation = Simulation::new(with_actions(profile), start());
    steps.into_iter().for_each(|(millis, step)| simulation.schedule(at(millis), step));
    let mut seen: Vec<Value> = Vec::new();
    for look in 1..1_110 {
        simulation.advance(at(look * 30), &mut Vec::new()).unwrap();
        let ApiAnswer::Json { body: health, .. } = simulation.health() else { continue };
        let (health, servers): (Value, Value) = (serde_json::from_slice(&health).unwrap(), body(simulation.servers()));
        let server = |server: &Value| {
            let up = server["uptime"].as_u64().unwrap() > 0;
            let tools = server["capabilities"]["tools"].as_array().unwrap().len();
            serde_json::json!([server["name"], server["status"], server["error"], up, !server["lastStarted"].is_null(), tools])
        };
        let servers: Vec<Value> = servers["servers"].as_array().unwrap().iter().map(server).collect();
        let state =
            serde_json::json!({"state": health["state"], "endpoint": health.get("mcpEndpoint").is_some(), "servers": servers});
        if seen.last() != Some(&state) {
            seen.push(state);
        }
    }
    seen
}

/// Returns the changes of one server in order; changes of different servers come in any order.
fn of_server(states: &[Value], name: &str) -> Vec<Value> {
    let states = states.iter().filter_map(|state| state["servers"].as_array());
    let seen = states.map(|servers| servers.iter().find(|server| server[0] == name).cloned().unwrap_or(Value::Null));
    // It is random if a poll comes before the servers are listed.
    let mut changes: Vec<Value> = seen.skip_while(Value::is_null).collect();
    changes.dedup();
    changes
}

#[test]
fn user_actions_give_the_recorded_api_answers() {
    let hubs = [(Profile::npm(), "npm"), (Profile::fork_pino(), "fork-pino"), (Profile::fork_legacy(), "fork-legacy")];
    for (profile, name) in hubs {
        let ours = states(profile);
        let recorded = recorded_lines(&format!("{name}-actions/polls.jsonl.gz"));
        let theirs: Vec<Value> = recorded.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        // Other tests cover the hub's end, and the list of workspaces after a failed start.
        let theirs: Vec<Value> = theirs.into_iter().filter(|state| !state["refused"].as_bool().unwrap_or(false)).collect();
        for server in ["filesystem", "weather", "slow", "github"] {
            assert_eq!(of_server(&ours, server), of_server(&theirs, server), "{name}: {server}");
        }
        let hub = |states: &[Value]| {
            let mut states: Vec<_> = states.iter().map(|state| (state["state"].clone(), state["endpoint"].clone())).collect();
            states.dedup();
            states
        };
        assert_eq!(hub(&ours), hub(&theirs), "{name}");
    }
}

/// Runs a hub, and starts another on the same port, which is stopped if it stays.
fn play_failed_start(profile: Profile) -> Played {
    let (mut log, mut stdout) = (Vec::new(), Vec::new());
    let logger = profile.logger;
    let mut simulation = Simulation::new(profile.clone(), start());
    let second = simulation.neighbour(Profile { pid: profile.pid + 5_000, ..profile });
    simulation.schedule(start(), Step::StartHub);
    simulation.schedule_for(second, at(5_000), Step::StartHub);
    simulation.schedule_for(second, at(12_000), Step::StopHub);
    simulation.advance_watched(at(10_000), &mut log, &mut |entry| stdout.push(entry.stdout_line(logger))).unwrap();
    let file = String::from_utf8(log).unwrap().lines().map(str::to_owned).collect();
    Played { simulation, file, stdout }
}

#[test]
fn an_npm_hub_whose_port_is_taken_writes_the_recorded_lines_and_removes_the_other_hubs_entry() {
    let played = play_failed_start(Profile::npm());
    assert_same_lines(&played.file, &recorded_lines("npm-actions/failed-start.log.gz"));
    let health = body(played.simulation.health());
    assert_eq!(health["workspaces"], serde_json::json!({"current": "7001", "allActive": {}}));
    assert_eq!(health["state"], "ready");
    let stopped = played.simulation.truth().iter().any(|truth| matches!(truth.what, Happening::HubStopped { .. }));
    assert!(!stopped, "the watched hub goes on");
    assert!(!played.stdout.iter().any(|line| line.contains("SIGTERM")), "its own output has no line of the other");
}

#[test]
fn a_fork_whose_port_is_taken_continues_without_one_and_overwrites_the_other_hubs_entry() {
    for (profile, name) in [(Profile::fork_pino(), "fork-pino"), (Profile::fork_legacy(), "fork-legacy")] {
        let mut played = play_failed_start(profile.clone());
        let recorded = recorded_lines(&format!("{name}-actions/failed-start.stdout.log.gz"));
        let begins = |line: &String| line.contains("SSEManager batching enabled");
        let until = |line: &String| !line.contains("Config loaded successfully");
        let theirs: Vec<String> = recorded.into_iter().skip_while(|line| !begins(line)).take_while(until).collect();
        // Only with pino can the lines of the two be distinguished in the file.
        if profile.logger == Logger::Pino {
            let pid = format!("\"pid\":{}", profile.pid + 5_000);
            let ours = played.file.iter().filter(|line| line.contains(&pid)).take_while(|line| until(line)).cloned();
            assert_same_lines(&ours.collect::<Vec<_>>(), &theirs);
        }
        let entry = |simulation: &Simulation| body(simulation.health())["workspaces"]["allActive"]["7000"]["pid"].clone();
        assert_eq!(entry(&played.simulation), profile.pid + 5_000);
        played.simulation.advance(at(14_000), &mut Vec::new()).unwrap();
        assert_eq!(entry(&played.simulation), Value::Null);
        assert_eq!(body(played.simulation.health())["state"], "ready");
    }
}

#[test]
fn hubs_of_one_user_write_and_truncate_one_file_in_time_order() {
    let mut simulation = Simulation::new(Profile::npm(), start());
    let second = simulation.neighbour(Profile { port: 7_009, pid: 20_000, ..Profile::npm() });
    simulation.schedule(start(), Step::StartHub);
    simulation.schedule_for(second, at(5_000), Step::StartHub);
    simulation.schedule(at(9_000), Step::Warn { text: "of the first".into() });
    simulation.schedule_for(second, at(9_500), Step::StopHub);
    let mut log = Vec::new();
    simulation.advance(at(20_000), &mut log).unwrap();
    let log = String::from_utf8(log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let at = |text: &str| lines.iter().position(|line| *line == text).unwrap();
    assert_eq!(at("Starting HTTP server on port 7009"), 0);
    assert!(at("of the first") < at("Received SIGTERM signal - initiating graceful shutdown"));
    assert_eq!(body(simulation.health())["workspaces"]["allActive"].as_object().unwrap().len(), 1);
}

#[test]
fn a_hub_whose_clock_is_ahead_shows_it_in_its_lines_and_answers() {
    let steps = [(0, Step::SetClock { ahead: 40_000_000 }), (0, Step::StartHub)];
    let played = play(Profile::fork_pino(), &steps, 5_000);
    assert!(time_of(&played.file[0]) > at(40_000));
    let health = body(played.simulation.health());
    assert_eq!(Timestamp::parse(health["timestamp"].as_str().unwrap()).unwrap(), at(45_000));
    assert!(played.simulation.truth().iter().all(|truth| truth.at <= at(5_000)));
}
