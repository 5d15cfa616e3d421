//! `hubwatch demo`: the whole product on a simulated hub, with no other requirements.
//!
//! In the live demo the simulator serves on a real socket and writes a real log, and the sidecar watches it like a real hub. A
//! rehearsed period takes the same path from API answers and log lines to the report, but in virtual time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use tokio::net::TcpListener;

use super::outputs::outputs;
use super::period_source::{Period, progress};
use super::report::{self, Job};
use super::watching::{self, Plan, ProcessSource, filtering_poll};
use super::{CliError, Exit};
use crate::announce::marks::{self, Edge, Mark};
use crate::config::{self, Joining, Sourced};
use crate::export::Tally;
use crate::hub::children::Child;
use crate::hub::client::HubClient;
use crate::hub::events::EventReader;
use crate::hub::interpret::PollAnswer;
use crate::journal::{FILE_NAME, Journal, Limits};
use crate::judge::rules::{self, RuleFile};
use crate::process::HubProcess;
use crate::report::SignOff;
use crate::sidecar::{Lines, LogSource, Setup, Sidecar};
use crate::simulator::{
    ApiAnswer, Drill, FileSink, LiveSimulation, LogSink as _, Profile, Script, SimulatedChild, SimulatedProcess, Simulation, Step,
    Window, serve,
};
use crate::tail::Begin;
use crate::watch::{ApiOutcome, Bytes, Count, Environment, HubName, Micros, Origin, ProcessPoll, Text, Timestamp, WatcherId};

/// Length of the live demo. The script of the simulated hub ends with a stop after 39 s.
const LIVE: Duration = Duration::from_secs(42);

/// Length of the healthy demo: half a minute of normal use, the scenarios, and half a minute in which their effects may show.
const LIVE_HEALTHY: Duration = Duration::from_secs(90);

/// Uptime of the healthy hub when the live demo joins it: its start is over, and its memory is steady.
const RAN_BEFORE: Micros = Micros::new(2 * 3_600 * 1_000_000);

/// The time after which the healthy hub restarts a crashed server: long enough for a poll to see it dead, and within the strategy's
/// 30 s.
const RECONNECTS: Micros = Micros::new(18_000_000);

/// Polling interval of the live demo, short because the demo is.
const LIVE_INTERVAL: Duration = Duration::from_millis(500);

/// Beginning of a rehearsed period. It is fixed, so that the same rehearsal gives the same report.
const REHEARSAL_START: Timestamp = Timestamp::from_secs(1_793_491_200);

/// Seed of the rehearsal's noise, fixed for the same reason.
const REHEARSAL_SEED: u64 = 20_261_101;

/// The shortest period that the rehearsal's script fits in.
const SHORTEST: Duration = Duration::from_secs(10 * 60);

/// The longest rehearsal: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Memory and CPUs of the simulated host.
const HOST_MEMORY: Bytes = Bytes::new(16 * 1024 * 1024 * 1024);
const HOST_CPUS: u32 = 4;
/// Memory of a simulated server's process.
const CHILD_MEMORY: Bytes = Bytes::new(48 * 1024 * 1024);

/// Run everything on a simulated hub: watch, then report
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch demo                  # 42 s: watch a simulated hub with faults, then report
  hubwatch demo --healthy        # 90 s: a hub without faults; resilience scenarios run in planned windows; it passes
  hubwatch demo --period 48h     # rehearse a 48 h staging period with incidents in seconds
  hubwatch demo --period 48h --calls 200000  # rehearse a busy hub, to measure the cost of its report")]
pub struct DemoArgs {
    /// Rehearse a period of this length in virtual time instead, such as 48h (10m to 7d)
    #[arg(long, value_name = "TIME")]
    period: Option<String>,
    /// Simulate a hub without faults, and run every resilience scenario in a planned window
    #[arg(long, conflicts_with = "calls")]
    healthy: bool,
    /// Add this number of meta-tool calls to the few hundred per day of a rehearsal, such as 200000
    #[arg(long, value_name = "CALLS", default_value_t = 0, hide_default_value = true, requires = "period")]
    calls: u64,
    /// The folder for the demo's log, journal and report
    #[arg(long, value_name = "DIR", default_value = "hubwatch-demo")]
    dir: PathBuf,
}

/// Runs the demo. The exit code says if it worked, whatever the verdict.
pub(super) async fn demo(args: DemoArgs) -> Result<Exit, CliError> {
    let stage = Stage::set(args.dir)?;
    let period = match args.period {
        None if args.healthy => live(&stage, Play::healthy_live()).await?,
        None => live(&stage, Play::faulty_live()).await?,
        Some(length) => {
            let picked = Sourced { value: length, source: "--period".to_owned() };
            let length = config::parse(picked, |text| {
                let length = config::duration(text)?;
                let fits = (SHORTEST..=LONGEST).contains(&length);
                if fits { Ok(length) } else { Err("must be between 10m and 7d".to_owned()) }
            })?;
            let play = if args.healthy { Play::healthy(length) } else { Play::faulty(length, args.calls) };
            rehearse(&stage, length, play).await?
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
        rules: Vec::new(),
        sign_off: SignOff::default(),
        earlier: None,
        made_at: period.to,
    };
    report::make(job).await?;
    Ok(Exit::Ok)
}

/// The simulated hub's server `github` has no token, so it stays disconnected.
const EXPECTED: &str = "[servers.github]\nexpected = [\"disconnected\"]\n";

/// Overrides that let a minute be judged as a period: shorter times and fewer samples, unchanged limits.
const SHORT: &str = "
[judge]
min_period = \"1m\"
leak_window = \"2s\"
leak_warm_up = \"1m\"
leak_min_steady = \"20s\"
leak_min_growth_bytes = 40_000_000
leak_tolerated_bytes_per_day = 1_000_000_000_000

[[criterion]]
id = \"performance.log_growth\"
min_samples = 40

[[criterion]]
id = \"performance.cpu\"
min_samples = 10
";

/// The simulation to watch.
struct Play {
    profile: Profile,
    /// Virtual time that passes before the watch begins.
    before: Micros,
    length: Duration,
    /// Creates the drill from the beginning of the watch.
    drill: Box<dyn FnOnce(Timestamp) -> Drill>,
    rules: RuleFile,
}

impl Play {
    fn new(profile: Profile, length: Duration, drill: impl FnOnce(Timestamp) -> Drill + 'static) -> Self {
        Self { profile, before: Micros::new(0), length, drill: Box::new(drill), rules: rules_of(EXPECTED) }
    }

    fn faulty(length: Duration, calls: u64) -> Self {
        Self::new(Profile::fork_pino(), length, move |from| {
            let length = Micros::from_duration(length);
            let load = Script::load(from, length, calls);
            let steps = Script::rehearsal(from, length, REHEARSAL_SEED).into_iter().chain(load).collect();
            Drill { steps, windows: Vec::new() }
        })
    }

    fn healthy(length: Duration) -> Self {
        Self::new(Profile::mended(RECONNECTS), length, move |from| {
            Drill::period(from, Micros::from_duration(length), REHEARSAL_SEED)
        })
    }

    fn faulty_live() -> Self {
        Self::new(Profile::fork_pino(), LIVE, |from| Drill { steps: Script::demo(from), windows: Vec::new() })
    }

    fn healthy_live() -> Self {
        let play = Self::new(Profile::mended(RECONNECTS), LIVE_HEALTHY, |from| {
            let mut drill = Drill::live(from);
            drill.steps.insert(0, (from.minus(RAN_BEFORE), Step::StartHub));
            drill
        });
        Self { before: RAN_BEFORE, rules: rules_of(&format!("{EXPECTED}{SHORT}")), ..play }
    }
}

/// Parses built-in rules; a test makes sure that they are valid.
fn rules_of(text: &str) -> RuleFile {
    rules::parse(text).unwrap_or_default()
}

/// Returns the announcements of the windows, in time order.
fn announcements(windows: &[Window]) -> Vec<Mark> {
    let mark = |window: &Window, edge, at| Mark { at, edge, name: window.name.to_owned() };
    let mut all: Vec<Mark> =
        windows.iter().flat_map(|window| [mark(window, Edge::Begin, window.from), mark(window, Edge::End, window.to)]).collect();
    all.sort_by_key(|mark| mark.at);
    all
}

/// Announces each window at its time, like a person with `hubwatch mark`.
async fn announce(state_dir: PathBuf, marks: Vec<Mark>) {
    for mark in marks {
        let wait = mark.at.since(Timestamp::now()).get();
        tokio::time::sleep(Duration::from_micros(wait)).await;
        if let Err(error) = marks::lay(&state_dir, &mark) {
            tracing::warn!(mark = mark.name, %error, "can't announce a planned window");
        }
    }
}

/// The files of a demo.
struct Stage {
    dir: PathBuf,
    state_dir: PathBuf,
    log: PathBuf,
    name: HubName,
    environment: Environment,
}

impl Stage {
    /// Creates the folder and removes what an earlier demo left there.
    fn set(dir: PathBuf) -> Result<Self, CliError> {
        let state_dir = dir.join("state");
        let log = dir.join("mcp-hub.log");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |reason| CliError::Output { path, reason }
        };
        std::fs::create_dir_all(&dir).map_err(failed(&dir))?;
        // Announced windows that an earlier demo did not take up.
        let _ = std::fs::remove_dir_all(state_dir.join("marks"));
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

/// Watches a simulated hub live.
async fn live(stage: &Stage, play: Play) -> Result<Period, CliError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(CliError::Start)?;
    let port = listener.local_addr().map_err(CliError::Start)?.port();
    let from = Timestamp::now();
    let mut simulation = Simulation::new(Profile { port, ..play.profile }, from.minus(play.before));
    let drill = (play.drill)(from);
    for (at, step) in drill.steps {
        simulation.schedule(at, step);
    }
    if play.before > Micros::new(0) {
        // The earlier log is treated as rotated away.
        simulation.advance(from, &mut Vec::new()).map_err(CliError::Start)?;
    }
    let log = FileSink::open(&stage.log).map_err(CliError::Start)?;
    let live = Arc::new(Mutex::new(LiveSimulation::new(simulation, Box::new(log))));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(live.clone(), listener, async {
        // If the demo ends early, the sender is dropped, which also stops the hub.
        let _ = stopped.await;
    }));
    let plan = Plan {
        client: HubClient::new(&format!("http://127.0.0.1:{port}"), &[], None)?,
        headers: Vec::new(),
        ca: None,
        name: stage.name.clone(),
        environment: stage.environment.clone(),
        log: LogSource::File(stage.log.clone()),
        begin: Begin::Start,
        event_stream: Joining::Auto,
        rules: entries(&play.rules)?,
        lines: Lines::default(),
        build: Some(Text::from("demo")),
        state_dir: stage.state_dir.clone(),
        receive: None,
        destinations: Vec::new(),
        limits: Limits::default(),
        drain: crate::config::DEFAULT_DRAIN,
        interval: LIVE_INTERVAL,
        vitals: crate::live::vitals::Vitals::default(),
        process: Some(process_of(live)),
        length: Some(play.length),
    };
    let announcing = tokio::spawn(announce(stage.state_dir.clone(), announcements(&drill.windows)));
    let bar = progress(play.length.as_secs(), "watching a simulated hub: {pos} of {len} s {bar:30}");
    let ticking = tokio::spawn(tick(bar.clone()));
    let watched = watching::watch(plan).await;
    ticking.abort();
    announcing.abort();
    bar.finish_and_clear();
    let _ = stop.send(());
    serving.abort();
    watched?;
    Ok(Period { from, to: Timestamp::now(), is_asked: true })
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
        // The simulation is valid even after a panic elsewhere.
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

/// Rehearses a whole period in virtual time: the same answers, lines, Watches, spans, journal and report, without waiting.
async fn rehearse(stage: &Stage, length: Duration, play: Play) -> Result<Period, CliError> {
    let length = Micros::from_duration(length);
    let (from, to) = (REHEARSAL_START, REHEARSAL_START.plus(length));
    let mut simulation = Simulation::new(play.profile, from);
    let drill = (play.drill)(from);
    for (at, step) in drill.steps {
        simulation.schedule(at, step);
    }
    let mut announced = announcements(&drill.windows).into_iter().peekable();
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
    sidecar.state_rules(entries(&play.rules)?);
    let interval = Micros::from_duration(config::DEFAULT_INTERVAL);
    let polls = length.get() / interval.get();
    let bar = progress(polls, "rehearsing: {pos} of {len} polls {bar:30}");
    let mut stream = None;
    for poll in 1..=polls {
        let now = from.plus(Micros::new(poll * interval.get()));
        let (mut heard, mut broke) = (Vec::new(), false);
        let mut hear = |event: Option<&str>| match (event, &mut stream) {
            (Some(text), Some(reader)) if !broke => heard.extend(EventReader::feed(reader, text.as_bytes())),
            (Some(_), _) => {}
            (None, _) => broke = true,
        };
        simulation.advance_streamed(now, &mut log, &mut hear).map_err(CliError::Start)?;
        while let Some(mark) = announced.next_if(|mark| mark.at <= now) {
            sidecar.mark(&mark);
        }
        sidecar.heard(heard, now).await?;
        if broke && stream.take().is_some() {
            sidecar.stream_left("the connection broke", true, now);
        }
        let answer = answer(&simulation, now, u32::from(stream.is_some()));
        let joins = stream.is_none() && answer.health.is_ok();
        sidecar.polled(answer).await?;
        if joins {
            stream = Some(EventReader::default());
            sidecar.stream_joined(now);
            simulation.schedule(now, Step::Subscribe);
        }
        bar.inc(1);
    }
    log.flush().map_err(CliError::Start)?;
    sidecar.stop("the end of the period", to).await?;
    drop(sidecar);
    opened.journal.close().await?;
    bar.finish_and_clear();
    Ok(Period { from, to, is_asked: true })
}

/// Encodes the rules for the Watches, so that a later report on the journal uses them, too.
fn entries(rules: &RuleFile) -> Result<Vec<String>, CliError> {
    rules.entries().map_err(|error| CliError::Usage(error.to_string()))
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

fn answer(simulation: &Simulation, now: Timestamp, own_subscribers: u32) -> PollAnswer {
    let (health, health_duration) = read(simulation.health());
    let servers = health.is_ok().then(|| read(simulation.servers()));
    let filtering = health.is_ok().then(|| filtering_poll(read(simulation.filtering_stats())));
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
        filtering,
        log_file: None,
        own_subscribers,
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: ApiAnswer) -> (Result<T, ApiOutcome>, Micros) {
    match answer {
        ApiAnswer::Refused => (Err(ApiOutcome::Refused), Micros::new(300)),
        ApiAnswer::Json { body, took } => (serde_json::from_slice(&body).map_err(|_| ApiOutcome::Unreadable), took),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_each_demo_are_valid_and_disable_no_criterion_and_change_no_limit() {
        for text in [EXPECTED.to_owned(), format!("{EXPECTED}{SHORT}")] {
            let file = rules::parse(&text).unwrap();
            rules::Rules::builtin().apply(&file).unwrap();
            assert!(
                file.criterion.iter().all(|entry| entry.enabled.is_none() && entry.limits.is_empty() && entry.severity.is_none())
            );
            assert!(file.waiver.is_empty() && entries(&file).is_ok());
        }
    }
}
