//! What `hubwatch run --listen` serves: health, readiness, and traces in Jaeger's form.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hubwatch::backend::jaeger::TraceAnswer;
use hubwatch::watch::{Decoded, Environment, HubName, Slot, Timestamp};
use serde_json::{Value, json};

fn run(state_dir: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    command.args(["run", "--hub", "http://127.0.0.1:9", "--name", "absent", "--interval", "200ms", "--listen", listen]);
    command.arg("--state-dir").arg(state_dir).env_clear().stderr(Stdio::piped());
    command
}

/// A sidecar of a hub that isn't there, and where it serves.
struct Serving {
    process: Child,
    base: String,
}

impl Serving {
    fn start(state_dir: &Path) -> Self {
        let mut process = run(state_dir, "127.0.0.1:0").spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| Some(line.unwrap().split_once("address=")?.1.to_owned())).unwrap();
        // Somebody must read on, or the sidecar would wait for room in the pipe.
        std::thread::spawn(move || lines.count());
        Self { process, base: format!("http://{address}") }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        hubwatch::tls::choose_provider();
        let response = reqwest::get(format!("{}{path}", self.base)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn until(&self, path: impl Fn() -> String, holds: impl Fn(&(u16, String)) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.get(&path()).await;
            if holds(&answer) {
                return answer.1;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{}: {answer:?}", path());
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn readiness_comes_with_the_first_poll_and_says_how_the_hub_answered() {
    let state = tempfile::tempdir().unwrap();
    let serving = Serving::start(state.path());
    assert_eq!(serving.get("/healthz").await, (200, "ok\n".to_owned()));
    let ready: Value = serde_json::from_str(&serving.until(|| "/readyz".to_owned(), |(status, _)| *status == 200).await).unwrap();
    assert_eq!((&ready["ready"], &ready["hubs"][0]["hub"]), (&json!(true), &json!("absent")));
    assert_eq!((&ready["hubs"][0]["hub_answers"], &ready["hubs"][0]["not_ready"]), (&json!("refused"), &json!([])));
}

#[tokio::test]
async fn the_journal_is_served_as_jaeger_serves_a_trace() {
    let state = tempfile::tempdir().unwrap();
    let serving = Serving::start(state.path());
    let (hub, environment) = (HubName::parse("absent").unwrap(), Environment::parse("staging").unwrap());
    // A quarter of an hour may end meanwhile.
    let path = || format!("/api/v3/traces/{}?raw_traces=true", Slot::of(Timestamp::now()).trace_id(&hub, &environment, 0));
    let watches = |answer: &str| {
        let answer: TraceAnswer = serde_json::from_str(answer).unwrap();
        let decoded = Decoded::of(&answer.result.unwrap_or_default().resource_spans);
        assert_eq!(decoded.unreadable, []);
        decoded.watches
    };
    let body = serving.until(path, |(status, body)| *status == 200 && watches(body).len() > 2).await;
    let watches = watches(&body);
    assert!(watches.iter().all(|watch| watch.origin.hub == hub));

    let (status, body) = serving.get("/api/v3/traces/1").await;
    let expected = json!({"error": {"httpCode": 404, "message": "No traces found"}});
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (404, expected));
    assert_eq!(serving.get("/api/v3/traces/nonsense").await.0, 400);
}

#[tokio::test]
async fn a_port_in_use_is_told_and_a_signal_ends_it_well() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut serving = Serving::start(one.path());
    let address = serving.base.trim_start_matches("http://").to_owned();
    let refused = run(other.path(), &address).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains(&format!("can't listen on {address}")) && told.contains("--listen"), "{told}");

    let pid = serving.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(serving.process.wait().unwrap().code(), Some(0));
}
