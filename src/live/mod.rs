//! The state of the running watch: the report's own judge, fed with each Watch as soon as it is committed.
//!
//! It reads the journal, as a report does. So it knows what a report made now would know, earlier runs included, and ignores what
//! could not be committed. [`follow`] feeds it; [`dashboard`] is the strategy's `dashboard.json`.

pub mod dashboard;
pub mod follow;
pub mod vitals;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::judge::Assessment;
use crate::judge::incident::Incident;
use crate::judge::live::{LiveJudge, News};
use crate::judge::rules::RuleFile;
use crate::watch::{Poll, Timestamp, Watch};

/// The live judge of one hub: fed by the task that follows the journal, read by the pages and alerts.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<Mutex<Option<State>>>);

#[derive(Debug)]
struct State {
    from: Timestamp,
    /// The end of the last Watch.
    to: Timestamp,
    judge: LiveJudge,
    latest: Option<Latest>,
    /// The assessment, once it was requested since the last Watch.
    so_far: Option<Arc<SoFar>>,
}

/// The result of the last poll.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// The end of its Watch.
    pub at: Timestamp,
    /// The poll.
    pub poll: Poll,
}

/// The assessment of the period so far.
#[derive(Debug, Clone, PartialEq)]
pub struct SoFar {
    /// The beginning of the judged period.
    pub from: Timestamp,
    /// The end of the last Watch. Later time was not observed.
    pub to: Timestamp,
    /// The assessment.
    pub assessment: Assessment,
    /// The last poll; `None` before the first.
    pub latest: Option<Latest>,
}

impl Live {
    /// Begins anew: what happened before `from` does not count. The hours of the phases count from `hours_from`, or from the first Watch.
    fn begin(&self, here: Vec<RuleFile>, from: Timestamp, hours_from: Option<Timestamp>) {
        let judge = LiveJudge::new(here, from, hours_from);
        *self.state() = Some(State { from, to: from, judge, latest: None, so_far: None });
    }

    /// Takes a Watch in; `None` before [`begin`](Self::begin).
    fn take(&self, watch: Watch) -> Option<News> {
        let mut state = self.state();
        let state = state.as_mut()?;
        if let Some(poll) = &watch.poll {
            state.latest = Some(Latest { at: watch.interval.end(), poll: poll.clone() });
        }
        state.to = watch.interval.end();
        state.so_far = None;
        Some(state.judge.take(watch))
    }

    /// Returns the assessment so far; `None` before the first Watch. It is made once for each Watch, however many clients ask.
    pub fn so_far(&self) -> Option<Arc<SoFar>> {
        let mut state = self.state();
        let State { from, to, judge, latest, so_far } = state.as_mut()?;
        let assess = || SoFar { from: *from, to: *to, assessment: judge.assess(*to), latest: latest.clone() };
        Some(so_far.get_or_insert_with(|| Arc::new(assess())).clone())
    }

    /// Returns all incidents so far.
    pub fn incidents(&self) -> Vec<Incident> {
        self.state().as_ref().map(|state| state.judge.incidents()).unwrap_or_default()
    }

    /// Locks the state. It is valid even after a panic elsewhere.
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::vitals::Deployment;
    use super::*;
    use crate::judge::moment::Moment;
    use crate::report::{self, Given, Provenance, SignOff, Template};
    use crate::watch::{Count, Interval, Micros, Origin};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn the_period_is_assessed_once_for_each_watch(first in any::<Watch>(), second in any::<Watch>()) {
            let live = Live::default();
            prop_assert!(live.so_far().is_none());
            live.begin(Vec::new(), first.interval.start(), None);
            live.take(first);
            let asked = live.so_far().unwrap();
            prop_assert!(Arc::ptr_eq(&asked, &live.so_far().unwrap()));
            let end = second.interval.end();
            live.take(second);
            let after = live.so_far().unwrap();
            prop_assert!(!Arc::ptr_eq(&asked, &after) && after.to == end);
        }
    }

    /// Generates steps of the clock from one Watch to the next: mostly an interval, sometimes a jump.
    fn steps() -> impl Strategy<Value = Vec<(Watch, i64, u64)>> {
        const SECOND: i64 = 1_000_000;
        let jump = prop_oneof![
            6 => Just(0i64),
            1 => -8 * 3_600 * SECOND..0,
            1 => 0..40 * 86_400 * SECOND,
            1 => Just(-2 * 3_600 * SECOND),
            1 => Just(i64::MAX / 2),
            1 => Just(i64::MIN / 2),
        ];
        proptest::collection::vec((any::<Watch>(), jump, 0..20_000_000u64), 1..12)
    }

    /// Returns the Watches of one run with these clock steps. Most belong to the same hub process.
    fn run(steps: Vec<(Watch, i64, u64)>) -> Vec<Watch> {
        let Some(origin) = steps.first().map(|(watch, ..)| watch.origin.clone()) else { return Vec::new() };
        let mut now = Timestamp::from_secs(1_795_400_000);
        let watches = steps.into_iter().zip(0..).map(|((mut watch, jump, length), sequence)| {
            now = if jump < 0 { now.minus(Micros::new(jump.unsigned_abs())) } else { now.plus(Micros::new(jump.unsigned_abs())) };
            watch.interval = Interval::new(now, now.plus(Micros::new(length)));
            now = watch.interval.end();
            watch.origin = Origin { sequence: Count::new(sequence), ..origin.clone() };
            if let Some(process) = watch.poll.as_mut().and_then(|poll| poll.process.as_mut()).filter(|process| process.pid % 4 > 0)
            {
                (process.pid, process.started) = (1, Timestamp::from_secs(1_795_390_000));
            }
            watch
        });
        watches.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn all_outputs_can_be_made_and_totals_add_up_however_the_clock_jumps(steps in steps()) {
            let live = Live::default();
            let watches = run(steps);
            let from = watches.iter().map(|watch| watch.interval.start()).min().unwrap();
            for begin in [watches[0].interval.start(), from] {
                live.begin(Vec::new(), begin, None);
                for watch in &watches {
                    live.take(watch.clone());
                    let so_far = live.so_far().unwrap();
                    let _ = dashboard::dashboard(&so_far, &Deployment::default());
                    shown(&so_far)?;
                }
            }
        }
    }

    /// Makes every output of a period for people.
    fn shown(so_far: &SoFar) -> Result<(), TestCaseError> {
        let provenance = Provenance {
            tool_version: String::new(),
            hub: "hub".to_owned(),
            environment: "test".to_owned(),
            builds: Vec::new(),
            backend: "embedded".to_owned(),
            from: Moment(so_far.from),
            asked_from: None,
            to: Moment(so_far.to),
            generated_at: Moment(so_far.to),
            provisional: true,
            watchers: Vec::new(),
            criteria_digest: String::new(),
            overrides: Vec::new(),
            unreadable: Vec::new(),
            incomplete: Vec::new(),
        };
        let report = report::report(
            so_far.assessment.clone(),
            Given { provenance, sign_off: SignOff::default(), baseline: report::baseline::Found::default() },
        );
        prop_assert!(report.coverage.covered_us <= report.coverage.period_us);
        prop_assert!(report.coverage.share_permille <= 1_000);
        let _ = (report::json(&report), report::junit(&report), report::figures::figures(&report));
        for template in [Template::Markdown, Template::Html, Template::Summary] {
            prop_assert!(report::render(&report, template, None).is_ok());
        }
        Ok(())
    }
}
