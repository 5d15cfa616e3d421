//! Reads one open file from a position.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use memchr::{memchr, memchr_iter};
use rustix::fs::{SeekFrom, seek};

use super::identity::{Fingerprint, fill_at, read_at};
use super::line::{Line, MAX_LINE_BYTES, trim};
use super::position::Position;

/// Bytes read at a time. A larger buffer is not faster, and a sidecar's memory is small.
pub(super) const BUFFER_BYTES: usize = 128 * 1024;

/// Minimum bytes read at a time, even for a smaller limit.
const LEAST_BYTES: usize = 64 * 1024;

/// Bytes of the searched part that are compared before the search continues.
const SEARCHED_GUARD_BYTES: usize = 64;

/// Bytes compared at the beginning and the end of a supposed copy.
const SAMPLE_BYTES: usize = 1024;

/// An open file and the offset of its next line.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    position: Position,
    /// For a line longer than the buffer: how far its end was searched for.
    searched: Option<Searched>,
    /// The file's stamp at the last look.
    seen: Stamp,
    /// True if the end of the file was reached at the last look.
    drained: bool,
    /// Lines before this offset are historic.
    historic_to: u64,
}

/// How far a line's end was searched for, from the line's beginning.
#[derive(Debug, Clone, Copy)]
struct Searched {
    bytes: u64,
    /// Fingerprint of the last searched bytes: if the file was truncated meanwhile, the search starts again.
    guard: Fingerprint,
}

/// Metadata that changes when a file does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The result of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Lines of this many bytes were returned; there may be more.
    Handed(usize),
    /// No line ended in the bytes read; there may be more.
    Searched,
    /// The end of the file was reached.
    End,
    /// The file no longer holds what was read from it.
    Overwritten {
        /// Bytes that are known to have been in it and were not read.
        unread: u64,
    },
}

impl Reader {
    /// Continues in `file` at `position`; lines before `historic_to` are historic.
    pub(super) fn new(file: File, position: Position, historic_to: u64) -> Self {
        Self { file, position, searched: None, seen: Stamp::default(), drained: false, historic_to }
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// Returns the file's size at the last look.
    pub(super) fn size(&self) -> u64 {
        self.seen.size.max(self.position.offset)
    }

    /// Returns the number of bytes known to exist that were not read yet.
    pub(super) fn behind(&self) -> u64 {
        let searched = self.searched.map_or(0, |searched| searched.bytes);
        if self.drained { 0 } else { self.size() - self.position.offset - searched.min(self.size() - self.position.offset) }
    }

    /// Returns whether the file still holds what was read from it.
    pub(super) fn fits(&self) -> io::Result<bool> {
        self.position.fits(&self.file)
    }

    /// Returns the open file, to read it from its beginning.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Skips the file's content, except an unfinished last line.
    pub(super) fn skip_to_end(&mut self) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let window = u64::min(size, MAX_LINE_BYTES as u64);
        let bytes = read_at(&self.file, size - window, usize::try_from(window).unwrap_or(MAX_LINE_BYTES))?;
        let after = memchr::memrchr(b'\n', &bytes).map_or(0, |index| index + 1);
        self.position.jump_to(&self.file, size - window + after as u64)
    }

    /// Reads once, about `limit` bytes, and passes the lines that end in them to `line`.
    pub(super) fn step(
        &mut self,
        buffer: &mut [u8],
        limit: usize,
        name: &str,
        line: &mut impl FnMut(Line<'_>),
    ) -> io::Result<Step> {
        let unread = self.seen.size.saturating_sub(self.position.offset);
        let stamp = Stamp::of(&self.file)?;
        if self.drained && stamp == self.seen {
            return Ok(Step::End);
        }
        let shrunk = stamp.size < self.seen.size;
        self.seen = stamp;
        self.drained = false;
        let length = self.position.guard.length().saturating_add(limit.max(LEAST_BYTES)).min(buffer.len());
        let buffer = &mut buffer[..length];
        if self.position.offset == 0 && shrunk {
            return Ok(Step::Overwritten { unread });
        }
        let Some(filled) = self.fill(buffer)? else { return Ok(Step::Overwritten { unread }) };
        let whole = filled == buffer.len();
        let guard = self.position.guard.length();
        if self.searched.is_some() {
            self.end_long_line(&buffer[guard..filled], whole, name, line)
        } else if self.position.offset == 0 && buffer[..filled].first() == Some(&0) {
            self.skip_hole(buffer)
        } else {
            self.hand_out(&buffer[..filled], whole, name, line)
        }
    }

    /// Reads the bytes before the position and those after it in one call, so that both are of the same content. Returns `None` if
    /// the bytes before the position have changed.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let guard = self.position.guard.length();
        let from = self.position.offset - guard as u64;
        let filled = match self.searched {
            None => fill_at(&self.file, from, buffer)?,
            Some(_) => fill_at(&self.file, from, &mut buffer[..guard])?,
        };
        if filled < guard || !self.position.guard.fits(&buffer[..guard]) {
            return Ok(None);
        }
        let Some(searched) = self.searched else { return Ok(Some(filled)) };
        let next = self.position.offset + searched.bytes;
        if searched.guard.is_at(&self.file, next - searched.guard.length() as u64)? {
            return Ok(Some(guard + fill_at(&self.file, next, &mut buffer[guard..])?));
        }
        self.searched = None;
        fill_at(&self.file, from, buffer).map(Some)
    }

    /// Passes on the lines that end in the buffer, which begins with the guard bytes.
    fn hand_out(&mut self, filled: &[u8], whole: bool, name: &str, line: &mut impl FnMut(Line<'_>)) -> io::Result<Step> {
        let guard = self.position.guard.length();
        let data = &filled[guard..];
        let begin = self.position.offset;
        let mut start = 0;
        for end in memchr_iter(b'\n', data) {
            let (bytes, cut) = trim(&data[start..end]);
            let offset = begin + start as u64;
            line(self.line(bytes, name, offset, (end + 1 - start) as u64, cut));
            start = end + 1;
        }
        self.drained = !whole;
        if start > 0 {
            self.position.move_to(&self.file, begin + start as u64, &filled[..guard + start])?;
            return Ok(Step::Handed(start));
        }
        if whole {
            let last = &data[data.len().saturating_sub(SEARCHED_GUARD_BYTES)..];
            self.searched = Some(Searched { bytes: data.len() as u64, guard: Fingerprint::of(last) });
            return Ok(Step::Searched);
        }
        Ok(Step::End)
    }

    /// Searches for the end of a line longer than the buffer; of an overlong line, only the beginning is read again.
    fn end_long_line(&mut self, data: &[u8], whole: bool, name: &str, line: &mut impl FnMut(Line<'_>)) -> io::Result<Step> {
        let Some(searched) = &mut self.searched else { return Ok(Step::Searched) };
        let Some(end) = memchr(b'\n', data) else {
            if !data.is_empty() {
                searched.bytes += data.len() as u64;
                searched.guard = Fingerprint::of(&data[data.len().saturating_sub(SEARCHED_GUARD_BYTES)..]);
            }
            self.drained = !whole;
            return Ok(if whole { Step::Searched } else { Step::End });
        };
        let length = searched.bytes + end as u64;
        self.searched = None;
        let offset = self.position.offset;
        self.hand_out_long(length, length + 1, name, line)?;
        self.position.jump_to(&self.file, offset + length + 1)?;
        Ok(Step::Handed(usize::try_from(length + 1).unwrap_or(usize::MAX)))
    }

    fn hand_out_long(&self, length: u64, size: u64, name: &str, line: &mut impl FnMut(Line<'_>)) -> io::Result<()> {
        let kept = usize::try_from(length).unwrap_or(usize::MAX).min(MAX_LINE_BYTES);
        let bytes = read_at(&self.file, self.position.offset, kept)?;
        let cut = kept as u64 != length;
        let bytes = if cut { &bytes[..] } else { trim(&bytes).0 };
        line(self.line(bytes, name, self.position.offset, size, cut));
        Ok(())
    }

    /// Passes on the bytes after the last line end as a line, for a file that is no longer written.
    pub(super) fn hand_out_rest(&mut self, name: &str, line: &mut impl FnMut(Line<'_>)) -> io::Result<bool> {
        let size = self.file.metadata()?.len();
        let length = size.saturating_sub(self.position.offset);
        if length == 0 || !self.fits()? {
            return Ok(false);
        }
        self.hand_out_long(length, length, name, line)?;
        self.searched = None;
        self.position.jump_to(&self.file, size)?;
        Ok(true)
    }

    /// Skips a hole of zeros: a writer that does not append continues at its old offset after the file was truncated.
    fn skip_hole(&mut self, buffer: &mut [u8]) -> io::Result<Step> {
        let mut offset = seek(self.file.as_fd(), SeekFrom::Data(0)).unwrap_or(0);
        loop {
            let filled = fill_at(&self.file, offset, buffer)?;
            if let Some(first) = buffer[..filled].iter().position(|byte| *byte != 0) {
                self.position.jump_to(&self.file, offset + first as u64)?;
                return Ok(Step::Handed(0));
            }
            if filled == 0 {
                self.drained = true;
                return Ok(Step::End);
            }
            offset += filled as u64;
        }
    }

    fn line<'a>(&self, bytes: &'a [u8], file: &'a str, offset: u64, size: u64, cut: bool) -> Line<'a> {
        Line { bytes, file, generation: self.position.generation, offset, size, cut, historic: offset < self.historic_to }
    }

    /// Returns whether `other` holds the beginning of this file's content.
    pub(super) fn continues(&self, other: &File) -> io::Result<bool> {
        continues(&self.file, other)
    }
}

/// Returns whether `other` holds the beginning of `file`: a copy in progress, or one left unfinished.
pub(super) fn continues(file: &File, other: &File) -> io::Result<bool> {
    let length = other.metadata()?.len();
    if length == 0 || length > file.metadata()?.len() {
        return Ok(false);
    }
    let sample = usize::try_from(length).unwrap_or(usize::MAX).min(SAMPLE_BYTES);
    let end = length - sample as u64;
    let equal = |offset| Ok::<_, io::Error>(read_at(other, offset, sample)? == read_at(file, offset, sample)?);
    Ok(equal(0)? && equal(end)?)
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
