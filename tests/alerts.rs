//! Alerts reach those who should hear: once, again when over, after failures, later for an escalation, and never with a secret.

mod period;
mod watched;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use hubwatch::alert::message::Sender;
use hubwatch::alert::{Alerts, Kind, Target};
use hubwatch::base::secret::Secret;
use hubwatch::journal::{Commit, Journal, SpanRow, SpanRowKind};
use hubwatch::judge::incident::{Gravity, Incident, IncidentKind};
use hubwatch::judge::moment::Moment;
use hubwatch::live::Live;
use hubwatch::live::follow::{Audience as _, Follower, Following};
use hubwatch::live::vitals::Vitals;
use hubwatch::watch::{ApiOutcome, HubReachable, HubUnreachable, Liveness, Micros, Timestamp, Watch, When, encode, request_of};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use watched::{Hub, read_json, until};

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
    sidecar.until("/metrics", watched::filesystem_is_up).await;
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
async fn alertmanager_is_told_again_before_it_takes_an_alert_for_over_also_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::start(0).await;
    let alertmanager = Target { kind: Kind::Alertmanager, repeat: Duration::from_millis(200), ..target("alertmanager", &url) };
    let ends = || -> Vec<Timestamp> {
        let end = |body: &Value| Timestamp::parse(body[0]["endsAt"].as_str().unwrap()).unwrap();
        receiver.bodies().iter().map(end).collect()
    };
    let crash = incident("a", 3600);
    let mut alerts = start(vec![alertmanager.clone()], folder.path());
    alerts.changed(vec![crash.clone()]);
    until("it is told three times", async || (ends().len() >= 3).then_some(())).await;
    alerts.end().await;
    let told = ends();
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "each puts the end off: {told:?}");
    let soon = Timestamp::now().plus(Micros::from_duration(Duration::from_secs(240)));
    assert!(told.iter().all(|end| *end > soon), "none is near: {told:?}");

    // The next run puts it off before it has read anything, and ends it when it has.
    let mut alerts = start(vec![alertmanager], folder.path());
    until("the next run tells it again", async || (ends().len() > told.len()).then_some(())).await;
    let end = over(&crash);
    alerts.all(vec![end.clone()]);
    let is_over = async || (*ends().last().unwrap() <= Timestamp::now()).then_some(());
    until("it is over", is_over).await;
    alerts.end().await;
    let last = receiver.bodies().last().unwrap()[0].clone();
    assert_eq!((&last["endsAt"], &last["startsAt"]), (&json!(end.end), &json!(crash.start)));
    let labels = |body: &Value| body[0]["labels"].clone();
    assert!(receiver.bodies().iter().all(|body| labels(body) == last["labels"]), "it is one alert all along");
}

/// 75 hours that end now, in which the server went down so many hours ago and stayed so, and the hub was away a day ago, and again a few
/// minutes ago.
fn long_watch(down_for: usize) -> Vec<Watch> {
    let mut watches = period::quiet(75 * 60).watches();
    let minutes = watches.len();
    let down = minutes - down_for * 60;
    let fell = watches[down].interval.start();
    period::add_at(&mut watches[down], fell, period::changed(Liveness::Up, Liveness::Down));
    watches[down..].iter_mut().for_each(|watch| watch.poll.as_mut().unwrap().servers[0].liveness = Liveness::Down);
    for away in [minutes - 24 * 60, minutes - 10] {
        let lost = watches[away].interval.start();
        period::add_at(&mut watches[away], lost, HubUnreachable { outcome: ApiOutcome::Refused });
        for watch in &mut watches[away..away + 5] {
            watch.poll = Some(period::poll(ApiOutcome::Refused, Liveness::Unknown, watch.interval.end()));
        }
        let back = watches[away + 5].interval.start();
        period::add_at(&mut watches[away + 5], back, HubReachable { restarted: Some(false) });
    }
    let by = Timestamp::now().since(watches[minutes - 1].interval.end());
    watches.iter_mut().for_each(|watch| put_off(watch, by));
    watches
}

fn put_off(watch: &mut Watch, by: Micros) {
    watch.interval = hubwatch::watch::Interval::new(watch.interval.start().plus(by), watch.interval.end().plus(by));
    for fact in &mut watch.facts {
        let When::At(at) = fact.when else { continue };
        fact.when = When::At(at.plus(by));
    }
    if let Some(process) = watch.poll.as_mut().and_then(|poll| poll.process.as_mut()) {
        process.started = process.started.plus(by);
    }
}

fn row(watch: &Watch) -> SpanRow {
    let origin = &watch.origin;
    let kind = SpanRowKind::Watch {
        hub: origin.hub.clone(),
        environment: origin.environment.clone(),
        slot: watch.slot(),
        part: origin.part,
        run: origin.run,
        sequence: origin.sequence,
    };
    let otlp = request_of(origin, vec![encode(watch)]).encode_to_vec();
    let (start, end) = (watch.interval.start(), watch.interval.end());
    SpanRow { trace_id: watch.trace_id(), span_id: origin.span_id(), kind, start, end, otlp }
}

/// A state folder with this journal.
async fn kept(watches: &[Watch]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let opened = Journal::open(folder.path()).unwrap();
    for some in watches.chunks(500) {
        opened.journal.commit(Commit { spans: some.iter().map(row).collect(), ..Commit::default() }).await.unwrap();
    }
    opened.journal.close().await.unwrap();
    folder
}

/// A life of the sidecar, as far as the live judge goes, until all this was heard; gives back the incidents of its dashboard.
async fn live(state_dir: &Path, url: &str, receiver: &Receiver, heard: &[(&str, &str)]) -> Vec<Value> {
    let dashboard = state_dir.join("dashboard.json");
    // Nothing is left of the dashboard before.
    let _ = std::fs::remove_file(&dashboard);
    let following = Following {
        hub: period::origin(0).hub,
        environment: period::origin(0).environment,
        state_dir: state_dir.to_owned(),
        rules: Vec::new(),
        vitals: Vitals::default(),
        interval: Duration::from_secs(60),
        dashboard: (dashboard.clone(), Duration::ZERO),
    };
    let follower = Follower::start(Live::default(), following, start(vec![target("chat", url)], state_dir));
    let shown = until("the dashboard is written", async || read_json(&dashboard)).await;
    for (kind, status) in heard {
        receiver.heard(kind, status).await;
    }
    // What is due is told on the way out.
    follower.end().await;
    shown["incidents"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_with_the_same_incidents_and_tells_none_again() {
    let folder = kept(&long_watch(40)).await;
    let (receiver, url) = Receiver::start(0).await;
    let heard = [("hub_down", "firing"), ("hub_down", "resolved"), ("server_down", "firing")];
    let first = live(folder.path(), &url, &receiver, &heard).await;
    let told = receiver.alerts();
    let of = |kind: &str| told.iter().filter(|(of, _)| of == kind).map(|(_, status)| status.as_str()).collect::<Vec<_>>();
    assert_eq!(of("hub_down"), ["firing", "resolved"], "what is a day old is no news: {told:?}");
    assert_eq!(of("server_down"), ["firing"], "{told:?}");
    assert!(first.len() >= 3, "{first:#?}");
    let second = live(folder.path(), &url, &receiver, &[]).await;
    assert_eq!((second, receiver.alerts()), (first, told));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_lasts_longer_than_what_is_judged_is_still_the_same_alert() {
    let (early, late) = (kept(&long_watch(40)).await, kept(&long_watch(60)).await);
    let (receiver, url) = Receiver::start(0).await;
    live(early.path(), &url, &receiver, &[("server_down", "firing"), ("hub_down", "resolved")]).await;
    let of_server = || receiver.alerts().into_iter().filter(|(kind, _)| kind.starts_with("server_")).collect::<Vec<_>>();
    assert_eq!(of_server(), [("server_down".to_owned(), "firing".to_owned())]);
    // Twenty hours later, that the server once worked lies before the 48 hours that are judged: that it was down is still known.
    std::fs::copy(early.path().join("alerts-chat.json"), late.path().join("alerts-chat.json")).unwrap();
    let shown = live(late.path(), &url, &receiver, &[]).await;
    assert!(shown.iter().any(|incident| incident["title"] == "Server filesystem was down"), "{shown:#?}");
    assert_eq!(of_server(), [("server_down".to_owned(), "firing".to_owned())], "it is told neither as over nor as another one");
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

/// A line that repeats, as the hub writes it.
fn repeat(log: &Path, text: &str, times: u64, ago: u64) {
    use std::io::Write as _;
    let begun = Timestamp::now().minus(Micros::new(ago * 1_000_000));
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
    let line = |number: u64| {
        let time = begun.plus(Micros::new(number * 1_000));
        format!("{{\"level\":\"info\",\"time\":\"{time}\",\"pid\":1,\"hostname\":\"h\",\"msg\":\"{text}\"}}\n")
    };
    file.write_all((0..times).map(line).collect::<String>().as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_log_repeats_alerts_nobody_and_a_storm_is_told_with_its_rate() {
    let hub = Hub::start().await;
    let (receiver, url) = Receiver::start(0).await;
    hub.configure(&format!("[[notify]]\nname = 'chat'\nurl = '{url}'\n"));
    let old = hub.folder.path().join("old.log");
    for (text, times) in [("Reading the cache", 11), ("Reading the index", 12), ("Reading the store", 5_000)] {
        repeat(&old, text, times, 600);
    }
    let follow = |log: &Path| {
        let mut command = hub.command("run", &["--hub", &hub.url, "--name", "simulated", "--interval", "200ms"]);
        command.args(["--listen", "127.0.0.1:0", "--log"]).arg(log);
        watched::Sidecar::begin(&mut command)
    };
    let sidecar = follow(&old);
    let read = |report: &Value| report["log"]["lines"].as_u64() == Some(5_023);
    let report = sidecar.until_json("/report.json", read).await;
    let storms = |report: &Value| {
        let incidents = report["incidents"].as_array().unwrap().iter();
        incidents.filter(|incident| incident["kind"] == "log_storm").map(|incident| incident["title"].clone()).collect::<Vec<_>>()
    };
    assert!(storms(&report).is_empty(), "{:?}", storms(&report));
    // The same line a few times more is none, either.
    repeat(&old, "Reading the cache", 40, 1);
    sidecar.until_json("/report.json", |report| report["log"]["lines"].as_u64() == Some(5_063)).await;
    repeat(&old, "Waiting for the lock", 500, 1);
    receiver.heard("log_storm", "firing").await;
    let report = sidecar.until_json("/report.json", |report| storms(report).len() == 1).await;
    let title = storms(&report)[0].as_str().unwrap().to_owned();
    assert!(title.starts_with("The same line was logged 500 times in "), "{title}");
    sidecar.stop();
    // Another run, and a log that was rotated meanwhile, tell nothing again.
    std::fs::rename(&old, hub.folder.path().join("old.log.1")).unwrap();
    repeat(&old, "Goes on", 1, 0);
    let sidecar = follow(&old);
    sidecar.until_json("/report.json", |report| report["log"]["lines"].as_u64() >= Some(5_564)).await;
    sidecar.stop();
    let told = receiver.alerts();
    assert_eq!(told.iter().filter(|(kind, status)| kind == "log_storm" && status == "firing").count(), 1, "{told:?}");
}
