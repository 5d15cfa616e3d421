//! What the watch has come to so far: the report's own judge, fed with each Watch as soon as it is committed.
//!
//! It reads the journal, as a report does: so it knows what a report made at this moment would know, earlier runs included, and
//! counts on nothing that could not be kept. [`follow`] feeds it; [`dashboard`] is the strategy's `dashboard.json`.

pub mod dashboard;
pub mod follow;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::judge::Assessment;
use crate::judge::incident::Incident;
use crate::judge::live::{LiveJudge, News};
use crate::judge::rules::RuleFile;
use crate::watch::{Poll, Timestamp, Watch};

/// The live judge of one hub: told by the task that follows the journal, asked by whoever shows something.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<Mutex<Option<State>>>);

#[derive(Debug)]
struct State {
    from: Timestamp,
    /// The end of the last Watch.
    to: Timestamp,
    judge: LiveJudge,
    latest: Option<Latest>,
    /// What it has come to, once somebody asked since the last Watch.
    so_far: Option<Arc<SoFar>>,
}

/// What the last poll saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// When it ended.
    pub at: Timestamp,
    /// What it saw.
    pub poll: Poll,
}

/// What the period has come to so far.
#[derive(Debug, Clone, PartialEq)]
pub struct SoFar {
    /// Since when it is judged.
    pub from: Timestamp,
    /// Up to when: the end of the last Watch. What comes after it nobody has seen.
    pub to: Timestamp,
    /// What it has come to.
    pub assessment: Assessment,
    /// What the last poll saw; `None` before the first.
    pub latest: Option<Latest>,
}

impl Live {
    /// Begins anew: what happened before `from` does not count.
    fn begin(&self, here: Vec<RuleFile>, from: Timestamp) {
        *self.state() = Some(State { from, to: from, judge: LiveJudge::new(here, from), latest: None, so_far: None });
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

    /// What the period has come to; `None` before the first Watch. It is assessed once for each Watch, however many ask.
    pub fn so_far(&self) -> Option<Arc<SoFar>> {
        let mut state = self.state();
        let State { from, to, judge, latest, so_far } = state.as_mut()?;
        let assess = || SoFar { from: *from, to: *to, assessment: judge.assess(*to), latest: latest.clone() };
        Some(so_far.get_or_insert_with(|| Arc::new(assess())).clone())
    }

    /// All incidents so far.
    pub fn incidents(&self) -> Vec<Incident> {
        self.state().as_ref().map(|state| state.judge.incidents()).unwrap_or_default()
    }

    /// A panic elsewhere leaves a state that is as good as before.
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn it_is_assessed_once_for_each_watch_and_anew_after_the_next(first in any::<Watch>(), second in any::<Watch>()) {
            let live = Live::default();
            prop_assert!(live.so_far().is_none());
            live.begin(Vec::new(), first.interval.start());
            live.take(first);
            let asked = live.so_far().unwrap();
            prop_assert!(Arc::ptr_eq(&asked, &live.so_far().unwrap()));
            let end = second.interval.end();
            live.take(second);
            let after = live.so_far().unwrap();
            prop_assert!(!Arc::ptr_eq(&asked, &after) && after.to == end);
        }
    }
}
