//! The read position in a file, in a form that survives restarts.

use std::fs::File;
use std::io;

use serde::{Deserialize, Serialize};

use super::identity::{FileIdentity, Fingerprint, read_at};

/// Bytes at a file's beginning that identify it. The hub's legacy file begins with the same lines at every start, so the bytes
/// before the position are compared as well.
const HEAD_BYTES: usize = 1024;

/// Bytes before the read position that are compared: about ten lines. Two runs of a hub write lines of the same length that
/// differ in one number, so a few dozen bytes can be equal at the same offset.
const GUARD_BYTES: usize = 1024;

/// Where to begin in a file that was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begin {
    /// At its beginning: existing lines are read.
    Start,
    /// At its end.
    End,
}

/// The read position in one generation of a file: all lines before `offset` were returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The file.
    pub file: FileIdentity,
    /// The generation's number: unique to this content, and part of every record's identity.
    pub generation: u64,
    /// The byte where the next line begins.
    pub offset: u64,
    head: Fingerprint,
    /// Fingerprint of the bytes before `offset`.
    pub guard: Fingerprint,
}

impl Position {
    /// Returns the position at the beginning of a generation.
    pub(super) fn start(file: FileIdentity, generation: u64) -> Self {
        Self { file, generation, offset: 0, head: Fingerprint::default(), guard: Fingerprint::default() }
    }

    /// Moves to `offset`; `before` are the bytes that precede it.
    pub(super) fn move_to(&mut self, file: &File, offset: u64, before: &[u8]) -> io::Result<()> {
        self.offset = offset;
        self.guard = Fingerprint::of(&before[before.len().saturating_sub(GUARD_BYTES)..]);
        let head = HEAD_BYTES.min(usize::try_from(offset).unwrap_or(HEAD_BYTES));
        if self.head.length() < head {
            self.head = Fingerprint::of(&read_at(file, 0, head)?);
        }
        Ok(())
    }

    /// Moves to any `offset`, reading the bytes that precede it.
    pub(super) fn jump_to(&mut self, file: &File, offset: u64) -> io::Result<()> {
        let length = GUARD_BYTES.min(usize::try_from(offset).unwrap_or(GUARD_BYTES));
        let before = read_at(file, offset - length as u64, length)?;
        self.move_to(file, offset, &before)
    }

    /// Returns the same position in another file.
    pub(super) fn in_file(&self, file: FileIdentity) -> Self {
        Self { file, ..self.clone() }
    }

    /// Returns the position in a gzip file, known by its identity and beginning alone: decompressed bytes can't be compared later.
    pub(super) fn in_gzip(&self, file: FileIdentity, offset: u64) -> Self {
        Self { file, offset, guard: Fingerprint::default(), ..self.clone() }
    }

    /// Returns whether the file still holds what was read before the position.
    pub(super) fn fits(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        Ok(self.head.is_at(file, 0)? && self.guard.is_at(file, self.offset - self.guard.length() as u64)?)
    }

    /// Returns how many bytes of the file's beginning are known.
    pub(super) const fn head_length(&self) -> usize {
        self.head.length()
    }

    /// Returns whether the file begins with these bytes.
    pub(super) fn begins_with(&self, head: &[u8]) -> bool {
        self.head.fits(head)
    }

    /// Returns whether `file` begins like this one; `None` if it is shorter than the known beginning.
    pub(super) fn begins_like(&self, file: &File) -> io::Result<Option<bool>> {
        if file.metadata()?.len() < self.head.length() as u64 {
            return Ok(None);
        }
        self.head.is_at(file, 0).map(Some)
    }
}
