//! Log lines are sent first: the log file is their journal. Only what isn't acknowledged in time is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::sender::{State, taken};
use super::transport::Transport;
use crate::journal::{DestinationName, LogRows, Signal};
use crate::watch::LogRequest;

/// How long a request may take before it is kept in the journal instead.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Requests under way to a destination at once. Four of five hundred lines each hide a receiver's round trip of 40 ms at 50,000 lines
/// a second, and bound the memory: what they hold is in use until it is acknowledged.
pub const UNDER_WAY: usize = 4;

/// Sends log records at once, without the journal.
#[derive(Debug, Clone)]
pub struct LogFastPath {
    ways: Vec<LogWay>,
}

/// The way to one destination.
#[derive(Debug, Clone)]
pub(super) struct LogWay {
    name: DestinationName,
    transport: Transport,
    state: Arc<State>,
    room: Arc<Semaphore>,
}

/// A request on its way to every destination.
#[derive(Debug)]
pub struct Delivery {
    request: LogRequest,
    tries: VecDeque<Try>,
    lacking: Vec<DestinationName>,
}

#[derive(Debug)]
struct Try {
    name: DestinationName,
    taken: JoinHandle<bool>,
}

/// What became of a request.
#[derive(Debug)]
pub struct Settled {
    /// Its bytes; their memory can be used again if nobody else holds them.
    pub otlp: Bytes,
    /// What has to be kept of it, and for whom.
    pub kept: Option<LogRows>,
}

impl LogFastPath {
    pub(super) fn new(ways: Vec<LogWay>) -> Self {
        Self { ways }
    }

    /// Whether anybody wants log lines.
    pub(super) fn is_wanted(&self) -> bool {
        !self.ways.is_empty()
    }

    /// Sends a request to every destination that lacks nothing before it. Waits while too many are under way, but no longer than
    /// a request has time: whoever is slower than that gets it from the journal, and holds up nobody any more.
    pub async fn send(&self, request: LogRequest) -> Delivery {
        let mut delivery = Delivery { request, tries: VecDeque::new(), lacking: Vec::new() };
        for way in &self.ways {
            match way.room().await {
                Some(room) => delivery.tries.push_back(way.send(&delivery.request, room)),
                None => delivery.lacking.push(way.name.clone()),
            }
        }
        delivery
    }

    /// Keeps a request for every destination, in the order of what was kept before.
    pub fn keep(&self, request: &LogRequest) -> LogRows {
        for way in &self.ways {
            way.state.catches_up();
        }
        rows(request, self.ways.iter().map(|way| way.name.clone()).collect())
    }
}

impl LogWay {
    pub(super) fn new(name: DestinationName, transport: Transport, state: Arc<State>) -> Self {
        Self { name, transport, state, room: Arc::new(Semaphore::new(UNDER_WAY)) }
    }

    /// Room for one more request; none where the destination is known to be slow or away.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        let wait = async {
            if !self.state.throttle.is_open() || !self.state.becomes_clear().await {
                return None;
            }
            // The semaphore is never closed.
            self.room.clone().acquire_owned().await.ok()
        };
        let room = tokio::time::timeout(PATIENCE, wait).await.ok().flatten().filter(|_| self.state.is_clear());
        if room.is_none() {
            self.state.falls_behind();
        }
        room
    }

    fn send(&self, request: &LogRequest, room: OwnedSemaphorePermit) -> Try {
        let Self { name, transport, state, .. } = self.clone();
        let LogRequest { otlp, records } = request.clone();
        let taken = tokio::spawn(async move {
            let answer = transport.send_within(Signal::Logs, otlp, PATIENCE).await;
            let taken = taken(&answer, &state, u64::from(records));
            if !taken {
                state.falls_behind();
            }
            drop(room);
            taken
        });
        Try { name, taken }
    }
}

impl Delivery {
    /// Whether every destination has answered, or had its time.
    pub fn is_settled(&self) -> bool {
        self.tries.iter().all(|one| one.taken.is_finished())
    }

    /// Waits for the answers.
    pub async fn settle(mut self) -> Settled {
        while let Some(one) = self.tries.pop_front() {
            // A task that was torn down has not delivered.
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
