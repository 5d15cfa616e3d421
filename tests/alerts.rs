//! Alerts reach those who should hear: once, again when over, after failures, later for an escalation, and never with a secret.

mod watched;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use hubwatch::alert::message::Sender;
use hubwatch::alert::{Alerts, Kind, Target};
use hubwatch::config::Secret;
use hubwatch::judge::incident::{Gravity, Incident, IncidentKind};
use hubwatch::judge::moment::Moment;
use hubwatch::live::follow::Audience as _;
use hubwatch::watch::{Micros, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use watched::{Hub, until};

/// Somebody who is told.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    bodies: Vec<Value>,
    headers: Vec<HeaderMap>,
    /// How many of the next messages are refused.
    refusals: u32,
    refused: u32,
}

impl Receiver {
    /// Refuses the first messages.
    async fn start(refusals: u32) -> (Self, String) {
        let receiver = Self::default();
        receiver.0.lock().unwrap().refusals = refusals;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new().fallback(Self::take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (receiver, url)
    }

    async fn take(State(Self(received)): State<Self>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
        let mut received = received.lock().unwrap();
        if received.refused < received.refusals {
            received.refused += 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        received.bodies.push(body);
        received.headers.push(headers);
        StatusCode::OK
    }

    fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().bodies.clone()
    }

    /// Kind and status of each alert that a webhook was told of, in order.
    fn alerts(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let bodies = self.bodies();
        let alerts = bodies.iter().flat_map(|body| body["alerts"].as_array().unwrap());
        alerts.map(|alert| (text(&alert["kind"]), text(&alert["status"]))).collect()
    }

    async fn heard(&self, kind: &str, status: &str) {
        let wanted = (kind.to_owned(), status.to_owned());
        until(&format!("{kind} is {status}"), async || self.alerts().contains(&wanted).then_some(())).await;
    }
}

fn target(name: &str, url: &str) -> Target {
    Target {
        name: name.to_owned(),
        kind: Kind::Webhook,
        url: Secret::new(url),
        headers: Vec::new(),
        level: Gravity::Warning,
        after: Duration::ZERO,
        repeat: Duration::from_secs(3600),
        an_hour: 1_000,
        ca: None,
    }
}

fn start(targets: Vec<Target>, state_dir: &Path) -> Alerts {
    let sender = Sender { hub: "hub".to_owned(), environment: "staging".to_owned(), build: None };
    Alerts::start(targets, &sender, state_dir).unwrap()
}

fn incident(subject: &str, begun_ago: u64) -> Incident {
    Incident {
        id: format!("server_down-{subject}"),
        kind: IncidentKind::ServerDown,
        severity: Gravity::Critical,
        subject: subject.to_owned(),
        start: Moment(Timestamp::now().minus(Micros::new(begun_ago * 1_000_000))),
        end: None,
        title: format!("Server {subject} is down"),
        cause: None,
        effect: "its tools answer nothing".to_owned(),
        count: 1,
        evidence: Vec::new(),
        planned: None,
    }
}

fn over(incident: &Incident) -> Incident {
    Incident { end: Some(Moment(Timestamp::now())), ..incident.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_told_once_and_so_is_its_end_and_a_restart_of_the_sidecar_tells_nothing_again() {
    let hub = Hub::start().await;
    let (receiver, url) = Receiver::start(0).await;
    hub.configure(&format!(
        "[servers.github]\nexpected = ['disconnected', 'connecting']\n\
         [[notify]]\nname = 'chat'\nurl = '{url}/s3cret-path'\nheaders = {{ Authorization = 'Bearer s3cret-word' }}\n"
    ));
    let sidecar = hub.watch(&[]);
    sidecar.until("/metrics", |page| page.contains("mcphub_server_name=\"filesystem\"} 1\n")).await;
    hub.kills("filesystem");
    receiver.heard("server_down", "firing").await;
    sidecar.stop();

    let sidecar = hub.watch(&[]);
    sidecar.until_json("/status.json", |status| status["watched"]["verdict"] == "fail").await;
    hub.brings_back("filesystem");
    receiver.heard("server_down", "resolved").await;
    let told = sidecar.told();
    sidecar.stop();
    let of_crash: Vec<_> = receiver.alerts().into_iter().filter(|(kind, _)| kind == "server_down").collect();
    assert_eq!(of_crash.iter().map(|(_, status)| status.as_str()).collect::<Vec<_>>(), ["firing", "resolved"]);

    let first = receiver.bodies().into_iter().find(|body| body["alerts"][0]["kind"] == "server_down").unwrap();
    assert_eq!((&first["hub"], &first["environment"], &first["version"]), (&json!("simulated"), &json!("staging"), &json!(1)));
    assert!(first["text"].as_str().unwrap().contains("filesystem"), "{first:#}");
    let authorised = |headers: &HeaderMap| headers.get("authorization").is_some_and(|value| value == "Bearer s3cret-word");
    assert!(receiver.0.lock().unwrap().headers.iter().all(authorised));
    assert!(!told.contains("s3cret"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_again_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::start(2).await;
    let mut alerts = start(vec![target("a", &url)], folder.path());
    let crash = incident("a", 0);
    alerts.changed(vec![crash.clone()]);
    receiver.heard("server_down", "firing").await;
    alerts.changed(vec![over(&crash)]);
    receiver.heard("server_down", "resolved").await;
    let refused = receiver.0.lock().unwrap().refused;
    assert_eq!((refused, receiver.bodies().len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_target_that_is_away_does_not_keep_the_others_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::start(0).await;
    let mut alerts = start(vec![target("away", "http://127.0.0.1:9"), target("here", &url)], folder.path());
    alerts.changed(vec![incident("a", 0)]);
    receiver.heard("server_down", "firing").await;
    alerts.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escalation_hears_of_what_lasts_and_not_of_what_was_short() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::start(0).await;
    let escalation = Target { after: Duration::from_secs(900), ..target("lead", &url) };
    let mut alerts = start(vec![escalation], folder.path());
    let (short, long) = (incident("short", 60), incident("long", 901));
    alerts.changed(vec![short.clone(), long]);
    alerts.changed(vec![over(&short)]);
    receiver.heard("server_down", "firing").await;
    alerts.end().await;
    let subjects: Vec<_> = receiver.bodies().iter().map(|body| body["alerts"][0]["subject"].clone()).collect();
    assert_eq!((subjects, receiver.alerts().len()), (vec![json!("long")], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_few_messages_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::start(0).await;
    let mut alerts = start(vec![target("a", &url)], folder.path());
    alerts.changed((0..45).map(|number| incident(&number.to_string(), 0)).collect());
    until("all were told", async || (receiver.alerts().len() == 45).then_some(())).await;
    let sizes: Vec<_> = receiver.bodies().iter().map(|body| body["alerts"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [20, 20, 5]);
}
