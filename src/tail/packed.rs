//! The rest of a generation that was packed before it was read to its end.

use std::fs::File;
use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;

use super::identity::FileIdentity;
use super::line::Line;
use super::pipe::Pipe;
use super::position::Position;
use super::reader::Step;

/// How much is unpacked at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A packed file, unpacked on the way.
#[derive(Debug)]
pub(super) struct Packed {
    unpacked: MultiGzDecoder<File>,
    lines: Pipe,
    position: Position,
}

impl Packed {
    /// Goes on in `file` where `position` says, if that is a position in what is packed there.
    pub(super) fn open(file: File, position: &Position) -> io::Result<Option<Self>> {
        let identity = FileIdentity::of(&file.metadata()?);
        let mut unpacked = MultiGzDecoder::new(file);
        let Some(guard) = pass_over(&mut unpacked, position)? else { return Ok(None) };
        if !position.guard.fits(&guard) {
            return Ok(None);
        }
        let lines = Pipe::at(position.generation, position.offset);
        Ok(Some(Self { unpacked, lines, position: position.of_packed(identity, position.offset) }))
    }

    pub(super) fn position(&self) -> Position {
        self.position.of_packed(self.position.file, self.lines.offset())
    }

    /// Unpacks once, and hands out the lines that end in it; at the end also what has no line end.
    pub(super) fn step(&mut self, buffer: &mut [u8], name: &str, line: &mut impl FnMut(Line<'_>)) -> io::Result<Step> {
        let mut named = |read: Line<'_>| line(Line { file: name, ..read });
        let length = buffer.len().min(CHUNK_BYTES);
        let filled = self.unpacked.read(&mut buffer[..length])?;
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

/// Unpacks what lies before the position, and gives the bytes just before it. `None` if it ends earlier or
/// begins otherwise.
fn pass_over(unpacked: &mut impl io::Read, position: &Position) -> io::Result<Option<Vec<u8>>> {
    let (mut head, mut guard) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut left = position.offset;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let filled = unpacked.read(&mut buffer[..length])?;
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
