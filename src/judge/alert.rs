//! From when on something is an incident: the strategy's alert thresholds, as data.

use std::collections::BTreeMap;

use super::incident::{Gravity, IncidentKind};
use crate::watch::Micros;

/// When a kind of incident is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// How bad it is.
    pub severity: Gravity,
    /// Beyond this it is one; the unit is the kind's.
    pub threshold: u64,
    /// Within which time; for episodes, how long it must be quiet for one to be over.
    pub window: Micros,
    /// Whether anybody wants to know.
    pub enabled: bool,
}

impl Alert {
    /// Of an event that has no threshold: it is one whenever it happens; within minutes it is the same one.
    pub const fn whenever(kind: IncidentKind) -> Self {
        Self { severity: kind.severity(), threshold: 0, window: Micros::new(5 * 60 * 1_000_000), enabled: true }
    }
}

/// The thresholds of the kinds that have one, or that the rules change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerts(pub BTreeMap<IncidentKind, Alert>);

impl Alerts {
    /// The threshold of a kind.
    pub fn of(&self, kind: IncidentKind) -> Alert {
        self.0.get(&kind).cloned().unwrap_or_else(|| Alert::whenever(kind))
    }
}
