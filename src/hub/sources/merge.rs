//! Several sources that show the same: each event of the hub counts once, whichever source showed it first, and is completed from
//! the others. The first line of a text in one source is the first line of that text in the other, the second the second.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::watch::{Micros, Timestamp, When};

/// Lines of two sources are the same event only if their times are this close: the event stream holds lines back for 0.1 s at most
/// (`tests/recordings/fork-pino/events.sse.gz`), and our clock may be a second away from the hub's.
pub const WINDOW: Micros = Micros::new(2_000_000);

/// How long a line waits for the other source to show it. One source can lag far behind the other: reading a storm while a
/// destination is slow takes tens of seconds, and a sidecar that was killed reads on from where it was.
pub const RETENTION: Micros = Micros::new(60_000_000);

/// More lines of one text than this are not waited for; the oldest is let go.
pub const MAX_PER_TEXT: usize = 256;

/// More texts than any hub writes within the time that they wait; beyond it lines are not paired.
pub const MAX_TEXTS: usize = 4096;

/// Where lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LineSource {
    /// The log: a file, or what the hub writes to a pipe.
    Log,
    /// What the hub writes to a pipe while its log is a file.
    Output,
    /// The event stream.
    EventStream,
}

/// A set of sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources(u8);

impl Sources {
    /// Only this one.
    pub const fn of(source: LineSource) -> Self {
        Self(match source {
            LineSource::Log => 1,
            LineSource::EventStream => 2,
            LineSource::Output => 4,
        })
    }

    /// And this one, if it is one of them.
    #[must_use]
    pub const fn and(self, source: LineSource, belongs: bool) -> Self {
        if belongs { Self(self.0 | Self::of(source).0) } else { self }
    }

    /// Whether there is more than one.
    pub const fn are_several(self) -> bool {
        self.0.count_ones() > 1
    }

    const fn has(self, source: LineSource) -> bool {
        self.0 & Self::of(source).0 != 0
    }

    const fn has_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// A line that one source showed and another may show, too, with what it led to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Occurrence<T> {
    when: When,
    read: Timestamp,
    /// Those that showed it.
    source: Sources,
    led_to: T,
}

/// The lines that wait for another source to show them. What a line led to is kept with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Merge<T> {
    /// By a hash of their text: what waits is kept across restarts, and what people said must not be.
    waiting: HashMap<u64, VecDeque<Occurrence<T>>>,
    latest_prune: Timestamp,
}

impl<T> Default for Merge<T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), latest_prune: Timestamp::default() }
    }
}

impl<T> Merge<T> {
    /// A line of `source`: completes what its event has led to, if another source showed it before, and gives what `complete` gives.
    /// It waits no longer once all of `sources` have shown it.
    pub fn shown<R>(
        &mut self,
        source: LineSource,
        sources: Sources,
        text: &str,
        when: When,
        complete: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        if self.waiting.is_empty() {
            return None;
        }
        let text = hash(text);
        let waiting = self.waiting.get_mut(&text)?;
        // Nearly always all of them are of one source.
        let place = waiting.iter().position(|one| !one.source.has(source) && distance(one.when, when) <= WINDOW)?;
        let one = waiting.get_mut(place)?;
        one.source = one.source.and(source, true);
        let completed = complete(&mut one.led_to);
        if one.source.has_all(sources) {
            waiting.remove(place);
        }
        if waiting.is_empty() {
            self.waiting.remove(&text);
        }
        Some(completed)
    }

    /// Returns whether so few lines wait that lines without facts may wait, too.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MAX_TEXTS / 2
    }

    /// A line that no other source has shown yet waits for one to do so.
    pub fn wait(&mut self, source: LineSource, text: &str, when: When, read: Timestamp, led_to: T) {
        self.prune(read);
        let text = hash(text);
        if self.waiting.len() >= MAX_TEXTS && !self.waiting.contains_key(&text) {
            return;
        }
        let waiting = self.waiting.entry(text).or_default();
        if waiting.len() >= MAX_PER_TEXT {
            waiting.pop_front();
        }
        waiting.push_back(Occurrence { when, read, source: Sources::of(source), led_to });
    }

    /// What the waiting lines have led to.
    pub fn led_to(&mut self) -> impl Iterator<Item = &mut T> {
        self.waiting.values_mut().flatten().map(|one| &mut one.led_to)
    }

    fn prune(&mut self, now: Timestamp) {
        if now.since(self.latest_prune) < Micros::new(RETENTION.get() / 10) {
            return;
        }
        self.latest_prune = now;
        self.waiting.retain(|_, waiting| {
            waiting.retain(|one| now.since(one.read) <= RETENTION);
            !waiting.is_empty()
        });
    }
}

/// The first half of a cryptographic hash: among so few texts no two are alike in it.
fn hash(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// How far two times are apart at least.
fn distance(one: When, other: When) -> Micros {
    one.earliest().since(other.latest()).max(other.earliest().since(one.latest()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn timed(millis: u64) -> When {
        When::At(at(millis))
    }

    fn read(millis: u64) -> When {
        When::between(at(millis.saturating_sub(250)), at(millis))
    }

    fn all() -> Sources {
        Sources::of(LineSource::Log).and(LineSource::EventStream, true)
    }

    /// Whether the line is news; if so it waits.
    fn is_news(merge: &mut Merge<()>, source: LineSource, text: &str, when: When, read: Timestamp) -> bool {
        let news = merge.shown(source, all(), text, when, |()| ()).is_none();
        if news {
            merge.wait(source, text, when, read, ());
        }
        news
    }

    #[test]
    fn the_second_line_of_one_source_is_another_event_and_that_of_another_source_is_not() {
        let mut merge = Merge::default();
        let shown = |merge: &mut Merge<&'static str>, source, when| merge.shown(source, all(), "x", when, |led_to| *led_to);
        for (led_to, time) in [("one", 0), ("two", 10)] {
            assert_eq!(shown(&mut merge, LineSource::EventStream, timed(time)), None);
            merge.wait(LineSource::EventStream, "x", timed(time), at(time + 1), led_to);
        }
        assert_eq!(shown(&mut merge, LineSource::Log, read(250)), Some("one"));
        assert_eq!(shown(&mut merge, LineSource::Log, read(250)), Some("two"));
        assert_eq!(shown(&mut merge, LineSource::Log, read(250)), None);
    }

    #[test]
    fn a_third_source_completes_what_two_have_shown() {
        let three = all().and(LineSource::Output, true);
        let mut merge = Merge::default();
        merge.wait(LineSource::Log, "x", read(250), at(250), 1);
        for (source, shown) in [(LineSource::Output, Some(2)), (LineSource::EventStream, Some(3)), (LineSource::Output, None)] {
            let count = |count: &mut u32| {
                *count += 1;
                *count
            };
            assert_eq!(merge.shown(source, three, "x", timed(240), count), shown, "{source:?}");
        }
        assert_eq!(merge.led_to().count(), 0, "nothing waits any more");
    }

    #[test]
    fn lines_far_apart_are_different_events() {
        let mut merge = Merge::default();
        assert!(is_news(&mut merge, LineSource::EventStream, "x", timed(0), at(1)));
        assert!(is_news(&mut merge, LineSource::Log, "x", read(5_000), at(5_000)));
        // Read at once, but written at different times.
        assert!(is_news(&mut merge, LineSource::EventStream, "y", timed(5_000), at(5_000)));
        assert!(is_news(&mut merge, LineSource::Log, "y", timed(1_000), at(5_001)));
    }

    #[test]
    fn a_source_that_lags_behind_still_shows_the_same_event() {
        let mut merge = Merge::default();
        assert!(is_news(&mut merge, LineSource::EventStream, "x", timed(0), at(1)));
        // The log's end was last reached before the event, and again half a minute after it.
        assert!(!is_news(&mut merge, LineSource::Log, "x", When::between(at(0), at(30_000)), at(30_000)));
    }

    #[test]
    fn what_nobody_else_shows_is_forgotten() {
        let mut merge = Merge::default();
        for index in 0..1_000_000u64 {
            assert!(is_news(&mut merge, LineSource::Log, &format!("line {}", index % 3), timed(index), at(index)));
            assert!(merge.led_to().count() <= 3 * MAX_PER_TEXT);
        }
        merge.prune(at(10_000_000));
        assert_eq!(merge.led_to().count(), 0);
    }

    proptest! {
        #[test]
        fn two_whole_sources_give_each_event_once_whatever_their_delays(
            gaps in proptest::collection::vec((0..3usize, 0..400u64), 1..60), stream_delay in 0..150u64, log_step in 50..400u64,
        ) {
            let texts = ["a", "b", "c"];
            let mut readings = Vec::new();
            let mut time = 0;
            for (text, gap) in &gaps {
                time += gap;
                readings.push((time + stream_delay, LineSource::EventStream, texts[*text], timed(time)));
                // The follower sees it when it looks next.
                let looked = time.div_ceil(log_step) * log_step;
                readings.push((looked, LineSource::Log, texts[*text], When::between(at(looked.saturating_sub(log_step)), at(looked))));
            }
            readings.sort_by_key(|(read, ..)| *read);
            let mut merge = Merge::default();
            let news = readings.iter().filter(|(read, source, text, when)| is_news(&mut merge, *source, text, *when, at(*read)));
            prop_assert_eq!(news.count(), gaps.len());
        }
    }
}
