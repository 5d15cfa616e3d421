//! What the sidecar that watched could not keep, and what it cost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::judge::moment::Moment;
use crate::watch::{StateHalf, Watch, WatcherFact};

/// The sidecar's own figures. What no Watch tells is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SidecarHistory {
    /// The longest time from a log line's own time until it was read.
    pub worst_lag: Option<WorstLag>,
    /// The most of the log that was still unread at the end of an interval.
    pub most_behind_bytes: Option<u64>,
    /// Lines that begin as JSON does and are not what a logger writes.
    pub parse_failures: Option<u64>,
    /// Answers of the hub that were not what a hub answers.
    pub unreadable_answers: u64,
    /// Records that destinations took.
    pub sent: Option<u64>,
    /// Records that destinations permanently rejected.
    pub rejected: u64,
    /// Records that had to be dropped, by what they were and why.
    pub dropped: BTreeMap<String, BTreeMap<String, u64>>,
    /// Records that others sent by OTLP and that were kept, by what they were.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub received: BTreeMap<String, u64>,
    /// What the OTLP receiver refused, by what it was and why; a request that was refused as a whole counts as one `requests`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, BTreeMap<String, u64>>,
    /// How old the oldest of what waited for a destination was at most, at the end of an interval.
    pub oldest_unsent_us: Option<u64>,
    /// The journal's largest size.
    pub journal_peak_bytes: Option<u64>,
    /// The most resident memory.
    pub rss_peak_bytes: Option<u64>,
    /// Processor time.
    pub cpu_us: Option<u64>,
    /// The time over which that was used.
    pub cpu_over_us: u64,
    /// Damaged journals: what could be read of each was kept.
    pub recovered: Vec<RecoveredJournal>,
    /// Times when the journal's files were lost while they were in use, and were created again with all that it held.
    pub created_again: Vec<CreatedAgain>,
    /// Parts of an earlier run's state that could not be read and began anew.
    pub state_lost: Vec<LostState>,
}

/// A journal that was damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveredJournal {
    /// When the damage was found.
    pub at: Moment,
    /// Where the damaged file was set aside.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
    /// How many of its rows could be read.
    pub rows: u64,
}

/// A journal whose files were lost while they were in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedAgain {
    /// When it was created again.
    pub at: Moment,
    /// Where.
    pub path: String,
    /// How the files were lost.
    pub reason: String,
}

/// A part of an earlier run's state that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostState {
    /// When that was found.
    pub at: Moment,
    /// Which half: `position` (how far the sources were read) or `knowledge` (what was known of the hub).
    pub half: String,
    /// Why.
    pub reason: String,
}

impl LostState {
    /// What that means for the report.
    pub fn effect(&self) -> &'static str {
        if self.half == StateHalf::Position.as_str() {
            "lines that were in the log at that moment are not judged"
        } else {
            "calls in flight and the servers' earlier states are not known"
        }
    }
}

/// The longest time from a log line's own time until it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorstLag {
    /// How long.
    pub lag_us: u64,
    /// In the interval that ended then.
    pub at: Moment,
}

impl SidecarHistory {
    /// Takes in what the sidecar says of its own state.
    pub(super) fn fact(&mut self, fact: &WatcherFact, at: Moment) {
        match fact {
            WatcherFact::JournalRecovered(found) => {
                let (path, reason, rows) = (found.path.to_string(), found.reason.to_string(), found.rows.get());
                self.recovered.push(RecoveredJournal { at, path, reason, rows });
            }
            WatcherFact::StateLost(lost) => {
                self.state_lost.push(LostState { at, half: lost.half.to_string(), reason: lost.reason.to_string() });
            }
            WatcherFact::JournalCreatedAgain(created) => {
                let (path, reason) = (created.path.to_string(), created.reason.to_string());
                self.created_again.push(CreatedAgain { at, path, reason });
            }
            // The coverage has the gaps, and which sources could be read.
            WatcherFact::WatcherStarted(_)
            | WatcherFact::WatcherStopped(_)
            | WatcherFact::WatcherStoodStill(_)
            | WatcherFact::ClockJumped(_)
            | WatcherFact::StreamJoined(_)
            | WatcherFact::StreamLeft(_) => {}
            // What is said to the judge, not about the sidecar: plans, rules, and corrections that were made before this.
            WatcherFact::MarkBegan(_) | WatcherFact::MarkEnded(_) | WatcherFact::RuleStated(_) | WatcherFact::FactAmended(_) => {}
        }
    }

    pub(super) fn take(&mut self, watch: &Watch) {
        let (own, end) = (&watch.sidecar, watch.interval.end());
        if let Some(lag) = own.lag.filter(|lag| self.worst_lag.is_none_or(|worst| lag.get() > worst.lag_us)) {
            self.worst_lag = Some(WorstLag { lag_us: lag.get(), at: Moment(end) });
        }
        self.most_behind_bytes = self.most_behind_bytes.max(watch.sources.log_behind.map(|behind| behind.get()));
        add(&mut self.parse_failures, own.parse_failures.map(|count| count.get()));
        add(&mut self.sent, own.sent.map(|count| count.get()));
        self.unreadable_answers = self.unreadable_answers.saturating_add(own.unreadable_answers.get());
        self.rejected = self.rejected.saturating_add(own.rejected.get());
        for (what, reason, count) in own.dropped.iter().filter(|(.., count)| count.get() > 0) {
            let reasons = self.dropped.entry(what.to_string()).or_default();
            let total = reasons.entry(reason.to_string()).or_default();
            *total = total.saturating_add(count.get());
        }
        for (what, _, count) in own.received.iter().filter(|(.., count)| count.get() > 0) {
            let total = self.received.entry(what.to_string()).or_default();
            *total = total.saturating_add(count.get());
        }
        for (what, reason, count) in own.refused.iter().filter(|(.., count)| count.get() > 0) {
            let total = self.refused.entry(what.to_string()).or_default().entry(reason.to_string()).or_default();
            *total = total.saturating_add(count.get());
        }
        let age = own.oldest_unsent.map(|oldest| end.since(oldest).get());
        self.oldest_unsent_us = self.oldest_unsent_us.max(age);
        // Only a Watch with a poll has it, and a journal is never empty.
        self.journal_peak_bytes = self.journal_peak_bytes.max(Some(own.journal.get()).filter(|size| *size > 0));
        let rss = own.rss_peak.max(own.rss).map(|rss| rss.get());
        self.rss_peak_bytes = self.rss_peak_bytes.max(rss);
        if let Some(used) = own.cpu_time {
            add(&mut self.cpu_us, Some(used.get()));
            self.cpu_over_us = self.cpu_over_us.saturating_add(watch.interval.length().get());
        }
    }
}

fn add(to: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *to = Some(to.unwrap_or(0).saturating_add(more));
    }
}
