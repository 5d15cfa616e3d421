//! The command itself: `hubwatch scenario run …` on a simulated hub.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use super::hub::Hub;

/// The published schema of the results.
static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::to_value(hubwatch::scenario::results::schema()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
});

/// What a command said, and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Its result, which keeps to the schema.
    pub(crate) fn json(&self) -> Value {
        let results = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}\n{}", self.stdout, self.stderr));
        let errors: Vec<String> = SCHEMA.iter_errors(&results).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        results
    }

    /// The steps of its only scenario, in the form of the tables.
    pub(crate) fn signs(&self) -> String {
        signs(&self.json()["scenarios"][0])
    }
}

/// The steps of a scenario, in the form of the tables.
pub(crate) fn signs(scenario: &Value) -> String {
    let sign = |step: &Value| match step["verdict"].as_str().unwrap() {
        "pass" => '+',
        "fail" => '-',
        "not_verifiable" => '?',
        "not_applicable" => '0',
        other => panic!("{other}"),
    };
    let steps = scenario["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{}{}", step["id"].as_str().unwrap(), sign(step))).collect::<Vec<_>>().join(" ")
}

/// A command that runs; killed when dropped.
pub(crate) struct Running {
    pub(crate) process: Child,
    said: [std::thread::JoinHandle<String>; 2],
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let read = |mut from: Box<dyn std::io::Read + Send>| {
            std::thread::spawn(move || {
                let mut text = String::new();
                from.read_to_string(&mut text).map(|_| text).unwrap()
            })
        };
        Self { process, said: [read(Box::new(stdout)), read(Box::new(stderr))] }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) async fn end(self) -> Said {
        tokio::task::spawn_blocking(move || {
            let Self { mut process, said: [stdout, stderr] } = self;
            let code = process.wait().unwrap().code();
            Said { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
        })
        .await
        .unwrap()
    }
}

impl Hub {
    /// `hubwatch scenario run` with these arguments about this hub.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.hubwatch(&["scenario", "run", "--hub", &self.url, "--name", "simulated"]);
        command.arg("--state-dir").arg(self.state_dir()).arg("--log").arg(self.log()).args(arguments);
        command
    }

    /// The program, with nothing of this user's environment.
    pub(crate) fn hubwatch(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
        command.args(arguments).env_clear().current_dir(self.folder.path());
        command
    }

    /// Runs scenarios to their end, with a result in JSON.
    pub(crate) async fn runs(&self, arguments: &[&str]) -> Said {
        Running::start(self.command(&[&["--format", "json"], arguments].concat())).end().await
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}
