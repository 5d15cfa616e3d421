//! Where in a file the reader is, in a form that survives restarts.

use std::fs::File;
use std::io;

use serde::{Deserialize, Serialize};

use super::identity::{FileIdentity, Fingerprint, read_at};

/// How many of a file's first bytes identify it. The hub's legacy file begins with the same lines at every start, so the bytes
/// before the position are compared, too.
const HEAD_BYTES: usize = 1024;

/// How many bytes before the read position are compared: about ten lines. Two runs of a hub write lines of the same length that
/// differ in a number; a few dozen bytes can then be equal at the same place.
const GUARD_BYTES: usize = 1024;

/// Where to begin in a file that was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begin {
    /// At its beginning: what it already holds is read.
    Start,
    /// At its end.
    End,
}

/// The read position in one generation of a file: everything before `offset` was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which file.
    pub file: FileIdentity,
    /// Which generation: a number that no other content has. Part of every record's identity.
    pub generation: u64,
    /// The byte where the next line begins.
    pub offset: u64,
    head: Fingerprint,
    /// Of the bytes before `offset`.
    pub guard: Fingerprint,
}

impl Position {
    /// At the beginning of a generation.
    pub(super) fn start(file: FileIdentity, generation: u64) -> Self {
        Self { file, generation, offset: 0, head: Fingerprint::default(), guard: Fingerprint::default() }
    }

    /// Moves to `offset`, of which `before` are the last bytes before it.
    pub(super) fn move_to(&mut self, file: &File, offset: u64, before: &[u8]) -> io::Result<()> {
        self.offset = offset;
        self.guard = Fingerprint::of(&before[before.len().saturating_sub(GUARD_BYTES)..]);
        let head = HEAD_BYTES.min(usize::try_from(offset).unwrap_or(HEAD_BYTES));
        if self.head.length() < head {
            self.head = Fingerprint::of(&read_at(file, 0, head)?);
        }
        Ok(())
    }

    /// Moves to `offset` wherever it is.
    pub(super) fn jump_to(&mut self, file: &File, offset: u64) -> io::Result<()> {
        let length = GUARD_BYTES.min(usize::try_from(offset).unwrap_or(GUARD_BYTES));
        let before = read_at(file, offset - length as u64, length)?;
        self.move_to(file, offset, &before)
    }

    /// The same place in another file.
    pub(super) fn in_file(&self, file: FileIdentity) -> Self {
        Self { file, ..self.clone() }
    }

    /// The same place in a file that is known by its identity and beginning alone: what is unpacked can't be compared later on.
    pub(super) fn of_packed(&self, file: FileIdentity, offset: u64) -> Self {
        Self { file, offset, guard: Fingerprint::default(), ..self.clone() }
    }

    /// Whether the file still holds, before the position, what was read there.
    pub(super) fn fits(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        Ok(self.head.is_at(file, 0)? && self.guard.is_at(file, self.offset - self.guard.length() as u64)?)
    }

    /// How many bytes at a file's beginning are known.
    pub(super) const fn head_length(&self) -> usize {
        self.head.length()
    }

    /// Whether these are the bytes at the file's beginning.
    pub(super) fn begins_with(&self, head: &[u8]) -> bool {
        self.head.fits(head)
    }

    /// Whether the file begins like this one. Of a file shorter than what is known of the beginning, nothing can be said.
    pub(super) fn begins_like(&self, file: &File) -> io::Result<Option<bool>> {
        if file.metadata()?.len() < self.head.length() as u64 {
            return Ok(None);
        }
        self.head.is_at(file, 0).map(Some)
    }
}
