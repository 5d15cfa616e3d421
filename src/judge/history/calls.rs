//! Meta-tool calls and their Gemini part.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Planned;
use crate::judge::exact::Exact;
use crate::judge::moment::Moment;
use crate::judge::series::Durations;
use crate::watch::{
    CallEnded, CallFact, CallOutcome, GeminiFailure, GeminiOutcome, Micros, Notification, Pairing, Timestamp, TraceId,
};

/// So many calls are kept as evidence: enough to look into, few enough to read.
const KEPT_CALLS: usize = 5;

/// Meta-tool calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallHistory {
    /// How many ended: facts `mcphub.call.ended`.
    pub total: u64,
    /// Of these, those that ended in planned disturbances; what is judged leaves them out.
    pub planned: u64,
    /// By outcome, planned ones included.
    pub by_outcome: BTreeMap<String, u64>,
    /// Calls that the durations stand on: they ended as `ok`, `fallback` or `error`, without a failed Gemini round, outside planned
    /// disturbances, and their duration is known. What retries cost is Gemini's doing and counted there.
    #[serde(default)]
    pub timed: u64,
    /// Their mean duration, to the nearest µs.
    pub mean_us: Option<u64>,
    /// The duration that 50 of 100 of them keep to, by nearest rank.
    pub p50_us: Option<u64>,
    /// The duration that 95 of 100 of them keep to, by nearest rank.
    pub p95_us: Option<u64>,
    /// The duration that 99 of 100 of them keep to, by nearest rank.
    pub p99_us: Option<u64>,
    /// The longest of them.
    pub max_us: Option<u64>,
    /// Calls whose pairing was a guess, planned ones included.
    pub guessed: u64,
    /// Calls seen in part: their beginning was missed, so how long they took is unknown.
    #[serde(default)]
    pub partial: u64,
    /// Calls seen whole whose duration is unknown, because the hub's clock was set in their midst or may have been.
    #[serde(default)]
    pub untimed: u64,
    /// Calls seen whole that asked Gemini, planned ones included.
    pub gemini_asked: u64,
    /// Failed rounds: facts `mcphub.gemini.round_failed`, planned ones included.
    pub gemini_failed_rounds: u64,
    /// Of these, those of calls that were seen whole: only these stand in the share of failed rounds.
    #[serde(default)]
    pub gemini_failed_rounds_of_calls: u64,
    /// Failed rounds by what failed.
    pub gemini_failures: BTreeMap<String, u64>,
    /// The last failed rounds.
    pub last_failed_rounds: Vec<FailedRound>,
    /// The mean duration of the Gemini part, of the calls that the durations stand on and that have one. To the nearest µs.
    pub gemini_mean_us: Option<u64>,
    /// Calls whose Gemini part failed, planned ones included.
    pub gemini_failed: u64,
    /// Of these, those that fell back to keywords.
    pub fallbacks: u64,
    /// Calls whose response was seen, planned ones included.
    pub responses_seen: u64,
    /// Of these, those that lacked a part or named a category that the hub does not know.
    pub responses_invalid: u64,
    /// Calls whose notification could not be sent, planned ones included.
    pub notifications_failed: u64,
    /// The traces of the slowest calls, planned ones included, the slowest first.
    pub slowest: Vec<KeptCall>,
    /// The traces of the last calls that failed, planned ones included.
    pub failed: Vec<KeptCall>,
    #[serde(skip)]
    pub(in crate::judge) judged: JudgedCalls,
    /// All calls whose duration is known, for charts.
    #[serde(skip)]
    pub(in crate::judge) charted: Durations,
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
    /// How long it took; unknown of a call seen in part, and of one in whose midst the hub's clock was set.
    pub duration_us: Option<u64>,
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
    /// Calls that asked Gemini.
    pub asked: u64,
    /// Failed rounds of these calls.
    rounds: u64,
    /// Failed rounds that were seen, whichever call they belong to.
    rounds_seen: u64,
    pub timed: u64,
    timed_us: u128,
    durations: Durations,
    pub gemini_timed: u64,
    gemini_us: u128,
    pub responses_seen: u64,
    pub responses_invalid: u64,
    pub notifications_failed: u64,
}

impl JudgedCalls {
    /// The mean duration.
    pub(crate) fn mean(&self) -> Option<Exact> {
        Exact::mean(self.timed_us, self.timed)
    }

    /// The mean duration of the Gemini part.
    pub(crate) fn gemini_mean(&self) -> Option<Exact> {
        Exact::mean(self.gemini_us, self.gemini_timed)
    }

    /// Failed rounds, and the calls that they are held against. A round whose call was not seen to end stands on both sides: it is a
    /// call of its own.
    pub(crate) fn failed_rounds(&self) -> (u64, u64) {
        let alone = self.rounds_seen.saturating_sub(self.rounds);
        (self.rounds + alone, self.asked + alone)
    }
}

/// Whether a call did not do what its client wanted.
pub(in crate::judge) fn has_failed(call: &CallEnded) -> bool {
    !matches!(call.outcome, CallOutcome::Ok | CallOutcome::Fallback)
}

impl CallHistory {
    pub(super) fn fact(&mut self, fact: &CallFact, at: Moment, planned: Planned<'_>) {
        match fact {
            CallFact::CallEnded(call) => self.take(call, at.0, planned),
            CallFact::GeminiRoundFailed(failed) => self.round_failed(failed.failure, at, planned),
        }
    }

    fn take(&mut self, call: &CallEnded, at: Timestamp, planned: Planned<'_>) {
        self.total += 1;
        self.planned += u64::from(planned.is_some());
        match self.by_outcome.get_mut(call.outcome.as_str()) {
            Some(count) => *count += 1,
            None => _ = self.by_outcome.insert(call.outcome.to_string(), 1),
        }
        self.guessed += u64::from(call.pairing == Pairing::Guessed);
        match (call.duration, call.pairing) {
            (Some(duration), _) => self.charted.push(at, duration),
            (None, Pairing::Partial) => self.partial += 1,
            (None, Pairing::Exact | Pairing::Guessed) => self.untimed += 1,
        }
        if asked_gemini(call) {
            self.gemini_asked += 1;
            self.gemini_failed_rounds_of_calls += u64::from(call.gemini_failed_rounds);
        }
        if gemini_failed(call) {
            self.gemini_failed += 1;
            self.fallbacks += u64::from(call.outcome == CallOutcome::Fallback);
        }
        self.responses_seen += u64::from(call.response_complete.is_some() || call.categories_known.is_some());
        self.responses_invalid += u64::from(is_invalid(call));
        self.notifications_failed += u64::from(call.notification == Some(Notification::Failed));
        if planned.is_none() {
            self.max_us = self.max_us.max(call.duration.map(Micros::get).filter(|_| is_clean(call)));
            self.judged.take(call, at);
        }
        self.keep(call, at);
    }

    fn keep(&mut self, call: &CallEnded, at: Timestamp) {
        let duration_us = call.duration.map(Micros::get);
        let kept = || KeptCall { trace: call.trace, at: Some(Moment(at)), duration_us, outcome: call.outcome };
        let place = self.slowest.partition_point(|known| known.duration_us >= duration_us);
        if place < KEPT_CALLS && duration_us.is_some() {
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

    fn round_failed(&mut self, failure: GeminiFailure, at: Moment, planned: Planned<'_>) {
        self.gemini_failed_rounds += 1;
        *self.gemini_failures.entry(failure.to_string()).or_default() += 1;
        if self.last_failed_rounds.len() == KEPT_CALLS {
            self.last_failed_rounds.remove(0);
        }
        self.last_failed_rounds.push(FailedRound { at, failure });
        self.judged.rounds_seen += u64::from(planned.is_none());
    }

    /// Calls whose Gemini part failed and that did not fall back.
    pub fn not_fallen_back(&self) -> u64 {
        self.gemini_failed.saturating_sub(self.fallbacks)
    }

    pub(super) fn finish(&mut self) {
        let judged = &self.judged;
        self.timed = judged.timed;
        self.mean_us = judged.mean().map(Exact::rounded);
        self.gemini_mean_us = judged.gemini_mean().map(Exact::rounded);
        let sorted = judged.durations.sorted();
        self.p50_us = sorted.percentile(500);
        self.p95_us = sorted.percentile(950);
        self.p99_us = sorted.percentile(990);
    }
}

impl JudgedCalls {
    fn take(&mut self, call: &CallEnded, at: Timestamp) {
        self.total += 1;
        self.failed += u64::from(has_failed(call));
        if asked_gemini(call) {
            self.asked += 1;
            self.rounds += u64::from(call.gemini_failed_rounds);
        }
        if let Some(duration) = call.duration.filter(|_| is_clean(call)) {
            self.timed += 1;
            self.timed_us += u128::from(duration.get());
            self.durations.push(at, duration);
            if let Some(gemini) = call.gemini_duration {
                self.gemini_timed += 1;
                self.gemini_us += u128::from(gemini.get());
            }
        }
        self.responses_seen += u64::from(call.response_complete.is_some() || call.categories_known.is_some());
        self.responses_invalid += u64::from(is_invalid(call));
        self.notifications_failed += u64::from(call.notification == Some(Notification::Failed));
    }
}

/// Returns whether a completely visible call asked Gemini. A partly visible one may have had more failed rounds: it is on neither
/// side of a share.
fn asked_gemini(call: &CallEnded) -> bool {
    call.pairing != Pairing::Partial && !matches!(call.gemini, GeminiOutcome::NotAsked | GeminiOutcome::Unseen)
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
