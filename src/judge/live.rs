//! The judge of Watches as they are made: what a later Watch amends is judged again, so that live and afterwards give the same.

use std::collections::VecDeque;

use super::incident::Incident;
use super::rules::RuleFile;
use super::{Assessment, Judge};
use crate::watch::{FactKind, Micros, Timestamp, Watch, WatcherFact, amend};

/// A line waits for a minute for the other source to show it, too, and may then amend a fact of its Watch. Twice that is kept for
/// being judged again.
const KEPT: Micros = Micros::new(120_000_000);

/// A hub in a storm fills many Watches within that time: so many are kept at most, which bounds the memory to 8 MiB.
const MAX_KEPT: usize = 32;

/// Judges Watches as they come, and those of the last minutes again when one of them is amended.
#[derive(Debug, Clone)]
pub struct LiveJudge {
    /// Has taken all but the recent ones, which can still be amended.
    settled: Judge,
    recent: VecDeque<Watch>,
    judge: Judge,
}

/// What a Watch changed.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// These incidents were opened, added to or closed.
    Incidents(Vec<Incident>),
    /// A fact was amended, or a clock was set back: this is the full current set of incidents; retract any other.
    Judged(Vec<Incident>),
}

impl LiveJudge {
    /// Begins with nothing; see [`Judge::between`].
    pub fn new(here: Vec<RuleFile>, from: Timestamp, hours_from: Option<Timestamp>) -> Self {
        let judge = Judge::between(here, (from, Timestamp::new(u64::MAX)), hours_from);
        Self { settled: judge.clone(), recent: VecDeque::new(), judge }
    }

    /// Takes a Watch in, each one of a watcher after the one before.
    pub fn take(&mut self, watch: Watch) -> News {
        let amends = watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Watcher(WatcherFact::FactAmended(_))));
        let news = if amends {
            self.recent.push_back(watch);
            amend(self.recent.make_contiguous());
            self.judge = self.settled.clone();
            for watch in &self.recent {
                self.judge.take(watch);
            }
            News::Judged(self.judge.incidents())
        } else {
            let before = self.judge.straightened();
            let incidents = self.judge.take(&watch);
            self.recent.push_back(watch);
            if self.judge.straightened() == before { News::Incidents(incidents) } else { News::Judged(incidents) }
        };
        self.settle();
        news
    }

    /// The age of the first one is the time watched since, because a clock may jump.
    fn settle(&mut self) {
        let age = |recent: &VecDeque<Watch>| {
            recent.iter().skip(1).map(|watch| watch.interval.length().get()).fold(0, u64::saturating_add)
        };
        while self.recent.len() > MAX_KEPT || age(&self.recent) > KEPT.get() {
            if let Some(watch) = self.recent.pop_front() {
                self.settled.take(&watch);
            }
        }
    }

    /// The incidents that go on.
    pub fn ongoing(&self) -> impl Iterator<Item = &Incident> {
        self.judge.ongoing()
    }

    /// All incidents so far, by their beginning.
    pub fn incidents(&self) -> Vec<Incident> {
        self.judge.incidents()
    }

    /// What the period up to `to` has come to.
    pub fn assess(&self, to: Timestamp) -> Assessment {
        self.judge.assess(to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::watch::Interval;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_clock_thirty_days_ahead_for_three_seconds_settles_nothing_early_and_keeps_nothing_longer(
            watches in proptest::collection::vec(any::<Watch>(), 12),
        ) {
            let month = Micros::new(30 * 86_400_000_000);
            let mut judge = LiveJudge::new(Vec::new(), Timestamp::new(0), None);
            let mut now = Timestamp::from_secs(1_795_000_000);
            for (number, mut watch) in watches.into_iter().enumerate() {
                let (ahead, length) = if number == 4 { (month, 3) } else { (Micros::new(0), 30) };
                let end = now.plus(Micros::new(length * 1_000_000));
                watch.interval = Interval::new(now.plus(ahead), end.plus(ahead));
                watch.facts.clear();
                now = end;
                judge.take(watch);
                // Four Watches of half a minute after it are two minutes.
                prop_assert_eq!(judge.recent.len(), 5.min(number + 1), "{}", number);
            }
        }
    }
}
