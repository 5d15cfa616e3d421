//! Criteria: what must hold.

use super::measure::Measure;
use super::number::Bound;
use crate::watch::terms;

terms! {
    /// How much a criterion decides.
    pub enum Severity {
        /// A failure means that the build is not promoted.
        Must = "must",
        /// A failure is a warning.
        Should = "should",
        /// Shown, never decisive.
        Info = "info",
    }
}

terms! {
    /// The strategy's four groups.
    pub enum Group {
        /// Integration health.
        Integration = "integration",
        /// Performance.
        Performance = "performance",
        /// Stability.
        Stability = "stability",
        /// Degradation scenarios.
        Degradation = "degradation",
    }
}

/// A pass needs nineteen twentieths of the period (thousandths): what was not watched can't be vouched for.
pub const MIN_COVERAGE: u64 = 950;

/// Whoever wants more samples says so: counted events need but one look.
pub const MIN_SAMPLES: u64 = 1;

/// One criterion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// Its stable name: the group, a dot, and a word.
    pub id: String,
    /// Its group.
    pub group: Group,
    /// How much it decides.
    pub severity: Severity,
    /// The strategy's words.
    pub title: String,
    /// What must hold, all of it.
    pub limits: Vec<Limit>,
    /// How much of the period must be covered for a pass, in thousandths.
    pub min_coverage: u64,
    /// How many samples a verdict needs.
    pub min_samples: u64,
    /// Whether it is judged at all; `enabled = false` in the configuration switches it off.
    pub enabled: bool,
}

impl Criterion {
    pub(super) fn new(id: String, group: Group, severity: Severity) -> Self {
        let (title, limits) = (id.clone(), Vec::new());
        Self { id, group, severity, title, limits, min_coverage: MIN_COVERAGE, min_samples: MIN_SAMPLES, enabled: true }
    }
}

/// A measure and what it must keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Which measure.
    pub measure: Measure,
    /// Beyond this it warns.
    pub warn: Option<u64>,
    /// Beyond this it fails.
    pub fail: Option<u64>,
    /// Whether values below, not above, are beyond.
    pub below: bool,
    /// Whether a value that reaches a limit is beyond it: the strategy's "<".
    pub strict: bool,
    /// Whether the criterion's other limits decide where this measure can't be had.
    pub optional: bool,
}

impl Limit {
    /// The limit beyond which it warns.
    pub fn warns(&self) -> Option<Bound> {
        self.warn.map(|limit| self.bound(limit))
    }

    /// The limit beyond which it fails.
    pub fn fails(&self) -> Option<Bound> {
        self.fail.map(|limit| self.bound(limit))
    }

    const fn bound(&self, limit: u64) -> Bound {
        Bound { limit, below: self.below, strict: self.strict }
    }

    pub(super) const fn new(measure: Measure) -> Self {
        Self { measure, warn: None, fail: None, below: false, strict: false, optional: false }
    }
}
