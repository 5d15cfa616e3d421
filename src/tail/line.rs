//! One line of a log.

/// The longest line that is kept whole. The longest line recorded of a hub has 112 KB (a stack dump of its bundle); a longer one
/// than this is cut, and says so.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// A line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its bytes without the line end (one CR before it is dropped, too).
    pub bytes: &'a [u8],
    /// The name of the file when it was first seen: it stays the same when the file is renamed.
    pub file: &'a str,
    /// Which generation of the file.
    pub generation: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it takes in the file, with its line end.
    pub size: u64,
    /// Whether it was longer than [`MAX_LINE_BYTES`] and is cut.
    pub cut: bool,
    /// Whether it was there already when following began for the first time.
    pub historic: bool,
}

/// The line without its line end, and whether it had to be cut.
pub(super) fn trim(line: &[u8]) -> (&[u8], bool) {
    if line.len() > MAX_LINE_BYTES {
        return (&line[..MAX_LINE_BYTES], true);
    }
    (line.strip_suffix(b"\r").unwrap_or(line), false)
}
