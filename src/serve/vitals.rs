//! What a watch tells of itself while it goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use serde::Serialize;
use tokio::sync::Notify;

use crate::judge::moment::Moment;
use crate::watch::{ApiOutcome, Micros, Timestamp};

/// A watch that has not polled for this many intervals (and the time that a poll may take) has stopped, whatever it says.
const SILENT_INTERVALS: u64 = 3;

/// The longest that a poll may take: three requests with their time limits.
const LONGEST_POLL: Micros = Micros::new(30_000_000);

/// Told by the watch, read by whoever asks whether it is well.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    signs: Arc<Mutex<Signs>>,
    changes: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Signs {
    polled: Option<(Timestamp, ApiOutcome)>,
    refused: Option<String>,
    deployment: Deployment,
    metrics: Option<ExportMetricsServiceRequest>,
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
    /// How the hub answered the last poll. A hub that doesn't answer is what the watch is there to report: it is ready all the same.
    pub hub_answers: Option<String>,
    /// When that was.
    pub polled_at: Option<Moment>,
}

impl Vitals {
    /// The hub answered a poll like this.
    pub fn polled(&self, at: Timestamp, outcome: ApiOutcome) {
        self.signs().polled = Some((at, outcome));
        self.changes.notify_waiters();
    }

    /// What was learned is kept, or why it can't be.
    pub fn committed(&self, result: Result<(), String>) {
        self.signs().refused = result.err();
        self.changes.notify_waiters();
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
        self.signs().polled.map(|(at, _)| at)
    }

    /// How the watch is at this time.
    pub fn wellness(&self, now: Timestamp, interval: Duration) -> Wellness {
        let signs = self.signs();
        let mut not_ready = Vec::new();
        if let Some(reason) = &signs.refused {
            not_ready.push(format!("the journal can't be written: {reason}"));
        }
        match signs.polled {
            None => not_ready.push("the hub was not polled yet".to_owned()),
            Some((at, _)) if is_too_long(now.since(at), interval) => {
                not_ready.push(format!("the hub was not polled since {at}"));
            }
            Some(_) => {}
        }
        let hub_answers = signs.polled.map(|(_, outcome)| outcome.to_string());
        Wellness { not_ready, hub_answers, polled_at: signs.polled.map(|(at, _)| Moment(at)) }
    }

    /// Waits until the watch is ready.
    pub async fn ready(&self, interval: Duration) {
        loop {
            let mut change = std::pin::pin!(self.changes.notified());
            // Whatever changes from here on is not missed.
            change.as_mut().enable();
            if self.wellness(Timestamp::now(), interval).not_ready.is_empty() {
                return;
            }
            change.await;
        }
    }

    /// Whether it polled once and does so no longer.
    pub fn stands_still(&self, now: Timestamp, interval: Duration) -> bool {
        self.polled_at().is_some_and(|at| is_too_long(now.since(at), interval))
    }

    /// A panic elsewhere leaves signs that are as good as before.
    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_too_long(silent: Micros, interval: Duration) -> bool {
    silent.get() > Micros::from_duration(interval).get() * SILENT_INTERVALS + LONGEST_POLL.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    fn reasons(vitals: &Vitals, now: u64) -> Vec<String> {
        vitals.wellness(Timestamp::from_secs(now), INTERVAL).not_ready
    }

    #[test]
    fn a_watch_is_ready_once_it_polled_whatever_the_hub_answered() {
        let vitals = Vitals::default();
        assert_eq!(reasons(&vitals, 100), ["the hub was not polled yet"]);
        vitals.polled(Timestamp::from_secs(100), ApiOutcome::Refused);
        assert!(reasons(&vitals, 110).is_empty());
        assert_eq!(vitals.wellness(Timestamp::from_secs(110), INTERVAL).hub_answers.as_deref(), Some("refused"));
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
        assert!(
            !vitals.stands_still(Timestamp::from_secs(175), INTERVAL) && vitals.stands_still(Timestamp::from_secs(176), INTERVAL)
        );
        assert!(reasons(&vitals, 176)[0].starts_with("the hub was not polled since"));
        vitals.committed(Err("the disk is full".to_owned()));
        assert_eq!(reasons(&vitals, 101), ["the journal can't be written: the disk is full"]);
        vitals.committed(Ok(()));
        assert!(reasons(&vitals, 101).is_empty());
    }
}
