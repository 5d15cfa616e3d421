//! A hub that dies at each step.

use hubwatch::mcp::{Client, Ended, Limits, McpError, TransportKind};
use serde_json::Value;

use crate::server::{Act, Exchange, connect, endpoint, legacy, reset, serve};

/// The end of a process as its client sees it: FIN, or RST if it had not read everything.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    Fin,
    Rst,
}

fn die(exchange: Exchange, death: Death) {
    if death == Death::Rst {
        reset(exchange);
    }
}

fn ended(death: Death) -> McpError {
    McpError::Ended { how: if death == Death::Fin { Ended::Finished } else { Ended::Reset } }
}

#[tokio::test]
async fn before_the_head_of_the_stream() {
    for death in [Death::Fin, Death::Rst] {
        let url = serve(move |exchange: Exchange| async move { die(exchange, death) }).await;
        assert_eq!(connect(&url, Limits::default()).await.unwrap_err(), ended(death));
    }
}

#[tokio::test]
async fn in_the_head_and_before_the_endpoint_event() {
    for begin in ["HTTP/1.1 200 OK\r\nContent-Ty", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: endp"] {
        for death in [Death::Fin, Death::Rst] {
            let url = serve(move |mut exchange: Exchange| async move {
                exchange.write(begin).await;
                die(exchange, death);
            })
            .await;
            let error = connect(&url, Limits::default()).await.unwrap_err();
            assert!(matches!(error, McpError::Ended { how: Ended::Finished | Ended::Reset }), "{begin}: {error}");
        }
    }
}

/// A server whose stream stays, and whose POST ends in death. `begin` is written before.
async fn dies_at_the_post(begin: &'static str, death: Death) -> (McpError, usize) {
    let url = serve(move |mut exchange: Exchange| async move {
        if exchange.method == "GET" {
            exchange.begin_stream().await;
            exchange.event("endpoint", "/messages?sessionId=1").await;
            let _ = exchange.end().await;
        } else {
            exchange.write(begin).await;
            die(exchange, death);
        }
    })
    .await;
    let client = Client::open(&endpoint(&url), TransportKind::HttpSse, Limits::default()).await.unwrap();
    let error = client.handshake("probe").await.unwrap_err();
    assert_eq!(client.ended(), None);
    (error, client.outstanding())
}

#[tokio::test]
async fn at_the_post() {
    for death in [Death::Fin, Death::Rst] {
        // Whether it has taken the message is not known.
        assert_eq!(dies_at_the_post("", death).await, (ended(death), 1));
        let (error, outstanding) = dies_at_the_post("HTTP/1.1 202 Acc", death).await;
        assert!(matches!(error, McpError::Ended { .. }), "{error}");
        assert_eq!(outstanding, 1);
    }
}

#[tokio::test]
async fn after_the_post_and_in_the_middle_of_a_message() {
    for begin in ["", "1000\r\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"res"] {
        for death in [Death::Fin, Death::Rst] {
            let (url, _ends) = legacy(move |_| {
                let end = if death == Death::Fin { Act::Finish } else { Act::Reset };
                vec![Act::Raw(begin.to_owned()), end]
            })
            .await;
            let client = connect(&url, Limits::default()).await.unwrap();
            let error = client.request("tools/list", Value::Null).await.unwrap_err();
            assert_eq!(error, ended(death), "{begin}");
            assert_eq!((client.ended().is_some(), client.outstanding(), client.faults()), (true, 1, vec![]));
        }
    }
}

#[tokio::test]
async fn a_port_that_closes_after_the_stream_opened_refuses_the_message() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut exchange = Exchange::read(listener.accept().await.unwrap().0).await.unwrap();
        drop(listener);
        exchange.begin_stream().await;
        exchange.event("endpoint", "/messages?sessionId=1").await;
        let _ = exchange.end().await;
    });
    let client = Client::open(&endpoint(&url), TransportKind::HttpSse, Limits::default()).await.unwrap();
    let error = client.request("ping", Value::Null).await.unwrap_err();
    assert!(matches!(error, McpError::Refused { .. }), "{error}");
    assert_eq!(client.outstanding(), 0);
    drop(client);
    serving.await.unwrap();
}
