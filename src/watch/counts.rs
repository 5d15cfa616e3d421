//! Counts by two words each, such as what was dropped and why.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value;
use serde::{Deserialize, Serialize};

use super::quantity::Count;
use super::read::{ReadAttributes, Scalar};
use super::record::{Attributes, RecordError, Term, Value};

/// Counts by two words each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "A: Serialize, B: Serialize", deserialize = "A: Deserialize<'de> + Ord, B: Deserialize<'de> + Ord"))]
pub struct Counts<A, B>(BTreeMap<A, BTreeMap<B, Count>>);

impl<A, B> Default for Counts<A, B> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<A: Term, B: Term> Counts<A, B> {
    /// Counts some more.
    pub fn add(&mut self, what: A, how: B, more: Count) {
        let count = self.0.entry(what).or_default().entry(how).or_default();
        *count = count.plus(more.get());
    }

    /// Each count.
    pub fn iter(&self) -> impl Iterator<Item = (A, B, Count)> {
        self.0.iter().flat_map(|(what, all)| all.iter().map(|(how, count)| (*what, *how, *count)))
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.iter().all(|(.., count)| count.get() == 0)
    }

    /// How many of this in all.
    pub fn of(&self, what: A) -> Count {
        self.iter().filter(|(of, ..)| *of == what).fold(Count::default(), |sum, (.., count)| sum.plus(count.get()))
    }

    /// Adds all of `more`.
    pub fn extend(&mut self, more: &Self) {
        more.iter().for_each(|(what, how, count)| self.add(what, how, count));
    }

    /// What was counted since the counts were `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self::default();
        for (what, how, count) in self.iter() {
            let before = earlier.0.get(&what).and_then(|all| all.get(&how)).copied().unwrap_or_default();
            let more = count.get().saturating_sub(before.get());
            if more > 0 {
                since.add(what, how, Count::new(more));
            }
        }
        since
    }
}

/// Each count stands in an attribute of its own, whose name ends in both words.
impl<A: Term, B: Term> Value for Counts<A, B> {
    fn put(&self, name: &'static str, to: &mut Attributes) {
        for (what, how, count) in self.iter() {
            let count = i64::try_from(count.get()).unwrap_or(i64::MAX);
            to.push(&format!("{name}.{what}.{how}"), any_value::Value::IntValue(count));
        }
    }

    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
        let mut counts = Self::default();
        for (rest, value) in from.below(name) {
            let words = rest.split_once('.').and_then(|(what, how)| Some((A::of_word(what)?, B::of_word(how)?)));
            // A newer hubwatch can know more words.
            let Some((what, how)) = words else { continue };
            let Scalar::Integer(count) = value else { return Err(RecordError::Unreadable(name)) };
            counts.add(what, how, Count::new(u64::try_from(*count).map_err(|_| RecordError::Unreadable(name))?));
        }
        Ok(counts)
    }
}

#[cfg(test)]
impl<A, B> proptest::arbitrary::Arbitrary for Counts<A, B>
where
    A: Term + proptest::arbitrary::Arbitrary + 'static,
    B: Term + proptest::arbitrary::Arbitrary + 'static,
{
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        let counts = proptest::collection::vec(any::<(A, B, Count)>(), 0..4);
        let sum = |counts: Vec<_>| {
            let mut all = Self::default();
            counts.into_iter().for_each(|(what, how, count)| all.add(what, how, count));
            all
        };
        counts.prop_map(sum).boxed()
    }
}
