//! Removes the records that are refused from a request, and counts them by reason.

use std::collections::{BTreeMap, HashSet};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint, metric, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::limits::MAX_ATTRIBUTES;
use crate::watch::Refusal;

/// Below so many attributes, comparing each with each is faster than hashing them.
const FEW_ATTRIBUTES: usize = 24;

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Records that stay.
    pub accepted: u64,
    /// Refused records by reason.
    pub refused: BTreeMap<Refusal, u64>,
}

impl Checked {
    /// Returns how many records were refused.
    pub(super) fn rejected(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Returns the message for the sender; empty if nothing was refused.
    pub(super) fn message(&self) -> String {
        let one = |(reason, count): (&Refusal, &u64)| {
            let why = match reason {
                Refusal::InvalidId => "trace and span ids must have 16 and 8 bytes and not be zero".to_owned(),
                Refusal::TooManyAttributes => format!("at most {MAX_ATTRIBUTES} attributes are accepted"),
                Refusal::InvalidPoint => "a point's numbers contradict each other or are no numbers".to_owned(),
                other => other.to_string(),
            };
            format!("{count} refused: {why}")
        };
        self.refused.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Keeps the records of a list that pass.
    fn keep<T>(&mut self, records: &mut Vec<T>, check: impl Fn(&mut T) -> Result<(), Refusal>) {
        records.retain_mut(|record| match check(record) {
            Ok(()) => {
                self.accepted += 1;
                true
            }
            Err(reason) => {
                *self.refused.entry(reason).or_default() += 1;
                false
            }
        });
    }
}

/// Checks the spans of a request.
pub(super) fn traces(request: &mut ExportTraceServiceRequest) -> Checked {
    let mut checked = Checked::default();
    for resource in &mut request.resource_spans {
        resource.scope_spans.retain_mut(|scope| {
            checked.keep(&mut scope.spans, span);
            !scope.spans.is_empty()
        });
    }
    request.resource_spans.retain(|resource| !resource.scope_spans.is_empty());
    checked
}

/// Checks the records of a request.
pub(super) fn logs(request: &mut ExportLogsServiceRequest) -> Checked {
    let mut checked = Checked::default();
    for resource in &mut request.resource_logs {
        resource.scope_logs.retain_mut(|scope| {
            checked.keep(&mut scope.log_records, log_record);
            !scope.log_records.is_empty()
        });
    }
    request.resource_logs.retain(|resource| !resource.scope_logs.is_empty());
    checked
}

/// Checks the points of a request.
pub(super) fn metrics(request: &mut ExportMetricsServiceRequest) -> Checked {
    let mut checked = Checked::default();
    for resource in &mut request.resource_metrics {
        for scope in &mut resource.scope_metrics {
            scope.metrics.retain_mut(|metric| match &mut metric.data {
                Some(metric::Data::Gauge(gauge)) => {
                    checked.keep(&mut gauge.data_points, |point| attributes(&mut point.attributes).map(drop));
                    !gauge.data_points.is_empty()
                }
                Some(metric::Data::Sum(sum)) => {
                    checked.keep(&mut sum.data_points, sum_point);
                    !sum.data_points.is_empty()
                }
                Some(metric::Data::Histogram(histogram)) => {
                    checked.keep(&mut histogram.data_points, histogram_point);
                    !histogram.data_points.is_empty()
                }
                Some(metric::Data::ExponentialHistogram(histogram)) => {
                    checked.keep(&mut histogram.data_points, exponential_point);
                    !histogram.data_points.is_empty()
                }
                Some(metric::Data::Summary(summary)) => {
                    checked.keep(&mut summary.data_points, summary_point);
                    !summary.data_points.is_empty()
                }
                None => false,
            });
        }
        resource.scope_metrics.retain(|scope| !scope.metrics.is_empty());
    }
    request.resource_metrics.retain(|resource| !resource.scope_metrics.is_empty());
    checked
}

fn span(span: &mut Span) -> Result<(), Refusal> {
    if !is_id(&span.trace_id, 16) || !is_id(&span.span_id, 8) || !matches!(span.parent_span_id.len(), 0 | 8) {
        return Err(Refusal::InvalidId);
    }
    if span.events.len() > MAX_ATTRIBUTES || span.links.len() > MAX_ATTRIBUTES {
        return Err(Refusal::TooManyAttributes);
    }
    span.dropped_attributes_count = span.dropped_attributes_count.saturating_add(attributes(&mut span.attributes)?);
    for event in &mut span.events {
        event.dropped_attributes_count = event.dropped_attributes_count.saturating_add(attributes(&mut event.attributes)?);
    }
    for link in &mut span.links {
        if !is_id(&link.trace_id, 16) || !is_id(&link.span_id, 8) {
            return Err(Refusal::InvalidId);
        }
        link.dropped_attributes_count = link.dropped_attributes_count.saturating_add(attributes(&mut link.attributes)?);
    }
    Ok(())
}

fn log_record(record: &mut LogRecord) -> Result<(), Refusal> {
    if !matches!(record.trace_id.len(), 0 | 16) || !matches!(record.span_id.len(), 0 | 8) {
        return Err(Refusal::InvalidId);
    }
    record.dropped_attributes_count = record.dropped_attributes_count.saturating_add(attributes(&mut record.attributes)?);
    Ok(())
}

fn sum_point(point: &mut NumberDataPoint) -> Result<(), Refusal> {
    attributes(&mut point.attributes)?;
    match point.value {
        Some(number_data_point::Value::AsDouble(value)) if !value.is_finite() => Err(Refusal::InvalidPoint),
        Some(number_data_point::Value::AsDouble(_) | number_data_point::Value::AsInt(_)) | None => Ok(()),
    }
}

fn histogram_point(point: &mut HistogramDataPoint) -> Result<(), Refusal> {
    attributes(&mut point.attributes)?;
    let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
    let rising = bounds.is_sorted_by(|one, other| one < other) && bounds.iter().all(|bound| !bound.is_nan());
    let fits = counts.len() == bounds.len() + 1 || counts.is_empty() && bounds.is_empty();
    let total = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
    let adds_up = counts.is_empty() || total == Some(point.count);
    check_numbers(&[point.sum, point.min, point.max], rising && fits && adds_up)
}

fn exponential_point(point: &mut ExponentialHistogramDataPoint) -> Result<(), Refusal> {
    attributes(&mut point.attributes)?;
    check_numbers(&[point.sum, point.min, point.max, Some(point.zero_threshold)], true)
}

fn summary_point(point: &mut SummaryDataPoint) -> Result<(), Refusal> {
    attributes(&mut point.attributes)?;
    let quantiles = point.quantile_values.iter().all(|value| (0.0..=1.0).contains(&value.quantile));
    check_numbers(&[Some(point.sum)], quantiles)
}

fn check_numbers(numbers: &[Option<f64>], holds: bool) -> Result<(), Refusal> {
    let finite = numbers.iter().flatten().all(|number| number.is_finite());
    if finite && holds { Ok(()) } else { Err(Refusal::InvalidPoint) }
}

fn is_id(id: &[u8], length: usize) -> bool {
    id.len() == length && id.iter().any(|byte| *byte != 0)
}

/// Keeps the last of attributes with the same key, as an SDK that sets an attribute twice does; returns how many went.
pub(super) fn attributes(attributes: &mut Vec<KeyValue>) -> Result<u32, Refusal> {
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(Refusal::TooManyAttributes);
    }
    let before = attributes.len();
    if before <= FEW_ATTRIBUTES {
        let mut at = 0;
        while at < attributes.len() {
            if attributes[at + 1..].iter().any(|later| later.key == attributes[at].key) {
                attributes.remove(at);
            } else {
                at += 1;
            }
        }
    } else {
        let mut seen = HashSet::with_capacity(before);
        let last: Vec<bool> = attributes.iter().rev().map(|attribute| seen.insert(attribute.key.as_str())).collect();
        let mut last = last.into_iter().rev();
        attributes.retain(|_| last.next() == Some(true));
    }
    Ok(u32::try_from(before - attributes.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    use super::*;

    fn numbered(key: &str, number: i64) -> KeyValue {
        let value = Some(AnyValue { value: Some(any_value::Value::IntValue(number)) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    #[test]
    fn of_attributes_with_the_same_key_the_last_stays() {
        for more in [0, 100] {
            let mut all = vec![numbered("a", 1), numbered("b", 2), numbered("a", 3)];
            all.extend((0..more).map(|number| numbered(&format!("c{number}"), 0)));
            assert_eq!(attributes(&mut all), Ok(1));
            assert_eq!(all[..2], [numbered("b", 2), numbered("a", 3)]);
            assert_eq!(all.len(), 2 + more);
        }
    }

    #[test]
    fn refused_spans_go_and_the_others_stay() {
        let good = Span { trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() };
        let crowded = (0..=MAX_ATTRIBUTES).map(|number| numbered(&number.to_string(), 0)).collect();
        let spans = vec![
            good.clone(),
            Span { trace_id: vec![0; 16], ..good.clone() },
            Span { span_id: vec![2; 7], ..good.clone() },
            Span { attributes: crowded, ..good.clone() },
        ];
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let mut request = ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] };
        let checked = traces(&mut request);
        assert_eq!((checked.accepted, checked.rejected()), (1, 3));
        assert_eq!(checked.refused, BTreeMap::from([(Refusal::InvalidId, 2), (Refusal::TooManyAttributes, 1)]));
        assert_eq!(request.resource_spans[0].scope_spans[0].spans, [good]);
    }

    #[test]
    fn points_whose_numbers_contradict_each_other_are_refused() {
        let good = HistogramDataPoint {
            count: 3,
            sum: Some(1.0),
            bucket_counts: vec![1, 2],
            explicit_bounds: vec![5.0],
            ..HistogramDataPoint::default()
        };
        assert_eq!(histogram_point(&mut good.clone()), Ok(()));
        let bad = [
            HistogramDataPoint { sum: Some(f64::NAN), ..good.clone() },
            HistogramDataPoint { explicit_bounds: vec![f64::NAN], ..good.clone() },
            HistogramDataPoint { explicit_bounds: vec![5.0, 4.0], bucket_counts: vec![1, 1, 1], ..good.clone() },
            HistogramDataPoint { bucket_counts: vec![1], ..good.clone() },
            HistogramDataPoint { count: 4, ..good.clone() },
            HistogramDataPoint { bucket_counts: vec![u64::MAX, 4], ..good },
        ];
        for mut point in bad {
            assert_eq!(histogram_point(&mut point), Err(Refusal::InvalidPoint), "{point:?}");
        }
        let nan = Some(number_data_point::Value::AsDouble(f64::NAN));
        assert_eq!(sum_point(&mut NumberDataPoint { value: nan, ..Default::default() }), Err(Refusal::InvalidPoint));
    }
}
