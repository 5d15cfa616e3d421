//! docker/github-actions.yaml: the verdict gates the promotion.

use crate::{assert_known, assert_understood, assert_valid, schema, yaml};

#[test]
fn the_workflow_is_valid_and_gates_on_the_exit_code() {
    let path = "docker/github-actions.yaml";
    let workflow = yaml(path).remove(0);
    assert_valid(path, &workflow, &schema("github-workflow.json"));
    let steps = workflow["jobs"]["verdict"]["steps"].as_array().unwrap();
    let report = steps[0]["run"].as_str().unwrap();
    // Nothing hides the exit code, and the promotion depends on the job.
    assert!(!report.contains("|| ") && steps[0]["continue-on-error"].is_null());
    assert_eq!(workflow["jobs"]["promote"]["needs"], serde_json::json!(["scenarios", "verdict"]));
    let words: Vec<&str> = report.split("\"$HUBWATCH_IMAGE\" ").nth(1).unwrap().split_whitespace().collect();
    assert_understood(path, &words.iter().map(|word| word.trim_matches('"')).collect::<Vec<_>>());
    for variable in report.split("--env ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
        assert_known(path, variable);
        assert!(steps[0]["env"][variable].is_string(), "{variable}");
    }
    assert!(steps[1]["run"].as_str().unwrap().contains("GITHUB_STEP_SUMMARY"));
    assert!(steps[1..].iter().all(|step| step["if"] == "always()"), "the report is shown whatever the verdict");
}

#[test]
fn the_scenarios_gate_the_promotion_and_show_each_step_whatever_came_of_it() {
    let path = "docker/github-actions.yaml";
    let workflow = yaml(path).remove(0);
    let steps = workflow["jobs"]["scenarios"]["steps"].as_array().unwrap();
    let run = steps[1]["run"].as_str().unwrap();
    assert!(!run.contains("|| ") && steps[1]["continue-on-error"].is_null());
    let words: Vec<&str> = run.split("\"$HUBWATCH_IMAGE\" ").nth(1).unwrap().split_whitespace().collect();
    assert_understood(path, &words);
    for variable in run.split("--env ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
        assert_known(path, variable);
        assert!(steps[1]["env"][variable].is_string(), "{variable}");
    }
    let written = words.last().unwrap().trim_start_matches('/');
    assert_eq!((&steps[2]["if"], &steps[2]["with"]["report_paths"]), (&"always()".into(), &written.into()));
}

#[test]
fn our_own_workflow_is_what_github_takes_and_runs_the_gate() {
    let path = ".github/workflows/ci.yml";
    let workflow = yaml(path).remove(0);
    assert_valid(path, &workflow, &schema("github-workflow.json"));
    let steps = workflow["jobs"]["gate"]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["run"] == ".ci/run"));
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));
}
