//! Verdicts on Watches: pure, no I/O and no clock of its own. [`history`] puts the period together, [`evaluate`] holds [`criterion`]s
//! against it, [`verdict`] makes one of many, [`incident`] tells what somebody should look at.

pub mod criterion;
pub mod evaluate;
pub mod history;
pub mod incident;
pub mod measure;
pub mod moment;
pub mod verdict;

use std::collections::BTreeMap;

use criterion::Criterion;
use evaluate::Judged;
use history::History;
use incident::Incident;
use verdict::Verdict;

use crate::watch::{Micros, Timestamp, Watch};

/// A period shorter than this gives no verdict: the strategy watches for 24 to 48 hours.
pub const MIN_PERIOD: Micros = Micros::new(24 * 3600 * 1_000_000);

/// What is judged by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The criteria.
    pub criteria: Vec<Criterion>,
    /// In which states which servers may be.
    pub expected_servers: BTreeMap<String, Vec<String>>,
    /// The shortest period that can pass.
    pub min_period: Micros,
}

/// What the period came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What happened.
    pub history: History,
    /// What somebody should look at.
    pub incidents: Vec<Incident>,
    /// Each criterion's verdict, in the order of the rules.
    pub criteria: Vec<(Criterion, Judged)>,
    /// The verdict.
    pub overall: Verdict,
    /// Whether the period is as long as it must be.
    pub long_enough: bool,
}

/// Judges a period, Watch by Watch.
#[derive(Debug)]
pub struct Judge {
    rules: Rules,
    history: History,
    period: Micros,
}

impl Judge {
    /// Begins with nothing.
    pub fn new(rules: Rules, from: Timestamp, to: Timestamp) -> Self {
        let history = History::new(from, to, &rules.expected_servers);
        Self { rules, history, period: to.since(from) }
    }

    /// Takes a Watch in, in the order in which they were made.
    pub fn feed(&mut self, watch: &Watch) {
        self.history.feed(watch);
    }

    /// Ends the period.
    pub fn finish(self) -> Judgement {
        let history = self.history.finish();
        let judged = self.rules.criteria.into_iter().map(|criterion| {
            let judged = evaluate::judge(&criterion, &history);
            (criterion, judged)
        });
        let criteria: Vec<_> = judged.collect();
        let watched = Micros::new(history.coverage.covered_us);
        let long_enough = self.period >= self.rules.min_period && watched.get() >= self.rules.min_period.get() / 100 * 95;
        let verdicts = criteria.iter().map(|(criterion, judged)| (criterion.severity, judged.verdict));
        let overall = verdict::overall(verdicts, long_enough);
        Judgement { incidents: incident::incidents(&history), overall, long_enough, history, criteria }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_watches_however_odd_make_the_judge_panic(watches in proptest::collection::vec(any::<Watch>(), 0..6)) {
            let criteria = criterion::parse(criterion::DEFAULT).unwrap();
            let rules = Rules { criteria, expected_servers: BTreeMap::new(), min_period: MIN_PERIOD };
            let mut judge = Judge::new(rules, Timestamp::new(0), Timestamp::new(u64::MAX));
            watches.iter().for_each(|watch| judge.feed(watch));
            let judgement = judge.finish();
            prop_assert_eq!(judgement.criteria.len(), 21);
        }
    }
}
