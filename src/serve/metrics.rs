//! `/metrics` in Prometheus' text format: the metrics that are also sent by OTLP, under the names of OpenTelemetry's own
//! translation, and the live verdict on the hub.
//!
//! The hub and the sidecar are two resources with metrics of the same names. As in that translation, each has its own labels (`job`
//! is `service.name`, `instance` is `service.instance.id`), and its other attributes are in `target_info`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::{Served, WatchedHub};
use crate::judge::incident::{Gravity, Incident};
use crate::judge::verdict::Verdict;
use crate::live::SoFar;
use crate::watch::names;

/// The content type that Prometheus requires.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves `GET /metrics`.
pub(super) async fn metrics(State(served): State<Served>) -> Response {
    let mut page = Page::default();
    page.put(names::PROMETHEUS_BUILD_INFO, "gauge", "The running version.", &[("version", env!("CARGO_PKG_VERSION"))], "1");
    for hub in served.hubs.iter() {
        of_hub(&mut page, hub);
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page.text()).into_response()
}

fn of_hub(page: &mut Page, hub: &WatchedHub) {
    let (name, environment) = (hub.hub.to_string(), hub.environment.to_string());
    // The labels of the hub's own metrics, for gauges about the hub.
    let labels = [("job", names::HUB_SERVICE), ("instance", name.as_str()), ("deployment_environment_name", environment.as_str())];
    let gauge = |page: &mut Page, name, help, more: &[(&str, &str)], value: u64| {
        let labels: Vec<_> = labels.iter().chain(more).copied().collect();
        page.put(name, "gauge", help, &labels, &value.to_string());
    };
    let ready = hub.vitals.wellness(hub.interval).not_ready.is_empty();
    gauge(page, names::PROMETHEUS_READY, "1 if hubwatch is ready, else 0: see /readyz.", &[], u64::from(ready));
    if let Some(polled) = hub.vitals.polled_at() {
        let seconds = polled.get() / 1_000_000;
        gauge(page, names::PROMETHEUS_LAST_POLL, "Time of the last poll of the hub, whatever it answered.", &[], seconds);
    }
    if let Some(request) = hub.vitals.metrics() {
        request.resource_metrics.iter().for_each(|metrics| page.resource(metrics));
    }
    let Some(so_far) = hub.live.so_far() else { return };
    let SoFar { assessment, .. } = &*so_far;
    for verdict in Verdict::ALL {
        let holds = u64::from(assessment.overall == *verdict);
        let help = "The verdict so far: 1 for the current one.";
        gauge(page, names::PROMETHEUS_VERDICT, help, &[("verdict", verdict.as_str())], holds);
    }
    for (criterion, judged) in &assessment.criteria {
        let of = [("criterion", criterion.id.as_str()), ("severity", criterion.severity.as_str())];
        let with = [of[0], of[1], ("verdict", judged.verdict.as_str())];
        gauge(page, names::PROMETHEUS_CRITERION, "The verdict so far on each criterion.", &with, 1);
    }
    for gravity in Gravity::ALL {
        let open = |incident: &&Incident| incident.end.is_none() && incident.severity == *gravity;
        let count = assessment.incidents.iter().filter(open).count() as u64;
        gauge(page, names::PROMETHEUS_INCIDENTS_OPEN, "Open incidents.", &[("severity", gravity.as_str())], count);
    }
}

/// The resource of the metrics, as labels.
#[derive(Debug, Default, PartialEq, Eq)]
struct Target {
    /// The labels of each series.
    labels: Vec<(String, String)>,
    /// The other attributes, for `target_info`.
    info: Vec<(String, String)>,
}

impl Target {
    fn of(resource: &Resource) -> Self {
        let mut target = Self::default();
        for attribute in &resource.attributes {
            let Some((label, value)) = label(attribute) else { continue };
            match attribute.key.as_str() {
                names::SERVICE_NAME => target.labels.push(("job".to_owned(), value)),
                names::SERVICE_INSTANCE_ID => target.labels.push(("instance".to_owned(), value)),
                names::DEPLOYMENT_ENVIRONMENT_NAME => target.labels.push((label, value)),
                _ => target.info.push((label, value)),
            }
        }
        target
    }
}

/// The page under construction: Prometheus needs all samples of a metric together, also those of several hubs.
#[derive(Debug, Default)]
struct Page(BTreeMap<String, Family>);

#[derive(Debug)]
struct Family {
    kind: &'static str,
    help: String,
    samples: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &'static str, help: &str) -> &mut String {
        let family = || Family { kind, help: help.to_owned(), samples: String::new() };
        &mut self.0.entry(name.to_owned()).or_insert_with(family).samples
    }

    fn put(&mut self, name: &str, kind: &'static str, help: &str, labels: &[(&str, &str)], value: &str) {
        sample(self.family(name, kind, help), name, labels, value);
    }

    /// Adds the metrics of one resource, under its own labels.
    fn resource(&mut self, metrics: &ResourceMetrics) {
        let all = metrics.scope_metrics.iter().flat_map(|scope| &scope.metrics);
        let Some(resource) = metrics.resource.as_ref().filter(|_| all.clone().next().is_some()) else { return };
        let target = Target::of(resource);
        let (labels, info) = (pairs(&target.labels), pairs(&target.info));
        let whole: Vec<_> = labels.iter().chain(&info).copied().collect();
        self.put(names::PROMETHEUS_TARGET_INFO, "gauge", "Attributes of the resource.", &whole, "1");
        all.for_each(|metric| self.otlp(metric, &labels));
    }

    fn otlp(&mut self, metric: &Metric, labels: &[(&str, &str)]) {
        match &metric.data {
            Some(metric::Data::Gauge(gauge)) => self.numbers(metric, "gauge", &gauge.data_points, labels),
            Some(metric::Data::Sum(sum)) if sum.is_monotonic => self.numbers(metric, "counter", &sum.data_points, labels),
            Some(metric::Data::Sum(sum)) => self.numbers(metric, "gauge", &sum.data_points, labels),
            Some(metric::Data::Histogram(histogram)) => {
                let name = metric_name(&metric.name, &metric.unit, "histogram");
                let samples = self.family(&name, "histogram", &metric.description);
                histogram.data_points.iter().for_each(|point| buckets(samples, &name, point, labels));
            }
            _ => {}
        }
    }

    fn numbers(&mut self, metric: &Metric, kind: &'static str, points: &[NumberDataPoint], labels: &[(&str, &str)]) {
        let name = metric_name(&metric.name, &metric.unit, kind);
        let samples = self.family(&name, kind, &metric.description);
        for point in points {
            let value = match point.value {
                Some(number_data_point::Value::AsInt(value)) => value.to_string(),
                Some(number_data_point::Value::AsDouble(value)) => value.to_string(),
                None => continue,
            };
            let own = own_labels(&point.attributes);
            sample(samples, &name, &joined(labels, &own), &value);
        }
    }

    fn text(self) -> String {
        let mut text = String::new();
        for (name, family) in self.0 {
            // Writing to a String can't fail.
            if !family.help.is_empty() {
                let _ = writeln!(text, "# HELP {name} {}", family.help.replace('\\', "\\\\").replace('\n', "\\n"));
            }
            let _ = writeln!(text, "# TYPE {name} {}", family.kind);
            text.push_str(&family.samples);
        }
        text
    }
}

/// Writes buckets. OTLP counts each bucket alone, Prometheus counts all values up to the bound.
fn buckets(samples: &mut String, name: &str, point: &HistogramDataPoint, labels: &[(&str, &str)]) {
    let own = own_labels(&point.attributes);
    let labels = joined(labels, &own);
    let mut count = 0u64;
    let bounds = point.explicit_bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    for (bound, inside) in bounds.zip(&point.bucket_counts) {
        count = count.saturating_add(*inside);
        let with: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
        sample(samples, &format!("{name}_bucket"), &with, &count.to_string());
    }
    sample(samples, &format!("{name}_sum"), &labels, &point.sum.unwrap_or_default().to_string());
    sample(samples, &format!("{name}_count"), &labels, &point.count.to_string());
}

fn label(pair: &KeyValue) -> Option<(String, String)> {
    match pair.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some((label_name(&pair.key), text.clone())),
        any_value::Value::IntValue(number) => Some((label_name(&pair.key), number.to_string())),
        _ => None,
    }
}

fn own_labels(attributes: &[KeyValue]) -> Vec<(String, String)> {
    attributes.iter().filter_map(label).collect()
}

fn pairs(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn joined<'a>(labels: &[(&'a str, &'a str)], own: &'a [(String, String)]) -> Vec<(&'a str, &'a str)> {
    labels.iter().copied().chain(pairs(own)).collect()
}

fn sample(into: &mut String, name: &str, labels: &[(&str, &str)], value: &str) {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    // Writing to a String can't fail.
    let _ = writeln!(into, "{name}{{{}}} {value}", labels.join(","));
}

fn label_name(name: &str) -> String {
    name.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}

/// Returns the metric's name in OpenTelemetry's translation, which Prometheus itself applies to OTLP: the unit at the end, and
/// `_total` for counters.
fn metric_name(name: &str, unit: &str, kind: &str) -> String {
    let mut name = label_name(name);
    let unit = match (unit, kind) {
        ("s", _) => "seconds",
        ("By", _) => "bytes",
        ("1", "gauge") => "ratio",
        _ => "",
    };
    if !unit.is_empty() && !name.ends_with(unit) {
        name = format!("{name}_{unit}");
    }
    if kind == "counter" { format!("{name}_total") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::Histogram;

    #[test]
    fn metric_names_follow_opentelemetrys_translation() {
        assert_eq!(metric_name("process.cpu.time", "s", "counter"), "process_cpu_time_seconds_total");
        assert_eq!(metric_name("mcphub.log.bytes", "By", "counter"), "mcphub_log_bytes_total");
        assert_eq!(metric_name("mcphub.mcp.clients", "{client}", "gauge"), "mcphub_mcp_clients");
        assert_eq!(metric_name("mcphub.up", "1", "gauge"), "mcphub_up_ratio");
    }

    #[test]
    fn buckets_are_cumulative_and_all_hubs_are_under_one_type() {
        let mut page = Page::default();
        let point = HistogramDataPoint {
            count: 3,
            sum: Some(1.5),
            bucket_counts: vec![1, 2, 0],
            explicit_bounds: vec![0.5, 1.0],
            ..HistogramDataPoint::default()
        };
        let data = Histogram { data_points: vec![point], aggregation_temporality: 2 };
        let metric = Metric {
            name: "a.duration".to_owned(),
            unit: "s".to_owned(),
            data: Some(metric::Data::Histogram(data)),
            ..Metric::default()
        };
        page.otlp(&metric, &[("hub", "one")]);
        page.put("z", "gauge", "Help.", &[("hub", "a\"b\\c")], "1");
        page.otlp(&metric, &[("hub", "two")]);
        insta::assert_snapshot!(page.text(), @r#"
        # TYPE a_duration_seconds histogram
        a_duration_seconds_bucket{hub="one",le="0.5"} 1
        a_duration_seconds_bucket{hub="one",le="1"} 3
        a_duration_seconds_bucket{hub="one",le="+Inf"} 3
        a_duration_seconds_sum{hub="one"} 1.5
        a_duration_seconds_count{hub="one"} 3
        a_duration_seconds_bucket{hub="two",le="0.5"} 1
        a_duration_seconds_bucket{hub="two",le="1"} 3
        a_duration_seconds_bucket{hub="two",le="+Inf"} 3
        a_duration_seconds_sum{hub="two"} 1.5
        a_duration_seconds_count{hub="two"} 3
        # HELP z Help.
        # TYPE z gauge
        z{hub="a\"b\\c"} 1
        "#);
    }
}
