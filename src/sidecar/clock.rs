//! The sidecar's clocks: [`Clock`] is the wall clock, advanced by the monotonic one; [`Pulse`] detects that the process stood
//! still.

use std::time::{Duration, Instant};

use crate::watch::{Micros, Timestamp};

/// A larger difference between the wall clock and the monotonic one is a jump; a smaller one is drift, which is ignored until the
/// next jump.
pub const JUMP: Micros = Micros::new(1_000_000);

/// Returns times that never run backwards, unless the wall clock jumps, and reports jumps.
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
    /// The jump of the wall clock since the last reading in microseconds, if there was one; negative is into the past.
    pub jump: Option<i64>,
}

impl Clock {
    /// Starts at the present time.
    pub fn start() -> Self {
        Self { wall: Timestamp::now(), monotonic: Instant::now() }
    }

    /// Returns the present time.
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

/// The loop wakes at least this often. It is longer than the slowest polling of a quiet log, so it costs no extra wake-ups.
pub const BEAT: Duration = Duration::from_millis(1_500);

/// A loop that missed its poll and was not awake for this long stood still: a slow disk or a busy CPU delays it less.
pub const STOOD_STILL: Duration = Duration::from_secs(3);

/// Detects that the process stood still: stopped by a signal, frozen with its cgroup, or without CPU time. The clocks continue
/// meanwhile, so they don't show it.
#[derive(Debug)]
pub struct Pulse {
    last: Instant,
    /// The time when the next poll is due.
    poll_due: Instant,
}

impl Pulse {
    /// Starts awake, with the first poll due.
    pub fn start(now: Instant) -> Self {
        Self { last: now, poll_due: now }
    }

    /// Returns the time when the loop must wake again.
    pub fn next(&self) -> Instant {
        self.last + BEAT
    }

    /// Sets the time of the next poll.
    pub fn poll_due(&mut self, at: Instant) {
        self.poll_due = at;
    }

    /// Records that the loop is awake. Returns how long it was not, if it stood still. `asking` is true while a request is under
    /// way: a request that spans such a time shows nothing about the hub.
    pub fn beat(&mut self, now: Instant, asking: bool) -> Option<Duration> {
        let asleep = now.saturating_duration_since(std::mem::replace(&mut self.last, now));
        let overdue = now > self.poll_due + (STOOD_STILL - BEAT);
        (asleep >= STOOD_STILL && (asking || overdue)).then_some(asleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_sleeps_over_a_poll_or_an_answer_stood_still_and_one_that_sleeps_between_polls_did_not() {
        let (start, seconds) = (Instant::now(), Duration::from_secs);
        let mut pulse = Pulse::start(start);
        pulse.poll_due(start + seconds(15));
        assert_eq!(pulse.beat(start + seconds(2), true), None);
        assert_eq!(pulse.beat(start + seconds(12), false), None, "the poll was not due");
        assert_eq!(pulse.beat(start + seconds(42), false), Some(seconds(30)));
        pulse.poll_due(start + seconds(57));
        assert_eq!(pulse.beat(start + seconds(46), true), Some(seconds(4)), "the hub had no chance to answer");
    }

    #[test]
    fn time_goes_on_with_the_monotonic_clock_and_a_jump_is_told_once() {
        let (wall, monotonic) = (Timestamp::from_secs(1_000), Instant::now());
        let mut clock = Clock { wall, monotonic };
        let later = monotonic + Duration::from_secs(10);
        // Half a second is drift, an hour is a jump.
        assert_eq!(
            clock.read_at(Timestamp::from_millis(1_010_500), later),
            Reading { now: Timestamp::from_secs(1_010), jump: None }
        );
        assert_eq!(clock.read_at(Timestamp::from_secs(4_610), later).jump, Some(3_600_000_000));
        assert_eq!(clock.read_at(Timestamp::from_secs(4_610), later).jump, None);
        assert_eq!(clock.read_at(Timestamp::from_secs(1_010), later).jump, Some(-3_600_000_000));
    }
}
