//! The OTLP receiver: takes traces, metrics and logs of the hub and of what runs beside it, by gRPC and by HTTP.
//!
//! What it acknowledges is in the journal: the request on its way to the destinations, and what the watch should know of it.
//! [`server`] accepts connections, [`service`] takes one request, [`prepare`] checks it and hides what is private, [`commit`] writes
//! all requests that wait in one transaction. It runs on its own thread, so that no sender delays the watch.

mod answer;
mod call;
mod check;
mod commit;
mod connection;
mod counters;
mod decompress;
mod limits;
mod measure;
mod prepare;
mod privacy;
mod refused;
mod server;
mod service;
mod settings;

use std::net::{SocketAddr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use answer::SELF_DESCRIPTION;
pub use commit::ObservationSender;
pub use counters::{Counters, Totals};
pub use limits::MAX_WAITING_OBSERVATIONS;
pub use settings::{Settings, TlsFiles};

use crate::base::secret::Secret;
use crate::journal::Journal;
use crate::watch::Origin;
use commit::Passed;
use limits::{LAST_REQUESTS, MAX_REQUESTS_IN_WORK};
use prepare::Preparation;
use server::Server;
use service::Service;

/// The pause before a receiver that has failed starts again.
const RESTART: Duration = Duration::from_secs(1);

/// The receiver can't start.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It can't listen.
    #[error("can't receive OTLP on {address}: {reason}; use another address with --receive, or leave the flag out")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        reason: std::io::Error,
    },
    /// Its certificate or key can't be used.
    #[error("the receiver's {what} {path} can't be used: {reason}")]
    Tls {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// The system started no thread.
    #[error("can't start the receiver's thread: {0}")]
    Thread(std::io::Error),
}

/// What the receiver needs of the watch.
#[derive(Debug, Clone)]
pub struct Context {
    /// The hub's identity, which completes the resources of what is received.
    pub origin: Origin,
    /// The key for hashing session ids.
    pub key: [u8; 32],
    /// Whether prompts, arguments and strings that look like keys are kept unmasked.
    pub keep_private: bool,
    /// The journal.
    pub journal: Journal,
    /// The last observations of an earlier run that the watch has; 0 if there were none.
    pub passed: i64,
}

/// A receiver that runs until it is ended or dropped.
#[derive(Debug)]
pub struct Receiver {
    addresses: Vec<SocketAddr>,
    counters: Counters,
    health: watch::Receiver<Option<String>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts to listen. A port in use is an error, because senders rely on it. `observed` gets observations in the order of their ids.
    pub fn start(settings: &Settings, context: Context, observed: ObservationSender) -> Result<Self, ReceiveError> {
        let tls = settings.tls.as_ref().map(TlsFiles::acceptor).transpose()?;
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for address in &settings.addresses {
            let failed = |reason| ReceiveError::Listen { address: *address, reason };
            let listener = TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            listeners.push(listener);
        }
        let (stop, stopped) = oneshot::channel();
        let (told, health) = watch::channel(None);
        let counters = Counters::default();
        let passed = Passed::up_to(context.passed);
        let (token, counted) = (settings.token.clone(), counters.clone());
        let work = Work { listeners, tls, token, context, observed, passed, counters: counted, health: told };
        let thread = std::thread::Builder::new().name("receiver".to_owned()).spawn(move || work.run(stopped));
        let thread = thread.map_err(ReceiveError::Thread)?;
        for address in &addresses {
            tracing::info!(%address, tls = settings.tls.is_some(), token = settings.token.is_some(), "receiving OTLP by gRPC and HTTP");
        }
        Ok(Self { addresses, counters, health, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the addresses that it listens on, with the real ports if 0 was configured.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the counters, which are kept up to date.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Returns why it can't receive at the moment; `None` if it can.
    pub fn problem(&self) -> Option<String> {
        let has_ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let ended = || has_ended.then(|| "the OTLP receiver has ended".to_owned());
        self.health.borrow().clone().or_else(ended)
    }

    /// Takes no more requests, waits a limited time for open ones, and stops.
    pub async fn end(mut self) {
        let Some(thread) = self.stop_thread() else { return };
        // A panic of the thread was logged.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }

    fn stop_thread(&mut self) -> Option<JoinHandle<()>> {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread has ended already.
            let _ = stop.send(());
        }
        self.thread.take()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop_thread();
    }
}

/// What the thread works with.
struct Work {
    listeners: Vec<TcpListener>,
    tls: Option<TlsAcceptor>,
    token: Option<Secret>,
    context: Context,
    observed: ObservationSender,
    passed: Passed,
    counters: Counters,
    health: watch::Sender<Option<String>>,
}

impl Work {
    /// Serves until it is stopped; begins again after a failure.
    fn run(self, mut stopped: oneshot::Receiver<()>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.health.send_replace(Some(format!("the OTLP receiver can't start: {error}")));
                return;
            }
        };
        runtime.block_on(async {
            loop {
                let reason = match AssertUnwindSafe(self.serve(&mut stopped)).catch_unwind().await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "it has panicked".to_owned(),
                };
                tracing::error!(reason, "the OTLP receiver has failed and starts again");
                self.health.send_replace(Some(format!("the OTLP receiver has failed: {reason}")));
                tokio::select! {
                    () = tokio::time::sleep(RESTART) => {}
                    _ = &mut stopped => return,
                }
            }
        });
    }

    async fn serve(&self, stopped: &mut oneshot::Receiver<()>) -> std::io::Result<()> {
        let Context { origin, key, keep_private, journal, passed: _ } = self.context.clone();
        commit::pass_on_the_rest(&journal, &self.observed, &self.passed).await.map_err(std::io::Error::other)?;
        let (queue, waiting) = mpsc::channel(MAX_REQUESTS_IN_WORK);
        // Aborted when it is dropped, so that there is never a second one.
        let mut committer = JoinSet::new();
        committer.spawn(commit::commit_all(waiting, journal, self.passed.clone()));
        let preparation = Preparation::new(&origin, key, keep_private);
        let service = Service::new(self.token.clone(), preparation, self.counters.clone(), queue, self.observed.clone());
        let server = Server::new(Arc::new(service), self.tls.clone());
        let _closing = server.close_on_drop();
        let mut listeners = Vec::new();
        for listener in &self.listeners {
            listeners.push(tokio::net::TcpListener::from_std(listener.try_clone()?)?);
        }
        let accepting = join_all(listeners.into_iter().map(|listener| server.clone().accept(listener, &self.health)));
        self.health.send_replace(None);
        tokio::select! {
            _ = accepting => {}
            // A dropped receiver must stop, too.
            _ = stopped => {}
            _ = committer.join_next() => return Err(std::io::Error::other("the task that commits requests has ended")),
        }
        // The listeners are closed; open requests may end.
        tokio::time::timeout(LAST_REQUESTS, server.is_quiet()).await.unwrap_or_default();
        Ok(())
    }
}
