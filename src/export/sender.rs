//! One sender per destination and signal: takes what the destination lacks from the journal, until it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer::Answer;
use super::destination::{Destination, DestinationError};
use super::fast_path::{LogFastPath, Way};
use super::transport::{TIMEOUT, Transport};
use crate::journal::{DestinationName, Journal, JournalError, Outgoing, Signal};

/// A request's size, uncompressed. Receivers take 4 MiB by gRPC; a quarter of that keeps our memory small and is still few requests.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// The first wait after a failure: most failures are a restart of the receiver.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait of our own accord: half a minute after the receiver is back, everything flows.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How fast waits grow.
const GROWTH: f64 = 1.5;

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
    states: Vec<Arc<State>>,
    fast_path: Option<LogFastPath>,
    progress: watch::Receiver<u64>,
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
        journal.register(destinations.iter().map(|destination| destination.name().clone()).collect()).await?;
        let (moved, progress) = watch::channel(0);
        let moved = Arc::new(moved);
        let mut tasks = JoinSet::new();
        let (mut states, mut ways) = (Vec::new(), Vec::new());
        for destination in destinations {
            let transport = Transport::new(destination)?;
            for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
                let state = Arc::new(State::default());
                states.push(state.clone());
                if signal == Signal::Logs {
                    ways.push(Way::new(destination.name().clone(), transport.clone(), state.clone()));
                }
                let name = destination.name().clone();
                let (journal, transport, moved) = (journal.clone(), transport.clone(), moved.clone());
                let sender = Sender { name, signal, journal, transport, state, moved, max_bytes: MAX_REQUEST_BYTES, failures: 0 };
                tasks.spawn(sender.work());
            }
        }
        let fast_path = (!ways.is_empty()).then(|| LogFastPath::new(ways, states.clone()));
        Ok(Self { tasks, journal: journal.clone(), states, fast_path, progress })
    }

    /// The way for log lines; `None` where there is no destination.
    pub fn fast_path(&self) -> Option<LogFastPath> {
        self.fast_path.clone()
    }

    /// Waits until everything is sent, but not beyond the deadline, and not for a destination that does not answer; gives back
    /// whether something is left.
    pub async fn drain(mut self, deadline: Duration) -> bool {
        let deadline = Instant::now() + deadline;
        loop {
            let unsent = self.journal.unsent().await.unwrap_or(1);
            let hopeless = self.states.iter().any(|state| state.waiting.load(Ordering::Relaxed));
            if unsent == 0 || hopeless || self.tasks.is_empty() {
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
    max_bytes: usize,
    failures: u32,
}

impl Sender {
    async fn work(mut self) {
        let mut seen = 0;
        loop {
            match self.journal.outgoing(&self.name, self.signal, self.max_bytes).await {
                Ok(Some(outgoing)) => {
                    self.state.catches_up();
                    if self.send(outgoing).await.is_err() {
                        return;
                    }
                    self.moved.send_modify(|moved| *moved += 1);
                }
                Ok(None) => {
                    self.state.clears();
                    match self.journal.committed_after(seen).await {
                        Ok(commits) => seen = commits,
                        Err(_) => return,
                    }
                }
                Err(error) => {
                    tracing::error!(%error, signal = self.signal.as_str(), "sending stops");
                    return;
                }
            }
        }
    }

    async fn send(&mut self, outgoing: Outgoing) -> Result<(), JournalError> {
        let answer = self.transport.send(self.signal, Bytes::copy_from_slice(&outgoing.otlp), TIMEOUT).await;
        if taken(&answer, &self.state, outgoing.records) {
            if self.failures > 0 {
                tracing::info!(signal = self.signal.as_str(), "the receiver takes data again");
            }
            self.failures = 0;
            self.max_bytes = MAX_REQUEST_BYTES;
            return self.journal.sent(&self.name, self.signal, outgoing.last).await;
        }
        match answer {
            Answer::TooLarge(_) if outgoing.rows > 1 => {
                self.max_bytes = outgoing.otlp.len() / 2;
                Ok(())
            }
            Answer::TooLarge(why) | Answer::Refused(why) => self.refused(outgoing, why).await,
            Answer::Unauthorized(why) => {
                tracing::error!(why, signal = self.signal.as_str(), "the receiver wants other credentials; nothing is thrown away");
                self.wait(WAIT_FOR_CREDENTIALS).await;
                Ok(())
            }
            Answer::Retry { after, why } => {
                if self.failures == 0 {
                    tracing::warn!(
                        why,
                        signal = self.signal.as_str(),
                        "the receiver does not take data; it is kept and sent later"
                    );
                }
                let wait = backoff(self.failures).max(after.unwrap_or_default());
                self.failures = self.failures.saturating_add(1);
                self.wait(wait).await;
                Ok(())
            }
            Answer::Accepted | Answer::Partial { .. } => Ok(()),
        }
    }

    /// One bad row must not keep the good ones beside it from being taken: many are sent again one by one, one is set aside.
    async fn refused(&mut self, outgoing: Outgoing, why: String) -> Result<(), JournalError> {
        if outgoing.rows > 1 {
            self.max_bytes = outgoing.otlp.len() / 2;
            return Ok(());
        }
        tracing::error!(why, records = outgoing.records, signal = self.signal.as_str(), "the receiver refuses this for good");
        self.state.rejected.fetch_add(outgoing.records, Ordering::Relaxed);
        self.journal.refused(&self.name, self.signal, outgoing, why).await
    }

    async fn wait(&self, wait: Duration) {
        self.state.waiting.store(true, Ordering::Relaxed);
        self.state.falls_behind();
        self.moved.send_modify(|moved| *moved += 1);
        tokio::time::sleep(wait).await;
        self.state.waiting.store(false, Ordering::Relaxed);
    }
}

/// How long to wait after so many failures, with half of it left to chance, so that many sidecars don't come back at once.
fn backoff(failures: u32) -> Duration {
    let exponent = i32::try_from(failures.min(32)).unwrap_or(32);
    let full = FIRST_WAIT.mul_f64(GROWTH.powi(exponent)).min(LONGEST_WAIT);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        assert!((FIRST_WAIT / 2..=FIRST_WAIT).contains(&backoff(0)));
        assert!((LONGEST_WAIT / 2..=LONGEST_WAIT).contains(&backoff(u32::MAX)));
    }
}
