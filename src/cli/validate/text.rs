//! The result as text for people.

use std::path::Path;

use super::Validation;
use crate::judge::moment::Moment;
use crate::judge::verdict::Verdict;
use crate::report::{baseline, words};

/// Returns the text.
pub(super) fn text(validation: &Validation, state_dir: &Path) -> String {
    let mut lines = vec![format!("{} ({}), {} UTC", validation.hub, validation.environment, second(validation.at))];
    let width = validation.checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
    for check in &validation.checks {
        let sign = words::verdict(check.verdict).sign;
        let expected = match (&check.expected, check.verdict) {
            (Some(expected), Verdict::Warn | Verdict::Fail) => format!("  [expected: {expected}]"),
            _ => String::new(),
        };
        lines.push(format!("{sign} {:width$}  {}{expected}", check.check, check.found));
    }
    let of = |verdict| validation.checks.iter().filter(|check| check.verdict == verdict).count();
    let (failed, warned, unknown) = (of(Verdict::Fail), of(Verdict::Warn), of(Verdict::Inconclusive));
    let rest = if warned + unknown > 0 { format!(" ({warned} warn, {unknown} unknown)") } else { String::new() };
    let undecided = validation.checks.iter().filter(|check| check.must && check.verdict == Verdict::Inconclusive).count();
    lines.push(match failed {
        0 if undecided > 0 => format!("No verdict yet: {undecided} of {} checks are inconclusive{rest}.", validation.checks.len()),
        0 => format!("All checks hold{rest}."),
        failed => format!("{failed} of {} checks failed{rest}.", validation.checks.len()),
    });
    lines.extend(validation.not_visible.iter().map(|unseen| format!("· {unseen}")));
    let file = state_dir.join(baseline::FILE_NAME);
    if validation.baseline_stored {
        lines.push(format!("Kept as the baseline T+0 of {} in {}.", validation.hub, file.display()));
    } else if let Some(at) = validation.earlier_baseline {
        let at = second(at);
        lines.push(format!("The baseline of {}, taken {at} UTC, stays; --rebaseline takes this look instead.", validation.hub));
    } else if let Some(error) = &validation.unreadable_baseline {
        lines.push(format!("No baseline was kept: {} can't be read ({error}); --rebaseline replaces it.", file.display()));
    }
    lines.join("\n") + "\n"
}

fn second(at: Moment) -> String {
    at.to_string().get(..19).unwrap_or_default().replace('T', " ")
}
