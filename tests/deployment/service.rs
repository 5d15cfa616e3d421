//! packaging/hubwatch.service, checked by systemd's own tools.

use std::process::{Command, Output};

use crate::{assert_understood, text};

/// The maximum exposure of `systemd-analyze security`, in tenths; an empty service has 96.
const MOST_EXPOSED: &str = "20";

fn unit() -> String {
    text("packaging/hubwatch.service")
}

#[test]
fn the_services_command_is_valid_and_it_waits_for_readiness() {
    let unit = unit();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/hubwatch ")).unwrap();
    assert_understood("ExecStart", &command.split_whitespace().collect::<Vec<_>>());
    assert!(unit.contains("\nType=notify\n"));
    let codes = [hubwatch::cli::Exit::Usage, hubwatch::cli::Exit::Config].map(|exit| exit.code().to_string());
    assert!(unit.contains(&format!("\nRestartPreventExitStatus={}\n", codes.join(" "))));
}

fn analyze(args: &[&str]) -> Option<Output> {
    // The program of the unit is not installed here; the one under test replaces it.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hubwatch.service");
    std::fs::write(&path, unit().replace("/usr/local/bin/hubwatch", env!("CARGO_BIN_EXE_hubwatch"))).unwrap();
    match Command::new("systemd-analyze").args(args).arg(&path).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("LEFT OUT: systemd's own checks of the unit, since systemd-analyze can't be run: {error}");
            None
        }
    }
}

fn assert_clean(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    // It may complain about other units of the machine.
    let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("hubwatch")).collect();
    assert!(output.status.success() && of_ours.is_empty(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn systemd_accepts_the_unit() {
    if let Some(output) = analyze(&["verify", "--man=no", "--recursive-errors=no"]) {
        assert_clean(&output);
    }
}

#[test]
fn systemd_rates_it_as_hardened() {
    if let Some(output) = analyze(&["security", "--offline=true", "--no-pager", "--threshold", MOST_EXPOSED]) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
