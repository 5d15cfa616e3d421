//! The report as JSON, formatted so that people can read and diff it.

use std::io::{Result, Write};

use serde::Serialize as _;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::model::Report;

/// Values deeper than this go on one line, such as a point of a chart.
const DEEPEST: usize = 4;

/// Returns the JSON with a final newline.
pub fn json(report: &Report) -> String {
    let mut bytes = Vec::new();
    let formatter = Folded { pretty: PrettyFormatter::new(), depth: 0 };
    // A struct of strings, numbers and lists with string keys always has a JSON form, and a vector takes it.
    let _ = report.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
    bytes.push(b'\n');
    String::from_utf8(bytes).unwrap_or_default()
}

/// A formatter that indents down to a depth and is compact below.
struct Folded {
    pretty: PrettyFormatter<'static>,
    depth: usize,
}

/// Delegates each call to the formatter for the present depth.
macro_rules! folded {
    ($($name:ident($($arg:ident: $type:ty),*);)+) => {$(
        fn $name<W: ?Sized + Write>(&mut self, writer: &mut W $(, $arg: $type)*) -> Result<()> {
            if self.depth > DEEPEST { CompactFormatter.$name(writer $(, $arg)*) } else { self.pretty.$name(writer $(, $arg)*) }
        }
    )+};
}

impl Formatter for Folded {
    folded! {
        begin_array_value(first: bool);
        end_array_value();
        begin_object_key(first: bool);
        begin_object_value();
        end_object_value();
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST { CompactFormatter.begin_array(writer) } else { self.pretty.begin_array(writer) }
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth -= 1;
        if self.depth >= DEEPEST { CompactFormatter.end_array(writer) } else { self.pretty.end_array(writer) }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST { CompactFormatter.begin_object(writer) } else { self.pretty.begin_object(writer) }
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.depth -= 1;
        if self.depth >= DEEPEST { CompactFormatter.end_object(writer) } else { self.pretty.end_object(writer) }
    }
}
