//! Results of scenarios: each check and each measurement is a file in a folder beside the journal.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::atomic;
use crate::watch::{FactId, FactKind, ScenarioChecked, ScenarioFact, ScenarioMeasured, Timestamp};

/// The folder of the results in the state folder.
const FOLDER: &str = "results";

/// The largest file that is read. Each text has at most a kilobyte; the rest is room for escapes in JSON.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The most files that are read at a time: those of a scenario that ran while nothing was watching wait for the next poll.
pub const BATCH: usize = 2_000;

/// A result and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When it was found.
    pub at: Timestamp,
    /// The result.
    pub result: ToldResult,
}

/// A result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldResult {
    /// A step was checked.
    Checked(ScenarioChecked),
    /// The clients measured something.
    Measured(ScenarioMeasured),
}

impl Told {
    /// Returns the result as a fact.
    pub fn fact(&self) -> FactKind {
        FactKind::Scenario(self.scenario_fact())
    }

    /// Returns the id of this fact: the same however often the file is read.
    pub fn id(&self) -> FactId {
        self.scenario_fact().id()
    }

    fn scenario_fact(&self) -> ScenarioFact {
        match &self.result {
            ToldResult::Checked(checked) => ScenarioFact::ScenarioChecked(checked.clone()),
            ToldResult::Measured(measured) => ScenarioFact::ScenarioMeasured(measured.clone()),
        }
    }
}

/// Writes a result to the folder, atomically. It is on disk when this returns. The same result written again replaces the file.
pub fn lay(state_dir: &Path, told: &Told) -> io::Result<()> {
    // Names sort by time; the id distinguishes results of the same time.
    let name = format!("{:020}-{}.json", told.at.get(), told.id());
    atomic::write_json(&state_dir.join(FOLDER).join(name), told)
}

/// Returns the waiting results and their files, by time, at most [`BATCH`]. Unreadable files are renamed with a warning.
pub fn waiting(state_dir: &Path) -> Vec<(PathBuf, Told)> {
    let Ok(entries) = std::fs::read_dir(state_dir.join(FOLDER)) else { return Vec::new() };
    let json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(json).collect();
    paths.sort();
    paths.truncate(BATCH);
    paths.into_iter().filter_map(|path| Some((path.clone(), read(&path)?))).collect()
}

fn read(path: &Path) -> Option<Told> {
    match parse(path) {
        Ok(told) => Some(told),
        Err(error) => {
            tracing::warn!(path = %path.display(), error, "this result of a scenario can't be read; it is set aside");
            let _ = std::fs::rename(path, path.with_extension("unreadable"));
            None
        }
    }
}

fn parse(path: &Path) -> Result<Told, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(format!("it has {bytes} bytes (limit {MAX_FILE_BYTES})"));
    }
    let json = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}
