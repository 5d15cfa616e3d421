//! The results as JUnit XML: a suite for each scenario, a case for each step.
//!
//! A step that fails is a failure, unless that was expected: then it is skipped, with its reason. What can't be verified or applied is
//! skipped, too: it is neither a pass nor a failure of the hub.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::scenario::outcome::{Played, Step};
use crate::scenario::results::Results;
use crate::watch::StepVerdict;

/// Returns the XML.
pub(super) fn junit(results: &Results) -> String {
    let mut report = Report::new(format!("hubwatch scenarios {} ({})", results.hub, results.environment));
    for played in &results.scenarios {
        report.add_test_suite(suite(results, played));
    }
    if let Some(why) = &results.unreachable {
        let mut suite = TestSuite::new("reachable");
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(why.as_str());
        suite.add_test_case(TestCase::new("The hub answers", status));
        report.add_test_suite(suite);
    }
    // It writes to a string, which can't fail.
    report.to_string().unwrap_or_default()
}

fn suite(results: &Results, played: &Played) -> TestSuite {
    let mut suite = TestSuite::new(played.scenario);
    suite.add_property(("trace-id", played.trace_id.as_str()));
    suite.add_property(("run", played.run.to_string().as_str()));
    suite.set_time(played.ended.0.since(played.began.0).as_duration());
    suite.add_test_cases(played.steps.iter().map(|step| case(results, played, step)));
    suite
}

fn case(results: &Results, played: &Played, step: &Step) -> TestCase {
    let stale = results.stale_expectations.iter().any(|name| *name == format!("{}/{}", played.scenario, step.id));
    let mut status = match step.verdict {
        StepVerdict::Pass if stale => TestCaseStatus::non_success(NonSuccessKind::Failure),
        StepVerdict::Pass => TestCaseStatus::success(),
        StepVerdict::Fail if results.is_expected(played.scenario, step.id) => TestCaseStatus::skipped(),
        StepVerdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        StepVerdict::NotVerifiable | StepVerdict::NotApplicable => TestCaseStatus::skipped(),
    };
    let message =
        if stale { "it is listed as an expected failure, and held: remove it from the list" } else { step.detail.as_str() };
    status.set_message(message);
    status.set_type(step.verdict.as_str());
    let mut case = TestCase::new(format!("{} {}", step.id, step.holds), status);
    case.set_classname(format!("hubwatch.{}", played.scenario));
    case.set_time(step.took_us.as_duration());
    case.set_system_out(match step.known_defect {
        Some(link) => format!("{}\n{link}", step.detail),
        None => step.detail.clone(),
    });
    case
}
