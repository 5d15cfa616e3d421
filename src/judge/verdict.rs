//! Verdicts, and the rule that makes one of many.

use super::criterion::Severity;
use crate::watch::terms;

terms! {
    /// The result of a criterion or of the whole period.
    pub enum Verdict {
        /// It holds.
        Pass = "pass",
        /// It holds, but barely; or a criterion that should hold does not.
        Warn = "warn",
        /// It does not hold.
        Fail = "fail",
        /// There is not enough data to say. Never a pass.
        Inconclusive = "inconclusive",
        /// It can't apply here.
        NotApplicable = "not_applicable",
    }
}

/// The rule of the overall verdict, as the report prints it.
pub const RULE: &str = "FAIL if a must criterion fails. Otherwise NO VERDICT if a must criterion is inconclusive and not waived, or if \
the period can't be judged as a whole (too short, two builds, two hubs, or no must criterion judged). Otherwise WARN if a should \
criterion fails, if any of both warns, or if an inconclusive must criterion is waived. Otherwise PASS. Info criteria, and criteria that \
are not applicable or switched off, never count.";

/// Returns the verdict on the whole period: a total function of the verdicts of its criteria.
pub fn overall(criteria: &[Said], obstructed: bool) -> Verdict {
    let start = if obstructed || !is_anything_judged(criteria) { Verdict::Inconclusive } else { Verdict::Pass };
    let effects = criteria.iter().map(|said| said.effect());
    effects.fold(start, |worst, effect| if weight(effect) > weight(worst) { effect } else { worst })
}

/// Returns whether a must criterion applies. Without one there is no reason to promote the build.
pub(super) fn is_anything_judged(criteria: &[Said]) -> bool {
    criteria.iter().any(|said| said.severity == Severity::Must && said.verdict != Verdict::NotApplicable)
}

/// What a criterion contributes to the overall verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// How much it decides.
    pub severity: Severity,
    /// Its verdict.
    pub verdict: Verdict,
    /// Whether a waiver accepts that it has no verdict.
    pub waived: bool,
}

impl Said {
    /// Returns the least bad overall verdict that this criterion allows.
    pub const fn effect(self) -> Verdict {
        match (self.severity, self.verdict) {
            (Severity::Must, Verdict::Fail) => Verdict::Fail,
            (Severity::Must, Verdict::Inconclusive) if self.waived => Verdict::Warn,
            (Severity::Must, Verdict::Inconclusive) => Verdict::Inconclusive,
            (Severity::Must | Severity::Should, Verdict::Warn) | (Severity::Should, Verdict::Fail) => Verdict::Warn,
            (Severity::Must | Severity::Should, Verdict::Pass | Verdict::NotApplicable)
            | (Severity::Should, Verdict::Inconclusive)
            | (Severity::Info, _) => Verdict::Pass,
        }
    }
}

/// Returns the order of verdicts: the one with the higher weight decides.
pub const fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::NotApplicable => 0,
        Verdict::Pass => 1,
        Verdict::Warn => 2,
        Verdict::Inconclusive => 3,
        Verdict::Fail => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(severity: Severity, verdict: Verdict, waived: bool) -> Said {
        Said { severity, verdict, waived }
    }

    /// Every severity with every verdict, waived and not.
    fn all() -> Vec<Said> {
        let pairs = Severity::ALL.iter().flat_map(|severity| Verdict::ALL.iter().map(move |verdict| (*severity, *verdict)));
        pairs.flat_map(|(severity, verdict)| [false, true].map(|waived| said(severity, verdict, waived))).collect()
    }

    #[test]
    fn every_pair_of_a_severity_and_a_verdict_has_its_effect() {
        use Verdict::{Fail, Inconclusive, Pass, Warn};
        // Rows: must, should, info; columns: pass, warn, fail, inconclusive, not applicable.
        let table = [[Pass, Warn, Fail, Inconclusive, Pass], [Pass, Warn, Warn, Pass, Pass], [Pass; 5]];
        let passed = said(Severity::Must, Pass, false);
        for (severity, row) in Severity::ALL.iter().zip(table) {
            for (verdict, effect) in Verdict::ALL.iter().zip(row) {
                assert_eq!(overall(&[passed, said(*severity, *verdict, false)], false), effect, "{severity} {verdict}");
                // A waiver accepts a missing verdict, and nothing else.
                let waived = if effect == Inconclusive { Warn } else { effect };
                assert_eq!(overall(&[passed, said(*severity, *verdict, true)], false), waived, "{severity} {verdict} waived");
            }
        }
    }

    #[test]
    fn the_rule_is_what_it_says_for_every_combination_of_three_criteria() {
        for one in all() {
            for two in all() {
                for three in all() {
                    for obstructed in [false, true] {
                        let criteria = [one, two, three];
                        let must = |verdict| move |said: &Said| said.severity == Severity::Must && said.verdict == verdict;
                        let decides = |said: &&Said| said.severity != Severity::Info;
                        let unknown = |said: &Said| must(Verdict::Inconclusive)(said) && !said.waived;
                        let warns = |said: &Said| {
                            said.verdict == Verdict::Warn
                                || said.severity == Severity::Should && said.verdict == Verdict::Fail
                                || must(Verdict::Inconclusive)(said) && said.waived
                        };
                        let nothing_judged =
                            !criteria.iter().any(|said| said.severity == Severity::Must && said.verdict != Verdict::NotApplicable);
                        let expected = if criteria.iter().any(must(Verdict::Fail)) {
                            Verdict::Fail
                        } else if obstructed || nothing_judged || criteria.iter().any(unknown) {
                            Verdict::Inconclusive
                        } else if criteria.iter().filter(decides).any(warns) {
                            Verdict::Warn
                        } else {
                            Verdict::Pass
                        };
                        assert_eq!(overall(&criteria, obstructed), expected, "{criteria:?} {obstructed}");
                    }
                }
            }
        }
    }

    #[test]
    fn where_no_must_criterion_applies_nothing_passes() {
        let beside = said(Severity::Should, Verdict::Pass, false);
        let must = |verdict| said(Severity::Must, verdict, false);
        assert_eq!([overall(&[], false), overall(&[], true), overall(&[beside], false)], [Verdict::Inconclusive; 3]);
        assert_eq!(overall(&[beside, must(Verdict::NotApplicable), must(Verdict::NotApplicable)], false), Verdict::Inconclusive);
        assert_eq!(overall(&[must(Verdict::NotApplicable), must(Verdict::Pass)], false), Verdict::Pass);
    }
}
