//! Sends log lines without the journal, because the log file keeps them. Only records that are not acknowledged in time are
//! queued in the journal.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::sender::{State, record_result};
use super::transport::Transport;
use crate::journal::{DestinationName, LogRows, Signal};
use crate::watch::LogRequest;

/// How long a request may take before it is queued in the journal.
pub(super) const FAST_PATH_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum requests in flight to a destination. Four of 500 lines each hide a receiver's round trip of 40 ms at 50,000 lines per
/// second, and bound the memory, which is in use until they are acknowledged.
pub(super) const MAX_IN_FLIGHT: usize = 4;

/// Sends log records directly, without the journal.
#[derive(Debug, Clone)]
pub struct LogFastPath {
    routes: Vec<LogRoute>,
}

/// The route of log records to one destination.
#[derive(Debug, Clone)]
pub(super) struct LogRoute {
    name: DestinationName,
    transport: Transport,
    state: Arc<State>,
    room: Arc<Semaphore>,
}

/// A request in flight to every destination.
#[derive(Debug)]
pub struct Delivery {
    request: LogRequest,
    attempts: VecDeque<Attempt>,
    lacking: Vec<DestinationName>,
}

#[derive(Debug)]
struct Attempt {
    name: DestinationName,
    taken: JoinHandle<bool>,
}

/// The outcome of a request.
#[derive(Debug)]
pub struct Settled {
    /// Its bytes; their memory can be reused if there is no other reference.
    pub otlp: Bytes,
    /// The rows to queue, with the destinations that lack them.
    pub kept: Option<LogRows>,
}

impl LogFastPath {
    pub(super) fn new(routes: Vec<LogRoute>) -> Self {
        Self { routes }
    }

    /// Returns whether any destination wants log lines.
    pub(super) fn is_wanted(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Sends a request to every destination without a backlog. Waits while too many requests are in flight, but at most
    /// [`FAST_PATH_TIMEOUT`]: a slower destination gets the request from the journal, and no longer delays others.
    pub async fn send(&self, request: LogRequest) -> Delivery {
        let mut delivery = Delivery { request, attempts: VecDeque::new(), lacking: Vec::new() };
        for route in &self.routes {
            match route.room().await {
                Some(room) => delivery.attempts.push_back(route.send(&delivery.request, room)),
                None => delivery.lacking.push(route.name.clone()),
            }
        }
        delivery
    }

    /// Queues a request for every destination, after its backlog.
    pub fn keep(&self, request: &LogRequest) -> LogRows {
        for route in &self.routes {
            route.state.catches_up();
        }
        rows(request, self.routes.iter().map(|route| route.name.clone()).collect())
    }
}

impl LogRoute {
    pub(super) fn new(name: DestinationName, transport: Transport, state: Arc<State>) -> Self {
        Self { name, transport, state, room: Arc::new(Semaphore::new(MAX_IN_FLIGHT)) }
    }

    /// Waits for room for a request; returns `None` if the destination is slow or down.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        let wait = async {
            if !self.state.throttle.is_open() || !self.state.becomes_clear().await {
                return None;
            }
            // The semaphore is never closed.
            self.room.clone().acquire_owned().await.ok()
        };
        let room = tokio::time::timeout(FAST_PATH_TIMEOUT, wait).await.ok().flatten().filter(|_| self.state.is_clear());
        if room.is_none() {
            self.state.falls_behind();
        }
        room
    }

    fn send(&self, request: &LogRequest, room: OwnedSemaphorePermit) -> Attempt {
        let Self { name, transport, state, .. } = self.clone();
        let LogRequest { otlp, records } = request.clone();
        let taken = tokio::spawn(async move {
            let result = transport.send_within(Signal::Logs, otlp, FAST_PATH_TIMEOUT).await;
            let taken = record_result(&result, &state, u64::from(records));
            if !taken {
                state.falls_behind();
            }
            drop(room);
            taken
        });
        Attempt { name, taken }
    }
}

impl Delivery {
    /// Returns whether every destination has responded or timed out.
    pub fn is_settled(&self) -> bool {
        self.attempts.iter().all(|one| one.taken.is_finished())
    }

    /// Waits for the responses.
    pub async fn settle(mut self) -> Settled {
        while let Some(one) = self.attempts.pop_front() {
            // An aborted task has not delivered.
            if !one.taken.await.unwrap_or(false) {
                self.lacking.push(one.name);
            }
        }
        let kept = (!self.lacking.is_empty()).then(|| rows(&self.request, std::mem::take(&mut self.lacking)));
        Settled { otlp: self.request.otlp, kept }
    }
}

fn rows(request: &LogRequest, destinations: Vec<DestinationName>) -> LogRows {
    LogRows::new(&request.otlp, request.records, destinations)
}
