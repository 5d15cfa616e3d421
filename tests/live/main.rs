//! hubwatch beside a real hub: what is known to have happened must be what the report says. Run with `tests/live/run`.

mod alertmanager;
mod backends;
mod container;
mod faults;
mod fork;
mod hub;
mod instrumented;
#[path = "../invariants/mod.rs"]
mod invariants;
mod limits;
mod mcp;
mod pages;
mod passing;
mod played;
mod receiver;
mod rehearsed;
mod scenario;
mod servers;
mod serving;
mod session;
mod sidecar;
mod sound;
mod tempo;
mod wait;

use std::collections::BTreeSet;

use hubwatch::watch::{RecordUid, Timestamp, names};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use serde_json::Value;

use hub::{Hub, signal};
use receiver::Receiver;
use sidecar::{INTERVAL_US, Sidecar};
use wait::until;

/// The release binary's limit: 20 MB.
const MAX_BINARY_BYTES: u64 = 20_000_000;

/// The sidecar's limit: 20 MiB.
const MAX_MEMORY_KIB: u64 = 20 * 1024;

fn watch_spans(receiver: &Receiver) -> usize {
    receiver.read(|received| received.spans.iter().filter(|span| span.name == names::WATCH_SPAN).count())
}

async fn await_watches(receiver: &Receiver, more: usize) {
    let wanted = watch_spans(receiver) + more;
    until("more watch spans", async || (watch_spans(receiver) >= wanted).then_some(())).await;
}

fn attribute<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a any_value::Value> {
    attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()
}

fn instant(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

fn server<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["servers"].as_array().unwrap().iter().find(|server| server["name"] == name).unwrap()
}

/// When things really happened.
struct Truth {
    killed: Timestamp,
    /// Between these the server began to work again.
    restarting: Timestamp,
    restarted: Timestamp,
    stopped: Timestamp,
}

/// A client comes, calls tools and leaves; the filesystem server is killed, and much later stopped and started; the hub is stopped.
async fn play(hub: &mut Hub, receiver: &Receiver) -> Truth {
    await_watches(receiver, 3).await;
    hub.connect_client().leave();
    await_watches(receiver, 2).await;
    let killed = Timestamp::now();
    signal("-KILL", hub.child("server-filesystem").expect("the filesystem server runs"));
    await_watches(receiver, 6).await;
    let claimed = hub.server("filesystem").await.unwrap();
    assert_eq!(claimed["status"], "connected", "the hub's known defect is gone: {claimed}");
    let restarting = Timestamp::now();
    hub.act("stop", "filesystem").await;
    hub.act("start", "filesystem").await;
    until("the server counts its uptime", async || {
        let server = hub.server("filesystem").await?;
        (server["uptime"].as_f64()? > 0.0).then_some(())
    })
    .await;
    let restarted = Timestamp::now();
    await_watches(receiver, 3).await;
    let stopped = Timestamp::now();
    hub.stop().await;
    await_watches(receiver, 3).await;
    Truth { killed, restarting, restarted, stopped }
}

fn assert_report(report: &Value, truth: &Truth, receiver: &Receiver) {
    assert_eq!(report["provenance"]["backend"], "embedded");
    let polled = receiver.read(|received| {
        let watches = received.spans.iter().filter(|span| span.name == names::WATCH_SPAN);
        watches.filter(|span| attribute(&span.attributes, names::WATCH_POLLED) == Some(&any_value::Value::BoolValue(true))).count()
    });
    assert_eq!(report["coverage"]["polls"], polled);
    assert_eq!(report["coverage"]["missing_watches"], 0);

    let filesystem = server(report, "filesystem");
    let down = filesystem["down"].as_array().unwrap();
    assert_eq!(down.len(), 1, "{down:#?}");
    let (from, to) = (instant(&down[0]["from"]), instant(&down[0]["to"]));
    let slack = INTERVAL_US;
    println!("dead from {} to {}..{}; seen from {from} to {to}", truth.killed, truth.restarting, truth.restarted);
    // Half a millisecond: the report rounds its times to milliseconds.
    assert!(from.get() + 500 >= truth.killed.get() && from.get() <= truth.killed.get() + slack, "{from}");
    assert!(to >= truth.restarting && to.get() <= truth.restarted.get() + slack, "{to}");
    assert_eq!((&filesystem["tools_min"], &filesystem["tools_max"]), (&Value::from(14), &Value::from(14)));

    let github = server(report, "github");
    assert_eq!(github["never_up"], true);
    assert!(github["last_error"].as_str().unwrap().contains("Connection closed"), "{github:#}");

    assert_eq!((&report["clients"]["connected"], &report["clients"]["disconnected"]), (&Value::from(1), &Value::from(1)));
    let stops = report["hub"]["stops"].as_array().unwrap();
    assert_eq!(stops.len(), 1, "{stops:#?}");
    assert_eq!(stops[0]["graceful"], true);
    let stop = instant(&stops[0]["at"]);
    assert!(stop.get() + 500 >= truth.stopped.get() && stop.get() <= truth.stopped.get() + 2 * slack, "{stop}");
}

fn assert_received(receiver: &Receiver) {
    receiver.read(|received| {
        let metrics: BTreeSet<&str> = received.metrics.iter().map(String::as_str).collect();
        for name in [names::METRIC_SERVER_UP, names::METRIC_HTTP_DURATION, names::METRIC_PROCESS_MEMORY, names::METRIC_LOG_LINES] {
            assert!(metrics.contains(name), "{name} is not among {metrics:?}");
        }
        let bodies: BTreeSet<String> = received.records.iter().map(|record| format!("{:?}", record.body)).collect();
        assert!(bodies.iter().any(|body| body.contains("'filesystem' MCP server connected")));
        let uids = received.records.iter().map(|record| match attribute(&record.attributes, names::LOG_RECORD_UID) {
            Some(any_value::Value::StringValue(uid)) => RecordUid::parse(uid).unwrap(),
            other => panic!("a record without an identity: {other:?}"),
        });
        let uids: Vec<_> = uids.collect();
        assert_eq!(uids.iter().collect::<BTreeSet<_>>().len(), uids.len(), "a record came twice");
    });
}

async fn watch_a_real_hub(receiver: Receiver, protocol: &str, start: impl FnOnce(&Hub) -> Sidecar) {
    let mut hub = Hub::start().await;
    let mut sidecar = start(&hub);
    let truth = play(&mut hub, &receiver).await;
    let peak = sidecar.peak_memory_kib();
    sidecar.stop();
    let (report, code) = sidecar.report();
    assert_report(&report, &truth, &receiver);
    assert_received(&receiver);
    // The server was down: that is a failure, however short the period.
    assert_eq!(code, Some(1));
    println!("peak memory of the sidecar, by {protocol}: {peak} KiB");
    assert!(peak < MAX_MEMORY_KIB, "{peak} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_hub_is_seen_as_it_really_is_by_grpc() {
    let (receiver, otlp) = Receiver::grpc().await;
    watch_a_real_hub(receiver, "grpc", |hub| Sidecar::start(&hub.url, &hub.log(), &otlp, "grpc")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_hub_that_nobody_named_is_found_and_seen_as_it_really_is_by_http() {
    let (receiver, otlp) = Receiver::http().await;
    let protocol = "http/protobuf";
    watch_a_real_hub(receiver, protocol, |hub| Sidecar::discover(hub.home(), &otlp, protocol)).await;
}

#[test]
fn the_release_binary_is_small() {
    let size = std::fs::metadata(sidecar::binary()).unwrap().len();
    println!("release binary: {size} bytes");
    assert!(size < MAX_BINARY_BYTES, "{size}");
}
