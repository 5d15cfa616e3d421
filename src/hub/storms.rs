//! Storms: the same line again and again. A few samples go out, the rest is one count.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::watch::{Bytes, Count, Micros, Storm, Text, Timestamp};

/// How many equal lines go out before the rest is collapsed: enough to see what it was, few enough to cost nothing.
pub const SAMPLES: u64 = 10;

/// Equal lines further apart than this are not a storm: the hub's disconnect storm writes thousands within a third of a second.
pub const QUIET: Micros = Micros::new(2_000_000);

/// How many different texts are looked at at once. A storm's own line stays among the latest ones by repeating.
pub const MAX_TEXTS: usize = 256;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    seen: u64,
    collapsed: u64,
    bytes: u64,
    first: Timestamp,
    last: Timestamp,
}

/// The texts seen lately.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Storms {
    runs: HashMap<String, Run>,
}

impl Storms {
    /// Takes a line in; whether it is collapsed (true) or goes out by itself. `size` is its length with the line end.
    pub fn line(&mut self, text: &str, size: u64, at: Timestamp) -> bool {
        if let Some(run) = self.runs.get_mut(text) {
            // A storm whose count is not reported yet stays until the interval's end.
            if at.since(run.last) < QUIET || run.collapsed > 0 {
                return run.again(size, at);
            }
            *run = Run::new(at);
            return false;
        }
        if self.runs.len() >= MAX_TEXTS {
            self.forget(at);
        }
        if self.runs.len() < MAX_TEXTS {
            self.runs.insert(text.to_owned(), Run::new(at));
        }
        false
    }

    /// The storms to report at the end of an interval; counting starts again.
    pub fn report(&mut self, now: Timestamp) -> Vec<Storm> {
        let mut storms: Vec<Storm> =
            self.runs.iter_mut().filter(|(_, run)| run.collapsed > 0).map(|(text, run)| run.take(text)).collect();
        storms.sort_by(|one, other| (one.first, &one.line).cmp(&(other.first, &other.line)));
        self.forget(now);
        storms
    }

    /// Forgets the texts that came too long ago and have nothing to report.
    fn forget(&mut self, now: Timestamp) {
        self.runs.retain(|_, run| run.collapsed > 0 || now.since(run.last) < QUIET);
    }
}

impl Run {
    const fn new(at: Timestamp) -> Self {
        Self { seen: 1, collapsed: 0, bytes: 0, first: at, last: at }
    }

    fn again(&mut self, size: u64, at: Timestamp) -> bool {
        self.seen += 1;
        self.last = self.last.max(at);
        if self.seen <= SAMPLES {
            return false;
        }
        if self.collapsed == 0 {
            self.first = at;
        }
        self.collapsed += 1;
        self.bytes = self.bytes.saturating_add(size);
        true
    }

    fn take(&mut self, text: &str) -> Storm {
        let storm = Storm {
            line: Text::new(text),
            count: Count::new(std::mem::take(&mut self.collapsed)),
            bytes: Bytes::new(std::mem::take(&mut self.bytes)),
            first: self.first,
            last: self.last,
        };
        self.first = self.last;
        storm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_collapsed_lines_add_up_to_the_lines_written() {
        let mut storms = Storms::default();
        let out = (0..2_168u64).filter(|index| !storms.line("same", 40, Timestamp::from_millis(index / 7))).count() as u64;
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
        assert!((0..5_000u64).all(|index| !storms.line(&format!("line {index}"), 9, Timestamp::new(index))));
    }

    #[test]
    fn equal_lines_far_apart_are_no_storm() {
        let mut storms = Storms::default();
        assert!((0..100u64).all(|index| !storms.line("beat", 5, Timestamp::from_secs(index * 10))));
    }
}
