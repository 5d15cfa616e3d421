//! What the instrumentation of a real hub sends is what the hub's clients saw.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::fork::checkout;
use crate::hub::{Hub, free_port, modules};
use crate::receiver::Receiver;
use crate::sidecar::Sidecar;
use crate::wait::until;
use crate::{attribute, await_watches};

/// Plays the hub's clients and compares; prints the figures.
fn check(more: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("instrument/node/lab/check.mjs");
    let output = Command::new("node").arg(script).arg("--modules").arg(modules()).args(more).output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.ends_with("all of it agrees\n"), "{told}{errors}");
    println!("{told}");
}

#[test]
fn what_the_instrumentation_of_the_hub_sends_is_what_its_clients_saw() {
    check(&[]);
}

#[test]
fn what_the_instrumentation_of_the_fork_sends_is_what_its_clients_saw_with_both_loggers() {
    let Some(checkout) = checkout() else { return };
    let fork = checkout.to_str().unwrap();
    check(&["--fork", fork]);
    check(&["--fork", fork, "--legacy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_of_each_tool_call_of_a_real_hub_what_its_client_saw() {
    let port = free_port();
    let hub = Hub::instrumented(port).await;
    let (receiver, otlp) = Receiver::grpc().await;
    let mut sidecar = Sidecar::receiving(&hub.url, &hub.log(), port, &otlp, "grpc");
    await_watches(&receiver, 2).await;
    let missing = json!({"path": hub.data().join("no-such-file")});
    for call in 0..200 {
        let answer = match call % 10 {
            0 => hub.call("filesystem", "read_text_file", missing.clone()).await,
            _ => hub.call("filesystem", "list_allowed_directories", json!({})).await,
        };
        assert_eq!(answer["result"]["isError"] == true, call % 10 == 0, "{answer}");
    }
    let is_call = |span: &opentelemetry_proto::tonic::trace::v1::Span| span.name.starts_with("tools/call ");
    until("all spans were sent on", async || {
        receiver.read(|received| (received.spans.iter().filter(|span| is_call(span)).count() == 200).then_some(()))
    })
    .await;
    await_watches(&receiver, 2).await;
    println!("peak memory of the sidecar with its receiver: {} KiB", sidecar.peak_memory_kib());
    sidecar.stop();
    let spans: Vec<_> = receiver.read(|received| received.spans.iter().filter(|span| is_call(span)).cloned().collect());
    assert!(spans.iter().all(|span| attribute(&span.attributes, "mcphub.server.name").is_some()));
    let (report, _) = sidecar.report();
    let calls = &report["tool_calls"];
    assert_eq!(calls["by_outcome"], json!({"ok": 180, "tool_error": 20}));
    let took: u64 = spans.iter().map(|span| (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000).sum();
    let mean = calls["mean_us"].as_u64().unwrap();
    assert!(mean.abs_diff(took / 200) <= 1, "{mean} {took}");
    let longest = spans.iter().map(|span| (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000).max();
    assert_eq!(calls["max_us"].as_u64(), longest);
    let tools: Vec<(&str, u64, u64)> = calls["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| {
            let number = |of: &Value| of.as_u64().unwrap();
            (tool["tool"].as_str().unwrap(), number(&tool["calls"]), number(&tool["failed"]))
        })
        .collect();
    assert_eq!(tools, [("list_allowed_directories", 180, 0), ("read_text_file", 20, 20)]);
    let failed = report["measures"].as_array().unwrap().iter().find(|figure| figure["measure"] == "tools.failed_share").unwrap();
    assert_eq!((failed["shown"].as_str(), failed["samples"].as_u64()), (Some("10.0 %"), Some(200)));
    let page = sidecar.page("md");
    assert!(page.contains("Tool calls, as instrumentation of the hub shows them"), "{page}");
}
