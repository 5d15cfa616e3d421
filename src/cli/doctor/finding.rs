//! The findings of the doctor, as text and JSON.

use serde::Serialize;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// No problem.
    Ok,
    /// A hint; a report is possible.
    Note,
    /// A problem for a watch or a report.
    Wrong,
    /// The hub or the backend can't be reached or read.
    Unreachable,
}

impl Outcome {
    const fn sign(self) -> &'static str {
        match self {
            Self::Ok => "ok  ",
            Self::Note => "note",
            Self::Wrong | Self::Unreachable => "FAIL",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The name of the check.
    pub(super) check: &'static str,
    /// Its outcome.
    pub(super) outcome: Outcome,
    /// The observation.
    pub(super) seen: String,
    /// The next step.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Ok, seen: seen.into(), advice: None }
    }

    pub(super) fn note(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Note, seen: seen.into(), advice: Some(advice.into()) }
    }

    pub(super) fn wrong(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Wrong, seen: seen.into(), advice: Some(advice.into()) }
    }

    pub(super) fn unreachable(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Unreachable, seen: seen.into(), advice: Some(advice.into()) }
    }
}

/// Returns a line for each finding, with the advice below it.
pub(super) fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut table = String::new();
    for Finding { check, outcome, seen, advice } in findings {
        table.push_str(&format!("{}  {check:width$}  {seen}\n", outcome.sign()));
        if let Some(advice) = advice {
            table.push_str(&format!("{:1$}→ {advice}\n", "", width + 8));
        }
    }
    table
}

/// Returns JSON for scripts.
pub(super) fn json(findings: &[Finding]) -> String {
    #[derive(Serialize)]
    struct Found<'a> {
        findings: &'a [Finding],
    }
    // A struct of strings always has a JSON form.
    serde_json::to_string_pretty(&Found { findings }).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_was_found_and_what_to_do() {
        let findings = [Finding::ok("hub", "it answers"), Finding::wrong("log file", "it is empty", "start the hub")];
        insta::assert_snapshot!(table(&findings), @r"
        ok    hub       it answers
        FAIL  log file  it is empty
                        → start the hub
        ");
    }
}
