//! "Up" means: answered as a hub answers. Whatever else answers in the hub's place is down time, with its reason.

mod front;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hubwatch::simulator::Profile;
use serde_json::Value;
use tokio::net::TcpListener;

use front::Front;
use watched::{Hub, Sidecar};

const HTML: &str = "<!doctype html><title>Bad gateway</title>";

/// What a server that is no hub answers to `GET /api/health`, the word for it, and what the report says of it.
const ANSWERS: [(&str, &str, &str, &str, &str); 16] = [
    ("502 Bad Gateway", "text/html", HTML, "bad_gateway", "HTTP 502"),
    ("503 Service Unavailable", "text/plain", "", "bad_gateway", "503"),
    ("504 Gateway Timeout", "text/html", HTML, "bad_gateway", "504"),
    ("500 Internal Server Error", "application/json", "{\"error\":\"x\"}", "server_error", "HTTP 5xx"),
    ("401 Unauthorized", "text/html", HTML, "denied", "give them with --header"),
    ("403 Forbidden", "application/json", "{\"status\":\"ok\",\"state\":\"ready\"}", "denied", "give them with --header"),
    ("404 Not Found", "text/html", HTML, "not_found", "HTTP 404"),
    ("429 Too Many Requests", "text/plain", "later", "client_error", "HTTP 4xx"),
    ("302 Found", "text/html", HTML, "redirected", "login page"),
    ("204 No Content", "text/plain", "", "unexpected_status", "no hub gives"),
    ("200 OK", "text/html", HTML, "unreadable", "a web page"),
    ("200 OK", "application/json", "", "unreadable", "no JSON"),
    ("200 OK", "application/json", "{}", "other_program", "another program"),
    ("200 OK", "application/json", "[{\"state\":\"ready\"}]", "other_program", "another program"),
    ("200 OK", "application/json", "{\"status\":\"ok\",\"state\":\"ready\"}", "other_program", "another program"),
    (
        "200 OK",
        "application/json",
        "{\"status\":\"UP\",\"state\":\"ready\",\"server_id\":\"billing\",\"servers\":[]}",
        "other_program",
        "another program",
    ),
];

/// Waits until the watch says so of the last poll.
async fn until_it_answers(sidecar: &Sidecar, word: &str) {
    sidecar.until_json("/readyz", |ready| ready["hubs"][0]["hub_answers"] == word).await;
}

fn stretches(report: &Value) -> Vec<(String, u64)> {
    let all = report["hub"]["unreachable"].as_array().unwrap().iter();
    all.map(|stretch| (stretch["reason"].as_str().unwrap().to_owned(), stretch["duration_us"].as_u64().unwrap())).collect()
}

fn criterion<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["criteria"].as_array().unwrap().iter().find(|criterion| criterion["id"] == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answers_in_the_hub_s_place_is_down_time_with_its_reason_and_no_server_is_up_then() {
    let hub = Hub::start().await;
    let mut front = Front::before(&hub.url).await;
    front.open();
    let sidecar = hub.watch_at(&front.url(), &["--interval", "200ms"]);
    until_it_answers(&sidecar, "ok").await;
    for (status, content_type, body, word, _) in ANSWERS {
        front.answer(status, content_type, body);
        until_it_answers(&sidecar, word).await;
        front.pass();
        until_it_answers(&sidecar, "ok").await;
    }
    front.answer_raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"state\":".to_vec());
    until_it_answers(&sidecar, "truncated").await;
    let huge = " ".repeat(17 * 1024 * 1024);
    front.answer("200 OK", "application/json", &huge);
    until_it_answers(&sidecar, "too_large").await;
    front.pass();
    until_it_answers(&sidecar, "ok").await;
    sidecar.stop();

    let report = hub.report();
    let stretches = stretches(&report);
    assert_eq!(stretches.len(), ANSWERS.len() + 1, "{stretches:#?}");
    for ((_, _, _, word, told), (reason, duration)) in ANSWERS.iter().zip(&stretches) {
        assert!(reason.contains(told) && *duration > 0, "{word}: {reason}, {duration}");
    }
    let uptime = criterion(&report, "stability.uptime");
    assert_eq!((&uptime["verdict"], &uptime["ground"]), (&Value::from("fail"), &Value::from("measured")), "{uptime}");
    let causes: Vec<_> = report["incidents"].as_array().unwrap().iter().filter(|incident| incident["kind"] == "hub_down").collect();
    assert_eq!(causes.len(), stretches.len(), "{causes:#?}");
    for (incident, (_, _, _, _, told)) in causes.iter().zip(ANSWERS) {
        assert!(incident["cause"].as_str().unwrap().contains(told), "{incident}");
    }
    let unknown =
        |server: &Value| server["timeline"]["stretches"].as_array().unwrap().iter().any(|one| one["liveness"] == "unknown");
    assert!(report["servers"].as_array().unwrap().iter().all(unknown), "nobody told of the servers meanwhile");
    let reasons = report["hub"]["timeline"]["stretches"].as_array().unwrap();
    assert!(reasons.iter().any(|one| one["liveness"] == "down" && one["reason"].as_str().unwrap().contains("HTTP 502")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_never_answered_is_not_up_while_a_proxy_answers_for_it() {
    let hub = Hub::start().await;
    let mut front = Front::before(&hub.url).await;
    front.answer("401 Unauthorized", "text/html", HTML);
    front.open();
    let sidecar = hub.watch_at(&front.url(), &["--interval", "200ms"]);
    until_it_answers(&sidecar, "denied").await;
    watched::until("what the watch says", async || sidecar.told().contains("credentials").then_some(())).await;
    let report = sidecar.until_json("/report.json", |report| report["coverage"]["polls"].as_u64() > Some(2)).await;
    assert_eq!(report["coverage"]["polls_answered"], 0);
    assert_ne!(criterion(&report, "stability.uptime")["verdict"], "pass");
    let incident = &report["incidents"].as_array().unwrap().iter().find(|incident| incident["kind"] == "hub_awaited").unwrap();
    assert!(incident["cause"].as_str().unwrap().contains("--header"), "{incident}");
    let timeline = report["hub"]["timeline"]["stretches"].as_array().unwrap();
    assert!(timeline.iter().all(|stretch| stretch["liveness"] == "down"), "{timeline:?}");

    front.pass();
    until_it_answers(&sidecar, "ok").await;
    sidecar.stop();
    let report = hub.report();
    assert!(report["hub"]["awaited"]["reason"].as_str().unwrap().contains("HTTP 401 or 403"), "{}", report["hub"]);
}

/// A recorded hub whose list of servers can fail.
async fn recorded(lists: Arc<AtomicBool>) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/npm-4.2.1/health.json");
    let health = std::fs::read_to_string(path).unwrap();
    let said: Value = serde_json::from_str(&health).unwrap();
    let servers = serde_json::json!({"servers": said["servers"], "timestamp": said["timestamp"]}).to_string();
    let json = |body: String| ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    let list = async move |State(lists): State<Arc<AtomicBool>>| -> Response {
        if lists.load(Ordering::Relaxed) { json(servers.clone()) } else { StatusCode::INTERNAL_SERVER_ERROR.into_response() }
    };
    let routes = Router::new()
        .route("/api/health", get(async move || json(health.clone())))
        .route("/api/servers", get(list))
        .with_state(lists);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_a_hub_does_not_list_are_unknown_and_that_is_told() {
    let lists = Arc::new(AtomicBool::new(true));
    let url = recorded(lists.clone()).await;
    // Its log stays empty.
    let hub = Hub::absent(Profile::fork_pino()).await;
    let sidecar = hub.watch_at(&url, &["--interval", "200ms", "--event-stream", "never"]);
    let liveness = |report: &Value, liveness: &str| {
        let servers = report["servers"].as_array().unwrap();
        servers.iter().any(|server| server["last_liveness"] == liveness)
    };
    sidecar.until_json("/report.json", |report| liveness(report, "up")).await;
    lists.store(false, Ordering::Relaxed);
    let report = sidecar.until_json("/report.json", |report| !liveness(report, "up")).await;
    assert!(liveness(&report, "unknown"), "{}", report["servers"]);
    let why = report["servers"].as_array().unwrap().iter().map(|server| server["last_reason"].as_str().unwrap());
    assert!(why.into_iter().any(|why| why.contains("did not list its servers: HTTP 5xx")), "{}", report["servers"]);
    sidecar
        .until_json("/report.json", |report| {
            report["incidents"].as_array().unwrap().iter().any(|incident| incident["kind"] == "api_failing")
        })
        .await;
    assert_eq!(report["hub"]["unreachable"], serde_json::json!([]), "the hub itself answers");
    sidecar.stop();
}
