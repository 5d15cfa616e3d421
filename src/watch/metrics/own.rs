//! The sidecar's own figures as metrics, under a resource of its own. Lines and bytes that it read are the hub's `mcphub.log.lines`
//! and `mcphub.log.bytes`, and are not repeated here.

use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use serde::{Deserialize, Serialize};

use super::points::{Counting, float, gauge, point, up_down};
use crate::watch::{Drops, Micros, SidecarPoll, Watch, names};

/// Counts since the beginning, or since an earlier time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OwnTotals {
    parse_failures: u64,
    bytes_lost: u64,
    sent: u64,
    rejected: u64,
    dropped: Drops,
    cpu_time: Micros,
}

impl OwnTotals {
    pub(super) fn count(&mut self, own: &SidecarPoll) {
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.parse_failures, own.parse_failures.unwrap_or_default().get());
        add(&mut self.bytes_lost, own.bytes_lost.get());
        add(&mut self.sent, own.sent.unwrap_or_default().get());
        add(&mut self.rejected, own.rejected.get());
        self.dropped.extend(&own.dropped);
        self.cpu_time = Micros::new(self.cpu_time.get().saturating_add(own.cpu_time.unwrap_or_default().get()));
    }

    /// Returns what was added since `earlier`.
    pub(super) fn minus(&self, earlier: &Self) -> Self {
        Self {
            parse_failures: self.parse_failures.saturating_sub(earlier.parse_failures),
            bytes_lost: self.bytes_lost.saturating_sub(earlier.bytes_lost),
            sent: self.sent.saturating_sub(earlier.sent),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            dropped: self.dropped.since(&earlier.dropped),
            cpu_time: Micros::new(self.cpu_time.get().saturating_sub(earlier.cpu_time.get())),
        }
    }

    pub(super) fn metrics(&self, counting: Counting) -> Vec<Metric> {
        let sum = |name, unit, description, count| counting.sum(name, unit, description, vec![counting.number(count, &[])]);
        let dropped = self.dropped.iter().map(|(what, reason, count)| {
            counting.number(count.get(), &[(names::DROPPED_KIND, what.as_str()), (names::DROP_REASON, reason.as_str())])
        });
        let why_dropped = "Records that the sidecar had to drop.";
        let from = counting.from.as_nanos();
        let cpu = NumberDataPoint { start_time_unix_nano: from, ..float(counting.to, self.cpu_time.as_secs_f64(), &[]) };
        vec![
            sum(names::METRIC_SIDECAR_PARSE_FAILURES, "{line}", "Lines of broken JSON, kept as text.", self.parse_failures),
            sum(names::METRIC_SIDECAR_BYTES_LOST, "By", "Bytes of the log that were lost before they were read.", self.bytes_lost),
            sum(names::METRIC_SIDECAR_SENT, "{record}", "Records that destinations took.", self.sent),
            sum(names::METRIC_SIDECAR_REJECTED, "{record}", "Records that destinations permanently rejected.", self.rejected),
            counting.sum(names::METRIC_SIDECAR_DROPPED, "{record}", why_dropped, dropped.collect()),
            counting.sum(names::METRIC_PROCESS_CPU_TIME, "s", "Processor time of the sidecar, of all its runs.", vec![cpu]),
        ]
    }
}

/// How the sidecar stands at the end of the interval.
pub(super) fn gauges(watch: &Watch) -> Vec<Metric> {
    let (own, at) = (&watch.sidecar, watch.interval.end());
    let one = |value: Option<u64>| value.map(|value| point(at, value, &[])).into_iter().collect();
    let lag = own.lag.map(|lag| float(at, lag.as_secs_f64(), &[])).into_iter().collect();
    let age = own.oldest_unsent.map_or(Micros::default(), |oldest| at.since(oldest)).as_secs_f64();
    let behind = watch.sources.log_behind.map(|behind| behind.get());
    let (unsent, waits) = ("Rows that wait for a destination.", "How long the oldest of them has waited.");
    vec![
        gauge(names::METRIC_SIDECAR_LAG, "s", "The longest from a line's own time until it was read, in the interval.", lag),
        up_down(names::METRIC_SIDECAR_BEHIND, "By", "How much of the log is unread.", one(behind)),
        up_down(names::METRIC_SIDECAR_JOURNAL, "By", "Size of the journal.", one(Some(own.journal.get()))),
        up_down(names::METRIC_SIDECAR_UNSENT, "{row}", unsent, one(Some(own.unsent.get()))),
        gauge(names::METRIC_SIDECAR_UNSENT_AGE, "s", waits, vec![float(at, age, &[])]),
        up_down(names::METRIC_PROCESS_MEMORY, "By", "Resident memory of the sidecar.", one(own.rss.map(|rss| rss.get()))),
    ]
}
