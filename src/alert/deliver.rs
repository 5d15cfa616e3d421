//! Sending alerts: a task for each target, with retries, a limit of messages, and a ledger that survives restarts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ledger::{Ledger, Notice, Terms};
use super::message::{self, Sender};
use super::target::{Target, TargetError};
use crate::base::backoff::Backoff;
use crate::base::causes;
use crate::clocks::{self, Clocks, ReadClocks, Steadiness};
use crate::judge::incident::Incident;
use crate::live::follow::Audience;
use crate::watch::Micros;

/// Timeout of a request to a target.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first pause after a failure; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest pause: a target that is back gets all alerts within five minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// The pauses between retries, unless the target asks for another one.
const WAITS: Backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);

/// Incidents within this time go into one message: a hub that dies takes its servers with it.
const GATHER: Duration = Duration::from_secs(1);

/// How many messages may be sent in a burst before the hourly rate limit applies.
const BURST: u32 = 5;

/// The most alerts in one message, so that a chat accepts it; the rest goes into the next one.
const MOST: usize = 20;

/// Timeout of the last messages at shutdown.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The ledger is searched for old entries at least this often.
const IDLE: Duration = Duration::from_secs(3600);

/// How long the wall clock must run without a jump before old entries are removed.
const HOLD: Duration = Duration::from_secs(3600);

/// Why alerts can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum AlertsError {
    /// A target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// HTTP could not be set up.
    #[error("can't set up HTTP for alerts: {0}")]
    Setup(String),
}

/// The senders of alerts.
#[derive(Debug, Default)]
pub struct Alerts {
    targets: Vec<(mpsc::UnboundedSender<Heard>, JoinHandle<()>)>,
}

/// A change of incidents, as a courier gets it.
#[derive(Debug, Clone)]
enum Heard {
    Changed(Vec<Incident>),
    All(Vec<Incident>),
}

impl Alerts {
    /// Starts a task for each target. Its ledger is kept in `state_dir`.
    pub fn start(targets: Vec<Target>, sender: &Sender, state_dir: &Path) -> Result<Self, AlertsError> {
        crate::base::tls::choose_provider();
        let mut started = Vec::new();
        for target in targets {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("hubwatch/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .default_headers(target.header_map()?)
                .timeout(TIMEOUT);
            for authority in target.authorities()? {
                builder = builder.add_root_certificate(authority);
            }
            let http = builder.build().map_err(|error| AlertsError::Setup(causes::of(&error)))?;
            let path = state_dir.join(target.file_name());
            tracing::info!(to = target.name, kind = ?target.kind, from = %target.level, "alerts are sent to this target");
            let (to, from) = mpsc::unbounded_channel();
            let courier = Courier {
                endpoint: target.endpoint()?,
                terms: Terms {
                    level: target.level,
                    after: Micros::from_duration(target.after),
                    repeat: Micros::from_duration(target.repeat),
                },
                ledger: read(&path),
                path,
                http,
                sender: sender.clone(),
                bucket: Bucket::new(target.an_hour),
                clocks: clocks::of_machine(),
                steadiness: Steadiness::default(),
                target,
            };
            started.push((to, tokio::spawn(courier.run(from))));
        }
        Ok(Self { targets: started })
    }

    /// Passes a change to all couriers without waiting.
    fn tell(&self, heard: &Heard) {
        for (target, _) in &self.targets {
            // A task ends only at shutdown, or by a panic that was reported.
            let _ = target.send(heard.clone());
        }
    }
}

impl Audience for Alerts {
    fn changed(&mut self, incidents: Vec<Incident>) {
        self.tell(&Heard::Changed(incidents));
    }

    fn all(&mut self, incidents: Vec<Incident>) {
        self.tell(&Heard::All(incidents));
    }

    /// Sends what is due, for a short time. The next run sends the rest.
    async fn end(self) {
        let deadline = Instant::now() + LAST_WORDS;
        for (target, task) in self.targets {
            drop(target);
            let stop = task.abort_handle();
            if tokio::time::timeout_at(deadline, task).await.is_err() {
                stop.abort();
            }
        }
    }
}

/// Reads a ledger. A missing or unreadable file gives an empty one: an alert is sent twice rather than never.
fn read(path: &Path) -> Ledger {
    let Ok(bytes) = std::fs::read(path) else { return Ledger::default() };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "the alert ledger can't be read: open alerts are sent again");
        Ledger::default()
    })
}

/// The task of one target.
struct Courier {
    target: Target,
    endpoint: reqwest::Url,
    terms: Terms,
    ledger: Ledger,
    path: PathBuf,
    http: reqwest::Client,
    sender: Sender,
    bucket: Bucket,
    clocks: ReadClocks,
    steadiness: Steadiness,
}

impl Courier {
    async fn run(mut self, mut heard: mpsc::UnboundedReceiver<Heard>) {
        let mut failures: u32 = 0;
        let mut not_before = Instant::now();
        loop {
            let now = self.look();
            let due = self.ledger.due(self.terms, now);
            let waiting = if due.is_empty() { self.idle(now) } else { Duration::ZERO };
            let at = (Instant::now() + waiting).max(not_before);
            tokio::select! {
                heard = heard.recv() => {
                    let Some(heard) = heard else { break };
                    self.hear(heard);
                    if due.is_empty() {
                        not_before = not_before.max(Instant::now() + GATHER);
                    }
                }
                () = tokio::time::sleep_until(at) => {
                    self.forget();
                    if due.is_empty() {
                        continue;
                    }
                    let wait = match self.deliver(&due).await {
                        Ok(()) => {
                            failures = 0;
                            self.bucket.take(Instant::now())
                        }
                        Err(refused) => {
                            failures += 1;
                            self.complain(&refused, failures);
                            refused.wait.unwrap_or_else(|| WAITS.after(failures))
                        }
                    };
                    not_before = Instant::now() + wait;
                }
            }
        }
        // At shutdown: due alerts are sent now or by the next run.
        let now = self.look();
        let due = self.ledger.due(self.terms, now);
        if !due.is_empty()
            && let Err(refused) = self.deliver(&due).await
        {
            self.complain(&refused, 1);
        }
        self.keep().await;
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Changed(incidents) => incidents.into_iter().for_each(|incident| self.ledger.take(incident, self.terms)),
            Heard::All(incidents) => self.ledger.take_all(incidents, self.terms, (self.clocks)().wall),
        }
    }

    /// Reads both clocks and notes the age of new entries in the ledger.
    fn look(&mut self) -> Clocks {
        let now = (self.clocks)();
        self.ledger.look(now);
        now
    }

    fn forget(&mut self) {
        let now = (self.clocks)();
        if self.steadiness.held(now) >= HOLD {
            self.ledger.forget(self.terms, now);
        }
    }

    /// Returns how long nothing will be due, if nothing happens.
    fn idle(&self, now: Clocks) -> Duration {
        let next = self.ledger.next(self.terms, now).map(|next| Duration::from_micros(next.get()));
        next.unwrap_or(IDLE).clamp(Duration::from_millis(100), IDLE)
    }

    async fn deliver(&mut self, due: &[Notice]) -> Result<(), Refused> {
        let due = &due[..due.len().min(MOST)];
        let now = (self.clocks)();
        let body = message::body(self.target.kind, &self.sender, due, now.wall, Micros::from_duration(self.target.lasts()));
        // A JSON value always has a text.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let request = self.http.post(self.endpoint.clone()).header("content-type", "application/json").body(bytes);
        let response = request.send().await.map_err(|error| Refused { why: causes::of(&error.without_url()), wait: None })?;
        if !response.status().is_success() {
            let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let wait = after.map(|seconds| Duration::from_secs(seconds).clamp(FIRST_WAIT, LONGEST_WAIT));
            return Err(Refused { why: format!("HTTP {}", response.status()), wait });
        }
        self.ledger.told(due, now);
        self.keep().await;
        tracing::info!(target = self.target.name, alerts = due.len(), "alerts sent");
        Ok(())
    }

    /// Logs a failure, but only at each doubling of their number.
    fn complain(&self, refused: &Refused, failures: u32) {
        if failures.is_power_of_two() {
            let why = &refused.why;
            tracing::warn!(target = self.target.name, failures, why, "sending alerts failed; retrying");
        }
    }

    /// Writes the ledger on another thread: the disk may be slow, and this thread watches the hub.
    fn keep(&self) -> impl Future<Output = ()> + Send + use<> {
        let (path, ledger) = (self.path.clone(), self.ledger.clone());
        let target = path.clone();
        async move {
            let kept = tokio::task::spawn_blocking(move || crate::base::atomic::write_json(&target, &ledger)).await;
            if let Err(error) = kept.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                tracing::warn!(path = %path.display(), %error, "the alert ledger can't be written: a restart would send alerts again");
            }
        }
    }
}

/// A message that the target did not accept.
struct Refused {
    why: String,
    /// The pause that the target asks for (`Retry-After`).
    wait: Option<Duration>,
}

/// The rate limit of messages: a token bucket.
#[derive(Debug)]
struct Bucket {
    each: Duration,
    /// When the bucket would be full.
    full_at: Option<Instant>,
}

impl Bucket {
    fn new(an_hour: u32) -> Self {
        Self { each: Duration::from_secs(3600) / an_hour.max(1), full_at: None }
    }

    /// Takes a token and returns how long to wait for the next one.
    fn take(&mut self, now: Instant) -> Duration {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now)) + self.each;
        self.full_at = Some(full_at);
        let capacity = self.each.saturating_mul(BURST - 1);
        full_at.saturating_duration_since(now).saturating_sub(capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_messages_go_at_once_and_then_one_at_a_time() {
        let mut bucket = Bucket::new(60);
        let now = Instant::now();
        let waits: Vec<_> = (0..7).map(|_| bucket.take(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 60, 120, 180]);
        assert_eq!(bucket.take(now + Duration::from_secs(3600)).as_secs(), 0);
    }

    #[test]
    fn a_ledger_comes_back_and_a_broken_one_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts-a.json");
        assert_eq!(read(&path), Ledger::default());
        crate::base::atomic::write_json(&path, &Ledger::default()).unwrap();
        assert_eq!(read(&path), Ledger::default());
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read(&path), Ledger::default());
    }
}
