//! `/healthz` and `/readyz`, for Kubernetes and other orchestrators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Served;
use crate::live::vitals::Wellness;

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    hubs: Vec<OfHub>,
}

#[derive(Debug, Serialize)]
struct OfHub {
    hub: String,
    environment: String,
    #[serde(flatten)]
    wellness: Wellness,
}

/// Answers as long as the process runs.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers 200 if every hub was polled recently, whatever it answered, and the journal can be written; otherwise 503 with the
/// reasons.
pub(super) async fn readyz(State(served): State<Served>) -> (StatusCode, Json<Readiness>) {
    let of_hub = |watched: &super::WatchedHub| OfHub {
        hub: watched.hub.to_string(),
        environment: watched.environment.to_string(),
        wellness: watched.vitals.wellness(watched.interval),
    };
    let hubs: Vec<OfHub> = served.hubs.iter().map(of_hub).collect();
    let ready = hubs.iter().all(|hub| hub.wellness.not_ready.is_empty());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, hubs }))
}
