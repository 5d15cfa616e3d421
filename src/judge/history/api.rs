//! The API's answers to our own requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Planned, Sum};
use crate::judge::exact::Exact;
use crate::judge::series::Durations;
use crate::watch::{ApiOutcome, Micros, Poll, Timestamp};

/// The API's answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiHistory {
    /// Requests, planned disturbances left out, as in all that follows, and those made while there was no hub yet.
    pub requests: u64,
    /// Requests that were not answered as a hub answers.
    pub failed: u64,
    /// The mean time of an answer, of the requests that were answered as a hub answers, as in all that follows. To the nearest µs.
    pub mean_us: Option<u64>,
    /// The time that 50 of 100 keep to, by nearest rank.
    pub p50_us: Option<u64>,
    /// The time that 95 of 100 keep to, by nearest rank.
    pub p95_us: Option<u64>,
    /// The time that 99 of 100 keep to, by nearest rank.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
    /// The answers under high load, planned or not.
    pub under_load: LoadHistory,
    /// The judged answers.
    #[serde(skip)]
    durations: Durations,
    /// All answers, for charts.
    #[serde(skip)]
    pub(in crate::judge) charted: Durations,
    #[serde(skip)]
    sum_us: u128,
    #[serde(skip)]
    answers: u64,
    /// Requests while the hub was awaited, and how many of them failed.
    #[serde(skip)]
    awaiting: (u64, u64),
}

/// The API's answers while many clients were connected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadHistory {
    /// Polls under such load.
    pub polls: u64,
    /// The most clients.
    pub peak_clients: Option<u32>,
    /// Requests.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// The mean time of an answer, to the nearest µs.
    pub mean_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
    #[serde(skip)]
    sum_us: u128,
    #[serde(skip)]
    clients: u32,
}

/// The requests of a poll: how each ended and how long it took.
pub(in crate::judge) fn requests(poll: &Poll) -> impl Iterator<Item = (ApiOutcome, Micros)> {
    let api = &poll.api;
    let filtering = poll.filtering.as_ref().map(|filtering| (filtering.outcome, filtering.duration));
    // The npm hub has no such path: that is no failure.
    let filtering = filtering.filter(|(outcome, _)| *outcome != ApiOutcome::NotFound);
    [Some((api.health, api.health_duration)), api.servers.zip(api.servers_duration), filtering].into_iter().flatten()
}

impl ApiHistory {
    /// Takes a poll in. `high_load` is from how many clients on the load is high; `awaiting` is whether the hub is not there yet.
    pub(super) fn take(&mut self, poll: &Poll, at: Timestamp, planned: Planned<'_>, high_load: u32, awaiting: bool) {
        // A poll that fails has no client count: it belongs to the load of the one before.
        let clients = poll.api.mcp_clients.or((poll.api.health != ApiOutcome::Ok).then_some(self.under_load.clients));
        self.under_load.clients = clients.unwrap_or(0);
        if self.under_load.clients >= high_load {
            self.under_load.take(poll);
        }
        for (outcome, duration) in requests(poll) {
            if outcome == ApiOutcome::Ok {
                self.charted.push(at, duration);
            }
            if planned.is_none() {
                self.request(outcome, at, duration, awaiting);
            }
        }
    }

    /// The time of all answers that count, and how many they are.
    pub(super) fn sum(&self) -> Sum {
        Sum::new(self.sum_us, self.answers)
    }

    fn request(&mut self, outcome: ApiOutcome, at: Timestamp, duration: Micros, awaiting: bool) {
        let failed = u64::from(outcome != ApiOutcome::Ok);
        if awaiting {
            self.awaiting = (self.awaiting.0 + 1, self.awaiting.1 + failed);
            return;
        }
        self.requests += 1;
        self.failed += failed;
        if failed == 0 {
            self.durations.push(at, duration);
            self.sum_us += u128::from(duration.get());
            self.answers += 1;
            self.max_us = self.max_us.max(Some(duration.get()));
        }
    }

    /// The mean time of an answer.
    pub fn mean(&self) -> Option<Exact> {
        Exact::mean(self.sum_us, self.answers)
    }

    /// How many answers mean, percentiles and maximum stand on.
    pub const fn answers(&self) -> u64 {
        self.answers
    }

    /// Ends the period. `awaited` is whether the hub was awaited at its beginning: what was refused then is no failed request. Of one
    /// that never came it is.
    pub(super) fn finish(&mut self, awaited: bool) {
        if !awaited {
            self.requests += self.awaiting.0;
            self.failed += self.awaiting.1;
        }
        self.mean_us = self.mean().map(Exact::rounded);
        let sorted = self.durations.sorted();
        self.p50_us = sorted.percentile(500);
        self.p95_us = sorted.percentile(950);
        self.p99_us = sorted.percentile(990);
        self.under_load.mean_us = self.under_load.mean().map(Exact::rounded);
    }
}

impl LoadHistory {
    fn take(&mut self, poll: &Poll) {
        self.polls += 1;
        self.peak_clients = self.peak_clients.max(Some(self.clients));
        for (outcome, duration) in requests(poll) {
            self.requests += 1;
            if outcome == ApiOutcome::Ok {
                self.sum_us += u128::from(duration.get());
                self.max_us = self.max_us.max(Some(duration.get()));
            } else {
                self.failed += 1;
            }
        }
    }

    /// How many requests were answered.
    pub const fn answers(&self) -> u64 {
        self.requests.saturating_sub(self.failed)
    }

    /// The mean time of an answer.
    pub fn mean(&self) -> Option<Exact> {
        Exact::mean(self.sum_us, self.answers())
    }
}
