//! Metrics, derived from Watches: the same numbers that the report judges, for dashboards and alert rules. Cumulative, as
//! Prometheus wants them; the running totals are part of what is committed, so they go on after a restart.

mod own;

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use own::OwnTotals;
use serde::{Deserialize, Serialize};

use super::fact::{CallFact, CallOutcome, ChangeCause, FactKind, GeminiOutcome};
use super::operation::{OperationKind, operations};
use super::poll::{ApiOutcome, Liveness, Poll, ProcessPoll, ServerPoll};
use super::quantity::{Bytes, Micros, Timestamp};
use super::record::Attributes;
use super::{Text, Watch, encode, names};

/// Bucket bounds of MCP's duration metrics, in seconds (MCP conventions, "Metrics").
const MCP_BOUNDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Bucket bounds of GenAI's duration metrics, in seconds (GenAI conventions, "Metrics").
const GEN_AI_BOUNDS: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Bucket bounds of the HTTP client's duration metric, in seconds (HTTP conventions, "Metrics").
const HTTP_BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Attributes that tell the streams of one metric apart.
type Labels<'a> = &'a [(&'a str, &'a str)];

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
    /// The sidecar's own.
    #[serde(default)]
    own: OwnTotals,
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
    /// Processor time of the servers' processes by the servers' names, that of the hub's under [`HUB`].
    #[serde(default)]
    spent: BTreeMap<String, Spent>,
}

/// What a server is never called.
const HUB: &str = "";

/// Processor time that a process had spent at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Spent {
    /// When the process began: an id can come again.
    started: Timestamp,
    at: Timestamp,
    time: Micros,
}

impl Spent {
    /// What was spent since `earlier`, if that was the same process, and since when.
    fn since(self, earlier: Option<Self>) -> Option<(Micros, Timestamp)> {
        let earlier = earlier.filter(|earlier| earlier.started == self.started)?;
        Some((Micros::new(self.time.get().checked_sub(earlier.time.get())?), earlier.at))
    }
}

/// Metrics of one moment, counted in both ways that receivers want.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsRequests {
    /// Since the beginning.
    pub cumulative: ExportMetricsServiceRequest,
    /// Since the metrics before.
    pub delta: ExportMetricsServiceRequest,
}

/// What is expected of the hub at the moment.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Servers that need not work.
    pub may_be_down: &'a BTreeSet<String>,
    /// Whether a disturbance that somebody announced goes on, or its effects may still show.
    pub planned: bool,
}

impl Expected<'_> {
    /// Whether a server should work now: not one that the configuration lets be down, and not one that somebody stopped or switched off.
    fn to_work(self, server: &ServerPoll) -> bool {
        let off = match server.liveness {
            Liveness::Disabled | Liveness::Removed => true,
            Liveness::Down => matches!(server.cause, Some(ChangeCause::Requested | ChangeCause::Configured)),
            Liveness::Up | Liveness::Starting | Liveness::Unauthorized | Liveness::Unknown => false,
        };
        !off && !self.may_be_down.contains(server.name.as_str())
    }
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

    /// The totals and the Watch's own values, with what is expected beside them. Call it after [`count`](Self::count); the next deltas
    /// count from here.
    pub fn requests(&mut self, watch: &Watch, expected: &Expected<'_>) -> MetricsRequests {
        let to = watch.interval.end();
        let spent = watch.poll.as_ref().map(|poll| spent(poll, to)).unwrap_or_default();
        let cumulative = Counting { from: self.since, to, temporality: AggregationTemporality::Cumulative };
        let mut totals = self.totals.metrics(cumulative);
        totals.extend(cpu_times(&spent, cumulative, |spent, _| (spent.time, spent.started)));
        let delta = Counting { from: self.told.at.unwrap_or(self.since), to, temporality: AggregationTemporality::Delta };
        let mut added = self.totals.minus(&self.told.totals).metrics(delta);
        // Another process is another stream's beginning.
        added.extend(cpu_times(&spent, delta, |spent, name| {
            spent.since(self.told.spent.get(name).copied()).unwrap_or((spent.time, spent.started))
        }));
        let recent = spent.get(HUB).and_then(|now| now.since(self.told.spent.get(HUB).copied()));
        let own_added = self.totals.own.minus(&self.told.totals.own);
        let requests = MetricsRequests {
            cumulative: whole_request(watch, expected, totals, self.totals.own.metrics(cumulative), recent),
            delta: whole_request(watch, expected, added, own_added.metrics(delta), recent),
        };
        self.told.at = Some(to);
        self.told.totals = self.totals.clone();
        if watch.poll.is_some() {
            self.told.spent = spent;
        }
        requests
    }
}

/// The processor time of each process that was seen.
fn spent(poll: &Poll, at: Timestamp) -> BTreeMap<String, Spent> {
    let hub = poll.process.iter().map(|process| (HUB, process.started, process.cpu_time));
    let servers =
        poll.servers.iter().filter_map(|server| Some((server.name.as_str(), server.child_started?, server.child_cpu_time?)));
    hub.chain(servers).map(|(name, started, time)| (name.to_owned(), Spent { started, at, time })).collect()
}

/// Totals with the Watch's own values beside them, and what the hub's process spent since when.
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
    // A metric without points once made a receiver refuse the whole request.
    metrics.retain(has_points);
    own.retain(has_points);
    let resource_metrics = vec![of(encode::resource(&watch.origin), metrics), of(encode::own_resource(&watch.origin), own)];
    ExportMetricsServiceRequest { resource_metrics }
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
        self.own.count(&watch.sidecar);
        for operation in operations(watch) {
            // A histogram has no place for a call whose duration is unknown: one seen in part is a fact of its Watch only.
            let Some(duration) = operation.duration else { continue };
            match operation.kind {
                OperationKind::ApiRequest => add(&mut self.http, operation.outcome, duration, &HTTP_BOUNDS),
                OperationKind::MetaToolCall => add(&mut self.calls, operation.outcome, duration, &MCP_BOUNDS),
            }
        }
        for fact in &watch.facts {
            if let FactKind::Call(CallFact::CallEnded(call)) = &fact.kind
                && let Some(duration) = call.gemini_duration
            {
                add(&mut self.gemini, call.gemini.as_str(), duration, &GEN_AI_BOUNDS);
            }
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
            own: self.own.minus(&earlier.own),
        }
    }

    fn metrics(&self, counting: Counting) -> Vec<Metric> {
        let lines = self.lines.iter().map(|(level, count)| counting.number(*count, &[("level", level)]));
        vec![
            counting.sum(names::METRIC_LOG_LINES, "{line}", "Lines that the hub logged.", lines.collect()),
            counting.sum(names::METRIC_LOG_BYTES, "By", "Bytes that the hub logged.", vec![counting.number(self.bytes, &[])]),
            counting.histogram(&API_REQUESTS, &self.http),
            counting.histogram(&META_TOOL_CALLS, &self.calls),
            counting.histogram(&GEMINI_PARTS, &self.gemini),
        ]
    }
}

/// How something whose durations are told is described.
struct Timed {
    name: &'static str,
    description: &'static str,
    bounds: &'static [f64],
    /// The attribute that says how it ended.
    outcome: &'static str,
    /// Attributes that are the same for all of them.
    labels: Labels<'static>,
    /// What went wrong, given how it ended: `error.type`.
    error: fn(&str) -> Option<&str>,
}

const API_REQUESTS: Timed = Timed {
    name: names::METRIC_HTTP_DURATION,
    description: "Requests of the watch to the hub's API.",
    bounds: &HTTP_BOUNDS,
    outcome: names::API_OUTCOME,
    labels: &[(names::HTTP_REQUEST_METHOD, "GET")],
    error: |outcome| ApiOutcome::parse(outcome)?.error(),
};

const META_TOOL_CALLS: Timed = Timed {
    name: names::METRIC_CALL_DURATION,
    description: "Meta-tool calls that ended.",
    bounds: &MCP_BOUNDS,
    outcome: names::CALL_OUTCOME,
    labels: &[(names::MCP_METHOD_NAME, names::MCP_TOOLS_CALL), (names::GEN_AI_TOOL_NAME, names::META_TOOL)],
    error: |outcome| CallOutcome::parse(outcome)?.error(),
};

const GEMINI_PARTS: Timed = Timed {
    name: names::METRIC_GEMINI_DURATION,
    description: "The Gemini part of meta-tool calls, retries included.",
    bounds: &GEN_AI_BOUNDS,
    outcome: names::CALL_GEMINI,
    labels: &[(names::GEN_AI_OPERATION_NAME, names::GEN_AI_GENERATE_CONTENT), (names::GEN_AI_PROVIDER_NAME, names::GEN_AI_GEMINI)],
    error: |outcome| match GeminiOutcome::parse(outcome)? {
        GeminiOutcome::Failed | GeminiOutcome::Unfinished => Some(outcome),
        GeminiOutcome::Ok | GeminiOutcome::Recovered | GeminiOutcome::NotAsked | GeminiOutcome::Unseen => None,
    },
};

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
    fn number(self, count: u64, labels: Labels<'_>) -> NumberDataPoint {
        NumberDataPoint { start_time_unix_nano: self.from.as_nanos(), ..point(self.to, count, labels) }
    }

    fn sum(self, name: &str, unit: &str, description: &str, data_points: Vec<NumberDataPoint>) -> Metric {
        let data = Sum { data_points, aggregation_temporality: self.temporality.into(), is_monotonic: true };
        metric(name, unit, description, metric::Data::Sum(data))
    }

    /// One point for each way in which something ended.
    fn histogram(self, of: &Timed, all: &BTreeMap<String, Durations>) -> Metric {
        let points = all.iter().map(|(outcome, durations)| {
            let error = (of.error)(outcome).map(|error| (names::ERROR_TYPE, error));
            let own = std::iter::once((of.outcome, outcome.as_str())).chain(error);
            HistogramDataPoint {
                attributes: attributes(of.labels.iter().copied().chain(own)),
                start_time_unix_nano: self.from.as_nanos(),
                time_unix_nano: self.to.as_nanos(),
                count: durations.count,
                sum: Some(durations.sum),
                bucket_counts: durations.buckets.clone(),
                explicit_bounds: of.bounds.to_vec(),
                ..HistogramDataPoint::default()
            }
        });
        let data = Histogram { data_points: points.collect(), aggregation_temporality: self.temporality.into() };
        metric(of.name, "s", of.description, metric::Data::Histogram(data))
    }
}

/// Processor time of the hub and of its servers: how much and since when is told of each.
fn cpu_times(all: &BTreeMap<String, Spent>, counting: Counting, told: impl Fn(Spent, &str) -> (Micros, Timestamp)) -> [Metric; 2] {
    let point = |(name, spent): (&String, &Spent)| {
        let (time, from) = told(*spent, name);
        let label = [(names::SERVER_NAME, name.as_str())];
        let labels: Labels<'_> = if name == HUB { &[] } else { &label };
        NumberDataPoint { start_time_unix_nano: from.as_nanos(), ..float(counting.to, time.as_secs_f64(), labels) }
    };
    let (hub, servers): (Vec<_>, Vec<_>) = all.iter().partition(|(name, _)| *name == HUB);
    let points = |of: Vec<_>| of.into_iter().map(point).collect();
    [
        counting.sum(names::METRIC_PROCESS_CPU_TIME, "s", "Processor time of the hub, user and system together.", points(hub)),
        counting.sum(names::METRIC_SERVER_CPU_TIME, "s", "Processor time of the server's processes.", points(servers)),
    ]
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

fn gauges(poll: &Poll, expected: Expected<'_>, at: Timestamp) -> Vec<Metric> {
    let up = u64::from(poll.api.health == ApiOutcome::Ok);
    let one = |value: Option<u32>| value.map(|value| point(at, u64::from(value), &[])).into_iter().collect();
    let size = poll.log_file.as_ref().map(|file| file.size);
    let free = poll.log_file.as_ref().and_then(|file| file.disk_free);
    let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| point(at, bytes.get(), &[])).into_iter().collect();
    let (subscribers, left) = ("Subscribers of the event stream, the watch excluded.", "Free space where the log is.");
    let announced = "Whether a planned disturbance goes on, or has just ended: what happens now is no fault.";
    vec![
        gauge(names::METRIC_HUB_UP, "1", "Whether the hub answers.", vec![point(at, up, &[])]),
        gauge(names::METRIC_PLANNED, "1", announced, vec![point(at, u64::from(expected.planned), &[])]),
        gauge(names::METRIC_MCP_CLIENTS, "{client}", "Connected MCP clients.", one(poll.api.mcp_clients)),
        gauge(names::METRIC_SUBSCRIBERS, "{client}", subscribers, one(poll.api.subscribers)),
        gauge(names::METRIC_TOOLS, "{tool}", "Tools that the MCP endpoint offers.", one(poll.api.tools)),
        gauge(names::METRIC_LOG_SIZE, "By", "Size of the hub's log file.", bytes(size)),
        gauge(names::METRIC_LOG_DISK_FREE, "By", left, bytes(free)),
    ]
}

fn server_metrics(poll: &Poll, expected: Expected<'_>, at: Timestamp) -> Vec<Metric> {
    let servers = || poll.servers.iter().map(|server| (server, [(names::SERVER_NAME, server.name.as_str())]));
    let up = servers().map(|(server, label)| point(at, u64::from(server.liveness == Liveness::Up), &label));
    let wanted = servers().map(|(server, label)| point(at, u64::from(expected.to_work(server)), &label));
    let should = "Whether the server should work: 0 for one that the configuration lets be down, or that somebody stopped.";
    let tools = servers().map(|(server, label)| point(at, u64::from(server.tools), &label));
    let memory = servers().filter_map(|(server, label)| Some(point(at, server.child_rss?.get(), &label)));
    vec![
        gauge(names::METRIC_SERVER_UP, "1", "Whether the server works, as judged from more than its status.", up.collect()),
        gauge(names::METRIC_SERVER_EXPECTED, "1", should, wanted.collect()),
        gauge(names::METRIC_SERVER_TOOLS, "{tool}", "Tools that the server offers.", tools.collect()),
        up_down(names::METRIC_SERVER_MEMORY, "By", "Resident memory of the server's processes.", memory.collect()),
    ]
}

fn process_metrics(process: &ProcessPoll, recent: Option<(Micros, Timestamp)>, at: Timestamp) -> Vec<Metric> {
    let counted = |value: Option<u32>| value.map(|value| point(at, u64::from(value), &[])).into_iter().collect();
    let share = |part: f64, of: f64| (of > 0.0).then(|| float(at, part / of, &[])).into_iter().collect();
    let (spent, available) = recent
        .map_or((0.0, 0.0), |(spent, since)| (spent.as_secs_f64(), at.since(since).as_secs_f64() * f64::from(process.host_cpus)));
    // Of the limit if there is one, which is what ends the process; otherwise of the host's memory.
    let room = process.memory_limit.unwrap_or(process.host_memory).min(process.host_memory);
    let (cpu, memory) = ("The hub's share of all processors of its host since the last poll.", "Resident memory of the hub.");
    let of_room = "The hub's share of its memory limit, or else of its host's memory.";
    let uptime = float(at, at.since(process.started).as_secs_f64(), &[]);
    vec![
        gauge(names::METRIC_PROCESS_CPU_UTILIZATION, "1", cpu, share(spent, available)),
        up_down(names::METRIC_PROCESS_MEMORY, "By", memory, vec![point(at, process.rss.get(), &[])]),
        gauge(names::METRIC_PROCESS_MEMORY_UTILIZATION, "1", of_room, share(process.rss.get() as f64, room.get() as f64)),
        up_down(names::METRIC_PROCESS_THREADS, "{thread}", "Threads of the hub.", counted(process.threads)),
        up_down(names::METRIC_PROCESS_FDS, "{file_descriptor}", "Open file descriptors of the hub.", counted(process.fds)),
        gauge(names::METRIC_PROCESS_UPTIME, "s", "How long the hub's process has been running.", vec![uptime]),
    ]
}

fn point(at: Timestamp, value: u64, labels: Labels<'_>) -> NumberDataPoint {
    let value = number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX));
    NumberDataPoint { value: Some(value), ..empty(at, labels) }
}

fn float(at: Timestamp, value: f64, labels: Labels<'_>) -> NumberDataPoint {
    NumberDataPoint { value: Some(number_data_point::Value::AsDouble(value)), ..empty(at, labels) }
}

fn empty(at: Timestamp, labels: Labels<'_>) -> NumberDataPoint {
    NumberDataPoint { attributes: attributes(labels.iter().copied()), time_unix_nano: at.as_nanos(), ..NumberDataPoint::default() }
}

fn attributes<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    labels.for_each(|(name, value)| attributes.put_named(name, &Text::new(value)));
    attributes.into_inner()
}

fn gauge(name: &str, unit: &str, description: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(name, unit, description, metric::Data::Gauge(Gauge { data_points }))
}

fn up_down(name: &str, unit: &str, description: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    metric(name, unit, description, metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: false }))
}

fn metric(name: &str, unit: &str, description: &str, data: metric::Data) -> Metric {
    let (name, unit, description) = (name.to_owned(), unit.to_owned(), description.to_owned());
    Metric { name, unit, description, data: Some(data), ..Metric::default() }
}

fn has_points(metric: &Metric) -> bool {
    match &metric.data {
        Some(metric::Data::Gauge(gauge)) => !gauge.data_points.is_empty(),
        Some(metric::Data::Sum(sum)) => !sum.data_points.is_empty(),
        Some(metric::Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
        _ => false,
    }
}

fn of(resource: Resource, metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![ScopeMetrics { scope: Some(encode::scope()), metrics, schema_url: names::SCHEMA_URL.to_owned() }],
        schema_url: names::SCHEMA_URL.to_owned(),
    }
}

#[cfg(test)]
mod tests {
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
