//! `hubwatch scenario run`, as a user runs it, and what must hold of its results whatever the hub.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::sidecar::binary;

/// The results of a run.
pub(crate) struct Played {
    pub results: Value,
    pub code: Option<i32>,
    /// What it said on stderr.
    pub said: String,
}

impl Played {
    /// Runs scenarios on this hub, which is watched under the name `live`.
    pub(crate) async fn run(hub: &str, log: &Path, state: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["scenario", "run", "--hub", hub, "--name", "live", "--format", "json", "--log"]).arg(log);
        command.arg("--state-dir").arg(state).args(more).stdin(Stdio::null());
        // Whatever the test serves must go on being served meanwhile.
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let Output { status, stdout, stderr } = output;
        let said = String::from_utf8(stderr).unwrap();
        println!("{said}");
        let results = serde_json::from_slice(&stdout).unwrap_or_else(|error| panic!("{error}: {status}"));
        Self { results, code: status.code(), said }
    }

    pub(crate) fn scenarios(&self) -> Vec<&Value> {
        self.results["scenarios"].as_array().unwrap().iter().collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.scenarios().iter().map(|played| played["scenario"].as_str().unwrap()).collect()
    }

    pub(crate) fn scenario(&self, name: &str) -> &Value {
        self.scenarios().into_iter().find(|played| played["scenario"] == name).unwrap_or_else(|| panic!("{name} was not played"))
    }

    pub(crate) fn step(&self, scenario: &str, id: &str) -> &Value {
        let steps = self.scenario(scenario)["steps"].as_array().unwrap();
        steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("{scenario} has no step {id}"))
    }

    /// The ids of the steps of each verdict.
    fn verdicts(&self, scenario: &str) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for step in self.scenario(scenario)["steps"].as_array().unwrap() {
            let word = |name: &str| step[name].as_str().unwrap().to_owned();
            all.entry(word("verdict")).or_default().push(word("id"));
        }
        all
    }

    /// The steps have exactly these verdicts: each verdict with the ids of its steps, in order and with spaces between.
    pub(crate) fn assert(&self, scenario: &str, expected: &[(&str, &str)]) {
        let words = |ids: &str| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let expected = expected.iter().map(|(verdict, ids)| ((*verdict).to_owned(), words(ids))).collect::<BTreeMap<_, _>>();
        assert_eq!(self.verdicts(scenario), expected, "{:#}", self.scenario(scenario));
    }

    /// All its steps hold.
    pub(crate) fn assert_holds(&self, scenario: &str) {
        let verdicts = self.verdicts(scenario);
        assert_eq!(verdicts.keys().collect::<Vec<_>>(), ["pass"], "{:#}", self.scenario(scenario));
    }

    /// These steps fail because of a known defect.
    pub(crate) fn assert_known(&self, scenario: &str, steps: &str) {
        for id in steps.split_whitespace() {
            let step = self.step(scenario, id);
            assert!(step["verdict"] == "fail" && step["known_defect"].is_string(), "{step:#}");
        }
    }
}

/// A server's process was killed: no hub notices it, and the scenario puts it back.
pub(crate) fn assert_server_crash(played: &Played) {
    played.assert("server_crash", &[("pass", "1 4 6 after"), ("fail", "2 3 5")]);
    played.assert_known("server_crash", "2 3 5");
    assert!(played.step("server_crash", "6")["detail"].as_str().unwrap().contains("stopped and started"));
}
