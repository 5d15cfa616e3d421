//! Metrics, derived from Watches: the same numbers that the report judges, for dashboards and alert rules. Cumulative, as
//! Prometheus wants them; the running totals are part of what is committed, so they go on after a restart.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric, number_data_point,
};
use serde::{Deserialize, Serialize};

use super::fact::FactKind;
use super::poll::{ApiOutcome, Liveness, Poll};
use super::quantity::{Micros, Timestamp};
use super::record::Attributes;
use super::{Origin, Text, Watch, encode, names};

/// Bucket bounds of MCP's duration metrics, in seconds (MCP conventions, "Metrics").
const MCP_BOUNDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Bucket bounds of GenAI's duration metrics, in seconds (GenAI conventions, "Metrics").
const GEN_AI_BOUNDS: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Bucket bounds of the HTTP client's duration metric, in seconds (HTTP conventions, "Metrics").
const HTTP_BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A label that tells the streams of one metric apart.
type Label = (String, String);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Durations {
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

/// What was counted so far, or since some moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Totals {
    lines: BTreeMap<String, u64>,
    bytes: u64,
    http: BTreeMap<String, Durations>,
    calls: BTreeMap<String, Durations>,
    gemini: BTreeMap<String, Durations>,
}

/// The running totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    since: Timestamp,
    #[serde(flatten)]
    totals: Totals,
    /// What the last metrics told, for those who want only what was added.
    #[serde(default)]
    told: Told,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Told {
    at: Option<Timestamp>,
    totals: Totals,
    /// Processor time of the hub's process that began then.
    cpu: Option<(Timestamp, Micros)>,
}

/// Metrics of one moment, counted in both ways that receivers want.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsRequests {
    /// Since the beginning.
    pub cumulative: ExportMetricsServiceRequest,
    /// Since the metrics before.
    pub delta: ExportMetricsServiceRequest,
}

/// How and from when something is counted.
#[derive(Clone, Copy)]
struct Counting {
    from: Timestamp,
    to: Timestamp,
    temporality: AggregationTemporality,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(since: Timestamp) -> Self {
        Self { since, totals: Totals::default(), told: Told::default() }
    }

    /// Adds a Watch to the totals.
    pub fn count(&mut self, watch: &Watch) {
        self.totals.count(watch);
    }

    /// The totals and the Watch's own values. Call it after [`count`](Self::count); the next deltas count from here.
    pub fn requests(&mut self, watch: &Watch) -> MetricsRequests {
        let to = watch.interval.end();
        let process = watch.poll.as_ref().and_then(|poll| poll.process.as_ref());
        let cumulative = Counting { from: self.since, to, temporality: AggregationTemporality::Cumulative };
        let mut totals = self.totals.metrics(cumulative);
        totals.extend(process.map(|process| cpu_time(process.cpu_time, Counting { from: process.started, ..cumulative })));
        let delta = Counting { from: self.told.at.unwrap_or(self.since), to, temporality: AggregationTemporality::Delta };
        let mut added = self.totals.minus(&self.told.totals).metrics(delta);
        added.extend(process.map(|process| {
            // Another process is another stream's beginning.
            let told = self.told.cpu.filter(|(started, _)| *started == process.started).map(|(_, told)| told);
            let from = if told.is_some() { delta.from } else { process.started };
            let spent = Micros::new(process.cpu_time.get().saturating_sub(told.unwrap_or_default().get()));
            cpu_time(spent, Counting { from, ..delta })
        }));
        self.told =
            Told { at: Some(to), totals: self.totals.clone(), cpu: process.map(|process| (process.started, process.cpu_time)) };
        MetricsRequests { cumulative: whole_request(watch, totals), delta: whole_request(watch, added) }
    }
}

/// Totals with the Watch's own values beside them.
fn whole_request(watch: &Watch, mut metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let at = watch.interval.end();
    if let Some(poll) = &watch.poll {
        metrics.extend(gauges(poll, at));
        metrics.extend(process_metrics(poll, at));
    }
    // A metric without points once made a receiver refuse the whole request.
    metrics.retain(has_points);
    request(&watch.origin, metrics)
}

impl Totals {
    fn count(&mut self, watch: &Watch) {
        let levels = [
            ("debug", watch.log.debug),
            ("info", watch.log.info),
            ("warn", watch.log.warn),
            ("error", watch.log.error),
            ("none", watch.log.unlevelled),
        ];
        for (level, count) in levels.into_iter().filter(|(_, count)| count.get() > 0) {
            let total = self.lines.entry(level.to_owned()).or_default();
            *total = total.saturating_add(count.get());
        }
        self.bytes = self.bytes.saturating_add(watch.log.bytes.get());
        if let Some(poll) = &watch.poll {
            self.count_poll(poll);
        }
        for fact in &watch.facts {
            if let FactKind::CallEnded(call) = &fact.kind {
                add(&mut self.calls, call.outcome.as_str(), call.duration, &MCP_BOUNDS);
                if let Some(duration) = call.gemini_duration {
                    add(&mut self.gemini, call.gemini.as_str(), duration, &GEN_AI_BOUNDS);
                }
            }
        }
    }

    fn count_poll(&mut self, poll: &Poll) {
        add(&mut self.http, poll.api.health.as_str(), poll.api.health_duration, &HTTP_BOUNDS);
        if let (Some(outcome), Some(duration)) = (poll.api.servers, poll.api.servers_duration) {
            add(&mut self.http, outcome.as_str(), duration, &HTTP_BOUNDS);
        }
    }

    /// What was added since `earlier`.
    fn minus(&self, earlier: &Self) -> Self {
        let lines = self.lines.iter().filter_map(|(level, count)| {
            let added = count - earlier.lines.get(level).copied().unwrap_or(0).min(*count);
            (added > 0).then(|| (level.clone(), added))
        });
        Self {
            lines: lines.collect(),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            http: added(&self.http, &earlier.http),
            calls: added(&self.calls, &earlier.calls),
            gemini: added(&self.gemini, &earlier.gemini),
        }
    }

    fn metrics(&self, counting: Counting) -> Vec<Metric> {
        let lines = self.lines.iter().map(|(level, count)| counting.number(*count, Some(("level".to_owned(), level.clone()))));
        vec![
            counting.sum(names::METRIC_LOG_LINES, "{line}", lines.collect()),
            counting.sum(names::METRIC_LOG_BYTES, "By", vec![counting.number(self.bytes, None)]),
            counting.histogram(names::METRIC_HTTP_DURATION, &self.http, &HTTP_BOUNDS, "mcphub.api.outcome"),
            counting.histogram(names::METRIC_CALL_DURATION, &self.calls, &MCP_BOUNDS, names::CALL_OUTCOME),
            counting.histogram(names::METRIC_GEMINI_DURATION, &self.gemini, &GEN_AI_BOUNDS, names::CALL_GEMINI),
        ]
    }
}

fn added(all: &BTreeMap<String, Durations>, earlier: &BTreeMap<String, Durations>) -> BTreeMap<String, Durations> {
    let streams = all.iter().filter_map(|(label, now)| {
        let Some(then) = earlier.get(label) else { return Some((label.clone(), now.clone())) };
        let buckets = now.buckets.iter().zip(&then.buckets).map(|(now, then)| now.saturating_sub(*then)).collect();
        let added = Durations { buckets, count: now.count.saturating_sub(then.count), sum: now.sum - then.sum };
        (added.count > 0).then(|| (label.clone(), added))
    });
    streams.collect()
}

impl Counting {
    fn number(self, count: u64, label: Option<Label>) -> NumberDataPoint {
        NumberDataPoint { start_time_unix_nano: self.from.as_nanos(), ..point(self.to, count, label) }
    }

    fn sum(self, name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
        let data = Sum { data_points, aggregation_temporality: self.temporality.into(), is_monotonic: true };
        metric(name, unit, metric::Data::Sum(data))
    }

    fn histogram(self, name: &str, all: &BTreeMap<String, Durations>, bounds: &[f64], label: &str) -> Metric {
        let points = all.iter().map(|(value, durations)| HistogramDataPoint {
            attributes: labels(Some((label.to_owned(), value.clone()))),
            start_time_unix_nano: self.from.as_nanos(),
            time_unix_nano: self.to.as_nanos(),
            count: durations.count,
            sum: Some(durations.sum),
            bucket_counts: durations.buckets.clone(),
            explicit_bounds: bounds.to_vec(),
            ..HistogramDataPoint::default()
        });
        let data = Histogram { data_points: points.collect(), aggregation_temporality: self.temporality.into() };
        metric(name, "s", metric::Data::Histogram(data))
    }
}

/// A process's processor time counts from its own start.
fn cpu_time(spent: Micros, counting: Counting) -> Metric {
    let point = NumberDataPoint {
        start_time_unix_nano: counting.from.as_nanos(),
        time_unix_nano: counting.to.as_nanos(),
        value: Some(number_data_point::Value::AsDouble(spent.as_secs_f64())),
        ..NumberDataPoint::default()
    };
    counting.sum(names::METRIC_PROCESS_CPU_TIME, "s", vec![point])
}

fn add(all: &mut BTreeMap<String, Durations>, label: &str, duration: Micros, bounds: &[f64]) {
    let durations = all.entry(label.to_owned()).or_default();
    durations.buckets.resize(bounds.len() + 1, 0);
    let seconds = duration.as_secs_f64();
    let bucket = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
    durations.buckets[bucket] += 1;
    durations.count += 1;
    durations.sum += seconds;
}

fn gauges(poll: &Poll, at: Timestamp) -> Vec<Metric> {
    let up = u64::from(poll.api.health == ApiOutcome::Ok);
    let servers = poll.servers.iter().map(|server| {
        let up = u64::from(server.liveness == Liveness::Up);
        point(at, up, Some((names::SERVER_NAME.to_owned(), server.name.as_str().to_owned())))
    });
    let one = |value: Option<u32>| value.map(|value| point(at, u64::from(value), None)).into_iter().collect();
    vec![
        gauge(names::METRIC_HUB_UP, "1", vec![point(at, up, None)]),
        gauge(names::METRIC_SERVER_UP, "1", servers.collect()),
        gauge(names::METRIC_MCP_CLIENTS, "{client}", one(poll.api.mcp_clients)),
        gauge(names::METRIC_TOOLS, "{tool}", one(poll.api.tools)),
        gauge(names::METRIC_LOG_SIZE, "By", poll.log_file.iter().map(|file| point(at, file.size.get(), None)).collect()),
    ]
}

fn process_metrics(poll: &Poll, at: Timestamp) -> Vec<Metric> {
    let Some(process) = &poll.process else { return Vec::new() };
    let counted = |value: Option<u32>| value.map(|value| point(at, u64::from(value), None)).into_iter().collect();
    let uptime = NumberDataPoint {
        time_unix_nano: at.as_nanos(),
        value: Some(number_data_point::Value::AsDouble(at.since(process.started).as_secs_f64())),
        ..NumberDataPoint::default()
    };
    vec![
        up_down(names::METRIC_PROCESS_MEMORY, "By", vec![point(at, process.rss.get(), None)]),
        up_down(names::METRIC_PROCESS_THREADS, "{thread}", counted(process.threads)),
        up_down(names::METRIC_PROCESS_FDS, "{file_descriptor}", counted(process.fds)),
        gauge(names::METRIC_PROCESS_UPTIME, "s", vec![uptime]),
    ]
}

fn point(at: Timestamp, value: u64, label: Option<Label>) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(label),
        time_unix_nano: at.as_nanos(),
        value: Some(number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))),
        ..NumberDataPoint::default()
    }
}

fn labels(label: Option<Label>) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let mut attributes = Attributes::default();
    if let Some((name, value)) = label {
        attributes.put_named(&name, &Text::new(value));
    }
    attributes.into_inner()
}

fn gauge(name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(name, unit, metric::Data::Gauge(Gauge { data_points }))
}

fn up_down(name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    metric(name, unit, metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: false }))
}

fn metric(name: &str, unit: &str, data: metric::Data) -> Metric {
    let description = names::described(name).to_owned();
    Metric { name: name.to_owned(), description, unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn has_points(metric: &Metric) -> bool {
    match &metric.data {
        Some(metric::Data::Gauge(gauge)) => !gauge.data_points.is_empty(),
        Some(metric::Data::Sum(sum)) => !sum.data_points.is_empty(),
        Some(metric::Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
        _ => false,
    }
}

fn request(origin: &Origin, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(encode::resource(origin)),
            scope_metrics: vec![ScopeMetrics { scope: Some(encode::scope()), metrics, schema_url: names::SCHEMA_URL.to_owned() }],
            schema_url: names::SCHEMA_URL.to_owned(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let (mut counted, mut added) = (0, 0);
            for watch in &watches {
                metrics.count(watch);
                let MetricsRequests { cumulative, delta } = metrics.requests(watch);
                for request in [&cumulative, &delta] {
                    let points = histograms(request);
                    prop_assert!(points.iter().all(|point| point.bucket_counts.iter().sum::<u64>() == point.count));
                    prop_assert!(points.iter().all(|point| point.bucket_counts.len() == point.explicit_bounds.len() + 1));
                    let empty = request.resource_metrics[0].scope_metrics[0].metrics.iter().any(|metric| !has_points(metric));
                    prop_assert!(!empty, "a metric without points");
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
