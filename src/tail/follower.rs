//! The reader of one log file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::position::{Begin, FileIdentity, Position};

/// The longest line that is kept whole. The longest line recorded of a hub has 112 KB (a stack dump of its bundle); a longer one
/// than this is cut, and says so.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// How much is read at a time: large enough for full speed, small enough for the memory.
const CHUNK_BYTES: usize = 64 * 1024;

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its bytes without the line end (one CR before it is dropped, too).
    pub bytes: &'a [u8],
    /// Which generation of the file.
    pub generation: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it takes in the file, with its line end.
    pub size: u64,
    /// Whether it was longer than [`MAX_LINE_BYTES`] and is cut.
    pub cut: bool,
}

/// Something that happened to the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailEvent {
    /// It was emptied; so many bytes were in it that nobody had read, as far as can be known.
    Truncated {
        /// How many.
        unread: u64,
    },
    /// Another file stands at the path.
    Replaced,
    /// It can't be read; told once until it can.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// What a round of reading brought, besides the lines.
#[derive(Debug, Default)]
pub struct Batch {
    /// What happened to the file.
    pub events: Vec<TailEvent>,
    /// Lines handed out.
    pub lines: u64,
    /// Whether the end was reached: nothing more is there for now.
    pub at_end: bool,
    /// Whether the file is there at all.
    pub present: bool,
    /// How many bytes are still unread.
    pub behind: u64,
}

/// Follows one path through truncation, renaming and re-creation.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    begin: Begin,
    open: Option<Open>,
    saved: Option<Position>,
    next_generation: u64,
    complained: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    position: Position,
    last_size: u64,
    buffer: Vec<u8>,
    /// How many bytes of `buffer` were searched for a line end already.
    searched: usize,
    /// How much of a line too long was passed over, beyond what `buffer` holds.
    skipped: u64,
}

impl Follower {
    /// Follows `path`, from a committed position if there is one.
    pub fn new(path: PathBuf, begin: Begin, saved: Option<Position>) -> Self {
        let next_generation = saved.as_ref().map_or(0, |saved| saved.generation);
        Self { path, begin, open: None, saved, next_generation, complained: false }
    }

    /// The path that is followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the reader is, for the commit: everything before it was handed out.
    pub fn position(&self) -> Option<Position> {
        self.open.as_ref().map(|open| open.position.clone()).or_else(|| self.saved.clone())
    }

    /// The file's present size, if it is there.
    pub fn size(&self) -> Option<u64> {
        std::fs::metadata(&self.path).ok().map(|metadata| metadata.len())
    }

    /// Reads until about `limit` bytes of lines were handed out or the end is reached. Errors are events, not ends: the next
    /// round tries again.
    pub fn read(&mut self, limit: usize, mut line: impl FnMut(Line<'_>)) -> Batch {
        let mut batch = Batch::default();
        if let Err(error) = self.try_read(limit, &mut batch, &mut line) {
            batch.at_end = true;
            if error.kind() == io::ErrorKind::NotFound {
                // Not there (yet) is no fault; the batch says that it is not. "From the end" speaks of what was there when the
                // watch began: a file that comes later is all new.
                self.begin = Begin::Start;
            } else if !self.complained {
                self.complained = true;
                batch.events.push(TailEvent::Unreadable { reason: error.to_string() });
            }
        }
        batch
    }

    fn try_read(&mut self, limit: usize, batch: &mut Batch, line: &mut impl FnMut(Line<'_>)) -> io::Result<()> {
        if self.open.is_none() {
            self.open_path(batch)?;
        }
        self.complained = false;
        let Some(open) = &mut self.open else { return Ok(()) };
        batch.present = true;
        if let Some(unread) = open.truncated()? {
            batch.events.push(TailEvent::Truncated { unread });
            self.next_generation += 1;
            open.restart(self.next_generation);
        }
        let mut handed = 0;
        while handed < limit {
            let size = open.fill()?;
            if size == 0 {
                break;
            }
            handed += open.lines(batch, line)?;
        }
        batch.behind = open.file.metadata()?.len().saturating_sub(open.position.offset + open.buffer.len() as u64 + open.skipped);
        batch.at_end = batch.behind == 0 && handed < limit;
        if batch.at_end && self.replaced()? {
            batch.events.push(TailEvent::Replaced);
            self.saved = None;
            self.open = None;
            self.next_generation += 1;
            self.begin = Begin::Start;
            batch.at_end = false;
        }
        Ok(())
    }

    fn open_path(&mut self, batch: &mut Batch) -> io::Result<()> {
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::other("it is a folder, not a file"));
        }
        let identity = FileIdentity::of(&metadata);
        let position = match self.saved.take() {
            Some(mut saved) if saved.fits(&file)? && (saved.file == identity || saved.offset > 0) => {
                saved.file = identity;
                saved
            }
            Some(saved) => {
                let event = if saved.file == identity { TailEvent::Truncated { unread: 0 } } else { TailEvent::Replaced };
                batch.events.push(event);
                self.next_generation = saved.generation + 1;
                Position::start(identity, self.next_generation)
            }
            None => {
                let mut position = Position::start(identity, self.next_generation);
                if self.begin == Begin::End {
                    position.move_to(&file, line_start(&file, metadata.len())?)?;
                }
                position
            }
        };
        // Once the path was read, whatever comes to stand there later is new.
        self.begin = Begin::Start;
        let last_size = position.offset;
        self.open = Some(Open { file, position, last_size, buffer: Vec::new(), searched: 0, skipped: 0 });
        Ok(())
    }

    /// Whether another file stands at the path; a path that is gone is not replaced yet.
    fn replaced(&self) -> io::Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(FileIdentity::of(&metadata) != open.position.file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The start of the line that the file ends in: an unfinished line is read whole.
fn line_start(file: &File, size: u64) -> io::Result<u64> {
    let window = u64::min(size, MAX_LINE_BYTES as u64);
    let mut bytes = vec![0; usize::try_from(window).unwrap_or(MAX_LINE_BYTES)];
    file.read_exact_at(&mut bytes, size - window)?;
    let after = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
    Ok(size - window + after as u64)
}

impl Open {
    /// Whether the content before the position is gone; how many bytes that nobody read went with it, at least.
    fn truncated(&mut self) -> io::Result<Option<u64>> {
        let size = self.file.metadata()?.len();
        let shrunk = size < self.position.offset + self.buffer.len() as u64 + self.skipped;
        if !shrunk && (size == self.last_size || self.position.fits(&self.file)?) {
            self.last_size = size;
            return Ok(None);
        }
        Ok(Some(self.buffer.len() as u64 + self.skipped))
    }

    fn restart(&mut self, generation: u64) {
        self.position = Position::start(self.position.file, generation);
        self.last_size = 0;
        self.buffer.clear();
        self.searched = 0;
        self.skipped = 0;
    }

    /// Reads the next chunk behind what the buffer holds.
    fn fill(&mut self) -> io::Result<usize> {
        let held = self.buffer.len();
        let from = self.position.offset + held as u64 + self.skipped;
        self.buffer.resize(held + CHUNK_BYTES, 0);
        let read = self.file.read_at(&mut self.buffer[held..], from);
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Hands out the complete lines of the buffer; gives back how many bytes they took.
    fn lines(&mut self, batch: &mut Batch, line: &mut impl FnMut(Line<'_>)) -> io::Result<usize> {
        let mut start = 0;
        let mut offset = self.position.offset;
        while let Some(found) = self.buffer[start.max(self.searched)..].iter().position(|byte| *byte == b'\n') {
            let end = start.max(self.searched) + found;
            let size = (end + 1 - start) as u64 + self.skipped;
            let cut = self.skipped > 0 || end - start > MAX_LINE_BYTES;
            let bytes = &self.buffer[start..end.min(start + MAX_LINE_BYTES)];
            let bytes = if cut { bytes } else { bytes.strip_suffix(b"\r").unwrap_or(bytes) };
            line(Line { bytes, generation: self.position.generation, offset, size, cut });
            batch.lines += 1;
            offset += size;
            self.skipped = 0;
            start = end + 1;
            self.searched = start;
        }
        self.buffer.drain(..start);
        self.searched = self.buffer.len();
        let handed = usize::try_from(offset - self.position.offset).unwrap_or(usize::MAX);
        if handed > 0 {
            self.position.move_to(&self.file, offset)?;
        }
        self.skip_long_line();
        Ok(handed)
    }

    /// Of a line that is too long only the beginning is kept while its end is looked for.
    fn skip_long_line(&mut self) {
        if self.buffer.len() > MAX_LINE_BYTES {
            self.skipped += (self.buffer.len() - MAX_LINE_BYTES) as u64;
            self.buffer.truncate(MAX_LINE_BYTES);
            self.searched = MAX_LINE_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Log {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("mcp-hub.log");
            Self { _folder: folder, path }
        }

        fn append(&self, text: impl AsRef<[u8]>) {
            let mut file = File::options().append(true).create(true).open(&self.path).unwrap();
            file.write_all(text.as_ref()).unwrap();
        }

        fn follow(&self, begin: Begin, saved: Option<Position>) -> Follower {
            Follower::new(self.path.clone(), begin, saved)
        }
    }

    /// Reads all that is there: the lines with generation and offset, and the events.
    fn drain(follower: &mut Follower) -> (Vec<(u64, u64, String)>, Vec<TailEvent>) {
        let (mut lines, mut events) = (Vec::new(), Vec::new());
        loop {
            let batch = follower.read(1 << 20, |line| {
                lines.push((line.generation, line.offset, String::from_utf8_lossy(line.bytes).into_owned()));
            });
            events.extend(batch.events);
            if batch.at_end {
                return (lines, events);
            }
        }
    }

    fn texts(follower: &mut Follower) -> Vec<String> {
        drain(follower).0.into_iter().map(|(_, _, text)| text).collect()
    }

    #[test]
    fn a_half_line_is_handed_out_once_it_is_whole() {
        let log = Log::new();
        let mut follower = log.follow(Begin::Start, None);
        log.append("one\ntw");
        assert_eq!(texts(&mut follower), ["one"]);
        log.append("o\r\n");
        assert_eq!(texts(&mut follower), ["two"]);
    }

    #[test]
    fn a_restart_goes_on_behind_the_last_whole_line() {
        let log = Log::new();
        log.append("one\ntwo\nthr");
        let mut first = log.follow(Begin::Start, None);
        assert_eq!(texts(&mut first), ["one", "two"]);
        let saved = serde_json::from_str(&serde_json::to_string(&first.position().unwrap()).unwrap()).unwrap();
        log.append("ee\nfour\n");
        assert_eq!(texts(&mut log.follow(Begin::Start, Some(saved))), ["three", "four"]);
    }

    #[test]
    fn an_emptied_file_begins_a_new_generation_even_if_it_grew_past_the_old_size() {
        let log = Log::new();
        log.append("start\nold\n");
        let mut follower = log.follow(Begin::Start, None);
        drain(&mut follower);
        std::fs::write(&log.path, "start\nnew and longer\n").unwrap();
        let (lines, events) = drain(&mut follower);
        assert_eq!(lines, [(1, 0, "start".to_owned()), (1, 6, "new and longer".to_owned())]);
        assert_eq!(events, [TailEvent::Truncated { unread: 0 }]);
    }

    #[test]
    fn a_renamed_file_is_read_to_its_end_before_the_new_one() {
        let log = Log::new();
        log.append("one\n");
        let mut follower = log.follow(Begin::Start, None);
        drain(&mut follower);
        log.append("last words\n");
        std::fs::rename(&log.path, log.path.with_extension("1")).unwrap();
        log.append("anew\n");
        let (lines, events) = drain(&mut follower);
        assert_eq!(lines.iter().map(|line| line.2.as_str()).collect::<Vec<_>>(), ["last words", "anew"]);
        assert_eq!(events, [TailEvent::Replaced]);
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_read_when_it_comes() {
        let log = Log::new();
        let mut follower = log.follow(Begin::End, None);
        assert_eq!(drain(&mut follower), (Vec::new(), Vec::new()));
        log.append("first\n");
        assert_eq!(texts(&mut follower), ["first"]);
    }

    #[test]
    fn what_can_t_be_read_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(folder.path().to_owned(), Begin::Start, None);
        assert!(matches!(drain(&mut follower).1.as_slice(), [TailEvent::Unreadable { .. }]));
        assert_eq!(drain(&mut follower).1, []);
    }

    #[test]
    fn a_line_of_ten_megabytes_is_cut_and_the_next_one_is_whole() {
        let log = Log::new();
        log.append(vec![b'x'; 10 * MAX_LINE_BYTES]);
        log.append("\nnext\n");
        let mut follower = log.follow(Begin::Start, None);
        let mut seen = Vec::new();
        while !follower.read(1 << 20, |line| seen.push((line.bytes.len(), line.size, line.cut))).at_end {}
        assert_eq!(seen, [(MAX_LINE_BYTES, 10 * MAX_LINE_BYTES as u64 + 1, true), (4, 5, false)]);
        assert!(follower.open.unwrap().buffer.capacity() < 2 * MAX_LINE_BYTES + CHUNK_BYTES);
    }

    #[test]
    fn from_the_end_skips_what_is_there_but_not_half_a_line() {
        let log = Log::new();
        log.append("old\nhal");
        let mut follower = log.follow(Begin::End, None);
        assert_eq!(texts(&mut follower), Vec::<String>::new());
        log.append("f\nnew\n");
        assert_eq!(texts(&mut follower), ["half", "new"]);
    }
}
