//! The command line for users: messages with a next step, and exit codes for scripts.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn hubwatch(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    command.args(args).env_clear().env("HOME", "/nonexistent");
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    outcome(hubwatch(args).output().unwrap())
}

fn outcome(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A sidecar of a hub that isn't running; killed when the test ends.
struct Sidecar(Child);

impl Sidecar {
    fn start(state_dir: &Path) -> Self {
        let state = state_dir.to_str().unwrap();
        let args = ["run", "--hub", "http://127.0.0.1:9", "--name", "absent", "--state-dir", state, "--interval", "200ms"];
        let child = hubwatch(&args).stderr(Stdio::piped()).spawn().unwrap();
        let sidecar = Self(child);
        await_that("the journal holds a Watch", || {
            let (_, stdout, _) = run(&["report", "--name", "absent", "--state-dir", state, "--format", "json"]);
            serde_json::from_str::<serde_json::Value>(&stdout).is_ok_and(|report| report["coverage"]["polls"].as_u64() > Some(1))
        });
        sidecar
    }

    fn stop(mut self, signal: &str) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
        (self.0.wait().unwrap().code(), asked.elapsed())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a condition. Each check starts a process, so no pause is needed.
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
    }
}

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    let (code, stdout, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(stdout);
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let (code, _, stderr) = run(&["report", "--sinze", "1h"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--since"), "{stderr}");
}

#[test]
fn an_invalid_value_is_a_usage_error_in_a_flag_and_a_configuration_error_elsewhere() {
    let (code, _, stderr) = run(&["run", "--hub", "127.0.0.1:7000"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--hub: `127.0.0.1:7000`") && stderr.contains("http://127.0.0.1:7000"), "{stderr}");
    let output = hubwatch(&["run", "--hub", "http://127.0.0.1:9"]).env("HUBWATCH_INTERVAL", "often").output().unwrap();
    let (code, _, stderr) = outcome(output);
    assert_eq!(code, Some(78));
    assert!(stderr.contains("HUBWATCH_INTERVAL: `often`"), "{stderr}");
}

#[test]
fn an_unknown_configuration_key_is_rejected_with_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hubwatch.toml");
    std::fs::write(&config, "[hub]\nnmae = 'a'\n").unwrap();
    let (code, _, stderr) = run(&["report", "--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(78));
    assert!(stderr.contains("line 2") && stderr.contains("did you mean `name`?"), "{stderr}");
}

#[test]
fn without_a_hub_the_error_names_the_flag_for_its_address() {
    let (code, _, stderr) = run(&["run"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--hub http://HOST:PORT"), "{stderr}");
}

#[test]
fn a_report_without_a_journal_names_the_searched_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(&["report", "--state-dir", folder.path().to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (Some(4), ""));
    assert!(stderr.contains(folder.path().to_str().unwrap()), "{stderr}");
}

#[test]
fn a_missing_hub_is_watched_and_a_signal_ends_the_watch_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let sidecar = Sidecar::start(folder.path());
        let (code, took) = sidecar.stop(signal);
        assert_eq!(code, Some(0), "{signal}");
        assert!(took < Duration::from_secs(8), "{took:?}");
        let state = folder.path().to_str().unwrap();
        let (code, stdout, _) = run(&["report", "--state-dir", state, "--since", "1h", "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        // The hub's absence is known, and it is a failure.
        assert_eq!(code, Some(1));
        assert_eq!(report["coverage"]["polls_answered"], 0);
        assert_eq!(report["hub"]["unreachable"].as_array().unwrap().len(), 1);
        assert_eq!(report["provenance"]["provisional"], false);
    }
}

#[test]
fn during_the_watch_a_report_is_provisional_and_a_second_watcher_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(folder.path());
    let state = folder.path().to_str().unwrap();
    let (_, stdout, _) = run(&["report", "--state-dir", state, "--out", "-"]);
    assert!(stdout.contains("**Provisional:**"), "{stdout}");
    let (code, _, stderr) = run(&["run", "--hub", "http://127.0.0.1:9", "--state-dir", state]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains(&format!("PID {}", sidecar.0.id())), "{stderr}");
}

#[test]
fn an_empty_period_has_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sidecar::start(folder.path()));
    let state = folder.path().to_str().unwrap();
    let long_ago = ["--from", "2020-01-01T00:00:00Z", "--to", "2020-01-03T00:00:00Z"];
    let (code, stdout, _) = run(&[&["report", "--state-dir", state, "--out", "-"], &long_ago[..]].concat());
    assert_eq!(code, Some(3));
    assert!(stdout.contains("❔ inconclusive – no verdict"), "{stdout}");
}

#[test]
fn a_killed_sidecar_continues_as_the_same_watcher() {
    let folder = tempfile::tempdir().unwrap();
    Sidecar::start(folder.path()).stop("-KILL");
    Sidecar::start(folder.path()).stop("-TERM");
    let state = folder.path().to_str().unwrap();
    let (_, stdout, _) = run(&["report", "--state-dir", state, "--since", "1h", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["provenance"]["watchers"].as_array().unwrap().len(), 1);
    assert_eq!(report["coverage"]["missing_watches"], 0);
}

#[test]
fn the_error_about_an_unwritable_state_folder_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("state");
    let (code, _, stderr) = run(&["run", "--hub", "http://127.0.0.1:9", "--state-dir", below.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains(below.to_str().unwrap()) && stderr.contains("--state-dir"), "{stderr}");
}

#[test]
fn a_journal_of_a_newer_version_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sidecar::start(folder.path()));
    let connection = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let state = folder.path().to_str().unwrap();
    for command in [&["run", "--hub", "http://127.0.0.1:9", "--state-dir", state][..], &["report", "--state-dir", state][..]] {
        let (code, _, stderr) = run(command);
        assert!(matches!(code, Some(2 | 4)) && stderr.contains("schema 99"), "{code:?} {stderr}");
    }
}

#[test]
fn a_custom_template_is_used_and_its_errors_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sidecar::start(folder.path()));
    let (state, templates) = (folder.path().to_str().unwrap(), tempfile::tempdir().unwrap());
    let path = templates.path().join("report.md");
    let args = ["report", "--state-dir", state, "--out", "-", "--template", path.to_str().unwrap()];
    std::fs::write(&path, "{{ overall.verdict }} for {{ provenance.hub }}").unwrap();
    assert_eq!(run(&args).1, "fail for absent");
    std::fs::write(&path, "{{ no.such.thing }}").unwrap();
    let (code, _, stderr) = run(&args);
    assert!(code == Some(2) && stderr.contains("report.md"), "{code:?} {stderr}");
}

#[test]
fn an_event_in_both_the_log_and_the_piped_output_counts_once() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let (state, log) = (folder.path().join("state"), folder.path().join("mcp-hub.log"));
    let (state, file) = (state.to_str().unwrap(), log.to_str().unwrap());
    let hub = ["run", "--hub", "http://127.0.0.1:9", "--name", "both", "--state-dir", state, "--interval", "200ms"];
    let mut command = hubwatch(&[&hub[..], &["--log", file, "--stdin"]].concat());
    let mut sidecar = Sidecar(command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let report = || {
        let (_, stdout, _) = run(&["report", "--name", "both", "--state-dir", state, "--format", "json"]);
        serde_json::from_str::<serde_json::Value>(&stdout).unwrap_or_default()
    };
    await_that("the first poll is over", || report()["coverage"]["polls"].as_u64() > Some(0));
    let now = hubwatch::watch::Timestamp::now();
    let mut pipe = sidecar.0.stdin.take().unwrap();
    for text in ["'files' MCP server connected", "'probe' client connected to MCP HUB", "'probe' client disconnected from MCP HUB"]
    {
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        writeln!(log, "{text}").unwrap();
        writeln!(pipe, r#"{{"type":"info","message":"{text}","data":{{}},"timestamp":"{now}"}}"#).unwrap();
    }
    drop(pipe);
    assert_eq!(sidecar.0.wait().unwrap().code(), Some(0), "the end of its input ends the watch");
    let report = report();
    let of_clients = |what: &str| report["clients"][what].as_u64();
    assert_eq!((of_clients("connected"), of_clients("disconnected")), (Some(1), Some(1)));
    assert_eq!(report["log"]["lines"].as_u64(), Some(3), "the file is the log");
    assert_eq!(report["log"]["by_level"]["info"].as_u64(), Some(3), "its levels are known from the output");
}

/// Returns three lines of a hub in the log formats of the CRI and of Docker. The CRI splits the last one.
fn as_runtimes_keep_them() -> [String; 2] {
    let now = hubwatch::watch::Timestamp::now();
    let said = ["'files' MCP server connected", "'probe' client connected to MCP HUB", "'probe' client disconnected from MCP HUB"];
    let lines = said.map(|text| format!(r#"{{"level":"info","time":"{now}","msg":"{text}"}}"#));
    let (beginning, end) = lines[2].split_at(20);
    let whole: String = lines[..2].iter().map(|line| format!("{now} stdout F {line}\n")).collect();
    let cri = format!("{whole}{now} stdout P {beginning}\n{now} stdout F {end}\n");
    let docker = lines.map(|line| {
        let log = serde_json::Value::from(line + "\n");
        format!("{{\"log\":{log},\"stream\":\"stdout\",\"time\":\"{now}\"}}\n")
    });
    [cri, docker.concat()]
}

#[test]
fn the_runtimes_own_fields_are_removed_from_container_log_files() {
    let places = [
        ("pods/staging_mcp-hub-0_7d3f/hub/0.log", "pods/staging_mcp-hub-*/hub/*.log"),
        ("containers/4f5b/4f5b-json.log", "containers/4f5b/4f5b-json.log"),
    ];
    for (index, (file, pattern)) in places.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join(file), folder.path().join("state"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        let state = state.to_str().unwrap();
        let args = ["run", "--hub", "http://127.0.0.1:9", "--name", "c", "--state-dir", state, "--interval", "200ms", "--log"];
        let _sidecar = Sidecar(hubwatch(&args).arg(folder.path().join(pattern)).stderr(Stdio::null()).spawn().unwrap());
        let report = || {
            let (_, stdout, _) = run(&["report", "--name", "c", "--state-dir", state, "--format", "json"]);
            serde_json::from_str::<serde_json::Value>(&stdout).unwrap_or_default()
        };
        await_that("the first poll is over", || report()["coverage"]["polls"].as_u64() > Some(0));
        std::fs::write(&path, &as_runtimes_keep_them()[index]).unwrap();
        await_that(file, || {
            let report = report();
            let of_clients = |what: &str| report["clients"][what].as_u64();
            (of_clients("connected"), of_clients("disconnected")) == (Some(1), Some(1)) && report["log"]["by_level"]["info"] == 3
        });
    }
}

#[test]
fn a_run_without_a_log_warns() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let (code, _, stderr) = run(&["run", "--hub", "http://127.0.0.1:9", "--for", "1s", "--state-dir", state]);
    assert!(code == Some(0) && stderr.contains("no log is configured"), "{stderr}");
}

#[test]
fn one_dashboard_path_for_several_hubs_is_rejected_from_every_source() {
    let folder = tempfile::tempdir().unwrap();
    let hubs = "[[hub]]\nurl = 'http://127.0.0.1:9'\nname = 'a'\n[[hub]]\nurl = 'http://127.0.0.1:9'\nname = 'b'\n";
    std::fs::write(folder.path().join("hubwatch.toml"), hubs).unwrap();
    let mut command = hubwatch(&["run", "--for", "1s", "--state-dir", "state"]);
    let (code, _, stderr) = outcome(command.current_dir(&folder).env("HUBWATCH_DASHBOARD", "one.json").output().unwrap());
    assert!(code == Some(2) && stderr.contains("HUBWATCH_DASHBOARD"), "{stderr}");
}
