//! Spans as they are read: borrowed from the bytes of a backend's answer. A busy period holds millions of attributes, and a string of
//! its own for each would cost more than everything else that a report does.

mod json;
mod protobuf;

use std::borrow::Cow;
use std::cell::Cell;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;

pub use json::JsonTraces;
pub use protobuf::{WireError, spans_of_request};

/// An event of ours has about so many attributes: room for them at once.
const USUAL_ATTRIBUTES: usize = 24;

/// An attribute's value. Types that we never write are kept as `Other`.
#[derive(Debug, Default, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Integer(i64),
    /// A truth.
    Truth(bool),
    /// Something else.
    Other,
    /// Nothing: the attribute has a name only, and is none.
    #[default]
    Absent,
}

/// The attributes of one span or event, as they are read.
#[derive(Debug, Default, Clone)]
pub struct ReadAttributes<'a> {
    pairs: Vec<(Cow<'a, [u8]>, Scalar<'a>)>,
    /// Attributes are read in the order in which they were written: the search goes on where it last found one.
    last: Cell<usize>,
}

impl<'a> ReadAttributes<'a> {
    fn with_capacity(pairs: usize) -> Self {
        Self { pairs: Vec::with_capacity(pairs), last: Cell::default() }
    }

    fn push(&mut self, name: Cow<'a, [u8]>, value: Scalar<'a>) {
        if value != Scalar::Absent {
            self.pairs.push((name, value));
        }
    }

    /// The value of this name. Names are unique in OTLP; where they are not, it is any of their values.
    pub fn find(&self, name: &str) -> Option<&Scalar<'a>> {
        let is_it = |pair: &(Cow<'a, [u8]>, Scalar<'a>)| *pair.0 == *name.as_bytes();
        let (before, on) = self.pairs.split_at_checked(self.last.get())?;
        let place = on.iter().position(is_it).map(|place| before.len() + place).or_else(|| before.iter().position(is_it))?;
        self.last.set(place);
        Some(&self.pairs[place].1)
    }

    /// Whether there is an attribute of this name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Attributes whose names go on after `name` and a dot: with what stands after that.
    pub(super) fn below<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s str, &'s Scalar<'a>)> {
        self.pairs.iter().filter_map(move |(key, value)| {
            let rest = key.strip_prefix(name.as_bytes())?.strip_prefix(b".")?;
            Some((std::str::from_utf8(rest).ok()?, value))
        })
    }
}

impl<'a> From<&'a [KeyValue]> for ReadAttributes<'a> {
    fn from(pairs: &'a [KeyValue]) -> Self {
        let mut read = Self::with_capacity(pairs.len());
        pairs.iter().for_each(|pair| read.push(Cow::Borrowed(pair.key.as_bytes()), pair.value.as_ref().into()));
        read
    }
}

impl<'a> From<Option<&'a AnyValue>> for Scalar<'a> {
    fn from(value: Option<&'a AnyValue>) -> Self {
        match value.and_then(|value| value.value.as_ref()) {
            Some(any_value::Value::StringValue(text)) => Self::Text(Cow::Borrowed(text)),
            Some(any_value::Value::IntValue(number)) => Self::Integer(*number),
            Some(any_value::Value::BoolValue(truth)) => Self::Truth(*truth),
            Some(_) => Self::Other,
            None => Self::Absent,
        }
    }
}

/// What a report reads of a span.
#[derive(Debug, Default, Clone)]
pub struct ReadSpan<'a> {
    /// Its trace's id, in bytes; some servers drop the zeros that it begins with.
    pub trace_id: Cow<'a, [u8]>,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its start, in nanoseconds since 1970.
    pub start_nanos: u64,
    /// Its end, in the same.
    pub end_nanos: u64,
    /// Its attributes.
    pub attributes: ReadAttributes<'a>,
    /// Its events.
    pub events: Vec<ReadEvent<'a>>,
}

/// An event of a span.
#[derive(Debug, Default, Clone)]
pub struct ReadEvent<'a> {
    /// When, in nanoseconds since 1970.
    pub nanos: u64,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its attributes.
    pub attributes: ReadAttributes<'a>,
}

impl<'a> From<&'a Span> for ReadSpan<'a> {
    fn from(span: &'a Span) -> Self {
        Self {
            trace_id: Cow::Borrowed(&span.trace_id),
            name: Cow::Borrowed(&span.name),
            start_nanos: span.start_time_unix_nano,
            end_nanos: span.end_time_unix_nano,
            attributes: span.attributes.as_slice().into(),
            events: span.events.iter().map(ReadEvent::from).collect(),
        }
    }
}

impl<'a> From<&'a Event> for ReadEvent<'a> {
    fn from(event: &'a Event) -> Self {
        Self { nanos: event.time_unix_nano, name: Cow::Borrowed(&event.name), attributes: event.attributes.as_slice().into() }
    }
}
