//! Storms: the same line again and again. A few samples go out, the rest is one count.

use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::Range;

use foldhash::quality::RandomState;
use serde::{Deserialize, Serialize};

use crate::hub::lines::mask::{self, Mask};
use crate::hub::lines::meaning;
use crate::watch::{Bytes, Count, Micros, Storm, Text, Timestamp};

/// How many equal lines go out before the rest is collapsed: enough to see what it was, few enough to cost nothing.
pub(crate) const SAMPLES: u64 = 10;

/// Equal lines further apart than this are not a storm: the hub's disconnect storm writes thousands within a third of a second.
pub(crate) const QUIET: Micros = Micros::new(2_000_000);

/// How many different lines are looked at at once. A storm's own line stays among them by repeating.
pub(crate) const MAX_TEXTS: usize = 256;

/// The texts stand in sets of this size: a line is looked for in one set only, so that any number of different lines costs the same.
const WAYS: usize = 8;

/// A line with its time left out: what must be equal for lines to be the same.
#[derive(Debug, Clone, Copy)]
pub struct Untimed<'a> {
    before: &'a str,
    after: &'a str,
}

impl<'a> Untimed<'a> {
    /// The line without what stands at `time`.
    pub fn new(line: &'a str, time: Option<Range<usize>>) -> Self {
        let split = time.and_then(|time| Some((line.get(..time.start)?, line.get(time.end..)?)));
        let (before, after) = split.unwrap_or((line, ""));
        Self { before, after }
    }

    /// The hasher has a random seed in each run, so that crafted lines can't collide in one set. A collision would only make a
    /// count wrong.
    fn hash(&self, state: &RandomState) -> u64 {
        let mut hasher = state.build_hasher();
        hasher.write(self.before.as_bytes());
        hasher.write(self.after.as_bytes());
        hasher.finish()
    }

    fn owned(&self) -> String {
        [self.before, self.after].concat()
    }

    fn is(&self, line: &str) -> bool {
        line.len() == self.before.len() + self.after.len() && line.starts_with(self.before) && line.ends_with(self.after)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    /// The line without its time.
    line: String,
    /// The line's message, once it is a storm.
    text: Text,
    seen: u64,
    collapsed: u64,
    bytes: u64,
    first: Timestamp,
    last: Timestamp,
}

/// The lines seen lately.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Run>", into = "Vec<Run>")]
pub struct Storms {
    state: RandomState,
    sets: Vec<Vec<Run>>,
    /// Where the latest line stands: its set and its place there. In a storm the next line stands there, too.
    latest: (usize, usize),
}

impl From<Vec<Run>> for Storms {
    fn from(runs: Vec<Run>) -> Self {
        let mut storms = Self::default();
        for run in runs {
            let set = storms.set(Untimed { before: &run.line, after: "" });
            storms.sets[set].push(run);
        }
        storms
    }
}

impl From<Storms> for Vec<Run> {
    /// Only what repeats is worth keeping. Of a line that must not be kept only the count is.
    fn from(storms: Storms) -> Self {
        let runs = storms.sets.into_iter().flatten().filter(|run| run.seen > 1);
        let kept = runs.filter_map(|run| match (mask::is_private(&run.line), run.collapsed) {
            (false, _) => Some(run),
            (true, 0) => None,
            (true, _) => Some(Run { line: String::new(), text: Text::new(Mask::default().text(run.text.as_str())), ..run }),
        });
        kept.collect()
    }
}

impl Storms {
    /// Takes a line in; whether it is collapsed (true) or goes out by itself. `size` is its length with the line end.
    pub fn line(&mut self, line: Untimed<'_>, text: &str, size: u64, at: Timestamp) -> bool {
        let (set, place) = self.latest;
        if let Some(run) = self.sets.get_mut(set).and_then(|set| set.get_mut(place)).filter(|run| line.is(&run.line)) {
            return run.meet(text, size, at);
        }
        let index = self.set(line);
        let set = &mut self.sets[index];
        if let Some(place) = set.iter().position(|run| line.is(&run.line)) {
            self.latest = (index, place);
            return set[place].meet(text, size, at);
        }
        if set.len() < WAYS {
            self.latest = (index, set.len());
            set.push(Run::new(line, at));
        } else if let Some(weakest) = set.iter_mut().filter(|run| run.collapsed == 0).min_by_key(|run| (run.seen, run.last)) {
            weakest.replace(line, at);
        }
        false
    }

    fn set(&mut self, line: Untimed<'_>) -> usize {
        if self.sets.is_empty() {
            self.sets.resize_with(MAX_TEXTS / WAYS, Vec::new);
        }
        // The remainder is less than the number of sets.
        usize::try_from(line.hash(&self.state) % (MAX_TEXTS / WAYS) as u64).unwrap_or(0)
    }

    /// The storms to report at the end of an interval; counting starts again.
    pub fn report(&mut self, now: Timestamp) -> Vec<Storm> {
        let runs = self.sets.iter_mut().flatten();
        let mut storms: Vec<Storm> = runs.filter(|run| run.collapsed > 0).map(Run::take).collect();
        storms.sort_by(|one, other| (one.first, &one.line).cmp(&(other.first, &other.line)));
        for set in &mut self.sets {
            set.retain(|run| now.since(run.last) < QUIET);
        }
        storms
    }
}

impl Run {
    fn new(line: Untimed<'_>, at: Timestamp) -> Self {
        Self { line: line.owned(), text: Text::default(), seen: 1, collapsed: 0, bytes: 0, first: at, last: at }
    }

    /// Takes the place over, its memory included.
    fn replace(&mut self, line: Untimed<'_>, at: Timestamp) {
        self.line.clear();
        self.line.push_str(line.before);
        self.line.push_str(line.after);
        self.begin(at);
    }

    /// The line again. A storm whose count is not reported yet stays until the interval's end.
    fn meet(&mut self, text: &str, size: u64, at: Timestamp) -> bool {
        if at.since(self.last) < QUIET || self.collapsed > 0 {
            return self.again(text, size, at);
        }
        self.begin(at);
        false
    }

    fn begin(&mut self, at: Timestamp) {
        (self.seen, self.collapsed, self.bytes, self.first, self.last) = (1, 0, 0, at, at);
    }

    fn again(&mut self, text: &str, size: u64, at: Timestamp) -> bool {
        self.seen = self.seen.saturating_add(1);
        self.last = self.last.max(at);
        if self.seen <= SAMPLES {
            return false;
        }
        if self.collapsed == 0 {
            self.first = at;
            if self.text.as_str() != text {
                self.text = Text::new(text);
            }
        }
        self.collapsed += 1;
        self.bytes = self.bytes.saturating_add(size);
        true
    }

    fn take(&mut self) -> Storm {
        let storm = Storm {
            line: self.text.clone(),
            count: Count::new(std::mem::take(&mut self.collapsed)),
            bytes: Bytes::new(std::mem::take(&mut self.bytes)),
            first: self.first,
            last: self.last,
            means: meaning::of_storm(self.text.as_str()).map(Text::new),
        };
        self.first = self.last;
        storm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(line: &str) -> Untimed<'_> {
        Untimed::new(line, None)
    }

    #[test]
    fn lines_of_one_text_that_differ_in_anything_but_their_time_are_not_the_same() {
        let mut storms = Storms::default();
        let out = (0..1_000u64).filter(|index| {
            let line = format!("{{\"time\":\"{index:05}\",\"client\":{index},\"msg\":\"same\"}}");
            !storms.line(Untimed::new(&line, Some(8..15)), "same", 40, Timestamp::new(*index))
        });
        assert_eq!(out.count(), 1_000);
        let out = (0..1_000u64).filter(|index| {
            let line = format!("{{\"time\":\"{index:05}\",\"msg\":\"same\"}}");
            !storms.line(Untimed::new(&line, Some(8..15)), "same", 40, Timestamp::new(*index))
        });
        assert_eq!(out.count() as u64, SAMPLES);
    }

    #[test]
    fn a_storm_among_many_other_lines_is_still_collapsed() {
        let mut storms = Storms::default();
        let out = (0..3_000u64).filter(|index| {
            for other in 0..40u64 {
                let line = format!("line {index} {other}");
                assert!(!storms.line(bare(&line), "line", 9, Timestamp::new(*index)));
            }
            !storms.line(bare("storm"), "storm", 6, Timestamp::new(*index))
        });
        assert!(out.count() < 100);
    }

    #[test]
    fn samples_and_collapsed_lines_add_up_to_the_lines_written() {
        let mut storms = Storms::default();
        let out =
            (0..2_168u64).filter(|index| !storms.line(bare("same"), "same", 40, Timestamp::from_millis(index / 7))).count() as u64;
        let reported = storms.report(Timestamp::from_secs(1));
        assert_eq!(out, SAMPLES);
        assert_eq!(reported.len(), 1);
        assert_eq!(out + reported[0].count.get(), 2_168);
        assert_eq!(reported[0].bytes.get(), reported[0].count.get() * 40);
        assert!(storms.report(Timestamp::from_secs(60)).is_empty());
    }

    #[test]
    fn lines_that_differ_are_never_collapsed() {
        let mut storms = Storms::default();
        assert!((0..5_000u64).all(|index| !storms.line(bare(&format!("line {index}")), "line", 9, Timestamp::new(index))));
    }

    #[test]
    fn equal_lines_far_apart_are_no_storm() {
        let mut storms = Storms::default();
        assert!((0..100u64).all(|index| !storms.line(bare("beat"), "beat", 5, Timestamp::from_secs(index * 10))));
    }
}
