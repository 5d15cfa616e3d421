//! Scenarios that do not come to their end: interrupted, killed, panicked, or without their hub. The hub is as it was before, at the
//! latest after the next run; a watch beside it has each step once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hubwatch::journal::JournalReader;
use hubwatch::scenario::run::{Audience, Backstage, Event, play};
use hubwatch::scenario::{Options, Scenario};
use hubwatch::simulator::Step;
use hubwatch::watch::{Decoded, Environment, FactKind, HubName, ScenarioFact, Timestamp, spans_of_request};

use super::command::{Running, Said};
use super::hub::{Hub, answers_after, fork, mended, until};
use super::play::{options, plays, signs, target, untold};

/// More take too long for a gate; `HUBWATCH_SCENARIO_KILLS` raises it.
const KILLS: u64 = 12;

/// Runs at once: they sleep most of the time.
const AT_ONCE: usize = 6;

fn kills() -> u64 {
    std::env::var("HUBWATCH_SCENARIO_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS)
}

/// Nobody is connected, nobody has left during a call, all servers work, nothing waits to be put back.
///
/// The first departures are those of clients that were killed: nobody could make them wait.
async fn is_as_before(hub: &Hub, killed: usize, said: &str) {
    assert_eq!((hub.clients().await, hub.left_during_calls()), (0, 0), "{said}");
    let all = async || (hub.usable().await.len() == 3).then_some(());
    until(&format!("all servers work: {said}"), all).await;
    assert!(!hub.state_dir().join("put-back.json").exists(), "{said}");
    let departures = hub.departures().split_off(killed);
    for pair in departures.windows(2) {
        assert!(pair[1].since(pair[0]).as_duration() >= Duration::from_millis(450), "{departures:?} {said}");
    }
}

async fn interrupted(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let hub = Hub::with_processes(fork()).await;
    // The moment falls into any of the scenarios, and most often into the one that kills a server.
    let first = *random
        .choice(&["server_crash", "server_crash", "meta_tool", "session_isolation", "concurrent_sessions", "high_load", "sse_lost"])
        .unwrap();
    let arguments = [first, "all", "--allow", "server-crash", "--clients", "4", "--format", "json"];
    let running = Running::start(hub.command(&arguments));
    tokio::time::sleep(Duration::from_millis(random.u64(0..3_500))).await;
    running.signal(random.choice(&["-INT", "-TERM"]).unwrap());
    let Said { code, stdout, stderr } = running.end().await;
    let said = format!("seed {seed}, {first}: {code:?}\n{stderr}");
    // Before the command listens for signals, one ends it at once.
    if code.is_some() {
        let results: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(results["interrupted"], true, "{said}");
        let failed = results["verdict"] == "fail";
        assert_eq!(code, Some(if failed { 1 } else { 3 }), "{said}");
        // A known defect of the fork fails, and so may what was judged before; that the hub is harmed must not.
        for scenario in results["scenarios"].as_array().unwrap() {
            let after = scenario["steps"].as_array().unwrap().iter().find(|step| step["id"] == "after").unwrap();
            assert_eq!(after["verdict"], "pass", "{said}");
        }
    }
    is_as_before(&hub, 0, &said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_any_moment_leaves_hub_and_servers_as_they_were() {
    let first_seed = fastrand::u64(..u64::MAX / 2);
    let mut seeds = first_seed..first_seed + kills();
    let mut running: FuturesUnordered<_> = seeds.by_ref().take(AT_ONCE).map(interrupted).collect();
    while let Some(()) = running.next().await {
        running.extend(seeds.next().map(interrupted));
    }
}

/// Waits until the server's process has been killed.
async fn is_killed(hub: &Hub) {
    until("a server is killed", async || (!hub.usable().await.contains(&"filesystem".to_owned())).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_scenario_took_is_put_back_by_the_next_one() {
    let hub = Hub::with_processes(fork()).await;
    let running = Running::start(hub.command(&["server_crash", "--allow", "server-crash"]));
    is_killed(&hub).await;
    running.signal("-KILL");
    assert_eq!(running.end().await.code, None);
    let note = std::fs::read_to_string(hub.state_dir().join("put-back.json")).unwrap();
    assert!(note.contains("filesystem"), "{note}");
    // The connection of a process that is gone is closed by the kernel.
    until("its client is gone", async || (hub.clients().await == 0).then_some(())).await;
    let dry = hub.runs(&["tools_usable", "--dry-run"]).await;
    assert!(dry.code == Some(3) && dry.stdout.contains("✗ nothing of an earlier scenario is left"), "{}", dry.stdout);
    let said = hub.runs(&["sse_lost"]).await;
    let results = said.json();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let notes = results["scenarios"][0]["notes"].to_string();
    assert!(notes.contains("server filesystem was stopped and started again"), "{notes}");
    is_as_before(&hub, 1, &said.stderr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hub_that_died_could_not_be_given_back_is_given_back_later() {
    hubwatch::base::tls::choose_provider();
    let hub = Hub::with_processes(fork()).await;
    let (target, options) = (target(&hub), options());
    let dies = async {
        is_killed(&hub).await;
        hub.happens(Step::KillHub);
    };
    let (played, ()) = tokio::join!(plays(Scenario::ServerCrash, &target, &options), dies);
    let played = played.unwrap();
    assert!(signs(&played).ends_with("after-"), "{:#?}", played.steps);
    assert!(played.notes.iter().any(|note| note.contains("NOT put back: server filesystem")), "{:?}", played.notes);
    assert!(hub.state_dir().join("put-back.json").exists());
    hub.happens(Step::StartHub);
    until("the servers work", async || (hub.is_up().await && hub.usable().await.len() == 3).then_some(())).await;
    // The simulated hub has another process id by now.
    let said = hub.runs(&["sse_lost", "--pid", &hub.pid().to_string()]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    is_as_before(&hub, 1, &said.stderr).await;
}

/// Whoever hears of this step panics.
struct Panics(&'static str, Cell<bool>);

impl Audience for Panics {
    fn hear(&self, event: &Event<'_>) {
        if let Event::Awaiting { id, .. } = event {
            assert!(*id != self.0 || self.1.replace(true), "a defect");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_middle_is_told_and_everything_is_put_back() {
    hubwatch::base::tls::choose_provider();
    let hub = Hub::with_processes(fork()).await;
    let target = target(&hub);
    std::fs::create_dir_all(&target.state_dir).unwrap();
    let telemetry = untold(&target);
    let interrupt = tokio::sync::watch::channel(false).1;
    let audience = Panics("3", Cell::new(false));
    let options: Options = options();
    let backstage = Backstage { options: &options, telemetry: &telemetry, audience: &audience, interrupt, is_watched: false };
    let played = play(Scenario::ServerCrash, &target, &backstage).await.unwrap();
    assert_eq!(signs(&played), "1+ 2- 3? 4? 5? 6? after+");
    assert!(played.steps[2].detail.contains("defect of hubwatch"), "{:?}", played.steps[2]);
    assert!(played.notes.iter().any(|note| note.contains("server filesystem was stopped and started")), "{:?}", played.notes);
    is_as_before(&hub, 0, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_leaves_at_once_and_the_first_one_waits_for_the_call() {
    let hub = Hub::start(fork()).await;
    hub.inside(|live| live.set_gemini(Some(answers_after(4_000, &["github"]))));
    let calls = async || {
        let before = hub.mcp_requests();
        let running = Running::start(hub.command(&["meta_tool"]));
        // 3 requests to connect, and the call.
        until("the call", async || (hub.mcp_requests() >= before + 4).then_some(())).await;
        running
    };
    let running = calls().await;
    running.signal("-INT");
    let began = std::time::Instant::now();
    let said = running.end().await;
    assert!(began.elapsed() > Duration::from_secs(2), "it waits for the answer");
    assert_eq!((said.code, hub.left_during_calls()), (Some(3), 0), "{}", said.stderr);
    let running = calls().await;
    running.signal("-INT");
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.signal("-INT");
    let began = std::time::Instant::now();
    let said = running.end().await;
    assert!(began.elapsed() < Duration::from_secs(2) && said.code == Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("put back by the next"), "{}", said.stderr);
}

/// A watch beside the scenarios.
fn watch(hub: &Hub) -> std::process::Child {
    let mut command: Command = hub.hubwatch(&["run", "--hub", &hub.url, "--name", "simulated", "--interval", "200ms"]);
    command.arg("--state-dir").arg(hub.state_dir()).arg("--log").arg(hub.log());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
}

fn name() -> (HubName, Environment) {
    (HubName::parse("simulated").unwrap(), Environment::parse("staging").unwrap())
}

/// How often each step is in the journal, by the run of its scenario.
fn kept(hub: &Hub) -> BTreeMap<(String, String, String), u32> {
    let reader = JournalReader::open(&hub.state_dir()).unwrap();
    let (name, environment) = name();
    let mut all = BTreeMap::new();
    let mut place = reader.first_watch(&name, &environment, Timestamp::new(0)).unwrap();
    let mut decoded = Decoded::default();
    while let Some(first) = place {
        let rows = reader.watches_from(&name, &environment, first, 256).unwrap();
        place = rows.last().filter(|_| rows.len() == 256).map(|last| last.id + 1);
        rows.iter().for_each(|row| spans_of_request(&row.otlp, |span| decoded.take(&span)).unwrap());
    }
    for fact in decoded.watches.iter().flat_map(|watch| &watch.facts) {
        if let FactKind::Scenario(ScenarioFact::ScenarioChecked(checked)) = &fact.kind {
            let key = (checked.scenario.to_string(), checked.run.to_string(), checked.check.to_string());
            *all.entry(key).or_default() += 1;
        }
    }
    all
}

fn waiting(hub: &Hub, folder: &str) -> usize {
    let visible = |file: &std::fs::DirEntry| !file.file_name().to_string_lossy().starts_with('.');
    std::fs::read_dir(hub.state_dir().join(folder)).map_or(0, |files| files.flatten().filter(visible).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_each_step_that_people_saw_is_in_the_journal_once() {
    // A fork would stop when a client is killed during its call.
    let hub = Hub::start(mended()).await;
    let mut random = fastrand::Rng::new();
    let seed = random.get_seed();
    let mut sidecar = watch(&hub);
    let is_watched = async || JournalReader::open(&hub.state_dir()).ok()?.hubs().ok().filter(|hubs| !hubs.is_empty()).map(drop);
    until("the hub is watched", is_watched).await;
    // What people saw of scenarios that were killed: steps without a run.
    let mut seen: BTreeMap<(String, String), u32> = BTreeMap::new();
    for round in 0..3 {
        let running = Running::start(hub.command(&["session_isolation", "session_cleanup"]));
        tokio::time::sleep(Duration::from_millis(random.u64(300..2_000))).await;
        sidecar.kill().unwrap();
        sidecar.wait().unwrap();
        sidecar = watch(&hub);
        if round < 2 {
            tokio::time::sleep(Duration::from_millis(random.u64(0..1_500))).await;
            running.signal("-KILL");
        }
        let said = running.end().await;
        steps_seen(&said.stderr, &mut seen);
        until("its clients are gone", async || (hub.clients().await == 0).then_some(())).await;
    }
    until("all is taken up", async || (waiting(&hub, "results") + waiting(&hub, "marks") == 0).then_some(())).await;
    // What is taken up is written with the next Watch.
    let counted = async || (by_step(&kept(&hub)) == seen).then_some(());
    let waited = tokio::time::timeout(Duration::from_secs(10), until("all is kept", counted)).await;
    let _ = sidecar.kill();
    let _ = sidecar.wait();
    let kept = kept(&hub);
    assert!(kept.values().all(|times| *times == 1), "seed {seed}: {kept:?}");
    // One that was told to the watch may have been killed before people saw it.
    let kept = by_step(&kept);
    let lost: Vec<_> = seen.iter().filter(|(step, times)| kept.get(*step).is_none_or(|kept| kept < times)).collect();
    assert!(lost.is_empty(), "seed {seed}: {lost:?} {kept:?}");
    let surplus: u32 = kept.values().sum::<u32>() - seen.values().sum::<u32>();
    assert!(surplus <= 2 && (waited.is_ok() || surplus > 0), "seed {seed}: {kept:?} {seen:?}");
    // The window of the last one that was killed has been ended by the next one.
    let report = hub
        .hubwatch(&["report", "--name", "simulated", "--since", "1h", "--format", "json", "--state-dir"])
        .arg(hub.state_dir())
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let planned = report["planned"].as_array().unwrap();
    assert!(!planned.is_empty() && planned.iter().all(|window| !window["to"].is_null()), "{planned:#?}");
}

fn by_step(kept: &BTreeMap<(String, String, String), u32>) -> BTreeMap<(String, String), u32> {
    let mut steps = BTreeMap::new();
    kept.iter().for_each(|((scenario, _, step), times)| *steps.entry((scenario.clone(), step.clone())).or_default() += times);
    steps
}

/// The steps that stderr shows.
fn steps_seen(stderr: &str, seen: &mut BTreeMap<(String, String), u32>) {
    let mut scenario = String::new();
    for line in stderr.lines() {
        if let Some((name, _)) = line.split_once(": ").filter(|(name, _)| Scenario::of_word(name).is_some()) {
            name.clone_into(&mut scenario);
        }
        let mut words = line.split_whitespace();
        if let (Some("✓" | "✗" | "?" | "–"), Some(step)) = (words.next(), words.next()) {
            *seen.entry((scenario.clone(), step.to_owned())).or_default() += 1;
        }
    }
}
