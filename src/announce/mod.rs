//! What other commands tell a watch: files in its state folder, which the watch reads with its next poll or when it starts, so it need
//! not run when they are written. A file stays until what it says is committed.

pub mod marks;
pub mod results;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The largest file that is read. Each text has at most a kilobyte; the rest is room for escapes in JSON.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Returns the files that wait in a folder, sorted by their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(json).collect();
    paths.sort();
    paths
}

/// Reads a file. One that can't be read is renamed with a warning: `what` says what it is.
fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Option<T> {
    match parse(path) {
        Ok(told) => Some(told),
        Err(error) => {
            tracing::warn!(path = %path.display(), error, "{what} can't be read; it is set aside");
            let _ = std::fs::rename(path, path.with_extension("unreadable"));
            None
        }
    }
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(format!("it has {bytes} bytes (limit {MAX_FILE_BYTES})"));
    }
    let json = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// Deletes files whose content is committed. One that can't be deleted is read again, which has no effect.
pub fn done(files: &[PathBuf]) {
    for path in files {
        let _ = std::fs::remove_file(path);
    }
}
