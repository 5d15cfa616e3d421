//! The wall clock and the monotonic clock, for whatever ages: one reading of the wall clock must not delete, end or silence anything.
//! Tests give other clocks.

use std::time::{Duration, Instant};

use crate::watch::{Micros, Timestamp};

/// The wall clock may deviate from the monotonic clock by this much plus a tenth of the time since the last reading: more is a
/// jump, less is drift or slewing.
const JUMP: Micros = Micros::new(1_000_000);

/// A reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock, which can be wrong and can jump.
    pub wall: Timestamp,
    /// Time since a moment in this process. It never jumps, and can't be compared between processes.
    pub monotonic: Duration,
}

/// Reads both clocks.
pub type ReadClocks = Box<dyn Fn() -> Clocks + Send>;

/// Returns a reader of the machine's own clocks.
pub fn of_machine() -> ReadClocks {
    let begun = Instant::now();
    Box::new(move || Clocks { wall: Timestamp::now(), monotonic: begun.elapsed() })
}

/// Since when something is so. What this run has learned of ages with the monotonic clock, whatever the wall clock does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// How old it was when it was learned of.
    lead: Micros,
    /// When that was.
    learned: Duration,
}

impl Since {
    /// Since this time, as the wall clock says now.
    pub fn new(at: Timestamp, now: Clocks) -> Self {
        Self { lead: now.wall.since(at), learned: now.monotonic }
    }

    /// How old it is now.
    pub fn age(self, now: Clocks) -> Micros {
        let since = Micros::from_duration(now.monotonic.saturating_sub(self.learned));
        Micros::new(self.lead.get().saturating_add(since.get()))
    }
}

/// Measures how long the wall clock has run without a jump.
#[derive(Debug, Default)]
pub struct Steadiness {
    last: Option<Clocks>,
    since: Duration,
}

impl Steadiness {
    /// Takes a reading; returns how long the wall clock has run without a jump, by the monotonic clock.
    pub fn held(&mut self, now: Clocks) -> Duration {
        let holds = self.last.is_some_and(|last| follows(last, now));
        self.last = Some(now);
        if !holds {
            self.since = now.monotonic;
        }
        now.monotonic.saturating_sub(self.since)
    }
}

fn follows(last: Clocks, now: Clocks) -> bool {
    let elapsed = Micros::from_duration(now.monotonic.saturating_sub(last.monotonic));
    let expected = last.wall.plus(elapsed);
    let off = now.wall.since(expected).max(expected.since(now.wall));
    off.get() <= JUMP.get() + elapsed.get() / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64, monotonic: u64) -> Clocks {
        Clocks { wall: Timestamp::from_secs(wall), monotonic: Duration::from_secs(monotonic) }
    }

    #[test]
    fn a_jump_restarts_the_steady_time_and_drift_does_not() {
        let mut steadiness = Steadiness::default();
        let mut held = |wall, monotonic| steadiness.held(at(wall, monotonic)).as_secs();
        assert_eq!([held(1_000, 0), held(1_005, 5), held(1_065, 60)], [0, 5, 60]);
        assert_eq!([held(2_592_000, 65), held(2_592_003, 68)], [0, 3], "a jump forward");
        assert_eq!([held(1_073, 73), held(1_083, 83)], [0, 10], "and back");
        assert_eq!(held(500, 84), 0, "a jump back");
    }
}
