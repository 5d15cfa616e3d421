//! What must be put back: noted in the state folder before it is taken away, so that the next scenario puts it back if this one can't.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::announce::marks::{self, Edge, Mark};
use crate::base::{atomic, secret};
use crate::watch::Timestamp;

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
    /// A planned window was begun: it is ended.
    Window {
        /// The name of its mark.
        name: String,
    },
}

/// Something taken, and from which hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    hub: String,
    taken: Taken,
}

/// Notes what is about to be taken away.
///
/// # Errors
/// The state folder can't be written: then nothing must be taken.
pub(super) fn note(target: &Target, taken: &Taken) -> Result<(), String> {
    let mut notes = read(&target.state_dir);
    let note = Note { hub: address(target), taken: taken.clone() };
    if !notes.contains(&note) {
        notes.push(note);
    }
    write(&target.state_dir, &notes)
}

/// Returns whether something of this hub waits to be put back.
pub(super) fn is_waiting(target: &Target) -> bool {
    read(&target.state_dir).iter().any(|note| note.hub == address(target))
}

/// Puts back whatever is noted for this hub. Returns what was put back, or could not be, in words for people.
pub(super) async fn all(target: &Target) -> Vec<Result<String, String>> {
    these(target, |_| true).await
}

/// The same, while the scenario whose window is open goes on.
pub(super) async fn all_but_windows(target: &Target) -> Vec<Result<String, String>> {
    these(target, |taken| !matches!(taken, Taken::Window { .. })).await
}

/// Forgets a window that was ended in good order.
pub(super) fn forget_window(target: &Target, name: &str) {
    let mut notes = read(&target.state_dir);
    let before = notes.len();
    notes.retain(|note| note.hub != address(target) || note.taken != Taken::Window { name: name.to_owned() });
    if notes.len() < before {
        // One that stays is ended once more by the next scenario, which changes nothing.
        let _ = write(&target.state_dir, &notes);
    }
}

async fn these(target: &Target, wanted: impl Fn(&Taken) -> bool) -> Vec<Result<String, String>> {
    let is_ours = |note: &Note| note.hub == address(target) && wanted(&note.taken);
    let (ours, mut left): (Vec<Note>, Vec<Note>) = read(&target.state_dir).into_iter().partition(is_ours);
    let mut done = Vec::new();
    for note in ours {
        let put = put_back(target, &note.taken).await;
        if put.is_err() {
            left.push(note);
        }
        done.push(put);
    }
    if !done.is_empty() {
        done.extend(write(&target.state_dir, &left).err().map(Err));
    }
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
        Taken::Window { name } => {
            let mark = Mark { at: Timestamp::now(), edge: Edge::End, name: name.clone() };
            let laid =
                marks::lay(&target.state_dir, &mark).map_err(|error| format!("the window of {name} can't be ended: {error}"));
            laid.map(|()| format!("the planned time of {name} was ended"))
        }
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

fn read(state_dir: &Path) -> Vec<Note> {
    let bytes = std::fs::read(state_dir.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn write(state_dir: &Path, notes: &[Note]) -> Result<(), String> {
    let path = state_dir.join(FILE);
    if notes.is_empty() {
        return deleted(&path);
    }
    atomic::write_json(&path, &notes).map_err(|error| format!("can't write {}: {error}", path.display()))
}
