//! The reader's state, which survives a restart.

use std::collections::VecDeque;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::identity::FileIdentity;
use super::position::Position;

/// Finished generations that are remembered, so that a copy of one is recognised and not read again.
const REMEMBERED: usize = 16;

/// The read positions: all lines before them were returned. Commit it together with the facts from those lines; a follower that
/// starts from it continues with the next line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The path or pattern that was followed.
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) first_generation: u64,
    pub(super) next_generation: u64,
    pub(super) reference: Option<u64>,
    pub(super) files: Vec<SavedFile>,
    pub(super) known: AlreadyRead,
}

impl State {
    /// Returns the number of generations begun: records of lines in a later one are new to this state.
    pub const fn generations(&self) -> u64 {
        self.next_generation
    }
}

/// A file that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedFile {
    pub position: Position,
    /// Its name when it was first seen.
    pub name: String,
    /// Its path when it was last seen.
    pub path: PathBuf,
    /// Its last known size.
    pub size: u64,
}

/// Content that must not be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AlreadyRead {
    /// Generations read as far as possible.
    pub finished: VecDeque<Position>,
    /// Files that hold a part of what was read from another file.
    pub copies: VecDeque<FileIdentity>,
}

impl AlreadyRead {
    pub(super) fn finish(&mut self, position: Position) {
        self.finished.push_back(position);
        while self.finished.len() > REMEMBERED {
            self.finished.pop_front();
        }
    }

    pub(super) fn copy(&mut self, file: FileIdentity) {
        self.copies.push_back(file);
        while self.copies.len() > REMEMBERED {
            self.copies.pop_front();
        }
    }
}
