//! How a connection ends, as the server's side sees it, and how the server's end is seen.

use std::io;
use std::time::{Duration, Instant};

use hubwatch::mcp::{Client, Closing, Ended, Limits, McpError, TransportKind};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::server::{Act, DEADLINE, Exchange, connect, endpoint, legacy, result, serve, short};

async fn next<T>(ends: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(DEADLINE, ends.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_finish_is_a_fin_and_a_reset_is_a_reset_on_the_server_s_side() {
    let (url, mut ends) = legacy(|_| vec![]).await;
    let client = connect(&url, Limits::default()).await.unwrap();
    client.close(Closing::Finish).await;
    // It has happened already: nothing is awaited here but the server's task.
    assert!(next(&mut ends).await.is_ok());
    let client = connect(&url, Limits::default()).await.unwrap();
    client.close(Closing::Reset).await;
    assert_eq!(next(&mut ends).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

/// Opens a client; returns it with the server's side of its stream.
async fn with_server_s_side() -> (Client, std::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(&format!("http://{}", listener.local_addr().unwrap()));
    let serving = async {
        let mut exchange = Exchange::read(listener.accept().await.unwrap().0).await.unwrap();
        exchange.begin_stream().await;
        exchange.event("endpoint", "/messages?sessionId=1").await;
        exchange.stream.into_std().unwrap()
    };
    let (client, stream) = tokio::join!(Client::open(&endpoint, TransportKind::HttpSse, Limits::default()), serving);
    (client.unwrap(), stream)
}

#[tokio::test]
async fn the_end_has_been_sent_when_close_returns() {
    use std::io::Read as _;
    // The server's side doesn't block: it sees only what has arrived.
    let (client, mut stream) = with_server_s_side().await;
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    client.close(Closing::Finish).await;
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let (client, mut stream) = with_server_s_side().await;
    client.close(Closing::Reset).await;
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_is_dropped_sends_a_fin() {
    let (url, mut ends) = legacy(|_| vec![]).await;
    drop(connect(&url, Limits::default()).await.unwrap());
    assert!(next(&mut ends).await.is_ok());
    // Also before the handshake, and with a request under way.
    drop(Client::open(&endpoint(&url), TransportKind::HttpSse, Limits::default()).await.unwrap());
    assert!(next(&mut ends).await.is_ok());
    let client = connect(&url, Limits::default()).await.unwrap();
    let error = client.request_within("tools/call", Value::Null, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, McpError::Timeout { .. }), "{error}");
    drop(client);
    assert!(next(&mut ends).await.is_ok());
}

/// A server that goes on writing to its stream, and tells how each read and each write ended.
async fn talker(limits: Limits) -> (Client, mpsc::UnboundedReceiver<Result<(), io::ErrorKind>>) {
    let (tell, ends) = mpsc::unbounded_channel();
    let url = serve(move |mut exchange: Exchange| {
        let tell = tell.clone();
        async move {
            exchange.begin_stream().await;
            exchange.event("endpoint", "/messages?sessionId=1").await;
            let (mut reading, mut writing) = exchange.stream.into_split();
            let event = format!("10000\r\n: {}\r\n", "x".repeat(0x10000 - 2));
            let talking = tokio::spawn(async move {
                loop {
                    let written = tokio::io::AsyncWriteExt::write_all(&mut writing, event.as_bytes()).await;
                    if let Err(error) = written {
                        return error.kind();
                    }
                }
            });
            let read = tokio::io::AsyncReadExt::read(&mut reading, &mut [0; 16]).await;
            tell.send(read.map(|count| assert_eq!(count, 0)).map_err(|error| error.kind())).unwrap();
            tell.send(Err(talking.await.unwrap())).unwrap();
        }
    })
    .await;
    (Client::open(&endpoint(&url), TransportKind::HttpSse, limits).await.unwrap(), ends)
}

#[tokio::test]
async fn a_finish_is_a_fin_even_while_the_server_goes_on_writing() {
    let (client, mut ends) = talker(Limits::default()).await;
    let begun = Instant::now();
    client.close(Closing::Finish).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(next(&mut ends).await, Ok(()));
    // Afterwards the connection is closed, so the server can't write for ever.
    assert!(next(&mut ends).await.is_err());
}

#[tokio::test]
async fn a_half_close_reads_on_until_its_limit() {
    let (client, mut ends) = talker(short()).await;
    let begun = Instant::now();
    client.close(Closing::HalfClose).await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(next(&mut ends).await, Ok(()));
    assert!(next(&mut ends).await.is_err());
}

#[tokio::test]
async fn a_client_that_stops_reading_stays_connected_and_takes_nothing() {
    let (told, mut progress) = mpsc::unbounded_channel();
    let url = serve(move |mut exchange: Exchange| {
        let told = told.clone();
        async move {
            exchange.begin_stream().await;
            exchange.event("endpoint", "/messages?sessionId=1").await;
            told.send(None).unwrap();
            let event = format!("10000\r\n: {}\r\n", "x".repeat(0x10000 - 2));
            // The kernel's buffers take some of it.
            let stuck = async {
                loop {
                    let writing = tokio::io::AsyncWriteExt::write_all(&mut exchange.stream, event.as_bytes());
                    if tokio::time::timeout(Duration::from_millis(500), writing).await.is_err() {
                        return;
                    }
                }
            };
            stuck.await;
            told.send(Some(Ok(()))).unwrap();
            told.send(Some(exchange.end().await.map_err(|error| error.kind()))).unwrap();
        }
    })
    .await;
    let client = Client::open(&endpoint(&url), TransportKind::HttpSse, Limits::default()).await.unwrap();
    client.stop_reading();
    assert_eq!(next(&mut progress).await, None);
    assert_eq!(next(&mut progress).await, Some(Ok(())));
    assert_eq!(client.ended(), None);
    client.close(Closing::Reset).await;
    assert_eq!(next(&mut progress).await, Some(Err(io::ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn a_silent_stream_is_closed_at_the_idle_limit() {
    let (url, mut ends) = legacy(|message| vec![result(message, &serde_json::json!({}))]).await;
    let limit = Duration::from_millis(300);
    let client = connect(&url, Limits { idle: Some(limit), ..Limits::default() }).await.unwrap();
    for _ in 0..3 {
        client.request("ping", Value::Null).await.unwrap();
        tokio::time::sleep(limit / 3).await;
    }
    assert_eq!(tokio::time::timeout(DEADLINE, client.closed()).await.unwrap(), Ended::Idle { limit });
    assert!(next(&mut ends).await.is_ok());
    let error = client.request("ping", Value::Null).await.unwrap_err();
    assert_eq!(error, McpError::Ended { how: Ended::Idle { limit } });
    client.close(Closing::Finish).await;
}

#[tokio::test]
async fn the_server_s_end_is_told_apart() {
    for (method, expected) in [("complete", Ended::Complete), ("finish", Ended::Finished), ("reset", Ended::Reset)] {
        let (url, _ends) = legacy(|message| match message["method"].as_str().unwrap() {
            "complete" => vec![Act::Complete],
            "finish" => vec![Act::Finish],
            _ => vec![Act::Reset],
        })
        .await;
        let client = connect(&url, Limits::default()).await.unwrap();
        let error = client.request(method, Value::Null).await.unwrap_err();
        assert_eq!(error, McpError::Ended { how: expected.clone() }, "{method}");
        assert_eq!((client.ended(), client.outstanding()), (Some(expected), 1));
        // What can't come any more is not awaited.
        assert!(!client.settled(DEADLINE).await);
        assert!(client.notify("notifications/x", Value::Null).await.is_err());
    }
}
