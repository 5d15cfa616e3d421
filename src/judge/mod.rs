//! Verdicts on Watches: pure, no I/O and no clock of its own.
//!
//! A [`Judge`] takes Watch after Watch, live in the sidecar and afterwards in a report, and tells the incidents as they open and
//! close. [`Judge::assess`] says at any time what the period has come to: [`history`] puts it together, [`detect`] finds incidents,
//! [`evaluate`] holds [`criterion`]s against it, [`verdict`] makes one verdict of many.

pub mod alert;
pub mod criterion;
mod detect;
pub mod evaluate;
pub mod history;
pub mod incident;
pub mod leak;
pub mod live;
pub mod measure;
mod measuring;
pub mod moment;
pub mod obstacle;
mod order;
pub mod planned;
pub mod rules;
pub mod series;
mod stated;
pub mod trend;
pub mod verdict;

use criterion::Criterion;
use detect::{Detectors, Surroundings};
use evaluate::Judged;
use history::{Admission, History};
use incident::Incident;
use obstacle::Obstacle;
pub use order::interleave;
use planned::{Plan, Plans};
use rules::{RuleFile, Rules};
use series::Series;
use stated::RuleBook;
pub use stated::{Override, RuleSource};
use verdict::{Said, Verdict};

use crate::watch::{ApiOutcome, Timestamp, Watch};

/// What a period has come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// What happened.
    pub history: History,
    /// What somebody should look at.
    pub incidents: Vec<Incident>,
    /// Incidents that were let go because there were too many.
    pub dropped_incidents: u64,
    /// Facts whose time is not known well enough for the windows in which they should count.
    pub too_wide_facts: u64,
    /// Each criterion's verdict, in the order of the rules.
    pub criteria: Vec<(Criterion, Judged)>,
    /// What stands in the way of a verdict on the whole.
    pub obstacles: Vec<Obstacle>,
    /// The verdict.
    pub overall: Verdict,
    /// What charts are drawn from.
    pub series: Series,
    /// Planned disturbances.
    pub planned: Vec<Plan>,
    /// The rules that it was judged by.
    pub rules: Rules,
    /// What of these differs from the built-in ones.
    pub overrides: Vec<Override>,
}

/// Judges Watches as they come.
#[derive(Debug, Clone)]
pub struct Judge {
    book: RuleBook,
    from: Timestamp,
    history: History,
    plans: Plans,
    detectors: Detectors,
}

impl Judge {
    /// Begins with nothing. What happened before `from` does not count. `here` is what the configuration at hand says differently from
    /// the built-in rules and from what the watch states; it must have been checked with [`Rules::apply`].
    pub fn new(here: Vec<RuleFile>, from: Timestamp) -> Self {
        let book = RuleBook::new(here);
        Self { book, from, history: History::new(from), plans: Plans::default(), detectors: Detectors::default() }
    }

    /// Takes a Watch in: those of one watcher in the order in which they were made, those of several [`interleave`]d. Gives the
    /// incidents that were opened, added to or closed by it, as they are now; one that came before has the same id.
    pub fn take(&mut self, watch: &Watch) -> Vec<Incident> {
        let Admission::Taken(gap) = self.history.coverage.admit(watch, self.from) else { return Vec::new() };
        self.book.take(watch);
        self.plans.take(&watch.facts);
        let rules = self.book.rules();
        let answers = watch.poll.as_ref().is_some_and(|poll| poll.api.health == ApiOutcome::Ok);
        self.history.take(watch, gap, &self.plans, rules);
        let around = Surroundings {
            alerts: &rules.alerts,
            plans: &self.plans,
            history: &self.history,
            answered_before: self.history.coverage.polls_answered > u64::from(answers),
            expected: &rules.expected_servers,
            gap,
        };
        self.detectors.take(watch, &around)
    }

    /// The incidents that go on.
    pub fn ongoing(&self) -> impl Iterator<Item = &Incident> {
        self.detectors.ongoing()
    }

    /// All incidents so far, by their beginning.
    pub fn incidents(&self) -> Vec<Incident> {
        self.detectors.incidents()
    }

    /// What the period up to `to` has come to. Watches that begin later must not have been taken in.
    pub fn assess(&self, to: Timestamp) -> Assessment {
        let rules = self.book.rules();
        let history = self.history.clone().finish(to, rules);
        let criteria = evaluate::judge_all(&rules.criteria, &rules.waivers, &history, to);
        let obstacles = obstacle::obstacles(&history.coverage, rules, self.book.unreadable());
        let said = |(criterion, judged): &(Criterion, Judged)| Said {
            severity: criterion.severity,
            verdict: judged.verdict,
            waived: judged.is_waived(),
        };
        Assessment {
            incidents: self.detectors.incidents(),
            dropped_incidents: self.detectors.dropped(),
            too_wide_facts: self.detectors.too_wide(),
            series: history.recorder.series(&history.api.durations, &history.calls.durations),
            planned: self.plans.until(to),
            overall: verdict::overall(criteria.iter().map(said), !obstacles.is_empty()),
            obstacles,
            rules: rules.clone(),
            overrides: self.book.overrides(),
            history,
            criteria,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_watches_however_odd_make_the_judge_panic(watches in proptest::collection::vec(any::<Watch>(), 0..6)) {
            let mut judge = Judge::new(Vec::new(), Timestamp::new(0));
            for watch in &watches {
                judge.take(watch);
            }
            let assessment = judge.assess(Timestamp::new(u64::MAX));
            prop_assert_eq!(assessment.criteria.len(), 21);
        }
    }
}
