//! What the instrumentation of a real hub sends is what the hub's clients saw.

use std::path::Path;
use std::process::Command;

use crate::fork::checkout;
use crate::hub::modules;

/// Plays the hub's clients and compares; prints the figures.
fn check(more: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("instrument/node/lab/check.mjs");
    let output = Command::new("node").arg(script).arg("--modules").arg(modules()).args(more).output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.ends_with("all of it agrees\n"), "{told}{errors}");
    println!("{told}");
}

#[test]
fn what_the_instrumentation_of_the_hub_sends_is_what_its_clients_saw() {
    check(&[]);
}

#[test]
fn what_the_instrumentation_of_the_fork_sends_is_what_its_clients_saw_with_both_loggers() {
    let Some(checkout) = checkout() else { return };
    let fork = checkout.to_str().unwrap();
    check(&["--fork", fork]);
    check(&["--fork", fork, "--legacy"]);
}
