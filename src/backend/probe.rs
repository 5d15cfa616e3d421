//! Probe traces, shaped like those of a watch: `hubwatch doctor` writes them and reads them back, to detect changes on the way.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::Trace;
use crate::watch::{self, Attributes, Count, MAX_TEXT_BYTES, Micros, ReadAttributes, SpanId, Text, Timestamp, TraceId, names};

/// The name of probe spans. A sampler that keeps watch spans keeps these as well (`otel-config/collector/tail-sampling.yaml`).
pub const PROBE_SPAN: &str = "hubwatch.probe";

/// Duration of a probe span, as of a Watch.
const LENGTH: Micros = Micros::new(15_000_000);

/// Attributes of a probe, one of each type that Watches have.
const TEXT: &str = "hubwatch.probe.text";
const NUMBER: &str = "hubwatch.probe.number";
const FLAG: &str = "hubwatch.probe.flag";

/// A number that does not fit a floating-point number, to detect backends that convert.
const ODD_NUMBER: Count = Count::new((1 << 53) + 1);

/// A trace to write and read back.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Its id.
    pub id: TraceId,
    /// End of its spans.
    pub at: Timestamp,
    /// Number of spans.
    pub spans: u32,
    /// Events of each span, with texts of maximum length.
    pub events: u32,
}

/// A change that a backend made to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Spans are missing.
    Spans {
        /// Number read back.
        came: u32,
        /// Number written.
        of: u32,
    },
    /// Events of a span are missing.
    Events {
        /// Number read back.
        came: u32,
        /// Number written.
        of: u32,
    },
    /// A text is shorter.
    Text {
        /// Bytes read back.
        came: usize,
        /// Bytes written.
        of: usize,
    },
    /// A number or a flag has changed.
    Value(&'static str),
    /// A time has changed.
    Time,
}

impl Probe {
    /// Creates a probe of this size. Each run of the doctor has its own seed, and each of its probes its own number.
    pub fn new(seed: u64, number: u32, at: Timestamp, spans: u32, events: u32) -> Self {
        Self { id: TraceId::of_probe(seed, number), at, spans, events }
    }

    /// Returns the export request that writes it.
    pub fn request(&self) -> ExportTraceServiceRequest {
        let mut resource = Attributes::default();
        resource.put(names::SERVICE_NAME, &Text::from("hubwatch-doctor"));
        let resource = Some(Resource { attributes: resource.into_inner(), ..Resource::default() });
        let spans = (0..self.spans).map(|index| self.span(index)).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(watch::scope()), spans, ..ScopeSpans::default() }];
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }] }
    }

    fn span(&self, index: u32) -> Span {
        let attributes = |text: Text| {
            let mut attributes = Attributes::default();
            attributes.put(TEXT, &text);
            attributes.put(NUMBER, &ODD_NUMBER);
            attributes.put(FLAG, &true);
            attributes.into_inner()
        };
        let event = |at| Event {
            time_unix_nano: at,
            name: PROBE_SPAN.to_owned(),
            attributes: attributes(longest_text()),
            ..Event::default()
        };
        Span {
            trace_id: self.id.as_bytes().to_vec(),
            span_id: SpanId::of_probe(self.id, index).as_bytes().to_vec(),
            name: PROBE_SPAN.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.at.minus(LENGTH).as_nanos(),
            end_time_unix_nano: self.at.as_nanos(),
            attributes: attributes(longest_text()),
            events: (0..self.events).map(|_| event(self.at.as_nanos())).collect(),
            ..Span::default()
        }
    }

    /// Returns the differences between the probe and the trace read back.
    pub fn compare(&self, trace: &Trace) -> Vec<Difference> {
        let spans = trace.spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        let mut spans: Vec<&Span> = spans.filter(|span| span.name == PROBE_SPAN).collect();
        spans.sort_by_key(|span| &span.span_id);
        spans.dedup_by_key(|span| &span.span_id);
        let mut differences = Vec::new();
        let came = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        if came != self.spans {
            differences.push(Difference::Spans { came, of: self.spans });
        }
        for span in spans {
            self.compare_span(span, &mut differences);
        }
        differences.dedup();
        differences
    }

    fn compare_span(&self, span: &Span, differences: &mut Vec<Difference>) {
        let events = u32::try_from(span.events.len()).unwrap_or(u32::MAX);
        if events < self.events {
            differences.push(Difference::Events { came: events, of: self.events });
        }
        let times = (span.start_time_unix_nano, span.end_time_unix_nano);
        let event_times = span.events.iter().all(|event| event.time_unix_nano == self.at.as_nanos());
        if times != (self.at.minus(LENGTH).as_nanos(), self.at.as_nanos()) || !event_times {
            differences.push(Difference::Time);
        }
        for attributes in std::iter::once(&span.attributes).chain(span.events.iter().map(|event| &event.attributes)) {
            let attributes = ReadAttributes::from(attributes.as_slice());
            let came = attributes.take::<Text>(TEXT).map_or(0, |text| text.as_str().len());
            if came != longest_text().as_str().len() {
                differences.push(Difference::Text { came, of: longest_text().as_str().len() });
            }
            if attributes.take::<Count>(NUMBER) != Ok(ODD_NUMBER) {
                differences.push(Difference::Value("number"));
            }
            if attributes.take::<bool>(FLAG) != Ok(true) {
                differences.push(Difference::Value("flag"));
            }
        }
    }
}

/// Returns a text of the maximum length in a Watch.
fn longest_text() -> Text {
    Text::new("x".repeat(MAX_TEXT_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: impl FnOnce(&mut Span)) -> Vec<Difference> {
        let probe = Probe::new(1, 2, Timestamp::from_secs(1_795_000_000), 3, 2);
        let mut spans = probe.request().resource_spans;
        change(&mut spans[0].scope_spans[0].spans[1]);
        probe.compare(&Trace { spans, partial: None })
    }

    #[test]
    fn an_unchanged_probe_has_no_difference() {
        assert_eq!(changed(|_| ()), []);
    }

    #[test]
    fn each_change_by_a_backend_is_detected() {
        assert_eq!(changed(|span| span.name.clear()), [Difference::Spans { came: 2, of: 3 }]);
        assert_eq!(changed(|span| drop(span.events.pop())), [Difference::Events { came: 1, of: 2 }]);
        assert_eq!(changed(|span| span.end_time_unix_nano += 1), [Difference::Time]);
        assert_eq!(changed(|span| drop(span.attributes.remove(0))), [Difference::Text { came: 0, of: 1024 }]);
        assert_eq!(changed(|span| drop(span.events[0].attributes.remove(1))), [Difference::Value("number")]);
    }

    #[test]
    fn a_probe_of_another_run_has_another_id() {
        assert_ne!(TraceId::of_probe(1, 2), TraceId::of_probe(2, 2));
        assert_ne!(TraceId::of_probe(1, 2), TraceId::of_probe(1, 3));
    }
}
