//! A file that is followed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::gzip::GzipReader;
use super::identity::FileIdentity;
use super::line::Line;
use super::log_path::name_of;
use super::position::Position;
use super::reader::{Reader, Step};
use super::rotation::is_gzip;
use super::state::SavedFile;

/// A file, its location, and how far it was read.
#[derive(Debug)]
pub(super) struct Tracked {
    pub content: Content,
    /// Its name when it was first seen.
    pub name: String,
    /// Its path when it was last seen.
    pub path: PathBuf,
    pub location: Location,
}

/// The reader for its format.
#[derive(Debug)]
pub(super) enum Content {
    Plain(Reader),
    Gzip(Box<GzipReader>),
}

/// Where a followed file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Location {
    /// At the log's path, or matched by the pattern.
    AtLogPath,
    /// Renamed, deleted or a copy. Its writer may still hold it open.
    Elsewhere {
        /// The time of its last new line.
        since: Instant,
    },
}

impl Location {
    /// Returns the location of a file that left the log's path just now.
    pub(super) fn elsewhere_from_now() -> Self {
        Self::Elsewhere { since: Instant::now() }
    }
}

impl Tracked {
    /// Follows a file that was never read.
    pub(super) fn new(file: File, path: PathBuf, location: Location, generation: u64, historic_to: u64) -> io::Result<Self> {
        let position = Position::start(FileIdentity::of(&file.metadata()?), generation);
        Ok(Self { content: Content::Plain(Reader::new(file, position, historic_to)), name: name_of(&path), path, location })
    }

    /// Continues in the file at `path` if `same` accepts it and it holds the content before `position`, whatever its name is now.
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
        let content = if is_gzip(&name_of(path)) {
            GzipReader::open(file, position)?.map(|packed| Content::Gzip(Box::new(packed)))
        } else {
            let position = position.in_file(identity);
            position.fits(&file)?.then(|| Content::Plain(Reader::new(file, position, 0)))
        };
        let location = Location::elsewhere_from_now();
        Ok(content.map(|content| Self { content, name: name.to_owned(), path: path.to_owned(), location }))
    }

    pub(super) fn position(&self) -> Position {
        match &self.content {
            Content::Plain(reader) => reader.position().clone(),
            Content::Gzip(packed) => packed.position(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        match &self.content {
            Content::Plain(reader) => reader.position().generation,
            Content::Gzip(packed) => packed.position().generation,
        }
    }

    /// Returns its reader, unless it is a gzip file.
    pub(super) fn reader(&self) -> Option<&Reader> {
        match &self.content {
            Content::Plain(reader) => Some(reader),
            Content::Gzip(_) => None,
        }
    }

    pub(super) fn is(&self, identity: &FileIdentity) -> bool {
        match &self.content {
            Content::Plain(reader) => reader.position().file.is(identity),
            Content::Gzip(packed) => packed.position().file.is(identity),
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
            Content::Gzip(packed) => packed.step(buffer, &self.name, line)?,
        };
        if let (Step::Handed(_) | Step::Searched, Location::Elsewhere { since }) = (step, &mut self.location) {
            *since = Instant::now();
        }
        Ok(step)
    }

    pub(super) fn saved(&self) -> SavedFile {
        SavedFile { position: self.position(), name: self.name.clone(), path: self.path.clone(), size: self.size() }
    }
}
