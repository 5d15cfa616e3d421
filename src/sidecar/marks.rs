//! Marks: disturbances that somebody announces with `hubwatch mark`. They are laid into a folder beside the journal, so that it works
//! whether the sidecar runs or not; the sidecar takes them up with its next poll, or when it starts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::watch::{FactKind, MarkBegan, MarkEnded, Text, Timestamp};

/// The folder, in the state folder.
const FOLDER: &str = "marks";

/// What is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// A disturbance begins.
    Begin,
    /// It is over.
    End,
}

/// An announcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// What.
    pub edge: Edge,
    /// Of which disturbance.
    pub name: String,
}

impl Mark {
    /// As a fact.
    pub fn fact(&self) -> FactKind {
        let name = Text::new(self.name.as_str());
        match self.edge {
            Edge::Begin => MarkBegan { name }.into(),
            Edge::End => MarkEnded { name }.into(),
        }
    }
}

/// Lays a mark into the folder: whole or not at all.
pub fn lay(state_dir: &Path, mark: &Mark) -> std::io::Result<()> {
    let folder = state_dir.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    // Names sort by time; the process's id keeps two that come at once apart.
    let name = format!("{:020}-{}", mark.at.get(), std::process::id());
    let (draft, path) = (folder.join(format!("{name}.draft")), folder.join(format!("{name}.json")));
    std::fs::write(&draft, serde_json::to_vec(mark)?)?;
    std::fs::rename(draft, path)
}

/// The marks that wait, in the order of their times, each with its file. One that can't be read is told and set aside.
pub fn waiting(state_dir: &Path) -> Vec<(PathBuf, Mark)> {
    let Ok(entries) = std::fs::read_dir(state_dir.join(FOLDER)) else { return Vec::new() };
    let json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(json).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| Some((path.clone(), read(&path)?))).collect()
}

fn read(path: &Path) -> Option<Mark> {
    let read = std::fs::read(path).map_err(|error| error.to_string());
    match read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string())) {
        Ok(mark) => Some(mark),
        Err(error) => {
            tracing::warn!(path = %path.display(), error, "this mark can't be read; it is set aside");
            let _ = std::fs::rename(path, path.with_extension("unreadable"));
            None
        }
    }
}

/// Removes marks that are committed. One that can't be removed is taken up again, which changes nothing.
pub fn done(marks: &[(PathBuf, Mark)]) {
    for (path, _) in marks {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_wait_in_order_until_they_are_done_and_a_broken_one_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(waiting(folder.path()), []);
        let mark = |second, edge| Mark { at: Timestamp::from_secs(second), edge, name: "server_crash".to_owned() };
        lay(folder.path(), &mark(200, Edge::End)).unwrap();
        lay(folder.path(), &mark(100, Edge::Begin)).unwrap();
        std::fs::write(folder.path().join("marks/0.json"), "{").unwrap();
        let found = waiting(folder.path());
        let marks: Vec<&Mark> = found.iter().map(|(_, mark)| mark).collect();
        assert_eq!(marks, [&mark(100, Edge::Begin), &mark(200, Edge::End)]);
        assert!(folder.path().join("marks/0.unreadable").exists());
        done(&found);
        assert_eq!(waiting(folder.path()), []);
    }
}
