//! One sender per destination and signal: sends the destination's queue in the journal until it is acknowledged.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::destination::{CheckedRoute, Destination, DestinationError};
use super::fast_path::{LogFastPath, LogRoute};
use super::response::ExportResult;
use super::split::{self, Piece};
use super::transport::Transport;
use crate::base::backoff::Backoff;
use crate::journal::{DeadLetter, DestinationName, Journal, JournalError, Outgoing, Signal};

/// Maximum request size in bytes, uncompressed. Receivers accept 4 MiB by gRPC; a quarter saves memory and is still few requests.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// Smallest request size that is remembered for a receiver, in bytes; smaller requests are made only by splitting rejected ones.
const MIN_REQUEST_BYTES: usize = 4 * 1024;

/// How often a request is split: enough to find several bad records among a thousand, few enough for a receiver that rejects
/// everything.
const MAX_SPLITS: u32 = 64;

/// The first backoff: most failures are a restart of the receiver.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// The longest backoff: data flows at most 30 s after the receiver is back.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The backoff, unless the receiver asks for a longer delay.
const BACKOFF: Backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);

/// Time between retries with rejected credentials, which have to be corrected first.
const CREDENTIALS_RETRY: Duration = Duration::from_secs(60);

/// The backlog of a destination's signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Flow {
    /// No backlog, and the last request was accepted.
    Clear,
    /// The backlog is being sent.
    #[default]
    CatchingUp,
    /// The destination is too slow or down: the fast path does not wait for it.
    Behind,
}

/// The shared state of a destination's signal.
#[derive(Debug, Default)]
pub(super) struct State {
    flow: watch::Sender<Flow>,
    /// True while the sender backs off after a failure.
    waiting: AtomicBool,
    pub(super) rejected: AtomicU64,
    sent: AtomicU64,
    pub(super) throttle: Arc<Throttle>,
}

/// The delay that a receiver asked for, for all signals.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    fn get(&self) -> Option<Instant> {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *until = until.filter(|until| *until > Instant::now());
        *until
    }

    fn until(&self, until: Instant) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *current = (*current).max(Some(until));
    }

    async fn pass(&self) {
        while let Some(until) = self.get() {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Returns whether requests may be sent now.
    pub(super) fn is_open(&self) -> bool {
        self.get().is_none()
    }
}

impl State {
    /// Returns whether there is no backlog.
    pub(super) fn is_clear(&self) -> bool {
        *self.flow.borrow() == Flow::Clear
    }

    /// Waits until the backlog is sent; returns false if the destination is behind.
    pub(super) async fn becomes_clear(&self) -> bool {
        let mut flow = self.flow.subscribe();
        flow.wait_for(|flow| *flow != Flow::CatchingUp).await.is_ok_and(|flow| *flow == Flow::Clear)
    }

    /// Records that the journal has data to send.
    pub(super) fn catches_up(&self) {
        self.flow.send_if_modified(|flow| *flow == Flow::Clear && std::mem::replace(flow, Flow::CatchingUp) == Flow::Clear);
    }

    /// Records that the destination did not accept a request in time.
    pub(super) fn falls_behind(&self) {
        self.flow.send_if_modified(|flow| std::mem::replace(flow, Flow::Behind) != Flow::Behind);
    }

    fn clears(&self) {
        self.flow.send_if_modified(|flow| std::mem::replace(flow, Flow::Clear) != Flow::Clear);
    }
}

/// All senders of a sidecar. They stop when dropped; unsent data stays in the journal.
#[derive(Debug)]
pub struct Senders {
    tasks: JoinSet<()>,
    journal: Journal,
    states: Vec<SenderState>,
    fast_path: LogFastPath,
    progress: watch::Receiver<u64>,
}

#[derive(Debug, Clone)]
struct SenderState {
    destination: DestinationName,
    signal: Signal,
    state: Arc<State>,
}

/// A view of the senders' counters.
#[derive(Debug, Clone, Default)]
pub struct Tally(Vec<SenderState>);

/// The status of a destination's signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderStatus {
    /// The destination.
    pub destination: DestinationName,
    /// The signal.
    pub signal: Signal,
    /// Records accepted since the senders started.
    pub sent: u64,
    /// Records permanently rejected.
    pub rejected: u64,
    /// True while the destination does not accept data.
    pub waiting: bool,
}

impl Tally {
    /// Returns one entry for each destination and signal.
    pub fn read(&self) -> impl Iterator<Item = SenderStatus> {
        self.0.iter().map(|SenderState { destination, signal, state }| SenderStatus {
            destination: destination.clone(),
            signal: *signal,
            sent: state.sent.load(Ordering::Relaxed),
            rejected: state.rejected.load(Ordering::Relaxed),
            waiting: state.waiting.load(Ordering::Relaxed),
        })
    }
}

/// An error in setting up the senders.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The destination is invalid.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Senders {
    /// Starts a sender for each destination and signal.
    pub async fn spawn(destinations: &[Destination], journal: &Journal) -> Result<Self, SpawnError> {
        journal.register(destinations.iter().map(Destination::recipient).collect()).await?;
        let (progressed, progress) = watch::channel(0);
        let progressed = Arc::new(progressed);
        let mut tasks = JoinSet::new();
        let (mut states, mut routes) = (Vec::new(), Vec::new());
        for destination in destinations {
            let throttle = Arc::new(Throttle::default());
            let mut transports: Vec<(&CheckedRoute, Transport)> = Vec::new();
            for (signal, route) in &destination.routes {
                // Signals with the same receiver share a connection.
                let known = transports.iter().find(|(known, _)| known.same_connection(route)).map(|(_, transport)| transport);
                let transport = Transport::new(route, known)?;
                transports.push((route, transport.clone()));
                let state = Arc::new(State { throttle: throttle.clone(), ..State::default() });
                states.push(SenderState { destination: destination.name().clone(), signal: *signal, state: state.clone() });
                let name = destination.name().clone();
                if *signal == Signal::Logs {
                    routes.push(LogRoute::new(name.clone(), transport.clone(), state.clone()));
                }
                let (journal, progressed) = (journal.clone(), progressed.clone());
                let (signal, max_bytes) = (*signal, MAX_REQUEST_BYTES);
                tasks.spawn(Sender { name, signal, journal, transport, state, progressed, max_bytes, failures: 0 }.work());
            }
        }
        let fast_path = LogFastPath::new(routes);
        Ok(Self { tasks, journal: journal.clone(), states, fast_path, progress })
    }

    /// Returns the fast path for log lines; `None` if no destination wants logs.
    pub fn fast_path(&self) -> Option<LogFastPath> {
        Some(self.fast_path.clone()).filter(LogFastPath::is_wanted)
    }

    /// Returns a view of the counters and the status of each destination.
    pub fn tally(&self) -> Tally {
        Tally(self.states.clone())
    }

    /// Waits until everything is sent, until the deadline, or until only unreachable destinations are left; returns whether data is
    /// left.
    pub async fn drain(mut self, deadline: Duration) -> bool {
        let deadline = Instant::now() + deadline;
        loop {
            let unsent = self.journal.unsent().await.unwrap_or(1);
            let stalled =
                self.states.iter().all(|SenderState { state, .. }| state.waiting.load(Ordering::Relaxed) || state.is_clear());
            let waits = self.states.iter().any(|SenderState { state, .. }| state.waiting.load(Ordering::Relaxed));
            if unsent == 0 || stalled && waits || self.tasks.is_empty() {
                return unsent > 0;
            }
            if tokio::time::timeout_at(deadline, self.progress.changed()).await.is_err() {
                return true;
            }
        }
    }
}

/// Counts accepted and rejected records; returns whether the request is done.
pub(super) fn record_result(result: &ExportResult, state: &State, records: u64) -> bool {
    match result {
        ExportResult::Accepted => {
            state.sent.fetch_add(records, Ordering::Relaxed);
            true
        }
        ExportResult::Partial { rejected, message } => {
            tracing::warn!(rejected, message, "the receiver rejected some records");
            state.rejected.fetch_add(*rejected, Ordering::Relaxed);
            state.sent.fetch_add(records.saturating_sub(*rejected), Ordering::Relaxed);
            true
        }
        ExportResult::Retry { .. }
        | ExportResult::TooLarge(_)
        | ExportResult::Exhausted(_)
        | ExportResult::Bad(_)
        | ExportResult::Unauthorized(_)
        | ExportResult::Rejected(_) => false,
    }
}

struct Sender {
    name: DestinationName,
    signal: Signal,
    journal: Journal,
    transport: Transport,
    state: Arc<State>,
    progressed: Arc<watch::Sender<u64>>,
    /// The request size that the receiver accepts.
    max_bytes: usize,
    failures: u32,
}

/// What to do after a response.
enum Next {
    /// The request is done.
    Done,
    /// Send the same request again.
    Again,
    /// Send its halves; if it can't be split, make it a dead letter.
    Halves(String),
    /// Make it a dead letter.
    DeadLetter(String),
}

impl Sender {
    async fn work(mut self) {
        loop {
            match self.send_all().await {
                // The request in flight is sent again: it holds the same records.
                Err(error) if error.may_pass() => tokio::time::sleep(MIN_BACKOFF).await,
                // The journal closes at the end of a run; the next run repairs any other damage.
                Err(error) => return tracing::debug!(%error, signal = self.signal.as_str(), "sender stopped"),
                Ok(never) => match never {},
            }
        }
    }

    async fn send_all(&mut self) -> Result<Infallible, JournalError> {
        let (mut commits, mut seen) = (self.journal.commits(), 0);
        loop {
            match self.journal.outgoing(&self.name, self.signal, self.max_bytes).await? {
                Some(outgoing) => {
                    self.state.catches_up();
                    self.send(outgoing).await?;
                    self.progressed.send_modify(|progressed| *progressed += 1);
                }
                None => {
                    self.state.clears();
                    self.progressed.send_modify(|progressed| *progressed += 1);
                    seen = commits.after(seen).await?;
                }
            }
        }
    }

    /// Sends until every record is accepted or a dead letter. After a crash some are sent again: they are the same records.
    async fn send(&mut self, outgoing: Outgoing) -> Result<(), JournalError> {
        let Outgoing { otlp, records, last, .. } = outgoing;
        let mut pieces = vec![Piece { otlp, records }];
        let mut splits = 0;
        while let Some(piece) = pieces.pop() {
            match self.try_piece(&piece).await {
                Next::Done => {}
                Next::Again => pieces.push(piece),
                Next::Halves(why) => match split::halves(self.signal, &piece.otlp).filter(|_| splits < MAX_SPLITS) {
                    Some([first, second]) => {
                        splits += 1;
                        pieces.extend([second, first]);
                    }
                    None => self.dead_letter(piece, why).await?,
                },
                Next::DeadLetter(why) => self.dead_letter(piece, why).await?,
            }
        }
        // The receiver has the records: don't send them again if the journal can't be written, but retry the write.
        loop {
            match self.journal.sent(&self.name, self.signal, last).await {
                Err(error) if error.may_pass() => tokio::time::sleep(MIN_BACKOFF).await,
                result => return result,
            }
        }
    }

    async fn try_piece(&mut self, piece: &Piece) -> Next {
        self.state.throttle.pass().await;
        let result = self.transport.send(self.signal, Bytes::copy_from_slice(&piece.otlp)).await;
        if record_result(&result, &self.state, piece.records) {
            if self.failures > 0 {
                tracing::info!(destination = self.name.as_str(), signal = self.signal.as_str(), "the receiver accepts data again");
            }
            self.failures = 0;
            return Next::Done;
        }
        match result {
            ExportResult::TooLarge(why) => {
                self.max_bytes = (piece.otlp.len() / 2).clamp(MIN_REQUEST_BYTES, self.max_bytes);
                Next::Halves(why)
            }
            ExportResult::Bad(why) => Next::Halves(why),
            ExportResult::Exhausted(why) => {
                self.back_off(None, &why).await;
                Next::Halves(why)
            }
            ExportResult::Rejected(why) => Next::DeadLetter(why),
            ExportResult::Unauthorized(why) => {
                let destination = self.name.as_str();
                let signal = self.signal.as_str();
                tracing::error!(
                    destination,
                    why,
                    signal,
                    "the receiver rejected the credentials; correct them: the data is kept meanwhile"
                );
                self.wait(CREDENTIALS_RETRY).await;
                Next::Again
            }
            ExportResult::Retry { after, why } => {
                self.back_off(after, &why).await;
                Next::Again
            }
            ExportResult::Accepted | ExportResult::Partial { .. } => Next::Done,
        }
    }

    async fn dead_letter(&self, piece: Piece, reason: String) -> Result<(), JournalError> {
        let Piece { otlp, records } = piece;
        let (destination, signal) = (self.name.as_str(), self.signal.as_str());
        tracing::error!(
            destination,
            reason,
            records,
            signal,
            "the receiver permanently rejected this request; it is kept in the journal as a dead letter"
        );
        self.state.rejected.fetch_add(records, Ordering::Relaxed);
        self.journal.reject(&self.name, self.signal, DeadLetter { otlp, records, reason }).await
    }

    async fn back_off(&mut self, after: Option<Duration>, why: &str) {
        if self.failures == 0 {
            let (destination, signal) = (self.name.as_str(), self.signal.as_str());
            tracing::warn!(destination, why, signal, "the receiver does not accept data; the journal keeps it, and retries follow");
        }
        if let Some(after) = after {
            // A receiver's delay applies to all signals.
            self.state.throttle.until(Instant::now() + after);
        }
        self.failures = self.failures.saturating_add(1);
        let wait = BACKOFF.after(self.failures).max(after.unwrap_or_default());
        self.wait(wait).await;
    }

    async fn wait(&self, wait: Duration) {
        self.state.waiting.store(true, Ordering::Relaxed);
        self.state.falls_behind();
        self.progressed.send_modify(|progressed| *progressed += 1);
        tokio::time::sleep(wait).await;
        self.state.waiting.store(false, Ordering::Relaxed);
    }
}
