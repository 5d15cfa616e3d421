//! Reads a log through everything that happens to its files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::line::Line;
use super::places::Places;
use super::position::Begin;
use super::reader::{BUFFER_BYTES, Step};
use super::set::{Set, TailEvent};
use super::state::State;
use super::tracked::{Content, Standing, Tracked};

/// How long a file is read on after it was renamed: its writer may hold it open. A hub opens its log for each line; a container
/// runtime holds it until it is told of the rotation, which is a matter of seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a round of reading brought, besides the lines.
#[derive(Debug, Default)]
pub struct Batch {
    /// What happened to the log.
    pub events: Vec<TailEvent>,
    /// Lines handed out.
    pub lines: u64,
    /// Whether the end was reached: nothing more is there for now.
    pub at_end: bool,
    /// Whether the log is there at all.
    pub present: bool,
    /// How many bytes are still unread.
    pub behind: u64,
}

/// Follows a log through truncation, renaming, copying and re-creation; or all the logs that a pattern finds.
#[derive(Debug)]
pub struct Follower {
    places: Places,
    /// Until the first look.
    begin: Option<Begin>,
    /// Until its files are found again.
    saved: Option<State>,
    set: Set,
    /// What the first look showed, until it is told.
    untold: Vec<TailEvent>,
    buffer: Vec<u8>,
    complaint: Option<String>,
    patience: Duration,
}

impl Follower {
    /// Follows `path`, which may be a pattern; from a committed state if there is one. Without one it looks at once: what is written
    /// from now on is new, however much later it is read; and the first file begins generation `first_generation`.
    pub fn new(path: PathBuf, begin: Begin, saved: Option<State>, first_generation: u64) -> Self {
        let mut follower = Self {
            places: Places::new(path),
            begin: saved.is_none().then_some(begin),
            saved,
            set: Set::starting_at(first_generation),
            untold: Vec::new(),
            buffer: Vec::new(),
            complaint: None,
            patience: PATIENCE,
        };
        if follower.saved.is_none() {
            let mut batch = Batch::default();
            // What can't be looked at now is looked at, and complained of, when it is read.
            let _ = follower.look(&mut batch);
            follower.untold = batch.events;
        }
        follower
    }

    /// How long a renamed file is read on, if not half a minute.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The path or pattern that is followed.
    pub fn path(&self) -> &Path {
        self.places.path()
    }

    /// Where the reader is, for the commit: everything before it was handed out.
    pub fn state(&self) -> State {
        self.saved.clone().unwrap_or_else(|| self.set.state(self.places.path()))
    }

    /// How many generations were begun, as the [`State`] will say.
    pub fn generations(&self) -> u64 {
        self.saved.as_ref().map_or_else(|| self.set.generations(), State::generations)
    }

    /// How many bytes the log has, if it is there; rotated generations are not counted.
    pub fn size(&self) -> Option<u64> {
        let found = self.places.look().ok().filter(|found| !found.is_empty())?;
        Some(found.iter().map(|found| found.metadata.len()).sum())
    }

    /// The files that are read, as far as they stand where the log is looked for.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.set.tracked.iter().filter(|tracked| tracked.standing == Standing::Here).map(|tracked| tracked.path.as_path())
    }

    /// Reads until about `limit` bytes of lines were handed out or the end is reached. Errors are events, not ends: the next
    /// round tries again.
    pub fn read(&mut self, limit: usize, mut line: impl FnMut(Line<'_>)) -> Batch {
        let mut batch = Batch { events: std::mem::take(&mut self.untold), ..Batch::default() };
        let mut complaint = self.look(&mut batch).err();
        let lines = &mut batch.lines;
        let mut line = |read: Line<'_>| {
            *lines += 1;
            line(read);
        };
        // Nothing is held while nothing is there.
        self.buffer.resize(if self.set.tracked.is_empty() { 0 } else { BUFFER_BYTES }, 0);
        let mut handed = 0;
        let mut index = 0;
        while handed < limit && index < self.set.tracked.len() {
            match self.set.tracked[index].step(&mut self.buffer, limit - handed, &mut line) {
                Ok(Step::Handed(bytes)) => handed += bytes,
                Ok(Step::Searched) => {}
                Ok(Step::End) => index += 1,
                Ok(Step::Overwritten { unread }) => self.set.overwritten(index, unread, &mut batch.events),
                Err(error) => {
                    complaint = Some(error);
                    index += 1;
                }
            }
        }
        batch.at_end = handed < limit;
        if batch.at_end {
            complaint = self.leave_finished(&mut line).err().or(complaint);
            self.set.end_round();
        }
        batch.behind = self.set.tracked.iter().map(Tracked::behind).sum();
        let complaint = complaint.map(|error| error.to_string());
        if let Some(reason) = complaint.clone().filter(|_| self.complaint != complaint) {
            batch.events.push(TailEvent::Unreadable { reason });
        }
        self.complaint = complaint;
        batch
    }

    fn look(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        if let Some(saved) = &self.saved {
            if !self.places.has_folder() {
                return Ok(());
            }
            self.set = Set::resume(saved.clone(), &self.places, &mut batch.events)?;
            self.saved = None;
        }
        let found = self.places.look()?;
        batch.present = !found.is_empty();
        self.set.look(&self.places, found, self.begin, &mut batch.events)?;
        // "From the end" speaks of what was there when the watch began: a file that comes later is all new.
        self.begin = None;
        Ok(())
    }

    /// Leaves the files that are no longer the log's and to which nobody has written for a while.
    fn leave_finished(&mut self, line: &mut impl FnMut(Line<'_>)) -> std::io::Result<()> {
        for index in (0..self.set.tracked.len()).rev() {
            let tracked = &mut self.set.tracked[index];
            let Standing::Away { since } = tracked.standing else { continue };
            if since.elapsed() < self.patience {
                continue;
            }
            if let Content::Plain(reader) = &mut tracked.content {
                reader.hand_out_rest(&tracked.name, line)?;
            }
            self.set.finish(index);
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
    fn what_is_written_before_the_first_reading_is_new_all_the_same() {
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
        let saved = serde_json::from_str(&serde_json::to_string(&first.state()).unwrap()).unwrap();
        log.append("ee\nfour\n");
        assert_eq!(texts(&mut log.follow(Begin::Start, Some(saved))), ["three", "four"]);
    }

    #[test]
    fn a_rotated_file_that_went_one_further_while_nobody_looked_is_not_taken_for_its_successor() {
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
        let mut follower = Follower::new(folder.path().to_owned(), Begin::Start, None, 0);
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
        assert_eq!(follower.buffer.capacity(), BUFFER_BYTES);
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

    #[test]
    fn what_a_renamed_file_ends_in_is_a_line_when_nobody_goes_on_writing_it() {
        let log = Log::new();
        log.append("one\nunfinish");
        let mut follower = log.follow(Begin::Start, None).with_patience(Duration::ZERO);
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
    fn what_was_read_is_not_read_again_when_its_copy_is_taken_for_the_log() {
        let log = Log::new();
        log.append("one\ntwo\n");
        let mut follower = log.follow(Begin::Start, None);
        drain(&mut follower);
        let state = follower.state();
        // A copy, and more in it; then the log is emptied.
        std::fs::write(log.path.with_extension("log.1"), "one\ntwo\nthree\n").unwrap();
        std::fs::write(&log.path, "four\n").unwrap();
        for (mut follower, how) in [(follower, "on and on"), (log.follow(Begin::Start, Some(state)), "after a restart")] {
            let (lines, events) = drain(&mut follower);
            assert_eq!(lines, [(0, 8, "three".to_owned()), (1, 0, "four".to_owned())], "{how}");
            assert_eq!(events, [TailEvent::Truncated { unread: 0 }], "{how}");
        }
    }

    #[test]
    fn a_pattern_follows_each_of_its_files_and_no_copy_of_one() {
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
    fn what_a_file_held_when_nobody_looked_and_is_deleted_is_told() {
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
    fn the_log_of_another_path_is_not_read_on_but_generations_go_on_counting() {
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
