//! Finds the log's files: at one path, or wherever a pattern matches.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::identity::{FileIdentity, modified};
use super::rotation::RotationNames;

/// An invalid pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid file name pattern `{pattern}`: {reason}")]
pub struct PatternError {
    /// The pattern as given.
    pub pattern: String,
    /// Why it is invalid.
    pub reason: String,
}

/// The log's path, or a pattern for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogPath {
    path: PathBuf,
    is_pattern: bool,
}

/// A file that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub path: PathBuf,
    pub metadata: Metadata,
}

impl Found {
    pub(super) fn identity(&self) -> FileIdentity {
        FileIdentity::of(&self.metadata)
    }

    fn key(&self) -> (&Path, u64) {
        (&self.path, self.metadata.ino())
    }
}

/// Returns whether this path is a pattern: `*`, `?` and `[…]` stand for parts of names.
pub fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) && !path.exists()
}

/// Returns the file at a path; of the files that a pattern matches, the one written last.
pub fn newest(path: &Path) -> PathBuf {
    let log_path = LogPath::new(path.to_owned());
    let found = if log_path.is_pattern { log_path.look().unwrap_or_default() } else { Vec::new() };
    found.into_iter().max_by_key(|found| modified(&found.metadata)).map_or_else(|| path.to_owned(), |found| found.path)
}

/// Checks a path that may be a pattern.
pub fn check_pattern(path: &Path) -> Result<(), PatternError> {
    let pattern = path.to_string_lossy();
    if !is_pattern(path) {
        return Ok(());
    }
    match glob::Pattern::new(&pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(PatternError { pattern: pattern.into_owned(), reason: error.msg.to_owned() }),
    }
}

impl LogPath {
    /// Takes a path; one with wildcards is a pattern.
    pub(super) fn new(path: PathBuf) -> Self {
        let is_pattern = is_pattern(&path) && check_pattern(&path).is_ok();
        Self { path, is_pattern }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn is_pattern(&self) -> bool {
        self.is_pattern
    }

    /// Returns the files that exist there now.
    pub(super) fn look(&self) -> io::Result<Vec<Found>> {
        if !self.is_pattern {
            return Ok(found(&self.path)?.into_iter().collect());
        }
        let paths = glob::glob(&self.path.to_string_lossy()).map_err(io::Error::other)?;
        let mut all = Vec::new();
        for path in paths {
            let path = path.map_err(io::Error::from)?;
            all.extend(found(&path)?.filter(|found| !found.metadata.is_dir()));
        }
        Ok(all)
    }

    /// Returns the modification time of the log's folder, in nanoseconds since the epoch; 0 if there is no folder.
    pub(super) fn folder_changed(&self) -> u64 {
        std::fs::metadata(folder(&self.path)).map_or(0, |metadata| modified(&metadata))
    }

    /// Returns whether the log's folder exists.
    pub(super) fn has_folder(&self) -> bool {
        self.is_pattern || folder(&self.path).is_dir()
    }
}

fn found(path: &Path) -> io::Result<Option<Found>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(Found { path: path.to_owned(), metadata })),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether the error means that the file does not exist.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Returns the file name of the path.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// How often a folder is listed again while it changes.
const LISTINGS: usize = 20;

/// Returns the files whose names make them generations of `path`: in its folder and, if it is a link, in its target's folder.
///
/// A file renamed during the listing may be listed twice or not at all, so the listing is repeated until it stays the same.
pub(super) fn siblings(path: &Path) -> Vec<Found> {
    let mut all = list_siblings(path);
    for _ in 0..LISTINGS {
        let again = list_siblings(path);
        let same = all.iter().map(Found::key).eq(again.iter().map(Found::key));
        all = again;
        if same {
            break;
        }
    }
    all
}

fn list_siblings(path: &Path) -> Vec<Found> {
    let mut all = in_folder(folder(path), &RotationNames::of(&name_of(path)));
    if let Ok(target) = std::fs::canonicalize(path)
        && std::fs::read_link(path).is_ok()
    {
        all.extend(in_folder(folder(&target), &RotationNames::of_generation(&name_of(&target))));
    }
    all
}

/// Returns nothing for a folder that can't be listed: if the log is unreadable too, reading it reports that.
fn in_folder(folder: &Path, names: &RotationNames) -> Vec<Found> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| names.has(&entry.file_name().to_string_lossy()));
    let files = named.filter_map(|entry| found(&entry.path()).ok().flatten());
    files.filter(|found| found.metadata.is_file()).collect()
}
