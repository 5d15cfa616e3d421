//! How long operations took, as a client measures them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::outcome::Measured;
use crate::watch::MeasuredByClient;

/// The most durations that are kept for percentiles; beyond it every later one replaces a random earlier one, which keeps the
/// percentiles right on average. A scenario other than `soak` has a few thousand.
const KEPT: usize = 10_000;

/// The measurements of a run.
#[derive(Debug, Default)]
pub(super) struct Measures(RefCell<BTreeMap<&'static str, Series>>);

/// The durations of one operation.
#[derive(Debug, Clone)]
pub(super) struct Series {
    operation: MeasuredByClient,
    count: u64,
    failed: u64,
    sum_us: u64,
    max_us: u64,
    kept: Vec<u64>,
}

impl Measures {
    /// Takes up an operation that ended.
    pub(super) fn add(&self, operation: MeasuredByClient, took: Duration, succeeded: bool) {
        self.0.borrow_mut().entry(operation.as_str()).or_insert_with(|| Series::of(operation)).add(took, succeeded);
    }

    /// The figures of one operation so far; `None` without one.
    pub(super) fn so_far(&self, operation: MeasuredByClient) -> Option<Measured> {
        self.0.borrow().get(operation.as_str()).cloned().map(Series::measured)
    }

    /// The figures of each operation. Nothing of it is kept.
    pub(super) fn take(&self) -> Vec<Measured> {
        std::mem::take(&mut *self.0.borrow_mut()).into_values().map(Series::measured).collect()
    }
}

impl Series {
    pub(super) const fn of(operation: MeasuredByClient) -> Self {
        Self { operation, count: 0, failed: 0, sum_us: 0, max_us: 0, kept: Vec::new() }
    }

    pub(super) fn add(&mut self, took: Duration, succeeded: bool) {
        self.count += 1;
        if !succeeded {
            self.failed += 1;
            return;
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us = self.sum_us.saturating_add(took);
        self.max_us = self.max_us.max(took);
        if self.kept.len() < KEPT {
            self.kept.push(took);
        } else if let Some(kept) = self.kept.get_mut(fastrand::usize(..usize::try_from(self.count).unwrap_or(usize::MAX))) {
            *kept = took;
        }
    }

    pub(super) fn measured(mut self) -> Measured {
        self.kept.sort_unstable();
        let max = (!self.kept.is_empty()).then_some(self.max_us);
        Measured {
            operation: self.operation,
            count: self.count,
            failed: self.failed,
            sum_us: self.sum_us,
            p50_us: self.percentile(50),
            p95_us: self.percentile(95),
            p99_us: self.percentile(99),
            max_us: max,
        }
    }

    /// The smallest duration that so many of a hundred don't exceed.
    fn percentile(&self, percent: usize) -> Option<u64> {
        let rank = (self.kept.len() * percent).div_ceil(100);
        self.kept.get(rank.checked_sub(1)?).copied()
    }
}

impl Measured {
    /// The mean, in microseconds; `None` without an operation that succeeded.
    pub fn mean_us(&self) -> Option<u64> {
        self.sum_us.checked_div(self.count - self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_occurred_and_failures_are_in_no_mean() {
        let measures = Measures::default();
        for millis in 1..=100 {
            measures.add(MeasuredByClient::ApiRequest, Duration::from_millis(millis), true);
        }
        measures.add(MeasuredByClient::ApiRequest, Duration::from_secs(60), false);
        let [measured] = measures.take().try_into().unwrap();
        assert_eq!((measured.count, measured.failed, measured.mean_us()), (101, 1, Some(50_500)));
        assert_eq!((measured.p50_us, measured.p95_us, measured.p99_us), (Some(50_000), Some(95_000), Some(99_000)));
        assert_eq!(measured.max_us, Some(100_000));
        assert_eq!(measures.take(), []);
    }

    #[test]
    fn what_failed_altogether_has_no_percentiles() {
        let measures = Measures::default();
        measures.add(MeasuredByClient::ToolCall, Duration::from_secs(1), false);
        let [measured] = measures.take().try_into().unwrap();
        assert_eq!((measured.mean_us(), measured.p50_us, measured.max_us), (None, None, None));
    }
}
