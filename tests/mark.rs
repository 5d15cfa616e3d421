//! `hubwatch mark` beside a running sidecar: marked maintenance doesn't count against stability, live and in the report.

mod watched;

use hubwatch::simulator::Profile;
use hubwatch::watch::Micros;
use serde_json::Value;
use watched::{Hub, told};

fn verdict<'a>(report: &'a Value, id: &str) -> &'a str {
    let rows = report["criteria"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == id).unwrap()["verdict"].as_str().unwrap()
}

fn is_down(report: &Value) -> bool {
    report["servers"].as_array().unwrap().iter().any(|server| server["name"] == "filesystem" && server["last_liveness"] == "down")
}

fn mark(hub: &Hub, edge: &str) {
    let (code, stdout, stderr) = told(hub.command("mark", &[edge, "server_crash", "--name", "simulated"]).output().unwrap());
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marked_crash_counts_for_the_recovery_and_not_against_stability() {
    // One that restarts its servers itself: what a person brings back is no recovery of the hub's.
    let hub = Hub::of(Profile::mended(Micros::new(3_000_000))).await;
    hub.configure("[servers.github]\nexpected = ['disconnected', 'connecting']\n");
    let sidecar = hub.watch(&[]);
    sidecar.until("/metrics", watched::filesystem_is_up).await;
    mark(&hub, "begin");
    let planned = |report: &Value| report["planned"].as_array().unwrap().len() == 1;
    sidecar.until_json("/report.json", planned).await;
    hub.kills("filesystem");
    sidecar.until_json("/report.json", is_down).await;
    sidecar.until_json("/report.json", |report| !is_down(report)).await;
    mark(&hub, "end");
    let live = sidecar.until_json("/report.json", |report| !report["planned"][0]["to"].is_null()).await;
    sidecar.stop();
    for report in [live, hub.report()] {
        assert_eq!(report["planned"][0]["name"], "server_crash");
        let crash = report["incidents"].as_array().unwrap().iter().find(|incident| incident["kind"] == "server_down").unwrap();
        assert_eq!(crash["planned"], "server_crash");
        assert_ne!(verdict(&report, "integration.no_unexpected_disconnections"), "fail");
        assert_eq!(verdict(&report, "degradation.server_recovery"), "pass");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_crash_without_a_mark_fails() {
    let hub = Hub::start().await;
    let sidecar = hub.watch(&[]);
    sidecar.until("/metrics", watched::filesystem_is_up).await;
    hub.kills("filesystem");
    sidecar.until_json("/report.json", is_down).await;
    sidecar.stop();
    assert_eq!(verdict(&hub.report(), "integration.no_unexpected_disconnections"), "fail");
}

fn says(hub: &Hub, arguments: &[&str]) -> (Option<i32>, String, String) {
    told(hub.command("mark", arguments).output().unwrap())
}

fn listed(hub: &Hub) -> Vec<(String, String)> {
    let (code, stdout, stderr) = says(hub, &["list", "--format", "json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "name"), text(row, "state"))).collect()
}

fn refused(hub: &Hub, arguments: &[&str], all: &[&str]) {
    let (code, stdout, stderr) = says(hub, arguments);
    assert_eq!(code, Some(2), "{arguments:?}: {stdout}{stderr}");
    assert!(all.iter().all(|part| stderr.contains(part)), "{arguments:?}: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_marks_are_rejected_and_valid_ones_are_listed() {
    let hub = Hub::start().await;
    refused(&hub, &["begin", "server_crash"], &["there is no journal in", "--state-dir"]);
    let sidecar = hub.watch(&[]);
    sidecar.until("/readyz", |body| body.contains("\"ready\":true")).await;
    refused(&hub, &["begin", "server_crsh"], &["did you mean `server_crash`?", "gemini_failure", "--custom"]);
    refused(&hub, &["begin"], &["server_crash"]);
    refused(&hub, &["end", "server_crash"], &["is not open", "no mark is open"]);
    refused(&hub, &["begin", "server_crash", "--name", "simulatd"], &["did you mean `simulated`?", "simulated (staging)"]);
    refused(&hub, &["begin", "server_crash", "--environment", "production"], &["production", "simulated (staging)"]);
    assert_eq!(listed(&hub), []);
    assert!(says(&hub, &["list"]).1.contains("No marks for simulated"));

    assert_eq!(says(&hub, &["begin", "server_crash"]).0, Some(0));
    refused(&hub, &["begin", "server_crash"], &["server_crash began at", "has not ended", "hubwatch mark end"]);
    refused(&hub, &["end", "server_crsh"], &["did you mean `server_crash`?", "open marks: server_crash"]);
    refused(&hub, &["end", "server_crash", "--at", "2020-01-01T00:00:00Z"], &["it can't end earlier"]);
    assert_eq!(says(&hub, &["begin", "database upgrade", "--custom"]).0, Some(0));
    let mut open = listed(&hub);
    open.sort();
    let both = [("database upgrade".to_owned(), "open".to_owned()), ("server_crash".to_owned(), "open".to_owned())];
    assert_eq!(open, both);
    // The same once the watch has committed the marks, and with one that it has not.
    sidecar.until_json("/report.json", |report| report["planned"].as_array().unwrap().len() == 2).await;
    refused(&hub, &["begin", "server_crash"], &["has not ended"]);
    assert_eq!(says(&hub, &["end", "server_crash"]).0, Some(0));
    refused(&hub, &["end", "server_crash"], &["is not open", "open marks: database upgrade"]);
    let mut marks = listed(&hub);
    marks.sort();
    assert_eq!(marks[1], ("server_crash".to_owned(), "ended".to_owned()));
    sidecar.stop();
    let (code, _, stderr) = says(&hub, &["end", "database upgrade"]);
    assert!(code == Some(0) && stderr.contains("no `hubwatch run` is watching simulated now"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_without_an_end_counts_for_four_hours_and_the_chart_shows_it() {
    let hub = Hub::start().await;
    let sidecar = hub.watch(&[]);
    sidecar.until("/readyz", |body| body.contains("\"ready\":true")).await;
    let six_hours_ago = hubwatch::watch::Timestamp::now().minus(hubwatch::watch::Micros::new(6 * 3600 * 1_000_000));
    let at = six_hours_ago.to_string();
    assert_eq!(says(&hub, &["begin", "high_load", "--at", &at]).0, Some(0));
    let marks = hub.state_dir().join("marks");
    let taken_up = async || std::fs::read_dir(&marks).unwrap().next().is_none().then_some(());
    watched::until("the mark is kept", taken_up).await;
    assert_eq!(listed(&hub), [("high_load".to_owned(), "never_ended".to_owned())]);
    assert!(says(&hub, &["list"]).1.contains("not ended: was planned until"));
    // It can be marked again.
    assert_eq!(says(&hub, &["begin", "high_load"]).0, Some(0));
    sidecar.until_json("/report.json", |report| report["planned"].as_array().unwrap().len() == 1).await;
    sidecar.stop();
    let report = |out: &[&str]| told(hub.command("report", &[&["--since", "12h"], out].concat()).output().unwrap());
    let (_, json, stderr) = report(&["--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{stderr}"));
    let end = six_hours_ago.plus(Micros::new(4 * 3600 * 1_000_000)).to_string();
    let planned = json["planned"].as_array().unwrap();
    assert_eq!(planned.len(), 2, "{planned:#?}");
    assert_eq!((planned[0]["forgotten"].as_bool(), planned[0]["to"].as_str()), (Some(true), Some(end.as_str())));
    assert_eq!(planned[1]["forgotten"], false);
    report(&["--out", "report.html"]);
    let page = std::fs::read_to_string(hub.folder.path().join("report.html")).unwrap();
    assert!(page.contains("planned: high_load (no end mark: only its first hours count)"), "the chart says so");
    assert!(page.contains("no end mark: it counts as planned until then"), "the text says so");
}
