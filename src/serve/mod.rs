//! What `hubwatch run` serves about itself and what it watched: [`health`] for orchestrators, [`metrics`] for Prometheus, [`status`]
//! for people, [`traces`] for reports made elsewhere. Read-only, and off unless an address is given.

mod health;
mod metrics;
mod status;
mod traces;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::listen::Listen;
use crate::live::Live;
use crate::live::vitals::Vitals;
use crate::report::SignOff;
use crate::watch::{Environment, HubName};
use traces::SharedReader;

/// How long answers that are under way may take once the watch has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {reason}; give another address with --listen, or none")]
pub struct ServeError {
    /// Where.
    address: SocketAddr,
    /// Why not.
    reason: std::io::Error,
}

/// One hub that is watched, as much of it as is served.
#[derive(Debug)]
pub struct WatchedHub {
    hub: HubName,
    environment: Environment,
    interval: Duration,
    vitals: Vitals,
    live: Live,
    state_dir: PathBuf,
    journal: SharedReader,
    sign_off: SignOff,
    /// Where people see traces.
    trace_url: Option<String>,
    made: status::Made,
}

impl WatchedHub {
    /// A hub whose watch tells of itself by `vitals` and keeps its journal in `state_dir`.
    pub fn new(hub: HubName, environment: Environment, interval: Duration, vitals: Vitals, state_dir: PathBuf) -> Self {
        Self {
            hub,
            environment,
            interval,
            vitals,
            live: Live::default(),
            journal: SharedReader::new(state_dir.clone()),
            state_dir,
            sign_off: SignOff::default(),
            trace_url: None,
            made: status::Made::default(),
        }
    }

    /// With what is judged meanwhile.
    #[must_use]
    pub fn judged_by(self, live: Live) -> Self {
        Self { live, ..self }
    }

    /// Whose report says who signs, and links to where people see traces: an address with `{trace_id}` in it.
    #[must_use]
    pub fn reported(self, sign_off: SignOff, trace_url: Option<String>) -> Self {
        Self { sign_off, trace_url, ..self }
    }
}

/// What the handlers share.
#[derive(Debug, Clone)]
struct Served {
    hubs: Arc<Vec<WatchedHub>>,
}

/// A server that runs until it is dropped or ended.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Listens and serves from now on. A port in use is an error: somebody counts on being answered there.
    pub async fn start(listen: Listen, hubs: Vec<WatchedHub>) -> Result<Self, ServeError> {
        let failed = |reason| ServeError { address: listen.0, reason };
        let listener = TcpListener::bind(listen.0).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !listen.is_loopback() {
            tracing::warn!(%address, "whoever can connect here can read what was watched: let only those who may");
        }
        tracing::info!(%address, "serving the status page, /healthz, /readyz, /metrics, /dashboard.json and traces by id");
        let (stop, stopped) = oneshot::channel();
        let mut router = router(Served { hubs: Arc::new(hubs) }).layer(middleware::map_response(name_ourselves));
        if listen.is_loopback() {
            router = router.layer(middleware::from_fn(only_by_address));
        }
        let serving = axum::serve(listener, router).with_graceful_shutdown(async {
            // A server that was dropped is told to stop, too.
            let _ = stopped.await;
        });
        Ok(Self { address, stop, task: tokio::spawn(serving.into_future()) })
    }

    /// Where it listens; the port that was found where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets answers under way end, but not for long.
    pub async fn end(self) {
        // If nobody listens any more, it has ended already.
        let _ = self.stop.send(());
        let task = self.task.abort_handle();
        if tokio::time::timeout(LAST_ANSWERS, self.task).await.is_err() {
            task.abort();
        }
    }
}

/// Whoever reads a journal from here can know that it is no backend that others write to.
async fn name_ourselves(mut response: Response) -> Response {
    const NAME: &str = concat!("hubwatch/", env!("CARGO_PKG_VERSION"));
    response.headers_mut().insert(header::SERVER, header::HeaderValue::from_static(NAME));
    response
}

/// Whoever is asked on this host alone is asked by an address or as `localhost`. A page of the internet whose name was made to lead
/// here would have a browser ask by that name, and read the answer.
async fn only_by_address(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    if is_address(host) {
        return next.run(request).await;
    }
    let help =
        "ask by an address or as localhost; to be asked by another name, listen on an address that is not this host's alone\n";
    (StatusCode::FORBIDDEN, help).into_response()
}

fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/", get(status::page))
        .route("/status.json", get(status::status_json))
        .route("/dashboard.json", get(status::dashboard_json))
        .route("/report.json", get(status::report_json))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v3/traces/{id}", get(traces::trace))
        // Where Jaeger's UI shows a trace: a report's links lead somewhere.
        .route("/trace/{id}", get(traces::trace))
        .with_state(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_here_are_told_from_addresses() {
        for host in ["127.0.0.1:9684", "localhost:9684", "localhost", "[::1]:9684", "[::1]", "10.0.0.7"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["attacker.example:9684", "localhost.attacker.example", "", "127.0.0.1.attacker.example"] {
            assert!(!is_address(host), "{host}");
        }
    }
}
