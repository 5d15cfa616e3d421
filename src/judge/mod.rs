//! Verdicts on Watches: pure, no I/O and no clock of its own.
//!
//! A [`Judge`] takes Watch after Watch, live in the sidecar and afterwards in a report, and returns the incidents as they open and
//! close. [`Judge::assess`] says at any time what the period has come to: [`history`] puts it together, [`detect`] finds incidents,
//! [`topics`] computes the measures, [`evaluate`] holds [`criterion`]s against them, [`verdict`] makes one verdict of many.

pub mod alert;
pub mod budget;
pub mod criterion;
mod detect;
pub mod evaluate;
pub mod exact;
pub mod features;
pub mod history;
pub mod incident;
pub mod leak;
pub mod live;
pub mod measure;
pub mod moment;
pub mod number;
pub mod obstacle;
mod order;
mod period;
pub mod planned;
pub mod rules;
pub mod series;
mod skew;
pub mod standing;
mod stated;
mod topics;
pub mod verdict;

use criterion::Criterion;
use detect::{Detectors, Jumps, Surroundings};
use evaluate::{Judged, MeasureFigure};
use history::{Admission, History};
use incident::{Incident, IncidentKind};
use moment::Moment;
use obstacle::Obstacle;
pub use order::interleave;
use period::Period;
use planned::{Plan, Plans};
use rules::{RuleFile, Rules};
use series::Series;
use skew::{Next, Skew};
use stated::RuleBook;
pub use stated::{Override, RuleSource};
use verdict::{Said, Verdict};

use crate::watch::{Timestamp, Watch};

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
    /// Each measure, whether a criterion is set on it or not.
    pub measures: Vec<MeasureFigure>,
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
    period: Period,
    history: History,
    plans: Plans,
    detectors: Detectors,
    /// A clock that has jumped and may be set back.
    skew: Option<Skew<Self>>,
    /// How often one was.
    straightened: u32,
}

impl Judge {
    /// Begins with nothing. What happened before `from` does not count. `here` is what the configuration at hand says differently from
    /// the built-in rules and from what the watch states; it must have been checked with [`Rules::apply`].
    pub fn new(here: Vec<RuleFile>, from: Timestamp) -> Self {
        Self::between(here, (from, Timestamp::new(u64::MAX)), None)
    }

    /// Judges events from the first instant to the second only. Earlier Watches show the state at the beginning, later ones have
    /// late facts. The hours of the phases count from `baseline`, or from the first Watch.
    pub fn between(here: Vec<RuleFile>, (from, to): (Timestamp, Timestamp), baseline: Option<Timestamp>) -> Self {
        let period = Period { from, to };
        let history = History::new(period, baseline);
        Self {
            book: RuleBook::new(here),
            period,
            history,
            plans: Plans::default(),
            detectors: Detectors::new(period),
            skew: None,
            straightened: 0,
        }
    }

    /// Takes a Watch in: those of one watcher in the order in which they were made, those of several [`interleave`]d. Gives the
    /// incidents that were opened, added to or closed by it, as they are now; one that came before has the same id. Where a clock was set
    /// back these are all incidents, and what was told of any other is taken back.
    pub fn take(&mut self, watch: &Watch) -> Vec<Incident> {
        if self.history.coverage.has_taken(watch) {
            return Vec::new();
        }
        match self.skew.take().map(|skew| skew.next(watch)) {
            Some(Next::SetBack(before, watches)) => return self.straighten(*before, &watches),
            Some(Next::Waits(skew)) => self.skew = Some(skew),
            Some(Next::Stays) | None => self.skew = Skew::begun(|| self.clone(), watch, self.straightened),
        }
        self.admit(watch, Jumps::Count)
    }

    /// A clock was set back: judges what it dated meanwhile anew.
    fn straighten(&mut self, before: Self, watches: &[Watch]) -> Vec<Incident> {
        *self = Self { straightened: self.straightened + 1, ..before };
        for watch in watches {
            self.admit(watch, Jumps::CancelOut);
        }
        self.incidents()
    }

    /// How often a clock was set back, and what had been dated by it was judged anew.
    pub(crate) fn straightened(&self) -> u32 {
        self.straightened
    }

    fn admit(&mut self, watch: &Watch, jumps: Jumps) -> Vec<Incident> {
        let Admission::Taken(gap) = self.history.coverage.admit(watch, self.period) else { return Vec::new() };
        // Rules and plans in facts after the period belong to a later period.
        if watch.interval.start() < self.period.to {
            self.book.take(watch);
        }
        self.plans.take(&watch.facts);
        let rules = self.book.rules();
        self.history.take(watch, gap, &self.plans, rules);
        let lives = self.history.news();
        let around = Surroundings {
            alerts: &rules.alerts,
            plans: &self.plans,
            history: &self.history,
            expected: &rules.expected_servers,
            gap,
            jumps,
        };
        self.detectors.take(watch, &around, lives)
    }

    /// The incidents that go on.
    pub fn ongoing(&self) -> impl Iterator<Item = &Incident> {
        self.detectors.ongoing()
    }

    /// All incidents so far, by their beginning.
    pub fn incidents(&self) -> Vec<Incident> {
        let all = self.detectors.incidents().into_iter().filter_map(|incident| self.still(incident));
        all.collect()
    }

    /// A time without a watch, if it is still one: a clock that jumped ahead leaves a gap until it is set back.
    fn still(&self, incident: Incident) -> Option<Incident> {
        let Some(end) = incident.end.filter(|_| incident.kind == IncidentKind::WatchGap) else { return Some(incident) };
        let (from, to) = self.history.coverage.unwatched(incident.start.0, end.0)?;
        Some(Incident { start: Moment(from), end: Some(Moment(to)), ..incident })
    }

    /// What the period up to `to` has come to. Watches that begin later must not have been taken in.
    pub fn assess(&self, to: Timestamp) -> Assessment {
        let rules = self.book.rules();
        let history = self.history.clone().finish(to, rules, &self.plans);
        let criteria = evaluate::judge_all(rules, &history, to);
        let said = |(criterion, judged): &(Criterion, Judged)| Said {
            severity: criterion.severity,
            verdict: judged.verdict,
            waived: judged.is_waived(),
        };
        let said: Vec<Said> = criteria.iter().map(said).collect();
        let obstacles = obstacle::obstacles(&history.coverage, rules, self.book.unreadable(), &said);
        Assessment {
            incidents: self.incidents(),
            dropped_incidents: self.detectors.dropped(),
            too_wide_facts: self.detectors.too_wide(),
            series: history.recorder.series(&history.api.charted, &history.calls.charted, (self.period.from, to)),
            planned: self.plans.of(self.period.from, to),
            overall: verdict::overall(&said, !obstacles.is_empty()),
            obstacles,
            measures: evaluate::measure_all(rules, &history),
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

    use super::measure::Measure;
    use super::*;

    proptest! {
        #[test]
        fn no_watches_however_odd_make_the_judge_panic(watches in proptest::collection::vec(any::<Watch>(), 0..6)) {
            let mut judge = Judge::new(Vec::new(), Timestamp::new(0));
            for watch in &watches {
                judge.take(watch);
            }
            let assessment = judge.assess(Timestamp::new(u64::MAX));
            prop_assert_eq!(assessment.criteria.len(), 23);
        }

        #[test]
        fn whatever_is_watched_no_mean_or_percentile_is_above_its_maximum_and_no_source_was_read_for_longer_than_was_watched(
            watches in proptest::collection::vec(any::<Watch>(), 0..12),
        ) {
            let mut judge = Judge::new(Vec::new(), Timestamp::new(0));
            watches.iter().for_each(|watch| drop(judge.take(watch)));
            let Assessment { history, measures, .. } = judge.assess(Timestamp::new(u64::MAX));
            let value = |measure: Measure| measures.iter().find(|figure| figure.measure == measure).unwrap().exact;
            for (less, more) in [
                (Measure::CPU_MEAN, Measure::CPU_PEAK),
                (Measure::MEMORY_HOST_MEAN, Measure::MEMORY_HOST_PEAK),
                (Measure::API_MEAN, Measure::API_MAX),
                (Measure::API_P95, Measure::API_P99),
                (Measure::API_P99, Measure::API_MAX),
                (Measure::CALLS_P95, Measure::CALLS_P99),
            ] {
                prop_assert!(value(less) <= value(more), "{} {}", less, more);
            }
            let (calls, time) = (&history.calls, &history.coverage.sources);
            prop_assert!(calls.mean_us <= calls.max_us && calls.p99_us <= calls.max_us);
            prop_assert!(calls.timed <= calls.total - calls.planned && calls.by_outcome.values().sum::<u64>() == calls.total);
            prop_assert!(history.log.grown_bytes <= history.log.bytes);
            for read in [time.api_us, time.servers_us, time.process_us, time.log_us, time.log_levels_us, time.calls_us] {
                prop_assert!(read <= history.coverage.covered_us);
            }
            for figure in &measures {
                let on_side = figure.exact.is_none_or(|exact| exact.is_zero() || figure.shown.as_deref().is_some_and(|shown| !shown.starts_with("0 ")));
                prop_assert!(on_side, "{:?}", figure);
            }
        }
    }
}
