//! What must be put back: noted in the state folder before it is taken away, so that the next scenario puts it back if this one can't.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::base::{atomic, secret};

/// The file in the state folder.
const FILE: &str = "put-back.json";

/// Something that a scenario takes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Taken {
    /// A server's process was killed: the server is stopped and started.
    Server {
        /// Its name.
        name: String,
    },
    /// A file fills the disk: it is deleted.
    Disk {
        /// The file.
        path: PathBuf,
    },
    /// A file tells the hub's instrumentation to answer in Gemini's place: it is deleted.
    Faults {
        /// The file.
        path: PathBuf,
    },
}

/// What was taken, and from which hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    hub: String,
    taken: Vec<Taken>,
}

/// Notes what is about to be taken away.
///
/// # Errors
/// The state folder can't be written: then nothing must be taken.
pub(super) fn note(target: &Target, taken: &Taken) -> Result<(), String> {
    let mut note = read(&target.state_dir).unwrap_or_else(|| Note { hub: address(target), taken: Vec::new() });
    if !note.taken.contains(taken) {
        note.taken.push(taken.clone());
    }
    write(&target.state_dir, &note)
}

/// Puts back whatever is noted for this hub. Returns what was put back, or could not be, in words for people.
pub(super) async fn all(target: &Target) -> Vec<Result<String, String>> {
    let Some(mut note) = read(&target.state_dir).filter(|note| note.hub == address(target)) else { return Vec::new() };
    let mut done = Vec::new();
    let mut left = Vec::new();
    for taken in note.taken {
        let put = put_back(target, &taken).await;
        if put.is_err() {
            left.push(taken);
        }
        done.push(put);
    }
    note.taken = left;
    let written = if note.taken.is_empty() { forget(&target.state_dir) } else { write(&target.state_dir, &note) };
    done.extend(written.err().map(Err));
    done
}

async fn put_back(target: &Target, taken: &Taken) -> Result<String, String> {
    match taken {
        Taken::Server { name } => {
            let stopped = target.hub.stop_server(name).await;
            match (target.hub.start_server(name).await, stopped) {
                (Ok(()), _) => Ok(format!("server {name} was stopped and started again")),
                (Err(error), _) => Err(format!("server {name} could not be put back: {error}; start it by hand")),
            }
        }
        Taken::Disk { path } => deleted(path).map(|()| format!("{} was deleted", path.display())),
        Taken::Faults { path } => deleted(path).map(|()| format!("{} was deleted: Gemini is asked again", path.display())),
    }
}

fn deleted(path: &Path) -> Result<(), String> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{} can't be deleted: {error}; delete it by hand", path.display())),
    }
}

fn address(target: &Target) -> String {
    secret::without_credentials(target.hub.base())
}

fn read(state_dir: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(state_dir.join(FILE)).ok()?).ok()
}

fn write(state_dir: &Path, note: &Note) -> Result<(), String> {
    let path = state_dir.join(FILE);
    atomic::write_json(&path, note).map_err(|error| format!("can't write {}: {error}", path.display()))
}

fn forget(state_dir: &Path) -> Result<(), String> {
    deleted(&state_dir.join(FILE))
}
