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
pub const RULE: &str = "FAIL if any must criterion fails; otherwise NO VERDICT if any must criterion is inconclusive or the period \
is too short; otherwise WARN if any should criterion fails or anything warns; otherwise PASS. Info criteria never decide.";

/// The verdict on the whole period: a total function of what its criteria came to.
pub fn overall(criteria: impl IntoIterator<Item = (Severity, Verdict)>, long_enough: bool) -> Verdict {
    let mut worst = if long_enough { Verdict::Pass } else { Verdict::Inconclusive };
    for (severity, verdict) in criteria {
        let said = match (severity, verdict) {
            (Severity::Must, Verdict::Fail) => Verdict::Fail,
            (Severity::Must, Verdict::Inconclusive) => Verdict::Inconclusive,
            (Severity::Must | Severity::Should, Verdict::Warn) | (Severity::Should, Verdict::Fail) => Verdict::Warn,
            (Severity::Must | Severity::Should, Verdict::Pass | Verdict::NotApplicable)
            | (Severity::Should, Verdict::Inconclusive)
            | (Severity::Info, _) => Verdict::Pass,
        };
        if weight(said) > weight(worst) {
            worst = said;
        }
    }
    worst
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

    #[test]
    fn every_pair_of_a_severity_and_a_verdict_has_its_effect() {
        use Verdict::{Fail, Inconclusive, Pass, Warn};
        // Rows: must, should, info; columns: pass, warn, fail, inconclusive, not applicable.
        let table = [[Pass, Warn, Fail, Inconclusive, Pass], [Pass, Warn, Warn, Pass, Pass], [Pass; 5]];
        for (severity, row) in Severity::ALL.iter().zip(table) {
            for (verdict, effect) in Verdict::ALL.iter().zip(row) {
                assert_eq!(overall([(*severity, *verdict)], true), effect, "{severity} {verdict}");
                let with_others = [(Severity::Must, Pass), (*severity, *verdict), (Severity::Info, Fail)];
                assert_eq!(overall(with_others, true), effect, "{severity} {verdict} among others");
            }
        }
    }

    #[test]
    fn a_failed_must_is_never_outweighed() {
        for other in Verdict::ALL {
            let criteria = [(Severity::Must, *other), (Severity::Must, Verdict::Fail), (Severity::Must, *other)];
            assert_eq!(overall(criteria, true), Verdict::Fail);
            assert_eq!(overall(criteria, false), Verdict::Fail);
        }
    }

    #[test]
    fn a_period_that_is_too_short_can_fail_but_not_pass() {
        assert_eq!(overall([(Severity::Must, Verdict::Pass)], false), Verdict::Inconclusive);
        assert_eq!(overall([], true), Verdict::Pass);
    }
}
