//! On simulated hubs: what scenarios do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwatch::mcp::{Client, Closing, Ended, Limits, McpError};
use hubwatch::simulator::{LiveSimulation, Profile, Simulation, Step, serve};
use hubwatch::watch::{Micros, Timestamp};
use serde_json::{Value, json};

use crate::server::{DEADLINE, connect, endpoint, until};

/// Starts a hub; returns it with its address.
async fn live_hub(profile: Profile) -> (Arc<Mutex<LiveSimulation>>, String) {
    let start = Timestamp::parse("2026-11-23T03:40:37.752Z").unwrap();
    let mut simulation = Simulation::new(profile, start);
    simulation.schedule(start, Step::StartHub);
    simulation.advance(start.plus(Micros::new(5_000_000)), &mut Vec::new()).unwrap();
    let live = Arc::new(Mutex::new(LiveSimulation::new(simulation, Box::new(Vec::new()))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(Arc::clone(&live), listener, std::future::pending()));
    (live, url)
}

async fn clients(url: &str) -> u64 {
    let health = reqwest::get(format!("{url}/api/health")).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice::<Value>(&health).unwrap()["mcpEndpoint"]["activeClients"].as_u64().unwrap()
}

async fn await_clients(url: &str, wanted: u64) {
    until("the count of clients", async || clients(url).await == wanted).await;
}

#[tokio::test]
async fn a_client_lists_and_calls_the_tools_of_a_hub_and_is_counted_until_it_leaves() {
    hubwatch::base::tls::choose_provider();
    let (_live, url) = live_hub(Profile::npm()).await;
    let client = connect(&url, Limits::default()).await.unwrap();
    await_clients(&url, 1).await;
    assert_eq!(client.name().unwrap().as_str(), "probe");

    let list = client.request("tools/list", Value::Null).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&list.raw).unwrap()["result"], *list.outcome.as_ref().unwrap());
    let tools = list.outcome.unwrap()["tools"].as_array().unwrap().len();
    assert!(tools > 10, "{tools}");

    let call = json!({"name": "filesystem__list_directory", "arguments": {"path": "/srv"}});
    let result = client.request("tools/call", call).await.unwrap().tool_result();
    assert_eq!((result.is_error, &*result.texts), (false, &["[FILE] notes.txt".to_owned()][..]));
    let unknown = client.request("tools/call", json!({"name": "nothing"})).await.unwrap();
    assert_eq!(unknown.outcome.clone().unwrap_err().to_string(), "-32603: key is not defined");
    assert!(unknown.tool_result().is_error);
    assert_eq!((client.outstanding(), client.ended(), client.faults()), (0, None, vec![]));

    client.close(Closing::Finish).await;
    await_clients(&url, 0).await;
}

#[tokio::test]
async fn the_hub_s_count_rises_when_the_stream_opens_and_falls_after_a_reset() {
    hubwatch::base::tls::choose_provider();
    let (_live, url) = live_hub(Profile::npm()).await;
    let client = Client::open(&endpoint(&url), hubwatch::mcp::TransportKind::HttpSse, Limits::default()).await.unwrap();
    await_clients(&url, 1).await;
    assert!(client.handshake("probe").await.unwrap().outcome.unwrap()["serverInfo"]["name"].is_string());
    client.close(Closing::Reset).await;
    await_clients(&url, 0).await;
}

#[tokio::test]
async fn a_meta_tool_s_answer_is_followed_by_one_notification_to_its_own_client() {
    let (_live, url) = live_hub(Profile::fork_pino()).await;
    let (one, other) = (connect(&url, Limits::default()).await.unwrap(), connect(&url, Limits::default()).await.unwrap());
    let call = json!({"name": "hub__analyze_prompt", "arguments": {"prompt": "Check my github pull requests"}});
    let answer = one.request("tools/call", call).await.unwrap();
    let result = answer.tool_result();
    assert!(!result.is_error && result.json.as_ref().unwrap()["categories"][0] == "github", "{result:?}");
    assert!(answer.took > Duration::from_millis(100), "{:?}", answer.took);
    until("the notification", async || !one.notifications().is_empty()).await;
    let notifications = one.notifications();
    assert_eq!((notifications.len(), &*notifications[0].method), (1, "notifications/tools/list_changed"));
    assert!(notifications[0].raw.contains("\"jsonrpc\""));
    assert_eq!((other.notifications(), one.notifications_dropped()), (vec![], 0));
}

#[tokio::test]
async fn the_old_session_is_gone_after_its_client_left() {
    hubwatch::base::tls::choose_provider();
    let (_live, url) = live_hub(Profile::npm()).await;
    let client = connect(&url, Limits::default()).await.unwrap();
    let session = client.session().unwrap().clone();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let (status, _) = Client::post_to_session(&endpoint(&url), &session, &ping).await.unwrap();
    assert_eq!(status, 202);
    client.close(Closing::Finish).await;
    await_clients(&url, 0).await;
    let (status, body) = Client::post_to_session(&endpoint(&url), &session, &ping).await.unwrap();
    assert_eq!(status, 404);
    assert!(body.contains("Session not found: [session]"), "{body}");
    assert!(format!("{session:?}").contains("[secret]"), "{session:?}");
}

#[tokio::test]
async fn a_hub_that_is_killed_ends_the_session_for_good() {
    let (live, url) = live_hub(Profile::npm()).await;
    let client = connect(&url, Limits::default()).await.unwrap();
    {
        let mut live = live.lock().unwrap();
        let now = live.simulation().now();
        live.simulation().schedule(now, Step::KillHub);
        live.advance().unwrap();
    }
    let ended = tokio::time::timeout(DEADLINE, client.closed()).await.unwrap();
    assert!(matches!(ended, Ended::Complete | Ended::Finished | Ended::Reset), "{ended:?}");
    assert_eq!(client.ended(), Some(ended.clone()));
    let error = client.request("ping", Value::Null).await.unwrap_err();
    assert_eq!(error, McpError::Ended { how: ended });
}
