//! Lines from a pipe, which can be read only once. Offsets count from the beginning of the run.

use super::line::{Line, MAX_LINE_BYTES};

/// Stands in for the file name.
const NAME: &str = "stdin";

/// Splits the bytes of a pipe into lines.
#[derive(Debug, Default)]
pub struct Pipe {
    /// The unfinished line.
    unfinished: Vec<u8>,
    /// The offset of the unfinished line.
    offset: u64,
    /// Bytes of an overlong line that were skipped.
    skipped: u64,
    generation: u64,
}

impl Pipe {
    /// Creates the reader of a pipe. Each run of the sidecar has its own generation, so that its lines differ from another run's.
    pub fn new(generation: u64) -> Self {
        Self::at(generation, 0)
    }

    /// Continues at `offset`, where a line begins.
    pub(super) fn at(generation: u64, offset: u64) -> Self {
        Self { generation, offset, ..Self::default() }
    }

    /// Returns the offset up to which all lines were returned.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Passes the lines that end in these bytes to `line`.
    pub fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(Line<'_>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.unfinished.len()).min(part.len());
            self.unfinished.extend_from_slice(&part[..room]);
            self.skipped += (part.len() - room) as u64;
            if part.ends_with(b"\n") {
                self.end(&mut line);
            }
        }
    }

    /// Ends the pipe: a last line without a line end counts as a line.
    pub fn finish(&mut self, mut line: impl FnMut(Line<'_>)) {
        if !self.unfinished.is_empty() {
            self.end(&mut line);
        }
    }

    fn end(&mut self, line: &mut impl FnMut(Line<'_>)) {
        let size = self.unfinished.len() as u64 + self.skipped;
        let whole = self.unfinished.strip_suffix(b"\n").unwrap_or(&self.unfinished);
        let bytes = whole.strip_suffix(b"\r").unwrap_or(whole);
        let cut = self.skipped > 0 || bytes.len() > MAX_LINE_BYTES;
        let bytes = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
        line(Line { bytes, file: NAME, generation: self.generation, offset: self.offset, size, cut, historic: false });
        self.offset += size;
        self.unfinished.clear();
        self.unfinished.shrink_to(64 * 1024);
        self.skipped = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<(Vec<u8>, u64, u64, bool)> {
        let (mut pipe, mut lines) = (Pipe::new(1), Vec::new());
        let mut keep =
            |line: Line<'_>| lines.push((line.bytes[..line.bytes.len().min(40)].to_vec(), line.offset, line.size, line.cut));
        for part in parts {
            pipe.feed(part, &mut keep);
        }
        pipe.finish(&mut keep);
        lines
    }

    #[test]
    fn an_overlong_line_is_cut_and_the_next_one_is_complete() {
        let long = vec![b'x'; 3 * MAX_LINE_BYTES];
        let read = lines(&[&long, b"y\nnext\nlast"]);
        let size = 3 * MAX_LINE_BYTES as u64 + 2;
        assert_eq!((read[0].1, read[0].2, read[0].3), (0, size, true));
        assert_eq!(read[1], (b"next".to_vec(), size, 5, false));
        assert_eq!(read[2], (b"last".to_vec(), size + 5, 4, false));
    }

    proptest! {
        #[test]
        fn the_lines_do_not_depend_on_how_the_bytes_are_split(text in "[a-c\r\n]{0,60}", cuts in proptest::collection::vec(1..9usize, 1..20)) {
            let bytes = text.as_bytes();
            let (mut parts, mut rest) = (Vec::new(), bytes);
            for cut in cuts.iter().cycle().take(100) {
                let (part, tail) = rest.split_at((*cut).min(rest.len()));
                parts.push(part);
                rest = tail;
            }
            prop_assert_eq!(lines(&parts), lines(&[bytes]));
        }
    }
}
