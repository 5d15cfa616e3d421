//! The present expectations of the hub, from the configuration and from marks. They are exported as metrics, so that alert rules
//! can ignore planned outages.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::judge::planned::{LONGEST, SETTLE};
use crate::judge::rules;
use crate::watch::{Expected, Fact, FactKind, Timestamp, WatcherFact};

/// Maximum number of open windows; more of them were forgotten.
const MAX_OPEN: usize = 1_000;

/// The expectations, from facts and rules; the open windows are part of each commit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Expectations {
    /// Servers that are allowed to be down.
    #[serde(skip)]
    may_be_down: BTreeSet<String>,
    /// Open windows, and their beginnings.
    open: BTreeMap<String, Timestamp>,
    /// The time until which effects of closed windows may last.
    settled: Option<Timestamp>,
}

impl Expectations {
    /// Reads the configuration's rules, as encoded in Watches.
    pub(super) fn configure(&mut self, entries: &[String]) {
        // They were validated with the configuration.
        let files = entries.iter().filter_map(|entry| rules::parse(entry).ok());
        let servers = files.flat_map(|file| file.servers);
        self.may_be_down = servers.filter(|(_, server)| !rules::should_work(&server.expected)).map(|(name, _)| name).collect();
    }

    /// Reads a mark.
    pub(super) fn take(&mut self, facts: &[Fact]) {
        for fact in facts {
            let at = fact.when.latest();
            let FactKind::Watcher(fact) = &fact.kind else { continue };
            match fact {
                WatcherFact::MarkBegan(mark) => {
                    if self.open.len() < MAX_OPEN {
                        self.open.entry(mark.name.to_string()).or_insert(at);
                    }
                }
                WatcherFact::MarkEnded(mark) => {
                    if let Some(began) = self.open.remove(mark.name.as_str()) {
                        // A window that was forgotten long ago has no effects any more.
                        let forgotten = at.since(began) > LONGEST;
                        let until = if forgotten { began.plus(LONGEST) } else { at.plus(SETTLE) };
                        self.settled = self.settled.max(Some(until));
                    }
                }
                WatcherFact::StreamJoined(_)
                | WatcherFact::StreamLeft(_)
                | WatcherFact::FactAmended(_)
                | WatcherFact::WatcherStarted(_)
                | WatcherFact::WatcherStopped(_)
                | WatcherFact::ClockJumped(_)
                | WatcherFact::WatcherStoodStill(_)
                | WatcherFact::RuleStated(_)
                | WatcherFact::JournalRecovered(_)
                | WatcherFact::JournalCreatedAgain(_)
                | WatcherFact::StateLost(_) => {}
            }
        }
    }

    /// Records a jump of the clock: open windows keep their age.
    pub(super) fn clock_jumped(&mut self, jump: i64) {
        for at in self.open.values_mut().chain(&mut self.settled) {
            *at = at.shifted(jump);
        }
    }

    /// Returns the expectations at this time.
    pub(super) fn at(&self, at: Timestamp) -> Expected<'_> {
        let is_open = self.open.values().any(|began| *began <= at && at <= began.plus(LONGEST));
        Expected { may_be_down: &self.may_be_down, planned: is_open || self.settled.is_some_and(|until| at <= until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{FactId, MarkBegan, MarkEnded, RecordUid, Source, Text, When};

    fn fact(at: u64, kind: impl Into<FactKind>) -> Fact {
        let id = FactId::of_line(RecordUid::parse(&"11".repeat(16)).unwrap(), 0);
        Fact { id, when: When::At(Timestamp::from_secs(at)), source: Source::Sidecar, kind: kind.into() }
    }

    #[test]
    fn a_window_is_planned_from_its_beginning_until_its_effects_have_shown_and_no_longer_than_any_other() {
        let mut expectations = Expectations::default();
        let name = Text::from("crash");
        expectations.take(&[fact(100, MarkBegan { name: name.clone() })]);
        // The state survives a restart.
        let mut expectations: Expectations = serde_json::from_str(&serde_json::to_string(&expectations).unwrap()).unwrap();
        let planned = |expectations: &Expectations, second| expectations.at(Timestamp::from_secs(second)).planned;
        assert_eq!([99, 100, 14_500, 14_501].map(|second| planned(&expectations, second)), [false, true, true, false]);
        expectations.take(&[fact(200, MarkEnded { name })]);
        assert_eq!([230, 231].map(|second| planned(&expectations, second)), [true, false]);
    }

    #[test]
    fn a_clock_that_jumps_and_is_set_back_ends_no_window_and_makes_none_longer() {
        let mut expectations = Expectations::default();
        expectations.take(&[fact(100_000, MarkBegan { name: Text::from("crash") })]);
        let month = 30 * 24 * 3600;
        for sign in [1, -1] {
            let ahead = |second: u64| second.saturating_add_signed(if sign > 0 { month } else { 0 });
            expectations.clock_jumped(sign * month * 1_000_000);
            let planned = [100_001, 114_400, 114_401].map(|second| expectations.at(Timestamp::from_secs(ahead(second))).planned);
            assert_eq!(planned, [true, true, false], "{sign}");
        }
    }

    #[test]
    fn servers_that_need_not_work_are_those_of_the_configuration() {
        let mut expectations = Expectations::default();
        let entry = |name: &str, states: &str| format!("[servers.{name}]\nexpected = [{states}]\n");
        expectations.configure(&[entry("github", "'disconnected'"), entry("files", "'connected'"), "[judge]\n".to_owned()]);
        assert_eq!(expectations.at(Timestamp::new(0)).may_be_down.iter().collect::<Vec<_>>(), ["github"]);
    }
}
