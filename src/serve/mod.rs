//! What `hubwatch run` serves about itself and what it watched: [`health`] for orchestrators, [`traces`] for reports made elsewhere.
//! Read-only, and off unless an address is given.

mod health;
mod traces;
mod vitals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use vitals::{Vitals, Wellness};

use crate::config::listen::Listen;
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
    journal: SharedReader,
}

impl WatchedHub {
    /// A hub whose watch tells of itself by `vitals` and keeps its journal in `state_dir`.
    pub fn new(hub: HubName, environment: Environment, interval: Duration, vitals: Vitals, state_dir: PathBuf) -> Self {
        Self { hub, environment, interval, vitals, journal: SharedReader::new(state_dir) }
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
        tracing::info!(%address, "serving /healthz, /readyz and traces by id");
        let (stop, stopped) = oneshot::channel();
        let serving = axum::serve(listener, router(Served { hubs: Arc::new(hubs) })).with_graceful_shutdown(async {
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

fn router(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/api/v3/traces/{id}", get(traces::trace))
        // Where Jaeger's UI shows a trace: a report's links lead somewhere.
        .route("/trace/{id}", get(traces::trace))
        .with_state(served)
}
