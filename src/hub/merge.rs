//! Several sources that show the same: each event of the hub counts once, whichever source showed it first, and is completed from
//! the others. The first line of a text in one source is the first line of that text in the other, the second the second.

use std::collections::{HashMap, VecDeque};

use crate::watch::{Micros, Timestamp};

/// Lines of two sources are the same event only within this time: the follower looks at the file four times a second, and the event
/// stream holds lines back for 0.1 s at most (`captures/fork-pino/events.sse`).
pub const WINDOW: Micros = Micros::new(2_000_000);

/// More lines of one text than this within the window are a storm: further ones are not paired.
pub const MAX_PER_TEXT: usize = 64;

/// More texts than any hub writes within the window; beyond it lines are not paired.
pub const MAX_TEXTS: usize = 4096;

/// Where lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum LineSource {
    /// The log: a file, or what the hub writes to a pipe.
    Log,
    /// The event stream.
    EventStream,
}

/// A line that one source showed and others may show, too.
#[derive(Debug, Clone)]
struct Occurrence {
    read: Timestamp,
    time: Option<Timestamp>,
    in_log: bool,
    in_stream: bool,
    id: u64,
}

/// Whether a line is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// No other source has shown it. The number finds what it led to.
    First(u64),
    /// Another source has shown it, under this number.
    Again(u64),
}

/// The lines of the last moments.
#[derive(Debug, Clone, Default)]
pub struct Merge {
    texts: HashMap<String, VecDeque<Occurrence>>,
    /// The oldest entries, for forgetting.
    latest_prune: Timestamp,
    next: u64,
}

impl Merge {
    /// A line of `source`, read at `read`, with its own time if it has one.
    pub fn take(&mut self, source: LineSource, text: &str, time: Option<Timestamp>, read: Timestamp) -> News {
        self.prune(read);
        let known = self.texts.contains_key(text);
        if !known && self.texts.len() >= MAX_TEXTS {
            return News::First(self.number());
        }
        if let Some(occurrences) = self.texts.get_mut(text) {
            let same = |one: &&mut Occurrence| !one.is_in(source) && one.can_be(time, read);
            if let Some(occurrence) = occurrences.iter_mut().find(same) {
                occurrence.mark(source);
                return News::Again(occurrence.id);
            }
        }
        let id = self.number();
        let mut occurrence = Occurrence { read, time, in_log: false, in_stream: false, id };
        occurrence.mark(source);
        let occurrences = self.texts.entry(text.to_owned()).or_default();
        if occurrences.len() < MAX_PER_TEXT {
            occurrences.push_back(occurrence);
        }
        News::First(id)
    }

    /// Another connection to a source begins: what was seen before can't be paired any more.
    pub fn clear(&mut self) {
        self.texts.clear();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn prune(&mut self, now: Timestamp) {
        if now.since(self.latest_prune) < Micros::new(WINDOW.get() / 4) {
            return;
        }
        self.latest_prune = now;
        self.texts.retain(|_, occurrences| {
            occurrences.retain(|occurrence| now.since(occurrence.read) <= WINDOW);
            !occurrences.is_empty()
        });
    }
}

impl Occurrence {
    const fn is_in(&self, source: LineSource) -> bool {
        match source {
            LineSource::Log => self.in_log,
            LineSource::EventStream => self.in_stream,
        }
    }

    fn mark(&mut self, source: LineSource) {
        match source {
            LineSource::Log => self.in_log = true,
            LineSource::EventStream => self.in_stream = true,
        }
    }

    /// Both times are the hub's where both lines have one; otherwise it is the reading that must lie close.
    fn can_be(&self, time: Option<Timestamp>, read: Timestamp) -> bool {
        let (one, other) = match (self.time, time) {
            (Some(one), Some(other)) => (one, other),
            _ => (self.read, read),
        };
        one.since(other).max(other.since(one)) <= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn the_second_line_of_one_source_is_another_event_and_that_of_another_source_is_not() {
        let mut merge = Merge::default();
        let first = merge.take(LineSource::EventStream, "x", Some(at(0)), at(1));
        let second = merge.take(LineSource::EventStream, "x", Some(at(10)), at(11));
        let (News::First(one), News::First(two)) = (first, second) else { panic!("both are news") };
        assert_eq!(merge.take(LineSource::Log, "x", None, at(250)), News::Again(one));
        assert_eq!(merge.take(LineSource::Log, "x", None, at(250)), News::Again(two));
        assert!(matches!(merge.take(LineSource::Log, "x", None, at(250)), News::First(_)));
    }

    #[test]
    fn lines_far_apart_are_different_events() {
        let mut merge = Merge::default();
        merge.take(LineSource::EventStream, "x", Some(at(0)), at(1));
        assert!(matches!(merge.take(LineSource::Log, "x", None, at(5_000)), News::First(_)));
        // Read at once, but written at different times.
        merge.take(LineSource::EventStream, "y", Some(at(5_000)), at(5_000));
        assert!(matches!(merge.take(LineSource::Log, "y", Some(at(1_000)), at(5_001)), News::First(_)));
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
                readings.push((time + stream_delay, LineSource::EventStream, texts[*text], Some(at(time))));
                // The follower sees it when it looks next.
                readings.push((time.div_ceil(log_step) * log_step, LineSource::Log, texts[*text], None));
            }
            readings.sort_by_key(|(read, ..)| *read);
            let mut merge = Merge::default();
            let news = readings.iter().filter(|(read, source, text, time)| {
                matches!(merge.take(*source, text, *time, at(*read)), News::First(_))
            });
            prop_assert_eq!(news.count(), gaps.len());
        }
    }
}
