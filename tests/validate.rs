//! `hubwatch validate`: phase 1 on one screen, with an exit code, and the baseline that later reports compare with.

mod watched;

use hubwatch::watch::{Micros, Timestamp};
use serde_json::{Value, json};
use watched::{Hub, read_json, told, until};

const EXPECTED: &str = "[servers.github]\nexpected = ['disconnected', 'connecting']\n";

async fn validate(hub: &Hub, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = hub.command("validate", &["--hub", &hub.url, "--name", "simulated", "--for", "3s"]);
    command.arg("--log").arg(hub.log()).args(more);
    // The simulated hub goes on meanwhile.
    told(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
}

/// A hub whose servers have started.
async fn started() -> Hub {
    let hub = Hub::start().await;
    hub.configure(EXPECTED);
    hubwatch::base::tls::choose_provider();
    let health = format!("{}/api/health", hub.url);
    until("the hub is ready", async || {
        let answer = reqwest::get(&health).await.ok()?.text().await.ok()?;
        answer.contains("\"state\":\"ready\"").then_some(())
    })
    .await;
    hub
}

fn of<'a>(validation: &'a Value, check: &str) -> &'a str {
    let all = validation["checks"].as_array().unwrap();
    all.iter()
        .find(|one| one["check"] == check)
        .and_then(|one| one["verdict"].as_str())
        .unwrap_or_else(|| panic!("{check}: {all:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_well_holds_and_its_baseline_is_kept_once() {
    let hub = started().await;
    let (code, stdout, stderr) = validate(&hub, &[]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for line in ["✓ hub answers", "✓ server filesystem", "✓ server github", "✓ recent errors", "All checks hold", "baseline T+0"]
    {
        assert!(stdout.contains(line), "{line}:\n{stdout}");
    }
    let path = hub.state_dir().join("baseline.json");
    let first = read_json(&path).unwrap();
    assert_eq!((first["hub"].as_str(), first["baseline"]["servers_up"].as_u64()), (Some("simulated"), Some(1)));

    hub.configure("");
    let (code, stdout, _) = validate(&hub, &["--format", "json"]).await;
    let validation: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, of(&validation, "recent errors"), of(&validation, "server github")), (Some(1), "warn", "fail"));

    hub.configure(EXPECTED);
    let (code, stdout, _) = validate(&hub, &["--format", "json"]).await;
    let validation: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &validation["baseline_stored"]), (Some(0), &Value::Bool(false)));
    assert_eq!(of(&validation, "server filesystem"), "pass");
    let unseen: Vec<&str> = validation["not_visible"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(unseen.iter().any(|unseen| unseen.contains("ordinary tool calls")), "{unseen:?}");
    assert!(unseen.iter().all(|unseen| !unseen.contains("meta-tool calls:")), "this log shows them: {unseen:?}");
    assert_eq!(read_json(&path).unwrap(), first, "the first one stays");
    let (_, stdout, _) = validate(&hub, &["--rebaseline"]).await;
    assert!(stdout.contains("baseline T+0"), "{stdout}");
    assert_ne!(read_json(&path).unwrap(), first);

    // A report on what is watched from now on compares with it.
    let sidecar = hub.watch(&[]);
    sidecar.until_json("/report.json", |report| report["baseline"]["origin"] == "hubwatch validate").await;
    sidecar.stop();
    let report = hub.report();
    assert_eq!(report["baseline"]["origin"], "hubwatch validate");
    assert_eq!(report["phases"][0]["api_mean_us"]["baseline"], report["baseline"]["api_us"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_that_claims_to_be_connected_fails() {
    let hub = started().await;
    hub.kills("filesystem");
    let (code, stdout, _) = validate(&hub, &["--format", "json"]).await;
    let validation: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, of(&validation, "server filesystem"), of(&validation, "hub answers")), (Some(1), "fail", "pass"));
}

/// A hub whose only server calls itself connected, with an uptime of 0, and began to connect so long ago.
async fn undecided(seconds_ago: u64) -> String {
    let servers = move || async move {
        let now = Timestamp::now();
        let started = now.minus(Micros::new(seconds_ago * 1_000_000)).to_string();
        let server = json!({"name": "files", "transportType": "stdio", "status": "connected", "error": null,
            "capabilities": {"tools": [1, 2]}, "uptime": 0, "lastStarted": started});
        axum::Json(json!({"servers": [server], "timestamp": now.to_string()}))
    };
    let health = || async {
        axum::Json(json!({"status": "ok", "state": "ready", "server_id": "mcp-hub", "activeClients": 0,
            "timestamp": Timestamp::now().to_string(), "mcpEndpoint": {"activeClients": 0, "registeredCapabilities": {"tools": 2}}}))
    };
    let routes =
        axum::Router::new().route("/api/health", axum::routing::get(health)).route("/api/servers", axum::routing::get(servers));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_just_connected_or_died_is_not_validated() {
    // It is connected anew for each poll; or it was connected for longer than a hub waits for any server.
    for (seconds_ago, code, verdict, said) in
        [(0, Some(3), "inconclusive", "can't tell yet"), (700, Some(1), "fail", "its uptime stays 0")]
    {
        let url = undecided(seconds_ago).await;
        let folder = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hubwatch"));
        command.args(["validate", "--hub", &url, "--for", "3s", "--format", "json", "--state-dir"]).arg(folder.path()).env_clear();
        let (ended, stdout, stderr) = told(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
        let validation: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((ended, of(&validation, "server files")), (code, verdict), "{stdout}{stderr}");
        assert!(stdout.contains(said), "{stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_log_of_a_pattern_is_read_and_what_is_piped_is_not() {
    let hub = started().await;
    hub.configure(&format!("{EXPECTED}[hub]\nstdin = true\n"));
    let mut command = hub.command("validate", &["--hub", &hub.url, "--for", "3s", "--format", "json"]);
    command.arg("--log").arg(hub.log().with_extension("l?g"));
    let begun = std::time::Instant::now();
    let (_, stdout, stderr) = told(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
    // A closed input would end the look at once.
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3), "{stdout}{stderr}");
    assert_eq!(of(&serde_json::from_str(&stdout).unwrap(), "recent errors"), "pass", "{stdout}{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_files_of_a_pattern_the_one_that_was_written_last_counts() {
    let hub = started().await;
    hub.configure(EXPECTED);
    let line = |second: u64| format!("{{\"level\":\"error\",\"time\":\"2026-11-23T03:42:{second:02}.000Z\",\"msg\":\"Broken\"}}\n");
    let other = hub.log().with_file_name("other.log");
    std::fs::write(&other, (0..20).map(line).collect::<String>()).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let now = std::time::SystemTime::now();
    // The hub's own log is written to meanwhile; the other file is older than it, then younger.
    for (written, verdict) in [(now - hour, "pass"), (now + hour, "fail")] {
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(written).unwrap();
        let mut command = hub.command("validate", &["--hub", &hub.url, "--for", "3s", "--format", "json"]);
        command.arg("--log").arg(hub.log().with_file_name("*.log"));
        let (_, stdout, stderr) = told(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
        assert_eq!(of(&serde_json::from_str(&stdout).unwrap(), "recent errors"), verdict, "{stdout}{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_not_there_can_not_be_reached_and_leaves_no_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    command.args(["validate", "--hub", "http://127.0.0.1:9", "--for", "3s", "--state-dir"]).arg(folder.path()).env_clear();
    let (code, stdout, _) = told(command.output().unwrap());
    assert_eq!(code, Some(4), "{stdout}");
    assert!(stdout.contains("✗ hub answers") && !folder.path().join("baseline.json").exists(), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_means_the_same_hub_and_says_which_baseline_it_took() {
    let hub = started().await;
    let validated = async |more: &[&str]| {
        let mut command = hub.command("validate", &["--hub", &hub.url, "--for", "3s", "--format", "json"]);
        command.arg("--log").arg(hub.log()).args(more);
        let (_, stdout, stderr) = told(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
        serde_json::from_str::<Value>(&stdout).unwrap_or_else(|_| panic!("{stderr}"))
    };
    let address = hub.url.trim_start_matches("http://").to_owned();
    // Before anybody gave it a name it is called by its address; whoever watches that address by a name takes the baseline over.
    let first = validated(&[]).await;
    assert_eq!((first["hub"].as_str(), &first["baseline_stored"]), (Some(address.as_str()), &Value::Bool(true)));
    let sidecar = hub.watch(&[]);
    sidecar.until_json("/report.json", |report| report["baseline"]["origin"] == "hubwatch validate").await;
    // From now on the address is known by that name.
    let second = validated(&[]).await;
    assert_eq!((second["hub"].as_str(), &second["baseline_stored"]), (Some("simulated"), &Value::Bool(false)));
    assert_eq!(second["earlier_baseline"], read_json(&hub.state_dir().join("baseline.json")).unwrap()["baseline"]["at"]);
    // Another hub's baseline takes no other's place, and is not taken for it.
    let other = validated(&["--name", "other"]).await;
    assert_eq!((other["hub"].as_str(), &other["baseline_stored"]), (Some("other"), &Value::Bool(true)));
    sidecar.stop();
    let report = hub.report();
    assert_eq!(
        (report["provenance"]["hub"].as_str(), report["baseline"]["origin"].as_str()),
        (Some("simulated"), Some("hubwatch validate"))
    );

    let stored = read_json(&hub.state_dir().join("baseline.json")).unwrap();
    let lonely = serde_json::json!({ "hub": "other", "environment": "staging", "baseline": stored["baseline"] });
    std::fs::write(hub.state_dir().join("baseline.json"), lonely.to_string()).unwrap();
    let report = hub.report();
    assert_eq!(report["baseline"]["origin"], "the first hour of the watch");
    let told = report["blind_spots"].to_string();
    assert!(
        told.contains("has no baseline of simulated (staging)") && told.contains("it holds those of other (staging)"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_watched_makes_no_report_and_no_archive() {
    let hub = started().await;
    let sidecar = hub.watch(&[]);
    sidecar.until("/readyz", |body| body.contains("\"ready\":true")).await;
    sidecar.stop();
    let report = hub.folder.path().join("STAGING_INTEGRATION_HEALTH_REPORT.md");
    std::fs::write(&report, "the last report").unwrap();
    for (command, more) in [("report", &[][..]), ("export", &["--out", "archive.jsonl"]), ("mark", &["begin", "server_crash"])] {
        let said = |wrong: &[&str]| told(hub.command(command, &[more, wrong].concat()).output().unwrap());
        let (code, stdout, stderr) = said(&["--name", "simulatd"]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{command}: {stderr}");
        assert!(stderr.contains("did you mean `simulated`?") && stderr.contains("known here: simulated (staging)"), "{stderr}");
        let (code, _, stderr) = said(&["--name", "simulated", "--environment", "production"]);
        assert_eq!(code, Some(2), "{command}: {stderr}");
        assert!(stderr.contains("but in staging: choose one with --environment"), "{stderr}");
    }
    assert_eq!(std::fs::read_to_string(&report).unwrap(), "the last report");
    assert!(!hub.folder.path().join("archive.jsonl").exists() && !hub.folder.path().join("archive.jsonl.unfinished").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_on_a_young_watch_begins_with_it_and_says_how_much_of_the_usual_period_that_is() {
    let hub = started().await;
    let sidecar = hub.watch(&[]);
    sidecar.until_json("/report.json", |report| report["coverage"]["polls"].as_u64() > Some(5)).await;
    sidecar.stop();
    let report = |more: &[&str]| -> Value {
        let (_, stdout, stderr) = told(hub.command("report", &[&["--format", "json"], more].concat()).output().unwrap());
        serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"))
    };
    let usual = report(&[]);
    assert_eq!(usual["provenance"]["from"], usual["coverage"]["first"]);
    assert!(usual["provenance"]["asked_from"].as_str() < usual["provenance"]["from"].as_str());
    // What is judged is the usual period.
    assert_eq!(usual["coverage"]["period_us"].as_u64(), Some(48 * 3600 * 1_000_000));
    let (_, page, _) = told(hub.command("report", &["--out", "-"]).output().unwrap());
    assert!(page.contains("of the requested 2 d"), "{}", page.lines().nth(4).unwrap());
    // A period that was asked for is what it is.
    let asked = report(&["--since", "2h"]);
    assert!(asked["provenance"].get("asked_from").is_none());
    assert!(asked["provenance"]["from"].as_str() < usual["provenance"]["from"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_seen_is_not_verified() {
    let folder = tempfile::tempdir().unwrap();
    let hubwatch = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hubwatch"));
        command.args(arguments).arg("--state-dir").arg(folder.path()).env_clear().current_dir(folder.path());
        told(command.output().unwrap())
    };
    let daily = |more: &[&str]| -> Vec<(String, String)> {
        let (_, stdout, stderr) = hubwatch(&[&["report", "--format", "json"], more].concat());
        let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
        let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
        report["daily"].as_array().unwrap().iter().map(|check| (text(check, "verdict"), text(check, "found"))).collect()
    };
    // A hub that is not there.
    let (code, _, stderr) = hubwatch(&["run", "--hub", "http://127.0.0.1:9", "--interval", "200ms", "--for", "2s"]);
    assert_eq!(code, Some(0), "{stderr}");
    for period in [&["--since", "2s"][..], &[]] {
        for (verdict, found) in daily(period) {
            assert!(verdict != "pass" && (verdict != "inconclusive" || found.contains("not verified")), "{verdict}: {found}");
        }
    }
    let (_, summary, _) = hubwatch(&["report", "--format", "summary"]);
    assert!(!summary.contains("✅"), "{summary}");
    // A time that nobody watched.
    for (verdict, found) in daily(&["--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z"]) {
        assert!(verdict == "inconclusive" && found.contains("not verified"), "{verdict}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_a_log_verifies_nothing_that_only_a_log_shows() {
    let hub = started().await;
    let (code, _, stderr) = {
        let mut command = hub.command("run", &["--hub", &hub.url, "--name", "simulated", "--interval", "200ms", "--for", "3s"]);
        command.args(["--event-stream", "never"]);
        told(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    };
    assert_eq!(code, Some(0), "{stderr}");
    let (_, stdout, _) = told(hub.command("report", &["--since", "3s", "--format", "json"]).output().unwrap());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let of = |task: &str| {
        let all = report["daily"].as_array().unwrap();
        let check = all.iter().find(|check| check["task"] == task).unwrap();
        (check["verdict"].as_str().unwrap().to_owned(), check["found"].as_str().unwrap().to_owned())
    };
    for task in ["Verify no critical errors", "Validate log file size", "Check anomalies"] {
        let (verdict, found) = of(task);
        assert!(verdict != "pass", "{task}: {verdict}: {found}");
        assert!(verdict != "inconclusive" || found.starts_with("not verified: "), "{task}: {verdict}: {found}");
    }
}
