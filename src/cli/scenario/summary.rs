//! The summary for people: a line for each scenario, then everything that did not hold, with its reason.

use std::io::IsTerminal as _;

use super::super::Color;
use crate::scenario::outcome::{Played, Step, Tally};
use crate::scenario::results::Results;
use crate::watch::StepVerdict;

/// Whether words have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Coloured,
}

impl Style {
    pub(super) fn of_stderr(color: Color) -> Self {
        Self::of_stream(color, std::io::stderr().is_terminal())
    }

    pub(super) fn of_stdout(color: Color) -> Self {
        Self::of_stream(color, std::io::stdout().is_terminal())
    }

    fn of_stream(color: Color, is_terminal: bool) -> Self {
        let coloured = match color {
            Color::Always => true,
            Color::Never => false,
            // The configuration's layers hold what hubwatch itself reads; this is the terminal's.
            Color::Auto => is_terminal && super::super::wants_colours(),
        };
        if coloured { Self::Coloured } else { Self::Plain }
    }

    pub(super) fn of(self, verdict: StepVerdict, text: &str) -> String {
        self.with(
            match verdict {
                StepVerdict::Pass => "32",
                StepVerdict::Fail => "31",
                StepVerdict::NotVerifiable => "33",
                StepVerdict::NotApplicable => "2",
            },
            text,
        )
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

/// The symbol of a verdict.
pub(super) const fn symbol(verdict: StepVerdict) -> &'static str {
    match verdict {
        StepVerdict::Pass => "✓",
        StepVerdict::Fail => "✗",
        StepVerdict::NotVerifiable => "?",
        StepVerdict::NotApplicable => "–",
    }
}

/// A verdict in words.
pub(super) const fn word(verdict: StepVerdict) -> &'static str {
    match verdict {
        StepVerdict::Pass => "pass",
        StepVerdict::Fail => "FAIL",
        StepVerdict::NotVerifiable => "not verifiable",
        StepVerdict::NotApplicable => "not applicable",
    }
}

/// The summary.
pub(super) fn text(results: &Results, style: Style) -> String {
    let mut lines = vec![format!("{} at {} ({})", results.hub, results.address, results.environment), String::new()];
    if results.scenarios.is_empty() {
        let why = results.unreachable.as_deref().unwrap_or("it was interrupted");
        lines.push(format!("Nothing was done: {why}."));
        return lines.join("\n") + "\n";
    }
    lines.push(format!(
        "{:<20} {:>5} {:>6} {:>14} {:>14}  {:>8}",
        "scenario", "held", "failed", "not verifiable", "not applicable", "took"
    ));
    lines.extend(results.scenarios.iter().map(|played| row(played, style)));
    for (title, verdict) in [("Failed", StepVerdict::Fail), ("Not verifiable", StepVerdict::NotVerifiable)] {
        let groups: Vec<(&'static str, Vec<&Step>)> = results.scenarios.iter().flat_map(|played| groups(played, verdict)).collect();
        if !groups.is_empty() {
            lines.push(format!("\n{title}:"));
            lines.extend(groups.iter().flat_map(|(scenario, steps)| explained(results, scenario, steps)));
        }
    }
    for name in &results.stale_expectations {
        lines.push(format!("\n{name} is listed as an expected failure, and held: remove it from the list."));
    }
    let notes: Vec<&String> = results.scenarios.iter().flat_map(|played| &played.notes).collect();
    if !notes.is_empty() {
        lines.push("\nNotes:".to_owned());
        lines.extend(notes.iter().map(|note| format!("  {note}")));
    }
    if let Some(why) = &results.unreachable {
        lines.push(format!("\nEnded early: {why}."));
    }
    if results.interrupted {
        lines.push("\nIt was interrupted.".to_owned());
    }
    let Tally { passed, failed, not_verifiable, not_applicable } = results.tally;
    lines.push(format!(
        "\n{}: {passed} steps held, {failed} failed{}, {not_verifiable} not verifiable, {not_applicable} not applicable",
        style.of(results.verdict, word(results.verdict)),
        match results.failed_as_expected.len() {
            0 => String::new(),
            count => format!(" ({count} as expected)"),
        }
    ));
    lines.join("\n") + "\n"
}

fn row(played: &Played, style: Style) -> String {
    let tally = Tally::of(&played.steps);
    let took = played.ended.0.since(played.began.0).as_secs_f64();
    // Padded before it is coloured: colours have no width.
    format!(
        "{:<20} {:>5} {} {:>14} {:>14} {took:>7.1} s",
        played.scenario,
        tally.passed,
        if tally.failed > 0 { style.of(StepVerdict::Fail, &format!("{:>6}", tally.failed)) } else { format!("{:>6}", 0) },
        tally.not_verifiable,
        tally.not_applicable
    )
}

/// The steps of a run with this verdict; those that stand together and have the same reason are one group.
fn groups(played: &Played, verdict: StepVerdict) -> Vec<(&'static str, Vec<&Step>)> {
    let steps: Vec<&Step> = played.steps.iter().filter(|step| step.verdict == verdict).collect();
    steps.chunk_by(|one, next| one.detail == next.detail).map(|group| (played.scenario, group.to_vec())).collect()
}

fn explained(results: &Results, scenario: &str, steps: &[&Step]) -> Vec<String> {
    let Some(first) = steps.first() else { return Vec::new() };
    let names: Vec<String> = steps.iter().map(|step| named(results, scenario, step)).collect();
    let holds = if steps.len() == 1 { format!(": {}", first.holds) } else { String::new() };
    let mut lines =
        vec![format!("  {} {scenario} {}{holds}", symbol(first.verdict), names.join(", ")), format!("      {}", first.detail)];
    lines.extend(first.known_defect.map(|link| format!("      {link}")));
    lines
}

fn named(results: &Results, scenario: &str, step: &Step) -> String {
    let expected = if results.is_expected(scenario, step.id) { " (expected)" } else { "" };
    format!("{}{expected}", step.id)
}
