//! Criteria held against what happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::criterion::{Criterion, Group, Limit};
use super::history::History;
use super::measure::{Measure, Measured};
use super::measuring::{Degradations, measure};
use super::rules::Waiver;
use super::verdict::{Verdict, weight};
use crate::watch::{Timestamp, terms};

terms! {
    /// On what grounds a verdict stands.
    pub enum Ground {
        /// It was measured, on enough.
        Measured = "measured",
        /// The sources at hand can't show it.
        NotVisible = "not_visible",
        /// Nothing happened that it could have been measured on.
        NotExercised = "not_exercised",
        /// There were too few samples.
        TooFewSamples = "too_few_samples",
        /// Too little of the period was watched.
        TooLittleCoverage = "too_little_coverage",
        /// It can't apply here.
        NotApplicable = "not_applicable",
    }
}

/// What a limit came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitJudged {
    /// Its measure.
    pub measure: Measure,
    /// Its value, where it has one.
    pub value: Option<u64>,
    /// Beyond this it warns.
    pub warn: Option<u64>,
    /// Beyond this it fails.
    pub fail: Option<u64>,
    /// Samples that the value stands on.
    pub samples: u64,
    /// What it came to.
    pub verdict: Verdict,
    /// On what grounds.
    pub ground: Ground,
    /// Why, in words.
    pub why: String,
    /// Whether the criterion's other limits decided, because this measure could not be had.
    pub passed_over: bool,
}

/// A waiver, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaiverJudged {
    /// The waiver.
    pub waiver: Waiver,
    /// Whether it had not expired at the period's end.
    pub valid: bool,
    /// Whether it made a difference: the criterion had no verdict.
    pub used: bool,
}

/// What a criterion came to, and on what grounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// On what grounds.
    pub ground: Ground,
    /// Each limit.
    pub limits: Vec<LimitJudged>,
    /// Samples of the limit that decided.
    pub samples: u64,
    /// Why the verdict is what it is.
    pub why: String,
    /// What somebody answers for.
    pub waiver: Option<WaiverJudged>,
}

impl Judged {
    /// Whether it has no verdict, and somebody answers for that.
    pub fn is_waived(&self) -> bool {
        self.waiver.as_ref().is_some_and(|waiver| waiver.valid && waiver.used)
    }
}

/// Judges all criteria. Those that are about the degradation criteria come after these.
pub(super) fn judge_all(criteria: &[Criterion], waivers: &[Waiver], history: &History, to: Timestamp) -> Vec<(Criterion, Judged)> {
    let none = Degradations::default();
    let degradation = criteria.iter().filter(|criterion| criterion.group == Group::Degradation);
    let degradations = Degradations::of(degradation.map(|criterion| judge(criterion, history, &none)));
    let judged = criteria.iter().map(|criterion| {
        let mut judged = judge(criterion, history, &degradations);
        if let Some(waiver) = waivers.iter().find(|waiver| waiver.criterion == criterion.id) {
            waive(&mut judged, waiver, to);
        }
        (criterion.clone(), judged)
    });
    judged.collect()
}

fn waive(judged: &mut Judged, waiver: &Waiver, to: Timestamp) {
    let (valid, used) = (to < waiver.until.0, judged.verdict == Verdict::Inconclusive);
    if used {
        let state = if valid { "waived" } else { "the waiver has expired:" };
        judged.why = format!("{}; {state} by {} until {}: {}", judged.why, waiver.by, waiver.until, waiver.reason);
    }
    judged.waiver = Some(WaiverJudged { waiver: waiver.clone(), valid, used });
}

/// Judges one criterion: the worst of its limits decides.
fn judge(criterion: &Criterion, history: &History, degradations: &Degradations) -> Judged {
    let judge_one = |limit: &Limit| {
        let measured = measure(limit.measure, history, degradations);
        judge_limit(criterion, limit, measured, coverage(limit.measure, history))
    };
    let mut limits: Vec<LimitJudged> = criterion.limits.iter().map(judge_one).collect();
    let unseen = |judged: &LimitJudged| matches!(judged.ground, Ground::NotVisible | Ground::NotExercised);
    if limits.iter().any(|judged| !unseen(judged)) {
        for (judged, limit) in limits.iter_mut().zip(&criterion.limits) {
            judged.passed_over = limit.optional && unseen(judged);
        }
    }
    // What was not exercised says more than what can't be seen: somebody can exercise it.
    let said = |judged: &&LimitJudged| (weight(judged.verdict), judged.ground == Ground::NotExercised);
    let decisive = limits.iter().filter(|judged| !judged.passed_over).rev().max_by_key(said);
    let (verdict, ground, samples, why) = match decisive {
        Some(judged) => (judged.verdict, judged.ground, judged.samples, judged.why.clone()),
        None => (Verdict::Inconclusive, Ground::NotVisible, 0, "nothing measures it".to_owned()),
    };
    Judged { verdict, ground, samples, why, limits, waiver: None }
}

/// In which share of the period a measure could be seen, in thousandths.
fn coverage(measure: Measure, history: &History) -> u64 {
    let watched = history.coverage.share_permille;
    if measure.is_of_calls() {
        let seen = 1_000u64.saturating_sub(history.coverage.sight.calls_unseen_permille());
        return watched.saturating_mul(seen) / 1_000;
    }
    watched
}

fn judge_limit(criterion: &Criterion, limit: &Limit, measured: Measured, coverage: u64) -> LimitJudged {
    let judged = |verdict, ground, value, samples, why| LimitJudged {
        measure: limit.measure,
        value,
        warn: limit.warn,
        fail: limit.fail,
        samples,
        verdict,
        ground,
        why,
        passed_over: false,
    };
    let without_value = |verdict, ground, why| judged(verdict, ground, None, 0, why);
    let (value, samples, counts) = match measured {
        Measured::Value { value, samples, counts } => (value, samples, counts),
        Measured::NotVisible(why) => {
            return without_value(Verdict::Inconclusive, Ground::NotVisible, format!("not visible: {why}"));
        }
        Measured::NotExercised(why) => {
            return without_value(Verdict::Inconclusive, Ground::NotExercised, format!("not exercised: {why}"));
        }
        Measured::TooLittle(why) => return without_value(Verdict::Inconclusive, Ground::TooFewSamples, why),
        Measured::NotApplicable(why) => return without_value(Verdict::NotApplicable, Ground::NotApplicable, why),
    };
    let judged = |verdict, ground, why| judged(verdict, ground, Some(value), samples, why);
    let beyond = |bound: u64| if limit.below { value < bound } else { value > bound };
    let enough = samples >= criterion.min_samples;
    // What was counted has happened, however little else is known; a mean needs its samples.
    if limit.fail.is_some_and(beyond) && (counts || enough) {
        return judged(Verdict::Fail, Ground::Measured, format!("{} is beyond its limit", limit.measure));
    }
    if !enough {
        let why = format!("{samples} samples of {} are too few, {} are needed", limit.measure, criterion.min_samples);
        return judged(Verdict::Inconclusive, Ground::TooFewSamples, why);
    }
    if coverage < criterion.min_coverage {
        let wanted = criterion.min_coverage;
        let why = format!(
            "only {}.{} % of the period was watched, {}.{} % are needed",
            coverage / 10,
            coverage % 10,
            wanted / 10,
            wanted % 10
        );
        return judged(Verdict::Inconclusive, Ground::TooLittleCoverage, why);
    }
    if limit.warn.is_some_and(beyond) {
        let how = if limit.fail.is_some() { "near its limit" } else { "more than it should be" };
        return judged(Verdict::Warn, Ground::Measured, format!("{} is {how}", limit.measure));
    }
    judged(Verdict::Pass, Ground::Measured, "within its limits".to_owned())
}
