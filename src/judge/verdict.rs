//! Verdicts, and the rule that makes one of many.

use super::criterion::Severity;
use crate::watch::terms;

terms! {
    /// What a criterion, or the whole period, came to.
    pub enum Verdict {
        /// It holds.
        Pass = "pass",
        /// It holds, but barely; or something that should hold doesn't.
        Warn = "warn",
        /// It does not hold.
        Fail = "fail",
        /// There is not enough data to say. Never a pass.
        Inconclusive = "inconclusive",
        /// It can't apply here.
        NotApplicable = "not_applicable",
    }
}

/// The overall rule, as the report prints it.
pub const RULE: &str = "FAIL if any must criterion fails; otherwise NO VERDICT if any must criterion is inconclusive and not waived, or \
something stands in the way of a verdict on the whole period (it is too short, it is about two builds or two hubs, no must criterion \
was judged); otherwise WARN if any should criterion fails, anything warns or an inconclusive must is waived; otherwise PASS. Info \
criteria, and those that are not applicable or switched off, never decide.";

/// The verdict on the whole period: a total function of what its criteria came to.
pub fn overall(criteria: &[Said], obstructed: bool) -> Verdict {
    let start = if obstructed || !is_anything_judged(criteria) { Verdict::Inconclusive } else { Verdict::Pass };
    let effects = criteria.iter().map(|said| said.effect());
    effects.fold(start, |worst, effect| if weight(effect) > weight(worst) { effect } else { worst })
}

/// Whether there is a must criterion that applies: where nothing is asked of a build, nothing speaks for promoting it.
pub(super) fn is_anything_judged(criteria: &[Said]) -> bool {
    criteria.iter().any(|said| said.severity == Severity::Must && said.verdict != Verdict::NotApplicable)
}

/// What a criterion says towards the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// How much it decides.
    pub severity: Severity,
    /// What it came to.
    pub verdict: Verdict,
    /// Whether somebody answers for its having no verdict.
    pub waived: bool,
}

impl Said {
    /// The verdict that the whole has at least.
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

/// Which of two verdicts decides.
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
                // A waiver answers for what is not known, and for nothing else.
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
