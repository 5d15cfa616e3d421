//! Health of the running watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use serde::Serialize;
use tokio::sync::Notify;

use crate::journal::Commits;
use crate::judge::moment::Moment;
use crate::watch::{ApiOutcome, Timestamp};

/// After this many intervals without a poll (plus the longest time of a poll) the watch has stopped.
const SILENT_INTERVALS: u32 = 3;

/// The longest time of a poll: three requests with their timeouts.
const LONGEST_POLL: Duration = Duration::from_secs(30);

/// Updated by the watch, read by health checks and metrics.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    signs: Arc<Mutex<Signs>>,
    changes: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Signs {
    polled: Option<Polled>,
    commits: Option<Commits>,
    refused: Option<String>,
    warning: Option<String>,
    receiver: Option<String>,
    deployment: Deployment,
    metrics: Option<ExportMetricsServiceRequest>,
}

/// The last poll.
#[derive(Debug, Clone, Copy)]
struct Polled {
    at: Timestamp,
    /// Age is measured with the monotonic clock, because the wall clock may jump.
    monotonic: Instant,
    outcome: ApiOutcome,
}

/// What the hub reports about its own start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployment {
    /// The port that it listens on.
    pub port: Option<u16>,
    /// Its configuration file; the first one, where it has several.
    pub config_file: Option<String>,
}

/// The health of a watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wellness {
    /// The reasons why it is not ready; empty if it is.
    pub not_ready: Vec<String>,
    /// Problems that don't affect readiness, such as a missing log.
    pub warnings: Vec<String>,
    /// The hub's answer to the last poll. A hub that doesn't answer does not affect readiness: reporting it is the purpose of the
    /// watch.
    pub hub_answers: Option<String>,
    /// The time of the last poll.
    pub polled_at: Option<Moment>,
}

impl Vitals {
    /// Records a poll and its outcome.
    pub fn polled(&self, at: Timestamp, outcome: ApiOutcome) {
        self.signs().polled = Some(Polled { at, monotonic: Instant::now(), outcome });
        self.changes.notify_waiters();
    }

    /// Records that the watch has opened its journal.
    pub fn opened(&self, commits: Commits) {
        self.signs().commits = Some(commits);
        self.changes.notify_waiters();
    }

    /// Waits for a commit after number `seen`; returns its number. Waits forever once the journal is closed.
    pub async fn committed_after(&self, seen: u64) -> u64 {
        let mut commits = self.once(|signs| signs.commits.clone()).await;
        match commits.after(seen).await {
            Ok(number) => number,
            Err(_) => std::future::pending().await,
        }
    }

    /// Records whether the last commit worked, or why not.
    pub fn committed(&self, result: Result<(), String>) {
        self.signs().refused = result.err();
        self.changes.notify_waiters();
    }

    /// Records that a configured source can't be read; `None` once it can again.
    pub fn warned(&self, warning: Option<String>) {
        self.signs().warning = warning;
    }

    /// Records why the OTLP receiver can't receive; `None` while it can, or where there is none.
    pub fn receiver(&self, problem: Option<String>) {
        self.signs().receiver = problem;
    }

    /// Records what the hub reported about its start.
    pub fn deployed(&self, deployment: Deployment) {
        self.signs().deployment = deployment;
    }

    /// Returns what the hub last reported about its start.
    pub fn deployment(&self) -> Deployment {
        self.signs().deployment.clone()
    }

    /// Records the metrics that are sent.
    pub fn measured(&self, metrics: ExportMetricsServiceRequest) {
        self.signs().metrics = Some(metrics);
    }

    /// Returns the metrics that were sent last, as running totals; `None` before the first poll.
    pub fn metrics(&self) -> Option<ExportMetricsServiceRequest> {
        self.signs().metrics.clone()
    }

    /// Returns the time of the last poll.
    pub fn polled_at(&self) -> Option<Timestamp> {
        self.signs().polled.map(|polled| polled.at)
    }

    /// Returns the current health.
    pub fn wellness(&self, interval: Duration) -> Wellness {
        self.wellness_at(Instant::now(), interval)
    }

    fn wellness_at(&self, now: Instant, interval: Duration) -> Wellness {
        let signs = self.signs();
        let not_ready = signs.not_ready(now, interval);
        let hub_answers = signs.polled.map(|polled| polled.outcome.to_string());
        let warnings = signs.warning.iter().cloned().collect();
        Wellness { not_ready, warnings, hub_answers, polled_at: signs.polled.map(|polled| Moment(polled.at)) }
    }

    /// Waits until the watch is ready.
    pub async fn ready(&self, interval: Duration) {
        self.once(|signs| signs.not_ready(Instant::now(), interval).is_empty().then_some(())).await;
    }

    /// Waits until `found` returns something.
    async fn once<T>(&self, found: impl Fn(&Signs) -> Option<T>) -> T {
        loop {
            let mut change = std::pin::pin!(self.changes.notified());
            // Registered before the check, so that no change is missed.
            change.as_mut().enable();
            let found = found(&self.signs());
            if let Some(found) = found {
                return found;
            }
            change.await;
        }
    }

    /// Returns true if the watch has polled once and has stopped polling.
    pub fn has_stopped_polling(&self, interval: Duration) -> bool {
        self.has_stopped_polling_at(Instant::now(), interval)
    }

    fn has_stopped_polling_at(&self, now: Instant, interval: Duration) -> bool {
        self.signs().polled.is_some_and(|polled| polled.is_too_long_ago(now, interval))
    }

    /// Locks the state. It is valid even after a panic elsewhere.
    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signs {
    fn not_ready(&self, now: Instant, interval: Duration) -> Vec<String> {
        let mut not_ready = Vec::new();
        if let Some(reason) = &self.refused {
            not_ready.push(format!("the journal can't be written: {reason}"));
        }
        not_ready.extend(self.receiver.clone());
        match self.polled {
            None => not_ready.push("the hub has not been polled yet".to_owned()),
            Some(polled) if polled.is_too_long_ago(now, interval) => {
                not_ready.push(format!("the hub has not been polled since {}", polled.at));
            }
            Some(_) => {}
        }
        not_ready
    }
}

impl Polled {
    fn is_too_long_ago(self, now: Instant, interval: Duration) -> bool {
        now.saturating_duration_since(self.monotonic) > interval.saturating_mul(SILENT_INTERVALS).saturating_add(LONGEST_POLL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    /// Returns the reasons why the watch is not ready, so many seconds from now.
    fn reasons(vitals: &Vitals, after: u64) -> Vec<String> {
        vitals.wellness_at(Instant::now() + Duration::from_secs(after), INTERVAL).not_ready
    }

    #[test]
    fn a_watch_is_ready_after_its_first_poll_whatever_the_hub_answered_and_the_wall_clock_says() {
        let vitals = Vitals::default();
        assert_eq!(reasons(&vitals, 0), ["the hub has not been polled yet"]);
        for at in [100, Timestamp::now().get() / 1_000_000 + 7_200] {
            vitals.polled(Timestamp::from_secs(at), ApiOutcome::Refused);
            assert!(reasons(&vitals, 10).is_empty());
            assert_eq!(vitals.wellness(INTERVAL).hub_answers.as_deref(), Some("refused"));
        }
    }

    #[tokio::test]
    async fn waiting_for_readiness_ends_when_the_watch_is_ready() {
        let vitals = Vitals::default();
        let waiting = tokio::spawn({
            let vitals = vitals.clone();
            async move { vitals.ready(INTERVAL).await }
        });
        vitals.committed(Err("the disk is full".to_owned()));
        vitals.polled(Timestamp::now(), ApiOutcome::Ok);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        vitals.committed(Ok(()));
        waiting.await.unwrap();
    }

    #[test]
    fn a_watch_that_stopped_polling_or_can_not_write_is_not_ready_and_gives_the_reason() {
        let vitals = Vitals::default();
        vitals.polled(Timestamp::from_secs(100), ApiOutcome::Ok);
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(!vitals.has_stopped_polling_at(after(70), INTERVAL) && vitals.has_stopped_polling_at(after(76), INTERVAL));
        assert!(reasons(&vitals, 76)[0].starts_with("the hub has not been polled since"));
        vitals.committed(Err("the disk is full".to_owned()));
        assert_eq!(reasons(&vitals, 1), ["the journal can't be written: the disk is full"]);
        vitals.committed(Ok(()));
        assert!(reasons(&vitals, 1).is_empty());
        vitals.receiver(Some("the OTLP receiver has ended".to_owned()));
        assert_eq!(reasons(&vitals, 1), ["the OTLP receiver has ended"]);
        vitals.receiver(None);
        assert!(reasons(&vitals, 1).is_empty());
    }
}
