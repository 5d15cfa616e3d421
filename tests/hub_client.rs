//! Asking a hub, or what claims to be one: every outcome is told apart.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hubwatch::hub::client::{HubClient, MAX_ANSWER_BYTES};
use hubwatch::watch::ApiOutcome;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const HEALTH: &str = r#"{"status":"ok","state":"ready","activeClients":0}"#;

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

async fn outcome_of(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Result<String, ApiOutcome> {
    let address = serve(Router::new().route("/api/health", get(async move || answer()))).await;
    HubClient::new(&address, &[], None).unwrap().health().await.0.map(|health| health.state)
}

#[tokio::test]
async fn a_hub_behind_a_proxy_is_asked_under_its_prefix_with_its_headers() {
    let handler = async |headers: HeaderMap| {
        let allowed = headers.get("authorization").is_some_and(|value| value == "Bearer word");
        if allowed { HEALTH.into_response() } else { StatusCode::UNAUTHORIZED.into_response() }
    };
    let address = serve(Router::new().route("/hubs/a/api/health", get(handler))).await;
    let headers = [("Authorization".to_owned(), "Bearer word".to_owned())];
    let client = HubClient::new(&format!("{address}/hubs/a/"), &headers, None).unwrap();
    assert_eq!(client.health().await.0.unwrap().state, "ready");
    let stranger = HubClient::new(&format!("{address}/hubs/a"), &[], None).unwrap();
    assert_eq!(stranger.health().await.0.unwrap_err(), ApiOutcome::Denied);
    assert_eq!(HubClient::new(&address, &headers, None).unwrap().health().await.0.unwrap_err(), ApiOutcome::NotFound);
}

#[tokio::test]
async fn statuses_and_bodies_that_no_hub_gives_are_told_apart() {
    let statuses = [
        (403, ApiOutcome::Denied),
        (418, ApiOutcome::ClientError),
        (500, ApiOutcome::ServerError),
        (502, ApiOutcome::BadGateway),
        (504, ApiOutcome::BadGateway),
        (302, ApiOutcome::Redirected),
        (206, ApiOutcome::UnexpectedStatus),
    ];
    for (status, outcome) in statuses {
        let answer = move || StatusCode::from_u16(status).unwrap().into_response();
        assert_eq!(outcome_of(answer).await, Err(outcome), "{status}");
    }
    assert_eq!(outcome_of(|| HEALTH.into_response()).await, Ok("ready".to_owned()));
    for body in ["", "<html>", "\u{feff}{}"] {
        assert_eq!(outcome_of(move || body.into_response()).await, Err(ApiOutcome::Unreadable), "{body}");
    }
    for body in ["{}", "[]", "7", r#"{"state":7}"#, r#"{"status":"ok","state":"ready"}"#] {
        assert_eq!(outcome_of(move || body.into_response()).await, Err(ApiOutcome::OtherProgram), "{body}");
    }
    let huge = || Body::from(vec![b' '; MAX_ANSWER_BYTES + 1]).into_response();
    assert_eq!(outcome_of(huge).await, Err(ApiOutcome::TooLarge));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_truncated_and_no_answer_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let half = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = connection.read(&mut request).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"state\":").await.unwrap();
    });
    let client = HubClient::new(&format!("http://{address}"), &[], None).unwrap();
    assert_eq!(client.health().await.0.unwrap_err(), ApiOutcome::Truncated);
    half.await.unwrap();
    assert_eq!(client.health().await.0.unwrap_err(), ApiOutcome::Refused);
}

#[tokio::test]
async fn only_the_hubs_own_404_says_that_it_has_no_tool_filtering() {
    let asked = async |page: &'static str| {
        let address = serve(Router::new().fallback(async move || (StatusCode::NOT_FOUND, page))).await;
        let answer = HubClient::new(&address, &[], None).unwrap().filtering_stats().await;
        answer.map(|(answer, _)| answer.unwrap_err())
    };
    let own = "<!DOCTYPE html>\n<html lang=\"en\">\n<body>\n<pre>Cannot GET /api/filtering/stats</pre>\n</body>\n</html>\n";
    assert_eq!(asked(own).await, Some(ApiOutcome::NotFound));
    for page in ["", "404 page not found", "<pre>Cannot GET /hubs/a/api/filtering/stats</pre>", r#"{"error":"no route"}"#] {
        assert_eq!(asked(page).await, None, "{page}");
    }
    let stats = r#"{"enabled":true,"mode":"prompt-based"}"#;
    let address = serve(Router::new().route("/api/filtering/stats", get(async move || stats))).await;
    let (answer, _) = HubClient::new(&address, &[], None).unwrap().filtering_stats().await.unwrap();
    assert_eq!(answer.unwrap().mode.as_deref(), Some("prompt-based"));
    let away = HubClient::new("http://127.0.0.1:9", &[], None).unwrap().filtering_stats().await;
    assert_eq!(away.unwrap().0.unwrap_err(), ApiOutcome::Refused);
}
