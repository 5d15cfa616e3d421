//! How long two lines of the hub are apart, where its clock may have been set between them.

use serde::{Deserialize, Serialize};

use super::clocks::{Clocks, SAME_CLOCK, distance, fits};
use crate::watch::{Micros, Timestamp, When};

/// The time that a line states, beside what the watch knows of it. Times of the watch are on the steady line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stated {
    /// By the hub's clock.
    said: Timestamp,
    /// How far ahead that clock was taken to be, in microseconds; `None` if the stated time can't be right by what is known of it.
    ahead: Option<i64>,
    /// Whether the line was read when a line of that time is read: it is neither late nor of the future.
    fits: bool,
    /// When its source was read to the end before.
    earliest: Timestamp,
    /// When it was read.
    read: Timestamp,
}

/// What a stretch of time between two lines stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Basis {
    /// On the hub's clock, as its last answer showed it. The next answer shows whether the clock was set meanwhile.
    Clock,
    /// On the same, but a line was read long after the time that it states: it came late, or the clock was set back.
    LateByClock,
    /// On when the lines were read: they are as far apart as they state, by whatever clock.
    Reading,
}

impl Stated {
    /// Of a line that states `said` and was found to be written at `when`.
    pub(crate) fn new(said: Timestamp, when: When, earliest: Timestamp, read: Timestamp) -> Self {
        let (ahead, fits) = match when {
            When::At(at) => (Some(distance(at, said)), fits(at, earliest, read)),
            When::Between { .. } => (None, false),
        };
        Self { said, ahead, fits, earliest, read }
    }

    /// Whether it would have been read long after it was written: it came late, or the clock was set back.
    pub(crate) const fn is_late(&self) -> bool {
        self.ahead.is_some() && !self.fits
    }

    /// The same line by a clock that was set, as the hub's last answer showed it, and when it was written by that.
    pub(crate) fn corrected(self, clocks: &Clocks) -> (Self, When) {
        let window = When::between(self.earliest.min(self.read), self.read);
        let when = clocks.corrected(window, self.said, self.earliest, self.read);
        (Self::new(self.said, when, self.earliest, self.read), when)
    }

    /// Returns how long after `earlier` this line was written, and what that stands on; `None` if the hub's clock was set between them
    /// or may have been.
    pub(crate) fn since(self, earlier: Self) -> Option<(Micros, Basis)> {
        if self.said < earlier.said {
            return None;
        }
        let apart = self.said.since(earlier.said);
        let same_clock = self.ahead.is_some() && self.ahead == earlier.ahead;
        let basis = if earlier.fits && self.fits {
            same_clock.then_some(Basis::Clock)
        } else if !earlier.fits && !self.fits && self.was_read_after(earlier, apart) {
            Some(Basis::Reading)
        } else {
            same_clock.then_some(Basis::LateByClock)
        };
        basis.map(|basis| (apart, basis))
    }

    /// Whether the two lines were read as far apart as they state.
    fn was_read_after(self, earlier: Self, apart: Micros) -> bool {
        let (least, most) = (self.earliest.since(earlier.read), self.read.since(earlier.earliest));
        let slack = SAME_CLOCK.get();
        least.get() <= apart.get().saturating_add(slack) && apart.get() <= most.get().saturating_add(slack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::sources::clocks::Reading;

    const SECOND: i64 = 1_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + millis)
    }

    /// A hub whose clock is right, as its answer shows.
    fn known() -> Clocks {
        let mut clocks = Clocks::default();
        clocks.learn(Some(Reading { said: at(0), asked: at(0), answered: at(0) }));
        clocks
    }

    /// A line of the log, which is read 100 ms after the look before.
    fn logged(clocks: &Clocks, millis: u64, ahead: i64) -> Stated {
        late(clocks, millis, ahead, millis)
    }

    /// The same, but it came into sight as late as `shown`.
    fn late(clocks: &Clocks, millis: u64, ahead: i64, shown: u64) -> Stated {
        let (said, earliest, read) = (at(millis).shifted(ahead), at(shown - 50), at(shown + 50));
        Stated::new(said, clocks.written(said, earliest, read), earliest, read)
    }

    const EIGHT: Micros = Micros::new(8_000_000);

    #[test]
    fn two_lines_are_as_far_apart_as_they_state_by_a_clock_that_is_known() {
        let clocks = known();
        let (one, other) = (logged(&clocks, 10_000, 0), logged(&clocks, 18_000, 0));
        assert_eq!(other.since(one), Some((EIGHT, Basis::Clock)));
    }

    #[test]
    fn lines_of_a_log_that_is_slow_to_show_them_are_as_far_apart_as_they_state_unless_the_next_answer_says_otherwise() {
        let clocks = known();
        for (first, last) in [(18_000, 18_000), (12_000, 60_000), (10_000, 60_000)] {
            let (one, other) = (late(&clocks, 10_000, 0, first), late(&clocks, 18_000, 0, last));
            assert_eq!(other.since(one), Some((EIGHT, Basis::LateByClock)), "{first} {last}");
        }
    }

    #[test]
    fn how_far_lines_are_apart_between_which_the_clock_was_set_is_not_known() {
        let clocks = known();
        for ahead in [2, 30, 86_400, -30, -86_400] {
            let (one, other) = (logged(&clocks, 10_000, 0), logged(&clocks, 18_000, ahead * SECOND));
            assert_eq!(other.since(one), None, "{ahead} s");
        }
        // Set back by less than they are apart: the second may as well have come late.
        let (one, other) = (logged(&clocks, 10_000, 0), logged(&clocks, 18_000, -3 * SECOND));
        assert_eq!(other.since(one), Some((Micros::new(5_000_000), Basis::LateByClock)));
        // An answer showed the new clock before the second line was read.
        let mut set = clocks.clone();
        let one = logged(&clocks, 10_000, 0);
        set.learn(Some(Reading { said: at(16_000), asked: at(14_000), answered: at(14_000) }));
        assert_eq!(logged(&set, 18_000, 2 * SECOND).since(one), None);
    }

    #[test]
    fn lines_after_the_clock_was_set_are_as_far_apart_as_they_state_though_no_answer_has_shown_it() {
        let clocks = known();
        for ahead in [30, 86_400, -30, -86_400] {
            let (one, other) = (logged(&clocks, 10_000, ahead * SECOND), logged(&clocks, 18_000, ahead * SECOND));
            assert_eq!(other.since(one), Some((EIGHT, Basis::Reading)), "{ahead} s");
        }
    }
}
