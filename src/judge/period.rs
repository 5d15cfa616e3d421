//! What belongs to a period, so that the parts of a period that was cut add up to the whole.
//!
//! - A fact belongs to the period in which it happened (its latest instant), also if a Watch beyond the cut tells of it: a report reads
//!   more at both ends.
//! - A Watch belongs to the period in which it ends, with its poll and its volumes (lines, bytes, what the sidecar counted).
//! - Time is split at the cut: covered time, down time, planned time.
//! - What happens at the very instant of a cut belongs to the side on which its Watch begins.
//!
//! Watches before the period are context: they tell how things stood at its start, which rules hold and what was planned, and
//! nothing in them counts.

use crate::watch::{Fact, Micros, Timestamp, Watch, When};

/// The longest delay of a fact: a report reads this far beyond its period.
const LATE: Micros = Micros::new(15 * 60 * 1_000_000);

/// From when to when is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Where a Watch or a fact lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the period.
    Before,
    /// In it.
    Inside,
    /// After it.
    Beyond,
}

impl Period {
    /// Returns where an instant lies that is in a Watch beginning at `start`.
    fn place(self, at: Timestamp, start: Timestamp) -> Place {
        if at < self.from || at == self.from && start < self.from {
            Place::Before
        } else if at > self.to || at == self.to && start >= self.to && self.to > self.from {
            Place::Beyond
        } else {
            Place::Inside
        }
    }

    /// Where the Watch lies with its poll and its volumes.
    pub(super) fn of_watch(self, watch: &Watch) -> Place {
        self.place(watch.interval.end(), watch.interval.start())
    }

    /// Where a fact of a Watch lies.
    pub(super) fn of_fact(self, fact: &Fact, watch: &Watch) -> Place {
        self.place(fact.when.latest().min(watch.interval.end()), watch.interval.start())
    }

    /// Returns whether a fact shows the state at the beginning of the period: it is in that Watch, or a little later. A log that is
    /// read from its beginning also has earlier facts: those are history.
    pub(super) fn is_context(self, fact: &Fact, watch: &Watch) -> bool {
        let is_late = watch.origin.sequence.get() > 0 && fact.when.latest().plus(LATE) >= self.from;
        self.of_fact(fact, watch) == Place::Before && (watch.interval.start() < self.from || is_late)
    }

    /// The part of a Watch's time that lies inside; `None` if there is none.
    pub(super) fn share(self, watch: &Watch) -> Option<(Timestamp, Timestamp)> {
        let (from, to) = (watch.interval.start().max(self.from), watch.interval.end().min(self.to));
        (from < to || from == to && self.of_watch(watch) == Place::Inside).then_some((from, to))
    }

    /// The time of a fact, limited by its Watch: no fact is known before it happened. A fact of before the period lies before its
    /// first instant.
    pub(super) fn when(self, fact: &Fact, watch: &Watch) -> When {
        let bound = match self.of_fact(fact, watch) {
            Place::Before => self.from.minus(Micros::new(1)),
            Place::Inside | Place::Beyond => self.to,
        };
        let latest = fact.when.latest().min(watch.interval.end()).min(bound);
        When::between(fact.when.earliest().min(latest), latest)
    }
}
