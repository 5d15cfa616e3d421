//! The watch itself: its process, clock, state, marks and rules.

use super::facts;
use crate::watch::ids::FactId;
use crate::watch::names;
use crate::watch::quantity::{Count, Micros};
use crate::watch::record::{record, terms};
use crate::watch::text::Text;

terms! {
    /// The halves of what a run leaves for the next one.
    pub enum StateHalf {
        /// How far the sources were read.
        Position = "position",
        /// What was known of the hub: its servers, clients, calls in flight.
        Knowledge = "knowledge",
    }
}

record! {
    /// We joined the hub's event stream.
    pub struct StreamJoined {}
}

record! {
    /// We are no longer in the hub's event stream.
    pub struct StreamLeft {
        /// Why.
        pub reason: Text = names::REASON,
    }
}

record! {
    /// A better time of an earlier fact is known: it is the time of this record.
    pub struct FactAmended {
        /// Which fact.
        pub fact: FactId = names::FACT_AMENDED,
    }
}

record! {
    /// The sidecar started.
    pub struct WatcherStarted {
        /// Whether it took up an earlier run of its state folder.
        pub resumed: bool = names::RESUMED,
    }
}

record! {
    /// The sidecar ended on purpose.
    pub struct WatcherStopped {
        /// What made it stop: a signal, or the end of the period.
        pub reason: Text = names::REASON,
    }
}

record! {
    /// The wall clock jumped by more than a second.
    pub struct ClockJumped {
        /// By how many microseconds; negative is into the past.
        pub jump: i64 = names::JUMP,
    }
}

record! {
    /// The sidecar's process stood still (suspended, or without processor time) for longer than a poll may be late: what happened
    /// meanwhile was not watched. The interval ends where it was last awake; the next one begins after it.
    pub struct WatcherStoodStill {
        /// For how long.
        pub length: Micros = names::STOOD_STILL,
    }
}

record! {
    /// Somebody announced a disturbance: what happens until its end is planned.
    pub struct MarkBegan {
        /// What it is called: the name of a scenario, or any other.
        pub name: Text = names::MARK,
    }
}

record! {
    /// A disturbance that was announced is over.
    pub struct MarkEnded {
        /// What it is called.
        pub name: Text = names::MARK,
    }
}

record! {
    /// What the configuration says differently from the built-in rules: one rule in the configuration's own form. Told in the
    /// first Watch of each slot, so that a report made elsewhere judges by the same.
    pub struct RuleStated {
        /// The rule, as TOML.
        pub rule: Text = names::RULE,
    }
}

record! {
    /// The journal was damaged: what could be read of it is kept, the file itself set aside.
    pub struct JournalRecovered {
        /// Where it was set aside.
        pub path: Text = names::PATH,
        /// What is wrong with it.
        pub reason: Text = names::REASON,
        /// How many rows could be read.
        pub rows: Count = names::COUNT,
    }
}

record! {
    /// The journal's files were lost while they were in use (removed, renamed, unmounted), and were created again with all that the
    /// journal held.
    pub struct JournalCreatedAgain {
        /// The state folder.
        pub path: Text = names::PATH,
        /// How they were lost.
        pub reason: Text = names::REASON,
    }
}

record! {
    /// A part of the last run's state could not be read: it begins anew.
    pub struct StateLost {
        /// Which half.
        pub half: StateHalf = names::STATE_HALF,
        /// Why.
        pub reason: Text = names::REASON,
    }
}

facts! {
    /// The watch itself: its process, clock, state, marks and rules.
    pub enum WatcherFact in Watcher {
        StreamJoined = "mcphub.event_stream.joined",
        StreamLeft = "mcphub.event_stream.left",
        FactAmended = "mcphub.fact.amended",
        WatcherStarted = "hubwatch.started",
        WatcherStopped = "hubwatch.stopped",
        ClockJumped = "hubwatch.clock_jumped",
        WatcherStoodStill = "hubwatch.stood_still",
        MarkBegan = "hubwatch.mark.began",
        MarkEnded = "hubwatch.mark.ended",
        RuleStated = "hubwatch.rule",
        JournalRecovered = "hubwatch.journal_recovered",
        JournalCreatedAgain = "hubwatch.journal_created_again",
        StateLost = "hubwatch.state_lost",
    }
}
