//! Follows a log through rotation, truncation and re-creation of its files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{LogFiles, TailEvent};
use super::line::Line;
use super::log_path::LogPath;
use super::position::Begin;
use super::reader::{BUFFER_BYTES, Step};
use super::state::State;
use super::tracked::{Content, Location, Tracked};

/// How long a renamed file is still read: its writer may hold it open. A hub opens its log for each line; a container runtime
/// holds it until it notices the rotation, which takes seconds.
const RENAMED_READ_TIME: Duration = Duration::from_secs(30);

/// The result of one round of reading, apart from the lines.
#[derive(Debug, Default)]
pub struct Batch {
    /// Truncations, rotations and errors since the last round.
    pub events: Vec<TailEvent>,
    /// Number of lines returned.
    pub lines: u64,
    /// True if everything that is in the log now was read.
    pub at_end: bool,
    /// True if the log exists.
    pub present: bool,
    /// Unread bytes.
    pub behind: u64,
}

/// Follows a log, or all logs that a pattern matches, through truncation, renaming, copying and re-creation.
#[derive(Debug)]
pub struct Follower {
    log_path: LogPath,
    /// `Some` until the first look.
    begin: Option<Begin>,
    /// `Some` until the saved files are found again.
    saved: Option<State>,
    files: LogFiles,
    /// Events of the first look, until the first read returns them.
    unreported: Vec<TailEvent>,
    buffer: Vec<u8>,
    read_error: Option<String>,
    renamed_read_time: Duration,
}

impl Follower {
    /// Follows `path`, which may be a pattern, from a committed state if there is one. Without one it looks at once, so that lines
    /// written from now on count as new even if they are read later; the first file begins generation `first_generation`.
    pub fn new(path: PathBuf, begin: Begin, saved: Option<State>, first_generation: u64) -> Self {
        let mut follower = Self {
            log_path: LogPath::new(path),
            begin: saved.is_none().then_some(begin),
            saved,
            files: LogFiles::starting_at(first_generation),
            unreported: Vec::new(),
            buffer: Vec::new(),
            read_error: None,
            renamed_read_time: RENAMED_READ_TIME,
        };
        if follower.saved.is_none() {
            let mut batch = Batch::default();
            // The first read tries again, and reports the error.
            let _ = follower.look(&mut batch);
            follower.unreported = batch.events;
        }
        follower
    }

    /// Sets how long a renamed file is still read; the default is 30 s.
    #[must_use]
    pub fn with_renamed_read_time(self, renamed_read_time: Duration) -> Self {
        Self { renamed_read_time, ..self }
    }

    /// Returns the path or pattern that is followed.
    pub fn path(&self) -> &Path {
        self.log_path.path()
    }

    /// Returns the read position to commit: every line before it was returned.
    pub fn state(&self) -> State {
        self.saved.clone().unwrap_or_else(|| self.files.state(self.log_path.path()))
    }

    /// Returns the number of generations begun, as in [`State::generations`].
    pub fn generations(&self) -> u64 {
        self.saved.as_ref().map_or_else(|| self.files.generations(), State::generations)
    }

    /// Returns the log's size in bytes, without rotated generations; `None` if there is no log.
    pub fn size(&self) -> Option<u64> {
        let found = self.log_path.look().ok().filter(|found| !found.is_empty())?;
        Some(found.iter().map(|found| found.metadata.len()).sum())
    }

    /// Returns the files being read that are at the log's path or match the pattern.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.tracked.iter().filter(|tracked| tracked.location == Location::AtLogPath).map(|tracked| tracked.path.as_path())
    }

    /// Reads about `limit` bytes of lines, or up to the end. An error becomes an event, and the next round tries again.
    pub fn read(&mut self, limit: usize, mut line: impl FnMut(Line<'_>)) -> Batch {
        let mut batch = Batch { events: std::mem::take(&mut self.unreported), ..Batch::default() };
        let mut read_error = self.look(&mut batch).err();
        let lines = &mut batch.lines;
        let mut line = |read: Line<'_>| {
            *lines += 1;
            line(read);
        };
        // Without a log, hold no buffer.
        self.buffer.resize(if self.files.tracked.is_empty() { 0 } else { BUFFER_BYTES }, 0);
        let mut handed = 0;
        let mut index = 0;
        while handed < limit && index < self.files.tracked.len() {
            match self.files.tracked[index].step(&mut self.buffer, limit - handed, &mut line) {
                Ok(Step::Handed(bytes)) => handed += bytes,
                Ok(Step::Searched) => {}
                Ok(Step::End) => index += 1,
                Ok(Step::Overwritten { unread }) => self.files.overwritten(index, unread, &mut batch.events),
                Err(error) => {
                    read_error = Some(error);
                    index += 1;
                }
            }
        }
        batch.at_end = handed < limit;
        if batch.at_end {
            read_error = self.leave_finished(&mut line).err().or(read_error);
            self.files.end_round();
        }
        batch.behind = self.files.tracked.iter().map(Tracked::behind).sum();
        let read_error = read_error.map(|error| error.to_string());
        if let Some(reason) = read_error.clone().filter(|_| self.read_error != read_error) {
            batch.events.push(TailEvent::Unreadable { reason });
        }
        self.read_error = read_error;
        batch
    }

    fn look(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        if let Some(saved) = &self.saved {
            if !self.log_path.has_folder() {
                return Ok(());
            }
            self.files = LogFiles::resume(saved.clone(), &self.log_path, &mut batch.events)?;
            self.saved = None;
        }
        let found = self.log_path.look()?;
        batch.present = !found.is_empty();
        self.files.look(&self.log_path, found, self.begin, &mut batch.events)?;
        // `Begin::End` skips only what existed when the watch began: a file created later is new as a whole.
        self.begin = None;
        Ok(())
    }

    /// Stops reading renamed files to which nothing was written for a while.
    fn leave_finished(&mut self, line: &mut impl FnMut(Line<'_>)) -> std::io::Result<()> {
        for index in (0..self.files.tracked.len()).rev() {
            let tracked = &mut self.files.tracked[index];
            let Location::Elsewhere { since } = tracked.location else { continue };
            if since.elapsed() < self.renamed_read_time {
                continue;
            }
            if let Content::Plain(reader) = &mut tracked.content {
                reader.hand_out_rest(&tracked.name, line)?;
            }
            self.files.finish(index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;
    use crate::tail::MAX_LINE_BYTES;

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

        fn follow(&self, begin: Begin, saved: Option<State>) -> Follower {
            Follower::new(self.path.clone(), begin, saved, 0)
        }
    }

    /// Reads to the end; returns the lines with generation and offset, and the events.
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
    fn lines_written_before_the_first_read_are_new() {
        let log = Log::new();
        log.append("before\n");
        let mut from_start = log.follow(Begin::Start, None);
        let mut from_end = log.follow(Begin::End, None);
        log.append("after\n");
        let mut lines = Vec::new();
        from_start.read(1 << 20, |line| lines.push((String::from_utf8_lossy(line.bytes).into_owned(), line.historic)));
        assert_eq!(lines, [("before".to_owned(), true), ("after".to_owned(), false)]);
        assert_eq!(drain(&mut from_end).0.iter().map(|line| line.2.as_str()).collect::<Vec<_>>(), ["after"]);
    }

    #[test]
    fn a_partial_line_is_returned_once_it_is_complete() {
        let log = Log::new();
        let mut follower = log.follow(Begin::Start, None);
        log.append("one\ntw");
        assert_eq!(texts(&mut follower), ["one"]);
        log.append("o\r\n");
        assert_eq!(texts(&mut follower), ["two"]);
    }

    #[test]
    fn a_restart_continues_after_the_last_complete_line() {
        let log = Log::new();
        log.append("one\ntwo\nthr");
        let mut first = log.follow(Begin::Start, None);
        assert_eq!(texts(&mut first), ["one", "two"]);
        let saved = serde_json::from_str(&serde_json::to_string(&first.state()).unwrap()).unwrap();
        log.append("ee\nfour\n");
        assert_eq!(texts(&mut log.follow(Begin::Start, Some(saved))), ["three", "four"]);
    }

    #[test]
    fn a_file_that_was_rotated_twice_while_the_reader_was_down_is_not_read_again() {
        let log = Log::new();
        let rotated = |number: u32| log.path.with_file_name(format!("mcp-hub.log.{number}"));
        let mut first = log.follow(Begin::Start, None);
        log.append("the same\n");
        assert_eq!(texts(&mut first), ["the same"]);
        std::fs::rename(&log.path, rotated(1)).unwrap();
        log.append("the same\nmore\n");
        assert_eq!(texts(&mut first), ["the same", "more"]);
        let saved = first.state();
        std::fs::rename(rotated(1), rotated(2)).unwrap();
        std::fs::rename(&log.path, rotated(1)).unwrap();
        log.append("new\n");
        assert_eq!(texts(&mut log.follow(Begin::Start, Some(saved))), ["new"]);
    }

    #[test]
    fn a_truncated_file_begins_a_new_generation_even_if_it_grew_past_the_old_size() {
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
    fn a_log_that_does_not_exist_yet_is_read_when_it_is_created() {
        let log = Log::new();
        let mut follower = log.follow(Begin::End, None);
        assert_eq!(drain(&mut follower), (Vec::new(), Vec::new()));
        log.append("first\n");
        assert_eq!(texts(&mut follower), ["first"]);
    }

    #[test]
    fn an_unreadable_log_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(folder.path().to_owned(), Begin::Start, None, 0);
        assert!(matches!(drain(&mut follower).1.as_slice(), [TailEvent::Unreadable { .. }]));
        assert_eq!(drain(&mut follower).1, []);
    }

    #[test]
    fn a_line_of_ten_megabytes_is_cut_and_the_next_one_is_complete() {
        let log = Log::new();
        log.append(vec![b'x'; 10 * MAX_LINE_BYTES]);
        log.append("\nnext\n");
        let mut follower = log.follow(Begin::Start, None);
        let mut seen = Vec::new();
        while !follower.read(1 << 20, |line| seen.push((line.bytes.len(), line.size, line.cut))).at_end {}
        assert_eq!(seen, [(MAX_LINE_BYTES, 10 * MAX_LINE_BYTES as u64 + 1, true), (4, 5, false)]);
        assert_eq!(follower.buffer.capacity(), BUFFER_BYTES);
    }

    #[test]
    fn beginning_at_the_end_skips_complete_lines_but_not_a_partial_one() {
        let log = Log::new();
        log.append("old\nhal");
        let mut follower = log.follow(Begin::End, None);
        assert_eq!(texts(&mut follower), Vec::<String>::new());
        log.append("f\nnew\n");
        assert_eq!(texts(&mut follower), ["half", "new"]);
    }

    #[test]
    fn a_partial_last_line_of_a_renamed_file_is_returned_when_its_writer_is_done() {
        let log = Log::new();
        log.append("one\nunfinish");
        let mut follower = log.follow(Begin::Start, None).with_renamed_read_time(Duration::ZERO);
        assert_eq!(texts(&mut follower), ["one"]);
        std::fs::rename(&log.path, log.path.with_extension("log.1")).unwrap();
        assert_eq!(texts(&mut follower), ["unfinish"]);
        assert_eq!(texts(&mut log.follow(Begin::Start, Some(follower.state()))), Vec::<String>::new());
    }

    #[test]
    fn every_line_end_gives_one_line_whatever_the_bytes() {
        let log = Log::new();
        log.append(b"\r\n\n\xff\xfe\na\0b\n\r\r\n");
        let mut lines = Vec::new();
        log.follow(Begin::Start, None).read(1 << 20, |line| lines.push((line.bytes.to_vec(), line.offset, line.size)));
        let expected: [(&[u8], u64, u64); 5] = [(b"", 0, 2), (b"", 2, 1), (b"\xff\xfe", 3, 3), (b"a\0b", 6, 4), (b"\r", 10, 3)];
        assert_eq!(lines, expected.map(|(bytes, offset, size)| (bytes.to_vec(), offset, size)));
    }

    #[test]
    fn a_copy_of_the_log_is_read_only_from_where_the_log_was_read_to() {
        let log = Log::new();
        log.append("one\ntwo\n");
        let mut follower = log.follow(Begin::Start, None);
        drain(&mut follower);
        let state = follower.state();
        // The copy holds one line more; then the log is truncated.
        std::fs::write(log.path.with_extension("log.1"), "one\ntwo\nthree\n").unwrap();
        std::fs::write(&log.path, "four\n").unwrap();
        for (mut follower, how) in [(follower, "on and on"), (log.follow(Begin::Start, Some(state)), "after a restart")] {
            let (lines, events) = drain(&mut follower);
            assert_eq!(lines, [(0, 8, "three".to_owned()), (1, 0, "four".to_owned())], "{how}");
            assert_eq!(events, [TailEvent::Truncated { unread: 0 }], "{how}");
        }
    }

    #[test]
    fn a_pattern_follows_each_matching_file_but_no_copies() {
        let log = Log::new();
        let folder = log.path.parent().unwrap();
        std::fs::write(folder.join("hub.1.log"), "one\n").unwrap();
        let mut follower = Follower::new(folder.join("hub.*.log"), Begin::Start, None, 0);
        assert_eq!(texts(&mut follower), ["one"]);
        std::fs::write(folder.join("hub.2.log"), "two\n").unwrap();
        std::fs::write(folder.join("hub.copy.log"), "on").unwrap();
        assert_eq!(texts(&mut follower), ["two"]);
        std::fs::write(folder.join("hub.copy.log"), "one, but another\n").unwrap();
        let mut files = Vec::new();
        follower.read(1 << 20, |line| files.push((line.file.to_owned(), line.generation)));
        assert_eq!(files, [("hub.copy.log".to_owned(), 2)]);
    }

    #[test]
    fn unread_bytes_of_a_file_deleted_while_the_reader_was_down_are_reported() {
        let log = Log::new();
        log.append("one\nhalf a line");
        let mut follower = log.follow(Begin::Start, None);
        drain(&mut follower);
        let state = follower.state();
        drop(follower);
        std::fs::remove_file(&log.path).unwrap();
        let (_, events) = drain(&mut log.follow(Begin::Start, Some(state)));
        assert_eq!(events, [TailEvent::Vanished { unread: 11 }]);
    }

    #[test]
    fn a_log_at_another_path_starts_anew_but_generation_numbers_continue() {
        let log = Log::new();
        log.append("one\n");
        let mut follower = log.follow(Begin::Start, None);
        drain(&mut follower);
        let other = log.path.with_file_name("other.log");
        log.append("two\n");
        std::fs::write(&other, "three\n").unwrap();
        let (lines, _) = drain(&mut Follower::new(other, Begin::Start, Some(follower.state()), 0));
        assert_eq!(lines, [(1, 0, "three".to_owned())]);
    }
}
