//! What happened: each thing one fact, with its time, its id and the source that showed it.
//!
//! The kinds of facts stand by topic, each topic in its own file. Whoever reads facts picks the topics that concern it and matches
//! all kinds of these, so that a new kind is named by the compiler wherever its topic is read.

mod call;
mod hub;
mod llm;
mod log;
mod scenario;
mod server;
mod session;
mod tool;
mod watcher;

use super::ids::FactId;
use super::quantity::{Micros, Timestamp};
use super::read::ReadAttributes;
use super::record::{Attributes, RecordError, terms};
pub use call::*;
pub use hub::*;
pub use llm::*;
pub use log::*;
pub use scenario::*;
pub use server::*;
pub use session::*;
pub use tool::*;
pub use watcher::*;

terms! {
    /// Where a fact was seen.
    pub enum Source {
        /// An answer of the hub's API, or its absence.
        Poll = "poll",
        /// The log file or the container's output.
        Log = "log",
        /// The hub's event stream.
        EventStream = "event_stream",
        /// The process table.
        Process = "process",
        /// The sidecar itself.
        Sidecar = "sidecar",
        /// A scenario, as a client of the hub.
        Scenario = "scenario",
        /// What instrumentation in the hub's process sent.
        Instrumentation = "instrumentation",
    }
}

/// The time of a fact, as exact as its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum When {
    /// At this instant, by the source's own time.
    At(Timestamp),
    /// Somewhere in between: the source gives no time (the legacy log file), or two polls enclose the change.
    Between {
        /// Not before.
        earliest: Timestamp,
        /// Not after.
        latest: Timestamp,
    },
}

impl When {
    /// An interval, whichever way round its ends come.
    pub fn between(one: Timestamp, other: Timestamp) -> Self {
        if one == other { Self::At(one) } else { Self::Between { earliest: one.min(other), latest: one.max(other) } }
    }

    /// The same, known not to have been after this. What can only have been later was then.
    #[must_use]
    pub fn not_after(self, latest: Timestamp) -> Self {
        Self::between(self.earliest().min(latest), self.latest().min(latest))
    }

    /// The earliest instant that it can have been.
    pub const fn earliest(self) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Between { earliest, .. } => earliest,
        }
    }

    /// The latest instant that it can have been.
    pub const fn latest(self) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Between { latest, .. } => latest,
        }
    }

    /// How much is unknown; a windowed criterion skips facts wider than its window.
    pub const fn width(self) -> Micros {
        self.latest().since(self.earliest())
    }
}

#[cfg(test)]
impl proptest::arbitrary::Arbitrary for When {
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        any::<(Timestamp, Timestamp)>().prop_map(|(one, other)| Self::between(one, other)).boxed()
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Fact {
    /// Derived from what showed it: the same fact read twice has the same id.
    pub id: FactId,
    /// When it happened.
    pub when: When,
    /// What showed it.
    pub source: Source,
    /// What it was.
    pub kind: FactKind,
}

/// Makes the enum of a topic's facts, each with the name of its event.
macro_rules! facts {
    ($(#[$doc:meta])* pub enum $topic:ident in $kind:ident { $($record:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[expect(missing_docs, reason = "each variant is documented at the record that it holds")]
        #[allow(clippy::enum_variant_names, reason = "each variant is called like the record that it holds")]
        pub enum $topic { $($record($record),)+ }

        impl $topic {
            /// The event names of all kinds.
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            /// The name of the event.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$record(_) => $name,)+ }
            }

            /// Writes what this kind holds.
            pub(super) fn write(&self, to: &mut $crate::watch::record::Attributes) {
                match self { $(Self::$record(record) => record.write(to),)+ }
            }

            /// Reads the kind that an event's name stands for; `None` for a name of another topic.
            pub(super) fn read(
                name: &str,
                from: &$crate::watch::ReadAttributes<'_>,
            ) -> Option<Result<Self, $crate::watch::record::RecordError>> {
                match name { $($name => Some($record::read(from).map(Self::$record)),)+ _ => None }
            }
        }

        // A derived one nests all kinds in one type, which outgrows the stack of a test.
        #[cfg(test)]
        impl proptest::arbitrary::Arbitrary for $topic {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                use proptest::prelude::*;
                proptest::strategy::Union::new([$(any::<$record>().prop_map(Self::$record).boxed(),)+]).boxed()
            }
        }

        $(impl From<$record> for super::FactKind {
            fn from(record: $record) -> Self {
                Self::$kind($topic::$record(record))
            }
        })+
    };
}
use facts;

/// Makes the enum of all topics.
macro_rules! topics {
    ($($(#[$doc:meta])* $kind:ident($topic:ident),)+) => {
        /// What happened, by topic. Each kind is an event of the watch span.
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        // The kind's name is enough to read it again: what is kept says nothing of topics.
        #[serde(untagged)]
        pub enum FactKind { $($(#[$doc])* $kind($topic),)+ }

        impl FactKind {
            /// The event names of all kinds.
            pub fn names() -> impl Iterator<Item = &'static str> {
                [$($topic::NAMES,)+].into_iter().flatten().copied()
            }

            /// The name of the event.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$kind(fact) => fact.name(),)+ }
            }

            /// Writes what this kind holds.
            pub fn write(&self, to: &mut Attributes) {
                match self { $(Self::$kind(fact) => fact.write(to),)+ }
            }

            /// Reads the kind that an event's name stands for; `None` for a name that this version does not know.
            pub fn read(name: &str, from: &ReadAttributes<'_>) -> Option<Result<Self, RecordError>> {
                None$(.or_else(|| $topic::read(name, from).map(|read| read.map(Self::$kind))))+
            }
        }

        #[cfg(test)]
        impl proptest::arbitrary::Arbitrary for FactKind {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                use proptest::prelude::*;
                proptest::strategy::Union::new([$(any::<$topic>().prop_map(Self::$kind).boxed(),)+]).boxed()
            }
        }
    };
}

topics! {
    /// The hub itself.
    Hub(HubFact),
    /// Its servers.
    Server(ServerFact),
    /// Clients and sessions.
    Session(SessionFact),
    /// Calls of the meta-tool.
    Call(CallFact),
    /// Tools and the marketplace.
    Tool(ToolFact),
    /// Requests to LLMs.
    Llm(LlmFact),
    /// The log.
    Log(LogFact),
    /// The watch itself.
    Watcher(WatcherFact),
    /// Scenarios.
    Scenario(ScenarioFact),
}
