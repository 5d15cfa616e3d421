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

/// The running totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    since: Timestamp,
    lines: BTreeMap<String, u64>,
    bytes: u64,
    http: BTreeMap<String, Durations>,
    calls: BTreeMap<String, Durations>,
    gemini: BTreeMap<String, Durations>,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(since: Timestamp) -> Self {
        Self { since, lines: BTreeMap::new(), bytes: 0, http: BTreeMap::new(), calls: BTreeMap::new(), gemini: BTreeMap::new() }
    }

    /// Adds a Watch to the totals.
    pub fn count(&mut self, watch: &Watch) {
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

    /// The totals and the Watch's own values, as one request. Call it after [`count`](Self::count).
    pub fn request(&self, watch: &Watch) -> ExportMetricsServiceRequest {
        let at = watch.interval.end();
        let mut metrics = self.totals(at);
        if let Some(poll) = &watch.poll {
            metrics.extend(gauges(poll, at));
            metrics.extend(process_metrics(poll, at));
        }
        // A metric without points once made a receiver refuse the whole request.
        metrics.retain(has_points);
        request(&watch.origin, metrics)
    }

    fn totals(&self, at: Timestamp) -> Vec<Metric> {
        let lines = self.lines.iter().map(|(level, count)| self.total(at, *count, Some(("level".to_owned(), level.clone()))));
        vec![
            sum(names::METRIC_LOG_LINES, "{line}", lines.collect()),
            sum(names::METRIC_LOG_BYTES, "By", vec![self.total(at, self.bytes, None)]),
            self.histogram(names::METRIC_HTTP_DURATION, &self.http, &HTTP_BOUNDS, at, "mcphub.api.outcome"),
            self.histogram(names::METRIC_CALL_DURATION, &self.calls, &MCP_BOUNDS, at, names::CALL_OUTCOME),
            self.histogram(names::METRIC_GEMINI_DURATION, &self.gemini, &GEN_AI_BOUNDS, at, names::CALL_GEMINI),
        ]
    }

    fn total(&self, at: Timestamp, count: u64, label: Option<Label>) -> NumberDataPoint {
        NumberDataPoint { start_time_unix_nano: self.since.as_nanos(), ..point(at, count, label) }
    }

    fn histogram(&self, name: &str, all: &BTreeMap<String, Durations>, bounds: &[f64], at: Timestamp, label: &str) -> Metric {
        let points = all.iter().map(|(value, durations)| HistogramDataPoint {
            attributes: labels(Some((label.to_owned(), value.clone()))),
            start_time_unix_nano: self.since.as_nanos(),
            time_unix_nano: at.as_nanos(),
            count: durations.count,
            sum: Some(durations.sum),
            bucket_counts: durations.buckets.clone(),
            explicit_bounds: bounds.to_vec(),
            ..HistogramDataPoint::default()
        });
        let data = Histogram { data_points: points.collect(), aggregation_temporality: AggregationTemporality::Cumulative.into() };
        metric(name, "s", metric::Data::Histogram(data))
    }
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
    // A process's processor time counts from its own start: another process is another stream's beginning.
    let cpu_time = NumberDataPoint {
        start_time_unix_nano: process.started.as_nanos(),
        time_unix_nano: at.as_nanos(),
        value: Some(number_data_point::Value::AsDouble(process.cpu_time.as_secs_f64())),
        ..NumberDataPoint::default()
    };
    let uptime = NumberDataPoint {
        time_unix_nano: at.as_nanos(),
        value: Some(number_data_point::Value::AsDouble(at.since(process.started).as_secs_f64())),
        ..NumberDataPoint::default()
    };
    vec![
        sum(names::METRIC_PROCESS_CPU_TIME, "s", vec![cpu_time]),
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

fn sum(name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    metric(name, unit, metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }))
}

fn up_down(name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    metric(name, unit, metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: false }))
}

fn metric(name: &str, unit: &str, data: metric::Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
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
        fn totals_only_grow_and_every_duration_is_in_a_bucket(watches in proptest::collection::vec(any::<Watch>(), 1..4)) {
            let mut metrics = Metrics::new(Timestamp::new(0));
            let mut counted = 0;
            for watch in &watches {
                metrics.count(watch);
                let request = metrics.request(watch);
                let points = histograms(&request);
                prop_assert!(points.iter().all(|point| point.bucket_counts.iter().sum::<u64>() == point.count));
                prop_assert!(points.iter().all(|point| point.bucket_counts.len() == point.explicit_bounds.len() + 1));
                let count = points.iter().map(|point| point.count).sum::<u64>();
                prop_assert!(count >= counted);
                counted = count;
                let empty = request.resource_metrics[0].scope_metrics[0].metrics.iter().any(|metric| !has_points(metric));
                prop_assert!(!empty, "a metric without points");
            }
        }
    }
}
