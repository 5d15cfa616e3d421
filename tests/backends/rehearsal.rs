//! An hour played by `hubwatch demo`, and reports on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

use hubwatch::backend::Backend as _;
use hubwatch::backend::embedded::Embedded;
use hubwatch::journal::JournalReader;
use hubwatch::watch::{Environment, HubName, Slot, Timestamp};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde_json::Value;

pub(crate) const FROM: &str = "2026-11-01T00:00:00Z";
pub(crate) const TO: &str = "2026-11-01T01:00:00Z";

/// Played once for all tests, which only read it.
pub(crate) static REHEARSAL: LazyLock<Rehearsal> = LazyLock::new(Rehearsal::play);

pub(crate) struct Rehearsal {
    folder: tempfile::TempDir,
}

pub(crate) fn hubwatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    command.env_clear().env("HOME", "/nonexistent");
    command
}

impl Rehearsal {
    fn play() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let played = hubwatch().args(["demo", "--period", "1h", "--dir"]).arg(folder.path()).output().unwrap();
        assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
        Self { folder }
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Returns every watch trace by its id.
    pub(crate) fn traces(&self) -> BTreeMap<String, Vec<ResourceSpans>> {
        let backend = Embedded::new(JournalReader::open(&self.state_dir()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut traces = BTreeMap::new();
        let first = Slot::of(Timestamp::parse(FROM).unwrap()).0;
        for slot in first..first + 5 {
            let id = trace_id(slot - first);
            let found = runtime.block_on(backend.trace(hubwatch::watch::TraceId::parse(&id).unwrap())).unwrap();
            traces.insert(id, found.spans);
        }
        traces.retain(|_, spans| !spans.is_empty());
        assert_eq!(traces.len(), 5, "four quarter-hours, and the one in which the last Watch ends");
        traces
    }
}

/// Returns the trace id of a quarter of the hour.
pub(crate) fn trace_id(quarter: u64) -> String {
    let (hub, environment) = (HubName::parse("demo-hub").unwrap(), Environment::parse("staging").unwrap());
    Slot(Slot::of(Timestamp::parse(FROM).unwrap()).0 + quarter).trace_id(&hub, &environment, 0).to_string()
}

/// A report on the hour.
#[derive(Debug)]
pub(crate) struct Reported {
    pub code: Option<i32>,
    pub json: Value,
    pub stderr: String,
}

impl Reported {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Returns the report without its source and its time.
    pub(crate) fn content(&self) -> Value {
        let mut json = self.json.clone();
        let provenance = json["provenance"].as_object_mut().unwrap();
        provenance.remove("backend").unwrap();
        provenance.remove("generated_at").unwrap();
        without_links(&mut json);
        json
    }
}

fn without_links(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("trace_url");
            fields.remove("trace_urls");
            fields.values_mut().for_each(without_links);
        }
        Value::Array(items) => items.iter_mut().for_each(without_links),
        _ => {}
    }
}

pub(crate) fn report_command() -> Command {
    let mut command = hubwatch();
    command.args(["report", "--name", "demo-hub", "--from", FROM, "--to", TO, "--format", "json"]);
    command
}

/// Reports from the journal.
pub(crate) fn report_embedded() -> Reported {
    Reported::of(report_command().arg("--state-dir").arg(REHEARSAL.state_dir()).output().unwrap())
}

/// Reports from another backend.
pub(crate) fn report_from(backend: &str, more: &[&str]) -> Reported {
    Reported::of(report_command().args(["--backend", backend]).args(more).output().unwrap())
}

/// Reports from a server, with a short timeout.
pub(crate) async fn report_from_server(backend: String, more: &'static [&'static str]) -> Reported {
    let output = tokio::task::spawn_blocking(move || {
        let mut command = report_command();
        command.env("HUBWATCH_BACKEND_TIMEOUT", "500ms").args(["--backend", &backend]).args(more);
        command.output().unwrap()
    });
    Reported::of(output.await.unwrap())
}
