//! Atomic file writes: a reader finds the old file or the new one, never half of one, even after a power failure.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

/// Suffix of a file until it is complete. Its name also begins with a dot and has a random part, so that an attacker can't place a
/// link there in advance.
pub const UNFINISHED: &str = ".unfinished";

/// The users who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The owner only.
    Owner,
    /// The users that the process's umask allows, as for any file that a command writes.
    AsUsual,
}

/// A file that gets its name when it is complete. If dropped earlier, it is deleted.
#[derive(Debug)]
pub struct Replacement(To);

#[derive(Debug)]
enum To {
    Place {
        unfinished: NamedTempFile,
        path: PathBuf,
    },
    /// A device or a pipe is written to directly and must not be replaced by a file.
    Stream(File),
}

impl Replacement {
    /// Creates a temporary file beside its final place. If that is a symbolic link, the link's target will be replaced.
    pub fn begin(path: &Path, readers: Readers) -> io::Result<Self> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() && !found.is_dir() => Ok(Self(To::Stream(File::options().write(true).open(path)?))),
            Ok(_) => Self::beside(&std::fs::canonicalize(path)?, readers),
            Err(_) => Self::beside(path, readers),
        }
    }

    fn beside(path: &Path, readers: Readers) -> io::Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a file name"));
        };
        let mode = match readers {
            Readers::Owner => 0o600,
            Readers::AsUsual => 0o666,
        };
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let unfinished = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(UNFINISHED)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder_of(path))?;
        Ok(Self(To::Place { unfinished, path: path.to_owned() }))
    }

    /// Gives the file its final name. Both its content and its name are on disk afterwards.
    pub fn finish(self) -> io::Result<()> {
        let To::Place { unfinished, path } = self.0 else { return Ok(()) };
        unfinished.as_file().sync_all()?;
        unfinished.persist(&path).map_err(|error| error.error)?;
        File::open(folder_of(&path))?.sync_all()
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            To::Place { unfinished, .. } => unfinished.write(bytes),
            To::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            To::Place { unfinished, .. } => unfinished.flush(),
            To::Stream(stream) => stream.flush(),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file; creates its folder if missing.
pub fn write(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    std::fs::create_dir_all(folder_of(path))?;
    let mut file = Replacement::begin(path, readers)?;
    file.write_all(bytes)?;
    file.finish()
}

/// Writes a JSON file that only its owner can read; creates its folder if missing.
pub fn write_json(path: &Path, what: &impl Serialize) -> io::Result<()> {
    let mut json = serde_json::to_vec_pretty(what)?;
    json.push(b'\n');
    write(path, &json, Readers::Owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file.json");
        write_json(&path, &[1, 2, 3]).unwrap();
        write_json(&path, &"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"new\"\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(path.parent().unwrap()), 1);
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_the_old_one_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"old", Readers::AsUsual).unwrap();
        let mut file = Replacement::begin(&path, Readers::AsUsual).unwrap();
        file.write_all(b"ne").unwrap();
        assert_eq!(names(folder.path()), 2);
        drop(file);
        assert_eq!((std::fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), 1));
    }

    #[test]
    fn the_file_behind_a_link_is_replaced_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new", Readers::AsUsual).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_device_is_written_to_and_stays_a_device() {
        write(Path::new("/dev/null"), b"anything", Readers::AsUsual).unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}
