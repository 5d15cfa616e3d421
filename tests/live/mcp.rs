//! The MCP client against servers made with the official SDK, and against a real hub.

use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hubwatch::mcp::{Client, Closing, Ended, Endpoint, Limits, McpError, TransportKind};
use serde_json::{Value, json};

use crate::hub::{Hub, modules};
use crate::wait::until;

/// How long the slow tool takes: longer than what is waited for it at first.
const SLOW_MS: u64 = 700;

/// A server of the official SDK; killed when dropped.
struct Sdk {
    process: Child,
    url: String,
}

impl Sdk {
    fn start(mode: &str) -> Self {
        hubwatch::base::tls::choose_provider();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/hub/server.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(modules()).arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut port = String::new();
        std::io::BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { process, url: format!("http://127.0.0.1:{}", port.trim()) }
    }

    async fn seen(&self) -> Value {
        let body = reqwest::get(format!("{}/seen", self.url)).await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url, &[], None).unwrap()
}

fn tool(name: &str, arguments: Value) -> Value {
    json!({"name": name, "arguments": arguments})
}

/// What works over each transport and in each mode.
async fn use_tools(client: &Client) {
    let list = client.request("tools/list", Value::Null).await.unwrap();
    let names: Vec<_> = list.outcome.as_ref().unwrap()["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["echo", "fail", "slow", "notify"]);
    assert!(list.raw.contains("\"inputSchema\""));

    let text = json!({"text": "ünïcödé \n\r\u{2028} \"quoted\""});
    let echo = client.request("tools/call", tool("echo", text.clone())).await.unwrap().tool_result();
    assert_eq!((echo.is_error, echo.json), (false, Some(text)));
    let large = json!({"text": "x".repeat(1_000_000)});
    let echo = client.request("tools/call", tool("echo", large.clone())).await.unwrap().tool_result();
    assert_eq!(echo.json, Some(large));
    assert!(client.request("tools/call", tool("fail", json!({}))).await.unwrap().tool_result().is_error);
    assert!(client.request("tools/call", tool("unknown", json!({}))).await.unwrap().outcome.is_err());
    assert_eq!(client.request("no/such", Value::Null).await.unwrap().outcome.unwrap_err().code, -32_601);

    let calls = (0..10).map(|number| client.request("tools/call", tool("echo", json!({"n": number}))));
    for (number, answer) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().tool_result().json, Some(json!({"n": number})));
    }

    let slow = tool("slow", json!({"ms": SLOW_MS}));
    let late = client.request_within("tools/call", slow.clone(), Duration::from_millis(SLOW_MS / 4)).await;
    assert!(matches!(late, Err(McpError::Timeout { .. })), "{late:?}");
    assert_eq!(client.outstanding(), 1);
    assert!(client.settled(Duration::from_secs(20)).await);
    let answer = client.request("tools/call", slow).await.unwrap();
    assert!(answer.took >= Duration::from_millis(SLOW_MS - 1), "{:?}", answer.took);
    assert_eq!((client.outstanding(), client.faults(), client.ended()), (0, vec![], None));
}

/// Notifications in the answer's own stream and beside it, and a ping of the server.
async fn hear_notifications(client: &Client, server: &Sdk) {
    let result = client.request("tools/call", tool("notify", json!({}))).await.unwrap().tool_result();
    assert_eq!(result.json, Some(json!({"done": true})));
    until("both notifications", async || (client.notifications().len() == 2).then_some(())).await;
    let mut methods: Vec<_> = client.notifications().into_iter().map(|note| note.method).collect();
    methods.sort();
    assert_eq!(methods, ["notifications/progress", "notifications/tools/list_changed"]);
    assert_eq!(server.seen().await["answeredPing"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_over_streamable_http_with_the_official_server() {
    for mode in ["json", "stream"] {
        let server = Sdk::start(mode);
        let endpoint = endpoint(&server.url);
        let transport = TransportKind::StreamableHttp;
        let client = Client::connect(&endpoint, transport, Limits::default(), "live-probe").await.unwrap();
        use_tools(&client).await;
        // In JSON mode this server has nowhere to send a request's own notifications to.
        if mode == "stream" {
            hear_notifications(&client, &server).await;
        }
        let session = client.session().unwrap().clone();
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        assert_eq!(Client::post_to_session(&endpoint, &session, &ping).await.unwrap().0, 200);
        let streams = server.seen().await["streamsClosed"].as_u64().unwrap();
        client.close(Closing::Finish).await;
        let gone = Client::post_to_session(&endpoint, &session, &ping).await.unwrap();
        assert_eq!(gone, (404, "Session not found".to_owned()));
        until("the stream closed", async || (server.seen().await["streamsClosed"] == streams + 1).then_some(())).await;
        let seen = server.seen().await;
        assert_eq!((&seen["names"], &seen["deleted"], &seen["sessions"]), (&json!(["live-probe"]), &json!(1), &json!(0)));
        let versions = seen["versions"].as_array().unwrap();
        assert_eq!((&versions[0], &versions[1], &versions[2]), (&Value::Null, &json!("2025-06-18"), &json!("2025-06-18")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_over_the_legacy_transport_with_the_official_server() {
    let server = Sdk::start("legacy");
    let transport = TransportKind::HttpSse;
    for (count, how) in [Closing::Finish, Closing::Reset, Closing::HalfClose].into_iter().enumerate() {
        let client = Client::connect(&endpoint(&server.url), transport, Limits::default(), "live-probe").await.unwrap();
        assert_eq!(server.seen().await["sessions"], 1);
        if count == 0 {
            use_tools(&client).await;
            hear_notifications(&client, &server).await;
        }
        client.close(how).await;
        until("the session is gone", async || (server.seen().await["sessions"] == 0).then_some(())).await;
    }
}

async fn clients(hub: &Hub) -> u64 {
    hub.get("/api/health").await.unwrap()["mcpEndpoint"]["activeClients"].as_u64().unwrap()
}

async fn await_clients(hub: &Hub, wanted: u64) {
    until("the hub counts its clients", async || (clients(hub).await == wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_with_a_real_hub_whose_clients_leave_by_fin_and_by_reset() {
    let mut hub = Hub::start().await;
    let (endpoint, transport) = (endpoint(&hub.url), TransportKind::HttpSse);
    let other = Client::open(&endpoint, TransportKind::StreamableHttp, Limits::default()).await.unwrap();
    let refused = other.handshake("live-probe").await.unwrap_err();
    assert!(matches!(refused, McpError::Status { status: 404, .. }), "{refused}");

    let opened = Client::open(&endpoint, transport, Limits::default()).await.unwrap();
    assert_eq!(clients(&hub).await, 1);
    let answer = opened.handshake("live-probe").await.unwrap();
    assert_eq!(answer.outcome.unwrap()["protocolVersion"], hubwatch::mcp::PROTOCOL_VERSION);
    let list = opened.request("tools/list", Value::Null).await.unwrap().outcome.unwrap();
    assert_eq!(list["tools"].as_array().unwrap().len(), 14);
    let call = tool("filesystem__list_directory", json!({"path": hub.data()}));
    let result = opened.request("tools/call", call).await.unwrap().tool_result();
    assert_eq!((result.is_error, &*result.texts[0]), (false, "[FILE] a.txt"));
    assert_eq!((opened.outstanding(), opened.faults(), opened.notifications()), (0, vec![], vec![]));

    for how in [Closing::Finish, Closing::Reset, Closing::HalfClose] {
        let second = Client::connect(&endpoint, transport, Limits::default(), "live-second").await.unwrap();
        assert_eq!(clients(&hub).await, 2);
        let session = second.session().unwrap().clone();
        second.close(how).await;
        await_clients(&hub, 1).await;
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let (status, body) = Client::post_to_session(&endpoint, &session, &ping).await.unwrap();
        assert_eq!(status, 404, "{body}");
        assert!(body.contains("Session not found: [session]"), "{body}");
    }
    drop(Client::connect(&endpoint, transport, Limits::default(), "live-second").await.unwrap());
    await_clients(&hub, 1).await;

    hub.stop().await;
    let ended = opened.closed().await;
    assert!(matches!(ended, Ended::Complete | Ended::Finished | Ended::Reset), "{ended:?}");
    let refused = Client::connect(&endpoint, transport, Limits::default(), "live-second").await.unwrap_err();
    assert!(matches!(refused, McpError::Refused { .. }), "{refused}");
}
