//! Metrics for dashboards and alert rules, derived from Watches: the same numbers that the report judges. The running totals are part
//! of each commit, so they continue after a restart.

mod cpu;
mod gauges;
mod observed;
mod own;
mod points;
mod totals;

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::{Deserialize, Serialize};

use self::cpu::{HUB, Spent, cpu_times, spent};
use self::gauges::{gauges, process_metrics, server_metrics};
use self::points::{Counting, has_points};
use self::totals::Totals;
use super::quantity::{Micros, Timestamp};
use super::{Watch, encode, names};

/// The running totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    since: Timestamp,
    #[serde(flatten)]
    totals: Totals,
    /// The totals at the last request, for delta temporality.
    #[serde(default, rename = "told")]
    last: Last,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Last {
    at: Option<Timestamp>,
    totals: Totals,
    /// Processor time of the servers' processes by server name, and of the hub's under [`HUB`].
    #[serde(default)]
    spent: BTreeMap<String, Spent>,
}

/// Metrics at one time, in both temporalities.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsRequests {
    /// Since the beginning.
    pub cumulative: ExportMetricsServiceRequest,
    /// Since the previous metrics.
    pub delta: ExportMetricsServiceRequest,
}

/// The present expectations of the hub.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Servers that are allowed to be down.
    pub may_be_down: &'a BTreeSet<String>,
    /// True during planned maintenance, and as long as its effects may last.
    pub planned: bool,
}

impl Metrics {
    /// Starts at zero.
    pub fn new(since: Timestamp) -> Self {
        Self { since, totals: Totals::default(), last: Last::default() }
    }

    /// Adds a Watch to the totals.
    pub fn count(&mut self, watch: &Watch) {
        self.totals.count(watch);
    }

    /// Returns the totals and the Watch's own values. Call it after [`count`](Self::count); the next deltas count from here.
    pub fn requests(&mut self, watch: &Watch, expected: &Expected<'_>) -> MetricsRequests {
        let to = watch.interval.end();
        let spent = watch.poll.as_ref().map(|poll| spent(poll, to)).unwrap_or_default();
        let cumulative = Counting { from: self.since, to, temporality: AggregationTemporality::Cumulative };
        let mut totals = self.totals.metrics(cumulative);
        totals.extend(cpu_times(&spent, cumulative, |spent, _| (spent.time, spent.started)));
        let delta = Counting { from: self.last.at.unwrap_or(self.since), to, temporality: AggregationTemporality::Delta };
        let mut added = self.totals.minus(&self.last.totals).metrics(delta);
        // A new process begins a new stream.
        added.extend(cpu_times(&spent, delta, |spent, name| {
            spent.since(self.last.spent.get(name).copied()).unwrap_or((spent.time, spent.started))
        }));
        let recent = spent.get(HUB).and_then(|now| now.since(self.last.spent.get(HUB).copied()));
        let own_added = self.totals.own.minus(&self.last.totals.own);
        let requests = MetricsRequests {
            cumulative: whole_request(watch, expected, totals, self.totals.own.metrics(cumulative), recent),
            delta: whole_request(watch, expected, added, own_added.metrics(delta), recent),
        };
        self.last.at = Some(to);
        self.last.totals = self.totals.clone();
        if watch.poll.is_some() {
            self.last.spent = spent;
        }
        requests
    }
}

/// Returns a request of totals and of the Watch's own values; `recent` is the hub's processor time since an earlier poll, and that
/// poll's time.
fn whole_request(
    watch: &Watch,
    expected: &Expected<'_>,
    mut metrics: Vec<Metric>,
    mut own: Vec<Metric>,
    recent: Option<(Micros, Timestamp)>,
) -> ExportMetricsServiceRequest {
    let at = watch.interval.end();
    if let Some(poll) = &watch.poll {
        metrics.extend(gauges(poll, *expected, at));
        metrics.extend(server_metrics(poll, *expected, at));
        metrics.extend(poll.process.iter().flat_map(|process| process_metrics(process, recent, at)));
    }
    own.extend(own::gauges(watch));
    // Some receivers reject a whole request because of one metric without points.
    metrics.retain(has_points);
    own.retain(has_points);
    let resource_metrics =
        vec![of_resource(encode::resource(&watch.origin), metrics), of_resource(encode::own_resource(&watch.origin), own)];
    ExportMetricsServiceRequest { resource_metrics }
}

fn of_resource(resource: Resource, metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![ScopeMetrics { scope: Some(encode::scope()), metrics, schema_url: names::SCHEMA_URL.to_owned() }],
        schema_url: names::SCHEMA_URL.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint, metric, number_data_point};
    use proptest::prelude::*;

    use super::*;
    use crate::watch::{Count, DropReason, DroppedKind, SidecarPoll};

    /// The sum of all points of this name under the sidecar's own resource.
    fn own_sum(request: &ExportMetricsServiceRequest, name: &str) -> i64 {
        let metrics = &request.resource_metrics[1].scope_metrics[0].metrics;
        let sums = metrics.iter().filter(|metric| metric.name == name).filter_map(|metric| match &metric.data {
            Some(metric::Data::Sum(sum)) => Some(&sum.data_points),
            _ => None,
        });
        let value = |point: &NumberDataPoint| match point.value {
            Some(number_data_point::Value::AsInt(value)) => value,
            _ => 0,
        };
        sums.flatten().map(value).sum()
    }

    fn histograms(request: &ExportMetricsServiceRequest) -> Vec<HistogramDataPoint> {
        let metrics = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        let metrics = metrics.flat_map(|scope| &scope.metrics);
        let points = metrics.filter_map(|metric| match &metric.data {
            Some(metric::Data::Histogram(histogram)) => Some(histogram.data_points.clone()),
            _ => None,
        });
        points.flatten().collect()
    }

    proptest! {
        #[test]
        fn totals_only_grow_and_what_was_added_is_the_whole(watches in proptest::collection::vec(any::<Watch>(), 1..4)) {
            let mut metrics = Metrics::new(Timestamp::new(0));
            let (mut counted, mut added, mut own) = (0, 0, 0);
            for (number, mut watch) in (1..).zip(watches) {
                watch.sidecar = SidecarPoll { sent: Some(Count::new(number)), ..SidecarPoll::default() };
                watch.sidecar.dropped.add(DroppedKind::Logs, DropReason::Size, Count::new(number));
                own += number.cast_signed();
                let watch = &watch;
                metrics.count(watch);
                let expected = Expected { may_be_down: &BTreeSet::new(), planned: false };
                let MetricsRequests { cumulative, delta } = metrics.requests(watch, &expected);
                for request in [&cumulative, &delta] {
                    let points = histograms(request);
                    prop_assert!(points.iter().all(|point| point.bucket_counts.iter().sum::<u64>() == point.count));
                    prop_assert!(points.iter().all(|point| point.bucket_counts.len() == point.explicit_bounds.len() + 1));
                    let mut all = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics[0].metrics);
                    prop_assert!(all.all(has_points), "a metric without points");
                }
                for name in [names::METRIC_SIDECAR_SENT, names::METRIC_SIDECAR_DROPPED] {
                    prop_assert_eq!((own_sum(&cumulative, name), own_sum(&delta, name)), (own, number.cast_signed()));
                }
                let count = |request| histograms(request).iter().map(|point| point.count).sum::<u64>();
                prop_assert!(count(&cumulative) >= counted);
                counted = count(&cumulative);
                added += count(&delta);
                prop_assert_eq!(added, counted, "what was added is the whole");
            }
        }
    }
}
