//! The instrumentation that a hub's process loads, and the command that gives and checks it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;

const MODULE: &str = include_str!("../instrument/node/hubwatch.mjs");
const NAMES: &str = include_str!("../src/watch/names.rs");

fn hubwatch(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hubwatch")).args(args).env_clear().env("HOME", "/nonexistent").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A process that does nothing, with these variables; killed when dropped.
struct Process(Child);

impl Process {
    fn start(variables: &[(&str, &str)]) -> Self {
        let child = Command::new("sleep").arg("600").env_clear().envs(variables.iter().copied()).spawn().unwrap();
        let process = Self(child);
        // Until then the new process is still a copy of this one.
        while !std::fs::read(format!("/proc/{}/cmdline", process.0.id())).unwrap().starts_with(b"sleep") {
            std::thread::yield_now();
        }
        process
    }

    fn check(&self) -> (Option<i32>, Value) {
        let (code, stdout, stderr) = hubwatch(&["instrument", "check", "--pid", &self.0.id().to_string(), "--format", "json"]);
        (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_own_tests_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("instrument/node/test");
    let version = Command::new("node").arg("--version").output().map(|output| String::from_utf8(output.stdout).unwrap());
    let major = |version: &str| version.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok();
    if version.as_deref().ok().and_then(major).is_none_or(|major| major < 20) {
        println!("LEFT OUT: the tests of the instrumentation, which need Node 20 or later; found: {version:?}");
        return;
    }
    let tests = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tests: Vec<PathBuf> = tests.filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect();
    assert!(!tests.is_empty());
    let output = Command::new("node").arg("--test").args(tests).env_remove("NODE_OPTIONS").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_it_sends_is_in_the_table_of_names() {
    let begins = [
        "mcp.",
        "mcphub.",
        "gen_ai.",
        "http.re",
        "http.route",
        "jsonrpc.",
        "rpc.",
        "network.",
        "error.type",
        "hubwatch.",
        "server.",
        "otel.",
    ];
    let quoted = MODULE.split('"').skip(1);
    let sent: Vec<&str> = quoted.filter(|text| begins.iter().any(|begin| text.starts_with(begin)) && !text.contains(' ')).collect();
    assert!(sent.len() > 25, "{sent:?}");
    // This one is a key of the process, not a name that goes out.
    let own = "hubwatch.instrument";
    let missing: Vec<&&str> = sent.iter().filter(|name| **name != own && !NAMES.contains(&format!("\"{name}\""))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn it_is_printed_as_it_ships() {
    let (code, stdout, _) = hubwatch(&["instrument", "node"]);
    // It is too long for the message of a failed comparison.
    assert!(code == Some(0) && stdout == MODULE);
}

#[test]
fn it_is_written_with_the_lines_that_load_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hubwatch.mjs");
    let path = file.to_str().unwrap();
    let (code, stdout, _) = hubwatch(&["instrument", "node", "--out", path]);
    assert!(code == Some(0) && std::fs::read_to_string(&file).unwrap() == MODULE);
    assert!(stdout.contains(&format!("NODE_OPTIONS=\"--import {path}\"")), "{stdout}");
    assert!(stdout.contains(&format!("BUN_OPTIONS=\"--preload={path}\"")), "{stdout}");
    let (code, _, stderr) = hubwatch(&["instrument", "node", "--out", "/dev/null/hubwatch.mjs"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("/dev/null/hubwatch.mjs"), "{stderr}");
    let (code, ..) = hubwatch(&["instrument", "node", "--fault-file", "/tmp/fault"]);
    assert_eq!(code, Some(2));
}

#[test]
fn a_process_that_loads_it_is_told_from_one_that_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("the module.mjs");
    let options = format!("--max-old-space-size=512 --import \"{}\"", file.display());
    let variables = [
        ("NODE_OPTIONS", options.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:s3cret@127.0.0.1:4318"),
        ("HUBWATCH_ALLOW_FAULTS", "1"),
        ("HUBWATCH_FAULT_FILE", "/tmp/fault"),
    ];
    let process = Process::start(&variables);
    let (code, found) = process.check();
    assert_eq!((code, found["outcome"].as_str()), (Some(3), Some("unknown")));
    assert!(found["reason"].as_str().unwrap().contains(file.to_str().unwrap()), "{found}");

    std::fs::write(&file, MODULE).unwrap();
    let (code, found) = process.check();
    assert_eq!((code, found["outcome"].as_str(), found["file"].as_str()), (Some(0), Some("loaded"), file.to_str()));
    assert_eq!((found["pid"].as_u64(), found["fault_file"].as_str()), (Some(u64::from(process.0.id())), Some("/tmp/fault")));
    assert!(!found.to_string().contains("s3cret") && found["endpoint"].as_str().unwrap().contains("127.0.0.1:4318"), "{found}");

    std::fs::write(&file, MODULE.replace("1.0.0", "0.9.0")).unwrap();
    let (code, found) = process.check();
    assert_eq!((code, found["outcome"].as_str()), (Some(0), Some("other_version")));

    std::fs::write(&file, "console.log('something else')").unwrap();
    let (code, found) = process.check();
    assert_eq!((code, found["outcome"].as_str()), (Some(1), Some("not_loaded")));
    let (code, found) = Process::start(&[]).check();
    assert_eq!((code, found["outcome"].as_str()), (Some(1), Some("not_loaded")));
}

#[test]
fn the_answer_to_people_names_the_line_that_would_load_it() {
    let process = Process::start(&[]);
    let (code, stdout, _) = hubwatch(&["instrument", "check", "--pid", &process.0.id().to_string()]);
    assert_eq!(code, Some(1));
    assert!(stdout.starts_with("not loaded: ") && stdout.contains("NODE_OPTIONS=\"--import /"), "{stdout}");
}

#[test]
fn without_a_hub_nothing_is_checked() {
    for args in [["--hub", "http://127.0.0.1:9"], ["--pid", "4294967294"]] {
        let (code, stdout, _) = hubwatch(&[&["instrument", "check"], &args[..]].concat());
        assert_eq!(code, Some(4), "{stdout}");
        assert!(stdout.starts_with("no hub: "), "{stdout}");
    }
}
