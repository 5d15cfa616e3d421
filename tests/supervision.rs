//! A watch under somebody who starts and ends it: systemd, a container's health check, a container without an init.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A watch of a hub that isn't there; killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hubwatch(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
    command.args(args).env_clear();
    command
}

/// Configured by the environment alone.
fn run(state_dir: &Path, variables: &[(&str, &str)]) -> Running {
    let mut command = hubwatch(&["run"]);
    command.env("HUBWATCH_HUB", "http://127.0.0.1:9").env("HUBWATCH_NAME", "absent").env("HUBWATCH_INTERVAL", "200ms");
    command.env("HUBWATCH_STATE_DIR", state_dir).envs(variables.iter().copied());
    Running(command.stderr(Stdio::null()).spawn().unwrap())
}

fn told(output: &Output) -> (Option<i32>, String) {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(both).unwrap())
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Asks again until it holds: each question takes a process's time, so it needs no pause.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn health_says_ready_once_the_hub_was_polled_and_why_not_where_nobody_listens() {
    let state = tempfile::tempdir().unwrap();
    let listen = format!("0.0.0.0:{}", free_port());
    let health = |args: &[&str]| told(&hubwatch(&[&["health"], args].concat()).env("HUBWATCH_LISTEN", &listen).output().unwrap());
    let (code, reason) = health(&[]);
    assert_eq!(code, Some(1));
    assert!(reason.contains("no answer from http://127.0.0.1:") && reason.contains("HUBWATCH_LISTEN"), "{reason}");

    let _running = run(state.path(), &[("HUBWATCH_LISTEN", &listen)]);
    let ready = until("the watch is ready", || Some(health(&[])).filter(|(code, _)| *code == Some(0)));
    assert_eq!(ready.1, "ready: absent: the hub answers refused\n");
    assert_eq!(health(&["--live"]), (Some(0), "ok\n".to_owned()));
}

#[test]
fn health_tells_another_server_from_a_watch() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n").unwrap();
    });
    let (code, reason) = told(&hubwatch(&["health", "--listen", &address]).output().unwrap());
    other.join().unwrap();
    assert!(code == Some(1) && reason.contains("another program than hubwatch listens there"), "{code:?} {reason}");
}

/// What a supervisor is told next.
fn hear(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("the watch tells something within 30 s");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn supervisor(socket: UnixDatagram) -> UnixDatagram {
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket
}

#[test]
fn systemd_is_told_when_the_watch_is_ready_that_it_lives_and_when_it_stops() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let socket = supervisor(UnixDatagram::bind(&path).unwrap());
    let mut running = run(state.path(), &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")]);
    assert_eq!(hear(&socket), "READY=1\nSTATUS=absent: the hub answers refused");
    assert!(state.path().join("journal.db").exists());
    assert_eq!((hear(&socket), hear(&socket)), ("WATCHDOG=1".to_owned(), "WATCHDOG=1".to_owned()));
    signal("-TERM", running.0.id());
    until("it tells that it stops", || hear(&socket).starts_with("STOPPING=1\n").then_some(()));
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_without_a_file_is_told_too_and_a_watchdog_of_another_process_is_not_ours() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;
    let state = tempfile::tempdir().unwrap();
    let name = format!("hubwatch-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = supervisor(UnixDatagram::bind_addr(&address).unwrap());
    let watchdog = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let mut running = run(state.path(), &[&[("NOTIFY_SOCKET", format!("@{name}").as_str())], &watchdog[..]].concat());
    assert!(hear(&socket).starts_with("READY=1\n"));
    signal("-INT", running.0.id());
    assert!(hear(&socket).starts_with("STOPPING=1\n"), "nothing else was to be told");
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

/// In a PID namespace of its own, as the first process there; `None` where the machine gives out no namespaces and says so.
#[cfg(target_os = "linux")]
fn as_first_process(args: &[&str]) -> Option<Command> {
    if std::env::var_os("HUBWATCH_NO_NAMESPACES").is_some() {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.arg(env!("CARGO_BIN_EXE_hubwatch")).args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Some(command)
}

/// The child of `unshare`: the first process of the namespace.
#[cfg(target_os = "linux")]
fn child_of(pid: u32) -> u32 {
    until("the first process is there", || {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    })
}

#[cfg(target_os = "linux")]
#[test]
fn the_first_process_of_a_container_heeds_signals_in_every_command() {
    for (name, number) in [("-TERM", 15), ("-INT", 2)] {
        let Some(mut demo) = as_first_process(&["demo", "--dir"]) else { return };
        let folder = tempfile::tempdir().unwrap();
        let mut demo = Running(demo.arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let first = child_of(demo.0.id());
        until("the demo has begun", || std::fs::read_dir(folder.path()).ok()?.next().map(|_| ()));
        signal(name, first);
        let ended = until("it ends", || demo.0.try_wait().unwrap());
        assert_eq!(ended.code(), Some(128 + number), "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_first_process_of_a_container_waits_for_orphans_and_drains_when_told_to_stop() {
    let state = tempfile::tempdir().unwrap();
    let state_dir = state.path().to_str().unwrap();
    let args = ["run", "--hub", "http://127.0.0.1:9", "--name", "absent", "--interval", "200ms", "--state-dir", state_dir];
    let Some(mut command) = as_first_process(&args) else { return };
    let mut running = Running(command.stderr(Stdio::null()).spawn().unwrap());
    let first = child_of(running.0.id());
    until("it watches", || state.path().join("journal.db").exists().then_some(()));
    // A shell that starts another in the background and ends: the other becomes the first process's child.
    let target = first.to_string();
    let enter = ["--target", &target, "--user", "--preserve-credentials", "--pid", "--mount"];
    let orphan = Command::new("nsenter").args(enter).args(["sh", "-c", "sleep 0.2 & :"]).status().unwrap();
    assert!(orphan.success());
    let children = || std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
    until("the orphan is there and is waited for", || children().trim().is_empty().then_some(()));
    signal("-TERM", first);
    assert_eq!(until("it ends", || running.0.try_wait().unwrap()).code(), Some(0));
}

#[test]
fn a_variable_that_is_almost_a_setting_is_refused_and_one_of_somebody_else_is_told() {
    let of = |name: &str| {
        let state = tempfile::tempdir().unwrap();
        let mut command = hubwatch(&["run", "--hub", "http://127.0.0.1:9", "--for", "200ms", "--state-dir"]);
        told(&command.arg(state.path()).env(name, "x").output().unwrap())
    };
    let (code, said) = of("HUBWATCH_INTERVALL");
    assert!(code == Some(78) && said.contains("did you mean HUBWATCH_INTERVAL?"), "{code:?} {said}");
    let (code, said) = of("HUBWATCH_IMAGE");
    assert!(code == Some(0) && said.contains("HUBWATCH_IMAGE is not a setting of hubwatch"), "{code:?} {said}");
    let (code, said) = of("HUBWATCH_HUB");
    assert!(code == Some(0), "the flag goes before it: {said}");
    let output = hubwatch(&["run"]).env("HUBWATCH_HUB", "ada:s3cret@hub:7000").output().unwrap();
    let (code, said) = told(&output);
    assert!(code == Some(78) && said.contains("HUBWATCH_HUB: `hub:7000`") && !said.contains("s3cret"), "{code:?} {said}");
    let (code, said) = of("HUBWATCH_VERBOSITY");
    assert!(code == Some(78) && said.contains("HUBWATCH_VERBOSITY: `x`"), "{code:?} {said}");
}

#[test]
fn a_run_begins_with_where_each_setting_came_from() {
    let state = tempfile::tempdir().unwrap();
    let token = state.path().join("token");
    std::fs::write(&token, "Authorization=Bearer%20s3cret\n").unwrap();
    let mut command = hubwatch(&["run", "--for", "200ms", "--interval", "200ms"]);
    command.env("HUBWATCH_HUB", "http://ada:s3cret@127.0.0.1:9").env("HUBWATCH_HEADERS_FILE", &token);
    let (code, said) = told(&command.env("HUBWATCH_STATE_DIR", state.path().join("state")).output().unwrap());
    assert!(code == Some(0) && !said.contains("s3cret"), "{said}");
    let line = said.lines().find(|line| line.contains("settings that differ")).unwrap();
    assert!(line.contains("hub.url=http://127.0.0.1:9 (HUBWATCH_HUB), hub.headers=[secret] (HUBWATCH_HEADERS_FILE), watch.interval=200ms (--interval), "), "{line}");
    assert!(line.ends_with("for=200ms (--for)"), "{line}");
}
