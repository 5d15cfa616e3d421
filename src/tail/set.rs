//! The files that are followed: which of those on disk are new, which were renamed, emptied or copied.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::identity::{FileIdentity, born_or_changed, modified};
use super::packed::Packed;
use super::places::{Found, Places, is_absent, name_of, siblings};
use super::position::{Begin, Position};
use super::reader::{Reader, continues};
use super::rotation::{age, is_packed};
use super::state::{Known, SavedFile, State};
use super::tracked::{Content, Standing, Tracked};

/// Packing keeps the time of the last change, but maybe only its seconds.
const PACKED_SLACK: u64 = 1_000_000_000;

/// So often a file is looked for that may be renamed meanwhile.
const ATTEMPTS: usize = 3;

/// Something that happened to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailEvent {
    /// A file was emptied; so many bytes were in it that nobody had read, as far as can be known.
    Truncated {
        /// How many.
        unread: u64,
    },
    /// Another file stands at the path.
    Replaced,
    /// A file that was not read to its end is gone, while nobody was looking.
    Vanished {
        /// How many bytes are known to have been left in it.
        unread: u64,
    },
    /// The log can't be read; told once until it can.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// The files, and what is known of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// In the order in which they are read: by generation.
    pub tracked: Vec<Tracked>,
    known: Known,
    /// Where the numbers of generations began.
    first_generation: u64,
    next_generation: u64,
    /// When the log's file was last written, as of the last complete round: what is younger and unknown came after it.
    reference: Option<u64>,
    /// The same as of this round.
    next_reference: Option<u64>,
}

/// A file that no longer holds what was read of it.
struct Emptied {
    position: Position,
    name: String,
    path: PathBuf,
    standing: Standing,
    unread: u64,
}

/// What a file that was never followed is to those that are.
enum Kin {
    Stranger,
    /// It holds what is read elsewhere.
    Copy,
    /// It holds a finished generation, and maybe more of it than was read.
    Rest(usize),
}

impl Set {
    /// Nothing is followed yet; the first file begins generation `first`.
    pub(super) fn starting_at(first: u64) -> Self {
        Self { first_generation: first, next_generation: first, ..Self::default() }
    }

    /// Finds the files of an earlier run, wherever they now stand.
    pub(super) fn resume(state: State, places: &Places, events: &mut Vec<TailEvent>) -> io::Result<Self> {
        let same_log = state.path == places.path();
        let mut set = Self {
            tracked: Vec::new(),
            known: state.known,
            first_generation: state.first_generation,
            next_generation: state.next_generation,
            reference: state.reference.filter(|_| same_log && !places.is_pattern()),
            next_reference: None,
        };
        let found = places.look()?;
        for saved in state.files {
            if let Some(tracked) = standing_at(&saved, &found) {
                set.insert(tracked);
            } else if same_log {
                set.find(&saved, events);
            }
        }
        if same_log && !places.is_pattern() {
            let here: Vec<_> = found.iter().map(|found| found.identity()).collect();
            set.take_unseen(places.path(), &here, true);
        }
        Ok(set)
    }

    /// The state that [`resume`](Self::resume) goes on from.
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

    /// How many generations were begun.
    pub(super) const fn generations(&self) -> u64 {
        self.next_generation
    }

    /// Takes note of what stands where the log is looked for. `begin` is given at the first look of all.
    pub(super) fn look(
        &mut self,
        places: &Places,
        found: Vec<Found>,
        begin: Option<Begin>,
        events: &mut Vec<TailEvent>,
    ) -> io::Result<()> {
        if begin.is_some() && found.is_empty() && !places.is_pattern() {
            self.next_reference = Some(places.folder_changed() + 1);
        }
        let mut confirmed = vec![false; self.tracked.len()];
        let mut newcomers = Vec::new();
        for found in found {
            let identity = found.identity();
            let Some(index) = self.tracked.iter().position(|tracked| tracked.is(&identity)) else {
                newcomers.push(found);
                continue;
            };
            confirmed[index] = true;
            self.note_reference(places, &found);
            let tracked = &mut self.tracked[index];
            tracked.standing = Standing::Here;
            if tracked.path != found.path {
                tracked.path = found.path;
            }
        }
        let mut left = false;
        for (tracked, _) in self.tracked.iter_mut().zip(confirmed).filter(|(_, confirmed)| !confirmed) {
            if tracked.standing == Standing::Here {
                tracked.standing = Standing::away();
                left = true;
            }
        }
        if !left && newcomers.is_empty() {
            return Ok(());
        }
        self.restart_overwritten(events)?;
        if !places.is_pattern() {
            let here: Vec<_> = newcomers.iter().map(|found| found.identity()).collect();
            self.take_unseen(places.path(), &here, false);
        }
        newcomers.sort_by_cached_key(|found| (born_or_changed(&found.metadata), age(&name_of(&found.path))));
        for found in newcomers {
            self.take_newcomer(places, &found, begin, events)?;
            self.note_reference(places, &found);
        }
        Ok(())
    }

    fn note_reference(&mut self, places: &Places, found: &Found) {
        if !places.is_pattern() {
            self.next_reference = self.next_reference.max(Some(modified(&found.metadata)));
        }
    }

    /// Everything was read that was there when the round began.
    pub(super) fn end_round(&mut self) {
        self.reference = self.reference.max(self.next_reference);
    }

    fn take_newcomer(
        &mut self,
        places: &Places,
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
        if rest.is_none() && places.is_pattern() {
            match self.kin(&file, places.path(), events)? {
                Kin::Copy => return Ok(()),
                // What is empty may become a copy.
                Kin::Stranger if metadata.len() == 0 => return Ok(()),
                Kin::Stranger => {}
                Kin::Rest(index) => rest = Some(index),
            }
        }
        if let Some(index) = rest {
            self.go_on(&found.path, index)?;
            return Ok(());
        }
        let stood_there = self.tracked.iter().any(|tracked| tracked.path == found.path);
        if stood_there || (!places.is_pattern() && self.next_generation > self.first_generation) {
            events.push(TailEvent::Replaced);
        }
        let historic_to = if begin.is_some() { metadata.len() } else { 0 };
        let generation = self.new_generation();
        let mut tracked = Tracked::new(file, found.path.clone(), Standing::Here, generation, historic_to)?;
        if let (Some(Begin::End), Content::Plain(reader)) = (begin, &mut tracked.content) {
            reader.skip_to_end()?;
        }
        self.insert(tracked);
        Ok(())
    }

    /// A file no longer holds what was read of it: looks for the rest in a copy, and begins it anew.
    pub(super) fn overwritten(&mut self, index: usize, unread: u64, events: &mut Vec<TailEvent>) {
        let old = self.tracked.remove(index);
        let position = old.position();
        let Content::Plain(reader) = old.content else { return };
        let emptied = Emptied { position, name: old.name, path: old.path, standing: old.standing, unread };
        self.begin_anew(emptied, reader.into_file(), true, events);
    }

    fn begin_anew(&mut self, emptied: Emptied, file: File, live: bool, events: &mut Vec<TailEvent>) {
        let Emptied { position, name, path, standing, unread } = emptied;
        let identity = position.file;
        if self.take_rest(&position, &path, &name, live) {
            events.push(TailEvent::Truncated { unread: 0 });
        } else {
            self.known.finish(position);
            events.push(TailEvent::Truncated { unread });
        }
        self.take_unseen(&path, &[identity], !live);
        // The copy of an earlier generation is overwritten by the copy of the next: that holds nothing new.
        if standing != Standing::Here && !matches!(self.kin(&file, &path, events), Ok(Kin::Stranger)) {
            return;
        }
        let position = Position::start(identity, self.new_generation());
        let content = Content::Plain(Reader::new(file, position, 0));
        self.insert(Tracked { content, name, path, standing });
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
        // A rotated file's name has a number that changes with each rotation: it is looked for by the name that it had as the log.
        let log = saved.path.with_file_name(&saved.name);
        let mut beside = siblings(&log);
        for _ in 0..ATTEMPTS {
            if let Some(tracked) = standing_at(saved, &beside) {
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
            let standing = if found.path == saved.path { Standing::Here } else { Standing::away() };
            let SavedFile { position, name, path, .. } = saved.clone();
            self.begin_anew(Emptied { position, name, path, standing, unread }, file, false, events);
        } else if !self.take_rest(&saved.position, &saved.path, &saved.name, false) {
            self.known.finish(saved.position.clone());
            if unread > 0 {
                events.push(TailEvent::Vanished { unread });
            }
        }
    }

    /// Looks for a copy that holds what was read, and goes on there. Copies that hold less are remembered, so that they are not
    /// taken for something new.
    fn take_rest(&mut self, position: &Position, path: &Path, name: &str, live: bool) -> bool {
        if position.offset == 0 || position.guard.length() == 0 {
            return false;
        }
        let mut beside = siblings(path);
        beside.retain(|found| {
            let identity = found.identity();
            !identity.is(&position.file) && !self.is_known(&identity) && self.may_be_unpacked(found)
        });
        beside.sort_by_cached_key(|found| (is_packed(&name_of(&found.path)), born_or_changed(&found.metadata)));
        for found in &beside {
            // One that can't be read is not the one: its owner lets us read the log.
            if let Ok(Some(tracked)) = Tracked::resume(&found.path, position, name, |_| true) {
                self.insert(tracked);
                return true;
            }
        }
        for found in beside.iter().filter(|found| found.metadata.len() < position.offset && !is_packed(&name_of(&found.path))) {
            let alike = File::open(&found.path).and_then(|file| position.begins_like(&file)).ok().flatten();
            if alike.unwrap_or(live) {
                self.known.copy(found.identity());
            }
        }
        false
    }

    /// Takes in the generations that came and went between two looks: younger than the last one that was seen, and unknown.
    fn take_unseen(&mut self, path: &Path, here: &[FileIdentity], with_packed: bool) {
        let Some(reference) = self.reference else { return };
        for _ in 0..ATTEMPTS {
            let mut beside = siblings(path);
            beside.retain(|found| {
                let identity = found.identity();
                found.metadata.len() > 0
                    && !here.iter().any(|here| here.is(&identity))
                    && !self.is_known(&identity)
                    && if is_packed(&name_of(&found.path)) {
                        with_packed && self.may_be_unpacked(found)
                    } else {
                        born_or_changed(&found.metadata) >= reference
                    }
            });
            beside.sort_by_cached_key(|found| (modified(&found.metadata), age(&name_of(&found.path))));
            let renamed = beside.iter().filter(|found| {
                let taken = if is_packed(&name_of(&found.path)) {
                    self.take_unseen_packed(found, path).map(|()| true)
                } else {
                    self.take_unseen_plain(found, path)
                };
                // What can't be read can't be read later either; that there is a gap, the log's own event tells.
                matches!(taken, Ok(false)) || taken.is_err_and(|error| is_absent(&error))
            });
            if renamed.count() == 0 {
                return;
            }
        }
    }

    /// `false` if another file stands there by now.
    fn take_unseen_plain(&mut self, found: &Found, path: &Path) -> io::Result<bool> {
        let file = File::open(&found.path)?;
        let identity = FileIdentity::of(&file.metadata()?);
        if identity != found.identity() {
            return Ok(false);
        }
        if self.finished_as(&file, &identity)?.is_some() {
            return Ok(true);
        }
        match self.kin(&file, path, &mut Vec::new())? {
            Kin::Copy => {}
            Kin::Rest(index) => {
                if found.metadata.len() > self.known.finished[index].offset {
                    self.go_on(&found.path, index)?;
                }
            }
            Kin::Stranger => {
                let generation = self.new_generation();
                let tracked = Tracked::new(file, found.path.clone(), Standing::away(), generation, 0)?;
                self.insert(Tracked { name: name_of(path), ..tracked });
            }
        }
        Ok(true)
    }

    fn take_unseen_packed(&mut self, found: &Found, path: &Path) -> io::Result<()> {
        let positions = self.tracked.iter().map(Tracked::position).chain(self.known.finished.iter().cloned());
        for position in positions.filter(|position| position.offset > 0) {
            if Packed::open(File::open(&found.path)?, &position)?.is_some() {
                return Ok(());
            }
        }
        let start = Position::start(found.identity(), self.new_generation());
        if let Some(packed) = Packed::open(File::open(&found.path)?, &start)? {
            let content = Content::Packed(Box::new(packed));
            self.insert(Tracked { content, name: name_of(path), path: found.path.clone(), standing: Standing::away() });
        }
        Ok(())
    }

    /// Unpacking is work: what was last written before the log was last seen holds nothing new.
    fn may_be_unpacked(&self, found: &Found) -> bool {
        !is_packed(&name_of(&found.path))
            || self.reference.is_some_and(|reference| modified(&found.metadata) + PACKED_SLACK >= reference)
    }

    /// What a file is to those that are followed, and to the one at `path` that may not be followed yet.
    fn kin(&mut self, file: &File, path: &Path, events: &mut Vec<TailEvent>) -> io::Result<Kin> {
        loop {
            if let Ok(log) = File::open(path)
                && FileIdentity::of(&log.metadata()?) != FileIdentity::of(&file.metadata()?)
                && continues(&log, file)?
            {
                return Ok(Kin::Copy);
            }
            for reader in self.tracked.iter().filter_map(Tracked::reader) {
                if is_copy(reader.position(), file)? || reader.continues(file)? {
                    return Ok(Kin::Copy);
                }
            }
            for (index, finished) in self.known.finished.iter().enumerate().rev() {
                if is_copy(finished, file)? {
                    return Ok(Kin::Rest(index));
                }
            }
            // A file that was emptied during the comparison was compared with its new content.
            if !self.restart_overwritten(events)? {
                return Ok(Kin::Stranger);
            }
        }
    }

    /// Which finished generation this same file holds, and nothing else.
    fn finished_as(&self, file: &File, identity: &FileIdentity) -> io::Result<Option<usize>> {
        for (index, finished) in self.known.finished.iter().enumerate() {
            if finished.file.is(identity) && finished.offset > 0 && finished.fits(file)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Goes on with a finished generation in the file at `path`.
    fn go_on(&mut self, path: &Path, finished: usize) -> io::Result<()> {
        let position = &self.known.finished[finished];
        if let Some(tracked) = Tracked::resume(path, position, &name_of(path), |_| true)? {
            self.known.finished.remove(finished);
            self.insert(tracked);
        }
        Ok(())
    }

    /// Ends the reading of a file: what it held is known.
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

/// The saved file, if it is one of those found and still holds what was read of it.
fn standing_at(saved: &SavedFile, found: &[Found]) -> Option<Tracked> {
    let is_it = |identity: &FileIdentity| identity.is(&saved.position.file) || identity.is_remounted(&saved.position.file);
    let mut candidates = found.iter().filter(|found| is_it(&found.identity()));
    candidates.find_map(|found| Tracked::resume(&found.path, &saved.position, &saved.name, is_it).ok().flatten())
}

/// Whether the file holds what was read up to the position. Nothing can be said where nothing was read.
fn is_copy(position: &Position, file: &File) -> io::Result<bool> {
    Ok(position.offset > 0 && position.guard.length() > 0 && position.fits(file)?)
}
