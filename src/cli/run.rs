//! `hubwatch run`: watches a hub until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use percent_encoding::percent_decode_str;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use super::{CliError, Exit, report};
use crate::config::environment::{self, Environment};
use crate::config::{self, ConfigError, Layers, Secret, Sourced};
use crate::export::{Compression, Destination, Protocol, Senders};
use crate::hub::api::{Health, Servers};
use crate::hub::client::{ClientError, HubClient, Timed};
use crate::hub::discover;
use crate::hub::interpret::PollAnswer;
use crate::journal::{DestinationName, Journal, JournalError, Opened};
use crate::process::{self, Find, ProcessReader};
use crate::sidecar::clock::Clock;
use crate::sidecar::{Setup, Sidecar};
use crate::tail::Begin;
use crate::watch::{Count, HubName, Micros, Origin, ProcessPoll, Text, Timestamp};

/// How often the log is looked at. A quarter of a second is soon enough for people and costs next to nothing: one `stat`.
const LOOK_AT_LOG: Duration = Duration::from_millis(250);

/// How long the way out may take: a container runtime kills after ten seconds.
const DRAIN: Duration = Duration::from_secs(5);

/// Watch a hub
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch run --hub http://127.0.0.1:7000 --log ~/.local/state/mcp-hub/logs/mcp-hub.log
  hubwatch run --hub http://127.0.0.1:7000 --otlp http://127.0.0.1:4318 --name hub-a --build 4.3.0-rc.1
  hubwatch run --for 48h --report report.md     # watch, report, and exit with the verdict")]
pub struct RunArgs {
    /// The hub's address, with a path prefix if it is behind a proxy [default: the hub that runs here]
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    /// The hub's log file [default, for a hub that runs here: where it writes it]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Where to begin in a log that was never read
    #[arg(long, value_name = "WHERE", default_value = "start")]
    from: From,
    /// What the report calls the hub [default: its address]
    #[arg(long, value_name = "HUB")]
    name: Option<String>,
    /// Where the hub runs [default: staging]
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// The build under test
    #[arg(long, value_name = "ID")]
    build: Option<String>,
    /// The state folder [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where telemetry goes, by OTLP [default: nowhere but the state folder]
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// How often the hub is polled [default: 15s]
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// The hub's process id, where it can't be found out
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// A header for every request to the hub, such as 'Authorization: Bearer …'
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// A certificate authority that the hub's certificate may come from
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Watch that long, then stop
    #[arg(long = "for", value_name = "TIME")]
    length: Option<String>,
    /// Report when the time is over, and exit with the verdict
    #[arg(long, value_name = "FILE", requires = "length")]
    report: Option<PathBuf>,
}

/// Where to begin in a log that was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// At its beginning
    Start,
    /// At its end: skip what it holds
    End,
}

/// What a run was resolved to.
pub struct Plan {
    /// How the hub is asked.
    pub client: HubClient,
    /// What the report calls it.
    pub name: HubName,
    /// Where it runs.
    pub environment: crate::watch::Environment,
    /// Its log file.
    pub log: Option<PathBuf>,
    /// Where to begin in it.
    pub begin: Begin,
    /// The build under test.
    pub build: Option<Text>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// Where telemetry goes.
    pub destinations: Vec<Destination>,
    /// How often the hub is polled.
    pub interval: Duration,
    /// How its process is seen; `None` where it can't be.
    pub process: Option<ProcessSource>,
    /// How long to watch; until a signal if not said.
    pub length: Option<Duration>,
}

/// Shows the hub's process as it is now, given what its API says of it: its id and its start.
pub type ProcessSource = Box<dyn FnMut(Option<(u32, Option<Timestamp>)>) -> Option<ProcessPoll>>;

/// Runs it.
pub async fn run(args: RunArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    let report_to = args.report.clone();
    let plan = plan(args, layers)?;
    let begun = Timestamp::now();
    let (name, environment, state_dir) = (plan.name.clone(), plan.environment.clone(), plan.state_dir.clone());
    watch(plan).await?;
    match report_to {
        None => Ok(Exit::Ok),
        Some(out) => {
            let period = report::Period { from: begun, to: Timestamp::now() };
            let job = report::Job { period, name: Some(name), environment, state_dir, out: Some(out), ..report::Job::new(layers)? };
            report::make(job).await
        }
    }
}

fn plan(args: RunArgs, layers: &Layers<impl Environment>) -> Result<Plan, CliError> {
    let file = &layers.file.hub;
    let environment = layers.environment();
    let state_home = environment::state_home(environment);
    let named = layers.pick(("--hub", args.hub.as_deref()), "HUBWATCH_HUB", ("hub.url", file.url.as_deref()));
    let discovered = named.is_none();
    let hub = match named {
        Some(named) => named,
        None => {
            let value = discover::hub_of_this_host(&state_home, process::is_alive)?;
            Sourced { value, source: "the hub of this host".to_owned() }
        }
    };
    let url = hub.value.clone();
    let log_file = file.log.as_ref().map(|path| path.to_string_lossy().into_owned());
    let log_flag = args.log.as_ref().map(|path| path.to_string_lossy().into_owned());
    let log = layers
        .pick(("--log", log_flag.as_deref()), "HUBWATCH_LOG", ("hub.log", log_file.as_deref()))
        .map(|picked| PathBuf::from(picked.value))
        .or_else(|| discovered.then(|| discover::log_of_this_host(&environment::home(environment), &state_home)));
    let headers = layers.hub_headers(&args.header)?;
    let ca = args.ca.or_else(|| file.ca.clone());
    let name = match layers.hub_name(args.name.as_deref())? {
        Some(name) => name,
        None => config::parse(hub.clone(), config::name_of_address)?,
    };
    let build = layers.pick(("--build", args.build.as_deref()), "HUBWATCH_BUILD", ("hub.build", file.build.as_deref()));
    Ok(Plan {
        client: client(hub, &headers, ca.as_deref())?,
        name,
        environment: layers.environment_name(args.environment.as_deref())?,
        log,
        begin: if args.from == From::End { Begin::End } else { Begin::Start },
        build: build.map(|build| Text::new(build.value)),
        state_dir: layers.state_dir(args.state_dir.as_deref()),
        destinations: destinations(args.otlp.as_deref(), layers)?,
        interval: layers.interval(args.interval.as_deref())?,
        process: process_source(find(args.pid.or(file.pid), &url)),
        length: args.length.map(|length| length_of(&length)).transpose()?,
    })
}

/// An address that is none is told with where it came from.
fn client(hub: Sourced<String>, headers: &[(String, String)], ca: Option<&std::path::Path>) -> Result<HubClient, CliError> {
    HubClient::new(&hub.value, headers, ca).map_err(|error| match error {
        ClientError::Url { reason, .. } => {
            let problem = format!("is not an address of a hub: {reason}; give one like http://127.0.0.1:7000");
            ConfigError::Value { setting: hub.source, value: hub.value, problem }.into()
        }
        other => other.into(),
    })
}

fn length_of(text: &str) -> Result<Duration, ConfigError> {
    config::parse(Sourced { value: text.to_owned(), source: "--for".to_owned() }, config::duration)
}

fn process_source(find: Find) -> Option<ProcessSource> {
    if find == Find::Elsewhere {
        return None;
    }
    let mut reader = ProcessReader::new(find);
    Some(Box::new(move |said| reader.read(said)))
}

/// The hub's process can be seen if the hub is on this host.
fn find(pid: Option<u32>, url: &str) -> Find {
    if let Some(pid) = pid {
        return Find::Pid(pid);
    }
    let parsed = reqwest::Url::parse(url).ok();
    let port = parsed.as_ref().and_then(reqwest::Url::port_or_known_default);
    let host = parsed.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match port {
        Some(port) if here => Find::OnThisHost { port },
        _ => Find::Elsewhere,
    }
}

/// Where telemetry goes: the flag, OpenTelemetry's own variables, the file.
fn destinations(flag: Option<&str>, layers: &Layers<impl Environment>) -> Result<Vec<Destination>, CliError> {
    let file = &layers.file.otlp;
    let Some(endpoint) = layers.pick(("--otlp", flag), "OTEL_EXPORTER_OTLP_ENDPOINT", ("otlp.endpoint", file.endpoint.as_deref()))
    else {
        return Ok(Vec::new());
    };
    let protocol = layers.pick(("", None), "OTEL_EXPORTER_OTLP_PROTOCOL", ("otlp.protocol", file.protocol.as_deref()));
    let compression = layers.pick(("", None), "OTEL_EXPORTER_OTLP_COMPRESSION", ("otlp.compression", file.compression.as_deref()));
    let protocol = match protocol {
        Some(protocol) => config::parse(protocol, str::parse::<Protocol>)?,
        None => Protocol::of_endpoint(&endpoint.value),
    };
    let compression = match compression {
        Some(compression) => config::parse(compression, str::parse::<Compression>)?,
        None => Compression::None,
    };
    let mut headers: Vec<(String, Secret)> =
        file.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
    let variables = layers.environment();
    headers.extend(variables.get("OTEL_EXPORTER_OTLP_HEADERS").iter().flat_map(|list| header_list(list)));
    let ca = variables.get("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from).or_else(|| file.ca.clone());
    let source = endpoint.source.clone();
    let value = endpoint.value.clone();
    let destination = Destination::new(DestinationName::main(), endpoint.value, protocol, headers, compression, ca)
        .map_err(|error| ConfigError::Value { setting: source, value, problem: format!("can't be used: {error}") })?;
    Ok(vec![destination])
}

/// `key=value,key=value` with percent-encoded values, as the OpenTelemetry specification writes headers.
fn header_list(list: &str) -> Vec<(String, Secret)> {
    let pairs = list.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), Secret::new(percent_decode_str(value.trim()).decode_utf8_lossy()))).collect()
}

/// Watches until a signal or the end of the time; what was learned is committed when it returns.
pub async fn watch(plan: Plan) -> Result<(), CliError> {
    let mut stop = Stop::listen(plan.length).map_err(CliError::Start)?;
    let Opened { journal, watcher, run, session_key, checkpoint, recovered } = Journal::open(&plan.state_dir)?;
    if let Some(aside) = recovered {
        tracing::warn!(aside = %aside.display(), "the journal was damaged: it was set aside and a new one begun");
    }
    let origin = Origin {
        hub: plan.name.clone(),
        environment: plan.environment.clone(),
        watcher,
        run,
        sequence: Count::new(0),
        part: 0,
        tool_version: Text::from(env!("CARGO_PKG_VERSION")),
        build: plan.build.clone(),
        interval: Micros::from_duration(plan.interval),
    };
    let senders = Senders::spawn(&plan.destinations, &journal).await?;
    tracing::info!(
        hub = config::without_credentials(plan.client.base()), name = %plan.name, environment = %plan.environment,
        log = plan.log.as_ref().map(|log| log.display().to_string()).unwrap_or("none".to_owned()),
        state = %plan.state_dir.display(), otlp = plan.destinations.first().map_or("none".to_owned(), |to| config::without_credentials(to.endpoint())),
        run, "watching"
    );
    let clock = Clock::start();
    let mut watcher =
        Watcher { clock, last: Timestamp::now(), process: plan.process, client: plan.client, answered: None, sidecar: None };
    let setup = Setup { origin, key: session_key, log: plan.log, begin: plan.begin, checkpoint };
    let reason = watcher.go(setup, &journal, &senders, plan.interval, &mut stop).await?;
    tracing::info!(reason, "stopping");
    let unsent = tokio::select! {
        unsent = senders.drain(DRAIN) => unsent,
        // A second signal means now.
        _ = stop.signal() => true,
    };
    if unsent {
        tracing::warn!("not everything could be sent; it is kept and sent by the next run");
    }
    journal.close().await?;
    Ok(())
}

/// The loop's own state.
struct Watcher {
    clock: Clock,
    last: Timestamp,
    process: Option<ProcessSource>,
    client: HubClient,
    /// Whether the hub answered the last poll, for telling people when that changes.
    answered: Option<bool>,
    sidecar: Option<Sidecar>,
}

/// What the two requests of a poll brought.
type Asked = (Timestamp, Timed<Health>, Option<Timed<Servers>>);

impl Watcher {
    async fn go(
        &mut self,
        setup: Setup,
        journal: &Journal,
        senders: &Senders,
        interval: Duration,
        stop: &mut Stop,
    ) -> Result<&'static str, CliError> {
        let now = self.now().await?;
        let looks = self.process.is_some();
        self.sidecar = Some(Sidecar::begin(setup, now, journal.clone(), senders.fast_path(), looks));
        let mut polls = tokio::time::interval(interval);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = tokio::time::interval(LOOK_AT_LOG);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking: Option<std::pin::Pin<Box<dyn Future<Output = Asked>>>> = None;
        let mut first = true;
        let reason = loop {
            tokio::select! {
                reason = stop.wait() => break reason,
                _ = polls.tick(), if asking.is_none() => {
                    let asked = self.now().await?;
                    asking = Some(Box::pin(ask(self.client.clone(), asked)));
                }
                asked = pending(&mut asking) => {
                    asking = None;
                    self.polled(asked, &mut first).await?;
                }
                // The first poll tells which lines of an old log are of the hub's present process.
                _ = looks.tick(), if !first => {
                    let now = self.now().await?;
                    if let Some(sidecar) = &mut self.sidecar {
                        survive(sidecar.read_log(now).await)?;
                    }
                }
            }
        };
        let now = self.now().await?;
        if let Some(sidecar) = &mut self.sidecar {
            survive(sidecar.stop(reason, now).await)?;
        }
        Ok(reason)
    }

    /// The present; a jump of the wall clock is told before.
    async fn now(&mut self) -> Result<Timestamp, CliError> {
        let reading = self.clock.read();
        if let (Some(jump), Some(sidecar)) = (reading.jump, &mut self.sidecar) {
            survive(sidecar.clock_jumped(self.last, reading.now, jump).await)?;
        }
        self.last = reading.now;
        Ok(reading.now)
    }

    async fn polled(&mut self, (asked, health, servers): Asked, first: &mut bool) -> Result<(), CliError> {
        let said = health.0.as_ref().ok().and_then(Health::workspace);
        let said = said.and_then(|said| Some((said.pid?, said.started)));
        let process = self.process.as_mut().and_then(|source| source(said));
        self.tell(&health);
        let answer = PollAnswer {
            asked,
            now: self.now().await?,
            health: health.0,
            health_duration: health.1,
            servers,
            process,
            log_file: None,
            own_subscribers: 0,
        };
        if let Some(sidecar) = &mut self.sidecar {
            if std::mem::take(first) {
                sidecar.first_poll(&answer);
            }
            survive(sidecar.polled(answer).await)?;
        }
        Ok(())
    }

    /// Tells people when the hub begins or ceases to answer.
    fn tell(&mut self, health: &Timed<Health>) {
        let answered = health.0.is_ok();
        if self.answered.replace(answered) != Some(answered) {
            match &health.0 {
                Ok(health) => tracing::info!(state = health.state, "the hub answers"),
                Err(outcome) => tracing::warn!(%outcome, "the hub does not answer; watching goes on"),
            }
        }
    }
}

/// A full disk is told and survived: the Watches that could not be kept are missing by their numbers, and the watch goes on.
fn survive(committed: Result<(), JournalError>) -> Result<(), JournalError> {
    match committed {
        Err(error) if error.is_full() => {
            tracing::error!(%error, "the disk is full: this can't be kept; make room, the watch goes on meanwhile");
            Ok(())
        }
        other => other,
    }
}

async fn ask(client: HubClient, asked: Timestamp) -> Asked {
    let health = client.health().await;
    let reached = !matches!(health.0, Err(outcome) if !outcome.answered());
    let servers = if reached { Some(client.servers().await) } else { None };
    (asked, health, servers)
}

/// Waits for the poll under way; for ever if there is none.
async fn pending(asking: &mut Option<std::pin::Pin<Box<dyn Future<Output = Asked>>>>) -> Asked {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// What ends a run.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    deadline: Option<Instant>,
}

impl Stop {
    fn listen(length: Option<Duration>) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            deadline: length.map(|length| Instant::now() + length),
        })
    }

    async fn signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    async fn wait(&mut self) -> &'static str {
        match self.deadline {
            None => self.signal().await,
            Some(deadline) => tokio::select! {
                reason = self.signal() => reason,
                () = tokio::time::sleep_until(deadline) => "the end of the period",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_writes_them() {
        let headers = header_list("api-key=a%20b%3D, x = y,nonsense");
        let shown: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(shown, [("api-key", "a b="), ("x", "y")]);
        assert!(!format!("{headers:?}").contains("a b"));
    }

    #[test]
    fn only_a_hub_on_this_host_has_a_process_to_see() {
        assert_eq!(find(None, "http://127.0.0.1:7000"), Find::OnThisHost { port: 7000 });
        assert_eq!(find(None, "http://[::1]:7000/x"), Find::OnThisHost { port: 7000 });
        assert_eq!(find(None, "https://hub.example.com"), Find::Elsewhere);
        assert_eq!(find(Some(5), "https://hub.example.com"), Find::Pid(5));
    }
}
