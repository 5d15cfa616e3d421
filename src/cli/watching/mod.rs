//! The watch itself: polls the hub, reads its log and listens to its event stream, until a signal or the end of the requested time.

mod event_stream;
mod notices;
mod pending;
mod poll;
mod received;
mod stop;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use self::event_stream::OtherSubscribers;
use self::notices::{HubState, survive};
use self::pending::{Pending, heard, pending, read};
pub(super) use self::poll::filtering_poll;
use self::poll::{Asked, ask};
use self::received::{Observed, Receiving};
pub(super) use self::stop::Stop;
use super::CliError;
use crate::announce;
use crate::base::secret;
use crate::config::{self, Joining};
use crate::export::{Destination, Senders};
use crate::hub::client::HubClient;
use crate::hub::lookout::Lookout;
use crate::hub::subscription::{News, Subscription};
use crate::journal::{Journal, KnownHub, Limits, Opened, Recovered};
use crate::live::vitals::Vitals;
use crate::process::{ApiProcess, HubProcess, OwnProcess};
use crate::receive;
use crate::report::baseline;
use crate::sidecar::clock::{Clock, Pulse};
use crate::sidecar::{Lines, LogRead, LogSource, Setup, Sidecar};
use crate::tail::{self, Begin, Wake};
use crate::watch::{Count, HubName, Micros, Origin, Text, Timestamp};

/// Retries of the last commit: one attempt notices that the state folder is lost, the next one creates it again.
const LAST_COMMITS: u32 = 2;

/// The longest time of the last poll; what it leaves undecided waits for the next run.
const LAST_POLL: Duration = Duration::from_secs(1);

/// Bytes read from a pipe at a time: its capacity.
const PIPE_BYTES: usize = 64 * 1024;

/// The settings of one watch.
pub(super) struct Plan {
    /// The client of the hub's API.
    pub client: HubClient,
    /// The headers of requests to it.
    pub headers: Vec<(String, String)>,
    /// The file of a further certificate authority for it.
    pub ca: Option<PathBuf>,
    /// The hub's name in telemetry and reports.
    pub name: HubName,
    /// Its environment.
    pub environment: crate::watch::Environment,
    /// The source of its log.
    pub log: LogSource,
    /// Where to begin in the log.
    pub begin: Begin,
    /// When to subscribe to its event stream.
    pub event_stream: Joining,
    /// How log lines are exported.
    pub lines: Lines,
    /// The build under test.
    pub build: Option<Text>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// Where to receive OTLP, if at all.
    pub receive: Option<receive::Settings>,
    /// The destinations of telemetry.
    pub destinations: Vec<Destination>,
    /// The configuration's changes to the built-in rules, entry by entry.
    pub rules: Vec<String>,
    /// The limits of the journal.
    pub limits: Limits,
    /// How long to keep sending at shutdown.
    pub drain: Duration,
    /// The polling interval.
    pub interval: Duration,
    /// The state of the watch, for health checks.
    pub vitals: Vitals,
    /// Reads the hub's process; `None` if it is not visible.
    pub process: Option<ProcessSource>,
    /// How long to watch; until a signal if `None`.
    pub length: Option<Duration>,
}

/// Reads the hub's process, given what its API reports of it.
pub(super) type ProcessSource = Box<dyn FnMut(ApiProcess) -> Option<HubProcess>>;

/// Watches until a signal or the end of the time. Everything is committed when it returns.
pub(super) async fn watch(plan: Plan) -> Result<(), CliError> {
    let mut stop = Stop::listen(plan.length).map_err(CliError::Start)?;
    let Opened { journal, watcher, run, session_key, checkpoint, recovered } = Journal::open_within(&plan.state_dir, plan.limits)?;
    if let Some(Recovered { aside, damage, rows, .. }) = &recovered {
        tracing::warn!(aside = %aside.display(), damage, rows, "the journal was damaged: the damaged file is kept beside the new one, and its readable rows were copied");
    }
    plan.vitals.opened(journal.commits());
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
    let interval = plan.interval;
    let stdin = plan.log.is_piped();
    let log = plan.log.file().map(Path::to_owned);
    let context_origin = origin.clone();
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
    let mut clock = Clock::start();
    let begun = clock.read().now;
    let mut sidecar = Sidecar::begin(setup, begun, journal.clone(), senders.fast_path(), plan.process.is_some());
    sidecar.state_rules(plan.rules);
    let context = receive::Context {
        origin: context_origin,
        key: session_key,
        keep_private: plan.lines.keep_private,
        journal: journal.clone(),
        passed: 0,
    };
    let receiving = Receiving::start(plan.receive.as_ref(), context, &mut sidecar, begun).await?;
    let mut watcher = Watcher {
        clock,
        last: begun,
        state_dir: plan.state_dir,
        told: TakenUp::default(),
        log,
        lacks_log: None,
        vitals: plan.vitals,
        drain: plan.drain,
        process: plan.process,
        client: plan.client,
        pulse: Pulse::start(std::time::Instant::now()),
        lookout: Lookout::new(interval),
        logged_state: None,
        joining: plan.event_stream,
        others: OtherSubscribers::default(),
        subscription: None,
        has_polled: false,
        receiving,
        sidecar,
    };
    let reason = watcher.go(stdin, interval, &mut stop).await?;
    tracing::info!(reason, "stopping");
    let unsent = tokio::select! {
        unsent = senders.drain(watcher.drain) => unsent,
        // A second signal ends the process at once.
        _ = stop.signal() => true,
    };
    if unsent {
        tracing::warn!("not everything could be sent; it is kept and sent by the next run");
    }
    journal.close().await?;
    Ok(())
}

/// The state of the loop.
struct Watcher {
    clock: Clock,
    /// The last reading of the clock.
    last: Timestamp,
    /// The folder in which other commands leave marks and results.
    state_dir: PathBuf,
    told: TakenUp,
    /// The log's file or pattern of files.
    log: Option<PathBuf>,
    /// Whether it was missing at the last poll; `None` before the first.
    lacks_log: Option<bool>,
    vitals: Vitals,
    /// The time that is left for sending at shutdown.
    drain: Duration,
    process: Option<ProcessSource>,
    client: HubClient,
    pulse: Pulse,
    lookout: Lookout,
    /// The state of the hub that was logged last.
    logged_state: Option<HubState>,
    joining: Joining,
    others: OtherSubscribers,
    subscription: Option<Subscription>,
    /// True after the first poll. No line is read before it: it decides which lines of an old log belong to the hub's present process.
    has_polled: bool,
    receiving: Receiving,
    sidecar: Sidecar,
}

/// The files of marks and results that were taken up and may not be committed yet.
#[derive(Debug, Default)]
struct TakenUp {
    /// Those in the open Watch.
    open: Vec<PathBuf>,
    /// Those in a commit that has begun.
    committing: Vec<PathBuf>,
}

impl TakenUp {
    fn all(&self) -> HashSet<PathBuf> {
        self.open.iter().chain(&self.committing).cloned().collect()
    }
}

/// A reason for the loop to wake.
enum Event {
    /// The watch is to end.
    Stop(&'static str),
    /// A poll is due.
    Poll,
    /// The poll is answered.
    Asked(Box<Asked>),
    /// It is time to read the log.
    Log,
    /// The event stream has news.
    News(Option<News>),
    /// This many bytes were piped in.
    Piped(usize),
    /// A request was received.
    Received(Observed),
    /// A check of the hub between two polls is due.
    Look,
    /// That check is done; true if the hub's state has changed.
    Looked(bool),
    /// Nothing happened for a while.
    Beat,
}

impl Watcher {
    async fn go(&mut self, is_piped: bool, interval: Duration, stop: &mut Stop) -> Result<&'static str, CliError> {
        let mut stdin = is_piped.then(tokio::io::stdin);
        let has_file = self.log.is_some();
        let mut piped = vec![0; if is_piped { PIPE_BYTES } else { 0 }];
        let mut polls = tokio::time::interval(interval);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wake = Wake::new();
        let mut asking: Option<Pending<Asked>> = None;
        let mut looking: Option<Pending<bool>> = None;
        let reason = loop {
            let event = tokio::select! {
                reason = stop.wait() => Event::Stop(reason),
                _ = polls.tick(), if asking.is_none() => Event::Poll,
                asked = pending(&mut asking) => Event::Asked(Box::new(asked)),
                () = wake.wait(), if has_file && self.has_polled => Event::Log,
                news = heard(&mut self.subscription), if self.has_polled => Event::News(news),
                read = read(&mut stdin, &mut piped), if self.has_polled => Event::Piped(read.unwrap_or_default()),
                observed = self.receiving.next() => Event::Received(observed),
                () = self.lookout.due(), if asking.is_none() && looking.is_none() => Event::Look,
                changed = pending(&mut looking) => Event::Looked(changed),
                () = tokio::time::sleep_until(self.pulse.next().into()) => Event::Beat,
            };
            let asked = asking.is_some();
            if self.stood_still(asked).await? && asked {
                // A request that was under way meanwhile shows nothing about the hub.
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
                    self.polled(*asked).await?;
                }
                Event::Log => self.look_at_log(&mut wake).await?,
                Event::News(news) => self.heard(news).await?,
                Event::Piped(bytes) => {
                    self.piped(&piped[..bytes]).await?;
                    if bytes == 0 {
                        // The hub has ended or closed its output; one more poll shows which.
                        let asked = self.now().await?;
                        let asked = ask(self.client.clone(), self.clock.steady(asked)).await;
                        self.polled(asked).await?;
                        break "the end of its input";
                    }
                }
                Event::Received(observed) => {
                    let now = self.now().await?;
                    self.receiving.take(observed, &mut self.sidecar, now);
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
            if self.sidecar.take_stir() {
                self.lookout.stir(Instant::now());
            }
        };
        self.last_poll(asking, stop).await?;
        self.end(reason).await?;
        Ok(reason)
    }

    /// Polls once more if lines claim something that only a poll can confirm.
    async fn last_poll(&mut self, under_way: Option<Pending<Asked>>, stop: &mut Stop) -> Result<(), CliError> {
        let now = self.now().await?;
        if !self.has_polled || survive(&self.vitals, self.sidecar.awaits_poll(now).await)? != Some(true) {
            return Ok(());
        }
        // An answer that is under way may be older than the lines.
        drop(under_way);
        let begun = Instant::now();
        let asked = self.now().await?;
        let asked = tokio::select! {
            asked = tokio::time::timeout(LAST_POLL.min(self.drain), ask(self.client.clone(), self.clock.steady(asked))) => asked,
            // A second signal ends the process at once.
            _ = stop.signal() => return Ok(()),
        };
        self.drain = self.drain.saturating_sub(begun.elapsed());
        match asked {
            Ok(asked) => self.polled(asked).await,
            Err(_) => Ok(()),
        }
    }

    /// Commits everything. An error means that the last data is lost, because it was in memory only.
    async fn end(&mut self, reason: &str) -> Result<(), CliError> {
        let now = self.now().await?;
        self.receiving.end(&mut self.sidecar, now).await;
        self.take_up_marks();
        self.take_up_results();
        let mut committed = self.sidecar.stop(reason, now).await;
        // One commit notices that the state folder is lost, the next one creates it again.
        for _ in 0..LAST_COMMITS {
            if !matches!(&committed, Err(error) if error.may_pass()) {
                break;
            }
            committed = self.sidecar.commit_last(now).await;
        }
        committed.inspect_err(|error| tracing::error!(%error, "the last data could not be saved"))?;
        announce::done(&std::mem::take(&mut self.told.committing));
        announce::done(&std::mem::take(&mut self.told.open));
        Ok(())
    }

    /// Records that the loop is awake. Returns true if the process stood still before, so that nothing was watched.
    async fn stood_still(&mut self, asking: bool) -> Result<bool, CliError> {
        let Some(length) = self.pulse.beat(std::time::Instant::now(), asking) else { return Ok(false) };
        let now = self.now().await?;
        tracing::warn!(
            seconds = length.as_secs(),
            "this process stood still (suspended, or without processor time): nothing was watched meanwhile"
        );
        survive(&self.vitals, self.sidecar.stood_still(now.minus(Micros::from_duration(length)), now).await)?;
        Ok(true)
    }

    /// Records that a check between polls found the hub unchanged.
    async fn looked_in_vain(&mut self) -> Result<(), CliError> {
        let now = self.now().await?;
        self.lookout.in_vain(Instant::now());
        if self.lookout.is_away() {
            self.sidecar.still_away(now);
        }
        Ok(())
    }

    async fn look_at_log(&mut self, wake: &mut Wake) -> Result<(), CliError> {
        let now = self.now().await?;
        // Lines can fill a Watch before the next poll: a window that began before them must be in it.
        self.take_up_marks();
        match survive(&self.vitals, self.sidecar.read_log(now).await)? {
            // The rest of a long log is read at once, after other events had their turn.
            Some(LogRead { at_end: false, .. }) => wake.go_on(),
            read => wake.looked(read.is_some_and(|read| read.moved), self.sidecar.log_files()).await,
        }
        Ok(())
    }

    async fn piped(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let now = self.now().await?;
        self.take_up_marks();
        survive(&self.vitals, self.sidecar.piped(bytes, now).await)?;
        Ok(())
    }

    /// Returns the present time. A jump of the wall clock is recorded first.
    async fn now(&mut self) -> Result<Timestamp, CliError> {
        let reading = self.clock.read();
        if let Some(jump) = reading.jump {
            survive(&self.vitals, self.sidecar.clock_jumped(self.last, reading.now, jump).await)?;
        }
        self.last = reading.now;
        Ok(reading.now)
    }
}
