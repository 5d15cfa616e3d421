//! Which file it is, and whether it still holds what was read of it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Which file it is. The inode alone is not enough: its number is given to the next file as soon as the old one is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    /// When it was born, in nanoseconds since the epoch, where the file system says.
    born: Option<u64>,
}

impl FileIdentity {
    /// Of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok().and_then(nanos) }
    }

    /// Whether both are the same file.
    pub fn is(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode && self.born_with(other)
    }

    /// Whether it is the same file on a file system that was mounted anew: that may change the number of the device.
    pub fn is_remounted(&self, other: &Self) -> bool {
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

/// When a file came to be, in nanoseconds since the epoch: its birth or, where that is not known, its last change.
pub(super) fn born_or_changed(metadata: &Metadata) -> u64 {
    metadata.created().ok().and_then(nanos).unwrap_or_else(|| modified(metadata))
}

/// When a file was last written, in nanoseconds since the epoch.
pub(super) fn modified(metadata: &Metadata) -> u64 {
    metadata.modified().ok().and_then(nanos).unwrap_or(0)
}

/// A hash of some bytes and how many they were. The bytes themselves may be somebody's prompt, so they are not kept.
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

    /// How many bytes it is of.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// Whether these bytes are the ones.
    pub(super) fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length && (self.length == 0 || *self == Self::of(bytes))
    }

    /// Whether the file has these bytes at `offset`.
    pub(super) fn is_at(&self, file: &File, offset: u64) -> io::Result<bool> {
        Ok(self.fits(&read_at(file, offset, self.length)?))
    }
}

/// Up to `length` bytes from `offset`: fewer at the end of the file.
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
    fn an_inode_that_is_used_again_is_another_file() {
        assert!(FILE.is(&FILE));
        assert!(!FILE.is(&FileIdentity { born: Some(4), ..FILE }));
        assert!(FILE.is(&FileIdentity { born: None, ..FILE }), "where no birth is told, the number has to do");
    }

    #[test]
    fn a_new_mount_changes_the_device_and_not_the_file() {
        assert!(FILE.is_remounted(&FileIdentity { device: 9, ..FILE }));
        assert!(!FILE.is_remounted(&FileIdentity { device: 9, born: Some(4), ..FILE }));
        let unknown = FileIdentity { born: None, ..FILE };
        assert!(!unknown.is_remounted(&FileIdentity { device: 9, ..unknown }));
    }
}
