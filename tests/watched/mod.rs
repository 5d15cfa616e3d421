//! A sidecar beside a simulated hub that serves on a real port, as a user runs it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hubwatch::simulator::{FileSink, Happening, LiveSimulation, Profile, Simulation, Step, serve};
use hubwatch::watch::{Micros, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;

/// How long a condition may take: far longer than it does, so that only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A simulated hub on a real port, with a real log.
pub(crate) struct Hub {
    pub url: String,
    pub folder: tempfile::TempDir,
    live: Arc<Mutex<LiveSimulation>>,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::of(Profile::fork_pino()).await
    }

    /// One of this profile.
    pub(crate) async fn of(profile: Profile) -> Self {
        let hub = Self::absent(profile).await;
        hub.happens(Step::StartHub);
        hub
    }

    /// One that started so long ago.
    pub(crate) async fn long_since(profile: Profile, ago: Duration) -> Self {
        let now = Timestamp::now();
        let begun = now.minus(Micros::from_duration(ago));
        Self::beginning(profile, begun, |simulation, log| {
            simulation.schedule(begun, Step::StartHub);
            simulation.advance(now, log).unwrap();
        })
        .await
    }

    /// A hub that is not started yet.
    pub(crate) async fn absent(profile: Profile) -> Self {
        Self::beginning(profile, Timestamp::now(), |_, _| ()).await
    }

    /// A hub to which something has happened before it is served.
    async fn beginning(profile: Profile, begun: Timestamp, happens: impl FnOnce(&mut Simulation, &mut FileSink)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut log = FileSink::open(&folder.path().join("mcp-hub.log")).unwrap();
        let mut simulation = Simulation::new(Profile { port, ..profile }, begun);
        happens(&mut simulation, &mut log);
        let live = Arc::new(Mutex::new(LiveSimulation::new(simulation, Box::new(log))));
        tokio::spawn(serve(live.clone(), listener, std::future::pending()));
        Self { url: format!("http://127.0.0.1:{port}"), folder, live }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("mcp-hub.log")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Something happens now.
    pub(crate) fn happens(&self, step: Step) {
        let mut live = self.live.lock().unwrap();
        live.simulation().schedule(Timestamp::now(), step);
        live.advance().unwrap();
    }

    /// How many meta-tool calls have ended, as the hub itself knows.
    pub(crate) fn calls_ended(&self) -> usize {
        let mut live = self.live.lock().unwrap();
        live.simulation().truth().iter().filter(|truth| matches!(truth.what, Happening::CallEnded { .. })).count()
    }

    /// How many rounds of tries at Gemini have failed, as the hub itself knows.
    pub(crate) fn rounds_failed(&self) -> usize {
        let mut live = self.live.lock().unwrap();
        live.simulation().truth().iter().filter(|truth| matches!(truth.what, Happening::RateLimited { .. })).count()
    }

    pub(crate) fn kills(&self, server: &str) {
        self.happens(Step::KillServer { name: server.to_owned() });
    }

    /// As people bring a crashed server back: the hub does nothing for a start alone.
    pub(crate) fn brings_back(&self, server: &str) {
        self.happens(Step::StopServer { name: server.to_owned() });
        self.happens(Step::StartServer { name: server.to_owned() });
    }

    /// `hubwatch COMMAND` about this hub.
    pub(crate) fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut hubwatch = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
        hubwatch.arg(command).arg("--state-dir").arg(self.state_dir()).args(more).env_clear().current_dir(self.folder.path());
        hubwatch
    }

    /// A configuration of this text for the commands that follow.
    pub(crate) fn configure(&self, toml: &str) {
        std::fs::write(self.folder.path().join("hubwatch.toml"), toml).unwrap();
    }

    /// A sidecar that watches it.
    pub(crate) fn watch(&self, more: &[&str]) -> Sidecar {
        // A flag that is given twice is refused.
        if more.contains(&"--interval") {
            return self.watch_at(&self.url, more);
        }
        self.watch_at(&self.url, &[&["--interval", "200ms"], more].concat())
    }

    /// A sidecar that watches it under another address.
    pub(crate) fn watch_at(&self, url: &str, more: &[&str]) -> Sidecar {
        let mut command = self.command("run", &["--hub", url, "--name", "simulated"]);
        command.arg("--log").arg(self.log()).args(["--listen", "127.0.0.1:0"]).args(more);
        Sidecar::begin(&mut command)
    }

    /// Its report on the last hour.
    pub(crate) fn report(&self) -> Value {
        let output = self.command("report", &["--name", "simulated", "--since", "1h", "--format", "json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// A running sidecar; killed when dropped.
pub(crate) struct Sidecar {
    process: Child,
    base: String,
    told: Arc<Mutex<String>>,
}

impl Sidecar {
    /// Runs this command, which listens, and waits until it says where.
    pub(crate) fn begin(command: &mut Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| Some(line.unwrap().split_once("address=")?.1.to_owned())).unwrap();
        // Somebody must read on, or the sidecar would wait for room in the pipe.
        let told = Arc::new(Mutex::new(String::new()));
        let keep = told.clone();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| keep.lock().unwrap().push_str(&(line + "\n"))));
        Self { process, base: format!("http://{address}"), told }
    }

    /// What it said on stderr so far.
    pub(crate) fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        hubwatch::base::tls::choose_provider();
        let response = reqwest::get(self.url(path)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// What it serves, once it serves something of which this holds.
    pub(crate) async fn until(&self, path: &str, holds: impl Fn(&str) -> bool) -> String {
        until(path, async || {
            let (status, body) = self.get(path).await;
            (status == 200 && holds(&body)).then_some(body)
        })
        .await
    }

    pub(crate) async fn until_json(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let parsed = |body: &str| serde_json::from_str::<Value>(body).unwrap();
        parsed(&self.until(path, |body| holds(&parsed(body))).await)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Asks it to stop, and expects it to do so well.
    pub(crate) fn stop(self) {
        let (code, told) = self.end();
        assert_eq!(code, Some(0), "{told}");
    }

    /// Asks it to stop; gives back how it ended and what it said until then.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let code = self.process.wait().unwrap().code();
        (code, self.told())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether the metrics say that the filesystem server works.
pub(crate) fn filesystem_is_up(metrics: &str) -> bool {
    metrics
        .lines()
        .any(|line| line.starts_with("mcphub_server_up_ratio{") && line.ends_with("mcphub_server_name=\"filesystem\"} 1"))
}

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: still not so after {} s", DEADLINE.as_secs());
        tokio::time::sleep(LOOK).await;
    }
}

/// What a command said, and how it ended.
pub(crate) fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

pub(crate) fn read_json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
