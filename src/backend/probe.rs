//! Probe traces: shaped like those of a watch, written by `hubwatch doctor` and read back, to see what becomes of them on the way.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::Trace;
use crate::watch::{self, Attributes, Count, MAX_TEXT_BYTES, Micros, ReadAttributes, SpanId, Text, Timestamp, TraceId, names};

/// The spans' name: a sampler that keeps the watch keeps it, too (`otel-config/collector/tail-sampling.yaml`).
pub const PROBE_SPAN: &str = "hubwatch.probe";

/// How long a probe span lasts, as a Watch does.
const LENGTH: Micros = Micros::new(15_000_000);

/// The names of a probe's attributes; a few of each type that Watches have.
const TEXT: &str = "hubwatch.probe.text";
const NUMBER: &str = "hubwatch.probe.number";
const FLAG: &str = "hubwatch.probe.flag";

/// A number that a backend which keeps numbers as floating point would change.
const ODD_NUMBER: Count = Count::new((1 << 53) + 1);

/// A trace to be written and read back.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Its id.
    pub id: TraceId,
    /// When its spans end.
    pub at: Timestamp,
    /// How many spans it has.
    pub spans: u32,
    /// How many events each has, with a text of the greatest length.
    pub events: u32,
}

/// What a backend did to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Not all spans came back.
    Spans {
        /// How many did.
        came: u32,
        /// How many were written.
        of: u32,
    },
    /// Not all events of a span came back.
    Events {
        /// How many did.
        came: u32,
        /// How many were written.
        of: u32,
    },
    /// A text came back shorter.
    Text {
        /// How many bytes are left of it.
        came: usize,
        /// How many it had.
        of: usize,
    },
    /// A number or a flag came back as something else.
    Value(&'static str),
    /// A time came back as another.
    Time,
}

impl Probe {
    /// A probe of this size. Each run of the doctor has its own seed, and each of its probes its own number.
    pub fn new(seed: u64, number: u32, at: Timestamp, spans: u32, events: u32) -> Self {
        Self { id: TraceId::of_probe(seed, number), at, spans, events }
    }

    /// The request that writes it.
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

    /// What is different in what came back.
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

/// As long as the longest text of a Watch.
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
    fn what_comes_back_as_it_was_has_no_difference() {
        assert_eq!(changed(|_| ()), []);
    }

    #[test]
    fn whatever_a_backend_changes_is_seen() {
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
