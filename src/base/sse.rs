//! Server-sent events: a parser that takes bytes as they come, within a fixed size.

/// An event's buffers are kept for the next one up to this size. Most events are smaller, and a rare large one gives its memory back.
const KEPT_CAPACITY: usize = 64 * 1024;

/// The byte order mark with which a stream may begin.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a stream contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// An event with data.
    Event {
        /// Its type; `message` if it states none.
        name: &'a str,
        /// Its data, lines joined by `\n`.
        data: &'a [u8],
    },
    /// An event that is larger than the limit: reported as soon as that is known, and skipped to its end.
    TooLarge,
}

/// Parses a stream of server-sent events, however its bytes are cut. Lines end with LF, CR or CRLF. Comments, `id` and `retry` are
/// skipped. An event that has not ended when the stream does is dropped, as the standard says.
#[derive(Debug)]
pub struct EventParser {
    /// In bytes, for name, data and the unfinished line together.
    limit: usize,
    /// The unfinished line. While an event is skipped: not empty if the line isn't.
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    skipping: bool,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The first line is over.
    begun: bool,
}

impl EventParser {
    /// Creates a parser that skips events of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            name: String::new(),
            data: Vec::new(),
            has_data: false,
            skipping: false,
            after_cr: false,
            begun: false,
        }
    }

    /// Takes bytes in, and gives `take` what ends in them.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Item<'_>)) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(rest) = bytes.strip_prefix(b"\n")
            {
                bytes = rest;
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.keep(bytes, &mut take);
                return;
            };
            self.keep(&bytes[..end], &mut take);
            let line = std::mem::take(&mut self.line);
            self.end_line(&line, &mut take);
            self.line = line;
            self.line.clear();
            self.line.shrink_to(KEPT_CAPACITY);
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
        }
    }

    fn keep(&mut self, part: &[u8], take: &mut impl FnMut(Item<'_>)) {
        if !self.skipping && self.name.len() + self.data.len() + self.line.len() + part.len() > self.limit {
            self.skipping = true;
            self.data = Vec::new();
            self.line.truncate(1);
            self.line.shrink_to(KEPT_CAPACITY);
            take(Item::TooLarge);
        }
        let kept = if self.skipping { part.len().min(1 - self.line.len().min(1)) } else { part.len() };
        self.line.extend_from_slice(&part[..kept]);
    }

    fn end_line(&mut self, line: &[u8], take: &mut impl FnMut(Item<'_>)) {
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        if line.is_empty() {
            self.dispatch(take);
        } else if self.skipping {
            // Whatever this line is, it belongs to the event that is skipped.
        } else if let Some(name) = field(line, b"event") {
            self.name = String::from_utf8_lossy(name).into_owned();
        } else if let Some(data) = field(line, b"data") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data);
        }
    }

    fn dispatch(&mut self, take: &mut impl FnMut(Item<'_>)) {
        if self.has_data && !self.skipping {
            let name = if self.name.is_empty() { "message" } else { &self.name };
            take(Item::Event { name, data: &self.data });
        }
        self.name.clear();
        self.data.clear();
        self.data.shrink_to(KEPT_CAPACITY);
        (self.has_data, self.skipping) = (false, false);
    }
}

/// Returns the value of a line `NAME: VALUE`, without one space after the colon. A line that is only `NAME` has an empty value.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event as name and data, or `None` for one that is too large.
    type Seen = Option<(String, String)>;

    fn seen(parser: &mut EventParser, bytes: &[u8]) -> Vec<Seen> {
        let mut all = Vec::new();
        parser.feed(bytes, |item| {
            all.push(match item {
                Item::Event { name, data } => Some((name.to_owned(), String::from_utf8(data.to_vec()).unwrap())),
                Item::TooLarge => None,
            });
        });
        all
    }

    fn parsed(text: &str) -> Vec<Seen> {
        seen(&mut EventParser::new(1_000), text.as_bytes())
    }

    fn event(name: &str, data: &str) -> Seen {
        Some((name.to_owned(), data.to_owned()))
    }

    #[test]
    fn lines_end_with_lf_cr_or_crlf() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("event: a{end}data: 1{end}{end}data: 2{end}{end}");
            assert_eq!(parsed(&text), [event("a", "1"), event("message", "2")], "{end:?}");
        }
    }

    #[test]
    fn data_lines_are_joined_and_comments_and_other_fields_are_skipped() {
        let text = "\u{feff}: hello\nid: 1\nretry: 5\ndata:one\ndata:  two\ndata\n: more\ndata: four\nfoo\n\n";
        assert_eq!(parsed(text), [event("message", "one\n two\n\nfour")]);
        assert_eq!(parsed("data\n\n"), [event("message", "")]);
        assert_eq!(parsed("event: a\n\ndata: 1\n\n"), [event("message", "1")]);
        assert_eq!(parsed("data: unfinished\n"), []);
        assert_eq!(parsed("database: 1\n\n"), []);
    }

    #[test]
    fn an_event_that_is_too_large_is_reported_once_and_skipped_to_its_end() {
        let mut parser = EventParser::new(20);
        assert_eq!(seen(&mut parser, b"data: 12345678901234567890"), [None]);
        assert_eq!(seen(&mut parser, b"1234567890\ndata: 12345678901234567890\nevent: x\n"), []);
        assert_eq!(seen(&mut parser, b"\ndata: 1\n\n"), [event("message", "1")]);
        let many = "data: 1\n".repeat(100);
        assert_eq!(seen(&mut parser, many.as_bytes()), [None]);
        assert_eq!(seen(&mut parser, b"\rdata: 2\r\r"), [event("message", "2")]);
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_the_limit() {
        let mut parser = EventParser::new(100_000);
        let found: usize = (0..1_000).map(|_| seen(&mut parser, &[b'x'; 10_000]).len()).sum();
        assert_eq!(found, 1);
        assert!(parser.line.capacity() <= 200_000, "{}", parser.line.capacity());
        assert_eq!(seen(&mut parser, b"\n\ndata: 1\n\n"), [event("message", "1")]);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_events_are_the_same(
            parts in proptest::collection::vec(prop_oneof![
                Just("\n"), Just("\r"), Just("\r\n"), Just("data: "), Just("data"), Just("event:"), Just("a"), Just(":"), Just("ü"),
                Just("longer than others"), Just("\u{feff}"),
            ], 0..60),
            cuts in proptest::collection::vec(1..9usize, 1..20),
        ) {
            let text = parts.concat();
            let whole = seen(&mut EventParser::new(40), text.as_bytes());
            let (mut parser, mut found, mut rest) = (EventParser::new(40), Vec::new(), text.as_bytes());
            for cut in cuts.iter().cycle() {
                let (part, tail) = rest.split_at((*cut).min(rest.len()));
                found.extend(seen(&mut parser, part));
                rest = tail;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(found, whole);
        }
    }
}
