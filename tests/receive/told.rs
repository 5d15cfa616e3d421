//! What people see of the receiver, and what it costs.

use std::process::Command;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::program::{Program, free_port, hub, stderr, until};
use super::stage::{JSON, PROTOBUF, bytes, client, gzip, pair, post, span, traces};

/// The most memory that the program may take beside what it takes without a sender, whatever is sent. A release takes 20 MiB without one
/// and must stay below 64 MiB; a program with debugging information takes more.
const MAX_MORE_KIB: u64 = 40 * 1024;

async fn page(address: &str) -> String {
    match client().get(address).send().await {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// Waits until a page has a text.
async fn shows(folder: &std::path::Path, address: &str, text: &str) {
    let shows = async {
        while !page(address).await.contains(text) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(30), shows).await;
    assert!(shown.is_ok(), "{text} is not in {}; {}", page(address).await, stderr(folder));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_tell_what_was_received_and_refused() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (hub, port, listen) = (hub().await, free_port(), free_port());
    let program = Program::start(folder.path(), &hub, port, &["--listen", &listen.to_string()]);
    let address = format!("http://127.0.0.1:{port}/v1/traces");
    shows(folder.path(), &format!("http://127.0.0.1:{listen}/readyz"), r#""ready":true"#).await;
    assert_eq!(post(&address, &[PROTOBUF], bytes(&traces(vec![span(0), span(1)]))).await.status(), 200);
    assert_eq!(post(&address, &[JSON], "no JSON").await.status(), 400);
    let metrics = format!("http://127.0.0.1:{listen}/metrics");
    let accepted = r#"receiver="otlp",transport="http"} 2"#;
    shows(folder.path(), &metrics, accepted).await;
    let text = page(&metrics).await;
    let line = text.lines().find(|line| line.ends_with(accepted)).unwrap();
    assert!(line.starts_with("otelcol_receiver_accepted_spans_total{"), "{line}");
    assert!(text.contains(r#"receiver="otlp",reason="malformed"} 1"#), "{text}");
    shows(folder.path(), &format!("http://127.0.0.1:{listen}/status.json"), "2 records, 1 refused").await;

    let mut doctor = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    doctor.args(["doctor", "--hub", &hub]).arg("--state-dir").arg(folder.path().join("state"));
    doctor.env_clear().env("HUBWATCH_RECEIVE", port.to_string());
    let said = String::from_utf8(doctor.output().unwrap().stdout).unwrap();
    assert!(said.contains(&format!("a watch receives OTLP on 127.0.0.1:{port}")), "{said}");

    let mut second = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    second.args(["run", "--hub", &hub, "--receive", &port.to_string()]).arg("--state-dir").arg(folder.path().join("other"));
    let second = second.env_clear().output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("can't receive OTLP on 127.0.0.1:{port}")), "{said}");
    program.stop(folder.path()).await;

    let mut report = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    report.args(["report", "--since", "1h", "--format", "json", "--out", "-"]).arg("--state-dir").arg(folder.path().join("state"));
    let report = String::from_utf8(report.env_clear().output().unwrap().stdout).unwrap();
    assert!(report.contains("The OTLP receiver refused 1 requests (malformed)"), "{report}");
}

/// The most resident memory that the program had, in KiB.
fn peak(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A large request: random texts, or many small attributes.
fn large(random: &mut fastrand::Rng, number: u64) -> Vec<u8> {
    if number.is_multiple_of(2) {
        let attributes: Vec<_> = (0..1_000).map(|at| pair(&format!("a{at}"), "b")).collect();
        let spans = (0..60).map(|at| Span { attributes: attributes.clone(), ..span(number * 10_000 + at * 2) });
        return bytes(&traces(spans.collect()));
    }
    let spans = (0..2_000).map(|at| {
        let mut span = span(number * 10_000 + at * 2);
        span.name = (0..1_500).map(|_| random.alphanumeric()).collect();
        span
    });
    bytes(&traces(spans.collect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sender_takes_more_than_the_receivers_share_of_memory() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (hub, port) = (hub().await, free_port());
    let program = Program::start(folder.path(), &hub, port, &[]);
    let address = format!("http://127.0.0.1:{port}/v1/traces");
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    until("it listens", folder.path(), listens).await;
    let before = peak(&program);
    let mut random = fastrand::Rng::with_seed(1);
    let bodies: Vec<_> = (0..4).map(|number| large(&mut random, number)).collect();
    let bomb = gzip(&vec![b'['; 80 * 1024 * 1024]);
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // It may have been closed already for another one.
        let _ = stream.write_all(&[b"POST /v1/traces HTTP/1.1\r\na: ".as_slice(), &[b'b'; 50_000]].concat()).await;
        held.push(stream);
    }
    for round in 0..3 {
        let sends = bodies.iter().flat_map(|body| {
            let (address, body, bomb) = (address.clone(), body.clone(), bomb.clone());
            // Different bytes in each round: a repeated request would not be kept.
            let body = [body, bytes(&traces(vec![span(round)]))].concat();
            [
                tokio::spawn({
                    let (address, body) = (address.clone(), body.clone());
                    async move { try_post(&address, &[PROTOBUF], body).await }
                }),
                tokio::spawn({
                    let (address, body) = (address.clone(), gzip(&body));
                    async move { try_post(&address, &[PROTOBUF, ("content-encoding", "gzip")], body).await }
                }),
                tokio::spawn(async move { try_post(&address, &[JSON, ("content-encoding", "gzip")], bomb).await }),
            ]
        });
        for sent in sends.collect::<Vec<_>>() {
            sent.await.unwrap();
        }
    }
    let after = peak(&program);
    println!("at most {before} KiB before, {after} KiB afterwards");
    assert!(after - before < MAX_MORE_KIB, "{before} KiB, then {after} KiB");
    assert_eq!(post(&address, &[PROTOBUF], bytes(&traces(vec![span(7)]))).await.status(), 200);
    program.stop(folder.path()).await;
}

/// Posts a body; a hostile sender does not mind a broken connection.
async fn try_post(address: &str, headers: &[(&str, &str)], body: Vec<u8>) {
    let mut request = client().post(address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let _ = request.body(body).send().await;
}
