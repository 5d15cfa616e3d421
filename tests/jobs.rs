//! The jobs in docs/strategy.md: cron's lines work unchanged, and systemd accepts the units.

mod watched;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use watched::{Hub, told, until};

const PAGE: &str = include_str!("../docs/strategy.md");

/// Returns the page's code blocks of a language.
fn blocks(kind: &str) -> Vec<&'static str> {
    let opening = format!("```{kind}\n");
    PAGE.split(opening.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Returns each cron line: its five time fields, and its command.
fn cron_lines() -> Vec<(Vec<&'static str>, String)> {
    let lines = blocks("cron").into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#') && !line.is_empty());
    let parts = |line: &'static str| {
        let mut words = line.splitn(6, ' ');
        let times: Vec<_> = words.by_ref().take(5).collect();
        (times, words.next().unwrap().to_owned())
    };
    lines.map(parts).collect()
}

/// A home folder for cron: `hubwatch` is on the path, the hub's log is at its usual place, and a watch has filled the state folder.
struct Home(PathBuf);

impl Home {
    async fn of(hub: &Hub) -> Self {
        let home = hub.folder.path().join("home");
        for folder in ["bin", ".local/state/mcp-hub"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hubwatch"), home.join("bin/hubwatch")).unwrap();
        std::os::unix::fs::symlink(hub.folder.path(), home.join(".local/state/mcp-hub/logs")).unwrap();
        std::fs::write(home.join("hubwatch.toml"), "[servers.github]\nexpected = ['disconnected', 'connecting']\n").unwrap();
        let home = Self(home);
        let watch = home.runs(&format!("hubwatch run --hub {} --interval 200ms --for 3s", hub.url)).await;
        assert!(watch.status.success(), "{}", String::from_utf8_lossy(&watch.stderr));
        home
    }

    /// Runs a line like cron: by the shell, in the home folder, with a small environment.
    async fn runs(&self, line: &str) -> Output {
        let mut command = Command::new("/bin/sh");
        let path = format!("{}:/usr/bin:/bin", self.0.join("bin").display());
        command.args(["-c", line]).current_dir(&self.0).env_clear().env("HOME", &self.0).env("PATH", path);
        // The simulated hub continues in the meantime.
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

async fn ready_hub() -> Hub {
    let hub = Hub::start().await;
    hubwatch::base::tls::choose_provider();
    let health = format!("{}/api/health", hub.url);
    let is_ready = async || reqwest::get(&health).await.ok()?.text().await.ok()?.contains("\"state\":\"ready\"").then_some(());
    until("the hub is ready", is_ready).await;
    hub
}

#[test]
fn cron_lines_have_crons_syntax() {
    let lines = cron_lines();
    assert!(lines.len() >= 3, "{lines:?}");
    let is_field = |field: &&str| field.bytes().all(|byte| byte.is_ascii_digit() || b"*/,-".contains(&byte));
    for (times, command) in lines {
        assert!(times.len() == 5 && times.iter().all(is_field), "{times:?}");
        assert!(!command.contains('%'), "cron ends a line there: {command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cron_lines_do_what_their_comments_say() {
    let hub = ready_hub().await;
    let home = Home::of(&hub).await;
    let line = |what: &str| {
        let (_, command) = cron_lines().into_iter().find(|(_, command)| command.contains(what)).unwrap();
        command.replace("http://127.0.0.1:7000", &hub.url)
    };
    let validate = line("hubwatch validate");
    for _ in 0..2 {
        let (code, stdout, stderr) = told(home.runs(&validate).await);
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
    }
    let kept = std::fs::read_to_string(home.0.join(".local/state/hubwatch/validate.jsonl")).unwrap();
    let lines: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["verdict"]).collect::<Vec<_>>(), ["pass", "pass"], "a line each: {kept}");

    let (code, summary, stderr) = told(home.runs(&line("--format summary")).await);
    // Cron mails stdout; three seconds are too short for a verdict.
    assert!(code == Some(3) && summary.contains("127.0.0.1"), "{code:?} {summary}{stderr}");
    let (code, stdout, stderr) = told(home.runs(&line("--out ~/reports/daily/")).await);
    assert_eq!(code, Some(3), "{stdout}{stderr}");
    assert_all_forms(&home.0.join("reports/daily"));

    // The daily service does the same with the state folder of a service.
    let service = blocks("ini").into_iter().find(|block| block.contains("hubwatch-daily.service")).unwrap();
    let command = service.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap();
    let state = home.0.join(".local/state/hubwatch");
    let output = home.runs(&command.replace("/var/lib/hubwatch", state.to_str().unwrap())).await;
    let codes = service.lines().find_map(|line| line.strip_prefix("SuccessExitStatus=")).unwrap();
    assert!(codes.split(' ').any(|code| code == "3") && output.status.code() == Some(3), "{output:?}");
    assert_all_forms(&state.join("daily"));
}

fn assert_all_forms(folder: &Path) {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let all = [
        "STAGING_INTEGRATION_HEALTH_REPORT.html",
        "STAGING_INTEGRATION_HEALTH_REPORT.md",
        "junit.xml",
        "report.json",
        "summary.md",
    ];
    assert_eq!(names, all);
}

/// Writes the page's units to files with their names.
fn units(folder: &Path) -> Vec<PathBuf> {
    let unit = |block: &&str| Some((block.strip_prefix("# /etc/systemd/system/")?.lines().next()?.to_owned(), (*block).to_owned()));
    let written = |(name, text): (String, String)| {
        let path = folder.join(name);
        // The program under test replaces the installed one.
        std::fs::write(&path, text.replace("/usr/local/bin/hubwatch", env!("CARGO_BIN_EXE_hubwatch"))).unwrap();
        path
    };
    blocks("ini").iter().filter_map(unit).map(written).collect()
}

#[test]
fn systemd_accepts_the_units_and_the_calendar_time() {
    let folder = tempfile::tempdir().unwrap();
    let units = units(folder.path());
    assert_eq!(units.len(), 3, "{units:?}");
    let timer = std::fs::read_to_string(units.iter().find(|unit| unit.ends_with("hubwatch-daily.timer")).unwrap()).unwrap();
    let at = timer.lines().find_map(|line| line.strip_prefix("OnCalendar=")).unwrap();
    let analyze = |command: &mut Command| match command.output() {
        Ok(output) => Some(told(output)),
        Err(error) => {
            eprintln!(
                "LEFT OUT: systemd's own checks of the units of docs/strategy.md, since systemd-analyze can't be run: {error}"
            );
            None
        }
    };
    let verify = ["verify", "--man=no", "--recursive-errors=no"];
    let Some((code, _, said)) = analyze(Command::new("systemd-analyze").args(verify).args(&units)) else { return };
    // It may complain about other units of the machine.
    let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("hubwatch")).collect();
    assert!(code == Some(0) && of_ours.is_empty(), "{said}");
    let (code, elapses, said) = analyze(Command::new("systemd-analyze").args(["calendar", at])).unwrap();
    assert!(code == Some(0) && elapses.contains("08:00:00"), "{elapses}{said}");
}
