//! OTLP metrics and their data points.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric, number_data_point,
};

use crate::watch::Text;
use crate::watch::quantity::Timestamp;
use crate::watch::record::Attributes;

/// Attributes that distinguish the streams of one metric.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The period and temporality of counters.
#[derive(Clone, Copy)]
pub(super) struct Counting {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) temporality: AggregationTemporality,
}

impl Counting {
    /// Returns a point with this count.
    pub(super) fn number(self, count: u64, labels: Labels<'_>) -> NumberDataPoint {
        NumberDataPoint { start_time_unix_nano: self.from.as_nanos(), ..point(self.to, count, labels) }
    }

    /// Returns a monotonic sum.
    pub(super) fn sum(self, name: &str, unit: &str, description: &str, data_points: Vec<NumberDataPoint>) -> Metric {
        let data = Sum { data_points, aggregation_temporality: self.temporality.into(), is_monotonic: true };
        metric(name, unit, description, metric::Data::Sum(data))
    }

    /// Returns a histogram in seconds.
    pub(super) fn histogram(self, name: &str, description: &str, data_points: Vec<HistogramDataPoint>) -> Metric {
        self.histogram_of("s", name, description, data_points)
    }

    /// Returns a histogram in this unit.
    pub(super) fn histogram_of(self, unit: &str, name: &str, description: &str, data_points: Vec<HistogramDataPoint>) -> Metric {
        let data = Histogram { data_points, aggregation_temporality: self.temporality.into() };
        metric(name, unit, description, metric::Data::Histogram(data))
    }
}

/// Returns a point with an integer.
pub(super) fn point(at: Timestamp, value: u64, labels: Labels<'_>) -> NumberDataPoint {
    let value = number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX));
    NumberDataPoint { value: Some(value), ..empty(at, labels) }
}

/// Returns a point with a float.
pub(super) fn float(at: Timestamp, value: f64, labels: Labels<'_>) -> NumberDataPoint {
    NumberDataPoint { value: Some(number_data_point::Value::AsDouble(value)), ..empty(at, labels) }
}

fn empty(at: Timestamp, labels: Labels<'_>) -> NumberDataPoint {
    NumberDataPoint { attributes: attributes(labels.iter().copied()), time_unix_nano: at.as_nanos(), ..NumberDataPoint::default() }
}

/// Returns the labels as OTLP attributes.
pub(super) fn attributes<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    labels.for_each(|(name, value)| attributes.put_named(name, &Text::new(value)));
    attributes.into_inner()
}

/// Returns a gauge.
pub(super) fn gauge(name: &str, unit: &str, description: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(name, unit, description, metric::Data::Gauge(Gauge { data_points }))
}

/// Returns a sum that can fall.
pub(super) fn up_down(name: &str, unit: &str, description: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    metric(name, unit, description, metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: false }))
}

fn metric(name: &str, unit: &str, description: &str, data: metric::Data) -> Metric {
    let (name, unit, description) = (name.to_owned(), unit.to_owned(), description.to_owned());
    Metric { name, unit, description, data: Some(data), ..Metric::default() }
}

/// Returns false if the metric has no point.
pub(super) fn has_points(metric: &Metric) -> bool {
    match &metric.data {
        Some(metric::Data::Gauge(gauge)) => !gauge.data_points.is_empty(),
        Some(metric::Data::Sum(sum)) => !sum.data_points.is_empty(),
        Some(metric::Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
        _ => false,
    }
}
