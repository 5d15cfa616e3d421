//! Numbers that were seen: mostly one after the other, so that ranges hold them.

use std::collections::BTreeMap;

/// A set of numbers, as ranges: the first number of each with its last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen(BTreeMap<u32, u32>);

impl Seen {
    /// Adds a number. Returns false if it was there.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        let before = self.0.range(..=number).next_back().map(|(first, last)| (*first, *last));
        let first = match before {
            Some((_, last)) if last >= number => return false,
            Some((first, last)) if last.checked_add(1) == Some(number) => first,
            Some(_) | None => number,
        };
        let last = number.checked_add(1).and_then(|next| self.0.remove(&next)).unwrap_or(number);
        self.0.insert(first, last);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_new_once_whatever_the_order(numbers in proptest::collection::vec(0_u32..40, 0..120)) {
            let (mut seen, mut known) = (Seen::default(), std::collections::BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(seen.insert(number), known.insert(number));
            }
            let ranges = known.iter().filter(|number| !known.contains(&number.wrapping_sub(1))).count();
            prop_assert_eq!(seen.0.len(), ranges);
        }
    }

    #[test]
    fn the_last_number_of_all_is_no_exception() {
        let mut seen = Seen::default();
        assert!(seen.insert(u32::MAX) && !seen.insert(u32::MAX) && seen.insert(u32::MAX - 1) && seen.insert(0));
    }
}
