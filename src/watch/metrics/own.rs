//! The sidecar's own figures as metrics, under a resource of its own. Lines and bytes that it read are the hub's `mcphub.log.lines`
//! and `mcphub.log.bytes`, and are not repeated here.

use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use serde::{Deserialize, Serialize};

use super::points::{Counting, float, gauge, point, up_down};
use crate::watch::{Drops, Micros, Received, ReceivedKind, Refused, SidecarPoll, Watch, names};

/// Counts since the beginning, or since an earlier time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OwnTotals {
    parse_failures: u64,
    bytes_lost: u64,
    sent: u64,
    rejected: u64,
    dropped: Drops,
    received: Received,
    refused: Refused,
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
        self.received.extend(&own.received);
        self.refused.extend(&own.refused);
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
            received: self.received.since(&earlier.received),
            refused: self.refused.since(&earlier.refused),
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
        let mut metrics = vec![
            sum(names::METRIC_SIDECAR_PARSE_FAILURES, "{line}", "Lines of broken JSON, kept as text.", self.parse_failures),
            sum(names::METRIC_SIDECAR_BYTES_LOST, "By", "Bytes of the log that were lost before they were read.", self.bytes_lost),
            sum(names::METRIC_SIDECAR_SENT, "{record}", "Records that destinations took.", self.sent),
            sum(names::METRIC_SIDECAR_REJECTED, "{record}", "Records that destinations permanently rejected.", self.rejected),
            counting.sum(names::METRIC_SIDECAR_DROPPED, "{record}", why_dropped, dropped.collect()),
            counting.sum(names::METRIC_PROCESS_CPU_TIME, "s", "Processor time of the sidecar, of all its runs.", vec![cpu]),
        ];
        metrics.extend(ReceivedKind::ALL.iter().flat_map(|kind| self.receiver(counting, *kind)));
        metrics
    }

    /// Returns the receiver's counts of one kind, under the names of the Collector's own metrics.
    fn receiver(&self, counting: Counting, kind: ReceivedKind) -> Vec<Metric> {
        let of = (names::RECEIVER, names::RECEIVER_OTLP);
        let accepted = self
            .received
            .iter()
            .filter(|(of, ..)| *of == kind)
            .map(|(_, carrier, count)| counting.number(count.get(), &[of, (names::RECEIVER_TRANSPORT, carrier.as_str())]));
        let refused = self
            .refused
            .iter()
            .filter(|(of, ..)| *of == kind)
            .map(|(_, reason, count)| counting.number(count.get(), &[of, (names::RECEIVER_REASON, reason.as_str())]));
        let (accepted_name, refused_name, unit) = match kind {
            ReceivedKind::Spans => (Some(names::METRIC_RECEIVER_ACCEPTED_SPANS), names::METRIC_RECEIVER_REFUSED_SPANS, "{span}"),
            ReceivedKind::MetricPoints => {
                (Some(names::METRIC_RECEIVER_ACCEPTED_METRIC_POINTS), names::METRIC_RECEIVER_REFUSED_METRIC_POINTS, "{datapoint}")
            }
            ReceivedKind::LogRecords => {
                (Some(names::METRIC_RECEIVER_ACCEPTED_LOG_RECORDS), names::METRIC_RECEIVER_REFUSED_LOG_RECORDS, "{record}")
            }
            ReceivedKind::Requests => (None, names::METRIC_RECEIVER_REFUSED_REQUESTS, "{request}"),
        };
        let accepted = accepted_name.map(|name| counting.sum(name, unit, "What the OTLP receiver accepted.", accepted.collect()));
        let refused = counting.sum(refused_name, unit, "What the OTLP receiver refused.", refused.collect());
        accepted.into_iter().chain([refused]).collect()
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
