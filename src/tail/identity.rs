//! Identifies a file, and checks whether it still holds what was read from it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Identifies a file. The inode alone is not enough: the file system reuses its number once the file is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
    /// Creation time in nanoseconds since the epoch, where the file system reports one.
    born: Option<u64>,
}

impl FileIdentity {
    /// Returns the identity of a file.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok().and_then(nanos) }
    }

    /// Returns whether both are the same file.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode && self.born_with(other)
    }

    /// Returns whether both are the same file on a file system that was remounted, which may change the device number.
    pub(super) fn is_remounted(&self, other: &Self) -> bool {
        self.inode == other.inode && self.born.is_some() && self.born == other.born
    }

    fn born_with(&self, other: &Self) -> bool {
        match (self.born, other.born) {
            (Some(born), Some(other)) => born == other,
            _ => true,
        }
    }
}

fn nanos(time: SystemTime) -> Option<u64> {
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// Returns a file's creation time or, where that is unknown, its modification time, in nanoseconds since the epoch.
pub(super) fn born_or_changed(metadata: &Metadata) -> u64 {
    metadata.created().ok().and_then(nanos).unwrap_or_else(|| modified(metadata))
}

/// Returns a file's modification time in nanoseconds since the epoch.
pub(super) fn modified(metadata: &Metadata) -> u64 {
    metadata.modified().ok().and_then(nanos).unwrap_or(0)
}

/// Hash and number of some bytes. The bytes are not kept: they may hold a user's prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    length: usize,
    hash: u64,
}

impl Fingerprint {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        Self { length: bytes.len(), hash: u64::from_le_bytes(first) }
    }

    /// Returns the number of bytes.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// Returns whether the fingerprint is of these bytes.
    pub(super) fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length && (self.length == 0 || *self == Self::of(bytes))
    }

    /// Returns whether the file has these bytes at `offset`.
    pub(super) fn is_at(&self, file: &File, offset: u64) -> io::Result<bool> {
        Ok(self.fits(&read_at(file, offset, self.length)?))
    }
}

/// Reads up to `length` bytes from `offset`: fewer at the end of the file.
pub(super) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let filled = fill_at(file, offset, &mut bytes)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Fills `bytes` from `offset` as far as the file goes.
pub(super) fn fill_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileIdentity = FileIdentity { device: 1, inode: 2, born: Some(3) };

    #[test]
    fn a_reused_inode_is_another_file() {
        assert!(FILE.is(&FILE));
        assert!(!FILE.is(&FileIdentity { born: Some(4), ..FILE }));
        assert!(FILE.is(&FileIdentity { born: None, ..FILE }), "without a creation time, the inode has to do");
    }

    #[test]
    fn a_remount_changes_the_device_but_not_the_file() {
        assert!(FILE.is_remounted(&FileIdentity { device: 9, ..FILE }));
        assert!(!FILE.is_remounted(&FileIdentity { device: 9, born: Some(4), ..FILE }));
        let unknown = FileIdentity { born: None, ..FILE };
        assert!(!unknown.is_remounted(&FileIdentity { device: 9, ..unknown }));
    }
}
