//! What of the following survives a restart.

use std::collections::VecDeque;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::identity::FileIdentity;
use super::position::Position;

/// How many generations are remembered after they were read to their end: a copy of one is recognised, and not read again.
const REMEMBERED: usize = 16;

/// Everything before these positions was handed out. Commit it together with what was made of the lines; a follower that begins
/// with it goes on with the next line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The path or pattern that was followed.
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) first_generation: u64,
    pub(super) next_generation: u64,
    pub(super) reference: Option<u64>,
    pub(super) files: Vec<SavedFile>,
    pub(super) known: Known,
}

impl State {
    /// How many generations were begun: lines of a further one have records that no state knew before.
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
    /// Where it was last seen.
    pub path: PathBuf,
    /// How large it was known to be.
    pub size: u64,
}

/// What need not be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Generations that were read as far as they could be.
    pub finished: VecDeque<Position>,
    /// Files that hold a part of what was read from another one.
    pub copies: VecDeque<FileIdentity>,
}

impl Known {
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
