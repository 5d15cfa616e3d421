//! Measures a request in JSON: reads its brackets, its commas and the keys before them, and decodes nothing.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::trace::v1 as trace;

use super::{Size, check_depth};
use crate::journal::Signal;
use crate::receive::refused::Refused;

/// A growing list has up to twice its size.
const GROWTH: usize = 2;

/// What one item of a list takes at least: a number or a text.
const ITEM_BYTES: usize = GROWTH * size_of::<String>();

/// What each item of a metric takes beside: the decoder holds a metric's content as a tree before it knows its kind.
const TREE_BYTES: usize = 2 * GROWTH * size_of::<String>();

/// What an object takes whose key is none of OTLP's: the decoder skips it.
const OTHER_BYTES: usize = 64;

/// Returns the bytes of an object below this key, and whether it is a record.
fn object(key: &[u8]) -> (usize, bool) {
    let (bytes, is_record) = match key {
        b"spans" => (size_of::<trace::Span>(), true),
        b"logRecords" => (size_of::<logs::LogRecord>(), true),
        b"dataPoints" => (size_of::<metrics::ExponentialHistogramDataPoint>(), true),
        b"events" => (size_of::<trace::span::Event>(), false),
        b"links" => (size_of::<trace::span::Link>(), false),
        b"exemplars" => (size_of::<metrics::Exemplar>(), false),
        b"metrics" => (size_of::<metrics::Metric>(), false),
        b"attributes" | b"filteredAttributes" | b"values" | b"metadata" => (size_of::<common::KeyValue>(), false),
        b"resourceSpans" | b"resourceLogs" | b"resourceMetrics" | b"scopeSpans" | b"scopeLogs" | b"scopeMetrics" => {
            (size_of::<metrics::ResourceMetrics>() + size_of::<trace::ResourceSpans>(), false)
        }
        b"entityRefs" => (size_of::<common::EntityRef>(), false),
        // A part of the object around it.
        b"value" | b"arrayValue" | b"kvlistValue" | b"resource" | b"scope" | b"status" | b"body" => (0, false),
        _ => (OTHER_BYTES, false),
    };
    (GROWTH * bytes, is_record)
}

/// Measures a request of this signal. What is no JSON is found by the decoder.
pub(super) fn measure(signal: Signal, body: &[u8], size: &mut Size) -> Result<(), Refused> {
    let tree = if signal == Signal::Metrics { TREE_BYTES } else { 0 };
    // The key of each open bracket.
    let mut open: Vec<&[u8]> = Vec::new();
    let (mut text, mut key): (&[u8], &[u8]) = (b"", b"");
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let end = end_of_string(body, at);
                text = &body[at..end];
                size.add(text.len())?;
                at = end + 1;
            }
            b':' => key = text,
            b'{' | b'[' => {
                // The objects of a list stand below the list's key.
                let of = if key.is_empty() { open.last().copied().unwrap_or(b"") } else { key };
                if *byte == b'{' {
                    let (bytes, is_record) = object(of);
                    size.add(bytes + tree)?;
                    if is_record {
                        size.add_record()?;
                    }
                } else {
                    size.add(ITEM_BYTES + tree)?;
                }
                open.push(of);
                check_depth(open.len())?;
                key = b"";
            }
            b'}' | b']' => {
                open.pop();
                key = b"";
            }
            b',' => {
                size.add(ITEM_BYTES / 2 + tree)?;
                key = b"";
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the place of the quote that ends a string.
fn end_of_string(body: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        match memchr::memchr2(b'"', b'\\', &body[at.min(body.len())..]) {
            None => return body.len(),
            Some(found) if body[at + found] == b'"' => return at + found,
            Some(found) => at += found + 2,
        }
    }
}
