//! The program is killed again and again while senders repeat what was not acknowledged. In the end the destination has each span once.
//!
//! `HUBWATCH_KILLS` sets the number of kills, `HUBWATCH_SEED` their times.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use hubwatch::backend::embedded::Embedded;
use hubwatch::backend::period::{self, Wanted};
use hubwatch::journal::{Journal, JournalReader};
use hubwatch::watch::{Environment, Fact, FactKind, HubName, Micros, Timestamp, ToolFact};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;

use super::program::{HUB, PATIENCE, Program, free_port, hub, serve, until};
use super::stage::{PROTOBUF, bytes, client, gzip, span, spans_of, traces};

/// Default number of kills: more take too long for a test.
const KILLS: u64 = 20;

/// Spans in a request.
const SPANS: u64 = 5;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The ids of a trace and a span.
type Identity = (Vec<u8>, Vec<u8>);

/// A destination that keeps how often each span of a sender arrived.
#[derive(Clone, Default)]
struct Destination {
    arrivals: Arc<Mutex<BTreeMap<Identity, u64>>>,
    takes: Arc<AtomicBool>,
}

impl Destination {
    async fn start(takes: bool) -> (Self, String) {
        let destination = Self::default();
        destination.takes.store(takes, Ordering::Relaxed);
        let take = async |State(destination): State<Self>, body: Bytes| {
            if !destination.takes.load(Ordering::Relaxed) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            let spans = spans_of(ExportTraceServiceRequest::decode(body).unwrap());
            let mut arrivals = destination.arrivals.lock().unwrap();
            for span in spans.into_iter().filter(|span| span.name == "tools/call") {
                *arrivals.entry((span.trace_id, span.span_id)).or_default() += 1;
            }
            StatusCode::OK
        };
        let routes = axum::Router::new().route("/v1/traces", post(take)).with_state(destination.clone());
        (destination, serve(routes).await)
    }

    fn spans(&self) -> u64 {
        self.arrivals.lock().unwrap().len() as u64
    }

    /// The largest number of times that a span arrived.
    fn most(&self) -> u64 {
        self.arrivals.lock().unwrap().values().copied().max().unwrap_or(0)
    }
}

/// Sends requests until it is to stop, each until it is acknowledged.
async fn send(number: u64, port: u16, acknowledged: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let address = format!("http://127.0.0.1:{port}");
    let http = client();
    for request in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let first = (number << 40) + request * 10;
        let request = traces((first..first + SPANS).map(span).collect());
        loop {
            let taken = if number.is_multiple_of(2) {
                let answer =
                    http.post(format!("{address}/v1/traces")).header(PROTOBUF.0, PROTOBUF.1).header("content-encoding", "gzip");
                let answer = answer.timeout(Duration::from_secs(5)).body(gzip(&bytes(&request))).send().await;
                answer.is_ok_and(|answer| answer.status() == 200)
            } else {
                let export = async { TraceServiceClient::connect(address.clone()).await.ok()?.export(request.clone()).await.ok() };
                tokio::time::timeout(Duration::from_secs(5), export).await.is_ok_and(|answer| answer.is_some())
            };
            if taken {
                acknowledged.fetch_add(SPANS, Ordering::Relaxed);
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Kills the program while senders repeat; returns what was acknowledged and the destination.
async fn play(takes_meanwhile: bool) -> (u64, Destination) {
    let (kills, seed) = (setting("HUBWATCH_KILLS", KILLS), setting("HUBWATCH_SEED", 42));
    println!("{kills} kills, HUBWATCH_SEED={seed}");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (destination, endpoint) = Destination::start(takes_meanwhile).await;
    let hub = hub().await;
    let port = free_port();
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> =
        (0..4).map(|number| tokio::spawn(send(number, port, Arc::clone(&acknowledged), Arc::clone(&stop)))).collect();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..kills {
        let before = acknowledged.load(Ordering::Relaxed);
        let mut program = Program::start(folder.path(), &hub, port, &["--otlp", &endpoint]);
        until("a request is acknowledged", folder.path(), || acknowledged.load(Ordering::Relaxed) > before).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..500))).await;
        program.kill();
    }
    let program = Program::start(folder.path(), &hub, port, &["--otlp", &endpoint]);
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        tokio::time::timeout(PATIENCE, sender).await.expect("a sender still repeats").unwrap();
    }
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    destination.takes.store(true, Ordering::Relaxed);
    until("all spans arrive", folder.path(), || destination.spans() >= acknowledged).await;
    program.stop(folder.path()).await;
    // The watch has used what was received: each span is in one Watch, and nothing waits in the journal.
    assert_eq!(counted(&folder.path().join("state")).await, acknowledged);
    let journal = Journal::open(&folder.path().join("state")).unwrap().journal;
    assert!(journal.observed().await.unwrap().is_empty());
    (acknowledged, destination)
}

/// The calls of tools that all Watches count.
async fn counted(state: &Path) -> u64 {
    let wanted = Wanted {
        hub: HubName::parse(HUB).unwrap(),
        environment: Environment::parse("staging").unwrap(),
        from: Timestamp::now().minus(Micros::new(3_600_000_000)),
        to: Timestamp::now().plus(Micros::new(60_000_000)),
    };
    let backend = Embedded::new(JournalReader::open(state).unwrap());
    let watches = period::read(&backend, &wanted, Vec::new, Vec::push, |watches| watches, |_, _| ()).await.unwrap().0;
    let count = |fact: &Fact| match &fact.kind {
        FactKind::Tool(ToolFact::ToolCallsCounted(calls)) => calls.count.get(),
        _ => 0,
    };
    watches.iter().flat_map(|watch| &watch.facts).map(count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_no_span_and_double_none() {
    // The destination takes nothing until the last kill, so that it sees what the journal has, and nothing of what is sent twice.
    let (acknowledged, destination) = play(false).await;
    assert_eq!((destination.spans(), destination.most()), (acknowledged, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_the_destination_takes_lose_no_span() {
    let (acknowledged, destination) = play(true).await;
    assert_eq!(destination.spans(), acknowledged);
}
