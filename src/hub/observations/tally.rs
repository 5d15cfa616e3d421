//! Counting operations by what they were of and how they ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::conventions::LlmAttempt;
use crate::watch::{Histogram, LlmOutcome, Micros, Text, Timestamp, ToolCallSeen, ToolOutcome, When};

/// What stands for tools and models beyond those that are kept apart.
const OTHER: &str = "(other)";

/// Operations are counted by the minute of the hub's clock in which they ended, so that one that is told late is still counted in its
/// time.
const CELL: u64 = 60_000_000;

fn cell(ended: Timestamp) -> u64 {
    ended.get() / CELL
}

/// What calls of tools are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::hub) struct ToolKey {
    pub(in crate::hub) cell: u64,
    pub(in crate::hub) server: Option<Text>,
    pub(in crate::hub) tool: Text,
    pub(in crate::hub) outcome: ToolOutcome,
    pub(in crate::hub) injected: bool,
}

impl ToolKey {
    pub(super) fn of(call: &ToolCallSeen, ended: Timestamp) -> Self {
        let (server, tool, outcome, injected) = (call.server.clone(), call.tool.clone(), call.outcome, call.injected);
        Self { cell: cell(ended), server, tool, outcome, injected }
    }
}

/// What attempts are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::hub) struct AttemptKey {
    pub(in crate::hub) cell: u64,
    pub(in crate::hub) provider: Option<Text>,
    pub(in crate::hub) model: Text,
    pub(in crate::hub) outcome: LlmOutcome,
    pub(in crate::hub) injected: bool,
}

impl AttemptKey {
    pub(super) fn of(attempt: &LlmAttempt, ended: Timestamp) -> Self {
        let LlmAttempt { seen, provider, .. } = attempt;
        let (model, outcome, injected) = (seen.model.clone(), seen.outcome, seen.injected);
        Self { cell: cell(ended), provider: provider.clone(), model, outcome, injected }
    }
}

/// A key for all that is not kept apart.
pub(super) trait Key: Ord + Clone {
    fn other(&self) -> Self;
}

impl Key for ToolKey {
    fn other(&self) -> Self {
        Self { server: None, tool: OTHER.into(), ..self.clone() }
    }
}

impl Key for AttemptKey {
    fn other(&self) -> Self {
        Self { provider: None, model: OTHER.into(), ..self.clone() }
    }
}

/// Returns what is counted by this key; beyond so many keys what is counted by all others, and then by the last one.
pub(super) fn at<K: Key, V: Default>(all: &mut BTreeMap<K, V>, key: K, most: usize) -> &mut V {
    let full = |all: &BTreeMap<K, V>, most: usize| all.len() >= most;
    let key = if all.contains_key(&key) || !full(all, most) { key } else { key.other() };
    // Those of all others differ in outcome and minute only; a hostile sender's minutes are not kept apart either.
    let key = if all.contains_key(&key) || !full(all, most * 2) { key } else { all.keys().next_back().cloned().unwrap_or(key) };
    all.entry(key).or_default()
}

/// Operations that are counted together.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::hub) struct Tally {
    pub(in crate::hub) count: u64,
    pub(in crate::hub) sum: u64,
    pub(in crate::hub) max: u64,
    pub(in crate::hub) durations: Histogram,
    /// When the first and the last of them ended.
    ended: Option<(Timestamp, Timestamp)>,
}

impl Tally {
    pub(super) fn add(&mut self, duration: Micros, ended: Timestamp) {
        self.count += 1;
        self.sum = self.sum.saturating_add(duration.get());
        self.max = self.max.max(duration.get());
        self.durations.add(duration.get());
        self.ended(ended, ended);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        self.durations.merge(&other.durations);
        if let Some((first, last)) = other.ended {
            self.ended(first, last);
        }
    }

    fn ended(&mut self, first: Timestamp, last: Timestamp) {
        let (earliest, latest) = self.ended.unwrap_or((first, last));
        self.ended = Some((earliest.min(first), latest.max(last)));
    }

    /// Returns between which times they ended.
    pub(in crate::hub) fn when(&self) -> Option<When> {
        self.ended.map(|(first, last)| When::between(first, last))
    }
}

/// Attempts that are counted together.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::hub) struct AttemptTally {
    pub(in crate::hub) timed: Tally,
    pub(in crate::hub) retries: u64,
    pub(in crate::hub) with_tokens: u64,
    pub(in crate::hub) input_tokens: u64,
    pub(in crate::hub) output_tokens: u64,
    pub(in crate::hub) reasoning_tokens: u64,
    pub(in crate::hub) input_sizes: Histogram,
    pub(in crate::hub) output_sizes: Histogram,
}

impl AttemptTally {
    pub(super) fn add(&mut self, attempt: &LlmAttempt, ended: Timestamp) {
        self.timed.add(attempt.seen.duration, ended);
        self.retries += u64::from(attempt.seen.retry.is_some_and(|retry| retry > 0));
        let sizes = [
            (&mut self.input_tokens, &mut self.input_sizes, attempt.input_tokens),
            (&mut self.output_tokens, &mut self.output_sizes, attempt.output_tokens),
        ];
        for (sum, sizes, tokens) in sizes {
            if let Some(tokens) = tokens {
                *sum = sum.saturating_add(tokens);
                sizes.add(tokens);
            }
        }
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(attempt.reasoning_tokens.unwrap_or(0));
        self.with_tokens += u64::from(attempt.input_tokens.is_some() || attempt.output_tokens.is_some());
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.timed.merge(&other.timed);
        for (sum, more) in [
            (&mut self.retries, other.retries),
            (&mut self.with_tokens, other.with_tokens),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.input_sizes.merge(&other.input_sizes);
        self.output_sizes.merge(&other.output_sizes);
    }
}
