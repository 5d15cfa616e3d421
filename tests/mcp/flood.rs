//! Servers that send without end: the memory stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hubwatch::mcp::{Client, Closing, Ended, FaultKind, Limits, McpError, TransportKind};
use serde_json::Value;

use crate::server::{Act, Exchange, connect, legacy, serve, short, until};

/// What the process may grow by, with all tests in it at once. The messages here have 1 GB.
const ROOM_KIB: u64 = 200 * 1024;

/// The largest resident size of this process so far.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_a_gigabyte_is_too_large_and_takes_no_memory() {
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let url = serve(move |mut exchange: Exchange| {
        let count = Arc::clone(&count);
        async move {
            if exchange.method == "POST" {
                return exchange.accept().await;
            }
            exchange.begin_stream().await;
            exchange.event("endpoint", "/messages?sessionId=1").await;
            exchange.chunk("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"x\":\"").await;
            let piece = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
            for _ in 0..1_000 {
                if tokio::io::AsyncWriteExt::write_all(&mut exchange.stream, piece.as_bytes()).await.is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
            exchange.chunk("\"}}\n\n").await;
            exchange.event("message", r#"{"jsonrpc":"2.0","method":"after"}"#).await;
            let _ = exchange.end().await;
        }
    })
    .await;
    let before = peak_kib();
    let error = connect(&url, Limits::default()).await.unwrap_err();
    assert!(matches!(error, McpError::TooLarge { .. }), "{error}");
    // The rest is skipped, and the stream goes on.
    let endpoint = crate::server::endpoint(&url);
    let client = Client::open(&endpoint, TransportKind::HttpSse, Limits::default()).await.unwrap();
    until("the message after it", async || !client.notifications().is_empty()).await;
    assert!(written.load(Ordering::SeqCst) >= 1_000);
    assert_eq!(client.faults().iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::TooLarge]);
    let grown = peak_kib() - before;
    assert!(grown < ROOM_KIB, "{grown} KiB");
    client.close(Closing::Finish).await;
}

#[tokio::test]
async fn a_stream_without_line_ends_is_too_large_before_the_endpoint_event() {
    let url = serve(|mut exchange: Exchange| async move {
        exchange.begin_stream().await;
        let piece = "x".repeat(0x1_0000);
        // The client closes the connection at its limit.
        for _ in 0..1_000 {
            exchange.chunk(&piece).await;
        }
    })
    .await;
    let error = connect(&url, Limits::default()).await.unwrap_err();
    assert!(matches!(error, McpError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_storm_of_notifications_and_faults_is_counted() {
    let (url, _ends) = legacy(|_| {
        let note = |number: u32| Act::Data(format!(r#"{{"jsonrpc":"2.0","method":"n","params":{{"n":{number}}}}}"#));
        let wrong = (0..500).map(|_| Act::Data("wrong".into()));
        (0..3_000).map(note).chain(wrong).chain([Act::Complete]).collect()
    })
    .await;
    let limits = Limits { notifications: 100, faults: 10, ..Limits::default() };
    let client = connect(&url, limits).await.unwrap();
    client.notify("begin", Value::Null).await.unwrap();
    assert_eq!(client.closed().await, Ended::Complete);
    assert_eq!((client.notifications().len(), client.notifications_dropped()), (100, 2_900));
    assert_eq!((client.faults().len(), client.faults_dropped()), (10, 490));
}

#[tokio::test]
async fn only_so_many_requests_are_outstanding() {
    let (url, _ends) = legacy(|_| vec![]).await;
    let client = connect(&url, Limits { outstanding: 3, ..short() }).await.unwrap();
    let all = futures_util::future::join_all((0..5).map(|_| client.request("a", Value::Null))).await;
    let refused = all.iter().filter(|one| matches!(one, Err(McpError::TooManyOutstanding { limit: 3 }))).count();
    assert_eq!((refused, client.outstanding()), (2, 3));
}

#[tokio::test]
async fn pings_without_end_are_answered_only_a_few_at_once() {
    let replies = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&replies);
    let url = serve(move |mut exchange: Exchange| {
        let count = Arc::clone(&count);
        async move {
            if exchange.method == "POST" {
                // It takes each reply, and never says so.
                count.fetch_add(1, Ordering::SeqCst);
                let _ = exchange.end().await;
                return;
            }
            exchange.begin_stream().await;
            exchange.event("endpoint", "/messages?sessionId=1").await;
            for id in 0..5_000 {
                exchange.event("message", &format!(r#"{{"jsonrpc":"2.0","method":"ping","id":{id}}}"#)).await;
            }
            exchange.write("0\r\n\r\n").await;
        }
    })
    .await;
    let client = Client::open(&crate::server::endpoint(&url), TransportKind::HttpSse, Limits::default()).await.unwrap();
    assert_eq!(client.closed().await, Ended::Complete);
    until("the first replies", async || replies.load(Ordering::SeqCst) == 4).await;
    client.close(Closing::Finish).await;
    assert_eq!(replies.load(Ordering::SeqCst), 4);
}
