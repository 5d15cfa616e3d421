//! What comes out: exit codes, JSON, JUnit, expected failures, and nothing that is private.

use hubwatch::scenario::Scenario;
use hubwatch::simulator::{Behaviour, Step};

use super::command::{Running, signs};
use super::hub::{Hub, fork, fork_that, mended, npm};

#[tokio::test(flavor = "multi_thread")]
async fn all_that_harms_nothing_is_played_in_order_and_the_fork_s_defects_fail_it() {
    let hub = Hub::start(fork()).await;
    let said = hub.runs(&["all", "--clients", "3"]).await;
    let results = said.json();
    assert_eq!((said.code, &results["verdict"]), (Some(1), &"fail".into()), "{}", said.stderr);
    let scenarios = results["scenarios"].as_array().unwrap();
    let names: Vec<&str> = scenarios.iter().map(|one| one["scenario"].as_str().unwrap()).collect();
    let in_all = Scenario::ALL.into_iter().filter(|one| one.is_in_all() && one.needs().is_none());
    assert_eq!(names, in_all.map(Scenario::word).collect::<Vec<_>>());
    let failed: Vec<String> = scenarios.iter().map(signs).filter(|signs| signs.contains('-')).collect();
    assert_eq!(failed, ["1+ 2- 3? 4- 5+ after+"], "only tools_usable");
    assert_eq!(results["tally"]["failed"], 2);
    let traces: std::collections::BTreeSet<&str> = scenarios.iter().map(|one| one["trace_id"].as_str().unwrap()).collect();
    assert_eq!(traces.len(), names.len(), "each has its own trace");
    // With its own words for people, live and at the end.
    assert!(said.stderr.contains("✗ 2      tools/list answers") && said.stderr.contains("https://github.com/"), "{}", said.stderr);
    assert_eq!((hub.clients().await, hub.left_during_calls()), (0, 0));
    // A validator that lets everything pass would show nothing.
    let mut broken = results.clone();
    broken["tally"]["failed"] = "two".into();
    let schema = serde_json::to_value(hubwatch::scenario::results::schema()).unwrap();
    assert!(!jsonschema::validator_for(&schema).unwrap().is_valid(&broken));
    private_things_are_nowhere(&hub, &[&said.stdout, &said.stderr]);
}

/// Neither the hub's key nor a live session id is in what was said, nor in the state folder.
fn private_things_are_nowhere(hub: &Hub, said: &[&str]) {
    let sessions = hub.truth(|what| match what {
        hubwatch::simulator::Happening::ClientDisconnected { session, .. } => Some(session.clone()),
        _ => None,
    });
    assert!(!sessions.is_empty());
    let kept = std::fs::read_dir(hub.state_dir()).into_iter().flatten().flatten().filter(|entry| entry.path().is_file());
    let kept: Vec<String> = kept.map(|entry| String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned()).collect();
    for text in said.iter().copied().chain(kept.iter().map(String::as_str)) {
        assert!(!text.contains("AIza"), "{text}");
        assert!(sessions.iter().all(|(_, session)| !text.contains(session)), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_exit_code_has_its_hub() {
    let good = Hub::start(mended()).await;
    let said = good.runs(&["tools_usable", "meta_tool"]).await;
    assert_eq!((said.code, &said.json()["verdict"]), (Some(0), &"pass".into()), "{}", said.stderr);
    let hub = Hub::start(fork()).await;
    assert_eq!(hub.runs(&["tools_usable"]).await.code, Some(1));
    // Nothing can be verified: no instrumentation reads a file.
    let said = hub.runs(&["gemini_failure", "--allow", "gemini"]).await;
    assert_eq!((said.code, said.signs().as_str()), (Some(3), "1? 2? 3? 4? 5? 6? after+"), "{}", said.stderr);
    hub.happens(Step::KillHub);
    let said = hub.runs(&["tools_usable", "meta_tool"]).await;
    let results = said.json();
    assert_eq!((said.code, results["scenarios"].as_array().unwrap().len()), (Some(4), 0), "{}", said.stderr);
    assert!(results["unreachable"].as_str().unwrap().contains("does not answer"), "{results:#}");
    // A hub that dies in the middle has failed, whatever cannot be played any more.
    let dying = Hub::start(fork_that(Behaviour { dies_at_request: Some(9), ..Behaviour::default() })).await;
    let said = dying.runs(&["meta_tool", "session_isolation", "session_cleanup"]).await;
    let results = said.json();
    assert_eq!((said.code, results["scenarios"].as_array().unwrap().len()), (Some(1), 2), "{}", said.stderr);
    assert!(results["unreachable"].is_string(), "{results:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expected_failures_pass_and_those_that_hold_fail() {
    let hub = Hub::start(fork()).await;
    let list = hub.file("known.txt", "# the fork\ntools_usable/2 # tools/list\ntools_usable/4\n");
    let said = hub.runs(&["tools_usable", "--expected-failures", list.to_str().unwrap()]).await;
    let results = said.json();
    assert_eq!((said.code, &results["verdict"], &results["tally"]["failed"]), (Some(0), &"pass".into(), &2.into()));
    assert_eq!(results["failed_as_expected"], serde_json::json!(["tools_usable/2", "tools_usable/4"]));
    let stale = Hub::start(npm()).await;
    let said = stale.runs(&["tools_usable", "--expected-failures", list.to_str().unwrap()]).await;
    assert_eq!((said.code, &said.json()["verdict"]), (Some(1), &"fail".into()), "{}", said.stderr);
    assert_eq!(said.json()["stale_expectations"], serde_json::json!(["tools_usable/2", "tools_usable/4"]));
    // What isn't played is neither.
    let said = stale.runs(&["sse_lost", "--expected-failures", list.to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn junit_has_a_case_for_each_step_and_counts_what_was_expected_as_skipped() {
    let hub = Hub::start(fork()).await;
    let list = hub.file("known.txt", "tools_usable/2\n");
    let arguments = ["tools_usable", "--out", "results.xml", "--expected-failures", list.to_str().unwrap()];
    let said = Running::start(hub.command(&arguments)).end().await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stdout.contains("tools_usable") && said.stdout.contains("FAIL"), "the summary, too: {}", said.stdout);
    let xml = std::fs::read_to_string(hub.folder.path().join("results.xml")).unwrap();
    // 2 is expected, 3 can't be told, 4 fails.
    assert!(
        xml.contains(r#"<testsuites name="hubwatch scenarios simulated (staging)" tests="6" skipped="2" failures="1" errors="0""#),
        "{xml}"
    );
    assert!(xml.contains(r#"<testsuite name="tools_usable" tests="6" skipped="2" errors="0" failures="1""#), "{xml}");
    assert!(
        xml.contains(r#"<testcase name="4 A read-only tool of each server answers its client" classname="hubwatch.tools_usable""#),
        "{xml}"
    );
    assert!(xml.contains("<failure message=\"filesystem__list_allowed_directories answers: -32603"), "{xml}");
    let said = Running::start(hub.command(&["tools_usable", "--format", "junit"])).end().await;
    assert!(said.stdout.starts_with("<?xml") && said.stdout.contains(r#"failures="2""#), "{}", said.stdout);
    hub.happens(Step::KillHub);
    let said = Running::start(hub.command(&["tools_usable", "--format", "junit"])).end().await;
    assert_eq!(said.code, Some(4));
    assert!(said.stdout.contains(r#"errors="1""#) && said.stdout.contains("The hub answers"), "{}", said.stdout);
}
