//! Every command calls the same hub by the same name.

mod watched;

use std::process::Command;

use serde_json::Value;
use watched::{Hub, told};

/// What a command says, by a configuration that has no name for the hub.
async fn says(hub: &Hub, command: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = hub.command(command, more);
    run(&mut command).await
}

async fn run(command: &mut Command) -> (Option<i32>, String, String) {
    // The simulated hub goes on meanwhile.
    tokio::task::block_in_place(|| told(command.output().unwrap()))
}

fn json(said: &(Option<i32>, String, String)) -> Value {
    serde_json::from_str(&said.1).unwrap_or_else(|_| panic!("{}", said.2))
}

/// The names that each command has for the hub.
async fn names(hub: &Hub, more: &[&str]) -> Vec<(&'static str, String)> {
    let with = |arguments: &[&'static str]| [arguments, more].concat();
    let address = ["--hub", hub.url.as_str()];
    let mut names = Vec::new();

    let validated = says(hub, "validate", &[&with(&["--for", "3s", "--format", "json"]), &address[..]].concat()).await;
    names.push(("validate", json(&validated)["hub"].as_str().unwrap().to_owned()));

    let seen = |findings: &Value, check: &str| {
        let findings = findings["findings"].as_array().or(findings.as_array()).unwrap();
        let finding = findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{findings:#?}"));
        finding["seen"].as_str().unwrap().to_owned()
    };
    let examined = says(hub, "doctor", &[&with(&["--format", "json"]), &address[..]].concat()).await;
    let name = seen(&json(&examined), "name");
    names.push(("doctor", name.strip_prefix("a watch and its report call this hub ").unwrap().to_owned()));

    let reported = says(hub, "report", &with(&["--since", "1h", "--format", "json"])).await;
    names.push(("report", json(&reported)["provenance"]["hub"].as_str().unwrap().to_owned()));

    let archive = hub.folder.path().join("archive.jsonl");
    let _ = std::fs::remove_file(&archive);
    let exported = says(hub, "export", &with(&["--since", "1h", "--out", "archive.jsonl"])).await;
    assert_eq!(exported.0, Some(0), "{}", exported.2);
    let backend = format!("file={}", archive.display());
    let arguments = [&with(&["--since", "1h", "--format", "json"]), &["--backend", backend.as_str()][..]].concat();
    let watches = seen(&json(&says(hub, "doctor", &arguments).await), "watches");
    let name =
        watches.strip_prefix("there are Watches of ").and_then(|rest| rest.split_once(" (")).unwrap_or_else(|| panic!("{watches}"));
    names.push(("doctor of a backend", name.0.to_owned()));

    // Nobody watches any more, so the mark says of which hub it will be taken up.
    let marked = says(hub, "mark", &with(&["begin", "server_crash"])).await;
    let name =
        marked.2.split_once("is watching ").and_then(|(_, rest)| rest.split_once(" now")).unwrap_or_else(|| panic!("{}", marked.2));
    names.push(("mark", name.0.to_owned()));
    let marked = says(hub, "mark", &with(&["end", "server_crash"])).await;
    assert_eq!(marked.0, Some(0), "{}", marked.2);
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_has_the_same_name_for_each_command_whoever_gave_it() {
    for named in [None, Some("staging-hub")] {
        let hub = Hub::start().await;
        let address = hub.url.trim_start_matches("http://").to_owned();
        let name: Vec<&str> = named.map_or(Vec::new(), |name| vec!["--name", name]);
        let watch = [&["--hub", hub.url.as_str(), "--interval", "200ms", "--for", "2s"][..], &name].concat();
        let (code, _, stderr) = says(&hub, "run", &watch).await;
        assert_eq!(code, Some(0), "{stderr}");
        let expected = named.unwrap_or(&address);
        // By the address or the state folder alone, and by the name.
        for more in [&[][..], &["--name", expected]] {
            for (command, name) in names(&hub, more).await {
                assert_eq!(name, expected, "{command} {more:?}");
            }
        }
    }
}
