//! The API's answers to our own requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Planned;
use crate::judge::series::Durations;
use crate::watch::{ApiOutcome, Micros, Poll, Timestamp};

/// The API's answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiHistory {
    /// Requests, planned disturbances left out, as in all that follows.
    pub requests: u64,
    /// Requests that were not answered as a hub answers, while it was there.
    pub failed: u64,
    /// The mean time of an answer.
    pub mean_us: Option<u64>,
    /// The time that 50 of 100 keep to.
    pub p50_us: Option<u64>,
    /// The time that 95 of 100 keep to.
    pub p95_us: Option<u64>,
    /// The time that 99 of 100 keep to.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
    /// The answers under high load, planned or not.
    pub under_load: LoadHistory,
    #[serde(skip)]
    pub(in crate::judge) durations: Durations,
    #[serde(skip)]
    sum_us: u64,
    #[serde(skip)]
    answers: u64,
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
    /// The mean time of an answer.
    pub mean_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
    #[serde(skip)]
    sum_us: u64,
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
    /// `high_load` is from how many clients on the load is high.
    pub(super) fn take(&mut self, poll: &Poll, at: Timestamp, planned: Planned<'_>, high_load: u32) {
        // A poll that fails has no client count: it belongs to the load of the one before.
        let clients = poll.api.mcp_clients.or((poll.api.health != ApiOutcome::Ok).then_some(self.under_load.clients));
        self.under_load.clients = clients.unwrap_or(0);
        if self.under_load.clients >= high_load {
            self.under_load.take(poll);
        }
        for (outcome, duration) in requests(poll) {
            if outcome == ApiOutcome::Ok {
                self.durations.push(at, duration);
            }
            if planned.is_some() {
                continue;
            }
            self.requests += 1;
            if outcome == ApiOutcome::Ok {
                self.sum_us = self.sum_us.saturating_add(duration.get());
                self.answers += 1;
                self.max_us = self.max_us.max(Some(duration.get()));
            } else {
                self.failed += 1;
            }
        }
    }

    pub(super) fn finish(&mut self) {
        self.mean_us = self.sum_us.checked_div(self.answers);
        let sorted = self.durations.sorted();
        self.p50_us = sorted.percentile(500);
        self.p95_us = sorted.percentile(950);
        self.p99_us = sorted.percentile(990);
        let load = &mut self.under_load;
        load.mean_us = load.sum_us.checked_div(load.requests.saturating_sub(load.failed));
    }
}

impl LoadHistory {
    fn take(&mut self, poll: &Poll) {
        self.polls += 1;
        self.peak_clients = self.peak_clients.max(Some(self.clients));
        for (outcome, duration) in requests(poll) {
            self.requests += 1;
            if outcome == ApiOutcome::Ok {
                self.sum_us = self.sum_us.saturating_add(duration.get());
                self.max_us = self.max_us.max(Some(duration.get()));
            } else {
                self.failed += 1;
            }
        }
    }
}
