//! Splits a request, because the receiver finds it too large, or to find the record that it rejects.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use crate::journal::Signal;

/// A part of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// An encoded request.
    pub otlp: Vec<u8>,
    /// Number of records.
    pub records: u64,
}

/// Splits a request in two; returns `None` if it holds fewer than two records or can't be decoded.
pub(super) fn halves(signal: Signal, otlp: &[u8]) -> Option<[Piece; 2]> {
    match signal {
        Signal::Traces => {
            let whole = ExportTraceServiceRequest::decode(otlp).ok()?;
            let lengths = whole.resource_spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len());
            cut(&whole, lengths.sum(), |half, keep| {
                for scope in half.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans) {
                    keep.of(&mut scope.spans);
                }
                half.resource_spans.iter_mut().for_each(|resource| resource.scope_spans.retain(|scope| !scope.spans.is_empty()));
                half.resource_spans.retain(|resource| !resource.scope_spans.is_empty());
            })
        }
        Signal::Logs => {
            let whole = ExportLogsServiceRequest::decode(otlp).ok()?;
            let lengths = whole.resource_logs.iter().flat_map(|resource| &resource.scope_logs).map(|scope| scope.log_records.len());
            cut(&whole, lengths.sum(), |half, keep| {
                for scope in half.resource_logs.iter_mut().flat_map(|resource| &mut resource.scope_logs) {
                    keep.of(&mut scope.log_records);
                }
                half.resource_logs
                    .iter_mut()
                    .for_each(|resource| resource.scope_logs.retain(|scope| !scope.log_records.is_empty()));
                half.resource_logs.retain(|resource| !resource.scope_logs.is_empty());
            })
        }
        Signal::Metrics => {
            let whole = ExportMetricsServiceRequest::decode(otlp).ok()?;
            let lengths =
                whole.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics).map(|scope| scope.metrics.len());
            cut(&whole, lengths.sum(), |half, keep| {
                for scope in half.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics) {
                    keep.of(&mut scope.metrics);
                }
                half.resource_metrics
                    .iter_mut()
                    .for_each(|resource| resource.scope_metrics.retain(|scope| !scope.metrics.is_empty()));
                half.resource_metrics.retain(|resource| !resource.scope_metrics.is_empty());
            })
        }
    }
}

/// The range of records to keep, counted over all lists of a request.
struct Keep {
    from: usize,
    to: usize,
    seen: usize,
}

impl Keep {
    fn of<T>(&mut self, list: &mut Vec<T>) {
        let (from, to) = (self.from.saturating_sub(self.seen), self.to.saturating_sub(self.seen));
        self.seen += list.len();
        list.truncate(to);
        list.drain(..from.min(list.len()));
    }
}

fn cut<M: prost::Message + Clone>(whole: &M, records: usize, take: impl Fn(&mut M, &mut Keep)) -> Option<[Piece; 2]> {
    let middle = records / 2;
    let piece = |from, to| {
        let mut half = whole.clone();
        take(&mut half, &mut Keep { from, to, seen: 0 });
        Piece { otlp: half.encode_to_vec(), records: (to - from) as u64 }
    };
    (middle > 0).then(|| [piece(0, middle), piece(middle, records)])
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use proptest::prelude::*;

    use super::*;

    fn request(lists: &[usize]) -> ExportLogsServiceRequest {
        let mut number = 0;
        let mut list = |length: usize| {
            let records = (0..length).map(|_| {
                number += 1;
                LogRecord { time_unix_nano: number, ..LogRecord::default() }
            });
            let log_records = records.collect();
            ResourceLogs { scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }], ..ResourceLogs::default() }
        };
        ExportLogsServiceRequest { resource_logs: lists.iter().map(|length| list(*length)).collect() }
    }

    fn numbers(otlp: &[u8]) -> Vec<u64> {
        let request = ExportLogsServiceRequest::decode(otlp).unwrap();
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        scopes.flat_map(|scope| scope.log_records).map(|record| record.time_unix_nano).collect()
    }

    proptest! {
        #[test]
        fn both_halves_together_hold_all_records(lists in proptest::collection::vec(0..5usize, 0..5)) {
            let whole = request(&lists).encode_to_vec();
            let all = numbers(&whole);
            match halves(Signal::Logs, &whole) {
                None => prop_assert!(all.len() < 2),
                Some([one, other]) => {
                    prop_assert_eq!([numbers(&one.otlp), numbers(&other.otlp)].concat(), all);
                    prop_assert_eq!(numbers(&one.otlp).len() as u64, one.records);
                    prop_assert_eq!(numbers(&other.otlp).len() as u64, other.records);
                    prop_assert!(one.records > 0 && other.records > 0);
                }
            }
        }
    }
}
