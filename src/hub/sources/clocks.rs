//! Two clocks that may be wrong: the hub's, by which it dates its lines and answers, and ours, which may jump.
//!
//! All that the interpreter remembers stands on one steady line of time: our clock as it would be without its jumps. Times of ours
//! come in and go out through [`Clocks::steady`] and [`Clocks::wall`]. Times of the hub are translated by how far its clock is ahead,
//! which each answer of its API shows; so what two of its lines are apart stays exact.

use serde::{Deserialize, Serialize};

use crate::watch::{CallFact, FactKind, LogFact, Micros, Timestamp, When};

/// Clocks that differ by less than this are taken for the same: an answer's way and a process that is late take a part of it.
pub(crate) const SAME_CLOCK: Micros = Micros::new(1_000_000);

/// A time that an answer states, and between which times of ours it was stated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// By the hub's clock.
    pub said: Timestamp,
    /// When the request went out.
    pub asked: Timestamp,
    /// When the answer was there.
    pub answered: Timestamp,
}

/// What is known of both clocks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Clocks {
    /// How far the hub's clock is ahead of the steady time, in microseconds; `None` before an answer has shown it.
    ahead: Option<i64>,
    /// How far it is ahead if it jumped together with ours; the next answer shows if it did.
    together: Option<i64>,
    /// When it was last set since the hub's present process was first seen: at the latest then, on the steady line.
    #[serde(default)]
    set_at: Option<Timestamp>,
    /// How far our clock has jumped in all.
    jumped: i64,
}

impl Clocks {
    /// A time of our clock on the steady line.
    pub(crate) fn steady(&self, wall: Timestamp) -> Timestamp {
        wall.shifted(self.jumped.saturating_neg())
    }

    /// A time of the steady line by our clock as it is now.
    pub(crate) fn wall(&self, steady: Timestamp) -> Timestamp {
        steady.shifted(self.jumped)
    }

    /// The same of a time that is not known exactly.
    pub(crate) fn wall_when(&self, when: When) -> When {
        When::between(self.wall(when.earliest()), self.wall(when.latest()))
    }

    /// Gives the times inside a fact by our clock as it is now.
    pub(crate) fn to_wall(&self, fact: &mut FactKind) {
        if let FactKind::Call(CallFact::CallEnded(call)) = fact {
            call.started = self.wall(call.started);
        }
        if let FactKind::Log(LogFact::Storm(storm)) = fact {
            (storm.first, storm.last) = (self.wall(storm.first), self.wall(storm.last));
        }
        crate::hub::observations::retime(fact, |at| self.wall(at));
    }

    /// Our clock jumped. On one machine the hub's did, too.
    pub(crate) fn jump(&mut self, by: i64) {
        self.jumped = self.jumped.saturating_add(by);
        self.together = Some(self.ahead().saturating_add(by));
    }

    /// How far the hub's clock is ahead of the steady time, in microseconds.
    pub(crate) fn ahead(&self) -> i64 {
        self.ahead.unwrap_or(0)
    }

    /// Whether an answer has shown the hub's clock.
    pub(crate) const fn is_known(&self) -> bool {
        self.ahead.is_some()
    }

    /// Whether the hub's clock was set since its process was first seen: times from before and after that can't be compared.
    pub(crate) const fn was_set(&self) -> bool {
        self.set_at.is_some()
    }

    /// When it was last set, at the latest, on the steady line: how long ago something was before that, its times don't tell.
    pub(crate) const fn set_at(&self) -> Option<Timestamp> {
        self.set_at
    }

    /// Another process of the hub is there: all its times are of its clock as it is now, as far as is known.
    pub(crate) fn begins(&mut self) {
        self.set_at = None;
    }

    /// How far ahead the hub's clock is, as this answer shows. What was known stays while it is not plainly wrong, so that answers
    /// that take longer or less long don't move the hub's times to and fro.
    pub(crate) fn ahead_by(&self, reading: Option<Reading>) -> Option<i64> {
        let Some(Reading { said, asked, answered }) = reading else { return self.ahead };
        let (least, most) = (distance(answered, said), distance(asked, said));
        let slack = i64::try_from(SAME_CLOCK.get()).unwrap_or(i64::MAX);
        let fits = |ahead: &i64| (least.saturating_sub(slack)..=most.saturating_add(slack)).contains(ahead);
        self.ahead.filter(fits).or(Some(0).filter(fits)).or(Some(least))
    }

    /// Takes up what an answer shows of the hub's clock; whether that is news.
    pub(crate) fn learn(&mut self, reading: Option<Reading>) -> bool {
        let ahead = self.ahead_by(reading);
        let before = std::mem::replace(&mut self.ahead, ahead);
        if let Some(Reading { answered, .. }) = reading {
            self.together = None;
            if before.is_some() && before != ahead {
                self.set_at = Some(answered);
            }
        }
        before != ahead
    }

    /// When something that the hub dated was, on the steady line.
    pub(crate) fn ours(&self, said: Timestamp) -> Timestamp {
        said.shifted(self.ahead().saturating_neg())
    }

    /// When a line was written that says `said`, on the steady line. No line was written after it was `read`. Where it was not there
    /// when its source was read to the end before, at `earliest`, it was written after that, or it was late.
    pub(crate) fn written(&self, said: Timestamp, earliest: Timestamp, read: Timestamp) -> When {
        let at = self.ours(said);
        if fits(at, earliest, read) {
            return When::At(at);
        }
        let together = self.together.map(|ahead| said.shifted(ahead.saturating_neg()));
        if let Some(at) = together.filter(|at| fits(*at, earliest, read)) {
            return When::At(at);
        }
        // What is late by a clock that is known came late.
        if at > read || self.ahead.is_none() { When::between(earliest.min(read), read) } else { When::At(at) }
    }

    /// When a message of the event stream was sent that says `said`, on the steady line. The stream is in order and sent at once:
    /// what was not there when it was last read, at `earliest`, was sent after that, whatever the hub's clock says.
    pub(crate) fn sent(&self, said: Timestamp, earliest: Timestamp, read: Timestamp) -> When {
        match self.written(said, earliest, read) {
            When::At(at) if fits(at, earliest, read) => When::At(at),
            When::At(_) | When::Between { .. } => When::between(earliest.min(read), read),
        }
    }

    /// The same once more is known of the clock. A line of before it was set keeps the time that fits.
    pub(crate) fn corrected(&self, before: When, said: Timestamp, earliest: Timestamp, read: Timestamp) -> When {
        let at = self.ours(said);
        if fits(at, earliest, read) { When::At(at) } else { before }
    }
}

/// Whether a line can have been written then.
pub(super) fn fits(at: Timestamp, earliest: Timestamp, read: Timestamp) -> bool {
    let is_late = earliest < read && at.plus(SAME_CLOCK) < earliest;
    !is_late && at <= read.plus(SAME_CLOCK)
}

/// From one time to another, in microseconds; negative into the past.
pub(super) fn distance(from: Timestamp, to: Timestamp) -> i64 {
    let part = |micros: Micros| i64::try_from(micros.get()).unwrap_or(i64::MAX);
    part(to.since(from)) - part(from.since(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    /// An answer of a hub whose clock is so many seconds ahead.
    fn reading(seconds: u64, ahead: i64, took: u64) -> Option<Reading> {
        let said = at(seconds).shifted(ahead * 1_000_000);
        Some(Reading { said, asked: at(seconds).minus(Micros::new(took)), answered: at(seconds) })
    }

    #[test]
    fn a_clock_that_is_less_than_a_second_off_is_ours_and_slow_answers_change_nothing() {
        let mut clocks = Clocks::default();
        assert!(clocks.learn(reading(0, 0, 3_000)));
        assert!(!clocks.learn(reading(15, 0, 8_000_000)));
        assert_eq!((clocks.ahead(), clocks.was_set()), (0, false));
        clocks.learn(reading(30, -171, 3_000));
        assert_eq!((clocks.ahead(), clocks.was_set()), (-171_000_000, true));
        assert!(!clocks.learn(reading(45, -171, 8_000_000)));
        assert_eq!(clocks.ours(at(50).shifted(-171_000_000)), at(50));
    }

    #[test]
    fn no_line_was_written_after_it_was_read_nor_before_what_was_read_before_it() {
        let mut clocks = Clocks::default();
        let window = When::between(at(9), at(10));
        assert_eq!(clocks.written(at(100), at(9), at(10)), window);
        assert_eq!(clocks.written(at(5), at(9), at(10)), window, "nothing is known of the clock yet");
        clocks.learn(reading(0, 0, 3_000));
        assert_eq!(clocks.written(at(100), at(9), at(10)), window, "the clock was set forward since the last answer");
        assert_eq!(clocks.written(at(5), at(9), at(10)), When::At(at(5)), "it came late");
    }

    #[test]
    fn no_message_of_the_stream_was_sent_before_it_was_last_read_though_the_hub_s_clock_was_set_back_meanwhile() {
        let mut clocks = Clocks::default();
        clocks.learn(reading(0, 0, 3_000));
        assert_eq!(clocks.sent(at(95), at(90), at(100)), When::At(at(95)));
        assert_eq!(clocks.sent(at(5), at(90), at(100)), When::between(at(90), at(100)), "set back");
        assert_eq!(clocks.sent(at(500), at(90), at(100)), When::between(at(90), at(100)), "set forward");
        clocks.jump(30 * 86_400_000_000);
        assert_eq!(clocks.sent(at(95 + 30 * 86_400), at(90), at(100)), When::At(at(95)), "both clocks are one");
        assert_eq!(clocks.sent(at(95), at(90), at(100)), When::At(at(95)), "the hub has a clock of its own");
    }

    #[test]
    fn our_clock_s_jumps_move_neither_what_is_remembered_nor_the_hub_s_lines() {
        let mut clocks = Clocks::default();
        clocks.learn(reading(0, 0, 3_000));
        clocks.jump(90_000_000);
        assert_eq!((clocks.steady(at(100)), clocks.wall(at(10))), (at(10), at(100)));
        // The hub is elsewhere; the hub is on the same machine.
        assert_eq!(clocks.written(at(10), at(9), at(11)), When::At(at(10)));
        assert_eq!(clocks.written(at(100), at(9), at(11)), When::At(at(10)));
        clocks.learn(reading(20, 90, 3_000));
        assert_eq!(clocks.written(at(115), at(9), at(26)), When::At(at(25)));
    }
}
