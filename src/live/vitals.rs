//! What a watch tells of itself while it goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use serde::Serialize;
use tokio::sync::Notify;

use crate::judge::moment::Moment;
use crate::watch::{ApiOutcome, Timestamp};

/// A watch that has not polled for this many intervals (and the time that a poll may take) has stopped, whatever it says.
const SILENT_INTERVALS: u32 = 3;

/// The longest that a poll may take: three requests with their time limits.
const LONGEST_POLL: Duration = Duration::from_secs(30);

/// Told by the watch, read by whoever asks whether it is well.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    signs: Arc<Mutex<Signs>>,
    changes: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Signs {
    polled: Option<Polled>,
    refused: Option<String>,
    warning: Option<String>,
    deployment: Deployment,
    metrics: Option<ExportMetricsServiceRequest>,
}

/// The last poll.
#[derive(Debug, Clone, Copy)]
struct Polled {
    at: Timestamp,
    /// The wall clock may jump; how long ago it was is told by the monotonic one.
    monotonic: Instant,
    outcome: ApiOutcome,
}

/// What the hub says of its own start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployment {
    /// The port that it listens on.
    pub port: Option<u16>,
    /// Its configuration file; the first one, where it has several.
    pub config_file: Option<String>,
}

/// How a watch is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wellness {
    /// What keeps it from being ready, in words; nothing if it is.
    pub not_ready: Vec<String>,
    /// What the watch lacks though it works, in words: a log that is not there. It is ready all the same.
    pub warnings: Vec<String>,
    /// How the hub answered the last poll. A hub that doesn't answer is what the watch is there to report: it is ready all the same.
    pub hub_answers: Option<String>,
    /// When that was.
    pub polled_at: Option<Moment>,
}

impl Vitals {
    /// The hub answered a poll like this.
    pub fn polled(&self, at: Timestamp, outcome: ApiOutcome) {
        self.signs().polled = Some(Polled { at, monotonic: Instant::now(), outcome });
        self.changes.notify_waiters();
    }

    /// What was learned is kept, or why it can't be.
    pub fn committed(&self, result: Result<(), String>) {
        self.signs().refused = result.err();
        self.changes.notify_waiters();
    }

    /// A source that was asked for can't be read, or can again.
    pub fn warned(&self, warning: Option<String>) {
        self.signs().warning = warning;
    }

    /// The hub told of its start.
    pub fn deployed(&self, deployment: Deployment) {
        self.signs().deployment = deployment;
    }

    /// What the hub last said of its start.
    pub fn deployment(&self) -> Deployment {
        self.signs().deployment.clone()
    }

    /// These metrics go out.
    pub fn measured(&self, metrics: ExportMetricsServiceRequest) {
        self.signs().metrics = Some(metrics);
    }

    /// The metrics that went out last, as running totals; `None` before the first poll.
    pub fn metrics(&self) -> Option<ExportMetricsServiceRequest> {
        self.signs().metrics.clone()
    }

    /// When the hub was last polled.
    pub fn polled_at(&self) -> Option<Timestamp> {
        self.signs().polled.map(|polled| polled.at)
    }

    /// How the watch is now.
    pub fn wellness(&self, interval: Duration) -> Wellness {
        self.wellness_at(Instant::now(), interval)
    }

    fn wellness_at(&self, now: Instant, interval: Duration) -> Wellness {
        let signs = self.signs();
        let mut not_ready = Vec::new();
        if let Some(reason) = &signs.refused {
            not_ready.push(format!("the journal can't be written: {reason}"));
        }
        match signs.polled {
            None => not_ready.push("the hub was not polled yet".to_owned()),
            Some(polled) if polled.is_too_long_ago(now, interval) => {
                not_ready.push(format!("the hub was not polled since {}", polled.at));
            }
            Some(_) => {}
        }
        let hub_answers = signs.polled.map(|polled| polled.outcome.to_string());
        let warnings = signs.warning.iter().cloned().collect();
        Wellness { not_ready, warnings, hub_answers, polled_at: signs.polled.map(|polled| Moment(polled.at)) }
    }

    /// Waits until the watch is ready.
    pub async fn ready(&self, interval: Duration) {
        loop {
            let mut change = std::pin::pin!(self.changes.notified());
            // Whatever changes from here on is not missed.
            change.as_mut().enable();
            if self.wellness(interval).not_ready.is_empty() {
                return;
            }
            change.await;
        }
    }

    /// Whether it polled once and does so no longer.
    pub fn stands_still(&self, interval: Duration) -> bool {
        self.stands_still_at(Instant::now(), interval)
    }

    fn stands_still_at(&self, now: Instant, interval: Duration) -> bool {
        self.signs().polled.is_some_and(|polled| polled.is_too_long_ago(now, interval))
    }

    /// A panic elsewhere leaves signs that are as good as before.
    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// What keeps the watch from being ready, so many seconds from now.
    fn reasons(vitals: &Vitals, after: u64) -> Vec<String> {
        vitals.wellness_at(Instant::now() + Duration::from_secs(after), INTERVAL).not_ready
    }

    #[test]
    fn a_watch_is_ready_once_it_polled_whatever_the_hub_answered_and_whatever_the_wall_clock_says() {
        let vitals = Vitals::default();
        assert_eq!(reasons(&vitals, 0), ["the hub was not polled yet"]);
        for at in [100, Timestamp::now().get() / 1_000_000 + 7_200] {
            vitals.polled(Timestamp::from_secs(at), ApiOutcome::Refused);
            assert!(reasons(&vitals, 10).is_empty());
            assert_eq!(vitals.wellness(INTERVAL).hub_answers.as_deref(), Some("refused"));
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_a_watch_is_told_when_it_is_ready() {
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
    fn a_watch_that_stands_still_or_can_not_write_is_not_ready_and_says_why() {
        let vitals = Vitals::default();
        vitals.polled(Timestamp::from_secs(100), ApiOutcome::Ok);
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(!vitals.stands_still_at(after(70), INTERVAL) && vitals.stands_still_at(after(76), INTERVAL));
        assert!(reasons(&vitals, 76)[0].starts_with("the hub was not polled since"));
        vitals.committed(Err("the disk is full".to_owned()));
        assert_eq!(reasons(&vitals, 1), ["the journal can't be written: the disk is full"]);
        vitals.committed(Ok(()));
        assert!(reasons(&vitals, 1).is_empty());
    }
}
