//! At addresses where no MCP server is.

use hubwatch::mcp::{Client, Ended, McpError, TransportKind};

use crate::server::{DEADLINE, Exchange, connect, endpoint, serve, short};

async fn error_of(status: &'static str, headers: &'static str, body: &'static str) -> McpError {
    let url = serve(move |exchange: Exchange| exchange.answer(status, headers, body)).await;
    connect(&url, short()).await.unwrap_err()
}

#[tokio::test]
async fn pages_and_json_are_no_mcp_server_and_say_what_they_are() {
    let page = error_of("200 OK", "Content-Type: text/html; charset=utf-8\r\n", "<html>").await;
    assert_eq!(page.to_string(), "this is not an MCP server: it answered text/html; charset=utf-8 instead of an event stream");
    let json = error_of("200 OK", "Content-Type: application/json\r\n", "{\"status\":\"ok\"}").await;
    assert!(matches!(&json, McpError::NotMcp { why } if why.contains("application/json")), "{json}");
    let bare = error_of("200 OK", "", "").await;
    assert!(matches!(&bare, McpError::NotMcp { why } if why.contains("without a type")), "{bare}");
}

#[tokio::test]
async fn a_refusal_gives_its_status_and_the_beginning_of_its_body() {
    let missing = error_of("404 Not Found", "", "<pre>Cannot GET /mcp</pre>\n").await;
    assert_eq!(missing, McpError::Status { status: 404, body: "<pre>Cannot GET /mcp</pre>".into() });
    let moved = error_of("302 Found", "Location: http://elsewhere/mcp\r\n", "").await;
    assert_eq!(moved, McpError::Status { status: 302, body: String::new() });
    let url = serve(|exchange: Exchange| async move {
        exchange.answer("500 Oops", "", &"x\n".repeat(50_000)).await;
    })
    .await;
    match connect(&url, short()).await.unwrap_err() {
        McpError::Status { status: 500, body } => assert!(body.len() <= 512 && !body.contains('\n'), "{body}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn another_protocol_is_no_mcp_server() {
    let url = serve(|mut exchange: Exchange| async move { exchange.write("SSH-2.0-OpenSSH_9.2\r\n").await }).await;
    let error = connect(&url, short()).await.unwrap_err();
    assert!(matches!(&error, McpError::NotMcp { why } if why.contains("HTTP")), "{error}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let url = serve(|mut exchange: Exchange| async move {
        exchange.write("HTTP/1.1 200 OK\r\n").await;
        for number in 0..2_000 {
            exchange.write(&format!("X-{number}: {}\r\n", "y".repeat(100))).await;
        }
        let _ = exchange.end().await;
    })
    .await;
    let error = connect(&url, short()).await.unwrap_err();
    assert!(matches!(error, McpError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_is_a_refusal_over_both_transports() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for transport in [TransportKind::HttpSse, TransportKind::StreamableHttp] {
        let error = Client::open(&endpoint(&url), transport, short()).await.unwrap_err();
        assert_eq!(error, McpError::Refused { address: url[7..].to_owned() });
    }
    let unknown = connect("http://no-such-host.invalid:1", short()).await.unwrap_err();
    assert!(matches!(unknown, McpError::Unreachable { .. } | McpError::Timeout { .. }), "{unknown}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_a_timeout_that_names_what_was_awaited() {
    let url = serve(|mut exchange: Exchange| async move { drop(exchange.end().await) }).await;
    let error = connect(&url, short()).await.unwrap_err();
    assert_eq!(error.to_string(), "no stream within 0.3 s");
    let url = serve(|mut exchange: Exchange| async move {
        exchange.begin_stream().await;
        exchange.chunk(": a comment\n\nevent: other\ndata: 1\n\n").await;
        let _ = exchange.end().await;
    })
    .await;
    let error = connect(&url, short()).await.unwrap_err();
    assert_eq!(error.to_string(), "no endpoint event within 0.3 s");
}

#[tokio::test]
async fn messages_are_not_posted_to_a_foreign_origin() {
    for foreign in ["http://127.0.0.1:1/messages?sessionId=x", "https://127.0.0.1/messages", "//evil.invalid/messages"] {
        let url = serve(move |mut exchange: Exchange| async move {
            exchange.begin_stream().await;
            exchange.event("endpoint", foreign).await;
            assert!(exchange.end().await.is_ok());
        })
        .await;
        let error = connect(&url, short()).await.unwrap_err();
        assert!(matches!(error, McpError::ForeignEndpoint { .. }), "{error}");
        assert!(!error.to_string().contains("sessionId"), "{error}");
    }
}

#[tokio::test]
async fn the_path_prefix_of_a_proxy_is_kept_for_messages() {
    let (seen, mut paths) = tokio::sync::mpsc::unbounded_channel();
    let url = serve(move |mut exchange: Exchange| {
        seen.send(exchange.path.clone()).unwrap();
        async move {
            if exchange.method == "POST" {
                return exchange.accept().await;
            }
            exchange.begin_stream().await;
            exchange.event("endpoint", "/messages?sessionId=1").await;
            let _ = exchange.end().await;
        }
    })
    .await;
    let base = format!("{url}/hubs/a/");
    let client = Client::open(&endpoint(&base), TransportKind::HttpSse, short()).await.unwrap();
    client.notify("notifications/cancelled", serde_json::Value::Null).await.unwrap();
    assert_eq!(paths.recv().await.unwrap(), "/hubs/a/mcp");
    assert_eq!(paths.recv().await.unwrap(), "/hubs/a/messages?sessionId=1");
}

#[tokio::test]
async fn headers_and_credentials_go_with_each_request() {
    let (seen, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let url = serve(move |exchange: Exchange| {
        seen.send(exchange.head.clone()).unwrap();
        exchange.answer("401 Unauthorized", "", "")
    })
    .await;
    let url = url.replace("http://", "http://user:word@");
    let headers = [("X-Key".to_owned(), "abc".to_owned())];
    let endpoint = hubwatch::mcp::Endpoint::new(&url, &headers, None).unwrap();
    let error = Client::open(&endpoint, TransportKind::HttpSse, short()).await.unwrap_err();
    assert_eq!(error, McpError::Status { status: 401, body: String::new() });
    let head = tokio::time::timeout(DEADLINE, heads.recv()).await.unwrap().unwrap();
    for line in ["x-key: abc", "authorization: basic dxnlcjp3b3jk", "accept: text/event-stream", "user-agent: hubwatch/"] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(Ended::Reset.to_string(), "the server reset the connection");
}
