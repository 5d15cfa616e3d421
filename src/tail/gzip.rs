//! Reads the rest of a generation that was compressed by gzip before it was read to its end.

use std::fs::File;
use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;

use super::identity::FileIdentity;
use super::line::Line;
use super::pipe::Pipe;
use super::position::Position;
use super::reader::Step;

/// Bytes decompressed at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A gzip file, decompressed while it is read.
#[derive(Debug)]
pub(super) struct GzipReader {
    decompressed: MultiGzDecoder<File>,
    lines: Pipe,
    position: Position,
}

impl GzipReader {
    /// Continues in `file` at `position`, if the compressed content holds what was read up to there.
    pub(super) fn open(file: File, position: &Position) -> io::Result<Option<Self>> {
        let identity = FileIdentity::of(&file.metadata()?);
        let mut decompressed = MultiGzDecoder::new(file);
        let Some(guard) = skip_to(&mut decompressed, position)? else { return Ok(None) };
        if !position.guard.fits(&guard) {
            return Ok(None);
        }
        let lines = Pipe::at(position.generation, position.offset);
        Ok(Some(Self { decompressed, lines, position: position.in_gzip(identity, position.offset) }))
    }

    pub(super) fn position(&self) -> Position {
        self.position.in_gzip(self.position.file, self.lines.offset())
    }

    /// Decompresses one chunk and returns the lines that end in it; at the end also a last line without a line end.
    pub(super) fn step(&mut self, buffer: &mut [u8], name: &str, line: &mut impl FnMut(Line<'_>)) -> io::Result<Step> {
        let mut named = |read: Line<'_>| line(Line { file: name, ..read });
        let length = buffer.len().min(CHUNK_BYTES);
        let filled = self.decompressed.read(&mut buffer[..length])?;
        if filled == 0 {
            self.lines.finish(&mut named);
            return Ok(Step::End);
        }
        let before = self.lines.offset();
        self.lines.feed(&buffer[..filled], &mut named);
        Ok(match usize::try_from(self.lines.offset() - before) {
            Ok(0) => Step::Searched,
            handed => Step::Handed(handed.unwrap_or(usize::MAX)),
        })
    }
}

/// Skips to the position and returns the bytes just before it; `None` if the content ends earlier or begins differently.
fn skip_to(decompressed: &mut impl io::Read, position: &Position) -> io::Result<Option<Vec<u8>>> {
    let (mut head, mut guard) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut left = position.offset;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let filled = decompressed.read(&mut buffer[..length])?;
        if filled == 0 {
            return Ok(None);
        }
        let bytes = &buffer[..filled];
        head.extend_from_slice(&bytes[..(position.head_length() - head.len()).min(filled)]);
        guard.extend_from_slice(bytes);
        guard.drain(..guard.len().saturating_sub(position.guard.length()));
        left -= filled as u64;
        if head.len() == position.head_length() && !position.begins_with(&head) {
            return Ok(None);
        }
    }
    Ok(Some(guard))
}
