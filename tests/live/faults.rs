//! What once was misread, played on a real hub: nothing is claimed that did not happen, and what fails fails for what happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::await_watches;
use crate::hub::{Hub, free_port, signal};
use crate::receiver::Receiver;
use crate::sidecar::Sidecar;
use crate::wait::until;

/// A hub that is watched.
struct Watched {
    hub: Hub,
    sidecar: Sidecar,
    receiver: Receiver,
}

impl Watched {
    async fn start() -> Self {
        let hub = Hub::start().await;
        let url = hub.url.clone();
        Self::through(hub, &url).await
    }

    /// Asks for it at this address.
    async fn through(hub: Hub, url: &str) -> Self {
        let (receiver, otlp) = Receiver::grpc().await;
        let sidecar = Sidecar::start(url, &hub.log(), &otlp, "grpc");
        let watched = Self { hub, sidecar, receiver };
        watched.goes_on(4).await;
        watched
    }

    /// So many polls more.
    async fn goes_on(&self, polls: usize) {
        await_watches(&self.receiver, polls).await;
    }

    async fn report(mut self) -> Value {
        self.goes_on(4).await;
        self.sidecar.stop();
        self.sidecar.report().0
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap()
}

fn server<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    list(report, "servers").iter().find(|server| server["name"] == name)
}

/// The incidents that wake somebody; the server without its token never worked, and that is so.
fn critical(report: &Value) -> Vec<&Value> {
    let incidents = list(report, "incidents").iter();
    incidents.filter(|incident| incident["severity"] == "critical" && incident["subject"] != "github").collect()
}

fn verdict<'a>(report: &'a Value, criterion: &str) -> &'a str {
    let found = list(report, "criteria").iter().find(|each| each["id"] == criterion).unwrap();
    found["verdict"].as_str().unwrap()
}

fn assert_hub_went_on(report: &Value) {
    let hub = &report["hub"];
    for ends in ["stops", "exits", "unreachable"] {
        assert_eq!(hub[ends], json!([]), "{ends}");
    }
    // So short a watch is no proof, but it is no failure, either.
    for criterion in ["stability.no_restarts", "stability.uptime"] {
        assert_ne!(verdict(report, criterion), "fail", "{criterion}");
    }
    assert_eq!(critical(report), Vec::<&Value>::new());
}

fn assert_servers_went_on(report: &Value) {
    for server in list(report, "servers").iter().filter(|server| server["name"] != "github") {
        assert_eq!(server["down"], json!([]), "{}", server["name"]);
    }
    assert_eq!(critical(report), Vec::<&Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_on_the_same_port_is_no_end_of_the_hub() {
    let watched = Watched::start().await;
    let port = watched.hub.url.rsplit(':').next().unwrap().parse().unwrap();
    watched.hub.another(port).has_ended().await;
    let report = watched.report().await;
    assert_hub_went_on(&report);
    assert_servers_went_on(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hub_that_starts_and_stops_is_not_taken_for_the_watched_one() {
    let watched = Watched::start().await;
    let mut other = watched.hub.another(free_port());
    other.is_ready().await;
    watched.goes_on(3).await;
    other.stop().await;
    let report = watched.report().await;
    assert_hub_went_on(&report);
    assert_servers_went_on(&report);
}

/// A proxy before the hub.
#[derive(Clone)]
struct Proxy {
    hub: String,
    /// Whether it says that there is no hub.
    fails: Arc<AtomicBool>,
}

impl Proxy {
    async fn before(hub: &Hub) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Self { hub: hub.url.clone(), fails: Arc::default() };
        let routes = Router::new().fallback(Self::pass).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (proxy, url)
    }

    async fn pass(State(proxy): State<Self>, request: Request) -> Response {
        let bad = (StatusCode::BAD_GATEWAY, "<html><h1>502 Bad Gateway</h1></html>");
        // The event stream has no end; it is not passed on.
        if proxy.fails.load(Ordering::SeqCst) || request.uri().path() == "/api/events" {
            return bad.into_response();
        }
        let Ok(answer) = reqwest::get(format!("{}{}", proxy.hub, request.uri())).await else { return bad.into_response() };
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
        (status, answer.bytes().await.unwrap().to_vec()).into_response()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_answers_502_is_a_hub_that_does_not_answer() {
    let hub = Hub::start().await;
    let (proxy, url) = Proxy::before(&hub).await;
    let watched = Watched::through(hub, &url).await;
    proxy.fails.store(true, Ordering::SeqCst);
    watched.goes_on(6).await;
    proxy.fails.store(false, Ordering::SeqCst);
    let report = watched.report().await;
    let unreachable = list(&report["hub"], "unreachable");
    assert_eq!(unreachable.len(), 1, "{unreachable:#?}");
    assert!(unreachable[0]["duration_us"].as_u64().unwrap() >= 4_000_000, "{unreachable:#?}");
    assert!(unreachable[0]["reason"].as_str().unwrap().contains("502"), "{unreachable:#?}");
    assert_eq!(verdict(&report, "stability.uptime"), "fail");
    // The hub itself went on.
    assert_eq!((&report["hub"]["stops"], &report["hub"]["exits"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_slow_to_start_was_not_down() {
    let watched = Watched::start().await;
    watched.hub.configure(json!({"slow": watched.hub.slow_server(6)}));
    until("the slow server counts its uptime", async || {
        let server = watched.hub.server("slow").await?;
        (server["uptime"].as_f64()? > 1.0).then_some(())
    })
    .await;
    let report = watched.report().await;
    assert_hub_went_on(&report);
    assert_servers_went_on(&report);
    assert_eq!(server(&report, "slow").unwrap()["never_up"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_the_configuration_is_not_down() {
    let watched = Watched::start().await;
    watched.hub.configure(json!({"second": watched.hub.slow_server(0)}));
    until("the second server counts its uptime", async || {
        let server = watched.hub.server("second").await?;
        (server["uptime"].as_f64()? > 1.0).then_some(())
    })
    .await;
    watched.goes_on(2).await;
    watched.hub.configure(json!({}));
    until("the second server left", async || watched.hub.server("second").await.is_none().then_some(())).await;
    let report = watched.report().await;
    assert_hub_went_on(&report);
    assert_servers_went_on(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_somebody_disables_is_not_down() {
    let watched = Watched::start().await;
    watched.hub.act("stop?disable=true", "filesystem").await;
    let report = watched.report().await;
    assert_hub_went_on(&report);
    assert_servers_went_on(&report);
    assert_ne!(verdict(&report, "integration.no_unexpected_disconnections"), "fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_somebody_restarts_has_not_recovered_by_itself() {
    let watched = Watched::start().await;
    signal("-KILL", watched.hub.child("server-filesystem").expect("the filesystem server runs"));
    watched.goes_on(6).await;
    watched.hub.act("stop", "filesystem").await;
    watched.hub.act("start", "filesystem").await;
    let report = watched.report().await;
    let down = list(server(&report, "filesystem").unwrap(), "down");
    assert_eq!(down.len(), 1, "{down:#?}");
    assert_eq!(down[0]["ending"], "by_hand", "{down:#?}");
    assert_ne!(verdict(&report, "degradation.server_recovery"), "pass");
    assert_eq!(verdict(&report, "integration.servers_connected"), "fail");
    assert_eq!((&report["hub"]["stops"], &report["hub"]["exits"]), (&json!([]), &json!([])));
}
