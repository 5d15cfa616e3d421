//! The sidecar's clock: the wall clock's time, moved on by the monotonic one.

use std::time::Instant;

use crate::watch::{Micros, Timestamp};

/// A wall clock that is further away than this from where the monotonic clock puts it has jumped; less is drift, which is followed
/// silently at the next anchor.
pub const JUMP: Micros = Micros::new(1_000_000);

/// Gives times that don't run backwards unless the wall clock jumps, and tells when it does.
#[derive(Debug)]
pub struct Clock {
    wall: Timestamp,
    monotonic: Instant,
}

/// A reading of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The time.
    pub now: Timestamp,
    /// By how many microseconds the wall clock jumped since the last reading, if it did; negative is into the past.
    pub jump: Option<i64>,
}

impl Clock {
    /// Anchored at the present.
    pub fn start() -> Self {
        Self { wall: Timestamp::now(), monotonic: Instant::now() }
    }

    /// The present.
    pub fn read(&mut self) -> Reading {
        self.read_at(Timestamp::now(), Instant::now())
    }

    fn read_at(&mut self, wall: Timestamp, monotonic: Instant) -> Reading {
        let expected = self.wall.plus(Micros::from_duration(monotonic.saturating_duration_since(self.monotonic)));
        let ahead = wall.since(expected);
        let behind = expected.since(wall);
        if ahead.max(behind) <= JUMP {
            return Reading { now: expected, jump: None };
        }
        self.wall = wall;
        self.monotonic = monotonic;
        let by = i64::try_from(ahead.max(behind).get()).unwrap_or(i64::MAX);
        Reading { now: wall, jump: Some(if ahead > behind { by } else { -by }) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_goes_on_with_the_monotonic_clock_and_a_jump_is_told_once() {
        let (wall, monotonic) = (Timestamp::from_secs(1_000), Instant::now());
        let mut clock = Clock { wall, monotonic };
        let later = monotonic + Duration::from_secs(10);
        // Half a second of drift is not followed, an hour is.
        assert_eq!(
            clock.read_at(Timestamp::from_millis(1_010_500), later),
            Reading { now: Timestamp::from_secs(1_010), jump: None }
        );
        assert_eq!(clock.read_at(Timestamp::from_secs(4_610), later).jump, Some(3_600_000_000));
        assert_eq!(clock.read_at(Timestamp::from_secs(4_610), later).jump, None);
        assert_eq!(clock.read_at(Timestamp::from_secs(1_010), later).jump, Some(-3_600_000_000));
    }
}
