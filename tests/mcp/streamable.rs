//! Streamable HTTP, against servers made by hand. The official SDK's server is in the live tests.

use std::sync::Arc;

use hubwatch::mcp::{Client, Closing, Ended, FaultKind, Limits, McpError, TransportKind};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::server::{DEADLINE, Exchange, endpoint, serve, until};

/// How the server answers `tools/call`.
type Call = Arc<dyn Fn(Exchange) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

fn answer(message: &Value, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string()
}

const JSON: &str = "Content-Type: application/json\r\n";

/// A server that answers in JSON and has no stream for notifications; tells method and head of each request.
async fn server(call: Call) -> (String, mpsc::UnboundedReceiver<(String, String)>) {
    let (tell, seen) = mpsc::unbounded_channel();
    let url = serve(move |exchange: Exchange| {
        let method = exchange.body["method"].as_str().unwrap_or(&exchange.method).to_owned();
        tell.send((method.clone(), exchange.head.clone())).unwrap();
        let call = Arc::clone(&call);
        async move {
            match &*method {
                "initialize" => {
                    let body = answer(&exchange.body, &json!({"protocolVersion": "2025-03-26", "capabilities": {}}));
                    exchange.answer("200 OK", &format!("{JSON}Mcp-Session-Id: secret-1\r\n"), &body).await;
                }
                "tools/call" => call(exchange).await,
                "GET" => exchange.answer("405 Method Not Allowed", "", "").await,
                _ => exchange.accept().await,
            }
        }
    })
    .await;
    (url, seen)
}

async fn connect(url: &str) -> Client {
    Client::connect(&endpoint(url), TransportKind::StreamableHttp, Limits::default(), "probe").await.unwrap()
}

fn call(handle: impl Fn(Exchange) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync + 'static) -> Call {
    Arc::new(handle)
}

#[tokio::test]
async fn the_session_and_the_version_go_with_each_request_after_the_handshake() {
    let in_json = call(|exchange| {
        Box::pin(async move {
            let body = answer(&exchange.body, &json!({"content": [{"type": "text", "text": "[1]"}]}));
            exchange.answer("200 OK", JSON, &body).await;
        })
    });
    let (url, mut seen) = server(in_json).await;
    let client = connect(&url).await;
    let session = client.session().unwrap().clone();
    let result = client.request("tools/call", json!({"name": "a"})).await.unwrap();
    assert_eq!(result.raw, r#"{"id":2,"jsonrpc":"2.0","result":{"content":[{"text":"[1]","type":"text"}]}}"#);
    assert_eq!(result.tool_result().json, Some(json!([1])));
    assert_eq!((client.ended(), client.outstanding(), client.faults()), (None, 0, vec![]));
    client.close(Closing::Finish).await;
    let (status, _) = Client::post_to_session(&endpoint(&url), &session, &json!({})).await.unwrap();
    assert_eq!(status, 202);

    for (method, in_session, with_version) in [
        ("initialize", false, false),
        ("notifications/initialized", true, true),
        ("GET", true, true),
        ("tools/call", true, true),
        ("DELETE", true, true),
        ("POST", true, false),
    ] {
        let (asked, head) = tokio::time::timeout(DEADLINE, seen.recv()).await.unwrap().unwrap();
        assert_eq!(asked, method);
        assert_eq!(head.contains("mcp-session-id: secret-1"), in_session, "{head}");
        assert_eq!(head.contains("mcp-protocol-version: 2025-03-26"), with_version, "{head}");
        let accept = if matches!(method, "GET" | "DELETE") { "text/event-stream" } else { "application/json, text/event-stream" };
        assert!(head.contains(&format!("accept: {accept}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn an_answer_as_a_stream_comes_with_the_notifications_before_it() {
    let as_stream = call(|mut exchange| {
        Box::pin(async move {
            exchange.begin_stream().await;
            exchange.chunk(": hello\n\nid: 1\nretry: 5\ndata: \n\n").await;
            exchange.event("message", r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#).await;
            let body = answer(&exchange.body, &json!({}));
            exchange.event("message", &body).await;
            // The end of the stream may come later than its answer.
            let _ = exchange.end().await;
        })
    });
    let (url, _seen) = server(as_stream).await;
    let client = connect(&url).await;
    client.request("tools/call", json!({"name": "a"})).await.unwrap();
    assert_eq!(client.notifications().iter().map(|note| &*note.method).collect::<Vec<_>>(), ["notifications/progress"]);
    assert_eq!(client.faults(), []);
    client.close(Closing::Finish).await;
}

#[tokio::test]
async fn a_stream_that_ends_without_its_answer_fails_the_request() {
    let unanswered = call(|mut exchange| {
        Box::pin(async move {
            exchange.begin_stream().await;
            exchange.event("message", r#"{"jsonrpc":"2.0","id":99,"result":{}}"#).await;
            exchange.write("0\r\n\r\n").await;
        })
    });
    let (url, _seen) = server(unanswered).await;
    let client = connect(&url).await;
    let error = client.request("tools/call", Value::Null).await.unwrap_err();
    assert_eq!(error, McpError::Ended { how: Ended::Complete });
    assert_eq!((client.outstanding(), client.faults()[0].kind), (1, FaultKind::UnknownId));
}

#[tokio::test]
async fn refusals_broken_answers_and_pages_fail_the_request_only() {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let varied = call(move |mut exchange| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move {
            let body = answer(&exchange.body, &json!({}));
            match number {
                0 => exchange.answer("404 Not Found", JSON, r#"{"error":"Session not found"}"#).await,
                1 => exchange.answer("200 OK", "Content-Type: text/html\r\n", "<html>").await,
                2 => exchange.write(&format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 500\r\n\r\n{body}")).await,
                3 => {
                    let large = answer(&exchange.body, &json!({"x": "x".repeat(5_000_000)}));
                    exchange.answer("200 OK", JSON, &large).await;
                }
                4 => exchange.accept().await,
                _ => exchange.answer("200 OK", JSON, &body).await,
            }
        })
    });
    let (url, _seen) = server(varied).await;
    let client = connect(&url).await;
    let mut errors = Vec::new();
    for _ in 0..5 {
        errors.push(client.request("tools/call", Value::Null).await.unwrap_err());
    }
    assert!(matches!(errors[0], McpError::Status { status: 404, .. }), "{errors:?}");
    assert!(matches!(&errors[1], McpError::NotMcp { why } if why.contains("text/html")), "{errors:?}");
    assert_eq!(errors[2], McpError::Ended { how: Ended::Finished });
    assert!(matches!(errors[3], McpError::TooLarge { .. }), "{errors:?}");
    assert!(matches!(&errors[4], McpError::NotMcp { why } if why.contains("status 202")), "{errors:?}");
    client.request("tools/call", Value::Null).await.unwrap();
    // Only the one that broke off may still be at work.
    assert_eq!((client.outstanding(), client.ended()), (1, None));
}

#[tokio::test]
async fn a_reset_reaches_the_connection_of_a_request_that_is_under_way() {
    let (tell, mut ends) = mpsc::unbounded_channel();
    let stuck = call(move |mut exchange| {
        let tell = tell.clone();
        Box::pin(async move {
            tell.send(None).unwrap();
            tell.send(Some(exchange.end().await.map_err(|error| error.kind()))).unwrap();
        })
    });
    let (url, _seen) = server(stuck).await;
    let client = connect(&url).await;
    let limit = std::time::Duration::from_millis(100);
    assert!(client.request_within("tools/call", Value::Null, limit).await.is_err());
    assert_eq!((ends.recv().await.unwrap(), client.outstanding()), (None, 1));
    client.close(Closing::Reset).await;
    let end = tokio::time::timeout(DEADLINE, ends.recv()).await.unwrap().unwrap();
    assert_eq!(end, Some(Err(std::io::ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn the_end_of_the_stream_for_notifications_is_told_and_requests_go_on() {
    let url = serve(|mut exchange: Exchange| async move {
        let method = exchange.body["method"].as_str().unwrap_or(&exchange.method).to_owned();
        match &*method {
            "GET" => {
                exchange.begin_stream().await;
                exchange.event("message", r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#).await;
            }
            "notifications/initialized" => exchange.accept().await,
            _ => {
                let body = answer(&exchange.body, &json!({}));
                exchange.answer("200 OK", JSON, &body).await;
            }
        }
    })
    .await;
    let client = connect(&url).await;
    until("the notification", async || !client.notifications().is_empty()).await;
    assert_eq!(client.closed().await, Ended::Finished);
    client.request("ping", Value::Null).await.unwrap();
    assert_eq!(client.session(), None);
}
