//! Messages that are wrong, late, double or asked for by the server.

use std::time::Duration;

use hubwatch::mcp::{Closing, FaultKind, Limits, McpError};
use serde_json::{Value, json};

use crate::server::{Act, DEADLINE, Exchange, connect, endpoint, legacy, result, serve, short, until};

#[tokio::test]
async fn wrong_ids_are_faults_and_the_request_times_out() {
    let (url, _ends) = legacy(|message| {
        let id = message["id"].as_u64().unwrap();
        let wrong = [json!(id.to_string()), json!(id + 1), Value::Null, json!(id as f64 + 0.5)];
        wrong.iter().map(|id| result(&json!({"id": id}), &json!({}))).collect()
    })
    .await;
    let client = connect(&url, short()).await.unwrap();
    let error = client.request("tools/list", Value::Null).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer to tools/list within 0.3 s");
    let faults = client.faults();
    assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::UnknownId; 4]);
    assert!(faults[0].start.contains("\"id\":\"2\""), "{faults:?}");
    assert_eq!(client.outstanding(), 1);
    client.close(Closing::Finish).await;
}

#[tokio::test]
async fn of_two_answers_the_first_counts() {
    let (url, _ends) = legacy(|message| {
        let second = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -1, "message": "second"}});
        vec![result(message, &json!({"n": 1})), Act::Data(second.to_string())]
    })
    .await;
    let client = connect(&url, Limits::default()).await.unwrap();
    assert_eq!(client.request("a", Value::Null).await.unwrap().outcome.unwrap(), json!({"n": 1}));
    until("the fault", async || client.faults().iter().any(|fault| fault.kind == FaultKind::AnsweredTwice)).await;
    assert_eq!(client.request("b", Value::Null).await.unwrap().outcome.unwrap(), json!({"n": 1}));
}

#[tokio::test]
async fn unreadable_messages_and_unknown_events_are_faults_and_the_next_answer_is_read() {
    let (url, _ends) = legacy(|message| {
        vec![
            Act::Data("{\"jsonrpc\": nonsense".into()),
            Act::Data("[]".into()),
            Act::Event("endpoint", "http://evil/?sessionId=secret".into()),
            Act::Event("surprise", "1".into()),
            result(message, &json!([])),
            result(message, &json!({})),
        ]
    })
    .await;
    let client = connect(&url, Limits::default()).await.unwrap();
    client.request("a", Value::Null).await.unwrap();
    let faults = client.faults();
    let kinds: Vec<_> = faults.iter().map(|fault| fault.kind).collect();
    use FaultKind::{UnknownEvent, Unreadable};
    assert_eq!(kinds, [Unreadable, Unreadable, UnknownEvent, UnknownEvent, Unreadable]);
    assert_eq!((&*faults[2].start, &*faults[3].start), ("endpoint", "surprise: 1"));
}

#[tokio::test]
async fn a_late_answer_settles_its_request() {
    let (url, _ends) = legacy(|message| match message["method"].as_str().unwrap() {
        "slow" => vec![],
        // Answers the request before it, too.
        _ => vec![result(&json!({"id": message["id"].as_u64().unwrap() - 1}), &json!({})), result(message, &json!({}))],
    })
    .await;
    let client = connect(&url, Limits::default()).await.unwrap();
    let error = client.request_within("slow", Value::Null, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, McpError::Timeout { .. }), "{error}");
    assert_eq!(client.outstanding(), 1);
    assert!(!client.settled(Duration::from_millis(50)).await);
    client.request("fast", Value::Null).await.unwrap();
    assert!(client.settled(DEADLINE).await);
    assert_eq!((client.outstanding(), client.faults()), (0, vec![]));
}

#[tokio::test]
async fn requests_that_run_at_once_each_get_their_own_answer() {
    // Answers in pairs, the second request first.
    let waiting = std::sync::Mutex::new(None::<Value>);
    let (url, _ends) = legacy(move |message| {
        let mut waiting = waiting.lock().unwrap();
        match waiting.take() {
            Some(first) => vec![result(message, &message["params"]), result(&first, &first["params"])],
            None => {
                *waiting = Some(message.clone());
                vec![]
            }
        }
    })
    .await;
    let client = connect(&url, Limits::default()).await.unwrap();
    let calls = (0..20).map(|number| client.request("echo", json!({"n": number})));
    for (number, answer) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.outcome.unwrap(), json!({"n": number}));
        assert!(answer.took < DEADLINE);
    }
}

#[tokio::test]
async fn the_time_of_an_answer_is_from_the_post_to_the_message() {
    let pause = Duration::from_millis(200);
    let (url, _ends) = legacy(move |message| {
        std::thread::scope(|scope| scope.spawn(|| std::thread::park_timeout(pause)).join().unwrap());
        vec![result(message, &json!({}))]
    })
    .await;
    let client = connect(&url, Limits::default()).await.unwrap();
    let begun = std::time::Instant::now();
    let answer = client.request("slow", Value::Null).await.unwrap();
    assert!(answer.took >= pause && answer.took <= begun.elapsed(), "{:?} of {:?}", answer.took, begun.elapsed());
    assert!(answer.at >= begun + pause);
}

#[tokio::test]
async fn a_server_s_ping_is_answered_and_its_other_requests_are_refused() {
    let (told, mut replies) = tokio::sync::mpsc::unbounded_channel();
    let (url, _ends) = legacy(move |message| {
        if message["method"].is_null() {
            told.send(message.clone()).unwrap();
            return vec![];
        }
        let ask = |id: Value, method: &str| Act::Data(json!({"jsonrpc": "2.0", "id": id, "method": method}).to_string());
        vec![ask(json!("p"), "ping"), ask(json!(7), "sampling/createMessage"), result(message, &json!({}))]
    })
    .await;
    let client = connect(&url, Limits::default()).await.unwrap();
    client.request("a", Value::Null).await.unwrap();
    let mut seen = [replies.recv().await.unwrap(), replies.recv().await.unwrap()];
    seen.sort_by_key(|reply| reply["id"].is_string());
    assert_eq!(seen[0]["error"]["code"], -32_601);
    assert_eq!(seen[1], json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    assert_eq!(client.faults().iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::ForeignRequest]);
}

#[tokio::test]
async fn a_refused_message_gives_the_status_and_is_not_outstanding() {
    let url = serve(|mut exchange: Exchange| async move {
        if exchange.method == "POST" {
            return exchange.answer("404 Not Found", "", "{\"error\":\"Session not found: secret-1\"}").await;
        }
        exchange.begin_stream().await;
        exchange.event("endpoint", "/messages?sessionId=secret-1").await;
        let _ = exchange.end().await;
    })
    .await;
    let error = connect(&url, Limits::default()).await.unwrap_err();
    assert_eq!(error, McpError::Status { status: 404, body: "{\"error\":\"Session not found: [session]\"}".into() });
    let client = hubwatch::mcp::Client::open(&endpoint(&url), hubwatch::mcp::TransportKind::HttpSse, short()).await.unwrap();
    assert!(client.request("a", Value::Null).await.is_err());
    assert_eq!(client.outstanding(), 0);
}

#[tokio::test]
async fn a_handshake_that_the_server_refuses_is_no_session() {
    let url = serve(|mut exchange: Exchange| async move {
        if exchange.method == "POST" {
            return exchange.accept().await;
        }
        exchange.begin_stream().await;
        exchange.event("endpoint", "/messages").await;
        exchange.event("message", r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"full"}}"#).await;
        let _ = exchange.end().await;
    })
    .await;
    let opened = hubwatch::mcp::Client::open(&endpoint(&url), hubwatch::mcp::TransportKind::HttpSse, short()).await.unwrap();
    // The answer came before the request, so it can't be its answer.
    assert!(opened.handshake("probe").await.is_err());
    assert_eq!((opened.session(), opened.faults()[0].kind), (None, FaultKind::UnknownId));
}
