//! When things are noticed: a hub that comes back, the calls made right after, the end of its start, and that nobody watched.

mod front;
mod watched;

use std::time::{Duration, Instant};

use hubwatch::simulator::{Gemini, Profile, Step};
use hubwatch::watch::{Micros, Timestamp};
use serde_json::Value;

use front::Front;
use watched::{Hub, Sidecar, until};

/// Far longer than everything that these tests do: what is noticed was not noticed by a poll.
const INTERVAL: &str = "20s";

/// A hub with the plain log, behind a port on which nobody listens yet, and a sidecar that waits for it.
async fn awaited(interval: &str) -> (Hub, Front, Sidecar) {
    let hub = Hub::absent(Profile::fork_legacy()).await;
    let front = Front::before(&hub.url).await;
    let sidecar = hub.watch_at(&front.url(), &["--interval", interval]);
    sidecar.until_json("/readyz", |ready| ready["hubs"][0]["hub_answers"] == "refused").await;
    (hub, front, sidecar)
}

async fn until_told(sidecar: &Sidecar, what: &str) {
    until(what, async || sidecar.told().contains(what).then_some(())).await;
}

/// What the hub says of itself.
async fn health(hub: &Hub) -> Option<Value> {
    hubwatch::base::tls::choose_provider();
    let answer = reqwest::get(format!("{}/api/health", hub.url)).await.ok()?.text().await.ok()?;
    serde_json::from_str(&answer).ok()
}

/// A client asks the meta-tool; Gemini takes a moment.
async fn calls(hub: &Hub) {
    let answers = Gemini::Answers { after: Micros::new(300_000), categories: vec!["filesystem".to_owned()] };
    hub.happens(Step::Analyze { client: "first".to_owned(), gemini: answers });
}

fn seconds_between(earlier: &Value, later: &Value) -> f64 {
    let at = |moment: &Value| Timestamp::parse(moment.as_str().unwrap()).unwrap();
    at(later).since(at(earlier)).get() as f64 / 1e6
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_starts_between_two_polls_is_noticed_at_once_with_its_first_calls_and_the_end_of_its_start() {
    let (hub, mut front, sidecar) = awaited(INTERVAL).await;
    hub.happens(Step::StartHub);
    front.open();
    let started = Instant::now();
    until_told(&sidecar, "the hub answers").await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    until_told(&sidecar, "the hub's state changed from=\"starting\" state=\"ready\"").await;
    // The watch is the first subscriber.
    hub.happens(Step::ConnectClient { name: "first".to_owned() });
    until("the client", async || {
        let health = health(&hub).await?;
        (health["mcpEndpoint"]["activeClients"] == 1 && health["activeClients"] == 1).then_some(())
    })
    .await;
    calls(&hub).await;
    until("the end of the call", async || (hub.calls_ended() == 1).then_some(())).await;
    sidecar.until_json("/report.json", |report| report["calls"]["total"] == 1).await;
    sidecar.stop();

    let report = hub.report();
    assert_eq!(report["calls"]["by_outcome"], serde_json::json!({"ok": 1}), "{}", report["calls"]);
    assert_eq!((&report["calls"]["partial"], &report["calls"]["guessed"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(report["hub"]["last_state"], "ready");
    let awaited = &report["hub"]["awaited"];
    let noticed = seconds_between(&report["hub"]["starts"][0], &awaited["to"]);
    assert!(noticed < 5.0, "the hub started at {}, and was noticed at {}", report["hub"]["starts"][0], awaited["to"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_within_an_interval_is_seen_when_its_event_stream_ends_and_lasts_as_long_as_it_did() {
    let (hub, mut front, sidecar) = awaited(INTERVAL).await;
    hub.happens(Step::StartHub);
    front.open();
    until_told(&sidecar, "state=\"ready\"").await;
    until("a subscriber", async || {
        let health = health(&hub).await?;
        (health["activeClients"] == 1).then_some(())
    })
    .await;
    front.close();
    let gone = Instant::now();
    until_told(&sidecar, "the hub does not answer; watching goes on outcome=refused").await;
    assert!(gone.elapsed() < Duration::from_secs(5), "{:?}", gone.elapsed());
    sidecar.until_json("/report.json", |report| report["hub"]["unreachable"].as_array().unwrap().len() == 1).await;
    front.open();
    sidecar.until_json("/report.json", |report| !report["hub"]["unreachable"][0]["to"].is_null()).await;
    let lasted = gone.elapsed().as_secs_f64();
    sidecar.stop();
    let report = hub.report();
    let told = report["hub"]["unreachable"][0]["duration_us"].as_u64().unwrap() as f64 / 1e6;
    assert!(told <= lasted && told > 0.0, "{told} s were told of {lasted} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_beginning_was_missed_is_counted_and_stands_on_no_side_of_a_share() {
    let (hub, mut front, sidecar) = awaited("2s").await;
    hub.happens(Step::StartHub);
    until("the hub", async || {
        let health = health(&hub).await?;
        (health["state"] == "ready").then_some(())
    })
    .await;
    hub.happens(Step::ConnectClient { name: "first".to_owned() });
    until("the client", async || {
        let health = health(&hub).await?;
        (health["mcpEndpoint"]["activeClients"] == 1).then_some(())
    })
    .await;
    // Nobody watches when it begins: three rounds fail in about 17 s.
    hub.happens(Step::Analyze { client: "first".to_owned(), gemini: Gemini::RateLimited });
    // A client that still shakes hands calls later: only a failed round shows that the call has begun.
    until("a failed round", async || (hub.rounds_failed() == 1).then_some(())).await;
    front.open();
    let report = sidecar.until_json("/report.json", |report| report["hub"]["last_state"] == "ready").await;
    assert_eq!(report["calls"]["total"], 0);
    until("the end of the call", async || (hub.calls_ended() == 1).then_some(())).await;
    sidecar.until_json("/report.json", |report| report["calls"]["total"] == 1).await;
    sidecar.stop();

    let report = hub.report();
    let calls = &report["calls"];
    assert_eq!((&calls["by_outcome"], &calls["partial"]), (&serde_json::json!({"fallback": 1}), &Value::from(1)), "{calls}");
    assert_eq!((&calls["mean_us"], &calls["gemini_asked"]), (&Value::Null, &Value::from(0)), "{calls}");
    assert!(calls["gemini_failed_rounds"].as_u64().unwrap() > 0, "{calls}");
    for criterion in report["criteria"].as_array().unwrap() {
        let words = format!("{} {}", criterion["value"], criterion["why"]);
        assert!(!words.contains("Gemini never failed"), "{criterion}");
        let limits = criterion["limits"].as_array().unwrap();
        let shares = limits.iter().filter(|limit| limit["measure"] == "gemini.failed_share");
        let more_than_all = |limit: &Value| limit["value"].as_u64().is_some_and(|permille| permille > 1_000);
        assert!(!shares.into_iter().any(more_than_all), "a share of more than all: {criterion}");
    }
    let fallback = report["criteria"].as_array().unwrap().iter().find(|one| one["id"] == "degradation.gemini_fallback");
    assert!(fallback.is_none_or(|one| one["verdict"] == "pass"), "the fallback was seen to work: {fallback:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_which_the_process_stood_still_is_a_gap_and_no_hub_was_down_or_up_then() {
    let (hub, mut front, sidecar) = awaited("1s").await;
    hub.happens(Step::StartHub);
    front.open();
    sidecar.until_json("/report.json", |report| report["hub"]["last_state"] == "ready").await;
    sidecar.signal("-STOP");
    front.close();
    let stopped = Instant::now();
    // The time itself is the input: the process is stopped and can't show a condition.
    tokio::time::sleep(Duration::from_secs(6)).await;
    sidecar.signal("-CONT");
    let stood_still = stopped.elapsed().as_micros() as u64;
    sidecar.until_json("/readyz", |ready| ready["hubs"][0]["hub_answers"] == "refused").await;
    until_told(&sidecar, "this process stood still").await;
    front.open();
    sidecar.until_json("/readyz", |ready| ready["hubs"][0]["hub_answers"] == "ok").await;
    sidecar.stop();

    let report = hub.report();
    let gaps = report["coverage"]["gaps"].as_array().unwrap();
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert!(gap["reason"].as_str().unwrap().contains("stood still"), "{gap}");
    let length = gap["duration_us"].as_u64().unwrap();
    assert!((5_000_000..stood_still + 2_000_000).contains(&length), "{length} of {stood_still}");
    let covered = report["coverage"]["covered_us"].as_u64().unwrap();
    let whole = seconds_between(&report["coverage"]["first"], &report["coverage"]["last"]) * 1e6;
    assert!((covered + length).abs_diff(whole as u64) < 1_000, "{covered} and {length} are not {whole}");
    let stretches = report["hub"]["timeline"]["stretches"].as_array().unwrap();
    let unknown = stretches.iter().find(|stretch| stretch["from"] == gap["from"]).unwrap();
    assert_eq!((&unknown["liveness"], &unknown["to"]), (&Value::from("unknown"), &gap["to"]), "{stretches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_between_the_last_poll_and_the_end_of_the_watch_is_told() {
    let hub = Hub::of(Profile::fork_pino()).await;
    let sidecar = hub.watch(&["--interval", "5s"]);
    let liveness = |report: &Value| {
        let servers = report["servers"].as_array().unwrap();
        servers.iter().find(|server| server["name"] == "filesystem").map(|server| server["last_liveness"].clone())
    };
    // By then a poll has seen it count its uptime: that of a server that has just connected is 0, too.
    let worked = |report: &Value| {
        let mut servers = report["servers"].as_array().unwrap().iter();
        servers.any(|server| server["name"] == "filesystem" && server["up_us"].as_u64() > Some(4_000_000))
    };
    sidecar.until_json("/report.json", worked).await;
    hub.kills("filesystem");
    let is_logged = || std::fs::read_to_string(hub.log()).unwrap().contains("'filesystem' transport closed").then_some(());
    until("the line", async || is_logged()).await;
    sidecar.stop();
    let report = hub.report();
    assert_eq!(liveness(&report), Some("down".into()), "{:#}", report["servers"]);
    assert!(report["log"]["claims_dropped"].as_array().unwrap().is_empty(), "{:#}", report["log"]);
}
