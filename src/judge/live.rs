//! The judge of Watches as they are made: what a later Watch amends is judged again, so that live and afterwards give the same.

use std::collections::VecDeque;

use super::incident::Incident;
use super::rules::RuleFile;
use super::{Assessment, Judge};
use crate::watch::{FactKind, Micros, Timestamp, Watch, WatcherFact, amend};

/// A line waits for a minute for the other source to show it, too, and may then amend a fact of the Watch that told of it. Twice that
/// is kept for being judged again.
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
    /// Something was amended: these are all the incidents that there are now, and any other that was told of before is not one.
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
        let end = watch.interval.end();
        let news = if amends {
            self.recent.push_back(watch);
            amend(self.recent.make_contiguous());
            self.judge = self.settled.clone();
            for watch in &self.recent {
                self.judge.take(watch);
            }
            News::Judged(self.judge.incidents())
        } else {
            let incidents = self.judge.take(&watch);
            self.recent.push_back(watch);
            News::Incidents(incidents)
        };
        self.settle(end);
        news
    }

    fn settle(&mut self, now: Timestamp) {
        let old = |watch: &Watch| now.since(watch.interval.end()) > KEPT;
        while self.recent.len() > MAX_KEPT || self.recent.front().is_some_and(old) {
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
