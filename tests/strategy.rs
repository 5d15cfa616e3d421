//! The commands that the strategy's page names are commands that there are.

use clap::Parser as _;
use hubwatch::cli::Cli;

const PAGE: &str = include_str!("../docs/strategy.md");

/// The command lines on the page: whole lines of its blocks, and what stands between backticks.
fn commands() -> Vec<String> {
    let mut all = Vec::new();
    let mut in_block = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let comment = line.trim_start().starts_with('#');
            all.extend(line.find("hubwatch ").filter(|_| !comment).map(|at| line[at..].to_owned()));
        } else {
            all.extend(line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("hubwatch ")).map(str::to_owned));
        }
    }
    all
}

/// The words up to where the shell takes over.
fn words(command: &str) -> Vec<String> {
    command.split_whitespace().take_while(|word| !word.contains('>') && !word.starts_with(['|', '&'])).map(str::to_owned).collect()
}

#[test]
fn every_command_line_of_the_page_is_understood() {
    let commands = commands();
    assert!(commands.len() > 20, "{commands:#?}");
    for command in commands {
        if let Err(error) = Cli::try_parse_from(words(&command)) {
            panic!("{command}\n{error}");
        }
    }
}

#[test]
fn every_script_job_and_deliverable_of_the_strategy_is_on_the_page() {
    let named = [
        "phase1-validation.sh",
        "phase2-continuous.sh",
        "test-multiple-clients.sh",
        "test-gemini-failure.sh",
        "test-server-crash.sh",
        "test-log-growth.sh",
        "phase4-analysis.sh",
        "detect-anomalies.sh",
        "daily-summary.sh",
        "*/15 * * * *",
        "0 8 * * *",
        "dashboard.json",
        "STAGING_INTEGRATION_HEALTH_REPORT.md",
        "Review monitoring dashboard data",
        "Check anomaly detection log",
        "Verify no critical errors",
        "Confirm filesystem server connected",
        "Validate log file size",
        "Generate integration health report",
        "Analyze trend data",
        "Document all incidents",
        "Export monitoring data",
        "Compile recommendations",
    ];
    for name in named {
        assert!(PAGE.contains(name), "{name} is missing");
    }
}

#[test]
fn the_incidents_of_the_page_are_kinds_of_incidents() {
    let section = PAGE.split("## Alert thresholds").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let kinds = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let mut seen = 0;
    for kind in kinds {
        assert!(hubwatch::judge::incident::IncidentKind::parse(kind).is_some(), "{kind}");
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}
