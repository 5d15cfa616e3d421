//! Obstacles: reasons why the period as a whole can get no verdict, whatever its criteria say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::Coverage;
use super::rules::{Length, Rules};
use super::verdict::{self, Said};
use crate::watch::{Micros, terms};

terms! {
    /// Why there can be no verdict.
    pub enum ObstacleKind {
        /// The period is too short.
        TooShort = "too_short",
        /// The build under test changed inside.
        TwoBuilds = "two_builds",
        /// Two hubs were watched under one name.
        TwoHubs = "two_hubs",
        /// The watch stated a rule that can't be read here.
        UnreadableRule = "unreadable_rule",
        /// No must criterion applies to this hub.
        NothingJudged = "nothing_judged",
    }
}

/// A reason why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Obstacle {
    /// What kind.
    pub kind: ObstacleKind,
    /// In words, with what to do.
    pub why: String,
}

/// A watch that covers this share (per cent) of the shortest period is long enough: it begins and ends between two polls.
const LONG_ENOUGH: u64 = 95;

const SECOND: u64 = 1_000_000;

const MINUTE: u64 = 60 * SECOND;

/// Returns the obstacles of a period.
pub(super) fn obstacles(coverage: &Coverage, rules: &Rules, unreadable_rules: &[String], criteria: &[Said]) -> Vec<Obstacle> {
    let mut all = Vec::new();
    let wanted = rules.min_period.get();
    if coverage.period_us < wanted || coverage.covered_us < wanted / 100 * LONG_ENOUGH {
        // Rounded down, so that what is too short never reads as long enough.
        let whole = if coverage.covered_us < MINUTE { SECOND } else { MINUTE };
        let watched = Length(Micros::new(coverage.covered_us / whole * whole));
        let why = format!("only {watched} watched (needed for a verdict: {})", Length(rules.min_period));
        all.push(Obstacle { kind: ObstacleKind::TooShort, why });
    }
    if coverage.builds.len() > 1 {
        let why = format!(
            "the build changed during the period ({}): report on one build's time with --from and --to",
            coverage.builds.join(", then ")
        );
        all.push(Obstacle { kind: ObstacleKind::TwoBuilds, why });
    }
    if coverage.has_two_hubs() {
        let why = "two different hubs were watched under the same name: give each hub its own with --name".to_owned();
        all.push(Obstacle { kind: ObstacleKind::TwoHubs, why });
    }
    if coverage.has_hubs_in_turn() {
        let why = "several hubs answered in turn at the hub's address, each with its own servers and calls: watch each hub at its \
                   own address"
            .to_owned();
        all.push(Obstacle { kind: ObstacleKind::TwoHubs, why });
    }
    all.extend(unreadable_rules.iter().map(|error| Obstacle {
        kind: ObstacleKind::UnreadableRule,
        why: format!("the watch uses a rule that this version of hubwatch can't read: {error}"),
    }));
    if !verdict::is_anything_judged(criteria) {
        let why = "no must criterion was judged: each is switched off or does not apply to this hub; see `enabled` and the \
                   `has_…` keys of [judge] in hubwatch.toml"
            .to_owned();
        all.push(Obstacle { kind: ObstacleKind::NothingJudged, why });
    }
    all
}
