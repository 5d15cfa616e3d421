//! `hubwatch demo`: everything on a simulated hub, for a machine with nothing else.
//!
//! Live, the simulator serves on a real socket and writes a real log, and the sidecar watches it as it would a real hub. A rehearsed
//! period takes the same path from answers and lines to the report, but in virtual time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use tokio::net::TcpListener;

use super::outputs::outputs;
use super::reading::{Period, progress};
use super::report::{self, Job};
use super::watching::{self, Plan, ProcessSource};
use super::{CliError, Exit};
use crate::config::{self, Joining, Sourced};
use crate::export::Tally;
use crate::hub::children::Child;
use crate::hub::client::HubClient;
use crate::hub::interpret::PollAnswer;
use crate::journal::{FILE_NAME, Journal, Limits};
use crate::judge::rules::{RuleFile, ServerEntry};
use crate::process::HubProcess;
use crate::report::SignOff;
use crate::sidecar::{Lines, LogSource, Setup, Sidecar};
use crate::simulator::{
    ApiAnswer, FileSink, LiveSimulation, LogSink as _, Profile, Script, SimulatedChild, SimulatedProcess, Simulation, serve,
};
use crate::tail::Begin;
use crate::watch::{ApiOutcome, Bytes, Count, Environment, HubName, Micros, Origin, ProcessPoll, Text, Timestamp, WatcherId};

/// How long the live demo watches: its script, which ends with the hub's stop after 39 s, is over by then.
const LIVE: Duration = Duration::from_secs(42);

/// How often the live demo polls: often enough to see much in that time.
const LIVE_INTERVAL: Duration = Duration::from_millis(500);

/// When a rehearsed period begins: always then, so that the same rehearsal gives the same report.
const REHEARSAL_START: Timestamp = Timestamp::from_secs(1_793_491_200);

/// The noise of a rehearsal: always the same.
const REHEARSAL_SEED: u64 = 20_261_101;

/// The shortest period that the rehearsal's script fits in.
const SHORTEST: Duration = Duration::from_secs(10 * 60);

/// The longest rehearsal: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The memory and processors of the simulated host.
const HOST_MEMORY: Bytes = Bytes::new(16 * 1024 * 1024 * 1024);
const HOST_CPUS: u32 = 4;
/// The memory of a simulated server's process.
const CHILD_MEMORY: Bytes = Bytes::new(48 * 1024 * 1024);

/// Show it all on a simulated hub
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch demo                  # 42 s: watch a simulated hub, then report
  hubwatch demo --period 48h     # a rehearsed staging period at high speed, with incidents
  hubwatch demo --period 48h --calls 200000  # one of a busy hub: what does a report on it cost, from which backend?")]
pub struct DemoArgs {
    /// Rehearse a period of that length in virtual time instead
    #[arg(long, value_name = "TIME")]
    period: Option<String>,
    /// So many meta-tool calls more than the few hundred a day that are rehearsed otherwise
    #[arg(long, value_name = "CALLS", default_value_t = 0, hide_default_value = true, requires = "period")]
    calls: u64,
    /// Where the demo's log, journal and report go
    #[arg(long, value_name = "DIR", default_value = "hubwatch-demo")]
    dir: PathBuf,
}

/// Runs it; the exit code says whether it ran, whatever the verdict.
pub async fn demo(args: DemoArgs) -> Result<Exit, CliError> {
    let stage = Stage::set(args.dir)?;
    let period = match args.period {
        None => live(&stage).await?,
        Some(length) => {
            let picked = Sourced { value: length, source: "--period".to_owned() };
            let length = config::parse(picked, |text| {
                let length = config::duration(text)?;
                let fits = (SHORTEST..=LONGEST).contains(&length);
                if fits { Ok(length) } else { Err("it is not between 10m and 7d".to_owned()) }
            })?;
            rehearse(&stage, length, args.calls).await?
        }
    };
    let job = Job {
        period,
        name: Some(stage.name.clone()),
        environment: stage.environment.clone(),
        backend: None,
        trace_url: None,
        state_dir: stage.state_dir.clone(),
        outputs: outputs(std::slice::from_ref(&stage.dir), &[])?,
        templates: Vec::new(),
        rules: vec![rules()],
        sign_off: SignOff::default(),
        earlier: None,
        made_at: period.to,
    };
    report::make(job).await?;
    Ok(Exit::Ok)
}

/// The simulated hub's server `github` lacks its token.
fn rules() -> RuleFile {
    let github = ServerEntry { expected: vec!["disconnected".to_owned()] };
    RuleFile { servers: [("github".to_owned(), github)].into(), ..RuleFile::default() }
}

/// Where a demo takes place.
struct Stage {
    dir: PathBuf,
    state_dir: PathBuf,
    log: PathBuf,
    name: HubName,
    environment: Environment,
}

impl Stage {
    /// Makes the folder; what an earlier demo left there is cleared away.
    fn set(dir: PathBuf) -> Result<Self, CliError> {
        let state_dir = dir.join("state");
        let log = dir.join("mcp-hub.log");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |reason| CliError::Output { path, reason }
        };
        std::fs::create_dir_all(&dir).map_err(failed(&dir))?;
        let journal = state_dir.join(FILE_NAME);
        for old in [journal.with_extension("db"), journal.with_extension("db-wal"), journal.with_extension("db-shm"), log.clone()] {
            match std::fs::remove_file(&old) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&old)(error)),
                _ => {}
            }
        }
        let wrong = |error: crate::watch::NameError| CliError::Usage(error.to_string());
        let name = HubName::parse("demo-hub").map_err(wrong)?;
        let environment = Environment::parse(config::DEFAULT_ENVIRONMENT).map_err(wrong)?;
        Ok(Self { dir, state_dir, log, name, environment })
    }
}

/// Three quarters of a minute of a live simulated hub.
async fn live(stage: &Stage) -> Result<Period, CliError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(CliError::Start)?;
    let port = listener.local_addr().map_err(CliError::Start)?.port();
    let from = Timestamp::now();
    let mut simulation = Simulation::new(Profile { port, ..Profile::fork_pino() }, from);
    for (at, step) in Script::demo(from) {
        simulation.schedule(at, step);
    }
    let log = FileSink::open(&stage.log).map_err(CliError::Start)?;
    let live = Arc::new(Mutex::new(LiveSimulation::new(simulation, Box::new(log))));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(live.clone(), listener, async {
        // The sender is dropped when the demo ends early; that is a stop, too.
        let _ = stopped.await;
    }));
    let plan = Plan {
        client: HubClient::new(&format!("http://127.0.0.1:{port}"), &[], None)?,
        name: stage.name.clone(),
        environment: stage.environment.clone(),
        log: LogSource::File(stage.log.clone()),
        begin: Begin::Start,
        event_stream: Joining::Auto,
        rules: Vec::new(),
        lines: Lines::default(),
        build: Some(Text::from("demo")),
        state_dir: stage.state_dir.clone(),
        destinations: Vec::new(),
        limits: Limits::default(),
        drain: crate::config::DEFAULT_DRAIN,
        interval: LIVE_INTERVAL,
        vitals: crate::serve::Vitals::default(),
        process: Some(process_of(live)),
        length: Some(LIVE),
    };
    let bar = progress(LIVE.as_secs(), "watching a simulated hub: {pos} of {len} s {bar:30}");
    let ticking = tokio::spawn(tick(bar.clone()));
    let watched = watching::watch(plan).await;
    ticking.abort();
    bar.finish_and_clear();
    let _ = stop.send(());
    serving.abort();
    watched?;
    Ok(Period { from, to: Timestamp::now() })
}

async fn tick(bar: ProgressBar) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    loop {
        seconds.tick().await;
        bar.inc(1);
    }
}

fn process_of(live: Arc<Mutex<LiveSimulation>>) -> ProcessSource {
    Box::new(move |_| {
        // A panic elsewhere leaves a simulation that is as good as before.
        let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
        live.simulation().process().map(hub_process)
    })
}

fn hub_process(process: SimulatedProcess) -> HubProcess {
    let children = process.children.iter().map(|child| simulated_child(child, process.start)).collect();
    HubProcess { poll: process_poll(&process), children, auto_shutdown: false }
}

fn simulated_child(child: &SimulatedChild, hub_started: Timestamp) -> Child {
    let command = format!("node server-{}", child.server);
    Child { pid: child.pid, started: hub_started, rss: CHILD_MEMORY, cpu_time: Micros::new(0), command }
}

fn process_poll(process: &SimulatedProcess) -> ProcessPoll {
    ProcessPoll {
        pid: process.pid,
        started: process.start,
        cpu_time: process.cpu_time,
        rss: Bytes::new(process.rss_bytes),
        memory_limit: None,
        fds: Some(process.fds),
        threads: Some(process.threads),
        children: u32::try_from(process.children.len()).unwrap_or(u32::MAX),
        host_cpus: HOST_CPUS,
        host_memory: HOST_MEMORY,
    }
}

/// A whole period in virtual time: the same answers, lines, Watches, spans, journal and report, without the waiting.
async fn rehearse(stage: &Stage, length: Duration, calls: u64) -> Result<Period, CliError> {
    let length = Micros::from_duration(length);
    let (from, to) = (REHEARSAL_START, REHEARSAL_START.plus(length));
    let mut simulation = Simulation::new(Profile::fork_pino(), from);
    let load = Script::load(from, length, calls);
    for (at, step) in Script::rehearsal(from, length, REHEARSAL_SEED).into_iter().chain(load) {
        simulation.schedule(at, step);
    }
    let mut log = FileSink::open(&stage.log).map_err(CliError::Start)?;
    let opened = Journal::open(&stage.state_dir)?;
    let setup = Setup {
        origin: rehearsed_origin(stage),
        key: opened.session_key,
        log: LogSource::File(stage.log.clone()),
        begin: Begin::Start,
        lines: Lines::default(),
        checkpoint: None,
        recovered: None,
        tally: Tally::default(),
        own: None,
    };
    let mut sidecar = Sidecar::begin(setup, from, opened.journal.clone(), None, true);
    let interval = Micros::from_duration(config::DEFAULT_INTERVAL);
    let polls = length.get() / interval.get();
    let bar = progress(polls, "rehearsing: {pos} of {len} polls {bar:30}");
    for poll in 1..=polls {
        let now = from.plus(Micros::new(poll * interval.get()));
        simulation.advance(now, &mut log).map_err(CliError::Start)?;
        sidecar.polled(answer(&simulation, now)).await?;
        bar.inc(1);
    }
    log.flush().map_err(CliError::Start)?;
    sidecar.stop("the end of the period", to).await?;
    drop(sidecar);
    opened.journal.close().await?;
    bar.finish_and_clear();
    Ok(Period { from, to })
}

fn rehearsed_origin(stage: &Stage) -> Origin {
    Origin {
        hub: stage.name.clone(),
        environment: stage.environment.clone(),
        watcher: WatcherId::from_seed(b"rehearsal"),
        run: 1,
        sequence: Count::new(0),
        part: 0,
        tool_version: Text::from(env!("CARGO_PKG_VERSION")),
        build: Some(Text::from("4.3.0-rehearsed")),
        interval: Micros::from_duration(config::DEFAULT_INTERVAL),
    }
}

fn answer(simulation: &Simulation, now: Timestamp) -> PollAnswer {
    let (health, health_duration) = read(simulation.health());
    let servers = health.is_ok().then(|| read(simulation.servers()));
    let process = simulation.process().map(hub_process);
    let took = Micros::new(health_duration.get() + servers.as_ref().map_or(0, |(_, took)| took.get()));
    PollAnswer {
        asked: now.minus(took),
        now,
        health,
        health_duration,
        servers,
        process: process.as_ref().map(|process| process.poll.clone()),
        children: process.map(|process| process.children).unwrap_or_default(),
        filtering: None,
        log_file: None,
        own_subscribers: 0,
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: ApiAnswer) -> (Result<T, ApiOutcome>, Micros) {
    match answer {
        ApiAnswer::Refused => (Err(ApiOutcome::Refused), Micros::new(300)),
        ApiAnswer::Json { body, took } => (serde_json::from_slice(&body).map_err(|_| ApiOutcome::Unreadable), took),
    }
}
