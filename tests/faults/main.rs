//! The program is killed repeatedly while lines, polls and calls flow and its receivers fail. In the end each receiver must have each
//! line once, and the Watches must have counted the written lines.
//!
//! `HUBWATCH_KILLS` sets the number of kills, `HUBWATCH_SEED` their times; a failure prints the seed.

mod full_disk;
mod outage;
mod program;
mod receiver;
mod resend;
mod rotation;

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use program::{PATIENCE, Written, calls, counted, has_all, hub, run, stderr};
use receiver::{FAULTS, Fault, Receiver};

/// Default number of kills: more take too long for a test.
const KILLS: u64 = 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Writes numbered lines, with a meta-tool call now and then, until `stop` is set.
async fn write(mut log: File, written: Arc<Mutex<Written>>, stop: Arc<AtomicBool>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed ^ 1);
    let line = |log: &mut File, level: &str, msg: &str| written.lock().unwrap().line(log, level, msg);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_times_with_failing_receivers_lose_nothing_and_double_nothing() {
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
    // The first run begins before the first line: existing lines of a log may be of an earlier process of the hub.
    let mut child = run(folder.path(), &hub);
    let begun = async {
        while !http.read(|taken| !taken.spans.is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, begun).await.is_ok(), "{}", stderr(folder.path()));
    let writer = tokio::spawn(write(log, written.clone(), stop.clone(), seed));
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..kills {
        for receiver in [&http, &grpc] {
            receiver.behave(FAULTS[random.usize(..FAULTS.len())]);
        }
        tokio::time::sleep(Duration::from_millis(random.u64(30..900))).await;
        assert!(child.is_running(), "it ended by itself: {}", stderr(folder.path()));
        child.kill();
        child = run(folder.path(), &hub);
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let written = *written.lock().unwrap();
    for receiver in [&http, &grpc] {
        receiver.behave(Fault::Fine);
    }
    let all = async {
        while ![&http, &grpc].into_iter().all(|receiver| has_all(receiver, written)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let complete = tokio::time::timeout(PATIENCE, all).await.is_ok();
    child.stop(folder.path()).await;
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
            assert!(taken.lines.values().all(|numbers| numbers.len() == 1), "{name}: two lines have the same identity");
            assert_eq!((lost, doubled), (0, 0), "{name}, seed {seed}");
            assert_eq!(counted(taken), written.lines, "{name}, seed {seed}: each line is counted in one Watch");
            assert_eq!(calls(taken), written.calls, "{name}, seed {seed}");
            let forms = taken.forms.values().filter(|forms| forms.len() > 1).count();
            assert_eq!(forms, 0, "{name}, seed {seed}: records that are sent again are identical");
            assert!(taken.contradictions.is_empty(), "{name}, seed {seed}: {:#?}", taken.contradictions);
            assert!(name == "grpc" || !taken.totals.is_empty(), "the metrics arrived as well");
        });
    }
    assert!(complete, "not everything was delivered in {PATIENCE:?}: {}", stderr(folder.path()));
}
