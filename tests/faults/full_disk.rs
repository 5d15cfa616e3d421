//! A full disk, for real: the state folder on a file system of its own that is filled to the last byte, and files that may not grow.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hubwatch::watch::names;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::program::{self, Program, Written, hub, numbers, of_all_watches, run, settle, stderr, until};
use super::receiver::Receiver;

/// What people read when the disk is full.
const SAYS_SO: &str = "the disk is full";

struct Scene {
    folder: tempfile::TempDir,
    hub: String,
    receiver: Receiver,
    log: File,
    written: Written,
}

impl Scene {
    async fn set() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (receiver, address) = Receiver::http().await;
        // A disk as small as this is always below the usual reserve.
        let config = format!("[otlp]\nendpoint = '{address}'\nprotocol = 'http/protobuf'\n[journal]\nreserve = '0'\n");
        std::fs::write(folder.path().join("hubwatch.toml"), config).unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let log = File::options().append(true).create(true).open(folder.path().join("mcp-hub.log")).unwrap();
        Self { hub: hub().await, folder, receiver, log, written: Written::default() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes lines and waits until the receiver has them.
    async fn write(&mut self, what: &str) {
        self.written.lines(&mut self.log, 500);
        let lines = self.written.lines;
        until(what, self.path(), || self.receiver.read(|taken| taken.lines.len() as u64 == lines)).await;
    }

    /// The Watches that the receiver has count this many lines.
    async fn counted(&self, what: &str) {
        let lines = self.written.lines;
        until(what, self.path(), || self.receiver.read(|taken| program::counted(taken) == lines)).await;
    }

    async fn says_so(&self) {
        until("it says that the disk is full", self.path(), || stderr(self.path()).contains(SAYS_SO)).await;
    }

    /// Each line came once, and no Watch had to be dropped.
    fn check(&self) {
        self.receiver.read(|taken| {
            assert_eq!(numbers(taken).len() as u64, self.written.lines);
            assert_eq!(of_all_watches(taken, &format!("{}.watches.disk_full", names::SIDECAR_DROPPED)), 0);
            assert!(taken.forms.values().all(|forms| forms.len() == 1), "what came again is the same");
            assert!(taken.contradictions.is_empty(), "{:#?}", taken.contradictions);
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_journal_may_not_grow_lines_go_on_and_afterwards_nothing_is_missing() {
    let mut scene = Scene::set().await;
    let child = run(scene.path(), &scene.hub);
    scene.write("the first lines arrive").await;
    scene.counted("the first lines are counted").await;
    // From now on no file can grow beyond this, as under a quota; what the program says still fits. The signal that comes with a
    // refused write ends whoever does not heed it.
    let pid = Pid::from_raw(child.id().cast_signed());
    let before = prlimit(pid, Resource::Fsize, Rlimit { current: Some(64 * 1024), maximum: None }).unwrap();
    scene.says_so().await;
    scene.write("lines are read and sent while nothing can be kept").await;
    prlimit(pid, Resource::Fsize, before).unwrap();
    scene.counted("what was learned meanwhile is kept once it can be").await;
    scene.write("it goes on").await;
    scene.counted("it goes on to count").await;
    child.stop(scene.path()).await;
    scene.check();
}

/// A file system of its own in a namespace that lives as long as this.
struct Tmpfs {
    holder: Child,
    inside: PathBuf,
}

impl Tmpfs {
    /// Mounts it over the state folder; not every system allows that.
    async fn over(state: &Path, folder: &Path) -> Option<Self> {
        // A link on the way would lead out of the namespace.
        let state = &state.canonicalize().unwrap();
        // A user namespace needs no privileges where there are such; otherwise a privileged user needs none.
        for namespaces in [&["--user", "--map-root-user", "--mount"][..], &["--mount"]] {
            let script = "mount -t tmpfs -o size=24m,mode=700 tmpfs \"$0\" && touch \"$0/mounted\" && exec sleep 1000";
            let holder =
                Command::new("unshare").args(namespaces).args(["sh", "-c", script]).arg(state).stderr(Stdio::null()).spawn();
            let Ok(mut holder) = holder else { continue };
            let inside = PathBuf::from(format!("/proc/{}/root{}", holder.id(), state.display()));
            let mut ended = false;
            let settled = || {
                ended = holder.try_wait().unwrap().is_some();
                ended || inside.join("mounted").exists()
            };
            until("a file system is mounted, or refused", folder, settled).await;
            if !ended {
                return Some(Self { holder, inside });
            }
        }
        None
    }

    /// This program, in the namespace.
    fn enter(&self, program: &str) -> Command {
        let namespace = format!("/proc/{}/ns", self.holder.id());
        let mut command = Command::new("nsenter");
        if std::fs::read_link(format!("{namespace}/user")).unwrap() != std::fs::read_link("/proc/self/ns/user").unwrap() {
            command.arg("--preserve-credentials").arg(format!("--user={namespace}/user"));
        }
        command.arg(format!("--mount={namespace}/mnt")).arg(program);
        command
    }

    fn run(&self, folder: &Path, hub: &str) -> Program {
        let mut command = self.enter(env!("CARGO_BIN_EXE_hubwatch"));
        settle(&mut command, folder, hub);
        Program::start(command.env("PATH", program::PATH))
    }

    /// Takes it away while files on it are open.
    fn unmount(&self, state: &Path) {
        let status = self.enter("umount").arg("-l").arg(state.canonicalize().unwrap()).status().unwrap();
        assert!(status.success());
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut ballast = File::options().append(true).create(true).open(self.inside.join("ballast")).unwrap();
        for size in [1 << 20, 4096, 1] {
            let block = vec![0; size];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.inside.join("ballast")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_it_goes_on_reading_says_so_and_recovers_by_itself_also_across_a_kill() {
    if program::has_no_namespaces() {
        return;
    }
    let mut scene = Scene::set().await;
    let state = scene.path().join("state");
    let disk = Tmpfs::over(&state, scene.path()).await;
    let disk =
        disk.expect("nothing can be mounted here: this needs util-linux and namespaces; HUBWATCH_NO_NAMESPACES=1 leaves it out");
    let mut child = disk.run(scene.path(), &scene.hub);
    scene.write("the first lines arrive").await;
    scene.counted("the first lines are counted").await;
    for killed in [false, true] {
        // The reserve is given up first; that is no moment to say anything.
        while !stderr(scene.path()).contains(SAYS_SO) {
            disk.fill();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        scene.write("lines are read and sent while nothing can be kept").await;
        if killed {
            child.kill();
        }
        disk.make_room();
        // A run can't begin on a full disk: it says so and ends.
        if killed {
            child = disk.run(scene.path(), &scene.hub);
        }
        scene.counted("what was learned meanwhile is kept once there is room").await;
        std::fs::write(scene.path().join("stderr"), "").unwrap();
        scene.write("it goes on").await;
        scene.counted("it goes on to count").await;
    }
    child.stop(scene.path()).await;
    scene.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_folder_that_is_unmounted_is_made_again_with_all_that_it_held() {
    if program::has_no_namespaces() {
        return;
    }
    let mut scene = Scene::set().await;
    let state = scene.path().join("state");
    let disk = Tmpfs::over(&state, scene.path()).await;
    let disk =
        disk.expect("nothing can be mounted here: this needs util-linux and namespaces; HUBWATCH_NO_NAMESPACES=1 leaves it out");
    let child = disk.run(scene.path(), &scene.hub);
    scene.write("the first lines arrive").await;
    scene.counted("the first lines are counted").await;
    assert!(!state.join("journal.db").exists(), "it is on the file system that goes");
    disk.unmount(&state);
    let told = || stderr(scene.path()).contains("it was made again with all that the journal held");
    until("it says that the folder was lost and made again", scene.path(), told).await;
    scene.write("it goes on").await;
    scene.counted("it goes on to count").await;
    child.stop(scene.path()).await;
    scene.check();
    let kept = rusqlite::Connection::open(state.join("journal.db")).unwrap();
    let first: i64 = kept.query_row("SELECT min(sequence) FROM span WHERE kind = 'watch'", [], |row| row.get(0)).unwrap();
    assert_eq!(first, 0, "what was kept before is there");
}
