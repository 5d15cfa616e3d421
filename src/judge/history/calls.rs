//! Meta-tool calls and their Gemini part.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Planned, failures_per_thousand};
use crate::judge::moment::Moment;
use crate::judge::series::Durations;
use crate::watch::{CallEnded, CallOutcome, GeminiFailure, GeminiOutcome, Notification, Pairing, Timestamp, TraceId};

/// So many calls are kept as evidence: enough to look into, few enough to read.
const KEPT_CALLS: usize = 5;

/// Meta-tool calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallHistory {
    /// How many ended.
    pub total: u64,
    /// Of these, those in planned disturbances; what is judged leaves them out.
    pub planned: u64,
    /// By outcome.
    pub by_outcome: BTreeMap<String, u64>,
    /// Their mean duration.
    pub mean_us: Option<u64>,
    /// The duration that 50 of 100 keep to, of the calls whose beginning and end are certain.
    pub p50_us: Option<u64>,
    /// The duration that 95 of 100 keep to, of these.
    pub p95_us: Option<u64>,
    /// The duration that 99 of 100 keep to, of these.
    pub p99_us: Option<u64>,
    /// The longest, of these.
    pub max_us: Option<u64>,
    /// Calls whose pairing was a guess.
    pub guessed: u64,
    /// Calls that asked Gemini.
    pub gemini_asked: u64,
    /// Failed rounds.
    pub gemini_failed_rounds: u64,
    /// Failed rounds by what failed.
    pub gemini_failures: BTreeMap<String, u64>,
    /// The last failed rounds.
    pub last_failed_rounds: Vec<FailedRound>,
    /// The mean duration of the Gemini part, of calls without a failed round.
    pub gemini_mean_us: Option<u64>,
    /// Calls whose Gemini part failed.
    pub gemini_failed: u64,
    /// Of these, those that fell back to keywords.
    pub fallbacks: u64,
    /// Calls whose response was seen whole.
    pub responses_seen: u64,
    /// Of these, those that lacked a part or named a category that the hub does not know.
    pub responses_invalid: u64,
    /// Calls whose notification could not be sent.
    pub notifications_failed: u64,
    /// The traces of the slowest calls, the slowest first.
    pub slowest: Vec<KeptCall>,
    /// The traces of the last calls that failed.
    pub failed: Vec<KeptCall>,
    #[serde(skip)]
    pub(in crate::judge) judged: JudgedCalls,
    #[serde(skip)]
    pub(in crate::judge) durations: Durations,
    #[serde(skip)]
    sum_us: u64,
    #[serde(skip)]
    gemini_us: u64,
    #[serde(skip)]
    gemini_clean: u64,
}

/// A call to look into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptCall {
    /// Its trace.
    #[schemars(with = "String")]
    pub trace: TraceId,
    /// When it ended; reports of earlier versions don't say it.
    #[serde(default)]
    pub at: Option<Moment>,
    /// How long it took.
    pub duration_us: u64,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// A failed round of Gemini requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedRound {
    /// When.
    pub at: Moment,
    /// What failed.
    pub failure: GeminiFailure,
}

/// Calls outside planned disturbances: what the criteria of integration, performance and stability are held against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::judge) struct JudgedCalls {
    pub total: u64,
    pub failed: u64,
    pub asked: u64,
    pub failed_rounds: u64,
    pub clean: u64,
    pub clean_us: u64,
    pub responses_seen: u64,
    pub responses_invalid: u64,
    pub notifications_failed: u64,
}

impl JudgedCalls {
    pub fn failed_permille(&self) -> Option<u64> {
        failures_per_thousand(self.failed, self.total)
    }

    pub fn mean_us(&self) -> Option<u64> {
        self.clean_us.checked_div(self.clean)
    }
}

/// Whether a call did not do what its client wanted.
pub(in crate::judge) fn has_failed(call: &CallEnded) -> bool {
    !matches!(call.outcome, CallOutcome::Ok | CallOutcome::Fallback)
}

impl CallHistory {
    pub(super) fn take(&mut self, call: &CallEnded, at: Timestamp, planned: Planned<'_>) {
        self.total += 1;
        self.planned += u64::from(planned.is_some());
        match self.by_outcome.get_mut(call.outcome.as_str()) {
            Some(count) => *count += 1,
            None => _ = self.by_outcome.insert(call.outcome.to_string(), 1),
        }
        self.sum_us = self.sum_us.saturating_add(call.duration.get());
        match call.pairing {
            Pairing::Exact => self.durations.push(at, call.duration),
            Pairing::Guessed => self.guessed += 1,
        }
        self.gemini_asked += u64::from(call.gemini != GeminiOutcome::NotAsked);
        if is_clean(call)
            && let Some(gemini) = call.gemini_duration
        {
            self.gemini_clean += 1;
            self.gemini_us = self.gemini_us.saturating_add(gemini.get());
        }
        if gemini_failed(call) {
            self.gemini_failed += 1;
            self.fallbacks += u64::from(call.outcome == CallOutcome::Fallback);
        }
        self.responses_seen += u64::from(call.response_complete.is_some() || call.categories_known.is_some());
        self.responses_invalid += u64::from(is_invalid(call));
        self.notifications_failed += u64::from(call.notification == Some(Notification::Failed));
        if planned.is_none() {
            self.judged.take(call);
        }
        self.keep(call, at);
    }

    fn keep(&mut self, call: &CallEnded, at: Timestamp) {
        let kept = || KeptCall { trace: call.trace, at: Some(Moment(at)), duration_us: call.duration.get(), outcome: call.outcome };
        let place = self.slowest.partition_point(|known| known.duration_us >= call.duration.get());
        if place < KEPT_CALLS {
            self.slowest.insert(place, kept());
            self.slowest.truncate(KEPT_CALLS);
        }
        if has_failed(call) {
            if self.failed.len() == KEPT_CALLS {
                self.failed.remove(0);
            }
            self.failed.push(kept());
        }
    }

    pub(super) fn round_failed(&mut self, failure: GeminiFailure, at: Moment, planned: Planned<'_>) {
        self.gemini_failed_rounds += 1;
        *self.gemini_failures.entry(failure.to_string()).or_default() += 1;
        if self.last_failed_rounds.len() == KEPT_CALLS {
            self.last_failed_rounds.remove(0);
        }
        self.last_failed_rounds.push(FailedRound { at, failure });
        self.judged.failed_rounds += u64::from(planned.is_none());
    }

    /// Calls whose Gemini part failed and that did not fall back.
    pub fn not_fallen_back(&self) -> u64 {
        self.gemini_failed.saturating_sub(self.fallbacks)
    }

    pub(super) fn finish(&mut self) {
        self.mean_us = self.sum_us.checked_div(self.total);
        self.gemini_mean_us = self.gemini_us.checked_div(self.gemini_clean);
        let sorted = self.durations.sorted();
        self.p50_us = sorted.percentile(500);
        self.p95_us = sorted.percentile(950);
        self.p99_us = sorted.percentile(990);
        self.max_us = sorted.percentile(1_000);
    }
}

impl JudgedCalls {
    fn take(&mut self, call: &CallEnded) {
        self.total += 1;
        self.failed += u64::from(has_failed(call));
        self.asked += u64::from(call.gemini != GeminiOutcome::NotAsked);
        if is_clean(call) {
            self.clean += 1;
            self.clean_us = self.clean_us.saturating_add(call.duration.get());
        }
        self.responses_seen += u64::from(call.response_complete.is_some() || call.categories_known.is_some());
        self.responses_invalid += u64::from(is_invalid(call));
        self.notifications_failed += u64::from(call.notification == Some(Notification::Failed));
    }
}

/// Ended, and without a failed Gemini round: what retries cost is Gemini's doing.
fn is_clean(call: &CallEnded) -> bool {
    let finished = matches!(call.outcome, CallOutcome::Ok | CallOutcome::Fallback | CallOutcome::Error);
    call.gemini_failed_rounds == 0 && finished
}

fn gemini_failed(call: &CallEnded) -> bool {
    call.gemini == GeminiOutcome::Failed || call.gemini_failed_rounds > 0 && call.gemini == GeminiOutcome::Unfinished
}

fn is_invalid(call: &CallEnded) -> bool {
    call.response_complete == Some(false) || call.categories_known == Some(false)
}
