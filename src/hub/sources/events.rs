//! The hub's event stream, `GET /api/events`: server-sent events in two dialects. The npm hub sends one object an event, the fork
//! batches (`tests/recordings/npm-4.2.1/events.sse.gz`, `tests/recordings/fork-pino/events.sse.gz`).

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::base::sse::{EventParser, Item};
use crate::watch::Timestamp;

/// An event larger than this is passed over and counted: the largest of the recordings has a few hundred bytes, a batch fifty times
/// that.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A line of the hub's log, in the form that its console logger writes.
    Line(String),
    /// The hub's own state.
    State {
        /// `ready`, `stopping` …
        state: String,
        /// The hub's process.
        pid: Option<u32>,
        /// When.
        at: Option<Timestamp>,
    },
    /// Something was done with servers: on request, or because the configuration changed. Their log lines can't tell these from what
    /// the hub or its servers do by themselves.
    Servers {
        /// Which.
        names: Vec<String>,
        /// Whether the configuration changed; otherwise the hub's API was asked.
        configured: bool,
        /// When.
        at: Option<Timestamp>,
    },
    /// The stream is alive.
    Heartbeat,
    /// Another message to subscribers; polls show its effect.
    Other,
    /// An event that is too large or not what a hub sends.
    Unreadable,
}

/// Reads the stream, however its bytes are cut.
#[derive(Debug)]
pub struct EventReader(EventParser);

impl Default for EventReader {
    fn default() -> Self {
        Self(EventParser::new(MAX_EVENT_BYTES))
    }
}

impl EventReader {
    /// Takes bytes in; gives what the events that end in them say.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        self.0.feed(bytes, |item| match item {
            Item::Event { data: [], .. } => {}
            Item::Event { name, data } => understand(name, &String::from_utf8_lossy(data), &mut heard),
            Item::TooLarge => heard.push(Heard::Unreadable),
        });
        heard
    }
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct State {
    state: String,
    #[serde(default)]
    pid: Option<u32>,
    #[serde(default)]
    timestamp: Option<String>,
}

fn understand(event: &str, data: &str, heard: &mut Vec<Heard>) {
    let Some(single) = event.strip_suffix("_batch") else {
        heard.push(one(event, data));
        return;
    };
    match serde_json::from_str::<Batch<'_>>(data) {
        Ok(batch) => heard.extend(batch.events.iter().map(|raw| one(single, raw.get()))),
        Err(_) => heard.push(Heard::Unreadable),
    }
}

fn one(event: &str, data: &str) -> Heard {
    match event {
        "log" if data.starts_with('{') => Heard::Line(data.to_owned()),
        "hub_state" => match serde_json::from_str::<State>(data) {
            Ok(State { state, pid, timestamp }) => Heard::State { state, pid, at: timestamp.as_deref().and_then(Timestamp::parse) },
            Err(_) => Heard::Unreadable,
        },
        "heartbeat" => Heard::Heartbeat,
        "subscription_event" => subscription(data),
        "log" => Heard::Unreadable,
        _ => Heard::Other,
    }
}

/// More servers than any hub has: the rest is ignored.
const MAX_NAMES: usize = 1_024;

/// A message about servers. Only the names are read, because a message about a changed configuration has all of it, secrets
/// included.
#[derive(Deserialize)]
struct Subscription<'a> {
    #[serde(borrow, default)]
    r#type: Cow<'a, str>,
    #[serde(default)]
    changes: Option<Changes>,
    #[serde(default, borrow)]
    timestamp: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Changes {
    #[serde(default)]
    added: Vec<String>,
    #[serde(default)]
    removed: Vec<String>,
    #[serde(default)]
    modified: Vec<String>,
    /// Only a change of the configuration names those that it left alone.
    #[serde(default)]
    unchanged: Option<IgnoredAny>,
}

fn subscription(data: &str) -> Heard {
    let Ok(told) = serde_json::from_str::<Subscription<'_>>(data) else { return Heard::Other };
    // An update is announced and done; a request is only done.
    let announced = match &*told.r#type {
        "servers_updating" => true,
        "servers_updated" => false,
        _ => return Heard::Other,
    };
    let Some(Changes { added, removed, modified, unchanged }) = told.changes else { return Heard::Other };
    let names = added.into_iter().chain(removed).chain(modified).take(MAX_NAMES).collect();
    Heard::Servers { names, configured: announced || unchanged.is_some(), at: told.timestamp.and_then(|at| instant(at.get())) }
}

/// The npm hub writes a time as text, the fork as milliseconds.
fn instant(json: &str) -> Option<Timestamp> {
    match json.trim_matches('"').parse::<u64>() {
        Ok(millis) => Some(Timestamp::from_millis(millis)),
        Err(_) => Timestamp::parse(json.trim_matches('"')),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn recording(hub: &str) -> Vec<u8> {
        let path = format!("{}/tests/recordings/{hub}/events.sse.gz", env!("CARGO_MANIFEST_DIR"));
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn both_dialects_give_their_lines_and_the_hub_s_state() {
        for hub in ["npm-4.2.1", "fork-pino", "fork-legacy"] {
            let heard = EventReader::default().feed(&recording(hub));
            let lines = heard.iter().filter(|heard| matches!(heard, Heard::Line(_))).count();
            assert!(lines > 1_000, "{hub}: {lines}");
            let state =
                heard.iter().find_map(|heard| if let Heard::State { state, pid, .. } = heard { Some((state, pid)) } else { None });
            assert!(matches!(state, Some((state, Some(_))) if state == "ready"), "{hub}");
            assert!(!heard.contains(&Heard::Unreadable), "{hub}");
        }
    }

    #[test]
    fn an_event_that_is_too_large_is_counted_and_the_next_one_read() {
        let mut reader = EventReader::default();
        let mut heard = reader.feed(b"event: log\ndata: {\"message\":\"");
        for _ in 0..80 {
            heard.extend(reader.feed(&[b'x'; 64 * 1024]));
        }
        heard.extend(reader.feed(b"\"}\n\nevent: heartbeat\ndata: {}\n\n"));
        assert_eq!(heard, [Heard::Unreadable, Heard::Heartbeat]);
    }

    #[test]
    fn comments_and_unknown_events_are_passed_over() {
        let heard = EventReader::default()
            .feed(b": hello\r\nretry: 5\r\n\r\nevent: new\r\ndata: {}\r\n\r\nevent: log_batch\ndata: nonsense\n\n");
        assert_eq!(heard, [Heard::Other, Heard::Unreadable]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn however_the_bytes_are_cut_the_events_are_the_same(cuts in proptest::collection::vec(1..5_000usize, 1..40)) {
            let bytes = recording("fork-legacy");
            let whole = EventReader::default().feed(&bytes);
            let (mut reader, mut parts, mut rest) = (EventReader::default(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (part, tail) = rest.split_at((*cut).min(rest.len()));
                parts.extend(reader.feed(part));
                rest = tail;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(parts, whole);
        }
    }
}
