//! The watch itself: polls the hub, looks at its log, listens to its event stream, until a signal or the end of the time.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use super::CliError;
use crate::config::{self, Joining};
use crate::export::{Destination, Senders};
use crate::hub::api::{self, FilteringStats, Health, Servers};
use crate::hub::client::{HubClient, Timed};
use crate::hub::interpret::PollAnswer;
use crate::hub::subscription::{News, Subscription};
use crate::journal::{Journal, JournalError, Limits, Opened, Recovered};
use crate::process::{HubProcess, OwnProcess, Said};
use crate::serve::{Deployment, Vitals};
use crate::sidecar::clock::Clock;
use crate::sidecar::marks::{self, Mark};
use crate::sidecar::{Lines, LogRead, LogSource, Setup, Sidecar};
use crate::tail::{self, Begin, Wake};
use crate::watch::{ApiOutcome, Count, FilteringPoll, HubName, Micros, Origin, Text, Timestamp};

/// How much is read from a pipe at a time: what a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// What a run was resolved to.
pub struct Plan {
    /// How the hub is asked.
    pub client: HubClient,
    /// What the report calls it.
    pub name: HubName,
    /// Where it runs.
    pub environment: crate::watch::Environment,
    /// Where its log is read.
    pub log: LogSource,
    /// Where to begin in it.
    pub begin: Begin,
    /// When to join its event stream.
    pub event_stream: Joining,
    /// What becomes of its lines.
    pub lines: Lines,
    /// The build under test.
    pub build: Option<Text>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// Where telemetry goes.
    pub destinations: Vec<Destination>,
    /// What the configuration says differently from the built-in rules, entry by entry.
    pub rules: Vec<String>,
    /// The bounds of the journal.
    pub limits: Limits,
    /// How long the way out may take.
    pub drain: Duration,
    /// How often the hub is polled.
    pub interval: Duration,
    /// What the watch tells of itself.
    pub vitals: Vitals,
    /// How its process is seen; `None` where it can't be.
    pub process: Option<ProcessSource>,
    /// How long to watch; until a signal if not said.
    pub length: Option<Duration>,
}

/// Shows the hub's process as it is now, given what its API says of it.
pub type ProcessSource = Box<dyn FnMut(Said) -> Option<HubProcess>>;

/// Watches until a signal or the end of the time; what was learned is committed when it returns.
pub async fn watch(plan: Plan) -> Result<(), CliError> {
    let mut stop = Stop::listen(plan.length).map_err(CliError::Start)?;
    let Opened { journal, watcher, run, session_key, checkpoint, recovered } = Journal::open_within(&plan.state_dir, plan.limits)?;
    if let Some(Recovered { aside, damage, rows, .. }) = &recovered {
        tracing::warn!(aside = %aside.display(), damage, rows, "the journal was damaged: it was set aside, and what could be read of it is kept");
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
        log = %plan.log,
        state = %plan.state_dir.display(), otlp = plan.destinations.first().map_or("none".to_owned(), |to| config::without_credentials(to.endpoint())),
        run, "watching"
    );
    if plan.log.file().is_some_and(tail::is_mount_point) {
        tracing::warn!(log = %plan.log, "the log is mounted as a single file: its rotation can't be seen; mount its folder instead");
    }
    let clock = Clock::start();
    let mut watcher = Watcher {
        clock,
        last: Timestamp::now(),
        state_dir: plan.state_dir,
        rules: plan.rules,
        vitals: plan.vitals,
        process: plan.process,
        client: plan.client,
        answered: None,
        has_filtering: true,
        joining: plan.event_stream,
        alone: Alone::default(),
        subscription: None,
        sidecar: None,
    };
    let setup = Setup {
        origin,
        key: session_key,
        log: plan.log,
        begin: plan.begin,
        lines: plan.lines,
        checkpoint,
        recovered,
        tally: senders.tally(),
        own: OwnProcess::new(),
    };
    let reason = watcher.go(setup, &journal, &senders, plan.interval, &mut stop).await?;
    tracing::info!(reason, "stopping");
    let unsent = tokio::select! {
        unsent = senders.drain(plan.drain) => unsent,
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
    /// Where marks are laid.
    state_dir: PathBuf,
    rules: Vec<String>,
    vitals: Vitals,
    process: Option<ProcessSource>,
    client: HubClient,
    /// Whether the hub answered the last poll, for telling people when that changes.
    answered: Option<bool>,
    /// Whether the hub may have `/api/filtering/stats`: until it says that it has not.
    has_filtering: bool,
    joining: Joining,
    alone: Alone,
    subscription: Option<Subscription>,
    sidecar: Option<Sidecar>,
}

/// What is known of other subscribers: a hub with `--auto-shutdown` must not be kept alive by us.
#[derive(Debug, Default)]
struct Alone {
    /// Subscribers besides us at the last poll.
    others: u32,
    /// The hub is known to stop with its last subscriber.
    auto_shutdown: bool,
}

/// What the requests of a poll brought.
struct Asked {
    at: Timestamp,
    health: Timed<Health>,
    servers: Option<Timed<Servers>>,
    filtering: Option<Timed<FilteringStats>>,
}

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
        let mut stdin = setup.log.is_piped().then(tokio::io::stdin);
        let has_file = setup.log.file().is_some();
        let mut piped = vec![0; if stdin.is_some() { PIPE_BYTES } else { 0 }];
        self.sidecar = Some(Sidecar::begin(setup, now, journal.clone(), senders.fast_path(), looks));
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.state_rules(std::mem::take(&mut self.rules));
        }
        let mut polls = tokio::time::interval(interval);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wake = Wake::new();
        let mut asking: Option<Pin<Box<dyn Future<Output = Asked>>>> = None;
        let mut first = true;
        let reason = loop {
            tokio::select! {
                reason = stop.wait() => break reason,
                _ = polls.tick(), if asking.is_none() => {
                    let asked = self.now().await?;
                    asking = Some(Box::pin(ask(self.client.clone(), asked, self.has_filtering)));
                }
                asked = pending(&mut asking) => {
                    asking = None;
                    self.polled(asked, &mut first).await?;
                }
                // The first poll tells which lines of an old log are of the hub's present process.
                () = wake.wait(), if has_file && !first => self.look_at_log(&mut wake).await?,
                news = heard(&mut self.subscription), if !first => self.heard(news).await?,
                read = read(&mut stdin, &mut piped), if !first => {
                    let bytes = read.unwrap_or_default();
                    self.piped(&piped[..bytes]).await?;
                    if bytes == 0 {
                        // The hub ended, or closed its output; one more poll tells which.
                        let asked = self.now().await?;
                        let asked = ask(self.client.clone(), asked, false).await;
                        self.polled(asked, &mut first).await?;
                        break "the end of its input";
                    }
                }
            }
        };
        let now = self.now().await?;
        let marks = self.take_up_marks();
        if let Some(sidecar) = &mut self.sidecar {
            let committed = sidecar.stop(reason, now).await;
            if committed.is_ok() {
                marks::done(&marks);
            }
            survive(committed)?;
        }
        Ok(reason)
    }

    async fn look_at_log(&mut self, wake: &mut Wake) -> Result<(), CliError> {
        let now = self.now().await?;
        if let Some(sidecar) = &mut self.sidecar {
            match survive(sidecar.read_log(now).await)? {
                // What is left of a long log is read at once, after whatever else has its turn.
                Some(LogRead { at_end: false, .. }) => wake.go_on(),
                read => wake.looked(read.is_some_and(|read| read.moved), sidecar.log_files()).await,
            }
        }
        Ok(())
    }

    async fn piped(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let now = self.now().await?;
        if let Some(sidecar) = &mut self.sidecar {
            survive(sidecar.piped(bytes, now).await)?;
        }
        Ok(())
    }

    async fn heard(&mut self, news: Option<News>) -> Result<(), CliError> {
        let now = self.now().await?;
        let Some(sidecar) = &mut self.sidecar else { return Ok(()) };
        match news {
            Some(News::Joined) => sidecar.stream_joined(now),
            Some(News::Heard(heard)) => {
                survive(sidecar.heard(heard, now).await)?;
            }
            Some(News::Left(reason)) => sidecar.stream_left(&reason, true, now),
            None => self.subscription = None,
        }
        Ok(())
    }

    /// Joins the event stream if it is wanted, or leaves it.
    fn join_or_leave(&mut self, health: Option<&Health>, now: Timestamp) {
        let Some(sidecar) = &mut self.sidecar else { return };
        self.alone.auto_shutdown |= sidecar.hub_stops_alone();
        let refusal = match self.joining {
            Joining::Always => None,
            Joining::Never => Some("it is not wanted"),
            Joining::Auto if sidecar.log_shows_checkpoints() == Some(true) => Some("the log shows all that it would"),
            Joining::Auto => self.alone.refusal(health, sidecar.is_subscriber()),
        };
        match (refusal, &self.subscription) {
            (None, None) if health.is_some() => self.subscription = Some(Subscription::begin(self.client.clone())),
            (Some(reason), Some(_)) => {
                self.subscription = None;
                sidecar.stream_left(reason, false, now);
            }
            _ => {}
        }
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

    async fn polled(&mut self, asked: Asked, first: &mut bool) -> Result<(), CliError> {
        let said = Said::of(&asked.health.0);
        let process = self.process.as_mut().and_then(|source| source(said));
        self.tell(&asked.health);
        if let Some(workspace) = asked.health.0.as_ref().ok().and_then(Health::workspace) {
            let config_file = workspace.config_files.first().cloned();
            self.vitals.deployed(Deployment { port: workspace.port, config_file });
        }
        let now = self.now().await?;
        self.alone.auto_shutdown |= process.as_ref().is_some_and(|process| process.auto_shutdown);
        self.has_filtering &= !matches!(asked.filtering, Some((Err(ApiOutcome::NotFound), _)));
        let outcome = asked.health.0.as_ref().err().copied().unwrap_or(ApiOutcome::Ok);
        let health = asked.health.0.clone().ok();
        let (process, children) = process.map_or((None, Vec::new()), |process| (Some(process.poll), process.children));
        let own_subscribers = u32::from(self.sidecar.as_ref().is_some_and(Sidecar::is_subscriber));
        let answer = PollAnswer {
            asked: asked.at,
            now,
            health: asked.health.0,
            health_duration: asked.health.1,
            servers: asked.servers,
            process,
            children,
            filtering: asked.filtering.and_then(filtering_poll),
            log_file: None,
            own_subscribers,
        };
        let marks = self.take_up_marks();
        if let Some(sidecar) = &mut self.sidecar {
            if std::mem::take(first) {
                sidecar.first_poll(&answer);
            }
            let committed = sidecar.polled(answer).await;
            if committed.is_ok() {
                marks::done(&marks);
            }
            if let Some(metrics) = sidecar.take_measured() {
                self.vitals.measured(metrics);
            }
            self.vitals.committed(committed.as_ref().map_err(ToString::to_string).copied());
            survive(committed)?;
        }
        self.vitals.polled(now, outcome);
        self.join_or_leave(health.as_ref(), now);
        Ok(())
    }

    /// What was announced since the last poll. The files stay until it is committed.
    fn take_up_marks(&mut self) -> Vec<(PathBuf, Mark)> {
        let Some(sidecar) = &mut self.sidecar else { return Vec::new() };
        let marks = marks::waiting(&self.state_dir);
        marks.iter().for_each(|(_, mark)| sidecar.mark(mark));
        marks
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

/// A full disk is told and survived: what could not be kept is tried again with what comes next, and the watch goes on.
fn survive<T>(committed: Result<T, JournalError>) -> Result<Option<T>, JournalError> {
    match committed {
        Err(error) if error.is_full() => {
            tracing::error!(%error, "the disk is full: this can't be kept; make room, the watch goes on meanwhile");
            Ok(None)
        }
        other => other.map(Some),
    }
}

impl Alone {
    /// Why the stream should not be joined now. Where the hub's command line can't be seen, only its countdown tells that it stops
    /// with its last subscriber: when the others have gone, we go, too, and come back if no countdown begins.
    fn refusal(&mut self, health: Option<&Health>, joined: bool) -> Option<&'static str> {
        let health = health?;
        let counting_down = health.workspace().is_some_and(|workspace| workspace.shutdown_delay.is_some());
        self.auto_shutdown |= counting_down;
        let others = health.subscribers.unwrap_or(0).saturating_sub(u32::from(joined));
        let left_alone = std::mem::replace(&mut self.others, others) > 0 && others == 0;
        if self.auto_shutdown {
            Some("the hub stops with its last subscriber")
        } else {
            (left_alone && joined).then_some("the other subscribers have left")
        }
    }
}

async fn ask(client: HubClient, at: Timestamp, with_filtering: bool) -> Asked {
    let health = client.health().await;
    let reached = !matches!(health.0, Err(outcome) if !outcome.answered());
    let servers = if reached { Some(client.servers().await) } else { None };
    let filtering = if reached && with_filtering { Some(client.filtering_stats().await) } else { None };
    Asked { at, health, servers, filtering }
}

/// A hub without tool filtering has nothing to say about it.
fn filtering_poll((answer, duration): Timed<FilteringStats>) -> Option<FilteringPoll> {
    let (outcome, stats) = match answer {
        Ok(stats) => (ApiOutcome::Ok, Some(stats)),
        Err(ApiOutcome::NotFound) => return None,
        Err(outcome) => (outcome, None),
    };
    Some(FilteringPoll {
        outcome,
        duration,
        enabled: stats.as_ref().and_then(|stats| stats.enabled),
        mode: stats.as_ref().and_then(|stats| stats.mode.as_deref()).map(Text::from),
        total: stats.as_ref().and_then(|stats| stats.total_tools),
        exposed: stats.as_ref().and_then(|stats| stats.exposed_tools),
        cache_hits: stats.as_ref().and_then(|stats| stats.cache_hit_rate).and_then(api::permille),
        llm_cache_hits: stats.as_ref().and_then(|stats| stats.llm_cache_hit_rate).and_then(api::permille),
    })
}

/// Waits for the poll under way; for ever if there is none.
async fn pending(asking: &mut Option<Pin<Box<dyn Future<Output = Asked>>>>) -> Asked {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Waits for the event stream; for ever if it is not joined.
async fn heard(subscription: &mut Option<Subscription>) -> Option<News> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for what the hub writes to our stdin; for ever if it doesn't.
async fn read(stdin: &mut Option<tokio::io::Stdin>, into: &mut [u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.read(into).await,
        None => std::future::pending().await,
    }
}

/// `SIGXFSZ`: the same number on every Unix that hubwatch runs on.
const SIGXFSZ: SignalKind = SignalKind::from_raw(25);

/// What ends a run.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// Heeded and never looked at: the system ends whoever lets a file grow beyond a limit and doesn't heed it. To us that is a disk
    /// that takes nothing.
    _file_too_large: tokio::signal::unix::Signal,
    deadline: Option<Instant>,
}

impl Stop {
    fn listen(length: Option<Duration>) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SIGXFSZ)?,
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
