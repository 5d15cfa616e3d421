//! The criteria as JUnit XML, for CI systems.
//!
//! A must criterion that fails is a failure, and one without a verdict is an error: never "skipped", which some systems show as
//! passed. A should or info criterion that does not hold is skipped with its reason, so that the build's colour matches the verdict.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::model::{CriterionRow, Report};
use crate::judge::criterion::{Group, Severity};
use crate::judge::history::{ScenarioHistory, Step};
use crate::judge::verdict::Verdict;
use crate::watch::StepVerdict;

/// Returns the XML.
pub fn junit(report: &Report) -> String {
    let provenance = &report.provenance;
    let mut junit = Junit::new(format!("hubwatch {} ({})", provenance.hub, provenance.environment));
    junit.add_test_suite(overall(report));
    for group in Group::ALL {
        let mut suite = TestSuite::new(group.as_str());
        suite.add_test_cases(report.criteria.iter().filter(|row| row.group == *group).map(case));
        junit.add_test_suite(suite);
    }
    for scenario in &report.scenarios {
        let mut suite = TestSuite::new(format!("scenario {}", scenario.name));
        suite.add_property(("runs", scenario.runs.to_string().as_str()));
        suite.add_test_cases(scenario.latest.steps.iter().map(|step| step_case(scenario, step, report.overall.verdict)));
        junit.add_test_suite(suite);
    }
    // It writes to a string, which can't fail.
    junit.to_string().unwrap_or_default()
}

/// Makes a test case of the overall verdict: no criterion reports a period that is too short.
fn overall(report: &Report) -> TestSuite {
    let status = match report.overall.verdict {
        Verdict::Pass | Verdict::Warn | Verdict::NotApplicable => TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let mut case = TestCase::new("verdict", status);
    case.set_classname("hubwatch");
    if !matches!(report.overall.verdict, Verdict::Pass) {
        case.status.set_message(report.overall.because.first().cloned().unwrap_or_default());
        case.status.set_type(report.overall.verdict.as_str());
        case.set_system_out(report.overall.because.join("\n"));
    }
    let mut suite = TestSuite::new("overall");
    let provenance = &report.provenance;
    suite.add_property(("from", provenance.from.to_string().as_str()));
    suite.add_property(("to", provenance.to.to_string().as_str()));
    suite.add_property(("builds", provenance.builds.join(", ").as_str()));
    suite.add_property(("criteria-digest", provenance.criteria_digest.as_str()));
    suite.add_property(("tool-version", provenance.tool_version.as_str()));
    suite.add_test_case(case);
    suite
}

/// Makes a test case of a step of a scenario's latest run. What it means for the build is decided by the criteria: a failed step is a
/// failure only where the whole fails.
fn step_case(scenario: &ScenarioHistory, step: &Step, overall: Verdict) -> TestCase {
    let mut status = match (step.verdict, overall) {
        (StepVerdict::Pass, _) => TestCaseStatus::success(),
        (StepVerdict::Fail, Verdict::Fail) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        (StepVerdict::Fail, Verdict::Pass | Verdict::Warn | Verdict::Inconclusive | Verdict::NotApplicable)
        | (StepVerdict::NotVerifiable | StepVerdict::NotApplicable, _) => TestCaseStatus::skipped(),
    };
    let seen = step.detail.as_deref().unwrap_or_default();
    let defect = step.known_defect.as_ref().map_or(String::new(), |link| format!(" (known defect of the hub: {link})"));
    if step.verdict != StepVerdict::Pass {
        status.set_message(format!("{}: {}: {seen}{defect}", step.verdict, step.title));
        status.set_type(step.verdict.as_str());
    }
    let mut case = TestCase::new(format!("{} {}", step.check, step.title), status);
    case.set_classname(format!("hubwatch.scenario.{}", scenario.name));
    case.add_property(("verdict", step.verdict.as_str()));
    if let Some(trace) = &step.trace {
        case.add_property(("trace", trace.as_str()));
    }
    case.set_system_out(format!("{} {seen}{defect}", step.at));
    case
}

fn case(row: &CriterionRow) -> TestCase {
    let decides = row.severity == Severity::Must;
    let mut status = match (row.verdict, decides) {
        (Verdict::Pass | Verdict::Warn, _) => TestCaseStatus::success(),
        (Verdict::Fail, true) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        (Verdict::Inconclusive, true) => TestCaseStatus::non_success(NonSuccessKind::Error),
        (Verdict::NotApplicable, _) | (Verdict::Fail | Verdict::Inconclusive, false) => TestCaseStatus::skipped(),
    };
    status.set_message(format!("{}, {}: {} (limit {}): {}", row.severity, row.verdict, row.value, row.threshold, row.why));
    status.set_type(row.verdict.as_str());
    let mut case = TestCase::new(row.id.as_str(), status);
    case.set_classname(format!("hubwatch.{}", row.group));
    let coverage = super::words::permille(row.coverage_permille);
    let properties = [
        ("title", row.title.as_str()),
        ("severity", row.severity.as_str()),
        ("verdict", row.verdict.as_str()),
        ("value", &row.value),
        ("threshold", &row.threshold),
        ("samples", &row.samples.to_string()),
        ("coverage", &coverage),
    ];
    properties.into_iter().for_each(|property| {
        case.add_property(property);
    });
    let evidence = row.evidence.iter().map(|evidence| format!("{} {}", evidence.at, evidence.what));
    let evidence: Vec<_> = std::iter::once(row.why.clone()).chain(evidence).collect();
    case.set_system_out(evidence.join("\n"));
    case
}
