//! What a scenario found: its steps, each with a verdict and a reason.

use schemars::JsonSchema;
use serde::Serialize;

use super::known::Defect;
use super::plan::UNHARMED;
use crate::judge::moment::Moment;
use crate::watch::{MeasuredByClient, Micros, ScenarioRun, StepVerdict};

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What should hold held; what was seen.
    Pass(String),
    /// It did not.
    Fail {
        /// What was seen instead.
        reason: String,
        /// The defect of the hub that is known to cause it.
        defect: Option<&'static Defect>,
    },
    /// It can't be told.
    NotVerifiable {
        /// Why.
        why: String,
        /// What would make it verifiable.
        remedy: Option<String>,
    },
    /// It can't be on this hub; why.
    NotApplicable(String),
}

impl Outcome {
    /// It held.
    pub(super) fn pass(seen: impl Into<String>) -> Self {
        Self::Pass(seen.into())
    }

    /// It did not, for no reason that is known.
    pub(super) fn fail(reason: impl Into<String>) -> Self {
        Self::Fail { reason: reason.into(), defect: None }
    }

    /// It did not, because of a defect that is known.
    pub(super) fn defect(reason: impl Into<String>, defect: &'static Defect) -> Self {
        Self::Fail { reason: reason.into(), defect: Some(defect) }
    }

    /// It can't be told, and nothing that the user does would change that.
    pub(super) fn unseen(why: impl Into<String>) -> Self {
        Self::NotVerifiable { why: why.into(), remedy: None }
    }

    /// It can't be told unless the user does something.
    pub(super) fn needs(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::NotVerifiable { why: why.into(), remedy: Some(remedy.into()) }
    }

    /// A pass or a failure.
    pub(super) fn held(holds: bool, seen: impl Into<String>) -> Self {
        if holds { Self::pass(seen) } else { Self::fail(seen) }
    }

    /// Its verdict.
    pub const fn verdict(&self) -> StepVerdict {
        match self {
            Self::Pass(_) => StepVerdict::Pass,
            Self::Fail { .. } => StepVerdict::Fail,
            Self::NotVerifiable { .. } => StepVerdict::NotVerifiable,
            Self::NotApplicable(_) => StepVerdict::NotApplicable,
        }
    }

    /// What was seen, or why nothing was.
    pub fn detail(&self) -> String {
        match self {
            Self::Pass(text) | Self::NotApplicable(text) => text.clone(),
            Self::Fail { reason, defect: None } => reason.clone(),
            Self::Fail { reason, defect: Some(defect) } => format!("{reason}; a known defect of the hub: {}", defect.means),
            Self::NotVerifiable { why, remedy: None } => why.clone(),
            Self::NotVerifiable { why, remedy: Some(remedy) } => format!("{why}; {remedy}"),
        }
    }
}

/// A step of a scenario, and what came of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Step {
    /// Its number within the scenario, as in the strategy's test cases.
    pub id: &'static str,
    /// What should hold.
    pub holds: String,
    /// Whether it did: `pass`, `fail`, `not_verifiable` or `not_applicable`.
    #[schemars(with = "String")]
    pub verdict: StepVerdict,
    /// What was seen, or why nothing was.
    pub detail: String,
    /// Where the known defect of the hub is that makes it fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_defect: Option<&'static str>,
    /// When it began.
    pub began: Moment,
    /// How long it took, in microseconds.
    #[schemars(with = "u64")]
    pub took_us: Micros,
}

/// How long operations took as a client measured them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Measured {
    /// Which operation: `meta_tool_call`, `api_request` or `tool_call`.
    #[schemars(with = "String")]
    pub operation: MeasuredByClient,
    /// How many ended, well or not.
    pub count: u64,
    /// How many of these failed.
    pub failed: u64,
    /// The sum over those that did not fail, in microseconds; with the count it gives the exact mean.
    pub sum_us: u64,
    /// Half of them took at most so long.
    pub p50_us: Option<u64>,
    /// 95 of a hundred took at most so long.
    pub p95_us: Option<u64>,
    /// 99 of a hundred took at most so long.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
}

/// A run of a scenario.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Played {
    /// Which scenario.
    pub scenario: &'static str,
    /// Which run of it: every run has its own id.
    #[schemars(with = "String")]
    pub run: ScenarioRun,
    /// When it began.
    pub began: Moment,
    /// When it ended.
    pub ended: Moment,
    /// The trace of what it did.
    pub trace_id: String,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// What its clients measured.
    pub measured: Vec<Measured>,
    /// What people should know beside the steps: what was put back, what was left open.
    pub notes: Vec<String>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// How many steps came to which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tally {
    /// Steps that held.
    pub passed: u64,
    /// Steps that did not.
    pub failed: u64,
    /// Steps of which it can't be told.
    pub not_verifiable: u64,
    /// Steps that can't be on this hub.
    pub not_applicable: u64,
}

impl Tally {
    /// Counts steps.
    pub fn of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        let mut tally = Self::default();
        for step in steps {
            *match step.verdict {
                StepVerdict::Pass => &mut tally.passed,
                StepVerdict::Fail => &mut tally.failed,
                StepVerdict::NotVerifiable => &mut tally.not_verifiable,
                StepVerdict::NotApplicable => &mut tally.not_applicable,
            } += 1;
        }
        tally
    }

    /// The verdict on steps. That the hub is unharmed at the end is nothing that the scenario verified: it counts only if it fails.
    pub fn verdict_of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> StepVerdict {
        let counts = |step: &&Step| step.id != UNHARMED.id || step.verdict == StepVerdict::Fail;
        Self::of(steps.into_iter().filter(counts)).verdict()
    }

    /// The verdict on all of them: one that fails fails them all, one that holds is needed for a pass.
    pub const fn verdict(self) -> StepVerdict {
        match self {
            Self { failed: 1.., .. } => StepVerdict::Fail,
            Self { passed: 1.., .. } => StepVerdict::Pass,
            Self { not_verifiable: 1.., .. } => StepVerdict::NotVerifiable,
            Self { .. } => StepVerdict::NotApplicable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, not_verifiable: u64, not_applicable: u64) -> StepVerdict {
        Tally { passed, failed, not_verifiable, not_applicable }.verdict()
    }

    #[test]
    fn one_failure_fails_and_what_cannot_be_told_is_no_pass_by_itself() {
        assert_eq!(tally(5, 1, 1, 1), StepVerdict::Fail);
        assert_eq!(tally(1, 0, 5, 1), StepVerdict::Pass);
        assert_eq!(tally(0, 0, 1, 9), StepVerdict::NotVerifiable);
        assert_eq!(tally(0, 0, 0, 9), StepVerdict::NotApplicable);
        assert_eq!(tally(0, 0, 0, 0), StepVerdict::NotApplicable);
    }
}
