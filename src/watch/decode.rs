//! The span of a Watch back into the Watch.

use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};

use super::fact::{Fact, FactKind, When};
use super::poll::{
    ApiPoll, FilteringPoll, LogFilePoll, LogVolume, Poll, ProcessPoll, ServerPoll, SidecarPoll, Sources, StreamVolume,
};
use super::quantity::{Count, Timestamp};
use super::record::{Attributes, RecordError};
use super::{Interval, Origin, WATCH_SCHEMA, Watch, names};

/// Why a span could not be read as a Watch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is somebody else's span.
    #[error("the span `{0}` is not a watch span")]
    NotAWatch(String),
    /// A newer hubwatch wrote it.
    #[error("the watch span has schema {0}, this hubwatch reads {WATCH_SCHEMA}: use the hubwatch that wrote it, or a newer one")]
    Newer(u32),
    /// An attribute of the span is not as it was written.
    #[error("the watch span was changed on its way: {0}")]
    Span(#[from] RecordError),
    /// An event of the span is not as it was written.
    #[error("the event `{name}` of a watch span was changed on its way: {error}")]
    Event {
        /// The event's name.
        name: String,
        /// What is wrong with it.
        error: RecordError,
    },
    /// Events that it was written with are not in it.
    #[error("the watch span has {found} of its {written} events: a limit on events on its way or in the backend cut it")]
    EventsMissing {
        /// How many it was written with.
        written: u64,
        /// How many are there.
        found: u64,
    },
    /// The span has an event of ours that this version does not know.
    #[error("the watch span has an event `{0}` that this hubwatch does not know")]
    UnknownEvent(String),
}

/// Reads the Watch that [`encode`](super::encode()) wrote. Events may come in any order, attributes that were added on the way are
/// passed over.
pub fn decode(span: Span) -> Result<Watch, DecodeError> {
    if span.name != names::WATCH_SPAN {
        return Err(DecodeError::NotAWatch(span.name));
    }
    let attributes = Attributes::from(span.attributes);
    let schema: u32 = attributes.take(names::WATCH_SCHEMA)?;
    if schema > WATCH_SCHEMA {
        return Err(DecodeError::Newer(schema));
    }
    let interval = Interval::new(
        Timestamp::from_nanos(span.start_time_unix_nano), //
        Timestamp::from_nanos(span.end_time_unix_nano),
    );
    let (servers, facts) = read_events(span.events, attributes.take(names::WATCH_EVENTS)?)?;
    Ok(Watch {
        origin: Origin::read(&attributes)?,
        interval,
        sources: Sources::read(&attributes)?,
        log: LogVolume::read(&attributes)?,
        stream: attributes.has(names::STREAM_LINES).then(|| StreamVolume::read(&attributes)).transpose()?,
        sidecar: SidecarPoll::read(&attributes)?,
        poll: attributes.take::<bool>(names::WATCH_POLLED)?.then(|| read_poll(&attributes, servers)).transpose()?,
        facts,
    })
}

/// Every Watch of a trace, and what is wrong with the watch spans that can't be read. Spans of others are passed over.
pub fn decode_all(spans: Vec<ResourceSpans>) -> (Vec<Watch>, Vec<DecodeError>) {
    let spans = spans.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
    let mut watches = Vec::new();
    let mut errors = Vec::new();
    for span in spans.filter(|span| span.name == names::WATCH_SPAN) {
        match decode(span) {
            Ok(watch) => watches.push(watch),
            Err(error) => errors.push(error),
        }
    }
    (watches, errors)
}

fn read_poll(attributes: &Attributes, servers: Vec<ServerPoll>) -> Result<Poll, RecordError> {
    Ok(Poll {
        api: ApiPoll::read(attributes)?,
        process: attributes.has(names::PROCESS_PID).then(|| ProcessPoll::read(attributes)).transpose()?,
        log_file: attributes.has(names::LOG_SIZE).then(|| LogFilePoll::read(attributes)).transpose()?,
        filtering: attributes.has(names::FILTERING_OUTCOME).then(|| FilteringPoll::read(attributes)).transpose()?,
        servers,
    })
}

/// The number of events that were written is absent in spans of the first versions.
fn read_events(events: Vec<Event>, written: Option<Count>) -> Result<(Vec<ServerPoll>, Vec<Fact>), DecodeError> {
    let mut ours: Vec<(Count, Event, Attributes)> = Vec::with_capacity(events.len());
    for mut event in events {
        let attributes = Attributes::from(std::mem::take(&mut event.attributes));
        if attributes.has(names::EVENT_INDEX) {
            let index = attributes.take(names::EVENT_INDEX).map_err(|error| of_event(&event, error))?;
            ours.push((index, event, attributes));
        }
    }
    ours.sort_by_key(|(index, ..)| *index);
    let found = ours.len() as u64;
    let written = written.map_or(found, Count::get);
    if found != written || ours.iter().zip(0..).any(|((index, ..), place)| index.get() != place) {
        return Err(DecodeError::EventsMissing { written, found });
    }
    let mut servers = Vec::new();
    let mut facts = Vec::new();
    for (_, event, attributes) in &ours {
        if event.name == names::SERVER_EVENT {
            servers.push(ServerPoll::read(attributes).map_err(|error| of_event(event, error))?);
        } else {
            facts.push(read_fact(event, attributes)?);
        }
    }
    Ok((servers, facts))
}

fn read_fact(event: &Event, attributes: &Attributes) -> Result<Fact, DecodeError> {
    let kind = FactKind::read(&event.name, attributes).ok_or_else(|| DecodeError::UnknownEvent(event.name.clone()))?;
    let read = || {
        Ok(Fact {
            id: attributes.take(names::FACT_ID)?,
            when: read_when(event, attributes)?,
            source: attributes.take(names::FACT_SOURCE)?,
            kind: kind?,
        })
    };
    read().map_err(|error| of_event(event, error))
}

fn read_when(event: &Event, attributes: &Attributes) -> Result<When, RecordError> {
    if let Some(earliest) = attributes.take(names::FACT_EARLIEST)? {
        return Ok(When::between(earliest, attributes.take(names::FACT_LATEST)?));
    }
    let own: Option<Timestamp> = attributes.take(names::FACT_AT)?;
    Ok(When::At(own.unwrap_or(Timestamp::from_nanos(event.time_unix_nano))))
}

fn of_event(event: &Event, error: RecordError) -> DecodeError {
    DecodeError::Event { name: event.name.clone(), error }
}
