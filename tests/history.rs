//! What a log held before it was watched for the first time is history, also where nothing in it says when it was written.

mod watched;

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use hubwatch::simulator::Profile;
use watched::Hub;

/// Failures of every kind that the plain log shows, more than enough for each alert.
fn failures() -> String {
    let mut lines = vec!["Failed to connect to \"filesystem\" MCP server: spawn ENOENT".to_owned(); 50];
    lines.extend(vec!["'filesystem' transport closed".to_owned(); 50]);
    lines.extend(vec!["'filesystem' failed to start connection: Connection closed".to_owned(); 50]);
    lines.extend(vec!["'first' client connected to MCP HUB".to_owned(); 50]);
    lines.extend(vec!["'first' client disconnected from MCP HUB".to_owned(); 5_000]);
    lines.push("Error closing server connected to first: Maximum call stack size exceeded".to_owned());
    lines.extend(vec!["Gemini rate limit exceeded during prompt analysis".to_owned(); 50]);
    lines.extend(vec!["Circuit breaker opened after 5 consecutive failures".to_owned(); 50]);
    lines.push("Circuit breaker reset from open to closed".to_owned());
    lines.push("Error: socket hang up\n    at connResetException (node:internal/errors:720:14)".to_owned());
    lines.join("\n") + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_log_without_times_raises_no_alert_no_incident_and_counts_no_error_as_of_now() {
    let long_ago = Duration::from_secs(6 * 3600);
    let hub = Hub::long_since(Profile::fork_legacy(), long_ago).await;
    let failures = failures();
    let mut log = std::fs::File::options().append(true).open(hub.log()).unwrap();
    log.write_all(failures.as_bytes()).unwrap();
    log.set_modified(SystemTime::now() - long_ago / 2).unwrap();
    hub.configure("[servers.github]\nexpected = ['disconnected', 'connecting']\n");

    let sidecar = hub.watch(&[]);
    let read = |report: &serde_json::Value| {
        report["log"]["lines"].as_u64() >= Some(failures.lines().count() as u64) && report["coverage"]["polls"].as_u64() > Some(20)
    };
    let live = sidecar.until_json("/report.json", read).await;
    assert_eq!(live["incidents"], serde_json::json!([]));
    // What happens from now on is no history.
    hub.kills("filesystem");
    let is_down = |report: &serde_json::Value| report["incidents"].to_string().contains("server_down");
    let live = sidecar.until_json("/report.json", is_down).await;
    assert_eq!(live["incidents"].as_array().unwrap().len(), 1, "{:#}", live["incidents"]);
    sidecar.stop();

    let report = hub.report();
    assert_eq!(report["incidents"].as_array().unwrap().len(), 1, "{:#}", report["incidents"]);
    // What happened at a time that is not known, before anybody watched, is not of now.
    assert_eq!(report["calls"]["gemini_failed_rounds"], 0, "{:#}", report["calls"]);
    // The event stream tells of errors from now on; what the log held are hundreds.
    assert!(report["log"]["errors"].as_u64() < Some(10), "{:#}", report["log"]);
}
