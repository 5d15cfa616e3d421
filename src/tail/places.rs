//! Where the log stands: at one path, or wherever a pattern finds files.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::identity::{FileIdentity, modified};
use super::rotation::Family;

/// A pattern that can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a pattern of file names: {reason}")]
pub struct PatternError {
    /// What was given.
    pub pattern: String,
    /// What is wrong.
    pub reason: String,
}

/// Where to look for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
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

/// Whether this path is a pattern: `*`, `?` and `[…]` stand for parts of names.
pub fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) && !path.exists()
}

/// The file at a path that may be a pattern: of those that the pattern finds, the one that was written last.
pub fn newest(path: &Path) -> PathBuf {
    let places = Places::new(path.to_owned());
    let found = if places.is_pattern { places.look().unwrap_or_default() } else { Vec::new() };
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

impl Places {
    /// At a path or, if it holds wildcards, wherever that pattern finds files.
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

    /// The files that stand there now.
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

    /// When a file last came into, or went from, the log's folder, in nanoseconds since the epoch; 0 if there is no folder.
    pub(super) fn folder_changed(&self) -> u64 {
        std::fs::metadata(folder(&self.path)).map_or(0, |metadata| modified(&metadata))
    }

    /// Whether the folder that the log stands in is there.
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

/// Whether the error says that the file is not there.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// What the path is called; a pattern has names for its files only.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// So often a folder is listed anew while it changes.
const LISTINGS: usize = 20;

/// The files beside `path` that can be generations of it, by their names: where it stands and, if it is a link, where that leads.
///
/// A file that is renamed while its folder is listed may be listed twice or not at all. So the list is made until it stays the same.
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
    let mut all = in_folder(folder(path), &Family::of(&name_of(path)));
    if let Ok(target) = std::fs::canonicalize(path)
        && std::fs::read_link(path).is_ok()
    {
        all.extend(in_folder(folder(&target), &Family::of_generation(&name_of(&target))));
    }
    all
}

/// A folder that can't be listed has none: its log is told to be unreadable when that itself can't be read.
fn in_folder(folder: &Path, family: &Family) -> Vec<Found> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| family.has(&entry.file_name().to_string_lossy()));
    let files = named.filter_map(|entry| found(&entry.path()).ok().flatten());
    files.filter(|found| found.metadata.is_file()).collect()
}
