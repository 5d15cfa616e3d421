//! What the sidecar had to drop, by what it was and why.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value;

use super::quantity::Count;
use super::read::{ReadAttributes, Scalar};
use super::record::{Attributes, RecordError, Value, terms};

terms! {
    /// What can be dropped, in the order in which it goes.
    pub enum DroppedKind {
        /// Records that destinations permanently rejected.
        DeadLetters = "dead_letters",
        /// Log records that waited for a destination; one that two destinations lacked counts twice.
        Logs = "logs",
        /// Warnings and errors that are kept for people who look into the journal.
        NotableLines = "notable_lines",
        /// Metrics that waited for a destination.
        Metrics = "metrics",
        /// Spans that others sent by OTLP and that waited for a destination; one that two destinations lacked counts twice.
        ReceivedSpans = "received_spans",
        /// Spans of meta-tool calls.
        Calls = "calls",
        /// Watches.
        Watches = "watches",
    }
}

terms! {
    /// Why something is dropped.
    pub enum DropReason {
        /// The journal reached its size.
        Size = "size",
        /// It was older than anything is kept.
        Age = "age",
        /// The disk had less free space than is left to others.
        Reserve = "reserve",
        /// The disk was full.
        DiskFull = "disk_full",
    }
}

/// Counts of what was dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Drops(BTreeMap<DroppedKind, BTreeMap<DropReason, Count>>);

impl Drops {
    /// Counts some more.
    pub fn add(&mut self, what: DroppedKind, reason: DropReason, records: Count) {
        let count = self.0.entry(what).or_default().entry(reason).or_default();
        *count = count.plus(records.get());
    }

    /// Each count.
    pub fn iter(&self) -> impl Iterator<Item = (DroppedKind, DropReason, Count)> {
        self.0.iter().flat_map(|(what, reasons)| reasons.iter().map(|(reason, count)| (*what, *reason, *count)))
    }

    /// Whether nothing was dropped.
    pub fn is_empty(&self) -> bool {
        self.iter().all(|(.., count)| count.get() == 0)
    }

    /// How many of this, for whatever reason.
    pub fn of(&self, what: DroppedKind) -> Count {
        self.iter().filter(|(kind, ..)| *kind == what).fold(Count::default(), |sum, (.., count)| sum.plus(count.get()))
    }

    /// Adds all of `more`.
    pub fn extend(&mut self, more: &Self) {
        more.iter().for_each(|(what, reason, count)| self.add(what, reason, count));
    }

    /// What was dropped since the counts were `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self::default();
        for (what, reason, count) in self.iter() {
            let before = earlier.0.get(&what).and_then(|reasons| reasons.get(&reason)).copied().unwrap_or_default();
            let more = count.get().saturating_sub(before.get());
            if more > 0 {
                since.add(what, reason, Count::new(more));
            }
        }
        since
    }
}

/// Each count stands in an attribute of its own, whose name ends in what and why.
impl Value for Drops {
    fn put(&self, name: &'static str, to: &mut Attributes) {
        for (what, reason, count) in self.iter() {
            let count = i64::try_from(count.get()).unwrap_or(i64::MAX);
            to.push(&format!("{name}.{what}.{reason}"), any_value::Value::IntValue(count));
        }
    }

    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
        let mut drops = Self::default();
        for (rest, value) in from.below(name) {
            let parts =
                rest.split_once('.').and_then(|(what, reason)| Some((DroppedKind::parse(what)?, DropReason::parse(reason)?)));
            // A newer hubwatch can drop more kinds of things, for more reasons.
            let Some((what, reason)) = parts else { continue };
            let Scalar::Integer(count) = value else { return Err(RecordError::Unreadable(name)) };
            drops.add(what, reason, Count::new(u64::try_from(*count).map_err(|_| RecordError::Unreadable(name))?));
        }
        Ok(drops)
    }
}

#[cfg(test)]
impl proptest::arbitrary::Arbitrary for Drops {
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        let counts = proptest::collection::vec(any::<(DroppedKind, DropReason, Count)>(), 0..4);
        let sum = |counts: Vec<_>| {
            let mut drops = Self::default();
            counts.into_iter().for_each(|(what, reason, count)| drops.add(what, reason, count));
            drops
        };
        counts.prop_map(sum).boxed()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_before_and_what_came_since_is_the_whole(before: Drops, more: Drops) {
            let mut whole = before.clone();
            whole.extend(&more);
            let mut again = before.clone();
            again.extend(&whole.since(&before));
            prop_assert_eq!(again, whole);
        }
    }
}
