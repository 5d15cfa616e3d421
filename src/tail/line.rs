//! One line of a log.

/// The longest line that is kept uncut. The longest one recorded from a hub is 112 KB (a stack dump of its bundle); a longer
/// line is cut, and marked as cut.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// A line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its bytes without the line end; one CR before it is dropped as well.
    pub bytes: &'a [u8],
    /// The file's name when it was first seen; stays the same when the file is renamed.
    pub file: &'a str,
    /// The generation of the file.
    pub generation: u64,
    /// Byte offset in the file.
    pub offset: u64,
    /// Bytes in the file, with the line end.
    pub size: u64,
    /// True if it was longer than [`MAX_LINE_BYTES`] and was cut.
    pub cut: bool,
    /// True if it was written before the log was first followed.
    pub historic: bool,
}

/// Returns the line without its line end, and whether it was cut.
pub(super) fn trim(line: &[u8]) -> (&[u8], bool) {
    if line.len() > MAX_LINE_BYTES {
        return (&line[..MAX_LINE_BYTES], true);
    }
    (line.strip_suffix(b"\r").unwrap_or(line), false)
}
