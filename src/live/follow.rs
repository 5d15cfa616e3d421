//! Follows the journal: judges each committed Watch and keeps `dashboard.json` up to date.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::vitals::Vitals;
use super::{Live, dashboard};
use crate::clocks::{self, ReadClocks, Steadiness};
use crate::journal::{JournalError, JournalReader, WatchRow};
use crate::judge::incident::{Gravity, Incident, IncidentKind};
use crate::judge::live::News;
use crate::judge::moment::Moment;
use crate::judge::rules::RuleFile;
use crate::report::baseline;
use crate::watch::{Decoded, Environment, HubName, Micros, Timestamp, Watch, spans_of_request};

/// The minimum time between two looks at the journal: a busy log causes two commits a second, most of them without a Watch. An alert
/// is sent within this time after the poll that shows its reason.
const LOOK: Duration = Duration::from_secs(1);

/// How often the health of the watch itself is checked. It costs no I/O.
const HEALTH: Duration = Duration::from_secs(1);

/// Watches read at a time: those of an hour, about a megabyte.
const BATCH: usize = 256;

/// The judged period, which is the strategy's …
const PERIOD: Micros = Micros::new(48 * 3600 * 1_000_000);

/// … plus a day before older Watches are dropped, because dropping them means judging everything again.
const LONGEST: Micros = Micros::new(72 * 3600 * 1_000_000);

/// How long the wall clock must run without a jump before old Watches are dropped.
const HOLD: Duration = Duration::from_secs(3600);

/// How long the last look may take once the watch has ended.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// The journal to follow, and the outputs to keep.
#[derive(Debug)]
pub struct Following {
    /// The hub.
    pub hub: HubName,
    /// The hub's environment.
    pub environment: Environment,
    /// The folder of the journal.
    pub state_dir: PathBuf,
    /// The local configuration's changes to the built-in rules.
    pub rules: Vec<RuleFile>,
    /// The state of the watch itself.
    pub vitals: Vitals,
    /// The polling interval.
    pub interval: Duration,
    /// The path of `dashboard.json`, and the minimum time between two writes.
    pub dashboard: (PathBuf, Duration),
}

/// A receiver of incidents.
pub trait Audience: Send + 'static {
    /// Receives incidents that were opened, changed or closed, in their current state.
    fn changed(&mut self, incidents: Vec<Incident>);

    /// Receives the full current set; retract anything that is not in it.
    fn all(&mut self, incidents: Vec<Incident>);

    /// Ends: no more incidents follow.
    fn end(self) -> impl Future<Output = ()> + Send;
}

/// Ignores all incidents.
impl Audience for () {
    fn changed(&mut self, _: Vec<Incident>) {}

    fn all(&mut self, _: Vec<Incident>) {}

    async fn end(self) {}
}

/// A task that follows a journal until it is ended or dropped.
#[derive(Debug)]
pub struct Follower {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Starts the task.
    pub fn start(live: Live, following: Following, audience: impl Audience) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut follow = Follow {
                live,
                following,
                audience,
                reader: None,
                seen: 0,
                looked: None,
                retry: false,
                place: None,
                from: None,
                hours_from: None,
                earliest: None,
                whole: false,
                begun: None,
                past: BTreeMap::new(),
                unwell: None,
                written: None,
                clocks: clocks::of_machine(),
                steadiness: Steadiness::default(),
            };
            follow.go(stopped).await;
            follow.audience.end().await;
        });
        Self { stop, task }
    }

    /// Judges the last committed Watches, passes their incidents on, and ends.
    pub async fn end(self) {
        // An error means that the task has ended already.
        let _ = self.stop.send(());
        let task = self.task.abort_handle();
        if tokio::time::timeout(LAST_LOOK, self.task).await.is_err() {
            task.abort();
        }
    }
}

struct Follow<A> {
    live: Live,
    following: Following,
    audience: A,
    reader: Option<JournalReader>,
    /// The number of the last commit before the last look.
    seen: u64,
    /// The time of the last look.
    looked: Option<Instant>,
    /// True if the last look failed.
    retry: bool,
    /// The cursor of the next Watch in the journal.
    place: Option<i64>,
    /// The beginning of the judged period.
    from: Option<Timestamp>,
    /// From when the hours of the phases count: the baseline's time, as in a report.
    hours_from: Option<Timestamp>,
    /// The beginning of a Watch that is earlier than those before it, since the clock was set back: it is judged from there on.
    earliest: Option<Timestamp>,
    /// True once the whole journal was judged. Until then no incident is sent, because it may be over already.
    whole: bool,
    /// The beginning of the watch, and the counts of incidents in the log's past when it was first judged, by incident id.
    begun: Option<Timestamp>,
    past: BTreeMap<String, u64>,
    /// The incident that hubwatch itself can't work. Watches can't show it: there are none then.
    unwell: Option<Incident>,
    written: Option<Instant>,
    clocks: ReadClocks,
    steadiness: Steadiness,
}

/// The result of a look at the journal.
struct Look {
    reader: JournalReader,
    place: Option<i64>,
    watches: Vec<Watch>,
    more: bool,
    hours_from: Option<Timestamp>,
}

impl<A: Audience> Follow<A> {
    async fn go(&mut self, mut stopped: oneshot::Receiver<()>) {
        let mut health = tokio::time::interval(HEALTH);
        health.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (news, last) = tokio::select! {
                _ = health.tick() => (self.looked.is_none() || self.retry, false),
                seen = committed(&self.following.vitals, self.looked, self.seen) => {
                    self.seen = seen;
                    (true, false)
                }
                _ = &mut stopped => (true, true),
            };
            if news {
                self.retry = false;
                while self.look().await {}
                self.looked = Some(Instant::now());
            }
            self.check_own_health();
            if last {
                self.keep_dashboard(true).await;
                return;
            }
        }
    }

    /// Takes in the next Watches. Returns true if there are more.
    async fn look(&mut self) -> bool {
        let clocks = (self.clocks)();
        let (now, holds) = (clocks.wall, self.steadiness.held(clocks) >= HOLD);
        // A jump of the clock makes no Watch old: open incidents would be sent as resolved.
        if holds && self.from.is_some_and(|from| now.since(from) > LONGEST) {
            self.restart(None);
        }
        let place = self.place;
        let (hub, environment, state_dir) =
            (self.following.hub.clone(), self.following.environment.clone(), self.following.state_dir.clone());
        let reader = self.reader.take();
        let horizon = now.minus(PERIOD);
        let read = move || {
            let hours_from = baseline::read(&state_dir, &hub, &environment, now).baseline.map(|baseline| baseline.at.0);
            let look = look(reader, &state_dir, (&hub, &environment), horizon, place)?;
            Ok(Look { hours_from, ..look })
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(look)) => return self.take(look, horizon).await,
            // Before the first commit there is nothing to read.
            Ok(Err(JournalError::Absent { .. })) => {}
            Ok(Err(error)) => {
                self.retry = true;
                tracing::warn!(%error, "the live judge can't read the journal; retrying");
            }
            Err(gone) => {
                self.retry = true;
                tracing::error!(error = %gone, "the task that reads the journal failed; retrying");
            }
        }
        false
    }

    async fn take(&mut self, look: Look, horizon: Timestamp) -> bool {
        self.reader = Some(look.reader);
        if self.from.is_some() && look.hours_from != self.hours_from {
            // A baseline was taken, or has grown too old: the phases begin at another time.
            self.restart(None);
            return true;
        }
        self.place = look.place;
        let news = !look.watches.is_empty();
        for watch in look.watches {
            let start = watch.interval.start().max(horizon);
            if self.from.is_some_and(|from| start < from) {
                self.restart(Some(start));
                return true;
            }
            if self.from.is_none() {
                let from = self.earliest.map_or(start, |earliest| earliest.min(start));
                self.live.begin(self.following.rules.clone(), from, look.hours_from);
                (self.from, self.hours_from) = (Some(from), look.hours_from);
                self.begun = self.begun.or(Some(from));
            }
            match self.live.take(watch) {
                Some(News::Incidents(incidents)) if self.whole && !incidents.is_empty() => {
                    let news = self.without_history(incidents);
                    if !news.is_empty() {
                        self.audience.changed(news);
                    }
                }
                Some(News::Judged(incidents)) if self.whole => self.send_all(incidents),
                // Until everything is read, no incident is sent by itself.
                Some(News::Incidents(_) | News::Judged(_)) | None => {}
            }
        }
        if !look.more && self.from.is_some() && !std::mem::replace(&mut self.whole, true) {
            self.send_all(self.live.incidents());
        }
        if news && !look.more {
            self.keep_dashboard(false).await;
        }
        look.more
    }

    /// Judges again from the beginning of the period.
    fn restart(&mut self, earliest: Option<Timestamp>) {
        (self.place, self.from, self.whole, self.earliest) = (None, None, false, earliest);
    }

    /// Returns the incidents of this watch. Those in the log from before it began are history and raise no alert, unless they
    /// continue.
    fn without_history(&mut self, incidents: Vec<Incident>) -> Vec<Incident> {
        let Some(begun) = self.begun else { return incidents };
        let is_past = |incident: &Incident| is_counted(incident.kind) && incident.start.0 < begun;
        let mut news = Vec::new();
        for incident in incidents {
            if is_past(&incident) && *self.past.entry(incident.id.clone()).or_insert(incident.count) >= incident.count {
                continue;
            }
            news.push(incident);
        }
        news
    }

    fn send_all(&mut self, incidents: Vec<Incident>) {
        let mut incidents = self.without_history(incidents);
        incidents.extend(self.unwell.clone());
        self.audience.all(incidents);
    }

    /// Raises an incident if hubwatch itself can't work: with a full disk or a hanging poll nothing is judged.
    fn check_own_health(&mut self) {
        let now = Timestamp::now();
        let reasons = self.following.vitals.wellness(self.following.interval).not_ready;
        // Before the first poll the watch is not expected to be ready.
        let begun = self.following.vitals.polled_at().is_some();
        match (reasons.is_empty(), self.unwell.take()) {
            (false, None) if begun => {
                let incident = unwell(now, reasons.join("; "));
                self.audience.changed(vec![incident.clone()]);
                self.unwell = Some(incident);
            }
            (true, Some(incident)) => self.audience.changed(vec![Incident { end: Some(Moment(now)), ..incident }]),
            (_, still) => self.unwell = still,
        }
    }

    /// Writes the dashboard, unless its minimum interval has not passed.
    async fn keep_dashboard(&mut self, in_any_case: bool) {
        let (path, interval) = &self.following.dashboard;
        if !in_any_case && self.written.is_some_and(|written| written.elapsed() < *interval) {
            return;
        }
        let Some(so_far) = self.live.so_far() else { return };
        let Some(dashboard) = dashboard::dashboard(&so_far, &self.following.vitals.deployment()) else { return };
        let target = path.clone();
        let written = tokio::task::spawn_blocking(move || crate::base::atomic::write_json(&target, &dashboard)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(path = %path.display(), %error, "can't write the dashboard"),
            Err(gone) => tracing::error!(error = %gone, "the task that writes the dashboard failed"),
        }
        self.written = Some(Instant::now());
    }
}

/// Waits for the next commit of this process, at least [`LOOK`] after the last look; returns its number. No other process can commit,
/// because the state folder is locked.
async fn committed(vitals: &Vitals, looked: Option<Instant>, seen: u64) -> u64 {
    if let Some(looked) = looked {
        tokio::time::sleep_until(looked + LOOK).await;
    }
    vitals.committed_after(seen).await
}

/// Returns true if an incident consists of single events rather than of a lasting state.
const fn is_counted(kind: IncidentKind) -> bool {
    use IncidentKind as Kind;
    matches!(
        kind,
        Kind::CallsSlow
            | Kind::CallsFailing
            | Kind::NotificationsFailing
            | Kind::GeminiFailing
            | Kind::ErrorSpike
            | Kind::ErrorRate
            | Kind::LogStorm
            | Kind::LogStormKnown
            | Kind::LogGrowth
            | Kind::LogWriteFailed
            | Kind::ServerFlapping
            | Kind::ServerReconnecting
    )
}

/// Creates the incident. In the report the same time is a gap in the coverage, if it becomes one.
fn unwell(now: Timestamp, cause: String) -> Incident {
    Incident {
        id: format!("{}-{}-hubwatch", IncidentKind::WatchGap, now.get()),
        kind: IncidentKind::WatchGap,
        severity: Gravity::Critical,
        subject: "hubwatch".to_owned(),
        start: Moment(now),
        end: None,
        title: "hubwatch itself is not working".to_owned(),
        cause: Some(cause),
        effect: "events of the hub may be missed".to_owned(),
        count: 1,
        evidence: Vec::new(),
        planned: None,
    }
}

/// Reads the next Watches of the hub. Without a cursor it begins with the first one that ends at `horizon` or later.
fn look(
    reader: Option<JournalReader>,
    state_dir: &Path,
    (hub, environment): (&HubName, &Environment),
    horizon: Timestamp,
    place: Option<i64>,
) -> Result<Look, JournalError> {
    let reader = reader.filter(JournalReader::is_current).map_or_else(|| JournalReader::open(state_dir), Ok)?;
    let first = match place {
        Some(place) => Some(place),
        None => reader.first_watch(hub, environment, horizon)?,
    };
    let Some(first) = first else { return Ok(Look { reader, place, watches: Vec::new(), more: false, hours_from: None }) };
    let rows = reader.watches_from(hub, environment, first, BATCH)?;
    let more = rows.len() == BATCH;
    let place = Some(rows.last().map_or(first, |last| last.id + 1));
    let mut decoded = Decoded::default();
    for WatchRow { otlp, .. } in rows {
        // The journal holds only encoded Watches; the report lists those that can't be decoded.
        let _ = spans_of_request(&otlp, |span| decoded.take(&span));
    }
    Ok(Look { reader, place, watches: decoded.watches, more, hours_from: None })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::watch::ApiOutcome;

    #[derive(Clone, Default)]
    struct Ear(Arc<Mutex<Vec<Incident>>>);

    impl Audience for Ear {
        fn changed(&mut self, incidents: Vec<Incident>) {
            self.0.lock().unwrap().extend(incidents);
        }

        fn all(&mut self, _: Vec<Incident>) {}

        async fn end(self) {}
    }

    async fn heard(ear: &Ear, count: usize) -> Incident {
        let heard = async {
            loop {
                let heard = ear.0.lock().unwrap().clone();
                if heard.len() >= count {
                    return heard[count - 1].clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.unwrap()
    }

    #[tokio::test]
    async fn a_watch_that_can_not_write_its_journal_raises_an_incident_and_closes_it_after_recovery() {
        let folder = tempfile::tempdir().unwrap();
        let vitals = Vitals::default();
        let following = Following {
            hub: HubName::parse("hub").unwrap(),
            environment: Environment::parse("staging").unwrap(),
            state_dir: folder.path().to_owned(),
            rules: Vec::new(),
            vitals: vitals.clone(),
            interval: Duration::from_secs(15),
            dashboard: (folder.path().join("dashboard.json"), Duration::ZERO),
        };
        let ear = Ear::default();
        vitals.polled(Timestamp::now(), ApiOutcome::Ok);
        vitals.committed(Err("the disk is full".to_owned()));
        let follower = Follower::start(Live::default(), following, ear.clone());
        let unwell = heard(&ear, 1).await;
        assert!(unwell.cause.as_deref().unwrap().contains("the disk is full") && unwell.end.is_none(), "{unwell:#?}");
        vitals.committed(Ok(()));
        let well = heard(&ear, 2).await;
        assert!(well.id == unwell.id && well.end.is_some(), "{well:#?}");
        follower.end().await;
        assert_eq!(ear.0.lock().unwrap().len(), 2, "each is sent once");
    }
}
