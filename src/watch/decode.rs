//! The span of a Watch back into the Watch.

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use super::fact::{Fact, FactKind, When};
use super::poll::{
    ApiPoll, FilteringPoll, LogFilePoll, LogVolume, Poll, ProcessPoll, ServerPoll, SidecarPoll, Sources, StreamVolume,
};
use super::quantity::{Count, Timestamp};
use super::read::{ReadAttributes, ReadEvent, ReadSpan};
use super::record::RecordError;
use super::{Interval, Origin, WATCH_SCHEMA, Watch, names};

/// Why a span could not be read as a Watch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A span of another program.
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
    /// It would run backwards.
    #[error("the watch span ends before it starts")]
    Backwards,
    /// No hub was watched then.
    #[error("the watch span starts before the year 2000")]
    TooEarly,
    /// No sidecar makes it.
    #[error("the watch span is longer than 1 h, and an interval lasts 10 min at most")]
    TooLong,
    /// A Watch's hub and end say in which trace it is.
    #[error("the hub or the end of the watch span belongs to another trace than the one that it is in")]
    Misplaced,
    /// The span has an event of ours that this version does not know.
    #[error("the watch span has an event `{0}` that this hubwatch does not know")]
    UnknownEvent(String),
}

/// Reads the Watch that [`encode`](super::encode()) wrote. Events may come in any order, attributes that were added on the way are
/// passed over.
pub fn decode(span: &ReadSpan<'_>) -> Result<Watch, DecodeError> {
    if span.name != names::WATCH_SPAN {
        return Err(DecodeError::NotAWatch(span.name.to_string()));
    }
    let attributes = &span.attributes;
    let schema: u32 = attributes.take(names::WATCH_SCHEMA)?;
    if schema > WATCH_SCHEMA {
        return Err(DecodeError::Newer(schema));
    }
    if span.end_nanos < span.start_nanos {
        return Err(DecodeError::Backwards);
    }
    let interval = Interval::new(Timestamp::from_nanos(span.start_nanos), Timestamp::from_nanos(span.end_nanos));
    let (servers, facts) = read_events(&span.events, attributes.take(names::WATCH_EVENTS)?)?;
    Ok(Watch {
        origin: Origin::read(attributes)?,
        interval,
        sources: Sources::read(attributes)?,
        log: LogVolume::read(attributes)?,
        stream: attributes.has(names::STREAM_LINES).then(|| StreamVolume::read(attributes)).transpose()?,
        sidecar: SidecarPoll::read(attributes)?,
        poll: attributes.take::<bool>(names::WATCH_POLLED)?.then(|| read_poll(attributes, servers)).transpose()?,
        facts,
    })
}

/// The Watches among spans, and what is wrong with those watch spans that can't be read.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded {
    /// The Watches.
    pub watches: Vec<Watch>,
    /// What is wrong with the others.
    pub unreadable: Vec<DecodeError>,
}

impl Decoded {
    /// Takes a span in; one of others is passed over.
    pub fn take(&mut self, span: &ReadSpan<'_>) {
        if span.name != names::WATCH_SPAN {
            return;
        }
        match decode(span) {
            Ok(watch) => self.watches.push(watch),
            Err(error) => self.unreadable.push(error),
        }
    }

    /// Of spans as the OTLP library has them.
    pub fn of(spans: &[ResourceSpans]) -> Self {
        let mut decoded = Self::default();
        let spans = spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        // What is no Watch is not looked at further.
        spans.filter(|span| span.name == names::WATCH_SPAN).for_each(|span| decoded.take(&span.into()));
        decoded
    }
}

fn read_poll(attributes: &ReadAttributes<'_>, servers: Vec<ServerPoll>) -> Result<Poll, RecordError> {
    Ok(Poll {
        api: ApiPoll::read(attributes)?,
        process: attributes.has(names::PROCESS_PID).then(|| ProcessPoll::read(attributes)).transpose()?,
        log_file: attributes.has(names::LOG_SIZE).then(|| LogFilePoll::read(attributes)).transpose()?,
        filtering: attributes.has(names::FILTERING_OUTCOME).then(|| FilteringPoll::read(attributes)).transpose()?,
        servers,
    })
}

/// The number of events that were written is absent in spans of the first versions.
fn read_events(events: &[ReadEvent<'_>], written: Option<Count>) -> Result<(Vec<ServerPoll>, Vec<Fact>), DecodeError> {
    let mut ours: Vec<(Count, &ReadEvent<'_>)> = Vec::with_capacity(events.len());
    for event in events.iter().filter(|event| event.attributes.has(names::EVENT_INDEX)) {
        let index = event.attributes.take(names::EVENT_INDEX).map_err(|error| of_event(event, error))?;
        ours.push((index, event));
    }
    ours.sort_by_key(|(index, _)| *index);
    let found = ours.len() as u64;
    let written = written.map_or(found, Count::get);
    if found != written || ours.iter().zip(0..).any(|((index, _), place)| index.get() != place) {
        return Err(DecodeError::EventsMissing { written, found });
    }
    let (mut servers, mut facts) = (Vec::new(), Vec::with_capacity(ours.len()));
    for (_, event) in ours {
        if event.name == names::SERVER_EVENT {
            servers.push(ServerPoll::read(&event.attributes).map_err(|error| of_event(event, error))?);
        } else {
            facts.push(read_fact(event)?);
        }
    }
    Ok((servers, facts))
}

fn read_fact(event: &ReadEvent<'_>) -> Result<Fact, DecodeError> {
    let attributes = &event.attributes;
    let unknown = || DecodeError::UnknownEvent(event.name.to_string());
    let read = || {
        let (id, source) = (attributes.take(names::FACT_ID)?, attributes.take(names::FACT_SOURCE)?);
        let when = read_when(event)?;
        FactKind::read(&event.name, attributes).transpose().map(|kind| kind.map(|kind| Fact { id, when, source, kind }))
    };
    read().map_err(|error| of_event(event, error))?.ok_or_else(unknown)
}

fn read_when(event: &ReadEvent<'_>) -> Result<When, RecordError> {
    let attributes = &event.attributes;
    if let Some(earliest) = attributes.take(names::FACT_EARLIEST)? {
        return Ok(When::between(earliest, attributes.take(names::FACT_LATEST)?));
    }
    let own: Option<Timestamp> = attributes.take(names::FACT_AT)?;
    Ok(When::At(own.unwrap_or(Timestamp::from_nanos(event.nanos))))
}

fn of_event(event: &ReadEvent<'_>, error: RecordError) -> DecodeError {
    DecodeError::Event { name: event.name.to_string(), error }
}
