//! A line as a source gives it, and as it leaves the interpreter.

use std::borrow::Cow;

use crate::watch::{Level, RecordUid, Timestamp, When};

use super::merge::LineSource;

/// A line as it was read.
#[derive(Debug, Clone, Copy)]
pub struct RawLine<'a> {
    /// What it was read from.
    pub source: LineSource,
    /// Its text, without the line end.
    pub text: &'a str,
    /// Its record.
    pub uid: RecordUid,
    /// Its length in the file, with the line end.
    pub size: u64,
    /// The time that a container's runtime gave it, if one did.
    pub stamped: Option<Timestamp>,
    /// When it was read.
    pub read: Timestamp,
    /// When the source's end was last reached before: an untimed line was written after that.
    pub earliest: Timestamp,
    /// Whether it was there before the present process of the hub: it goes out, but is no fact of this run.
    pub historic: bool,
}

/// What is known of a line after it was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreted<'a> {
    /// When it was written.
    pub when: When,
    /// The time that it states itself, by the clock of the hub.
    pub stated: Option<Timestamp>,
    /// Its level, where it has one.
    pub level: Option<Level>,
    /// Its message with secrets masked.
    pub text: Cow<'a, str>,
    /// The whole line with secrets masked; not made for one that stands behind a count.
    pub original: Option<Cow<'a, str>>,
    /// Whether it stands behind a storm's count instead of going out.
    pub collapsed: bool,
    /// Whether its message is an object, which the legacy file can't show.
    pub object: bool,
    /// The record that began the call it belongs to.
    pub call: Option<RecordUid>,
}
