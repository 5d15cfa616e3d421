//! One file that is followed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::identity::FileIdentity;
use super::line::Line;
use super::packed::Packed;
use super::places::name_of;
use super::position::Position;
use super::reader::{Reader, Step};
use super::rotation::is_packed;
use super::state::SavedFile;

/// A file, where it stands, and how far it was read.
#[derive(Debug)]
pub(super) struct Tracked {
    pub content: Content,
    /// Its name when it was first seen.
    pub name: String,
    /// Where it was last seen.
    pub path: PathBuf,
    pub standing: Standing,
}

/// How its lines are had.
#[derive(Debug)]
pub(super) enum Content {
    Plain(Reader),
    Packed(Box<Packed>),
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Where the log is looked for.
    Here,
    /// Elsewhere, or nowhere: renamed, deleted, a copy. Somebody may still write to it.
    Away {
        /// Since when nothing more came.
        since: Instant,
    },
}

impl Standing {
    /// From now on.
    pub(super) fn away() -> Self {
        Self::Away { since: Instant::now() }
    }
}

impl Tracked {
    /// A file that was never read.
    pub(super) fn new(file: File, path: PathBuf, standing: Standing, generation: u64, historic_to: u64) -> io::Result<Self> {
        let position = Position::start(FileIdentity::of(&file.metadata()?), generation);
        Ok(Self { content: Content::Plain(Reader::new(file, position, historic_to)), name: name_of(&path), path, standing })
    }

    /// Goes on in the file at `path` if it is the one of `position`, wherever that now stands and whatever it is now called.
    pub(super) fn resume(
        path: &Path,
        position: &Position,
        name: &str,
        same: impl Fn(&FileIdentity) -> bool,
    ) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let identity = FileIdentity::of(&file.metadata()?);
        if !same(&identity) {
            return Ok(None);
        }
        let content = if is_packed(&name_of(path)) {
            Packed::open(file, position)?.map(|packed| Content::Packed(Box::new(packed)))
        } else {
            let position = position.in_file(identity);
            position.fits(&file)?.then(|| Content::Plain(Reader::new(file, position, 0)))
        };
        let standing = Standing::away();
        Ok(content.map(|content| Self { content, name: name.to_owned(), path: path.to_owned(), standing }))
    }

    pub(super) fn position(&self) -> Position {
        match &self.content {
            Content::Plain(reader) => reader.position().clone(),
            Content::Packed(packed) => packed.position(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        match &self.content {
            Content::Plain(reader) => reader.position().generation,
            Content::Packed(packed) => packed.position().generation,
        }
    }

    /// Its reader, unless it is packed.
    pub(super) fn reader(&self) -> Option<&Reader> {
        match &self.content {
            Content::Plain(reader) => Some(reader),
            Content::Packed(_) => None,
        }
    }

    pub(super) fn is(&self, identity: &FileIdentity) -> bool {
        match &self.content {
            Content::Plain(reader) => reader.position().file.is(identity),
            Content::Packed(packed) => packed.position().file.is(identity),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.reader().map_or(0, Reader::size)
    }

    pub(super) fn behind(&self) -> u64 {
        self.reader().map_or(0, Reader::behind)
    }

    pub(super) fn step(&mut self, buffer: &mut [u8], limit: usize, line: &mut impl FnMut(Line<'_>)) -> io::Result<Step> {
        let step = match &mut self.content {
            Content::Plain(reader) => reader.step(buffer, limit, &self.name, line)?,
            Content::Packed(packed) => packed.step(buffer, &self.name, line)?,
        };
        if let (Step::Handed(_) | Step::Searched, Standing::Away { since }) = (step, &mut self.standing) {
            *since = Instant::now();
        }
        Ok(step)
    }

    pub(super) fn saved(&self) -> SavedFile {
        SavedFile { position: self.position(), name: self.name.clone(), path: self.path.clone(), size: self.size() }
    }
}
