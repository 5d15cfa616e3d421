//! Criteria as data.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::alert::{Alert, Alerts};
use super::incident::{Gravity, IncidentKind};
use super::measure::Measure;
use super::{MIN_PERIOD, Rules};
use crate::watch::{Micros, terms};

/// The criteria that hold unless told otherwise; the file's comments are their documentation.
pub const DEFAULT: &str = include_str!("criteria.toml");

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

/// One criterion.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Its stable name.
    pub id: String,
    /// Its group.
    pub group: Group,
    /// How much it decides.
    pub severity: Severity,
    /// The strategy's words.
    pub title: String,
    /// What must hold, all of it. Empty: not measured.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// How much of the period must be covered for a pass, in thousandths.
    #[serde(default = "enough_coverage")]
    pub min_coverage: u64,
    /// How many samples a verdict needs.
    #[serde(default = "enough_samples")]
    pub min_samples: u64,
}

/// A measure and what it must keep to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Which measure.
    pub measure: Measure,
    /// Beyond this it warns.
    pub warn: Option<u64>,
    /// Beyond this it fails.
    pub fail: u64,
    /// Whether values below, not above, are beyond.
    #[serde(default)]
    pub below: bool,
}

/// A pass needs nineteen twentieths of the period: what was not watched can't be vouched for.
const fn enough_coverage() -> u64 {
    950
}

/// Whoever wants more says so: counted events need but one look.
const fn enough_samples() -> u64 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CriteriaFile {
    criterion: Vec<Criterion>,
    #[serde(default)]
    alert: Vec<AlertEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertEntry {
    kind: IncidentKind,
    severity: Gravity,
    #[serde(default)]
    threshold: u64,
    /// In minutes.
    #[serde(default)]
    window_min: u64,
}

/// Why criteria can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the criteria are not valid: {0}")]
pub struct CriteriaError(#[from] toml::de::Error);

/// Reads criteria and alerts.
pub fn parse(text: &str) -> Result<(Vec<Criterion>, Alerts), CriteriaError> {
    let file = toml::from_str::<CriteriaFile>(text)?;
    let alert = |entry: AlertEntry| {
        let window = match entry.window_min {
            0 => Alert::default().window,
            minutes => Micros::new(minutes * 60_000_000),
        };
        (entry.kind, Alert { severity: entry.severity, threshold: entry.threshold, window, enabled: true })
    };
    Ok((file.criterion, Alerts(file.alert.into_iter().map(alert).collect())))
}

/// The built-in rules.
pub fn default_rules() -> Rules {
    // The built-in criteria are read by a test; a file that can't be read would be a fault of this very build.
    let (criteria, alerts) = parse(DEFAULT).unwrap_or_default();
    Rules { criteria, alerts, expected_servers: BTreeMap::new(), min_period: MIN_PERIOD }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_strategys_twenty_one_criteria_are_there() {
        let (criteria, alerts) = parse(DEFAULT).unwrap();
        assert_eq!(alerts.0.keys().copied().collect::<Vec<_>>(), IncidentKind::ALL);
        let of = |group| criteria.iter().filter(|criterion| criterion.group == group).count();
        assert_eq!(Group::ALL.iter().map(|group| of(*group)).collect::<Vec<_>>(), [7, 5, 5, 4]);
        let ids: BTreeSet<_> = criteria.iter().map(|criterion| &criterion.id).collect();
        assert_eq!(ids.len(), 21);
    }

    #[test]
    fn a_measure_that_does_not_exist_is_refused() {
        let text = DEFAULT.replace("servers.down_time", "servers.downtime");
        assert!(parse(&text).unwrap_err().to_string().contains("servers.downtime"));
    }
}
