//! Criteria held against what happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::criterion::{Criterion, Group, Limit};
use super::exact::Exact;
use super::history::{Basis, Coverage, History};
use super::measure::{Kind, Measure, Measured, Unit};
use super::number::{self, Bound};
use super::rules::{Length, Rules, Waiver};
use super::topics::Degradations;
use super::verdict::{Verdict, weight};
use crate::watch::{Micros, Timestamp, terms};

terms! {
    /// On what grounds a verdict stands.
    pub enum Ground {
        /// It was measured, on enough.
        Measured = "measured",
        /// The sources at hand can't show it.
        NotVisible = "not_visible",
        /// A scenario tried, and could not see it.
        NotVerifiable = "not_verifiable",
        /// Nothing happened that it could have been measured on.
        NotExercised = "not_exercised",
        /// There were too few samples.
        TooFewSamples = "too_few_samples",
        /// Too little of the period was watched.
        TooLittleCoverage = "too_little_coverage",
        /// It can't apply here.
        NotApplicable = "not_applicable",
        /// The configuration switched it off.
        Disabled = "disabled",
    }
}

/// What a limit came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitJudged {
    /// Its measure.
    pub measure: Measure,
    /// Its value to the nearest whole number on the same side of the limits, where it has one.
    pub value: Option<u64>,
    /// The value as it was compared with the limits: a fraction.
    #[serde(default)]
    pub exact: Option<Exact>,
    /// The value for people, with as many digits as show on which side of the limits it is.
    #[serde(default)]
    pub shown: Option<String>,
    /// Beyond this it warns.
    pub warn: Option<u64>,
    /// Beyond this it fails.
    pub fail: Option<u64>,
    /// Whether values below, not above, are beyond.
    #[serde(default)]
    pub below: bool,
    /// Whether a value that reaches a limit is beyond it.
    #[serde(default)]
    pub strict: bool,
    /// Samples that the value stands on.
    pub samples: u64,
    /// The source that it stands on.
    #[serde(default = "watch")]
    pub source: Basis,
    /// In which share of the period that source was read, in thousandths.
    #[serde(default)]
    pub coverage_permille: u64,
    /// What it came to.
    pub verdict: Verdict,
    /// On what grounds.
    pub ground: Ground,
    /// Why, in words.
    pub why: String,
    /// Whether the criterion's other limits decided, because this measure could not be had.
    pub passed_over: bool,
}

/// A measure and what it came to, whether a criterion is set on it or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeasureFigure {
    /// Which one.
    pub measure: Measure,
    /// In which unit.
    pub unit: Unit,
    /// Its value to the nearest whole number on the same side of its limits, where it has one.
    pub value: Option<u64>,
    /// The value itself: a fraction.
    pub exact: Option<Exact>,
    /// The value for people, as it stands wherever it is shown.
    pub shown: Option<String>,
    /// Samples that it stands on.
    pub samples: u64,
    /// The source that it stands on.
    pub source: Basis,
    /// In which share of the period that source was read, in thousandths.
    pub coverage_permille: u64,
    /// Why it has no value, where it has none.
    pub why: Option<String>,
}

const fn watch() -> Basis {
    Basis::Watch
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
    /// The coverage of its source, in thousandths.
    pub coverage_permille: u64,
    /// Why the verdict is what it is.
    pub why: String,
    /// The waivers.
    pub waiver: Option<WaiverJudged>,
}

impl Judged {
    /// Of a criterion that is switched off: nothing was measured, and it counts nowhere.
    fn disabled() -> Self {
        Self {
            verdict: Verdict::NotApplicable,
            ground: Ground::Disabled,
            limits: Vec::new(),
            samples: 0,
            coverage_permille: 0,
            why: "switched off in the configuration (enabled = false)".to_owned(),
            waiver: None,
        }
    }

    /// Returns whether it has no verdict and there is a waiver.
    pub fn is_waived(&self) -> bool {
        self.waiver.as_ref().is_some_and(|waiver| waiver.valid && waiver.used)
    }
}

/// The limits that any criterion sets on a measure: its value is printed on the right side of all of them, everywhere.
pub fn bounds_on<'a>(measure: Measure, criteria: impl IntoIterator<Item = &'a Criterion>) -> Vec<Bound> {
    let limits = criteria.into_iter().flat_map(|criterion| &criterion.limits).filter(|limit| limit.measure == measure);
    limits.flat_map(|limit| limit.warns().into_iter().chain(limit.fails())).collect()
}

fn figure(of: Measure, measured: Measured, criteria: &[Criterion], coverage: Exact) -> MeasureFigure {
    let bounds = bounds_on(of, criteria);
    let (exact, samples, why) = match measured {
        Measured::Value { value, samples } => (Some(value), samples, None),
        Measured::NotVisible(why) => (None, 0, Some(format!("not visible: {why}"))),
        Measured::NotVerifiable(why) => (None, 0, Some(format!("not verifiable: {why}"))),
        Measured::NotExercised(why) => (None, 0, Some(format!("not tested: {why}"))),
        Measured::TooLittle(why) => (None, 0, Some(why)),
        Measured::NotApplicable(why) => (None, 0, Some(format!("not applicable: {why}"))),
    };
    MeasureFigure {
        measure: of,
        unit: of.unit,
        value: exact.map(|value| number::rounded(value, &bounds)),
        exact,
        shown: exact.map(|value| number::value(of.unit, value, &bounds)),
        samples,
        source: of.basis,
        coverage_permille: coverage.rounded(),
        why,
    }
}

/// Every measure, in the order in which a report lists them.
pub(super) fn measure_all(rules: &Rules, history: &History) -> Vec<MeasureFigure> {
    let (criteria, degradations) = (&rules.criteria, degradations(rules, history));
    let of = |of: Measure| figure(of, of.measure(history, &degradations), criteria, history.coverage.of(of.basis));
    Measure::all().map(of).collect()
}

fn degradations(rules: &Rules, history: &History) -> Degradations {
    let none = Degradations::default();
    let degradation = rules.criteria.iter().filter(|criterion| criterion.group == Group::Degradation);
    Degradations::of(degradation.map(|criterion| judge(criterion, rules, history, &none)))
}

/// Judges all criteria. Those that are about the degradation criteria come after these.
pub(super) fn judge_all(rules: &Rules, history: &History, to: Timestamp) -> Vec<(Criterion, Judged)> {
    let degradations = degradations(rules, history);
    let judged = rules.criteria.iter().map(|criterion| {
        let mut judged = judge(criterion, rules, history, &degradations);
        if let Some(waiver) = rules.waivers.iter().find(|waiver| waiver.criterion == criterion.id) {
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
fn judge(criterion: &Criterion, rules: &Rules, history: &History, degradations: &Degradations) -> Judged {
    if !criterion.enabled {
        return Judged::disabled();
    }
    let judge_one = |limit: &Limit| {
        let measured = limit.measure.measure(history, degradations);
        let coverage = history.coverage.of(limit.measure.basis);
        let short = short_of(criterion, limit.measure.basis, &history.coverage, rules.min_period);
        let (verdict, ground, why) = decide(criterion, limit, &measured, coverage, short);
        let MeasureFigure { measure, exact, shown, samples, source, .. } =
            figure(limit.measure, measured, &rules.criteria, coverage);
        let bounds: Vec<Bound> = limit.warns().into_iter().chain(limit.fails()).collect();
        LimitJudged {
            measure,
            value: exact.map(|value| number::rounded(value, &bounds)),
            exact,
            shown,
            warn: limit.warn,
            fail: limit.fail,
            below: limit.below,
            strict: limit.strict,
            samples,
            source,
            coverage_permille: number::rounded(coverage, &[needed(criterion)]),
            verdict,
            ground,
            why,
            passed_over: false,
        }
    };
    let mut limits: Vec<LimitJudged> = criterion.limits.iter().map(judge_one).collect();
    let unseen = |judged: &LimitJudged| matches!(judged.ground, Ground::NotVisible | Ground::NotVerifiable | Ground::NotExercised);
    if limits.iter().any(|judged| !unseen(judged)) {
        for (judged, limit) in limits.iter_mut().zip(&criterion.limits) {
            judged.passed_over = limit.optional && unseen(judged);
        }
    }
    let said = |judged: &&LimitJudged| (weight(judged.verdict), says(judged.ground));
    let decisive = limits.iter().filter(|judged| !judged.passed_over).rev().max_by_key(said);
    let (verdict, ground, samples, coverage_permille, why) = match decisive {
        Some(judged) => (judged.verdict, judged.ground, judged.samples, judged.coverage_permille, judged.why.clone()),
        None => (Verdict::Inconclusive, Ground::NotVisible, 0, 0, "it has no measure".to_owned()),
    };
    Judged { verdict, ground, samples, coverage_permille, why, limits, waiver: None }
}

/// Which of the grounds for no verdict says most. What was tried comes first. What is not visible stays so, whatever traffic there is:
/// the scenario that was not run comes after it.
const fn says(ground: Ground) -> u8 {
    match ground {
        Ground::NotVerifiable => 3,
        Ground::NotVisible => 2,
        Ground::NotExercised => 1,
        Ground::Measured | Ground::TooFewSamples | Ground::TooLittleCoverage | Ground::NotApplicable | Ground::Disabled => 0,
    }
}

/// The coverage below which there is no pass.
const fn needed(criterion: &Criterion) -> Bound {
    Bound { limit: criterion.min_coverage, below: true, strict: false }
}

/// What left a criterion without enough to stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    /// What was seen for too little of the period.
    pub source: Basis,
    /// In which share of the period it was seen (thousandths).
    seen: Exact,
    /// The shortest period that gets a verdict, where that lacks a larger share than the source does.
    wanted: Option<Micros>,
}

impl Short {
    /// Returns whether the period lacks more than its source does: what was not seen of a watch of a minute is no fault of the hub's.
    pub(crate) const fn is_the_period(self) -> bool {
        self.wanted.is_some()
    }

    /// What to do.
    fn advice(self) -> String {
        match self.wanted {
            Some(wanted) => format!("watch for at least {}", Length(wanted)),
            None => self.source.advice().to_owned(),
        }
    }
}

/// What was seen for too little of the period, and for how much of it: the source itself, or the hub as a whole where the source was
/// there for enough of what was watched. Whichever lacks the larger share is to blame: the period, of the shortest one that gets a verdict,
/// or the source, of the period.
pub(crate) fn short_of(criterion: &Criterion, source: Basis, coverage: &Coverage, min_period: Micros) -> Short {
    let (watched, seen) = (coverage.of(Basis::Watch), coverage.of(source));
    let enough_of_it = watched.times(Exact::whole(criterion.min_coverage)) <= seen.times(Exact::whole(1_000));
    let (source, seen) =
        if needed(criterion).is_beyond(watched) && enough_of_it { (Basis::Watch, watched) } else { (source, seen) };
    let lasted = Exact::permille(coverage.period_us, min_period.get());
    Short { source, seen, wanted: lasted.filter(|lasted| *lasted < seen).map(|_| min_period) }
}

fn decide(criterion: &Criterion, limit: &Limit, measured: &Measured, coverage: Exact, short: Short) -> (Verdict, Ground, String) {
    let (value, samples) = match measured {
        Measured::Value { value, samples } => (*value, *samples),
        Measured::NotVisible(why) => return (Verdict::Inconclusive, Ground::NotVisible, format!("not visible: {why}")),
        Measured::NotVerifiable(why) => return (Verdict::Inconclusive, Ground::NotVerifiable, format!("not verifiable: {why}")),
        Measured::NotExercised(why) => return (Verdict::Inconclusive, Ground::NotExercised, format!("not tested: {why}")),
        Measured::TooLittle(why) => return (Verdict::Inconclusive, Ground::TooFewSamples, why.clone()),
        Measured::NotApplicable(why) => return (Verdict::NotApplicable, Ground::NotApplicable, why.clone()),
    };
    let enough = samples >= criterion.min_samples;
    let covered = !needed(criterion).is_beyond(coverage);
    // What was counted has happened, however little else is known. An estimate needs its samples, and is beyond its limit with too
    // little coverage only if the time that was not seen could not have made up for it.
    let fails = limit.fails().is_some_and(|bound| match limit.measure.kind {
        Kind::Happened => bound.is_beyond(value),
        Kind::Estimated if !enough => false,
        Kind::Estimated if covered => bound.is_beyond(value),
        Kind::Estimated => !bound.below && bound.is_beyond(at_least(value, coverage)),
    });
    if fails {
        return (Verdict::Fail, Ground::Measured, beyond(limit, value, limit.fails()));
    }
    if !enough {
        return (Verdict::Inconclusive, Ground::TooFewSamples, too_few(criterion, limit, samples, short));
    }
    if !covered {
        return (Verdict::Inconclusive, Ground::TooLittleCoverage, too_little(criterion, short));
    }
    if limit.warns().is_some_and(|bound| bound.is_beyond(value)) {
        return (Verdict::Warn, Ground::Measured, beyond(limit, value, limit.warns()));
    }
    (Verdict::Pass, Ground::Measured, "within limits".to_owned())
}

/// What a value comes to over the whole period if the time that was not seen had nothing of it.
fn at_least(value: Exact, coverage: Exact) -> Exact {
    Exact::of(1, 1_000).map_or(value, |thousandth| value.times(coverage).times(thousandth))
}

fn beyond(limit: &Limit, value: Exact, bound: Option<Bound>) -> String {
    let unit = limit.measure.unit;
    let bounds: Vec<Bound> = bound.into_iter().collect();
    let shown = number::value(unit, value, &bounds);
    let limits: Vec<String> = bounds.iter().map(|bound| bound.words(unit)).collect();
    format!("{}: {shown} ({})", limit.measure.title, limits.join(", "))
}

fn too_few(criterion: &Criterion, limit: &Limit, samples: u64, short: Short) -> String {
    format!("{}: only {samples} samples (needed: {}); {}", limit.measure.title, criterion.min_samples, short.advice())
}

fn too_little(criterion: &Criterion, short: Short) -> String {
    let bound = needed(criterion);
    let (seen, wanted) = (number::value(Unit::Permille, short.seen, &[bound]), number::limit(Unit::Permille, bound.limit));
    format!("{} for only {seen} of the period (needed: {wanted}); {}", short.source.what(), short.advice())
}

#[cfg(test)]
mod tests {
    use super::super::history::SourceTime;
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn the_period_or_the_source_is_to_blame_whichever_lacks_more() {
        let rules = Rules::builtin();
        let criterion = rules.criteria.iter().find(|criterion| criterion.min_coverage > 900).unwrap();
        let advice = |period: u64, answered: u64| {
            let sources = SourceTime { api_us: answered * SECOND, ..SourceTime::default() };
            let mut coverage = Coverage::default();
            (coverage.covered_us, coverage.period_us, coverage.sources) = (period * SECOND, period * SECOND, sources);
            short_of(criterion, Basis::Api, &coverage, rules.min_period).advice()
        };
        assert_eq!(advice(100, 85), "watch for at least 24h", "the hub was away at the first of seven polls");
        assert_eq!(advice(100, 0), Basis::Api.advice(), "nothing was seen of it");
        assert_eq!(advice(172_800, 86_400), Basis::Api.advice(), "two days are long enough");
    }
}
