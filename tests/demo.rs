//! The demo runs on a machine with nothing else, and the example report is what it makes.

use std::process::Command;

fn hubwatch() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hubwatch"))
}

#[test]
fn a_rehearsed_period_gives_the_committed_example() {
    let folder = tempfile::tempdir().unwrap();
    let run = hubwatch().args(["demo", "--period", "48h", "--dir"]).arg(folder.path()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(run.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with("FAIL: do not promote"), "{stdout}");
    for name in FORMS {
        let made = neutral(&std::fs::read_to_string(folder.path().join(name)).unwrap());
        let example = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            std::fs::write(&example, &made).unwrap();
        }
        let committed = std::fs::read_to_string(&example).unwrap_or_default();
        let same = made == committed;
        assert!(same, "examples/{name} is not what the demo makes; look at the difference, then run with UPDATE_EXAMPLES=1");
    }
}

/// The forms of a report.
const FORMS: [&str; 5] =
    ["STAGING_INTEGRATION_HEALTH_REPORT.md", "STAGING_INTEGRATION_HEALTH_REPORT.html", "report.json", "junit.xml", "summary.md"];

/// The disk is the only thing of a rehearsal that is real: how full it is differs from machine to machine.
fn neutral(made: &str) -> String {
    let key = "\"least_disk_free_bytes\": ";
    let line = |line: &str| match line.split_once(key) {
        Some((indent, _)) => format!("{indent}{key}50000000000,\n"),
        None => format!("{line}\n"),
    };
    made.lines().map(line).collect()
}

#[test]
fn the_live_demo_watches_a_simulated_hub_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let run = hubwatch().args(["demo", "--dir"]).arg(folder.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    let report = hubwatch()
        .args(["report", "--since", "10m", "--format", "json", "--state-dir"])
        .arg(folder.path().join("state"))
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["calls"]["by_outcome"], serde_json::json!({"ok": 5, "fallback": 1}), "{:#}", report["calls"]);
    assert_eq!(report["clients"]["disconnected"], 3);
    let filesystem = report["servers"].as_array().unwrap().iter().find(|server| server["name"] == "filesystem").unwrap();
    let down = filesystem["down"].as_array().unwrap();
    assert_eq!(down.len(), 1);
    // Killed at 16 s, started again at 26.3 s: its start takes about half a second.
    let lasted = down[0]["duration_us"].as_u64().unwrap();
    assert!((10_000_000..12_000_000).contains(&lasted), "{lasted}");
    assert_eq!(report["hub"]["stops"].as_array().unwrap().len(), 1);
    assert_eq!(report["hub"]["stops"][0]["graceful"], true);
    assert_eq!(report["provenance"]["provisional"], false);
}
