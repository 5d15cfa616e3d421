//! Identity is derived, never random: whatever is read or sent twice gets the same ids, and a report computes the ids of the
//! traces that it asks for instead of searching for them.

use std::fmt;

use super::quantity::{Count, Micros, Timestamp};
use super::read::ReadAttributes;
use super::record::{Attributes, RecordError, Value, put_str, take_str};
use super::text::Text;

/// How much time the watch spans of one trace cover. A quarter of an hour keeps a 48-hour period at 193 requests, and a trace far
/// below the 5 MB at which Tempo cuts.
pub const SLOT: Micros = Micros::new(15 * 60 * 1_000_000);

/// The longest name of a hub or an environment; it stands in every span, so it is kept short.
pub const MAX_NAME_BYTES: usize = 128;

/// A name that can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name can't be empty")]
    Empty,
    /// More than [`MAX_NAME_BYTES`].
    #[error("a name has at most {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// Control characters would break the report.
    #[error("a name can't hold control characters")]
    Control,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::parse(&name)
            }
        }

        impl $name {
            /// Checks a name that a user typed.
            pub fn parse(name: &str) -> Result<Self, NameError> {
                if name.is_empty() {
                    Err(NameError::Empty)
                } else if name.len() > MAX_NAME_BYTES {
                    Err(NameError::TooLong)
                } else if name.chars().any(char::is_control) {
                    Err(NameError::Control)
                } else {
                    Ok(Self(name.to_owned()))
                }
            }

            /// The name as typed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::parse(name)
            }
        }

        impl Value for $name {
            fn put(&self, name: &'static str, to: &mut Attributes) {
                put_str(&self.0, name, to);
            }

            fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
                Self::parse(take_str(name, from)?).map_err(|_| RecordError::Unreadable(name))
            }
        }

        #[cfg(test)]
        impl proptest::arbitrary::Arbitrary for $name {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                use proptest::prelude::*;
                "[a-z0-9 |é-]{1,30}".prop_map(Self).boxed()
            }
        }
    };
}
name!(
    /// What the team calls the hub under watch; `service.instance.id` of the hub's resource.
    HubName
);
name!(
    /// Where the hub runs: `deployment.environment.name`.
    Environment
);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(test, derive(proptest_derive::Arbitrary))]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; $bytes]);

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;
            fn try_from(digits: String) -> Result<Self, Self::Error> {
                Self::parse(&digits).ok_or("not an id of this kind")
            }
        }

        impl $name {
            /// The id's bytes, as OTLP carries them.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// From bytes of the right number.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// From hexadecimal digits, as [`Display`](fmt::Display) writes them.
            pub fn parse(digits: &str) -> Option<Self> {
                let mut bytes = [0; $bytes];
                const_hex::decode_to_slice(digits, &mut bytes).ok()?;
                Some(Self(bytes))
            }

            #[allow(dead_code, reason = "a keyed hash is not derived this way")]
            fn derive(kind: &str, parts: &[&[u8]]) -> Self {
                let mut bytes = [0; $bytes];
                digest(kind, parts).finalize_xof().fill(&mut bytes);
                if bytes == [0; $bytes] {
                    bytes[0] = 1; // OpenTelemetry calls an id of zeros invalid.
                }
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&const_hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Value for $name {
            fn put(&self, name: &'static str, to: &mut Attributes) {
                put_str(&self.to_string(), name, to);
            }

            fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
                Self::parse(take_str(name, from)?).ok_or(RecordError::Unreadable(name))
            }
        }
    };
}
hex_id!(
    /// The id of a trace.
    TraceId,
    16
);
hex_id!(
    /// The id of a span.
    SpanId,
    8
);
hex_id!(
    /// The id of a fact; a later amendment carries the id of the fact that it completes.
    FactId,
    8
);
hex_id!(
    /// One log record: equal for the same bytes of the same file generation, however often they are read (`log.record.uid`). Its
    /// first half is the [`GenerationId`], its second the offset: nothing is hashed for each line.
    RecordUid,
    16
);
hex_id!(
    /// One generation of one file, as one watcher reads it: what the uids of its lines have in common.
    GenerationId,
    8
);
hex_id!(
    /// One run of a scenario: chosen by the scenario, and part of the ids of what it tells.
    ScenarioRun,
    8
);
hex_id!(
    /// Who watches: made once, kept in the state folder.
    WatcherId,
    8
);
hex_id!(
    /// A keyed hash of an MCP session id, because the id itself is a live credential.
    SessionHash,
    8
);

/// Hashes length-prefixed parts, so that no two lists of parts give the same bytes.
fn digest(kind: &str, parts: &[&[u8]]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(kind.as_bytes()).chain(parts.iter().copied()) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher
}

/// A stretch of [`SLOT`] since the Unix epoch. All watch spans of a hub that end in it share one trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot that a Watch with this end belongs to.
    pub const fn of(end: Timestamp) -> Self {
        Self(end.get() / SLOT.get())
    }

    /// Where the slot begins.
    pub const fn start(self) -> Timestamp {
        Timestamp::new(self.0.saturating_mul(SLOT.get()))
    }

    /// The id of the slot's trace. `part` is zero unless the trace grew over what backends keep and went on under the next id.
    pub fn trace_id(self, hub: &HubName, environment: &Environment, part: u32) -> TraceId {
        let parts: [&[u8]; 4] =
            [hub.as_str().as_bytes(), environment.as_str().as_bytes(), &self.0.to_le_bytes(), &part.to_le_bytes()];
        TraceId::derive("hubwatch watch trace", &parts)
    }
}

impl WatcherId {
    /// A new watcher's id. The seed must differ between state folders: time, process id and path do.
    pub fn from_seed(seed: &[u8]) -> Self {
        Self::derive("hubwatch watcher", &[seed])
    }
}

impl ScenarioRun {
    /// Returns a new run's id. The seed must differ between runs: scenario, time and process id do.
    pub fn from_seed(seed: &[u8]) -> Self {
        Self::derive("hubwatch scenario run", &[seed])
    }
}

impl SpanId {
    /// The span of one Watch.
    pub fn of_watch(watcher: WatcherId, run: u32, sequence: Count) -> Self {
        Self::derive("hubwatch watch span", &[watcher.as_bytes(), &run.to_le_bytes(), &sequence.get().to_le_bytes()])
    }

    /// The span of a meta-tool call, from the record that began it; `child` distinguishes the call (`""`) from its parts
    /// (`"gemini"`).
    pub fn of_call(began: RecordUid, child: &str) -> Self {
        Self::derive("hubwatch call span", &[began.as_bytes(), child.as_bytes()])
    }
}

impl TraceId {
    /// The trace of a meta-tool call, from the record that began it.
    pub fn of_call(began: RecordUid) -> Self {
        Self::derive("hubwatch call trace", &[began.as_bytes()])
    }
}

impl TraceId {
    /// A trace that `hubwatch doctor` writes and reads back.
    pub fn of_probe(seed: u64, number: u32) -> Self {
        Self::derive("hubwatch probe trace", &[&seed.to_le_bytes(), &number.to_le_bytes()])
    }
}

impl SpanId {
    /// One of its spans.
    pub fn of_probe(trace: TraceId, index: u32) -> Self {
        Self::derive("hubwatch probe span", &[trace.as_bytes(), &index.to_le_bytes()])
    }
}

impl RecordUid {
    /// The record of one line: which watcher read it, in which file, which generation of that file, at which byte.
    pub fn of_line(watcher: WatcherId, file: &str, generation: u64, offset: u64) -> Self {
        GenerationId::of(watcher, file, generation).line(offset)
    }
}

impl GenerationId {
    /// Of the file with this name.
    pub fn of(watcher: WatcherId, file: &str, generation: u64) -> Self {
        Self::derive("hubwatch file generation", &[watcher.as_bytes(), file.as_bytes(), &generation.to_le_bytes()])
    }

    /// The record of the line that begins at this byte.
    pub fn line(self, offset: u64) -> RecordUid {
        let mut uid = [0; 16];
        uid[..8].copy_from_slice(&self.0);
        uid[8..].copy_from_slice(&offset.to_be_bytes());
        RecordUid(uid)
    }
}

impl FactId {
    /// A fact that a log line states; `ordinal` distinguishes several facts of one line.
    pub fn of_line(record: RecordUid, ordinal: u32) -> Self {
        Self::derive("hubwatch line fact", &[record.as_bytes(), &ordinal.to_le_bytes()])
    }

    /// A fact that the sidecar itself noticed during a Watch.
    pub fn of_watch(watcher: WatcherId, run: u32, sequence: Count, ordinal: u32) -> Self {
        let parts: [&[u8]; 4] = [watcher.as_bytes(), &run.to_le_bytes(), &sequence.get().to_le_bytes(), &ordinal.to_le_bytes()];
        Self::derive("hubwatch watch fact", &parts)
    }

    /// Returns the id of what a run of a scenario told under this number; `kind` is the name of the fact's event.
    pub fn of_scenario(run: ScenarioRun, kind: &str, sequence: u32) -> Self {
        Self::derive("hubwatch scenario fact", &[run.as_bytes(), kind.as_bytes(), &sequence.to_le_bytes()])
    }
}

impl SessionHash {
    /// Hides a session id behind a key that never leaves the state folder.
    pub fn of(session: &str, key: &[u8; 32]) -> Self {
        let mut bytes = [0; 8];
        blake3::Hasher::new_keyed(key).update(session.as_bytes()).finalize_xof().fill(&mut bytes);
        Self(bytes)
    }
}

/// A name as text for attributes that hold any text.
impl From<&HubName> for Text {
    fn from(name: &HubName) -> Self {
        Self::new(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_id_of_a_slot_is_pinned_because_reports_must_find_old_data() {
        let hub = HubName::parse("hub-a").unwrap();
        let environment = Environment::parse("staging").unwrap();
        let slot = Slot::of(Timestamp::from_secs(1_795_000_000));
        assert_eq!(slot.trace_id(&hub, &environment, 0).to_string(), "d994d30aeb43b0bb75b0f98b13343fcb");
        assert_ne!(slot.trace_id(&hub, &environment, 0), slot.trace_id(&hub, &environment, 1));
    }

    #[test]
    fn every_line_of_every_generation_has_its_own_uid() {
        let watcher = WatcherId::from_seed(b"test");
        let lines = (0..3).flat_map(|generation| (0..100).map(move |offset| ("a.log", generation, offset)));
        let others = (0..100).map(|offset| ("b.log", 0, offset));
        let uids = lines.chain(others).map(|(file, generation, offset)| RecordUid::of_line(watcher, file, generation, offset));
        assert_eq!(uids.collect::<std::collections::BTreeSet<_>>().len(), 400);
        assert!(RecordUid::of_line(watcher, "a.log", 0, 0x2a).to_string().ends_with("000000000000002a"));
    }

    #[test]
    fn parts_are_kept_apart() {
        let named = |hub: &str, environment: &str| {
            Slot(1).trace_id(&HubName::parse(hub).unwrap(), &Environment::parse(environment).unwrap(), 0)
        };
        assert_ne!(named("ab", "c"), named("a", "bc"));
    }

    #[test]
    fn names_that_would_break_a_report_are_refused() {
        assert_eq!(HubName::parse(""), Err(NameError::Empty));
        assert_eq!(HubName::parse("a\nb"), Err(NameError::Control));
        assert_eq!(HubName::parse(&"x".repeat(129)), Err(NameError::TooLong));
    }
}
