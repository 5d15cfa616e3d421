//! Results of scenarios on their way into the watch: whoever is killed with SIGKILL, the scenario or the watch, no result is lost and none
//! is there twice.

mod watched;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hubwatch::announce::marks::{self, Edge, Mark};
use hubwatch::announce::results::{self, Told, ToldResult};
use hubwatch::journal::JournalReader;
use hubwatch::watch::*;
use watched::Hub;

/// Kills of each process: more take too long for a test.
const KILLS: u32 = 12;

/// The state folder of the process that lays results until it is killed.
const STATE_DIR: &str = "HUBWATCH_TEST_STATE_DIR";

/// The first number of its results.
const FIRST: &str = "HUBWATCH_TEST_FIRST";

fn run() -> ScenarioRun {
    ScenarioRun::from_seed(b"a run")
}

fn check(sequence: u32, at: Timestamp, verdict: StepVerdict) -> Told {
    let checked = ScenarioChecked {
        scenario: Text::new("session_isolation"),
        run: run(),
        sequence,
        check: Text::new("1.5"),
        title: Text::new("B has no tools"),
        verdict,
        detail: Some(Text::new(r#"the hub answered {"apiKey":"AIzaSyD-0123456789abcdefghijklmnopqrstuv"}"#)),
        known_defect: None,
        trace_id: None,
    };
    Told { at, result: ToldResult::Checked(checked) }
}

/// Not a test of its own: the process that `whoever_is_killed…` kills. It says which results are on disk.
#[test]
#[ignore = "another test runs it as a process"]
fn lays_results_until_it_is_killed() {
    let (Ok(state_dir), Ok(first)) = (std::env::var(STATE_DIR), std::env::var(FIRST)) else { return };
    for sequence in first.parse().unwrap().. {
        results::lay(state_dir.as_ref(), &check(sequence, Timestamp::now(), StepVerdict::Pass)).unwrap();
        writeln!(std::io::stderr(), "laid {sequence}").unwrap();
    }
}

/// A process that lays results.
struct Layer {
    process: Child,
    /// The last number that it said to be on disk.
    last: Arc<Mutex<u32>>,
    reads: Option<JoinHandle<()>>,
}

impl Layer {
    fn start(hub: &Hub, first: u32) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "lays_results_until_it_is_killed", "--ignored", "--nocapture"]);
        command.env(STATE_DIR, hub.state_dir()).env(FIRST, first.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let last = Arc::new(Mutex::new(first - 1));
        let (lines, keep) = (BufReader::new(process.stderr.take().unwrap()).lines(), last.clone());
        let reads = std::thread::spawn(move || {
            let numbers = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("laid ")?.parse().ok());
            numbers.for_each(|number| *keep.lock().unwrap() = number);
        });
        Self { process, last, reads: Some(reads) }
    }

    fn last(&self) -> u32 {
        *self.last.lock().unwrap()
    }

    /// Kills it; returns the last number that is surely on disk.
    fn kill(&mut self) -> u32 {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.reads.take().unwrap().join().unwrap();
        self.last()
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How often each number stands in the Watches of the journal.
fn kept(hub: &Hub) -> BTreeMap<u32, u32> {
    let reader = JournalReader::open(&hub.state_dir()).unwrap();
    let (name, environment) = (HubName::parse("simulated").unwrap(), Environment::parse("staging").unwrap());
    let mut decoded = Decoded::default();
    let mut place = reader.first_watch(&name, &environment, Timestamp::new(0)).unwrap();
    while let Some(first) = place {
        let rows = reader.watches_from(&name, &environment, first, 256).unwrap();
        place = rows.last().filter(|_| rows.len() == 256).map(|last| last.id + 1);
        rows.iter().for_each(|row| spans_of_request(&row.otlp, |span| decoded.take(&span)).unwrap());
    }
    assert_eq!(decoded.unreadable, []);
    let mut all = BTreeMap::new();
    for fact in decoded.watches.iter().flat_map(|watch| &watch.facts) {
        if let FactKind::Scenario(told) = &fact.kind {
            assert_eq!((fact.id, fact.source), (told.id(), Source::Scenario));
            *all.entry(told.place().1).or_default() += 1;
        }
    }
    all
}

fn waits(hub: &Hub) -> usize {
    let whole = |file: &std::fs::DirEntry| !file.file_name().to_string_lossy().starts_with('.');
    std::fs::read_dir(hub.state_dir().join("results")).map_or(0, |files| files.flatten().filter(whole).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_no_result_is_lost_and_none_is_there_twice() {
    let hub = Hub::start().await;
    let mut random = fastrand::Rng::new();
    let seed = random.get_seed();
    let mut layer = Layer::start(&hub, 1);
    let mut sidecar = hub.watch(&[]);
    for kill in 0..2 * KILLS {
        let begun = layer.last();
        watched::until("results are laid", async || (layer.last() > begun + 2).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..900))).await;
        if kill % 2 == 0 {
            sidecar.signal("-KILL");
            drop(sidecar);
            sidecar = hub.watch(&[]);
        } else {
            // The next one begins beyond the number that may be on disk without having been said.
            let last = layer.kill();
            layer = Layer::start(&hub, last + 2);
        }
    }
    let last = layer.kill();
    watched::until("all files are taken up", async || (waits(&hub) == 0).then_some(())).await;
    sidecar.stop();
    let kept = kept(&hub);
    let twice: Vec<_> = kept.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "seed {seed}: {twice:?}");
    // At most one between two processes was never written.
    let lost: Vec<u32> = (1..=last).filter(|number| !kept.contains_key(number)).collect();
    assert!(lost.len() <= KILLS as usize && lost.windows(2).all(|pair| pair[0] + 1 < pair[1]), "seed {seed}: {lost:?} of {last}");
    assert!(last > 3 * KILLS, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_a_time_without_a_watch_wait_for_the_next_and_stand_in_its_report_without_secrets() {
    let hub = Hub::start().await;
    let sidecar = hub.watch(&[]);
    sidecar.until("/readyz", |body| body.contains("\"ready\":true")).await;
    sidecar.stop();
    let now = Timestamp::now();
    let mark = |edge, at| Mark { at, edge, name: "session_isolation".to_owned() };
    marks::lay(&hub.state_dir(), &mark(Edge::Begin, now)).unwrap();
    results::lay(&hub.state_dir(), &check(1, now, StepVerdict::Pass)).unwrap();
    results::lay(&hub.state_dir(), &check(2, now.plus(Micros::new(1_000)), StepVerdict::Fail)).unwrap();
    marks::lay(&hub.state_dir(), &mark(Edge::End, now.plus(Micros::new(2_000)))).unwrap();
    let sidecar = hub.watch(&[]);
    let live = sidecar.until_json("/report.json", |report| !report["scenarios"].as_array().unwrap().is_empty()).await;
    sidecar.stop();
    for report in [live, hub.report()] {
        let scenario = &report["scenarios"][0];
        assert_eq!((&scenario["name"], &scenario["runs"]), (&"session_isolation".into(), &1.into()));
        let steps = scenario["latest"]["steps"].as_array().unwrap();
        assert_eq!(steps.iter().map(|step| step["verdict"].as_str().unwrap()).collect::<Vec<_>>(), ["pass", "fail"]);
        assert!(
            steps[1]["detail"].as_str().unwrap().contains("the hub answered") && !report.to_string().contains("AIzaSy"),
            "{steps:?}"
        );
        assert_eq!((&report["planned"][0]["name"], report["planned"].as_array().unwrap().len()), (&"session_isolation".into(), 1));
        let criteria = report["criteria"].as_array().unwrap();
        assert_eq!(criteria.iter().find(|row| row["id"] == "integration.session_isolation").unwrap()["verdict"], "fail");
    }
    assert_eq!(kept(&hub), BTreeMap::from([(1, 1), (2, 1)]));
}
