//! The deployment files: valid by the published schemas, with options that the program understands, and hardened as the README
//! says.

mod compose;
mod dockerfile;
mod kubernetes;
mod service;
mod workflow;

use std::path::{Path, PathBuf};

use clap::Parser as _;
use hubwatch::cli::Cli;
use hubwatch::config::settings::{FILE_SUFFIX, Setting, of_variable};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn schema(name: &str) -> Value {
    serde_json::from_str(&text(&format!("tests/deployment/schemas/{name}"))).unwrap()
}

/// Fails with all violations of a schema.
fn assert_valid(what: &str, document: &Value, schema: &Value) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let complaints: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(complaints.is_empty(), "{what}:\n{}", complaints.join("\n"));
}

/// Fails for an unknown variable with our prefix, which would be an error or have no effect.
fn assert_known(what: &str, variable: &str) {
    let of_file = variable.strip_suffix(FILE_SUFFIX).and_then(of_variable).filter(|setting| setting.may_be_in_file());
    assert!(of_variable(variable).or(of_file).is_some(), "{what}: {variable}");
}

/// Fails if the program doesn't understand these arguments.
fn assert_understood(what: &str, words: &[&str]) {
    let read = Cli::try_parse_from(std::iter::once("hubwatch").chain(words.iter().copied()));
    read.unwrap_or_else(|error| panic!("{what}: {error}"));
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().map_or_else(Vec::new, |words| words.iter().map(|word| word.as_str().unwrap()).collect())
}

fn beside_docker(path: &str) -> PathBuf {
    root().join("docker").join(path)
}

/// Fails if the program can't parse the value of this variable.
fn assert_readable(what: &str, variable: &str, value: &str) {
    assert_known(what, variable);
    if let Some(setting) = of_variable(variable).filter(|_| !value.contains("${")) {
        Setting::value(setting, value).unwrap_or_else(|problem| panic!("{what}: {variable}: {problem}"));
    }
}
