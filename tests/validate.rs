//! `hubwatch validate`: phase 1 on one screen, with an exit code, and the baseline that later reports compare with.

mod watched;

use serde_json::Value;
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
    hubwatch::tls::choose_provider();
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
