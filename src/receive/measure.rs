//! Measures a request before it is decoded: what it would take in memory, its records and its depth. A decoder allocates as it reads,
//! so a limit that is checked afterwards limits nothing.

mod json;
mod protobuf;

use super::limits::{MAX_DECODED_BYTES, MAX_DEPTH, MAX_RECORDS};
use super::refused::Refused;
use crate::journal::Signal;
use crate::watch::Refusal;

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// Checks that a request of this signal is within the limits.
pub(super) fn check(signal: Signal, format: Format, body: &[u8]) -> Result<(), Refused> {
    let mut size = Size::default();
    match format {
        Format::Protobuf => protobuf::measure(signal, body, &mut size),
        Format::Json => json::measure(signal, body, &mut size),
    }
}

/// What a request takes, as far as it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    bytes: usize,
    records: usize,
}

impl Size {
    fn add(&mut self, bytes: usize) -> Result<(), Refused> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_DECODED_BYTES {
            let limit = MAX_DECODED_BYTES >> 20;
            let message = format!("the request would take more than {limit} MiB of memory; send smaller batches");
            return Err(Refused::new(Refusal::TooLarge, message));
        }
        Ok(())
    }

    fn add_record(&mut self) -> Result<(), Refused> {
        self.records += 1;
        if self.records > MAX_RECORDS {
            let message = format!("the request has more than {MAX_RECORDS} records; send smaller batches");
            return Err(Refused::new(Refusal::TooLarge, message));
        }
        Ok(())
    }
}

fn check_depth(depth: usize) -> Result<(), Refused> {
    if depth > MAX_DEPTH {
        return Err(Refused::malformed(format!("the request is nested more than {MAX_DEPTH} levels deep")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message as _;

    use super::*;

    fn spans(spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
    }

    fn both(request: &ExportTraceServiceRequest) -> [Result<(), Refused>; 2] {
        let json = serde_json::to_vec(request).unwrap();
        [check(Signal::Traces, Format::Protobuf, &request.encode_to_vec()), check(Signal::Traces, Format::Json, &json)]
    }

    fn reasons(checked: [Result<(), Refused>; 2]) -> [Option<Refusal>; 2] {
        checked.map(|checked| checked.err().map(|refused| refused.reason))
    }

    #[test]
    fn the_batches_of_sdks_are_within_the_limits() {
        let attributes = (0..20).map(|number| {
            let value = Some(AnyValue { value: Some(any_value::Value::StringValue("x".repeat(40))) });
            KeyValue { key: format!("http.attribute.{number}"), value, ..KeyValue::default() }
        });
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            name: "GET /".to_owned(),
            attributes: attributes.collect(),
            ..Span::default()
        };
        assert_eq!(reasons(both(&spans(vec![span; 2_048]))), [None, None]);
    }

    #[test]
    fn empty_records_count_as_what_they_take_in_memory() {
        assert_eq!(reasons(both(&spans(vec![Span::default(); MAX_RECORDS + 1]))), [Some(Refusal::TooLarge); 2]);
        // Empty attributes, two bytes each.
        let attributes = vec![KeyValue::default(); 400_000];
        let request = spans(vec![Span { attributes, ..Span::default() }]);
        assert!(request.encoded_len() < 1_000_000);
        assert_eq!(reasons(both(&request)), [Some(Refusal::TooLarge); 2]);
    }

    #[test]
    fn deep_nesting_is_malformed() {
        let mut value = AnyValue { value: Some(any_value::Value::IntValue(1)) };
        for _ in 0..30 {
            value = AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![value] })) };
        }
        let attributes = vec![KeyValue { key: "deep".to_owned(), value: Some(value), ..KeyValue::default() }];
        assert_eq!(reasons(both(&spans(vec![Span { attributes, ..Span::default() }]))), [Some(Refusal::Malformed); 2]);
    }

    #[test]
    fn points_of_metrics_are_counted_in_both_formats() {
        let data_points = vec![HistogramDataPoint { bucket_counts: vec![1; 4], ..HistogramDataPoint::default() }; MAX_RECORDS + 1];
        let histogram = opentelemetry_proto::tonic::metrics::v1::Histogram { data_points, ..Default::default() };
        let metrics = vec![Metric { data: Some(metric::Data::Histogram(histogram)), ..Metric::default() }];
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let request =
            ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }] };
        let protobuf = check(Signal::Metrics, Format::Protobuf, &request.encode_to_vec());
        let json = check(Signal::Metrics, Format::Json, &serde_json::to_vec(&request).unwrap());
        assert_eq!(reasons([protobuf, json]), [Some(Refusal::TooLarge); 2]);
    }

    #[test]
    fn bytes_that_are_no_protobuf_are_malformed() {
        for body in [&b"\xff\xff\xff"[..], b"\x0a\xff", b"\x0b", b"not protobuf"] {
            let refused = check(Signal::Traces, Format::Protobuf, body).unwrap_err();
            assert_eq!(refused.reason, Refusal::Malformed, "{body:?}");
        }
    }
}
