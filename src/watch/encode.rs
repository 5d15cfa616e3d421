//! A Watch as one wide OTLP span.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::fact::{Fact, When};
use super::poll::{Poll, ServerPoll};
use super::quantity::{Count, Timestamp};
use super::record::Attributes;
use super::{Interval, Origin, Text, WATCH_SCHEMA, Watch, names};

/// The Watch as a span. Flat scalars and events only; every event lies inside the span, and a fact that was learned late keeps
/// its own time as an attribute.
pub fn encode(watch: &Watch) -> Span {
    let mut attributes = Attributes::default();
    attributes.put(names::WATCH_SCHEMA, &WATCH_SCHEMA);
    watch.origin.write(&mut attributes);
    watch.sources.write(&mut attributes);
    watch.log.write(&mut attributes);
    if let Some(stream) = &watch.stream {
        stream.write(&mut attributes);
    }
    watch.sidecar.write(&mut attributes);
    attributes.put(names::WATCH_POLLED, &watch.poll.is_some());
    let mut events = Vec::with_capacity(watch.facts.len() + 4);
    if let Some(poll) = &watch.poll {
        write_poll(poll, &mut attributes);
        events.extend(poll.servers.iter().map(|server| (names::SERVER_EVENT, watch.interval.end(), server_attributes(server))));
    }
    events.extend(watch.facts.iter().map(|fact| fact_event(fact, watch.interval)));
    // Backends and what lies before them may keep only the first so many events of a span, and say nothing.
    attributes.put(names::WATCH_EVENTS, &Count::new(events.len() as u64));
    Span {
        trace_id: watch.trace_id().as_bytes().to_vec(),
        span_id: watch.origin.span_id().as_bytes().to_vec(),
        name: names::WATCH_SPAN.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: watch.interval.start().as_nanos(),
        end_time_unix_nano: watch.interval.end().as_nanos(),
        attributes: attributes.into_inner(),
        events: events.into_iter().enumerate().map(numbered).collect(),
        ..Span::default()
    }
}

fn write_poll(poll: &Poll, to: &mut Attributes) {
    poll.api.write(to);
    if let Some(process) = &poll.process {
        process.write(to);
    }
    if let Some(log_file) = &poll.log_file {
        log_file.write(to);
    }
    if let Some(filtering) = &poll.filtering {
        filtering.write(to);
    }
}

fn server_attributes(server: &ServerPoll) -> Attributes {
    let mut attributes = Attributes::default();
    server.write(&mut attributes);
    attributes
}

fn fact_event(fact: &Fact, interval: Interval) -> (&'static str, Timestamp, Attributes) {
    let mut attributes = Attributes::default();
    attributes.put(names::FACT_ID, &fact.id);
    attributes.put(names::FACT_SOURCE, &fact.source);
    let inside = interval.clamp(fact.when.latest());
    match fact.when {
        When::At(at) if at == inside => {}
        When::At(at) => attributes.put(names::FACT_AT, &at),
        When::Between { earliest, latest } => {
            attributes.put(names::FACT_EARLIEST, &earliest);
            attributes.put(names::FACT_LATEST, &latest);
        }
    }
    fact.kind.write(&mut attributes);
    (fact.kind.name(), inside, attributes)
}

/// The index keeps the order of events within one microsecond, and distinguishes ours from those that a backend adds.
fn numbered((index, (name, at, mut attributes)): (usize, (&str, Timestamp, Attributes))) -> Event {
    attributes.put(names::EVENT_INDEX, &Count::new(index as u64));
    Event { time_unix_nano: at.as_nanos(), name: name.to_owned(), attributes: attributes.into_inner(), ..Event::default() }
}

/// The resource of a hub: whose telemetry it is.
pub fn resource(origin: &Origin) -> Resource {
    let mut attributes = Attributes::default();
    attributes.put(names::SERVICE_NAME, &Text::from(names::HUB_SERVICE));
    attributes.put(names::SERVICE_INSTANCE_ID, &Text::from(&origin.hub));
    attributes.put(names::DEPLOYMENT_ENVIRONMENT_NAME, &origin.environment);
    attributes.put(names::SERVICE_VERSION, &origin.build);
    Resource { attributes: attributes.into_inner(), ..Resource::default() }
}

/// The resource of the sidecar itself: whose own figures they are.
pub fn own_resource(origin: &Origin) -> Resource {
    let mut attributes = Attributes::default();
    attributes.put(names::SERVICE_NAME, &Text::from(names::OWN_SERVICE));
    attributes.put(names::SERVICE_INSTANCE_ID, &Text::new(origin.watcher.to_string()));
    attributes.put(names::SERVICE_VERSION, &origin.tool_version);
    attributes.put(names::DEPLOYMENT_ENVIRONMENT_NAME, &origin.environment);
    attributes.put(names::WATCH_HUB, &origin.hub);
    Resource { attributes: attributes.into_inner(), ..Resource::default() }
}

/// Spans of one hub as the request that OTLP receivers take. Two such requests' bytes, one after the other, are again one.
pub fn request_of(origin: &Origin, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(origin)),
            scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, schema_url: names::SCHEMA_URL.to_owned() }],
            schema_url: names::SCHEMA_URL.to_owned(),
        }],
    }
}

/// The instrumentation scope of everything that hubwatch says.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: names::SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
