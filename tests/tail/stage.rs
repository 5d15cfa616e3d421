//! A writer of numbered lines, a reader in its own process, and the comparison at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::reader::{self, Kept, Pace};

/// How long to wait for a condition on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// When the reader process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Never; it is woken as the sidecar is.
    Undisturbed,
    /// Never; it polls by the clock alone.
    ByClock,
    /// Before the action of [`Stage::meanwhile`]; it is started again afterwards.
    Away,
    /// Every few milliseconds.
    Killed,
}

pub(crate) struct Stage {
    folder: tempfile::TempDir,
    pub log: PathBuf,
    pattern: PathBuf,
    pub life: Life,
    pace: Pace,
    reader: Arc<Mutex<Option<Child>>>,
    killer: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    written: usize,
    expected: BTreeMap<String, usize>,
    awaited: usize,
    out: (File, u64),
    read: Vec<(u64, u64, String)>,
    pub unread: u64,
    pub replaced: u64,
}

/// Plays a scenario with each life of the reader.
pub(crate) fn in_every_life(pattern: &str, scenario: impl Fn(&mut Stage)) {
    in_lives(&[Life::Undisturbed, Life::ByClock, Life::Away, Life::Killed], pattern, scenario);
}

/// Plays a scenario with these lives of the reader.
pub(crate) fn in_lives(lives: &[Life], pattern: &str, scenario: impl Fn(&mut Stage)) {
    for life in lives {
        let pace = if *life == Life::Undisturbed { Pace::Wake } else { Pace::Clock };
        let mut stage = Stage::new(pattern, *life, pace);
        stage.start();
        scenario(&mut stage);
        stage.end();
    }
}

impl Stage {
    pub(crate) fn new(pattern: &str, life: Life, pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&out).unwrap();
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs).unwrap();
        Self {
            log: logs.join("hub.log"),
            pattern: logs.join(pattern),
            folder,
            life,
            pace,
            reader: Arc::default(),
            killer: None,
            written: 0,
            expected: BTreeMap::new(),
            awaited: 0,
            out: (file, 0),
            read: Vec::new(),
            unread: 0,
            replaced: 0,
        }
    }

    /// Starts the reader, and the thread that kills it. Files beside the log at the first look don't count as its generations.
    pub(crate) fn start(&mut self) {
        self.revive();
        self.look();
        if self.life != Life::Killed {
            return;
        }
        let (pattern, out, pace, reader) = (self.pattern.clone(), self.out_path(), self.pace, Arc::clone(&self.reader));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(fastrand::u64(20..120)));
                let mut reader = lock(&reader);
                kill(&mut reader);
                *reader = Some(reader::spawn(&pattern, &out, pace));
            }
        });
        self.killer = Some((stop, thread));
    }

    fn out_path(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn revive(&self) {
        *lock(&self.reader) = Some(reader::spawn(&self.pattern, &self.out_path(), self.pace));
    }

    /// Runs the action, while the reader is dead for [`Life::Away`].
    pub(crate) fn meanwhile(&mut self, action: impl FnOnce(&mut Self)) {
        if self.life != Life::Away {
            return action(self);
        }
        self.kill();
        action(self);
        self.revive();
    }

    pub(crate) fn kill(&self) {
        kill(&mut lock(&self.reader));
    }

    /// Returns a path beside the log.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.log.with_file_name(name)
    }

    /// Writes numbered lines as a hub does: each opens the log, appends, closes.
    pub(crate) fn write(&mut self, lines: usize) {
        for _ in 0..lines {
            let line = self.line();
            append(&self.log, line.as_bytes());
        }
    }

    /// Writes numbered lines in one go.
    pub(crate) fn burst(&mut self, lines: usize) {
        let text = self.lines(lines);
        append(&self.log, text.as_bytes());
    }

    /// Returns numbered lines, and expects the reader to read them.
    pub(crate) fn lines(&mut self, lines: usize) -> String {
        (0..lines).map(|_| self.line()).collect()
    }

    fn line(&mut self) -> String {
        let number = self.written;
        self.written += 1;
        let line = format!("{number:07} {}", "x".repeat(number % 90));
        self.expect(line.as_bytes(), false);
        line + "\n"
    }

    /// Expects the reader to read a line that is written in another way.
    pub(crate) fn expect(&mut self, line: &[u8], cut: bool) {
        *self.expected.entry(reader::text(line, cut)).or_default() += 1;
        self.awaited += 1;
    }

    /// Waits until everything expected was read.
    pub(crate) fn caught_up(&mut self) {
        let begun = Instant::now();
        while self.take_in() < self.awaited {
            if begun.elapsed() > PATIENCE {
                self.compare();
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Waits until the reader has looked at everything that exists now.
    pub(crate) fn look(&self) {
        let begun = Instant::now();
        let looks = || std::fs::read(reader::looks_of(&self.out_path())).unwrap_or_default();
        // The current look may have begun before.
        for _ in 0..2 {
            let before = looks();
            while looks() == before {
                assert!(begun.elapsed() < PATIENCE, "{:?}: the reader does not look", self.life);
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    fn take_in(&mut self) -> usize {
        let (file, taken) = &mut self.out;
        // The reader drops a partial record when it starts; it was not taken in here.
        file.seek(SeekFrom::Start(*taken)).unwrap();
        let mut kept = Vec::new();
        file.read_to_end(&mut kept).unwrap();
        kept.truncate(kept.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        *taken += kept.len() as u64;
        for record in kept.split_inclusive(|byte| *byte == b'\n') {
            let kept: Kept = serde_json::from_slice(record).unwrap();
            self.read.extend(kept.lines);
            self.unread += kept.unread;
            self.replaced += kept.replaced;
        }
        self.read.len()
    }

    /// Stops the killing and compares: no line is lost, doubled or split, and no two lines have the same identity.
    pub(crate) fn end(&mut self) {
        if let Some((stop, thread)) = self.killer.take() {
            stop.store(true, Ordering::Relaxed);
            thread.thread().unpark();
            thread.join().unwrap();
        }
        self.caught_up();
        self.look();
        self.take_in();
        self.compare();
    }

    fn compare(&self) {
        let mut read: BTreeMap<String, usize> = BTreeMap::new();
        for (_, _, text) in &self.read {
            *read.entry(text.clone()).or_default() += 1;
        }
        let wrong: Vec<_> = self.expected.keys().chain(read.keys()).collect::<BTreeSet<_>>().into_iter().collect();
        let times = |these: &BTreeMap<String, usize>, text: &String| these.get(text).copied().unwrap_or(0);
        let wrong: Vec<_> = wrong.iter().map(|text| (times(&self.expected, text), times(&read, text), text)).collect();
        let wrong: Vec<_> = wrong.into_iter().filter(|(expected, read, _)| expected != read).collect();
        let (first, last) = (wrong.first(), wrong.last());
        assert!(
            wrong.is_empty(),
            "{:?}: {} lines were not read as often as written: {first:?} to {last:?}",
            self.life,
            wrong.len()
        );
        let identities: BTreeSet<_> = self.read.iter().map(|(generation, offset, _)| (generation, offset)).collect();
        assert_eq!(identities.len(), self.read.len(), "{:?}: two lines have the same identity", self.life);
    }

    /// Returns the texts in the order in which they were read.
    pub(crate) fn order(&self) -> Vec<&str> {
        self.read.iter().map(|(_, _, text)| text.as_str()).collect()
    }

    /// Returns the generation of each line, in the order in which they were read.
    pub(crate) fn generations(&self) -> Vec<u64> {
        self.read.iter().map(|(generation, ..)| *generation).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.killer.take() {
            stop.store(true, Ordering::Relaxed);
            thread.thread().unpark();
            let _ = thread.join();
        }
        kill(&mut lock(&self.reader));
    }
}

pub(crate) fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends SIGKILL, as the standard library does.
fn kill(reader: &mut Option<Child>) {
    if let Some(mut child) = reader.take() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
