//! Detects that the journal's open files were deleted or replaced on disk. A deleted file can still be written, but its content is
//! gone when the process ends.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{FILE_NAME, LOCK_NAME};

/// How the journal's files were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The state folder does not exist.
    Folder,
    /// The database does not exist.
    Database,
    /// The database's write-ahead log does not exist, or is another file.
    WriteAheadLog,
    /// The lock does not exist, or is another file.
    Lock,
    /// Another file has the database's name.
    Replaced,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Folder => "it was removed, renamed or unmounted",
            Self::Database => "journal.db was removed or renamed",
            Self::WriteAheadLog => "journal.db-wal was removed or replaced",
            Self::Lock => "journal.lock was removed or replaced",
            Self::Replaced => "another file replaced journal.db",
        })
    }
}

/// Device and inode: a file, whatever its name is.
type Inode = (u64, u64);

/// The open files, to compare with those on disk.
#[derive(Debug)]
pub(super) struct JournalFiles {
    folder: PathBuf,
    database: Option<Inode>,
    write_ahead_log: Option<Inode>,
    lock: Option<Inode>,
}

impl JournalFiles {
    /// Reads the inodes of an open journal. Call it after the first commit, when all files exist.
    pub(super) fn of_open(folder: &Path, lock: &File) -> Self {
        let metadata = lock.metadata().ok();
        Self {
            folder: folder.to_owned(),
            database: inode(&folder.join(FILE_NAME)),
            write_ahead_log: inode(&write_ahead_log(folder)),
            lock: metadata.map(|metadata| (metadata.dev(), metadata.ino())),
        }
    }

    /// Returns the state folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns whether the lock has to be taken again.
    pub(super) fn has_lost_lock(&self) -> bool {
        inode(&self.folder.join(LOCK_NAME)) != self.lock
    }

    /// Returns the loss, if any. A file system that does not answer is no proof of one: a failed write shows it.
    pub(super) fn loss(&self) -> Option<Loss> {
        let is_gone = |path: &Path| matches!(std::fs::metadata(path), Err(error) if is_absence(&error));
        let database = self.folder.join(FILE_NAME);
        if is_gone(&database) {
            return Some(if is_gone(&self.folder) { Loss::Folder } else { Loss::Database });
        }
        let is_other = |path: &Path, known: Option<Inode>| {
            known.is_some_and(|known| is_gone(path) || inode(path).is_some_and(|now| now != known))
        };
        if is_other(&database, self.database) {
            Some(Loss::Replaced)
        } else if is_other(&write_ahead_log(&self.folder), self.write_ahead_log) {
            Some(Loss::WriteAheadLog)
        } else if is_other(&self.folder.join(LOCK_NAME), self.lock) {
            Some(Loss::Lock)
        } else {
            None
        }
    }
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Returns device and inode of the file at a path.
pub(super) fn inode(path: &Path) -> Option<Inode> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Returns the path of the write-ahead log.
pub(super) fn write_ahead_log(folder: &Path) -> PathBuf {
    folder.join(format!("{FILE_NAME}-wal"))
}
