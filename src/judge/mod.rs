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
pub mod measure;
pub mod moment;
pub mod planned;
pub mod series;
pub mod verdict;

use std::collections::BTreeMap;

use alert::Alerts;
use criterion::Criterion;
use detect::{Detectors, Surroundings};
use evaluate::Judged;
use history::{Admission, History};
use incident::Incident;
use planned::{Plan, Plans};
use series::Series;
use verdict::Verdict;

use crate::watch::{ApiOutcome, Micros, Timestamp, Watch};

/// A period shorter than this gives no verdict: the strategy watches for 24 to 48 hours.
pub const MIN_PERIOD: Micros = Micros::new(24 * 3600 * 1_000_000);

/// What is judged by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The criteria.
    pub criteria: Vec<Criterion>,
    /// From when on what is an incident.
    pub alerts: Alerts,
    /// In which states which servers may be.
    pub expected_servers: BTreeMap<String, Vec<String>>,
    /// The shortest period that can pass.
    pub min_period: Micros,
}

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
    /// The verdict.
    pub overall: Verdict,
    /// Whether the period is as long as it must be.
    pub long_enough: bool,
    /// What charts are drawn from.
    pub series: Series,
    /// Planned disturbances.
    pub planned: Vec<Plan>,
}

/// Judges Watches as they come.
#[derive(Debug, Clone)]
pub struct Judge {
    rules: Rules,
    from: Timestamp,
    history: History,
    plans: Plans,
    detectors: Detectors,
}

impl Judge {
    /// Begins with nothing. What happened before `from` does not count.
    pub fn new(rules: Rules, from: Timestamp) -> Self {
        let history = History::new(from, &rules.expected_servers);
        Self { rules, from, history, plans: Plans::default(), detectors: Detectors::default() }
    }

    /// Takes a Watch in, in the order in which they were made. Gives the incidents that were opened, added to or closed by it, as they
    /// are now; one that came before has the same id.
    pub fn take(&mut self, watch: &Watch) -> Vec<Incident> {
        let Admission::Taken(gap) = self.history.coverage.admit(watch, self.from) else { return Vec::new() };
        self.plans.take(&watch.facts);
        let answers = watch.poll.as_ref().is_some_and(|poll| poll.api.health == ApiOutcome::Ok);
        self.history.take(watch, gap, &self.plans);
        let around = Surroundings {
            alerts: &self.rules.alerts,
            plans: &self.plans,
            history: &self.history,
            answered_before: self.history.coverage.polls_answered > u64::from(answers),
            expected: &self.rules.expected_servers,
            gap,
        };
        self.detectors.take(watch, &around)
    }

    /// The incidents that go on.
    pub fn ongoing(&self) -> impl Iterator<Item = &Incident> {
        self.detectors.ongoing()
    }

    /// What the period up to `to` has come to. Watches that begin later must not have been taken in.
    pub fn assess(&self, to: Timestamp) -> Assessment {
        let history = self.history.clone().finish(to);
        let judge = |criterion: &Criterion| (criterion.clone(), evaluate::judge(criterion, &history));
        let criteria: Vec<_> = self.rules.criteria.iter().map(judge).collect();
        let watched = history.coverage.covered_us;
        let long_enough = to.since(self.from) >= self.rules.min_period && watched >= self.rules.min_period.get() / 100 * 95;
        let verdicts = criteria.iter().map(|(criterion, judged)| (criterion.severity, judged.verdict));
        let overall = verdict::overall(verdicts, long_enough);
        Assessment {
            incidents: self.detectors.incidents(),
            dropped_incidents: self.detectors.dropped(),
            too_wide_facts: self.detectors.too_wide(),
            series: history.recorder.series(&history.api.durations, &history.calls.durations),
            planned: self.plans.until(to),
            overall,
            long_enough,
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
            let rules = criterion::default_rules();
            let mut judge = Judge::new(rules, Timestamp::new(0));
            for watch in &watches {
                judge.take(watch);
            }
            let assessment = judge.assess(Timestamp::new(u64::MAX));
            prop_assert_eq!(assessment.criteria.len(), 21);
        }
    }
}
