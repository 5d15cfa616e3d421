//! The sidecar's clocks: the wall clock's time, moved on by the monotonic one ([`Clock`]), and whether the process itself runs
//! ([`Pulse`]).

use std::time::{Duration, Instant};

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

/// The loop is awake at least this often: longer than the slowest look at a quiet log, so that it costs nothing beside one.
pub const BEAT: Duration = Duration::from_millis(1_500);

/// A loop that was not awake for this long stood still, if its poll was due: a slow disk or a busy processor delays it less.
pub const STOOD_STILL: Duration = Duration::from_secs(3);

/// Notices that the process stood still: stopped by a signal, frozen with its control group, or without processor time. The clocks
/// go on meanwhile, so nothing else would tell.
#[derive(Debug)]
pub struct Pulse {
    last: Instant,
    /// When the next poll should be under way.
    poll_due: Instant,
}

impl Pulse {
    /// Awake now, with the first poll due.
    pub fn start(now: Instant) -> Self {
        Self { last: now, poll_due: now }
    }

    /// When the loop has to be awake again.
    pub fn next(&self) -> Instant {
        self.last + BEAT
    }

    /// The next poll is due then.
    pub fn poll_due(&mut self, at: Instant) {
        self.poll_due = at;
    }

    /// The loop is awake; for how long it was not, if that is so long that nobody watched. What the hub answered over such a time
    /// says nothing about it: `asking` is whether an answer was waited for.
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
