//! Simulated hubs for scenarios: on a real port of this process, each with its log, and where a scenario kills a server, with real
//! processes.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hubwatch::simulator::{
    Behaviour, CallOutcome, FileSink, Gemini, Happening, LiveSimulation, LogSink, Profile, ServerPlan, Simulation, Step, Toolset,
    serve,
};
use hubwatch::watch::{Micros, Timestamp};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::processes::HubProcess;

/// The hub has been running for so long: its servers have an uptime.
const AGE: Duration = Duration::from_secs(10);

/// Far longer than anything here takes: only a fault reaches it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A simulated hub.
pub(crate) struct Hub {
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    pub(crate) live: Arc<Mutex<LiveSimulation>>,
    /// What stands for its process.
    process: Option<Process>,
}

/// What stands for a hub's process: each hub has one of its own, so that nobody takes this test's children for servers.
enum Process {
    /// Nothing but a process.
    Bare(Child),
    /// One with a process for each server.
    WithServers(HubProcess),
}

impl Drop for Process {
    fn drop(&mut self) {
        match self {
            Self::Bare(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::WithServers(_) => {}
        }
    }
}

/// The fork with three servers, each with a harmless tool. It is quick: few lines when a client leaves, no long wait for a Gemini that
/// fails.
pub(crate) fn fork() -> Profile {
    let harmless = |name: &str| ServerPlan { toolset: Toolset::HarmlessStandIn, ..ServerPlan::working(name) };
    Profile {
        storm_lines: (20, 40),
        servers: vec![ServerPlan::working("filesystem"), harmless("memory"), harmless("github")],
        gemini_rounds: [Micros::new(30_000); 3],
        ..Profile::fork_pino()
    }
}

/// The same with behaviour of its own.
pub(crate) fn fork_that(behaviour: Behaviour) -> Profile {
    Profile { behaviour, ..fork() }
}

/// The fork whose tools work and whose clients may leave.
pub(crate) fn mended() -> Profile {
    fork_that(Behaviour { tools_work: true, survives_leaving: true, ..Behaviour::default() })
}

/// The npm hub with the same servers.
pub(crate) fn npm() -> Profile {
    let Profile { storm_lines, servers, .. } = fork();
    Profile { storm_lines, servers, ..Profile::npm() }
}

/// The fork whose tools don't say whether they change anything.
pub(crate) fn without_hints() -> Profile {
    let silent = |name: &str| ServerPlan::stand_in(name);
    Profile { servers: vec![silent("filesystem"), silent("memory"), silent("github")], ..fork() }
}

/// A Gemini that answers these categories at once.
pub(crate) fn answers(categories: &[&str]) -> Gemini {
    answers_after(20, categories)
}

pub(crate) fn answers_after(millis: u64, categories: &[&str]) -> Gemini {
    let categories = categories.iter().map(|category| (*category).to_owned()).collect();
    Gemini::Answers { after: Micros::new(millis * 1_000), categories }
}

impl Hub {
    /// A hub that has been running for a while.
    pub(crate) async fn start(profile: Profile) -> Self {
        Self::with(profile, |sink| Box::new(sink)).await
    }

    /// The same with a log of its own.
    pub(crate) async fn with(profile: Profile, log: impl FnOnce(FileSink) -> Box<dyn LogSink + Send>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink::open(&folder.path().join("mcp-hub.log")).unwrap();
        Self::logging(profile, folder, log(sink)).await
    }

    pub(crate) async fn logging(profile: Profile, folder: TempDir, log: Box<dyn LogSink + Send>) -> Self {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let profile = Profile { pid: child.id(), ..profile };
        Self { process: Some(Process::Bare(child)), ..Self::of_process(profile, folder, log).await }
    }

    /// A hub whose process is already named in its profile.
    pub(crate) async fn of_process(profile: Profile, folder: TempDir, mut log: Box<dyn LogSink + Send>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let now = Timestamp::now();
        let begun = now.minus(Micros::from_duration(AGE));
        let mut simulation = Simulation::new(Profile { port, ..profile }, begun);
        simulation.schedule(begun, Step::StartHub);
        simulation.advance(now, log.as_mut()).unwrap();
        let live = Arc::new(Mutex::new(LiveSimulation::new(simulation, log)));
        tokio::spawn(serve(live.clone(), listener, std::future::pending()));
        Self { url: format!("http://127.0.0.1:{port}"), folder, live, process: None }
    }

    /// A hub with real processes.
    pub(crate) async fn with_processes(profile: Profile) -> Self {
        let process = tokio::task::spawn_blocking(HubProcess::start).await.unwrap();
        let mut hub = Self::of_pid(profile, process.pid()).await;
        let live = Arc::clone(&hub.live);
        let follows = move || {
            process.follow(live);
            process
        };
        hub.process = Some(Process::WithServers(tokio::task::spawn_blocking(follows).await.unwrap()));
        hub
    }

    /// A hub that is this process.
    pub(crate) async fn of_pid(profile: Profile, pid: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink::open(&folder.path().join("mcp-hub.log")).unwrap();
        Self::of_process(Profile { pid, ..profile }, folder, Box::new(sink)).await
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        match self.process.as_ref().unwrap() {
            Process::Bare(child) => child.id(),
            Process::WithServers(process) => process.pid(),
        }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("mcp-hub.log")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Looks into the hub.
    pub(crate) fn inside<T>(&self, look: impl FnOnce(&mut LiveSimulation) -> T) -> T {
        look(&mut self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something happens now.
    pub(crate) fn happens(&self, step: Step) {
        self.inside(|live| {
            live.simulation().schedule(Timestamp::now(), step);
            live.advance().unwrap();
        });
    }

    /// What has really happened that `wanted` finds, with its time.
    pub(crate) fn truth<T>(&self, wanted: impl Fn(&Happening) -> Option<T>) -> Vec<(Timestamp, T)> {
        self.inside(|live| live.simulation().truth().iter().filter_map(|truth| Some((truth.at, wanted(&truth.what)?))).collect())
    }

    /// When clients left.
    pub(crate) fn departures(&self) -> Vec<Timestamp> {
        let left = |what: &Happening| matches!(what, Happening::ClientDisconnected { .. }).then_some(());
        self.truth(left).into_iter().map(|(at, ())| at).collect()
    }

    /// How many clients left during a call.
    pub(crate) fn left_during_calls(&self) -> usize {
        let gone = |what: &Happening| matches!(what, Happening::CallEnded { outcome: CallOutcome::SessionGone, .. }).then_some(());
        self.truth(gone).len()
    }

    /// How often each tool ran.
    pub(crate) fn tools_run(&self) -> usize {
        self.truth(|what| matches!(what, Happening::ToolRan { .. }).then_some(())).len()
    }

    pub(crate) fn mcp_requests(&self) -> u64 {
        self.inside(|live| live.mcp_requests())
    }

    /// How many MCP clients are connected.
    pub(crate) async fn clients(&self) -> u64 {
        self.asks("/api/health").await["mcpEndpoint"]["activeClients"].as_u64().unwrap()
    }

    /// Whether it answers.
    pub(crate) async fn is_up(&self) -> bool {
        hubwatch::base::tls::choose_provider();
        reqwest::get(format!("{}/api/health", self.url)).await.is_ok()
    }

    pub(crate) async fn asks(&self, path: &str) -> serde_json::Value {
        hubwatch::base::tls::choose_provider();
        let answer = reqwest::get(format!("{}{path}", self.url)).await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// The servers that are connected and whose uptime counts.
    pub(crate) async fn usable(&self) -> Vec<String> {
        let answer = self.asks("/api/servers").await;
        let usable = answer["servers"].as_array().unwrap().iter();
        let usable = usable.filter(|server| server["status"] == "connected" && server["uptime"].as_f64() > Some(0.0));
        usable.map(|server| server["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: still not so after {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
