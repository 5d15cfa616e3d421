//! The HTTP server of `hubwatch run`: [`health`] for orchestrators, [`metrics`] for Prometheus, [`status`] for people, [`traces`]
//! for reports made on another machine. Read-only, and off unless an address is set.

mod health;
mod metrics;
mod status;
mod traces;

use std::net::SocketAddr;
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

/// How long open answers may take after the watch has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The server can't start.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {reason}; use another address with --listen, or leave the flag out")]
pub struct ServeError {
    /// The address.
    address: SocketAddr,
    /// The system's error.
    reason: std::io::Error,
}

/// The served part of one watched hub.
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
    /// The address of a trace's page.
    trace_url: Option<String>,
    made: status::Made,
}

impl WatchedHub {
    /// Creates the served part of a hub whose watch updates `vitals` and keeps its journal in `state_dir`.
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

    /// Adds the live judge.
    #[must_use]
    pub fn judged_by(self, live: Live) -> Self {
        Self { live, ..self }
    }

    /// Adds what the report needs: the signatures, and the address of a trace's page with `{trace_id}` in it.
    #[must_use]
    pub fn reported(self, sign_off: SignOff, trace_url: Option<String>) -> Self {
        Self { sign_off, trace_url, ..self }
    }
}

/// The state that the handlers share.
#[derive(Debug, Clone)]
struct Served {
    hubs: Arc<Vec<WatchedHub>>,
}

/// A server that runs until it is ended or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Starts to listen and serve. A port in use is an error, because clients rely on an answer there.
    pub async fn start(listen: Listen, hubs: Vec<WatchedHub>) -> Result<Self, ServeError> {
        let failed = |reason| ServeError { address: listen.0, reason };
        let listener = TcpListener::bind(listen.0).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !listen.is_loopback() {
            tracing::warn!(%address, "everyone who can connect here can read the recorded data: restrict access");
        }
        tracing::info!(%address, "serving the status page, /healthz, /readyz, /metrics, /dashboard.json and traces by id");
        let (stop, stopped) = oneshot::channel();
        let mut router = router(Served { hubs: Arc::new(hubs) }).layer(middleware::map_response(name_ourselves));
        if listen.is_loopback() {
            router = router.layer(middleware::from_fn(only_by_address));
        }
        let serving = axum::serve(listener, router).with_graceful_shutdown(async {
            // A dropped server must stop, too.
            let _ = stopped.await;
        });
        Ok(Self { address, stop, task: tokio::spawn(serving.into_future()) })
    }

    /// Returns the address that it listens on, with the real port if 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits a limited time for open answers, then stops.
    pub async fn end(self) {
        // An error means that the server has ended already.
        let _ = self.stop.send(());
        let task = self.task.abort_handle();
        if tokio::time::timeout(LAST_ANSWERS, self.task).await.is_err() {
            task.abort();
        }
    }
}

/// Adds a `Server` header, so that a client that reads a journal here knows that other programs don't write to it.
async fn name_ourselves(mut response: Response) -> Response {
    const NAME: &str = concat!("hubwatch/", env!("CARGO_PKG_VERSION"));
    response.headers_mut().insert(header::SERVER, header::HeaderValue::from_static(NAME));
    response
}

/// Protects a loopback server from DNS rebinding. Only addresses and `localhost` are allowed.
async fn only_by_address(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    if crate::base::host::is_address(host) {
        return next.run(request).await;
    }
    let help = "use an IP address or localhost; to allow other names, listen on an address that is not loopback\n";
    (StatusCode::FORBIDDEN, help).into_response()
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
        // The path of a trace's page in Jaeger's UI, so that a report's links work here.
        .route("/trace/{id}", get(traces::trace))
        .with_state(served)
}
