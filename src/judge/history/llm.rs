//! Requests to LLMs, as instrumentation of the hub shows them: every HTTP attempt, with its tokens.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Planned;
use crate::judge::budget::Budget;
use crate::judge::exact::Exact;
use crate::judge::moment::Moment;
use crate::watch::{Histogram, LlmAttemptSeen, LlmAttemptsCounted, LlmFact, LlmOutcome, TraceId};

/// So many attempts are kept as evidence.
const KEPT_ATTEMPTS: usize = 5;

/// So many models are told apart over the period: a hub asks one or two.
const MAX_MODELS: usize = 50;

/// The microseconds of a day.
const DAY_US: u128 = 24 * 3600 * 1_000_000;

/// Requests to LLMs: facts `mcphub.llm.attempts_counted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LlmHistory {
    /// Attempts, planned and injected ones included.
    pub total: u64,
    /// Of these, those in planned disturbances, and those that the instrumentation answered itself; what is judged leaves them out.
    pub planned: u64,
    /// By outcome, planned ones included.
    pub by_outcome: BTreeMap<String, u64>,
    /// The judged attempts.
    pub judged: u64,
    /// Of these, those that failed: all but `ok`.
    pub failed: u64,
    /// Of these, those that were turned away with HTTP 429.
    pub rate_limited: u64,
    /// Of the judged attempts, those that repeated one that had failed.
    pub retries: u64,
    /// The judged attempts that were answered (`ok`): the durations stand on these.
    pub answered: u64,
    /// Their mean duration, to the nearest µs.
    pub mean_us: Option<u64>,
    /// The duration that 50 of 100 of them keep to, by nearest rank: the end of its bucket, at most an eighth above it.
    pub p50_us: Option<u64>,
    /// The same for 95 of 100.
    pub p95_us: Option<u64>,
    /// The same for 99 of 100.
    pub p99_us: Option<u64>,
    /// The longest of them.
    pub max_us: Option<u64>,
    /// Tokens of the judged attempts.
    pub tokens: Tokens,
    /// Tokens a day, at the rate of the time in which instrumentation could be read.
    pub tokens_per_day: Option<u64>,
    /// The share of the budget that this is (thousandths), if there is a budget.
    pub budget_used_permille: Option<u64>,
    /// What the tokens cost, if `[budget]` says what a million of them costs.
    pub cost: Option<Cost>,
    /// The judged attempts by model, the most often asked first.
    pub models: Vec<ModelFigures>,
    /// The last attempts that failed, planned ones included.
    pub last_failed: Vec<KeptAttempt>,
    /// The slowest attempts, planned ones included, the slowest first.
    pub slowest: Vec<KeptAttempt>,
    #[serde(skip)]
    sums: BTreeMap<String, Sums>,
    #[serde(skip)]
    per_day: Option<Exact>,
    #[serde(skip)]
    budget: Option<u64>,
}

/// Tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// Attempts that told how many they used.
    pub attempts: u64,
    /// Tokens of prompts.
    pub input: u64,
    /// Tokens of answers, those for thinking included.
    pub output: u64,
    /// Of these, those for thinking.
    pub reasoning: u64,
}

impl Tokens {
    /// Returns all of them.
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// What tokens cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Millionths of the currency's unit, for the period.
    pub micros: u64,
    /// The same a day, at the rate of `tokens_per_day`.
    pub micros_per_day: u64,
    /// The currency, as configured.
    pub currency: String,
}

/// The judged attempts of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFigures {
    /// The model.
    pub model: String,
    /// Attempts.
    pub attempts: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// The mean duration of those that were answered, to the nearest µs.
    pub mean_us: Option<u64>,
    /// The duration that 95 of 100 of these keep to: the end of its bucket, at most an eighth above it.
    pub p95_us: Option<u64>,
    /// Tokens.
    pub tokens: Tokens,
}

/// An attempt to look into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptAttempt {
    /// The model.
    pub model: String,
    /// When it ended.
    pub at: Moment,
    /// How long it took.
    pub duration_us: u64,
    /// How it ended.
    pub outcome: LlmOutcome,
    /// The HTTP status, if there was an answer.
    pub status: Option<u32>,
    /// What went wrong; empty where nothing did.
    pub error: String,
    /// Whether the instrumentation answered itself.
    pub injected: bool,
    /// Its trace.
    #[schemars(with = "Option<String>")]
    pub trace: Option<TraceId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    attempts: u64,
    failed: u64,
    rate_limited: u64,
    retries: u64,
    answered: u64,
    sum_us: u128,
    max_us: u64,
    durations: Histogram,
    tokens: Tokens,
}

impl Sums {
    fn add(&mut self, counted: &LlmAttemptsCounted) {
        let count = counted.count.get();
        let more = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        more(&mut self.attempts, count);
        more(&mut self.retries, counted.retries.get());
        match counted.outcome {
            LlmOutcome::Ok => {
                more(&mut self.answered, count);
                self.sum_us += u128::from(counted.sum.get());
                self.max_us = self.max_us.max(counted.max.get());
                self.durations.merge(&counted.durations);
            }
            LlmOutcome::RateLimited => {
                more(&mut self.failed, count);
                more(&mut self.rate_limited, count);
            }
            LlmOutcome::Rejected | LlmOutcome::ServerError | LlmOutcome::Timeout | LlmOutcome::Failed => {
                more(&mut self.failed, count);
            }
        }
        more(&mut self.tokens.attempts, counted.with_tokens.get());
        more(&mut self.tokens.input, counted.input_tokens.get());
        more(&mut self.tokens.output, counted.output_tokens.get());
        more(&mut self.tokens.reasoning, counted.reasoning_tokens.get());
    }

    fn merge(&mut self, other: &Self) {
        let more = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        more(&mut self.attempts, other.attempts);
        more(&mut self.failed, other.failed);
        more(&mut self.rate_limited, other.rate_limited);
        more(&mut self.retries, other.retries);
        more(&mut self.answered, other.answered);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
        self.durations.merge(&other.durations);
        more(&mut self.tokens.attempts, other.tokens.attempts);
        more(&mut self.tokens.input, other.tokens.input);
        more(&mut self.tokens.output, other.tokens.output);
        more(&mut self.tokens.reasoning, other.tokens.reasoning);
    }

    fn at_most(&self, permille: u64) -> Option<u64> {
        self.durations.at_most(permille).map(|end| end.min(self.max_us))
    }

    fn mean(&self) -> Option<Exact> {
        Exact::mean(self.sum_us, self.answered)
    }
}

impl LlmHistory {
    pub(super) fn fact(&mut self, fact: &LlmFact, at: Moment, planned: Planned<'_>) {
        match fact {
            LlmFact::LlmAttemptsCounted(counted) => self.counted(counted, planned),
            LlmFact::LlmAttemptSeen(attempt) => self.seen(attempt, at),
        }
    }

    fn counted(&mut self, counted: &LlmAttemptsCounted, planned: Planned<'_>) {
        let count = counted.count.get();
        self.total = self.total.saturating_add(count);
        let of_outcome = self.by_outcome.entry(counted.outcome.as_str().to_owned()).or_default();
        *of_outcome = of_outcome.saturating_add(count);
        if planned.is_some() || counted.injected {
            self.planned = self.planned.saturating_add(count);
            return;
        }
        let model = counted.model.to_string();
        let model = if self.sums.contains_key(&model) || self.sums.len() < MAX_MODELS { model } else { "(other)".to_owned() };
        self.sums.entry(model).or_default().add(counted);
    }

    fn seen(&mut self, attempt: &LlmAttemptSeen, at: Moment) {
        let kept = KeptAttempt {
            model: attempt.model.to_string(),
            at,
            duration_us: attempt.duration.get(),
            outcome: attempt.outcome,
            status: attempt.status,
            error: attempt.error.as_ref().map(ToString::to_string).unwrap_or_default(),
            injected: attempt.injected,
            trace: attempt.trace,
        };
        if attempt.outcome.error().is_some() {
            if self.last_failed.len() >= KEPT_ATTEMPTS {
                self.last_failed.remove(0);
            }
            self.last_failed.push(kept.clone());
        }
        self.slowest.push(kept);
        self.slowest.sort_by_key(|attempt| std::cmp::Reverse(attempt.duration_us));
        self.slowest.truncate(KEPT_ATTEMPTS);
    }

    fn whole(&self) -> Sums {
        let mut whole = Sums::default();
        self.sums.values().for_each(|sums| whole.merge(sums));
        whole
    }

    /// The mean duration of the answered attempts (µs).
    pub fn mean(&self) -> Option<Exact> {
        self.whole().mean()
    }

    /// Tokens a day, not rounded.
    pub fn per_day(&self) -> Option<Exact> {
        self.per_day
    }

    /// The share of the budget (thousandths), not rounded.
    pub fn budget_used(&self) -> Option<Exact> {
        let share = Exact::permille(1, self.budget?)?;
        Some(self.per_day?.times(share))
    }

    /// Ends the period. `read_us` is for how long instrumentation could be read outside planned disturbances.
    pub(super) fn finish(&mut self, read_us: u64, budget: &Budget) {
        let whole = self.whole();
        (self.judged, self.failed, self.rate_limited) = (whole.attempts, whole.failed, whole.rate_limited);
        (self.retries, self.answered, self.tokens) = (whole.retries, whole.answered, whole.tokens);
        self.mean_us = whole.mean().map(Exact::rounded);
        [self.p50_us, self.p95_us, self.p99_us] = [500, 950, 990].map(|permille| whole.at_most(permille));
        self.max_us = (whole.answered > 0).then_some(whole.max_us);
        let a_day = |of: u64| Exact::of(u128::from(of).saturating_mul(DAY_US), u128::from(read_us));
        self.per_day = if whole.tokens.attempts > 0 { a_day(whole.tokens.total()) } else { None };
        self.tokens_per_day = self.per_day.map(Exact::rounded);
        self.budget = budget.tokens_per_day;
        self.budget_used_permille = self.budget_used().map(Exact::rounded);
        self.cost = budget.micros(whole.tokens.input, whole.tokens.output).filter(|_| whole.tokens.attempts > 0).map(|micros| {
            Cost { micros, micros_per_day: a_day(micros).map_or(0, Exact::rounded), currency: budget.currency.clone() }
        });
        let figures = self.sums.iter().map(|(model, sums)| ModelFigures {
            model: model.clone(),
            attempts: sums.attempts,
            failed: sums.failed,
            mean_us: sums.mean().map(Exact::rounded),
            p95_us: sums.at_most(950),
            tokens: sums.tokens,
        });
        self.models = figures.collect();
        self.models.sort_by(|one, other| other.attempts.cmp(&one.attempts).then_with(|| one.model.cmp(&other.model)));
    }
}
