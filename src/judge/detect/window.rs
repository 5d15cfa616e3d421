//! Counting within real time.

use std::collections::VecDeque;

use crate::watch::{Micros, Timestamp};

/// What happened within the last so much time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Window {
    events: VecDeque<(Timestamp, u64)>,
    sum: u64,
}

impl Window {
    /// Adds to what happened at an instant.
    pub fn push(&mut self, at: Timestamp, count: u64) {
        let place = self.events.partition_point(|(known, _)| *known <= at);
        self.events.insert(place, (at, count));
        self.sum = self.sum.saturating_add(count);
    }

    /// Forgets what is older than `width` at `now`; gives the sum of the rest.
    pub fn within(&mut self, width: Micros, now: Timestamp) -> u64 {
        while let Some((at, count)) = self.events.front()
            && now.since(*at) > width
        {
            self.sum = self.sum.saturating_sub(*count);
            self.events.pop_front();
        }
        self.sum
    }

    /// The first and the last of what is not forgotten.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.events.front()?.0, self.events.back()?.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut window = Window::default();
        for second in [10, 20, 15, 70] {
            window.push(Timestamp::from_secs(second), 1);
        }
        assert_eq!(window.span(), Some((Timestamp::from_secs(10), Timestamp::from_secs(70))));
        assert_eq!(window.within(Micros::new(60_000_000), Timestamp::from_secs(70)), 4);
        assert_eq!(window.within(Micros::new(60_000_000), Timestamp::from_secs(76)), 2);
        assert_eq!(window.within(Micros::new(60_000_000), Timestamp::from_secs(500)), 0);
    }
}
