//! The waist of the hourglass: everything that hubwatch learns about a hub becomes a [`Watch`], and everything that it says about a
//! hub is judged from Watches.
//!
//! A Watch is one interval of watching one hub. [`encode`] turns it into one wide OTLP span and [`decode`] turns that span back
//! into the same Watch, so a trace backend that can find a trace by its id is all that a report needs.

mod amend;
mod counts;
mod decode;
mod drops;
mod encode;
mod fact;
mod histogram;
mod ids;
mod log_record;
mod metrics;
pub mod names;
mod operation;
mod poll;
mod quantity;
mod read;
mod receipts;
pub(crate) mod record;
mod sight;
mod text;

pub use amend::amend;
pub use counts::Counts;
pub use decode::{DecodeError, Decoded, decode};
pub use drops::{DropReason, DroppedKind, Drops};
pub use encode::{encode, own_resource, request_of, resource, scope};
pub use fact::*;
pub use histogram::Histogram;
pub use ids::*;
pub use log_record::{LineRecord, LogBatch, LogRequest, RecordForm};
pub use metrics::{Expected, Metrics, MetricsRequests};
pub use operation::{Operation, OperationKind, operations};
pub use poll::*;
pub use quantity::{Bytes, Count, Micros, Timestamp};
pub use read::{JsonTraces, ReadAttributes, ReadEvent, ReadSpan, Scalar, WireError, spans_of_request};
pub use receipts::{Carrier, Received, ReceivedKind, Refusal, Refused};
pub use record::{Attributes, RecordError};
pub use sight::{Aspect, Sight, Visible};
pub use text::{CUT_MARK, MAX_TEXT_BYTES, Text};

use record::record;
pub(crate) use record::terms;

/// The version of the form that [`encode`] writes. A change that an older `decode` would misread makes it one more.
pub const WATCH_SCHEMA: u32 = 1;

record! {
    /// Whose interval it is, and its place in the order of Watches.
    pub struct Origin {
        /// The hub under watch.
        pub hub: HubName = names::WATCH_HUB,
        /// Where that hub runs.
        pub environment: Environment = names::WATCH_ENVIRONMENT,
        /// Who watches.
        pub watcher: WatcherId = names::WATCH_WATCHER,
        /// Which run of this watcher.
        pub run: u32 = names::WATCH_RUN,
        /// Which Watch of this run; without a gap unless something was lost.
        pub sequence: Count = names::WATCH_SEQUENCE,
        /// Under which of the slot's trace ids it is filed.
        pub part: u32 = names::WATCH_PART,
        /// The version of hubwatch that made it.
        pub tool_version: Text = names::WATCH_TOOL_VERSION,
        /// The build under test, if it is configured.
        pub build: Option<Text> = names::WATCH_BUILD,
        /// How often the hub is polled.
        pub interval: Micros = names::WATCH_INTERVAL,
    }
}

impl Origin {
    /// The id of the Watch's span.
    pub fn span_id(&self) -> SpanId {
        SpanId::of_watch(self.watcher, self.run, self.sequence)
    }

    /// The order in which the judge takes Watches.
    pub fn order(&self) -> (WatcherId, u32, Count) {
        (self.watcher, self.run, self.sequence)
    }
}

/// An interval that does not run backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    start: Timestamp,
    end: Timestamp,
}

impl Interval {
    /// From `start` to `end`; an end before the start is moved to it.
    pub fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Where it begins: the end of the run's Watch before, unless the clock jumped.
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// Where it ends.
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// Its length.
    pub const fn length(self) -> Micros {
        self.end.since(self.start)
    }

    /// The nearest instant inside.
    pub fn clamp(self, at: Timestamp) -> Timestamp {
        at.clamp(self.start, self.end)
    }
}

#[cfg(test)]
impl proptest::arbitrary::Arbitrary for Interval {
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        any::<(Timestamp, Timestamp)>().prop_map(|(one, other)| Self::new(one.min(other), one.max(other))).boxed()
    }
}

/// One interval of watching one hub.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Watch {
    /// Whose interval it is.
    pub origin: Origin,
    /// From when to when.
    pub interval: Interval,
    /// How far each source was read.
    pub sources: Sources,
    /// What was read from the log.
    pub log: LogVolume,
    /// What was read from the event stream; absent while it is not joined.
    #[cfg_attr(test, proptest(strategy = "proptest::option::of(proptest::arbitrary::any::<StreamVolume>())"))]
    pub stream: Option<StreamVolume>,
    /// What the sidecar could not read, keep or send.
    pub sidecar: SidecarPoll,
    /// What the hub is at the interval's end; absent when the interval closed early because of many facts.
    pub poll: Option<Poll>,
    /// What happened, in the order in which it was learned.
    #[cfg_attr(test, proptest(strategy = "proptest::collection::vec(proptest::arbitrary::any::<Fact>(), 0..12)"))]
    pub facts: Vec<Fact>,
}

impl Watch {
    /// The slot whose trace the Watch belongs to.
    pub fn slot(&self) -> Slot {
        Slot::of(self.interval.end())
    }

    /// The id of that trace.
    pub fn trace_id(&self) -> TraceId {
        self.slot().trace_id(&self.origin.hub, &self.origin.environment, self.origin.part)
    }

    /// The Watch as a clock would have dated it that was ahead of its own by so many microseconds. What is older than a clock's jump keeps
    /// the time that it was recorded with: the lines of a storm and the starts of calls.
    #[must_use]
    pub fn shifted(&self, by: i64) -> Self {
        let moved = |at: &mut Timestamp| *at = at.shifted(by);
        let mut watch = self.clone();
        watch.interval = Interval::new(watch.interval.start.shifted(by), watch.interval.end.shifted(by));
        watch.sources.log_read_to.iter_mut().for_each(moved);
        for fact in &mut watch.facts {
            match &mut fact.when {
                When::At(at) => moved(at),
                When::Between { earliest, latest } => [earliest, latest].into_iter().for_each(moved),
            }
        }
        let Some(poll) = &mut watch.poll else { return watch };
        poll.api.started.iter_mut().for_each(moved);
        poll.process.iter_mut().for_each(|process| moved(&mut process.started));
        poll.servers.iter_mut().filter_map(|server| server.child_started.as_mut()).for_each(moved);
        watch
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn whole(watch: Watch) -> Decoded {
        Decoded { watches: vec![watch], unreadable: vec![] }
    }

    proptest! {
        #[test]
        fn decode_gives_back_what_encode_was_given_through_protobuf(watch: Watch) {
            let bytes = request_of(&watch.origin, vec![encode(&watch)]).encode_to_vec();
            let mut borrowed = Decoded::default();
            spans_of_request(&bytes, |span| borrowed.take(&span)).unwrap();
            prop_assert_eq!(borrowed, whole(watch.clone()));
            let request = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
            prop_assert_eq!(Decoded::of(&request.resource_spans), whole(watch));
        }

        #[test]
        fn decode_gives_back_what_encode_was_given_through_otlp_json(watch: Watch) {
            let json = serde_json::to_vec(&request_of(&watch.origin, vec![encode(&watch)])).unwrap();
            let mut borrowed = Decoded::default();
            serde_json::from_slice::<JsonTraces<'_>>(&json).unwrap().into_spans().for_each(|span| borrowed.take(&span));
            prop_assert_eq!(borrowed, whole(watch.clone()));
            let request: ExportTraceServiceRequest = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(Decoded::of(&request.resource_spans), whole(watch));
        }

        #[test]
        fn an_event_never_lies_outside_its_span(watch: Watch) {
            let span = encode(&watch);
            for event in &span.events {
                prop_assert!((span.start_time_unix_nano..=span.end_time_unix_nano).contains(&event.time_unix_nano));
            }
        }

        #[test]
        fn a_span_of_which_a_limit_took_events_is_no_whole_watch(watch: Watch, which: prop::sample::Index) {
            let mut span = encode(&watch);
            prop_assume!(!span.events.is_empty());
            let index = which.index(span.events.len());
            span.events.remove(index);
            let cut = matches!(decode(&(&span).into()), Err(DecodeError::EventsMissing { .. }));
            prop_assert!(cut);
        }

        #[test]
        fn the_order_in_which_a_backend_gives_events_back_does_not_matter(watch: Watch) {
            let mut span = encode(&watch);
            span.events.reverse();
            prop_assert_eq!(decode(&(&span).into()).unwrap(), watch);
        }
    }
}
