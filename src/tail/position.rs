//! Where in a file the reader is, in a form that survives restarts.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};

/// How many of a file's first bytes identify it. The hub's legacy file begins with the same lines at every start, so the bytes
/// before the position are compared, too.
pub const HEAD_BYTES: usize = 1024;

/// How many bytes before the read position are compared.
pub const BEFORE_BYTES: usize = 64;

/// Where to begin in a file that was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begin {
    /// At its beginning: what it already holds is read.
    Start,
    /// At its end.
    End,
}

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Of an open file.
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The read position in one generation of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which file.
    pub file: FileIdentity,
    /// Which generation: one more whenever the path's content began anew. Part of every record's identity.
    pub generation: u64,
    /// Everything before this byte was taken in.
    pub offset: u64,
    head: Fingerprint,
    before: Fingerprint,
}

/// A hash of some bytes and how many they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    length: usize,
    hash: u64,
}

impl Fingerprint {
    fn of(bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        Self { length: bytes.len(), hash: u64::from_le_bytes(first) }
    }
}

impl Position {
    /// At the beginning of a file's generation.
    pub fn start(file: FileIdentity, generation: u64) -> Self {
        Self { file, generation, offset: 0, head: Fingerprint::default(), before: Fingerprint::default() }
    }

    /// Moves to `offset` and notes what lies before it.
    pub fn move_to(&mut self, file: &File, offset: u64) -> io::Result<()> {
        self.offset = offset;
        if self.head.length < HEAD_BYTES {
            self.head = Fingerprint::of(&read(file, 0, HEAD_BYTES.min(usize::try_from(offset).unwrap_or(HEAD_BYTES)))?);
        }
        let length = BEFORE_BYTES.min(usize::try_from(offset).unwrap_or(BEFORE_BYTES));
        self.before = Fingerprint::of(&read(file, offset - length as u64, length)?);
        Ok(())
    }

    /// Whether the file still holds, before the position, what was read there.
    pub fn fits(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        let head = read(file, 0, self.head.length)?;
        let before = read(file, self.offset - self.before.length as u64, self.before.length)?;
        Ok((self.head.length == 0 || Fingerprint::of(&head) == self.head)
            && (self.before.length == 0 || Fingerprint::of(&before) == self.before))
    }
}

fn read(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
