//! How often each size occurred, in one attribute: exact for small numbers, to an eighth for large ones.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::read::ReadAttributes;
use super::record::{Attributes, RecordError, Value, put_str, take_str};

/// Each doubling has this many buckets: a bucket's end is at most an eighth beyond what was put into it.
const PARTS: u64 = 8;
const PARTS_LOG2: u64 = PARTS.ilog2() as u64;

/// With more buckets than this, neighbours are joined: the text must fit one attribute (1 KiB), 15 bytes a bucket.
const MAX_BUCKETS: usize = 64;

/// More than this in one bucket can't happen in an interval; the limit keeps the text short.
const MAX_COUNT: u64 = 9_999_999_999;

/// Counts by size. A bucket's number says its end: see [`Histogram::end_of`].
///
/// The text is `number:count` for each bucket that is not empty, ascending and separated by spaces. Numbers below 16 are the sizes
/// themselves; bucket `n` from 16 on holds what is not above `(9 + n % 8) * 2^(n / 8 - 1) - 1` and above the end of the bucket before.
/// If there were more than 64 buckets, neighbours were joined under the higher number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    /// Adds one of this size.
    pub fn add(&mut self, size: u64) {
        self.put_into(Self::number_of(size), 1);
    }

    /// Adds all of another one.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(number, count)| self.put_into(*number, *count));
    }

    /// Returns how many there are.
    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns each bucket's end (inclusive) and count, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(number, count)| (Self::end_of(*number), *count))
    }

    /// Returns the end of the bucket that holds the so many thousandths by nearest rank: no more than an eighth above the true size.
    pub fn at_most(&self, permille: u64) -> Option<u64> {
        let rank = (u128::from(self.count()) * u128::from(permille)).div_ceil(1_000).max(1);
        let mut below = 0_u128;
        let reached = self.0.iter().find(|(_, count)| {
            below += u128::from(**count);
            below >= rank
        });
        reached.map(|(number, _)| Self::end_of(*number))
    }

    fn put_into(&mut self, number: u16, count: u64) {
        let here = self.0.entry(number).or_default();
        *here = here.saturating_add(count).min(MAX_COUNT);
        let mut joined = 1;
        while self.0.len() > MAX_BUCKETS {
            self.join(joined);
            joined += 1;
        }
    }

    /// Joins groups of `2^bits` neighbours.
    fn join(&mut self, bits: u32) {
        let last_of_group = |number: u16| number | ((1 << bits) - 1);
        for (number, count) in std::mem::take(&mut self.0) {
            let here = self.0.entry(last_of_group(number)).or_default();
            *here = here.saturating_add(count).min(MAX_COUNT);
        }
    }

    fn number_of(size: u64) -> u16 {
        let doublings = u64::from(size.checked_ilog2().unwrap_or(0));
        let number = match doublings.checked_sub(PARTS_LOG2) {
            None => size,
            Some(shift) => (shift + 1) * PARTS + ((size >> shift) & (PARTS - 1)),
        };
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// Returns the largest size that the bucket of this number holds.
    fn end_of(number: u16) -> u64 {
        let number = u64::from(number);
        let Some(shift) = (number / PARTS).checked_sub(1) else { return number };
        let next = (u128::from(PARTS + number % PARTS) + 1) << shift.min(64);
        u64::try_from(next - 1).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (number, count)) in self.0.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{number}:{count}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Histogram {
    type Err = NotAHistogram;

    fn from_str(text: &str) -> Result<Self, NotAHistogram> {
        let bucket = |word: &str| -> Option<(u16, u64)> {
            let (number, count) = word.split_once(':')?;
            Some((number.parse().ok()?, count.parse().ok()?))
        };
        let mut all = Self::default();
        for word in text.split_ascii_whitespace() {
            let (number, count) = bucket(word).ok_or(NotAHistogram)?;
            all.put_into(number, count);
        }
        Ok(all)
    }
}

/// A text that is no [`Histogram`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a histogram: it must be like `57:3 58:12`")]
pub struct NotAHistogram;

impl Value for Histogram {
    fn put(&self, name: &'static str, to: &mut Attributes) {
        put_str(&self.to_string(), name, to);
    }

    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
        take_str(name, from)?.parse().map_err(|NotAHistogram| RecordError::Unreadable(name))
    }
}

#[cfg(test)]
impl proptest::arbitrary::Arbitrary for Histogram {
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        let sizes = proptest::collection::vec(prop_oneof![any::<u64>(), 0..1_000_000u64], 0..40);
        let all = |sizes: Vec<u64>| {
            let mut all = Self::default();
            sizes.into_iter().for_each(|size| all.add(size));
            all
        };
        sizes.prop_map(all).boxed()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text::MAX_TEXT_BYTES;
    use super::*;

    proptest! {
        #[test]
        fn a_bucket_ends_at_most_an_eighth_above_what_is_in_it(size: u64) {
            let end = Histogram::end_of(Histogram::number_of(size));
            prop_assert!(end >= size && end - size <= size / 8, "{size} {end}");
        }

        #[test]
        fn a_text_gives_back_what_it_was_made_of_and_fits_an_attribute(
            sizes in proptest::collection::vec(any::<u64>(), 0..400), repeat in 1_u64..MAX_COUNT,
        ) {
            let mut all = Histogram::default();
            sizes.iter().for_each(|size| all.put_into(Histogram::number_of(*size), repeat));
            let text = all.to_string();
            prop_assert!(text.len() <= MAX_TEXT_BYTES, "{}", text.len());
            prop_assert_eq!(text.parse::<Histogram>().unwrap(), all);
        }

        #[test]
        fn what_is_joined_is_still_counted_and_never_below_its_size(sizes in proptest::collection::vec(any::<u64>(), 1..300)) {
            let mut all = Histogram::default();
            sizes.iter().for_each(|size| all.add(*size));
            prop_assert_eq!(all.count(), sizes.len() as u64);
            let longest = sizes.iter().max().copied().unwrap_or(0);
            prop_assert!(all.at_most(1_000).unwrap() >= longest);
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut all = Histogram::default();
        assert_eq!(all.at_most(950), None);
        (1..=10).for_each(|size| all.add(size));
        assert_eq!((all.at_most(500), all.at_most(950), all.at_most(0)), (Some(5), Some(10), Some(1)));
    }

    #[test]
    fn powers_of_two_end_their_buckets() {
        for size in [16_u64, 64, 256, 1 << 20] {
            assert!(Histogram::end_of(Histogram::number_of(size - 1)) < size, "{size}");
        }
    }

    #[test]
    fn what_is_no_histogram_is_an_error() {
        for text in ["a", "1", "1:", ":1", "1:-1", "70000:1"] {
            assert_eq!(text.parse::<Histogram>(), Err(NotAHistogram), "{text}");
        }
    }
}
