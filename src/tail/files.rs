//! The files that are followed. Finds out which files on disk are new, renamed, truncated or copied.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::gzip::GzipReader;
use super::identity::{FileIdentity, born_or_changed, modified};
use super::log_path::{Found, LogPath, is_absent, name_of, siblings};
use super::position::{Begin, Position};
use super::reader::{Reader, continues};
use super::rotation::{is_gzip, rotation_order};
use super::state::{AlreadyRead, SavedFile, State};
use super::tracked::{Content, Location, Tracked};

/// gzip keeps the modification time, but may cut it to whole seconds.
const GZIP_TIME_SLACK: u64 = 1_000_000_000;

/// Attempts to find a file that may be renamed meanwhile.
const ATTEMPTS: usize = 3;

/// A change of the log's files, or an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailEvent {
    /// A file was truncated.
    Truncated {
        /// Bytes known to have been in it that were not read.
        unread: u64,
    },
    /// Another file is at the path.
    Replaced,
    /// A file was deleted, while the reader was down, before it was read to its end.
    Vanished {
        /// Bytes known to have been in it that were not read.
        unread: u64,
    },
    /// The log can't be read; reported once until it can.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// The followed files, and what is remembered of finished ones.
#[derive(Debug, Default)]
pub(super) struct LogFiles {
    /// Ordered by generation, in which they are read.
    pub tracked: Vec<Tracked>,
    known: AlreadyRead,
    /// The first generation's number.
    first_generation: u64,
    next_generation: u64,
    /// The log's modification time at the last complete round: unknown files that are younger came after it.
    reference: Option<u64>,
    /// The same at this round.
    next_reference: Option<u64>,
}

/// A file that no longer holds what was read from it.
struct Emptied {
    position: Position,
    name: String,
    path: PathBuf,
    location: Location,
    unread: u64,
}

/// How a file that was never followed relates to those that are.
enum Relation {
    Unrelated,
    /// It holds content that is read from another file.
    Copy,
    /// It holds the finished generation with this index, and maybe more of it than was read.
    Remainder(usize),
}

impl LogFiles {
    /// Follows no file yet; the first one begins generation `first`.
    pub(super) fn starting_at(first: u64) -> Self {
        Self { first_generation: first, next_generation: first, ..Self::default() }
    }

    /// Finds the files of an earlier run, wherever they are now.
    pub(super) fn resume(state: State, log_path: &LogPath, events: &mut Vec<TailEvent>) -> io::Result<Self> {
        let same_log = state.path == log_path.path();
        let mut files = Self {
            tracked: Vec::new(),
            known: state.known,
            first_generation: state.first_generation,
            next_generation: state.next_generation,
            reference: state.reference.filter(|_| same_log && !log_path.is_pattern()),
            next_reference: None,
        };
        let found = log_path.look()?;
        for saved in state.files {
            if let Some(tracked) = find_saved(&saved, &found) {
                files.insert(tracked);
            } else if same_log {
                files.find(&saved, events);
            }
        }
        if same_log && !log_path.is_pattern() {
            let here: Vec<_> = found.iter().map(|found| found.identity()).collect();
            files.add_missed_generations(log_path.path(), &here, true);
        }
        Ok(files)
    }

    /// Returns the state from which [`resume`](Self::resume) continues.
    pub(super) fn state(&self, path: &Path) -> State {
        State {
            path: path.to_owned(),
            first_generation: self.first_generation,
            next_generation: self.next_generation,
            reference: self.reference,
            files: self.tracked.iter().map(Tracked::saved).collect(),
            known: self.known.clone(),
        }
    }

    /// Returns the number of generations begun.
    pub(super) const fn generations(&self) -> u64 {
        self.next_generation
    }

    /// Compares the followed files with those found at the log's path. `begin` is given at the very first look only.
    pub(super) fn look(
        &mut self,
        log_path: &LogPath,
        found: Vec<Found>,
        begin: Option<Begin>,
        events: &mut Vec<TailEvent>,
    ) -> io::Result<()> {
        if begin.is_some() && found.is_empty() && !log_path.is_pattern() {
            self.next_reference = Some(log_path.folder_changed() + 1);
        }
        let mut confirmed = vec![false; self.tracked.len()];
        let mut new_files = Vec::new();
        for found in found {
            let identity = found.identity();
            let Some(index) = self.tracked.iter().position(|tracked| tracked.is(&identity)) else {
                new_files.push(found);
                continue;
            };
            confirmed[index] = true;
            self.note_reference(log_path, &found);
            let tracked = &mut self.tracked[index];
            tracked.location = Location::AtLogPath;
            if tracked.path != found.path {
                tracked.path = found.path;
            }
        }
        let mut left = false;
        for (tracked, _) in self.tracked.iter_mut().zip(confirmed).filter(|(_, confirmed)| !confirmed) {
            if tracked.location == Location::AtLogPath {
                tracked.location = Location::elsewhere_from_now();
                left = true;
            }
        }
        if !left && new_files.is_empty() {
            return Ok(());
        }
        self.restart_overwritten(events)?;
        if !log_path.is_pattern() {
            let here: Vec<_> = new_files.iter().map(|found| found.identity()).collect();
            self.add_missed_generations(log_path.path(), &here, false);
        }
        new_files.sort_by_cached_key(|found| (born_or_changed(&found.metadata), rotation_order(&name_of(&found.path))));
        for found in new_files {
            self.add_new_file(log_path, &found, begin, events)?;
            self.note_reference(log_path, &found);
        }
        Ok(())
    }

    fn note_reference(&mut self, log_path: &LogPath, found: &Found) {
        if !log_path.is_pattern() {
            self.next_reference = self.next_reference.max(Some(modified(&found.metadata)));
        }
    }

    /// Ends a round in which every file was read to its end.
    pub(super) fn end_round(&mut self) {
        self.reference = self.reference.max(self.next_reference);
    }

    fn add_new_file(
        &mut self,
        log_path: &LogPath,
        found: &Found,
        begin: Option<Begin>,
        events: &mut Vec<TailEvent>,
    ) -> io::Result<()> {
        if !found.metadata.is_file() {
            return Err(io::Error::other("it is not a file, but a folder or a device"));
        }
        let file = match File::open(&found.path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let identity = FileIdentity::of(&metadata);
        if self.is_tracked(&identity) {
            return Ok(());
        }
        let mut rest = self.finished_as(&file, &identity)?;
        if rest.is_none() && log_path.is_pattern() {
            match self.relation(&file, log_path.path(), events)? {
                Relation::Copy => return Ok(()),
                // An empty file may become a copy.
                Relation::Unrelated if metadata.len() == 0 => return Ok(()),
                Relation::Unrelated => {}
                Relation::Remainder(index) => rest = Some(index),
            }
        }
        if let Some(index) = rest {
            self.resume_finished(&found.path, index)?;
            return Ok(());
        }
        let stood_there = self.tracked.iter().any(|tracked| tracked.path == found.path);
        if stood_there || (!log_path.is_pattern() && self.next_generation > self.first_generation) {
            events.push(TailEvent::Replaced);
        }
        let historic_to = if begin.is_some() { metadata.len() } else { 0 };
        let generation = self.new_generation();
        let mut tracked = Tracked::new(file, found.path.clone(), Location::AtLogPath, generation, historic_to)?;
        if let (Some(Begin::End), Content::Plain(reader)) = (begin, &mut tracked.content) {
            reader.skip_to_end()?;
        }
        self.insert(tracked);
        Ok(())
    }

    /// Handles a file that no longer holds what was read from it: looks for the rest in a copy, and begins a new generation.
    pub(super) fn overwritten(&mut self, index: usize, unread: u64, events: &mut Vec<TailEvent>) {
        let old = self.tracked.remove(index);
        let position = old.position();
        let Content::Plain(reader) = old.content else { return };
        let emptied = Emptied { position, name: old.name, path: old.path, location: old.location, unread };
        self.begin_anew(emptied, reader.into_file(), true, events);
    }

    fn begin_anew(&mut self, emptied: Emptied, file: File, live: bool, events: &mut Vec<TailEvent>) {
        let Emptied { position, name, path, location, unread } = emptied;
        let identity = position.file;
        if self.follow_copy(&position, &path, &name, live) {
            events.push(TailEvent::Truncated { unread: 0 });
        } else {
            self.known.finish(position);
            events.push(TailEvent::Truncated { unread });
        }
        self.add_missed_generations(&path, &[identity], !live);
        // The copy of one generation is overwritten by the copy of the next, which holds nothing new.
        if location != Location::AtLogPath && !matches!(self.relation(&file, &path, events), Ok(Relation::Unrelated)) {
            return;
        }
        let position = Position::start(identity, self.new_generation());
        let content = Content::Plain(Reader::new(file, position, 0));
        self.insert(Tracked { content, name, path, location });
    }

    fn restart_overwritten(&mut self, events: &mut Vec<TailEvent>) -> io::Result<bool> {
        let mut any = false;
        for index in (0..self.tracked.len()).rev() {
            let Some(reader) = self.tracked[index].reader() else { continue };
            if !reader.fits()? {
                let unread = reader.size().saturating_sub(reader.position().offset);
                self.overwritten(index, unread, events);
                any = true;
            }
        }
        Ok(any)
    }

    /// Finds a file of an earlier run that is no longer where it was.
    fn find(&mut self, saved: &SavedFile, events: &mut Vec<TailEvent>) {
        // The number in a rotated file's name changes with each rotation, so search by the name that it had as the log.
        let log = saved.path.with_file_name(&saved.name);
        let mut beside = siblings(&log);
        for _ in 0..ATTEMPTS {
            if let Some(tracked) = find_saved(saved, &beside) {
                self.insert(tracked);
                return;
            }
            // It may have been renamed between the listing and the opening.
            beside = siblings(&log);
        }
        let unread = saved.size.saturating_sub(saved.position.offset);
        let identity = saved.position.file;
        let still_there = beside.iter().find(|found| found.identity().is(&identity));
        if let Some((found, file)) = still_there.and_then(|found| Some((found, File::open(&found.path).ok()?))) {
            let location = if found.path == saved.path { Location::AtLogPath } else { Location::elsewhere_from_now() };
            let SavedFile { position, name, path, .. } = saved.clone();
            self.begin_anew(Emptied { position, name, path, location, unread }, file, false, events);
        } else if !self.follow_copy(&saved.position, &saved.path, &saved.name, false) {
            self.known.finish(saved.position.clone());
            if unread > 0 {
                events.push(TailEvent::Vanished { unread });
            }
        }
    }

    /// Looks for a copy that holds what was read, and continues there. Copies that hold less are remembered, so that they don't
    /// count as new.
    fn follow_copy(&mut self, position: &Position, path: &Path, name: &str, live: bool) -> bool {
        if position.offset == 0 || position.guard.length() == 0 {
            return false;
        }
        let mut beside = siblings(path);
        beside.retain(|found| {
            let identity = found.identity();
            !identity.is(&position.file) && !self.is_known(&identity) && self.may_hold_unread(found)
        });
        beside.sort_by_cached_key(|found| (is_gzip(&name_of(&found.path)), born_or_changed(&found.metadata)));
        for found in &beside {
            // Skip unreadable files: a copy has the owner of the log, which is readable.
            if let Ok(Some(tracked)) = Tracked::resume(&found.path, position, name, |_| true) {
                self.insert(tracked);
                return true;
            }
        }
        for found in beside.iter().filter(|found| found.metadata.len() < position.offset && !is_gzip(&name_of(&found.path))) {
            let alike = File::open(&found.path).and_then(|file| position.begins_like(&file)).ok().flatten();
            if alike.unwrap_or(live) {
                self.known.copy(found.identity());
            }
        }
        false
    }

    /// Adds the generations that were created and rotated between two looks: unknown files younger than the last one seen.
    fn add_missed_generations(&mut self, path: &Path, here: &[FileIdentity], with_gzip: bool) {
        let Some(reference) = self.reference else { return };
        for _ in 0..ATTEMPTS {
            let mut beside = siblings(path);
            beside.retain(|found| {
                let identity = found.identity();
                found.metadata.len() > 0
                    && !here.iter().any(|here| here.is(&identity))
                    && !self.is_known(&identity)
                    && if is_gzip(&name_of(&found.path)) {
                        with_gzip && self.may_hold_unread(found)
                    } else {
                        born_or_changed(&found.metadata) >= reference
                    }
            });
            beside.sort_by_cached_key(|found| (modified(&found.metadata), rotation_order(&name_of(&found.path))));
            let renamed = beside.iter().filter(|found| {
                let taken = if is_gzip(&name_of(&found.path)) {
                    self.add_missed_gzip(found, path).map(|()| true)
                } else {
                    self.add_missed_plain(found, path)
                };
                // An unreadable file stays unreadable; the log's own event reports the gap.
                matches!(taken, Ok(false)) || taken.is_err_and(|error| is_absent(&error))
            });
            if renamed.count() == 0 {
                return;
            }
        }
    }

    /// Returns `false` if another file is there by now.
    fn add_missed_plain(&mut self, found: &Found, path: &Path) -> io::Result<bool> {
        let file = File::open(&found.path)?;
        let identity = FileIdentity::of(&file.metadata()?);
        if identity != found.identity() {
            return Ok(false);
        }
        if self.finished_as(&file, &identity)?.is_some() {
            return Ok(true);
        }
        match self.relation(&file, path, &mut Vec::new())? {
            Relation::Copy => {}
            Relation::Remainder(index) => {
                if found.metadata.len() > self.known.finished[index].offset {
                    self.resume_finished(&found.path, index)?;
                }
            }
            Relation::Unrelated => {
                let generation = self.new_generation();
                let tracked = Tracked::new(file, found.path.clone(), Location::elsewhere_from_now(), generation, 0)?;
                self.insert(Tracked { name: name_of(path), ..tracked });
            }
        }
        Ok(true)
    }

    fn add_missed_gzip(&mut self, found: &Found, path: &Path) -> io::Result<()> {
        let positions = self.tracked.iter().map(Tracked::position).chain(self.known.finished.iter().cloned());
        for position in positions.filter(|position| position.offset > 0) {
            if GzipReader::open(File::open(&found.path)?, &position)?.is_some() {
                return Ok(());
            }
        }
        let start = Position::start(found.identity(), self.new_generation());
        if let Some(packed) = GzipReader::open(File::open(&found.path)?, &start)? {
            let content = Content::Gzip(Box::new(packed));
            self.insert(Tracked {
                content,
                name: name_of(path),
                path: found.path.clone(),
                location: Location::elsewhere_from_now(),
            });
        }
        Ok(())
    }

    /// Returns whether a file may hold unread lines. Decompressing is expensive, so a gzip file last written before the log was last
    /// seen is ruled out.
    fn may_hold_unread(&self, found: &Found) -> bool {
        !is_gzip(&name_of(&found.path))
            || self.reference.is_some_and(|reference| modified(&found.metadata) + GZIP_TIME_SLACK >= reference)
    }

    /// Compares a file with the followed ones, and with the one at `path`, which may not be followed yet.
    fn relation(&mut self, file: &File, path: &Path, events: &mut Vec<TailEvent>) -> io::Result<Relation> {
        loop {
            if let Ok(log) = File::open(path)
                && FileIdentity::of(&log.metadata()?) != FileIdentity::of(&file.metadata()?)
                && continues(&log, file)?
            {
                return Ok(Relation::Copy);
            }
            for reader in self.tracked.iter().filter_map(Tracked::reader) {
                if is_copy(reader.position(), file)? || reader.continues(file)? {
                    return Ok(Relation::Copy);
                }
            }
            for (index, finished) in self.known.finished.iter().enumerate().rev() {
                if is_copy(finished, file)? {
                    return Ok(Relation::Remainder(index));
                }
            }
            // If a file was truncated during the comparison, its new content was compared: compare again.
            if !self.restart_overwritten(events)? {
                return Ok(Relation::Unrelated);
            }
        }
    }

    /// Returns the index of the finished generation that this same file still holds.
    fn finished_as(&self, file: &File, identity: &FileIdentity) -> io::Result<Option<usize>> {
        for (index, finished) in self.known.finished.iter().enumerate() {
            if finished.file.is(identity) && finished.offset > 0 && finished.fits(file)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Continues a finished generation in the file at `path`.
    fn resume_finished(&mut self, path: &Path, finished: usize) -> io::Result<()> {
        let position = &self.known.finished[finished];
        if let Some(tracked) = Tracked::resume(path, position, &name_of(path), |_| true)? {
            self.known.finished.remove(finished);
            self.insert(tracked);
        }
        Ok(())
    }

    /// Stops reading a file, and remembers its content as read.
    pub(super) fn finish(&mut self, index: usize) {
        let tracked = self.tracked.remove(index);
        self.known.finish(tracked.position());
    }

    fn new_generation(&mut self) -> u64 {
        self.next_generation += 1;
        self.next_generation - 1
    }

    fn insert(&mut self, tracked: Tracked) {
        let at = self.tracked.partition_point(|other| other.generation() <= tracked.generation());
        self.tracked.insert(at, tracked);
    }

    fn is_tracked(&self, identity: &FileIdentity) -> bool {
        self.tracked.iter().any(|tracked| tracked.is(identity))
    }

    fn is_known(&self, identity: &FileIdentity) -> bool {
        self.is_tracked(identity) || self.known.copies.iter().any(|copy| copy.is(identity))
    }
}

/// Returns the saved file if it is among those found and still holds what was read from it.
fn find_saved(saved: &SavedFile, found: &[Found]) -> Option<Tracked> {
    let is_it = |identity: &FileIdentity| identity.is(&saved.position.file) || identity.is_remounted(&saved.position.file);
    let mut candidates = found.iter().filter(|found| is_it(&found.identity()));
    candidates.find_map(|found| Tracked::resume(&found.path, &saved.position, &saved.name, is_it).ok().flatten())
}

/// Returns whether the file holds what was read up to the position; `false` if nothing was read.
fn is_copy(position: &Position, file: &File) -> io::Result<bool> {
    Ok(position.offset > 0 && position.guard.length() > 0 && position.fits(file)?)
}
