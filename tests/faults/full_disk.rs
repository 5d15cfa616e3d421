//! A really full disk: the state folder is on its own file system, filled to the last byte; and a limit on file sizes.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hubwatch::watch::names;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::program::{self, Program, Written, hub, numbers, of_all_watches, run, settle, stderr, until};
use super::receiver::Receiver;

/// Part of the log message about a full disk.
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
        // Such a small disk is always below the default reserve.
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

    /// Waits until the receiver's Watches have counted all lines.
    async fn counted(&self, what: &str) {
        let lines = self.written.lines;
        until(what, self.path(), || self.receiver.read(|taken| program::counted(taken) == lines)).await;
    }

    async fn says_so(&self) {
        until("the program reports a full disk", self.path(), || stderr(self.path()).contains(SAYS_SO)).await;
    }

    /// Checks that each line arrived once and no Watch was dropped.
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
async fn lines_are_sent_while_the_journal_can_not_grow_and_nothing_is_missing_afterwards() {
    let mut scene = Scene::set().await;
    let child = run(scene.path(), &scene.hub);
    scene.write("the first lines arrive").await;
    scene.counted("the first lines are counted").await;
    // From now on no file can grow beyond this, as under a quota; the program's own log still fits. The signal that comes with a
    // rejected write ends a process that does not handle it.
    let pid = Pid::from_raw(child.id().cast_signed());
    let before = prlimit(pid, Resource::Fsize, Rlimit { current: Some(64 * 1024), maximum: None }).unwrap();
    scene.says_so().await;
    scene.write("lines are read and sent while the journal can't be written").await;
    prlimit(pid, Resource::Fsize, before).unwrap();
    scene.counted("facts found meanwhile are saved once that is possible").await;
    scene.write("lines are sent afterwards").await;
    scene.counted("lines are counted afterwards").await;
    child.stop(scene.path()).await;
    scene.check();
}

/// A file system in its own namespace, which exists as long as this value.
struct Tmpfs {
    holder: Child,
    inside: PathBuf,
}

impl Tmpfs {
    /// Mounts it over the state folder; returns `None` on systems that don't allow that.
    async fn over(state: &Path, folder: &Path) -> Option<Self> {
        // A link in the path would lead out of the namespace.
        let state = &state.canonicalize().unwrap();
        // With user namespaces no privileges are needed; a privileged user needs no user namespace.
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
            until("a file system is mounted, or the mount failed", folder, settled).await;
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
        Program::start(&mut self.command(folder, hub))
    }

    fn command(&self, folder: &Path, hub: &str) -> Command {
        let mut command = self.enter(env!("CARGO_BIN_EXE_hubwatch"));
        settle(&mut command, folder, hub);
        command.env("PATH", program::PATH);
        command
    }

    /// Runs it with its pages.
    fn serve(&self, folder: &Path, hub: &str) -> Program {
        Program::start(self.command(folder, hub).args(["--listen", "127.0.0.1:0"]))
    }

    /// `mount` with these arguments, of the state folder; whether that was allowed.
    fn mounts(&self, arguments: &[&str], state: &Path) -> bool {
        let mut mount = self.enter("mount");
        mount.args(arguments).arg(state.canonicalize().unwrap()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// Takes it away while files on it are open.
    fn unmount(&self, state: &Path) {
        let status = self.enter("umount").arg("-l").arg(state.canonicalize().unwrap()).status().unwrap();
        assert!(status.success());
    }

    /// Fills the disk to the last byte.
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
async fn on_a_full_disk_the_watch_continues_reports_it_and_recovers_even_after_a_kill() {
    if program::has_no_namespaces() {
        return;
    }
    let mut scene = Scene::set().await;
    let state = scene.path().join("state");
    let disk = Tmpfs::over(&state, scene.path()).await;
    let disk = disk
        .expect("can't mount a file system: this test needs util-linux and namespaces; set HUBWATCH_NO_NAMESPACES=1 to skip it");
    let mut child = disk.run(scene.path(), &scene.hub);
    scene.write("the first lines arrive").await;
    scene.counted("the first lines are counted").await;
    for killed in [false, true] {
        // The reserve is used up first, without a message.
        let says_so = || {
            disk.fill();
            stderr(scene.path()).contains(SAYS_SO)
        };
        until("the program reports a full disk", scene.path(), says_so).await;
        scene.write("lines are read and sent while the journal can't be written").await;
        if killed {
            child.kill();
        }
        disk.make_room();
        // A run on a full disk reports that and exits, so start it after room was made.
        if killed {
            child = disk.run(scene.path(), &scene.hub);
        }
        scene.counted("facts found meanwhile are saved once there is room").await;
        std::fs::write(scene.path().join("stderr"), "").unwrap();
        scene.write("lines are sent afterwards").await;
        scene.counted("lines are counted afterwards").await;
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
    let told = || stderr(scene.path()).contains("was created again with all data of the journal");
    until("it says that the folder was lost and made again", scene.path(), told).await;
    scene.write("it goes on").await;
    scene.counted("it goes on to count").await;
    child.stop(scene.path()).await;
    scene.check();
    let kept = rusqlite::Connection::open(state.join("journal.db")).unwrap();
    let first: i64 = kept.query_row("SELECT min(sequence) FROM span WHERE kind = 'watch'", [], |row| row.get(0)).unwrap();
    assert_eq!(first, 0, "what was kept before is there");
}

/// What `/readyz` says, once it has this status and says this.
async fn readiness(what: &str, folder: &Path, status: u16, says: &str) {
    let address = || stderr(folder).lines().find_map(|line| Some(line.split_once("address=")?.1.trim().to_owned()));
    until("it says where it serves", folder, || address().is_some()).await;
    let url = format!("http://{}/readyz", address().unwrap());
    hubwatch::base::tls::choose_provider();
    let begun = std::time::Instant::now();
    loop {
        let answer = reqwest::get(&url).await.unwrap();
        let (seen, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        if seen == status && body.contains(says) {
            return;
        }
        assert!(begun.elapsed() < program::PATIENCE, "{what}: {seen} {body}; {}", stderr(folder));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_not_ready_while_its_state_folder_is_full_or_gone_and_says_why() {
    if program::has_no_namespaces() {
        return;
    }
    let scene = Scene::set().await;
    let state = scene.path().join("state");
    let disk = Tmpfs::over(&state, scene.path()).await.expect("nothing can be mounted here; see HUBWATCH_NO_NAMESPACES");
    let child = disk.serve(scene.path(), &scene.hub);
    readiness("it is ready", scene.path(), 200, "\"ready\":true").await;
    while !stderr(scene.path()).contains(SAYS_SO) {
        disk.fill();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    readiness("the disk is full", scene.path(), 503, "disk is full").await;
    disk.make_room();
    readiness("there is room", scene.path(), 200, "\"ready\":true").await;
    disk.unmount(&state);
    readiness("the folder is unmounted", scene.path(), 503, "is lost").await;
    readiness("it was created again", scene.path(), 200, "\"ready\":true").await;
    child.stop(scene.path()).await;
}

/// A file system can't be made read-only while files on it are open for writing: the system refuses that (EBUSY). A read-only mount
/// over it binds only those who open files from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_folder_that_becomes_read_only_stops_no_run_and_a_run_that_begins_on_it_says_so_and_ends() {
    if program::has_no_namespaces() {
        return;
    }
    let mut scene = Scene::set().await;
    let state = scene.path().join("state");
    let disk = Tmpfs::over(&state, scene.path()).await.expect("nothing can be mounted here; see HUBWATCH_NO_NAMESPACES");
    let child = disk.serve(scene.path(), &scene.hub);
    scene.write("the first lines arrive").await;
    scene.counted("the first lines are counted").await;
    assert!(!disk.mounts(&["-o", "remount,ro"], &state), "files on it are open for writing");
    let path = state.canonicalize().unwrap();
    assert!(disk.mounts(&["--bind", path.to_str().unwrap()], &state));
    assert!(disk.mounts(&["-o", "remount,ro,bind"], &state));
    scene.write("lines are sent on").await;
    scene.counted("its open files take what it learns").await;
    readiness("it is ready", scene.path(), 200, "\"ready\":true").await;
    child.stop(scene.path()).await;
    scene.check();
    let output = disk.command(scene.path(), &scene.hub).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("Read-only file system"), "{told}");
}
