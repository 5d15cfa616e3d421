//! The sidecar's clocks: [`Clock`] is the wall clock, advanced by the monotonic one; [`Pulse`] detects that the process stood
//! still.

use std::time::{Duration, Instant};

use crate::watch::{Micros, Timestamp};

/// A larger difference between the wall clock and the monotonic one is a jump; a smaller one is drift, which is ignored until the
/// next jump.
pub const JUMP: Micros = Micros::new(1_000_000);

/// A jump of the wall clock is believed after this time. A clock that is wrong for some seconds changes nothing, while a Watch dated by
/// it would be outside the period that a report reads. What is watched until then is dated by the clock as it was before.
pub const HELD: Duration = Duration::from_secs(30);

/// Returns times that never run backwards, unless the wall clock jumps, and reports jumps.
#[derive(Debug)]
pub struct Clock {
    wall: Timestamp,
    monotonic: Instant,
    astray: Option<Astray>,
    /// How far it has jumped in all.
    jumped: i64,
}

/// A wall clock that has jumped and is not believed yet.
#[derive(Debug, Clone, Copy)]
struct Astray {
    since: Instant,
    /// By how many microseconds it is ahead; negative is behind.
    by: i64,
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
        Self::anchored(Timestamp::now(), Instant::now())
    }

    /// Anchored where both clocks show this.
    pub const fn anchored(wall: Timestamp, monotonic: Instant) -> Self {
        Self { wall, monotonic, astray: None, jumped: 0 }
    }

    /// A time that was read now, as it would be without all jumps: it can be compared with one of before a jump.
    pub const fn steady(&self, now: Timestamp) -> Timestamp {
        now.shifted(self.jumped.saturating_neg())
    }

    /// Such a time by the clock as it is now.
    pub const fn wall(&self, steady: Timestamp) -> Timestamp {
        steady.shifted(self.jumped)
    }

    /// Returns the present time.
    pub fn read(&mut self) -> Reading {
        self.read_at(Timestamp::now(), Instant::now())
    }

    /// The time where both clocks show this.
    pub fn read_at(&mut self, wall: Timestamp, monotonic: Instant) -> Reading {
        let expected = self.wall.plus(Micros::from_duration(monotonic.saturating_duration_since(self.monotonic)));
        let by = ahead(wall, expected);
        if by.unsigned_abs() <= JUMP.get() {
            self.astray = None;
            return Reading { now: expected, jump: None };
        }
        let same = |astray: &Astray| astray.by.abs_diff(by) <= JUMP.get();
        let astray = self.astray.filter(same).unwrap_or(Astray { since: monotonic, by });
        if monotonic.saturating_duration_since(astray.since) < HELD {
            self.astray = Some(astray);
            return Reading { now: expected, jump: None };
        }
        *self = Self { jumped: self.jumped.saturating_add(by), ..Self::anchored(wall, monotonic) };
        Reading { now: wall, jump: Some(by) }
    }
}

/// By how many microseconds one time is later than another.
fn ahead(one: Timestamp, other: Timestamp) -> i64 {
    let part = |micros: Micros| i64::try_from(micros.get()).unwrap_or(i64::MAX);
    part(one.since(other)) - part(other.since(one))
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
        let mut clock = Clock::anchored(wall, monotonic);
        let mut read =
            |second: u64, said: u64| clock.read_at(Timestamp::from_millis(said), monotonic + Duration::from_secs(second));
        let goes_on = |second: u64| Reading { now: Timestamp::from_secs(1_000 + second), jump: None };
        // Half a second of drift is not followed, an hour is.
        assert_eq!(read(10, 1_010_500), goes_on(10));
        assert_eq!(read(11, 4_611_000), goes_on(11), "not yet");
        assert_eq!(read(40, 4_640_000), goes_on(40));
        assert_eq!(read(41, 4_641_000), Reading { now: Timestamp::from_secs(4_641), jump: Some(3_600_000_000) });
        assert_eq!(read(42, 4_642_000).jump, None);
        assert_eq!(read(50, 1_050_000), Reading { now: Timestamp::from_secs(4_650), jump: None });
        assert_eq!(read(80, 1_080_000), Reading { now: Timestamp::from_secs(1_080), jump: Some(-3_600_000_000) });
    }

    #[test]
    fn a_clock_that_is_wrong_for_some_seconds_is_not_followed_however_often_it_is() {
        let (wall, monotonic, month) = (Timestamp::from_secs(1_000_000_000), Instant::now(), 30 * 86_400_000_000);
        let mut clock = Clock::anchored(wall, monotonic);
        for second in 0..600 {
            let now = wall.plus(Micros::new(second * 1_000_000));
            // Wrong for 20 s out of 40, and each time by another distance.
            let by = if second / 20 % 2 == 1 { month + i64::try_from(second / 40).unwrap() * 90_000_000 } else { 0_i64 };
            let said = now.shifted(if second / 40 % 2 == 1 { -by } else { by });
            let read = clock.read_at(said, monotonic + Duration::from_secs(second));
            assert_eq!(read, Reading { now, jump: None }, "{second}");
        }
    }
}
