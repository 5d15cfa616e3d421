//! The reader process: a second run of the test binary. It saves its lines and its state in one write, as the journal does in one
//! transaction, so that it can be killed at any moment.

use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hubwatch::tail::{Begin, Follower, State, TailEvent, Wake};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

const LOG: &str = "HUBWATCH_TEST_LOG";
const OUT: &str = "HUBWATCH_TEST_OUT";
const PACE: &str = "HUBWATCH_TEST_PACE";

/// What makes the reader look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The clock, every 10 ms.
    Clock,
    /// The sidecar's [`Wake`].
    Wake,
    /// The same without an inotify instance.
    WakeWithoutEvents,
}

/// What the reader saves in one write.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    state: State,
    /// Generation, offset, text.
    pub lines: Vec<(u64, u64, String)>,
    /// Bytes that the reader knows to be lost.
    pub unread: u64,
    pub replaced: u64,
}

/// Returns a line in a form that can be saved and compared.
pub(crate) fn text(bytes: &[u8], cut: bool) -> String {
    if bytes.len() <= 200 && !cut {
        return bytes.escape_ascii().to_string();
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{} bytes with hash {:x}, cut: {cut}", bytes.len(), hasher.finish())
}

/// Starts a reader of `log`, which may be a pattern.
pub(crate) fn spawn(log: &Path, out: &Path, pace: Pace) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "reader::reader_process", "--nocapture"])
        .env(LOG, log)
        .env(OUT, out)
        .env(PACE, format!("{pace:?}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Returns the file in which the reader counts its looks.
pub(crate) fn looks_of(out: &Path) -> PathBuf {
    out.with_extension("looks")
}

#[test]
#[ignore = "the reader process, which the other tests start"]
fn reader_process() {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let (Some(log), Some(out), Ok(pace)) = (variable(LOG), variable(OUT), std::env::var(PACE)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(read(log, &out, &pace));
}

async fn read(log: PathBuf, out: &Path, pace: &str) {
    let parent = std::os::unix::process::parent_id();
    let (mut file, state) = open(out);
    let mut follower = Follower::new(log, Begin::Start, state, 0);
    let mut wake = Wake::new();
    let looks = OpenOptions::new().write(true).create(true).truncate(false).open(looks_of(out)).unwrap();
    for look in (u64::from(std::process::id()) << 32).. {
        if pace == "Clock" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        } else {
            wake.wait().await;
        }
        let moved = read_to_end(&mut follower, &mut file);
        looks.write_all_at(&look.to_le_bytes(), 0).unwrap();
        let limit = (pace == "WakeWithoutEvents").then(no_more_files);
        let files: Vec<_> = follower.files().map(Path::to_owned).collect();
        wake.looked(moved, files.iter().map(PathBuf::as_path)).await;
        if let Some(limit) = limit {
            setrlimit(Resource::Nofile, limit).unwrap();
        }
        if std::os::unix::process::parent_id() != parent {
            return;
        }
    }
}

/// Sets the limit of open files so that no file, and so no inotify instance, can be opened.
fn no_more_files() -> Rlimit {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: limit.maximum }).unwrap();
    limit
}

/// Continues after the last complete record; a partial one is left by a kill.
fn open(out: &Path) -> (File, Option<State>) {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(out).unwrap();
    let mut kept = Vec::new();
    file.read_to_end(&mut kept).unwrap();
    let whole = kept.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    file.set_len(whole as u64).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    let last = kept[..whole].split_inclusive(|byte| *byte == b'\n').next_back();
    (file, last.map(|last| serde_json::from_slice::<Kept>(last).unwrap().state))
}

fn read_to_end(follower: &mut Follower, out: &mut File) -> bool {
    let mut moved = false;
    loop {
        let (mut lines, before) = (Vec::new(), follower.state());
        let batch = follower.read(64 * 1024, |line| lines.push((line.generation, line.offset, text(line.bytes, line.cut))));
        let (mut unread, mut replaced) = (0, 0);
        for event in &batch.events {
            match event {
                TailEvent::Truncated { unread: bytes } | TailEvent::Vanished { unread: bytes } => unread += bytes,
                TailEvent::Replaced => replaced += 1,
                TailEvent::Unreadable { reason } => panic!("{reason}"),
            }
        }
        moved |= !lines.is_empty() || !batch.events.is_empty();
        if follower.state() != before || !batch.events.is_empty() {
            let mut record = serde_json::to_vec(&Kept { state: follower.state(), lines, unread, replaced }).unwrap();
            record.push(b'\n');
            out.write_all(&record).unwrap();
        }
        if batch.at_end {
            return moved;
        }
    }
}
