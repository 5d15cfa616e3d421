//! `hubwatch scenario list`, and `run --dry-run`: what there is, and what would be done.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::super::{CliError, Exit, report};
use crate::base::secret;
use crate::scenario::plan::UNHARMED;
use crate::scenario::run::conditions;
use crate::scenario::{Options, Scenario, StepSpec, Target};

/// List the scenarios and their steps
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch scenario list
  hubwatch scenario list --steps
  hubwatch scenario list --format json | jq -r '.[].name'")]
pub(super) struct ListArgs {
    /// Show the steps, too
    #[arg(long)]
    steps: bool,
    /// The format of the list
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
}

/// The formats of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// A JSON array for programs
    Json,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    does: &'static str,
    in_all: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<String>,
    steps: Vec<StepRow>,
}

#[derive(Debug, Serialize)]
struct StepRow {
    id: &'static str,
    holds: &'static str,
}

fn steps(scenario: Scenario) -> impl Iterator<Item = &'static StepSpec> {
    scenario.steps().iter().chain([&UNHARMED])
}

pub(super) fn list(args: &ListArgs) -> Result<Exit, CliError> {
    report::print(&match args.format {
        Form::Text => text(args.steps),
        Form::Json => {
            let row = |scenario: Scenario| Row {
                name: scenario.word(),
                does: scenario.does(),
                in_all: scenario.is_in_all(),
                allow: scenario.needs().map(|what| what.word()),
                steps: steps(scenario).map(|step| StepRow { id: step.id, holds: step.holds }).collect(),
            };
            // Strings always have a JSON form.
            serde_json::to_string_pretty(&Scenario::ALL.map(row)).unwrap_or_default() + "\n"
        }
    })?;
    Ok(Exit::Ok)
}

fn text(with_steps: bool) -> String {
    let mut lines = Vec::new();
    for scenario in Scenario::ALL {
        let needs = match (scenario.needs(), scenario.is_in_all()) {
            (None, true) => String::new(),
            (None, false) => " (by name only)".to_owned(),
            (Some(what), true) => format!(" (--allow {what})"),
            (Some(what), false) => format!(" (by name only, --allow {what})"),
        };
        lines.push(format!("{:<20} {}{needs}", scenario.word(), scenario.does()));
        if with_steps {
            lines.extend(steps(scenario).map(|step| format!("    {:<6} {}", step.id, step.holds)));
        }
    }
    lines.push("\n`hubwatch scenario run all` runs those that need no --allow, and those whose --allow is given, except those by name only.".to_owned());
    lines.join("\n") + "\n"
}

/// Shows what would be done, and whether it may be.
pub(super) async fn dry_run(scenarios: &[Scenario], target: &Target, options: &Options) -> Result<Exit, CliError> {
    let mut lines = vec![format!("{} at {}; nothing is done.", target.name, secret::without_credentials(target.hub.base()))];
    let mut exit = Exit::Ok;
    for scenario in scenarios {
        lines.push(format!("\n{scenario}: {}", scenario.does()));
        match conditions(*scenario, target, options).await {
            Ok(conditions) => {
                for condition in &conditions {
                    let (mark, seen) = match &condition.seen {
                        Ok(seen) => ("✓", seen),
                        Err(against) => ("✗", against),
                    };
                    lines.push(format!("  {mark} {}: {seen}", condition.must));
                }
                if conditions.iter().any(|condition| condition.seen.is_err()) {
                    lines.push("  It would not run.".to_owned());
                    exit = Exit::NoVerdict;
                }
            }
            Err(outcome) => {
                lines.push(format!("  ✗ the hub answers: {}", outcome.reason()));
                exit = Exit::Unreachable;
            }
        }
        lines.extend(steps(*scenario).map(|step| format!("    {:<6} {}", step.id, step.holds)));
    }
    report::print(&(lines.join("\n") + "\n"))?;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_names_every_scenario_with_what_it_needs() {
        insta::assert_snapshot!("scenario_list", super::text(true));
    }
}
