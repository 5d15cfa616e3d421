//! Measures a request in protobuf: reads the tags of the messages that OTLP has, and decodes nothing.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;

use super::{Size, check_depth};
use crate::journal::Signal;
use crate::receive::refused::Refused;

/// A growing list has up to twice its size.
const GROWTH: usize = 2;

/// What a field without a message takes beside its bytes: a text of a list, or a number of one.
const LEAF_BYTES: usize = size_of::<String>();

/// A message of OTLP.
struct Message {
    /// Bytes in memory.
    bytes: usize,
    /// Whether it is a span, a point of a metric or a log record.
    is_record: bool,
    /// Bytes in memory of each byte of a field without a message: more than one where varints are packed.
    leaf: usize,
    /// Its fields that are messages, by their tags.
    fields: &'static [(u64, &'static Message)],
}

const fn message<T>(fields: &'static [(u64, &'static Message)]) -> Message {
    Message { bytes: GROWTH * size_of::<T>(), is_record: false, leaf: 1, fields }
}

const fn record<T>(fields: &'static [(u64, &'static Message)]) -> Message {
    Message { is_record: true, ..message::<T>(fields) }
}

static VALUE: Message = message::<common::AnyValue>(&[(5, &ARRAY), (6, &KEY_VALUES)]);
static ARRAY: Message = message::<common::ArrayValue>(&[(1, &VALUE)]);
static KEY_VALUES: Message = message::<common::KeyValueList>(&[(1, &KEY_VALUE)]);
static KEY_VALUE: Message = message::<common::KeyValue>(&[(2, &VALUE)]);
static SCOPE: Message = message::<common::InstrumentationScope>(&[(3, &KEY_VALUE)]);
static ENTITY: Message = message::<common::EntityRef>(&[]);
static RESOURCE: Message = message::<resource::Resource>(&[(1, &KEY_VALUE), (3, &ENTITY)]);

static TRACES: Message = message::<()>(&[(1, &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Message = message::<trace::ResourceSpans>(&[(1, &RESOURCE), (2, &SCOPE_SPANS)]);
static SCOPE_SPANS: Message = message::<trace::ScopeSpans>(&[(1, &SCOPE), (2, &SPAN)]);
static SPAN: Message = record::<trace::Span>(&[(9, &KEY_VALUE), (11, &EVENT), (13, &LINK), (15, &STATUS)]);
static EVENT: Message = message::<trace::span::Event>(&[(3, &KEY_VALUE)]);
static LINK: Message = message::<trace::span::Link>(&[(4, &KEY_VALUE)]);
static STATUS: Message = message::<trace::Status>(&[]);

static LOGS: Message = message::<()>(&[(1, &RESOURCE_LOGS)]);
static RESOURCE_LOGS: Message = message::<logs::ResourceLogs>(&[(1, &RESOURCE), (2, &SCOPE_LOGS)]);
static SCOPE_LOGS: Message = message::<logs::ScopeLogs>(&[(1, &SCOPE), (2, &LOG_RECORD)]);
static LOG_RECORD: Message = record::<logs::LogRecord>(&[(5, &VALUE), (6, &KEY_VALUE)]);

static METRICS: Message = message::<()>(&[(1, &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Message = message::<metrics::ResourceMetrics>(&[(1, &RESOURCE), (2, &SCOPE_METRICS)]);
static SCOPE_METRICS: Message = message::<metrics::ScopeMetrics>(&[(1, &SCOPE), (2, &METRIC)]);
static METRIC: Message = message::<metrics::Metric>(&[
    (5, &NUMBERS),
    (7, &NUMBERS),
    (9, &HISTOGRAM),
    (10, &EXPONENTIAL),
    (11, &SUMMARY),
    (12, &KEY_VALUE),
]);
static NUMBERS: Message = message::<metrics::Sum>(&[(1, &NUMBER_POINT)]);
static HISTOGRAM: Message = message::<metrics::Histogram>(&[(1, &HISTOGRAM_POINT)]);
static EXPONENTIAL: Message = message::<metrics::ExponentialHistogram>(&[(1, &EXPONENTIAL_POINT)]);
static SUMMARY: Message = message::<metrics::Summary>(&[(1, &SUMMARY_POINT)]);
static NUMBER_POINT: Message = record::<metrics::NumberDataPoint>(&[(7, &KEY_VALUE), (5, &EXEMPLAR)]);
static HISTOGRAM_POINT: Message = record::<metrics::HistogramDataPoint>(&[(9, &KEY_VALUE), (8, &EXEMPLAR)]);
static EXPONENTIAL_POINT: Message =
    record::<metrics::ExponentialHistogramDataPoint>(&[(1, &KEY_VALUE), (8, &BUCKETS), (9, &BUCKETS), (11, &EXEMPLAR)]);
static SUMMARY_POINT: Message = record::<metrics::SummaryDataPoint>(&[(7, &KEY_VALUE), (6, &QUANTILE)]);
static BUCKETS: Message =
    Message { leaf: GROWTH * size_of::<u64>(), ..message::<metrics::exponential_histogram_data_point::Buckets>(&[]) };
static QUANTILE: Message = message::<metrics::summary_data_point::ValueAtQuantile>(&[]);
static EXEMPLAR: Message = message::<metrics::Exemplar>(&[(7, &KEY_VALUE)]);

/// Measures a request of this signal.
pub(super) fn measure(signal: Signal, body: &[u8], size: &mut Size) -> Result<(), Refused> {
    let request = match signal {
        Signal::Traces => &TRACES,
        Signal::Logs => &LOGS,
        Signal::Metrics => &METRICS,
    };
    walk(request, body, 0, size)
}

fn walk(message: &Message, mut body: &[u8], depth: usize, size: &mut Size) -> Result<(), Refused> {
    check_depth(depth)?;
    while !body.is_empty() {
        let tag = varint(&mut body)?;
        match tag & 7 {
            0 => {
                varint(&mut body)?;
                size.add(size_of::<u64>())?;
            }
            1 => {
                take(&mut body, 8)?;
                size.add(size_of::<u64>())?;
            }
            5 => {
                take(&mut body, 4)?;
                size.add(size_of::<u32>())?;
            }
            2 => {
                let length = varint(&mut body)?;
                let inside = take(&mut body, usize::try_from(length).unwrap_or(usize::MAX))?;
                match message.fields.iter().find(|(of, _)| *of == tag >> 3) {
                    Some((_, field)) => {
                        size.add(field.bytes)?;
                        if field.is_record {
                            size.add_record()?;
                        }
                        walk(field, inside, depth + 1, size)?;
                    }
                    None => size.add(LEAF_BYTES + inside.len().saturating_mul(message.leaf))?,
                }
            }
            // Groups, which OTLP never had.
            _ => return Err(no_protobuf()),
        }
    }
    Ok(())
}

fn take<'a>(body: &mut &'a [u8], length: usize) -> Result<&'a [u8], Refused> {
    let (taken, rest) = body.split_at_checked(length).ok_or_else(no_protobuf)?;
    *body = rest;
    Ok(taken)
}

fn varint(body: &mut &[u8]) -> Result<u64, Refused> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(body, 1)? else { return Err(no_protobuf()) };
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(no_protobuf())
}

fn no_protobuf() -> Refused {
    Refused::malformed("the body is not a valid request in protobuf")
}
