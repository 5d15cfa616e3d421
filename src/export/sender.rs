//! One sender per destination and signal: takes what the destination lacks from the journal, until it is acknowledged.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer::Answer;
use super::destination::{Destination, DestinationError, Way};
use super::fast_path::{LogFastPath, LogWay};
use super::split::{self, Piece};
use super::transport::Transport;
use crate::base::backoff::Backoff;
use crate::journal::{DeadLetter, DestinationName, Journal, JournalError, Outgoing, Signal};

/// A request's size, uncompressed. Receivers take 4 MiB by gRPC; a quarter of that keeps our memory small and is still few requests.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// A receiver that takes less than this at once takes hardly anything; its requests are cut further only when they are refused.
const MIN_REQUEST_BYTES: usize = 4 * 1024;

/// So often a request is cut in two: enough to find several bad records among a thousand, few enough for a receiver that refuses
/// everything.
const MAX_CUTS: u32 = 64;

/// The first wait after a failure: most failures are a restart of the receiver.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait of our own accord: half a minute after the receiver is back, everything flows.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The waits of our own accord.
const WAITS: Backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);

/// Between two tries with credentials that were refused: somebody has to mend them first.
const WAIT_FOR_CREDENTIALS: Duration = Duration::from_secs(60);

/// How a destination stands with a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Flow {
    /// Nothing waits in the journal, and the last request was taken.
    Clear,
    /// What waits is being sent.
    #[default]
    CatchingUp,
    /// The destination is too slow, or away: nobody waits for it.
    Behind,
}

/// What is known of a destination's signal, for everybody who asks.
#[derive(Debug, Default)]
pub(super) struct State {
    flow: watch::Sender<Flow>,
    /// The last request failed, and the sender waits.
    waiting: AtomicBool,
    pub(super) rejected: AtomicU64,
    sent: AtomicU64,
    pub(super) throttle: Arc<Throttle>,
}

/// A receiver's wish to be left alone for a while, for all signals.
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

    /// Whether nobody asked to be left alone.
    pub(super) fn is_open(&self) -> bool {
        self.get().is_none()
    }
}

impl State {
    /// Whether nothing waits in the journal.
    pub(super) fn is_clear(&self) -> bool {
        *self.flow.borrow() == Flow::Clear
    }

    /// Waits until nothing is left in the journal; false if that can't be said to come soon.
    pub(super) async fn becomes_clear(&self) -> bool {
        let mut flow = self.flow.subscribe();
        flow.wait_for(|flow| *flow != Flow::CatchingUp).await.is_ok_and(|flow| *flow == Flow::Clear)
    }

    /// Something is put into the journal that will be sent soon.
    pub(super) fn catches_up(&self) {
        self.flow.send_if_modified(|flow| *flow == Flow::Clear && std::mem::replace(flow, Flow::CatchingUp) == Flow::Clear);
    }

    /// The destination did not take a request in time.
    pub(super) fn falls_behind(&self) {
        self.flow.send_if_modified(|flow| std::mem::replace(flow, Flow::Behind) != Flow::Behind);
    }

    fn clears(&self) {
        self.flow.send_if_modified(|flow| std::mem::replace(flow, Flow::Clear) != Flow::Clear);
    }
}

/// All senders of a sidecar. Dropped, they stop; what they had not sent stays in the journal.
#[derive(Debug)]
pub struct Senders {
    tasks: JoinSet<()>,
    journal: Journal,
    states: Vec<Stand>,
    fast_path: LogFastPath,
    progress: watch::Receiver<u64>,
}

#[derive(Debug, Clone)]
struct Stand {
    destination: DestinationName,
    signal: Signal,
    state: Arc<State>,
}

/// Shows what the senders do.
#[derive(Debug, Clone, Default)]
pub struct Tally(Vec<Stand>);

/// How a destination stands with a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which destination.
    pub destination: DestinationName,
    /// Which signal.
    pub signal: Signal,
    /// Records that it took since the senders started.
    pub sent: u64,
    /// Records that it refused for good.
    pub rejected: u64,
    /// Whether it does not take data at the moment.
    pub waiting: bool,
}

impl Tally {
    /// One entry for each destination and signal.
    pub fn read(&self) -> impl Iterator<Item = Standing> {
        self.0.iter().map(|Stand { destination, signal, state }| Standing {
            destination: destination.clone(),
            signal: *signal,
            sent: state.sent.load(Ordering::Relaxed),
            rejected: state.rejected.load(Ordering::Relaxed),
            waiting: state.waiting.load(Ordering::Relaxed),
        })
    }
}

/// Why senders could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The destination.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Senders {
    /// Starts a sender for each destination and signal.
    pub async fn spawn(destinations: &[Destination], journal: &Journal) -> Result<Self, SpawnError> {
        journal.register(destinations.iter().map(Destination::recipient).collect()).await?;
        let (moved, progress) = watch::channel(0);
        let moved = Arc::new(moved);
        let mut tasks = JoinSet::new();
        let (mut states, mut ways) = (Vec::new(), Vec::new());
        for destination in destinations {
            let throttle = Arc::new(Throttle::default());
            let mut transports: Vec<(&Way, Transport)> = Vec::new();
            for (signal, way) in &destination.ways {
                // What goes the same way shares the connection.
                let known = transports.iter().find(|(known, _)| known.same_connection(way)).map(|(_, transport)| transport);
                let transport = Transport::new(way, known)?;
                transports.push((way, transport.clone()));
                let state = Arc::new(State { throttle: throttle.clone(), ..State::default() });
                states.push(Stand { destination: destination.name().clone(), signal: *signal, state: state.clone() });
                let name = destination.name().clone();
                if *signal == Signal::Logs {
                    ways.push(LogWay::new(name.clone(), transport.clone(), state.clone()));
                }
                let (journal, moved) = (journal.clone(), moved.clone());
                let (signal, max_bytes) = (*signal, MAX_REQUEST_BYTES);
                tasks.spawn(Sender { name, signal, journal, transport, state, moved, max_bytes, failures: 0 }.work());
            }
        }
        let fast_path = LogFastPath::new(ways);
        Ok(Self { tasks, journal: journal.clone(), states, fast_path, progress })
    }

    /// The way for log lines; `None` where nobody wants any.
    pub fn fast_path(&self) -> Option<LogFastPath> {
        Some(self.fast_path.clone()).filter(LogFastPath::is_wanted)
    }

    /// What was sent so far, and how each destination stands.
    pub fn tally(&self) -> Tally {
        Tally(self.states.clone())
    }

    /// Waits until everything is sent, but not beyond the deadline, and not for destinations that do not answer; gives back whether
    /// something is left.
    pub async fn drain(mut self, deadline: Duration) -> bool {
        let deadline = Instant::now() + deadline;
        loop {
            let unsent = self.journal.unsent().await.unwrap_or(1);
            let hopeless = self.states.iter().all(|Stand { state, .. }| state.waiting.load(Ordering::Relaxed) || state.is_clear());
            let waits = self.states.iter().any(|Stand { state, .. }| state.waiting.load(Ordering::Relaxed));
            if unsent == 0 || hopeless && waits || self.tasks.is_empty() {
                return unsent > 0;
            }
            if tokio::time::timeout_at(deadline, self.progress.changed()).await.is_err() {
                return true;
            }
        }
    }
}

/// Counts what was taken and refused; whether the request is done with.
pub(super) fn taken(answer: &Answer, state: &State, records: u64) -> bool {
    match answer {
        Answer::Accepted => {
            state.sent.fetch_add(records, Ordering::Relaxed);
            true
        }
        Answer::Partial { rejected, message } => {
            tracing::warn!(rejected, message, "the receiver refused some records");
            state.rejected.fetch_add(*rejected, Ordering::Relaxed);
            state.sent.fetch_add(records.saturating_sub(*rejected), Ordering::Relaxed);
            true
        }
        _ => false,
    }
}

struct Sender {
    name: DestinationName,
    signal: Signal,
    journal: Journal,
    transport: Transport,
    state: Arc<State>,
    moved: Arc<watch::Sender<u64>>,
    /// What the receiver is known to take at once.
    max_bytes: usize,
    failures: u32,
}

/// What to do with a request that was answered.
enum Next {
    /// It is done with.
    Done,
    /// The same again.
    Again,
    /// Its halves, or what the receiver refuses if there are none.
    Halves(String),
    /// Nothing of it.
    SetAside(String),
}

impl Sender {
    async fn work(mut self) {
        loop {
            match self.send_all().await {
                // What was under way is sent again: it is the same records.
                Err(error) if error.may_pass() => tokio::time::sleep(FIRST_WAIT).await,
                // The journal is gone at the end of a run; anything else is a damage that the next run repairs.
                Err(error) => return tracing::debug!(%error, signal = self.signal.as_str(), "sending ends"),
                Ok(never) => match never {},
            }
        }
    }

    async fn send_all(&mut self) -> Result<Infallible, JournalError> {
        let mut seen = 0;
        loop {
            match self.journal.outgoing(&self.name, self.signal, self.max_bytes).await? {
                Some(outgoing) => {
                    self.state.catches_up();
                    self.send(outgoing).await?;
                    self.moved.send_modify(|moved| *moved += 1);
                }
                None => {
                    self.state.clears();
                    self.moved.send_modify(|moved| *moved += 1);
                    seen = self.journal.committed_after(seen).await?;
                }
            }
        }
    }

    /// Sends until every record was taken or set aside. A crash in between sends some of them again: they are the same records.
    async fn send(&mut self, outgoing: Outgoing) -> Result<(), JournalError> {
        let Outgoing { otlp, records, last, .. } = outgoing;
        let mut pieces = vec![Piece { otlp, records }];
        let mut cuts = 0;
        while let Some(piece) = pieces.pop() {
            match self.try_piece(&piece).await {
                Next::Done => {}
                Next::Again => pieces.push(piece),
                Next::Halves(why) => match split::halves(self.signal, &piece.otlp).filter(|_| cuts < MAX_CUTS) {
                    Some([first, second]) => {
                        cuts += 1;
                        pieces.extend([second, first]);
                    }
                    None => self.set_aside(piece, why).await?,
                },
                Next::SetAside(why) => self.set_aside(piece, why).await?,
            }
        }
        // The receiver has it: it is not sent again because the journal can't be written, but told to the journal once it can.
        loop {
            match self.journal.sent(&self.name, self.signal, last).await {
                Err(error) if error.may_pass() => tokio::time::sleep(FIRST_WAIT).await,
                told => return told,
            }
        }
    }

    async fn try_piece(&mut self, piece: &Piece) -> Next {
        self.state.throttle.pass().await;
        let answer = self.transport.send(self.signal, Bytes::copy_from_slice(&piece.otlp)).await;
        if taken(&answer, &self.state, piece.records) {
            if self.failures > 0 {
                tracing::info!(destination = self.name.as_str(), signal = self.signal.as_str(), "the receiver takes data again");
            }
            self.failures = 0;
            return Next::Done;
        }
        match answer {
            Answer::TooLarge(why) => {
                self.max_bytes = (piece.otlp.len() / 2).clamp(MIN_REQUEST_BYTES, self.max_bytes);
                Next::Halves(why)
            }
            Answer::Bad(why) => Next::Halves(why),
            Answer::Exhausted(why) => {
                self.back_off(None, &why).await;
                Next::Halves(why)
            }
            Answer::Refused(why) => Next::SetAside(why),
            Answer::Unauthorized(why) => {
                let destination = self.name.as_str();
                let signal = self.signal.as_str();
                tracing::error!(destination, why, signal, "the receiver wants other credentials; nothing is thrown away meanwhile");
                self.wait(WAIT_FOR_CREDENTIALS).await;
                Next::Again
            }
            Answer::Retry { after, why } => {
                self.back_off(after, &why).await;
                Next::Again
            }
            Answer::Accepted | Answer::Partial { .. } => Next::Done,
        }
    }

    async fn set_aside(&self, piece: Piece, reason: String) -> Result<(), JournalError> {
        let Piece { otlp, records } = piece;
        let (destination, signal) = (self.name.as_str(), self.signal.as_str());
        tracing::error!(destination, reason, records, signal, "the receiver refuses this for good; it is set aside in the journal");
        self.state.rejected.fetch_add(records, Ordering::Relaxed);
        self.journal.refused(&self.name, self.signal, DeadLetter { otlp, records, reason }).await
    }

    async fn back_off(&mut self, after: Option<Duration>, why: &str) {
        if self.failures == 0 {
            let (destination, signal) = (self.name.as_str(), self.signal.as_str());
            tracing::warn!(destination, why, signal, "the receiver does not take data; it is kept and sent later");
        }
        if let Some(after) = after {
            // What a receiver asks for holds for all that goes to it.
            self.state.throttle.until(Instant::now() + after);
        }
        self.failures = self.failures.saturating_add(1);
        let wait = WAITS.after(self.failures).max(after.unwrap_or_default());
        self.wait(wait).await;
    }

    async fn wait(&self, wait: Duration) {
        self.state.waiting.store(true, Ordering::Relaxed);
        self.state.falls_behind();
        self.moved.send_modify(|moved| *moved += 1);
        tokio::time::sleep(wait).await;
        self.state.waiting.store(false, Ordering::Relaxed);
    }
}
