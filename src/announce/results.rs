//! Results of scenarios: each check and each measurement is a file in a folder beside the journal.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::atomic;
use crate::watch::{FactId, ScenarioChecked, ScenarioFact, ScenarioMeasured, Timestamp};

/// The folder of the results in the state folder.
const FOLDER: &str = "results";

/// The most files that are read at a time. The results of a scenario that ran while nothing was watching wait for the next polls.
const BATCH: usize = 2_000;

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

impl From<ToldResult> for ScenarioFact {
    fn from(result: ToldResult) -> Self {
        match result {
            ToldResult::Checked(checked) => Self::ScenarioChecked(checked),
            ToldResult::Measured(measured) => Self::ScenarioMeasured(measured),
        }
    }
}

/// The results that wait in the folder.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Those that are new, by time, each with its file.
    pub new: Vec<(PathBuf, Told)>,
    /// Those that are known, each with its file.
    pub known: Vec<(PathBuf, FactId)>,
}

/// Writes a result to the folder, atomically. It is on disk when this returns. The same result written again replaces its file.
pub fn lay(state_dir: &Path, told: &Told) -> io::Result<()> {
    let id = ScenarioFact::from(told.result.clone()).id();
    atomic::write_json(&state_dir.join(FOLDER).join(name(told.at, id)), told)
}

/// Names sort by time; the id distinguishes results of the same time.
fn name(at: Timestamp, id: FactId) -> String {
    format!("{:020}-{id}.json", at.get())
}

fn id_of(path: &Path) -> Option<FactId> {
    FactId::parse(path.file_stem()?.to_str()?.rsplit_once('-')?.1)
}

/// Returns the waiting results. Those whose facts are known are not read again, and at most a few thousand are read at a time.
pub fn waiting(state_dir: &Path, is_known: impl Fn(FactId) -> bool) -> Waiting {
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for path in super::files(&state_dir.join(FOLDER)) {
        match id_of(&path).filter(|id| is_known(*id)) {
            Some(id) => known.push((path, id)),
            None => new.push(path),
        }
    }
    let read = |path: PathBuf| super::read(&path, "this result of a scenario").map(|told| (path, told));
    Waiting { new: new.into_iter().take(BATCH).filter_map(read).collect(), known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{ScenarioRun, StepVerdict, Text};

    fn told(second: u64, sequence: u32) -> Told {
        let checked = ScenarioChecked {
            scenario: Text::new("session_isolation"),
            run: ScenarioRun::from_seed(b"run"),
            sequence,
            check: Text::new("1.5"),
            title: Text::new("B has no tools"),
            verdict: StepVerdict::Pass,
            detail: None,
            known_defect: None,
            trace_id: None,
        };
        Told { at: Timestamp::from_secs(second), result: ToldResult::Checked(checked) }
    }

    fn id(told: &Told) -> FactId {
        ScenarioFact::from(told.result.clone()).id()
    }

    #[test]
    fn results_wait_in_order_and_a_known_one_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(waiting(folder.path(), |_| false).new.is_empty());
        let (first, second) = (told(100, 1), told(200, 2));
        [&second, &first, &first].into_iter().for_each(|told| lay(folder.path(), told).unwrap());
        let found = waiting(folder.path(), |_| false);
        assert_eq!(found.new.iter().map(|(_, told)| told.clone()).collect::<Vec<_>>(), [first.clone(), second.clone()]);
        let rest = waiting(folder.path(), |known| known == id(&first));
        assert_eq!(rest.new.iter().map(|(_, told)| told.clone()).collect::<Vec<_>>(), [second]);
        assert_eq!(rest.known, [(found.new[0].0.clone(), id(&first))]);
        crate::announce::done(&found.new.into_iter().map(|(path, _)| path).collect::<Vec<_>>());
        assert!(waiting(folder.path(), |_| false).new.is_empty());
    }

    #[test]
    fn a_broken_or_huge_file_is_set_aside_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        lay(folder.path(), &told(100, 1)).unwrap();
        let results = folder.path().join(FOLDER);
        std::fs::write(results.join("0.json"), "{").unwrap();
        std::fs::write(results.join("1.json"), " ".repeat(100_000)).unwrap();
        assert_eq!(waiting(folder.path(), |_| false).new.len(), 1);
        assert!(results.join("0.unreadable").exists() && results.join("1.unreadable").exists());
    }

    #[test]
    fn a_check_and_a_measurement_with_the_same_number_are_two_facts() {
        let run = ScenarioRun::from_seed(b"run");
        assert_ne!(
            FactId::of_scenario(run, "hubwatch.scenario.checked", 1),
            FactId::of_scenario(run, "hubwatch.scenario.measured", 1)
        );
        assert_ne!(id(&told(100, 1)), id(&told(100, 2)));
        assert_eq!(id(&told(100, 1)), id(&told(200, 1)), "the time is no part of it");
    }
}
