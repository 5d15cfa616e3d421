//! The watch itself: polls the hub, looks at its log, listens to its event stream, until a signal or the end of the time.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use super::CliError;
use crate::base::secret;
use crate::config::{self, Joining};
use crate::export::{Destination, Senders};
use crate::hub::api::{self, FilteringStats, Health, Servers};
use crate::hub::client::{HubClient, Timed};
use crate::hub::events::Heard;
use crate::hub::interpret::PollAnswer;
use crate::hub::lookout::Lookout;
use crate::hub::subscription::{News, Subscription};
use crate::journal::{Journal, JournalError, KnownHub, Limits, Opened, Recovered};
use crate::live::vitals::{Deployment, Vitals};
use crate::process::{ApiProcess, HubProcess, OwnProcess};
use crate::report::baseline;
use crate::sidecar::clock::{Clock, Pulse};
use crate::sidecar::marks;
use crate::sidecar::{Lines, LogRead, LogSource, Setup, Sidecar};
use crate::tail::{self, Begin, Wake};
use crate::watch::{ApiOutcome, Count, FilteringPoll, HubName, Micros, Origin, Text, Timestamp};

/// How often the last commit is tried again: one attempt finds that the state folder is lost, the next one makes it again.
const LAST_COMMITS: u32 = 2;

/// How long the last poll may take at most: what it does not settle waits for the next run.
const LAST_POLL: Duration = Duration::from_secs(1);

/// How much is read from a pipe at a time: what a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// What a run was resolved to.
pub(super) struct Plan {
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
pub(super) type ProcessSource = Box<dyn FnMut(ApiProcess) -> Option<HubProcess>>;

/// Watches until a signal or the end of the time; what was learned is committed when it returns.
pub(super) async fn watch(plan: Plan) -> Result<(), CliError> {
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
    let address = secret::without_credentials(plan.client.base());
    journal
        .remember(KnownHub { hub: plan.name.clone(), environment: plan.environment.clone(), address: Some(address.clone()) })
        .await?;
    if let Ok(unnamed) = config::name_of_address(&address) {
        baseline::adopt(&plan.state_dir, &unnamed, &plan.name, &plan.environment);
    }
    let senders = Senders::spawn(&plan.destinations, &journal).await?;
    tracing::info!(
        hub = secret::without_credentials(plan.client.base()), name = %plan.name, environment = %plan.environment,
        log = %plan.log,
        state = %plan.state_dir.display(), otlp = plan.destinations.first().map_or("none".to_owned(), |to| secret::without_credentials(to.endpoint())),
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
        marks: Vec::new(),
        log: plan.log.file().map(Path::to_owned),
        lacks_log: None,
        rules: plan.rules,
        vitals: plan.vitals,
        drain: plan.drain,
        process: plan.process,
        client: plan.client,
        pulse: Pulse::start(std::time::Instant::now()),
        lookout: Lookout::new(plan.interval),
        told: None,
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
        unsent = senders.drain(watcher.drain) => unsent,
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
    /// Marks that were taken up and are not known to be committed.
    marks: Vec<PathBuf>,
    /// The log's file or pattern of files.
    log: Option<PathBuf>,
    /// Whether it was missing at the last look.
    lacks_log: Option<bool>,
    rules: Vec<String>,
    vitals: Vitals,
    /// How long the way out may still take.
    drain: Duration,
    process: Option<ProcessSource>,
    client: HubClient,
    pulse: Pulse,
    lookout: Lookout,
    /// How the hub was when people were last told of it.
    told: Option<Told>,
    joining: Joining,
    alone: Alone,
    subscription: Option<Subscription>,
    sidecar: Option<Sidecar>,
}

/// How the hub is, as people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// It answers, and says that it is in this state.
    Answers(String),
    /// It does not answer as a hub does.
    Away(ApiOutcome),
}

/// Something that the loop wakes for.
enum Event {
    /// The watch is to end.
    Stop(&'static str),
    /// A poll is due.
    Poll,
    /// A poll is answered.
    Asked(Box<Asked>),
    /// A look at the log is due.
    Log,
    /// The event stream has news.
    News(Option<News>),
    /// So many bytes were piped in.
    Piped(usize),
    /// A look at the hub between two polls is due.
    Look,
    /// It is done: whether the hub is no longer as it was.
    Looked(bool),
    /// Nothing happened for a while.
    Beat,
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
    /// When, as it would be by a clock that never jumped: ours may have jumped before the answer came.
    steady_at: Timestamp,
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
        let mut asking: Option<Pending<Asked>> = None;
        let mut looking: Option<Pending<bool>> = None;
        let mut first = true;
        let reason = loop {
            let event = tokio::select! {
                reason = stop.wait() => Event::Stop(reason),
                _ = polls.tick(), if asking.is_none() => Event::Poll,
                asked = pending(&mut asking) => Event::Asked(Box::new(asked)),
                // The first poll tells which lines of an old log are of the hub's present process.
                () = wake.wait(), if has_file && !first => Event::Log,
                news = heard(&mut self.subscription), if !first => Event::News(news),
                read = read(&mut stdin, &mut piped), if !first => Event::Piped(read.unwrap_or_default()),
                () = self.lookout.due(), if asking.is_none() && looking.is_none() => Event::Look,
                changed = pending(&mut looking) => Event::Looked(changed),
                () = tokio::time::sleep_until(self.pulse.next().into()) => Event::Beat,
            };
            let asked = asking.is_some();
            if self.stood_still(asked).await? && asked {
                // An answer that came over such a time, or did not come, says nothing about the hub.
                (asking, looking) = (None, None);
                polls.reset_immediately();
                if matches!(event, Event::Asked(_)) {
                    continue;
                }
            }
            match event {
                Event::Stop(reason) => break reason,
                Event::Poll => {
                    self.pulse.poll_due(std::time::Instant::now() + interval);
                    looking = None;
                    let asked = self.now().await?;
                    asking = Some(Box::pin(ask(self.client.clone(), self.clock.steady(asked))));
                }
                Event::Asked(asked) => {
                    asking = None;
                    self.polled(*asked, &mut first).await?;
                }
                Event::Log => self.look_at_log(&mut wake).await?,
                Event::News(news) => self.heard(news).await?,
                Event::Piped(bytes) => {
                    self.piped(&piped[..bytes]).await?;
                    if bytes == 0 {
                        // The hub ended, or closed its output; one more poll tells which.
                        let asked = self.now().await?;
                        let asked = ask(self.client.clone(), self.clock.steady(asked)).await;
                        self.polled(asked, &mut first).await?;
                        break "the end of its input";
                    }
                }
                Event::Look => looking = Some(Box::pin(self.lookout.look(self.client.clone()))),
                Event::Looked(changed) => {
                    looking = None;
                    if changed {
                        polls.reset_immediately();
                    } else {
                        self.looked_in_vain().await?;
                    }
                }
                Event::Beat => {}
            }
            if self.sidecar.as_mut().is_some_and(Sidecar::take_stir) {
                self.lookout.stir(Instant::now());
            }
        };
        self.last_poll(asking, &mut first, stop).await?;
        self.end(reason).await?;
        Ok(reason)
    }

    /// What lines claimed last is settled by one more poll. Nothing else needs one.
    async fn last_poll(&mut self, under_way: Option<Pending<Asked>>, first: &mut bool, stop: &mut Stop) -> Result<(), CliError> {
        let now = self.now().await?;
        let Some(sidecar) = self.sidecar.as_mut().filter(|_| !*first) else { return Ok(()) };
        if survive(&self.vitals, sidecar.awaits_poll(now).await)? != Some(true) {
            return Ok(());
        }
        // An answer that is under way may be older than the lines.
        drop(under_way);
        let begun = Instant::now();
        let asked = self.now().await?;
        let asked = tokio::select! {
            asked = tokio::time::timeout(LAST_POLL.min(self.drain), ask(self.client.clone(), self.clock.steady(asked))) => asked,
            // A second signal means now.
            _ = stop.signal() => return Ok(()),
        };
        self.drain = self.drain.saturating_sub(begun.elapsed());
        match asked {
            Ok(asked) => self.polled(asked, first).await,
            Err(_) => Ok(()),
        }
    }

    /// Commits all that was learned. What can't be kept now is lost with this process: that is an error.
    async fn end(&mut self, reason: &str) -> Result<(), CliError> {
        let now = self.now().await?;
        let marks = self.take_up_marks();
        let Some(sidecar) = &mut self.sidecar else { return Ok(()) };
        let mut committed = sidecar.stop(reason, now).await;
        // A state folder that was lost is found to be so by one commit and made again by the next.
        for _ in 0..LAST_COMMITS {
            if !matches!(&committed, Err(error) if error.may_pass()) {
                break;
            }
            committed = sidecar.commit_last(now).await;
        }
        committed.inspect_err(|error| tracing::error!(%error, "what was learned last could not be kept"))?;
        marks::done(&std::mem::take(&mut self.marks));
        marks::done(&marks);
        Ok(())
    }

    /// Takes note that the loop is awake, and of the time before if nobody watched then.
    async fn stood_still(&mut self, asking: bool) -> Result<bool, CliError> {
        let Some(length) = self.pulse.beat(std::time::Instant::now(), asking) else { return Ok(false) };
        let now = self.now().await?;
        tracing::warn!(
            seconds = length.as_secs(),
            "this process stood still (suspended, or without processor time): nobody watched meanwhile"
        );
        if let Some(sidecar) = &mut self.sidecar {
            survive(&self.vitals, sidecar.stood_still(now.minus(Micros::from_duration(length)), now).await)?;
        }
        Ok(true)
    }

    /// The hub is as it was: away, or on its way to another state.
    async fn looked_in_vain(&mut self) -> Result<(), CliError> {
        let now = self.now().await?;
        self.lookout.in_vain(Instant::now());
        if let Some(sidecar) = self.sidecar.as_mut().filter(|_| self.lookout.is_away()) {
            sidecar.still_away(now);
        }
        Ok(())
    }

    async fn look_at_log(&mut self, wake: &mut Wake) -> Result<(), CliError> {
        let now = self.now().await?;
        if let Some(sidecar) = &mut self.sidecar {
            match survive(&self.vitals, sidecar.read_log(now).await)? {
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
            survive(&self.vitals, sidecar.piped(bytes, now).await)?;
        }
        Ok(())
    }

    async fn heard(&mut self, news: Option<News>) -> Result<(), CliError> {
        let now = self.now().await?;
        let Some(sidecar) = &mut self.sidecar else { return Ok(()) };
        match news {
            Some(News::Joined) => {
                sidecar.stream_joined(now);
                if self.lookout.is_away() {
                    self.lookout.stir(Instant::now());
                }
            }
            Some(News::Heard(heard)) => {
                let state = heard.iter().rev().find_map(|heard| match heard {
                    Heard::State { state, .. } => Some(Told::Answers(state.clone())),
                    _ => None,
                });
                survive(&self.vitals, sidecar.heard(heard, now).await)?;
                if let Some(state) = state {
                    self.tell(state);
                }
            }
            Some(News::Left(reason)) => {
                sidecar.stream_left(&reason, true, now);
                // A hub that ends closes its streams first.
                self.lookout.stir(Instant::now());
            }
            None => self.subscription = None,
        }
        Ok(())
    }

    /// Joins the event stream if it is wanted, or leaves it. With the first answer of a hub that `came_back` it is joined at once,
    /// however long the subscription would have waited by itself.
    fn join_or_leave(&mut self, health: Option<&Health>, came_back: bool, now: Timestamp) {
        let Some(sidecar) = &mut self.sidecar else { return };
        if came_back && !sidecar.is_subscriber() {
            self.subscription = None;
        }
        self.alone.auto_shutdown |= sidecar.hub_stops_alone();
        let refusal = match self.joining {
            Joining::Always => None,
            Joining::Never => Some("it is not wanted"),
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
            survive(&self.vitals, sidecar.clock_jumped(self.last, reading.now, jump).await)?;
        }
        self.last = reading.now;
        Ok(reading.now)
    }

    async fn polled(&mut self, asked: Asked, first: &mut bool) -> Result<(), CliError> {
        let was_away = self.lookout.is_away();
        self.lookout.polled(&asked.health.0, Instant::now());
        let came_back = was_away && !self.lookout.is_away();
        self.tell(match &asked.health.0 {
            Ok(health) => Told::Answers(health.state.clone()),
            Err(outcome) => Told::Away(*outcome),
        });
        if let Some(workspace) = asked.health.0.as_ref().ok().and_then(Health::workspace) {
            let config_file = workspace.config_files.first().cloned();
            self.vitals.deployed(Deployment { port: workspace.port, config_file });
        }
        let now = self.now().await?;
        let outcome = asked.health.0.as_ref().err().copied().unwrap_or(ApiOutcome::Ok);
        let health = asked.health.0.clone().ok();
        let own_subscribers = u32::from(self.sidecar.as_ref().is_some_and(Sidecar::is_subscriber));
        let mut answer = PollAnswer {
            asked: self.clock.wall(asked.steady_at),
            now,
            health: asked.health.0,
            health_duration: asked.health.1,
            servers: asked.servers,
            process: None,
            children: Vec::new(),
            filtering: asked.filtering.map(filtering_poll),
            log_file: None,
            own_subscribers,
        };
        // The hub's entry alone can name another hub's process.
        let known = self.sidecar.as_ref().and_then(|sidecar| sidecar.interpreter().process_that_answers(&answer));
        let said = known.map_or_else(|| ApiProcess::of(&answer.health), |(pid, started)| ApiProcess::Process(pid, started));
        if let Some(HubProcess { poll, children, auto_shutdown }) = self.process.as_mut().and_then(|source| source(said)) {
            self.alone.auto_shutdown |= auto_shutdown;
            (answer.process, answer.children) = (Some(poll), children);
        }
        let marks = self.take_up_marks();
        if let Some(sidecar) = &mut self.sidecar {
            if std::mem::take(first) {
                sidecar.first_poll(&answer);
            }
            let committed = sidecar.polled(answer).await;
            // What was begun to be committed now is known to be kept once a later commit begins.
            if committed.is_ok() && !sidecar.keeps_nothing() {
                marks::done(&std::mem::take(&mut self.marks));
            }
            self.marks.extend(marks);
            if let Some(metrics) = sidecar.take_measured() {
                self.vitals.measured(metrics);
            }
            let kept = survive(&self.vitals, committed)?.is_some();
            // After a failure only a commit that ended well says that all is kept again.
            if kept && !sidecar.keeps_nothing() {
                self.vitals.committed(Ok(()));
            }
            self.look_for_log();
        }
        self.vitals.polled(now, outcome);
        self.join_or_leave(health.as_ref(), came_back, now);
        Ok(())
    }

    /// What was announced since the last poll. The files stay until it is committed.
    fn take_up_marks(&mut self) -> Vec<PathBuf> {
        let Some(sidecar) = &mut self.sidecar else { return Vec::new() };
        let mut paths = Vec::new();
        for (path, mark) in marks::waiting(&self.state_dir) {
            if !self.marks.contains(&path) {
                sidecar.mark(&mark);
                paths.push(path);
            }
        }
        paths
    }

    /// Tells people when the log is not there, and when it is.
    fn look_for_log(&mut self) {
        let Some(sidecar) = &self.sidecar else { return };
        let (Some(log), lacks) = (&self.log, sidecar.lacks_log()) else { return };
        let warning = match (self.lacks_log.replace(lacks), lacks) {
            (None | Some(false), true) => Some(absent(log)),
            (Some(true), false) => None,
            _ => return,
        };
        match &warning {
            Some(warning) => tracing::warn!("{warning}"),
            None => tracing::info!(log = %log.display(), "the log is there and is read"),
        }
        self.vitals.warned(warning);
    }

    /// Tells people how the hub is, when that changes.
    fn tell(&mut self, now: Told) {
        let before = self.told.replace(now.clone());
        if before.as_ref() == Some(&now) {
            return;
        }
        match (before, now) {
            (Some(Told::Answers(from)), Told::Answers(state)) => tracing::info!(from, state, "the hub's state changed"),
            (_, Told::Answers(state)) => tracing::info!(state, "the hub answers"),
            (_, Told::Away(outcome)) => {
                tracing::warn!(%outcome, reason = outcome.reason(), "the hub does not answer; watching goes on");
            }
        }
    }
}

/// A full disk or a lost state folder is told and survived: what could not be kept is tried again with what comes next, and the watch
/// goes on.
fn survive<T>(vitals: &Vitals, committed: Result<T, JournalError>) -> Result<Option<T>, JournalError> {
    match committed {
        Err(error) if error.may_pass() => {
            vitals.committed(Err(error.to_string()));
            if error.is_full() {
                tracing::error!(%error, "the disk is full: this can't be kept; make room, the watch goes on meanwhile");
            } else {
                tracing::error!(%error, "this can't be kept; the watch goes on meanwhile and tries again");
            }
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

/// What to say of a log that is not there.
fn absent(log: &Path) -> String {
    let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let why = match std::fs::read_dir(folder) {
        Ok(_) if tail::is_pattern(log) => "no file matches it".to_owned(),
        Ok(_) => "there is no such file".to_owned(),
        Err(error) => format!("its folder {}: {error}", folder.display()),
    };
    let log = log.display();
    format!(
        "the log {log} can't be read ({why}): what only the log shows is not visible; check --log, the log is read once it is there"
    )
}

async fn ask(client: HubClient, steady_at: Timestamp) -> Asked {
    let health = client.health().await;
    // Whatever else answers is no hub: it is not asked further.
    let reached = health.0.is_ok();
    let servers = if reached { Some(client.servers().await) } else { None };
    let filtering = if reached { client.filtering_stats().await } else { None };
    Asked { steady_at, health, servers, filtering }
}

/// What the watch keeps of the answer.
pub(super) fn filtering_poll((answer, duration): Timed<FilteringStats>) -> FilteringPoll {
    let (outcome, stats) = match answer {
        Ok(stats) => (ApiOutcome::Ok, Some(stats)),
        Err(outcome) => (outcome, None),
    };
    FilteringPoll {
        outcome,
        duration,
        enabled: stats.as_ref().and_then(|stats| stats.enabled),
        mode: stats.as_ref().and_then(|stats| stats.mode.as_deref()).map(Text::from),
        total: stats.as_ref().and_then(|stats| stats.total_tools),
        exposed: stats.as_ref().and_then(|stats| stats.exposed_tools),
        cache_hits: stats.as_ref().and_then(|stats| stats.cache_hit_rate).and_then(api::permille),
        llm_cache_hits: stats.as_ref().and_then(|stats| stats.llm_cache_hit_rate).and_then(api::permille),
    }
}

/// Something under way.
type Pending<T> = Pin<Box<dyn Future<Output = T>>>;

/// Waits for what is under way; for ever if there is nothing.
async fn pending<T>(under_way: &mut Option<Pending<T>>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
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
