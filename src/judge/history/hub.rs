//! The hub's process over the period.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::life::{CountsAs, Life, LifeNews, News, Outage};
use super::timeline::add_reason;
use super::{Planned, Stretch, Timeline};
use crate::judge::moment::Moment;
use crate::judge::planned::Plans;
use crate::watch::{ApiOutcome, FactId, HubFact, Liveness, Micros, Poll, ServerFact, Text, Timestamp, Watch, When};

/// A watch that begins before its hub waits for it so long: a hub that starts with its sidecar has come by then. What is still not
/// there is down.
pub const AWAITED: Micros = Micros::new(5 * 60 * 1_000_000);

/// The hub's process over the period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HubHistory {
    /// Its last state.
    pub last_state: Option<String>,
    /// Its version, where it says one.
    pub version: Option<String>,
    /// When it started.
    pub starts: Vec<Moment>,
    /// When it stopped in good order or began to.
    pub stops: Vec<HubStop>,
    /// When its process ended without a word.
    pub exits: Vec<HubStop>,
    /// When it did not answer as a hub answers, or had said that it stops; the last [`MAX_OUTAGES`](super::MAX_OUTAGES) of these times.
    pub unreachable: Vec<Outage>,
    /// How often that was.
    #[serde(default)]
    pub outages: u64,
    /// How long that was, together.
    #[serde(default)]
    pub down_us: u64,
    /// How much of that lies in no planned window.
    #[serde(default)]
    pub down_unplanned_us: u64,
    /// How long it answered, together.
    #[serde(default)]
    pub up_us: u64,
    /// How long it was neither up nor down: nothing was known of it, or it was awaited. The three together are `coverage.span_us`.
    #[serde(default)]
    pub neither_us: u64,
    /// How long the watch waited for a hub that was not there yet.
    pub awaited: Option<Stretch>,
    /// How many of its servers were up when it had last started them, where it said so.
    #[serde(default)]
    pub servers_started: Option<StartedServers>,
    /// How often the connection to somebody who read its event stream broke.
    #[serde(default)]
    pub subscribers_failed: u64,
    /// Whether it answered, stretch by stretch.
    pub timeline: Timeline,
    /// Whether something else answered in the place of a hub that was awaited.
    #[serde(skip)]
    pub(in crate::judge) another_answers: bool,
    #[serde(skip)]
    life: Life,
    /// A line says that it started, and nothing has contradicted that yet.
    #[serde(skip)]
    started: Option<Timestamp>,
    /// The start of the latest process.
    #[serde(skip)]
    last_start: Option<Timestamp>,
    /// Its state changed beyond the period: later facts are moved to that change, and change nothing in the period.
    #[serde(skip)]
    changed_beyond: bool,
}

/// What the hub said once it had started its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartedServers {
    /// When.
    pub at: Moment,
    /// How many were up.
    pub up: u32,
    /// Of how many.
    pub total: u32,
}

/// An end of the hub's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HubStop {
    /// When.
    pub at: Moment,
    /// Whether it said its last words.
    pub graceful: bool,
    /// The signal that it received.
    pub signal: Option<String>,
    /// What led to it.
    pub cause: Option<String>,
    /// The planned disturbance that it was part of.
    pub planned: Option<String>,
}

const ANSWERS: &str = "it answers";

fn said(text: Option<&Text>) -> Option<String> {
    text.map(ToString::to_string)
}

impl HubHistory {
    pub(super) fn new(from: Timestamp) -> Self {
        Self { life: Life::new(from), ..Self::default() }
    }

    /// The watch begins then.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.life.begin(at);
    }

    /// Takes in what happened. What is only context changes the state and is not counted.
    /// `when` is when it happened, and from when on that is known to have been so.
    pub(super) fn fact(
        &mut self,
        (fact, id): (&HubFact, FactId),
        (when, known): (When, When),
        watch: &Watch,
        planned: Planned<'_>,
        counts: bool,
    ) {
        let at = Moment(when.latest());
        self.state(fact, id, known, watch);
        if !counts {
            return;
        }
        let planned_by = || planned.map(str::to_owned);
        match fact {
            HubFact::HubStarted(_) => self.starts.push(at),
            HubFact::HubStopping(stop) => {
                let (signal, cause) = (said(stop.signal.as_ref()), said(stop.cause.as_ref()));
                self.stops.push(HubStop { at, graceful: false, signal, cause, planned: planned_by() });
            }
            HubFact::HubStopped(_) => match self.stops.last_mut().filter(|stop| !stop.graceful) {
                Some(stop) => stop.graceful = true,
                None => self.stops.push(HubStop { at, graceful: true, signal: None, cause: None, planned: planned_by() }),
            },
            HubFact::HubExited(exit) => {
                let cause = said(exit.cause.as_ref());
                self.exits.push(HubStop { at, graceful: false, signal: None, cause, planned: planned_by() });
            }
            HubFact::SubscriberFailed(_) => self.subscribers_failed += 1,
            // Whether it answers is a state with its stretches of time, not a count.
            HubFact::HubUnreachable(_) | HubFact::HubReachable(_) => {}
            // Each poll carries the state.
            HubFact::HubStateChanged(_) => {}
        }
    }

    /// Takes in how many of its servers the hub started.
    pub(super) fn servers(&mut self, fact: &ServerFact, at: Moment) {
        if let ServerFact::ServersStarted(started) = fact {
            self.servers_started = Some(StartedServers { at, up: started.up, total: started.total });
        }
    }

    /// The state before an event, if nothing else shows it.
    pub(super) fn fill_before(&mut self, fact: &HubFact, when: When, watch: &Watch) {
        match fact {
            HubFact::HubUnreachable(_) | HubFact::HubStopping(_) | HubFact::HubExited(_) => self.fill(watch, when, Liveness::Up),
            HubFact::HubReachable(_) => self.fill(watch, when, Liveness::Down),
            // Each of these can come before as well as after the API noticed.
            HubFact::HubStarted(_) | HubFact::HubStopped(_) => {}
            HubFact::HubStateChanged(_) | HubFact::SubscriberFailed(_) => {}
        }
    }

    fn state(&mut self, fact: &HubFact, id: FactId, when: When, watch: &Watch) {
        if self.changed_beyond {
            return;
        }
        let down = |reason| News { liveness: Liveness::Down, reason, cause: None, shown_by: Some(id) };
        self.fill_before(fact, when, watch);
        match fact {
            HubFact::HubStarted(_) => {
                self.last_start = Some(when.latest());
                self.started = Some(when.latest());
            }
            HubFact::HubStopping(stop) => {
                let reason = stop.signal.as_ref().map_or("it stops".to_owned(), |signal| format!("it received {signal}"));
                self.turn(when, down(&reason));
            }
            HubFact::HubStopped(_) => {
                if self.last_start.is_none_or(|start| start < when.latest()) {
                    self.turn(when, down("it stopped"));
                }
            }
            // The poll notices it after the log has shown the next start: the length of the outage is unknown.
            HubFact::HubExited(_) => {
                if self.last_start.is_none_or(|start| start < when.earliest()) {
                    self.turn(when, down("its process ended"));
                }
            }
            HubFact::HubUnreachable(lost) => {
                self.started = None;
                self.silent(lost.outcome, when, Some(id), watch);
            }
            HubFact::HubReachable(_) => self.answers(when),
            // What the hub calls its state says nothing of whether it answers, nor does a reader of its events that left.
            HubFact::HubStateChanged(_) | HubFact::SubscriberFailed(_) => {}
        }
    }

    pub(super) fn poll(&mut self, poll: &Poll, watch: &Watch, at: Timestamp) {
        let (api, when) = (&poll.api, When::At(at));
        self.last_state = said(api.state.as_ref()).or(self.last_state.take());
        self.version = said(api.version.as_ref()).or(self.version.take());
        if api.health != ApiOutcome::Ok {
            self.started = None;
            return self.silent(api.health, when, None, watch);
        }
        if self.answers_for_good(poll, watch) {
            self.fill(watch, when, Liveness::Up);
            self.answers(when);
        }
    }

    /// Whether an answer shows that it is up: a hub that has just said that it stops may answer once more.
    fn answers_for_good(&self, poll: &Poll, watch: &Watch) -> bool {
        let stops = self.life.is_down() && self.life.since().is_some_and(|since| since > watch.interval.start());
        let stopping = poll.api.state.as_ref().is_some_and(|state| state.as_str().starts_with("stop"));
        self.started.is_some() || !(stops || stopping && self.life.is_down())
    }

    /// Notes that a poll beyond the period changes its state.
    pub(super) fn poll_beyond(&mut self, poll: &Poll, watch: &Watch) {
        self.changed_beyond |= match self.life.liveness() {
            Some(Liveness::Up) => poll.api.health != ApiOutcome::Ok,
            Some(Liveness::Down) if self.started.is_none() => {
                poll.api.health == ApiOutcome::Ok && self.answers_for_good(poll, watch)
            }
            // A start in the period has not been contradicted yet; else nothing is known that could change.
            Some(
                Liveness::Down
                | Liveness::Starting
                | Liveness::Unauthorized
                | Liveness::Disabled
                | Liveness::Removed
                | Liveness::Unknown,
            )
            | None => false,
        };
    }

    /// Notes that a fact beyond the period changes its state.
    pub(super) fn fact_beyond(&mut self, fact: &HubFact) {
        self.changed_beyond |= match fact {
            HubFact::HubUnreachable(_) | HubFact::HubStopping(_) | HubFact::HubStopped(_) | HubFact::HubExited(_) => {
                self.life.liveness() == Some(Liveness::Up)
            }
            HubFact::HubReachable(_) => self.life.is_down() && self.started.is_none(),
            HubFact::HubStarted(_) | HubFact::HubStateChanged(_) | HubFact::SubscriberFailed(_) => false,
        };
    }

    /// The state in a poll after the period held before it, too, if nothing else shows the state.
    pub(super) fn learn(&mut self, poll: &Poll, watch: &Watch) {
        let when = When::At(watch.interval.end());
        match poll.api.health {
            ApiOutcome::Ok => self.fill(watch, when, Liveness::Up),
            outcome if self.life.is_blank() && begins_the_watch(watch) => self.silent(outcome, when, None, watch),
            _ => self.fill(watch, when, Liveness::Down),
        }
    }

    /// It does not answer as a hub does.
    fn silent(&mut self, outcome: ApiOutcome, when: When, shown_by: Option<FactId>, watch: &Watch) {
        let reason = format!("no answer: {}", outcome.reason());
        let news = |liveness| News { liveness, reason: &reason, cause: None, shown_by };
        if self.life.is_blank() && self.awaited.is_none() && begins_the_watch(watch) {
            // Nobody knows of a hub before the watch began.
            let start = watch.interval.start();
            self.turn(When::At(start), News { reason: "the watch began before the hub", ..news(Liveness::Unknown) });
            self.life.await_until(start.plus(AWAITED));
            self.awaited = Some(Stretch::open(Moment(start), &reason, None));
            self.another_answers = outcome.answered();
            return;
        }
        if let Some(awaited) = self.awaited.as_mut().filter(|awaited| awaited.to.is_none()) {
            add_reason(&mut awaited.reason, outcome.reason());
            self.another_answers |= outcome.answered();
            return;
        }
        // A proxy that cuts a connection before it answers for the hub: what lasted counts as a reason, too.
        if self.life.is_down() {
            self.life.also(outcome.reason());
        }
        self.fill(watch, when, Liveness::Down);
        self.turn(when, news(Liveness::Down));
    }

    /// The first known state holds for the time before it in the same Watch, unless the run began with this Watch.
    fn fill(&mut self, watch: &Watch, when: When, liveness: Liveness) {
        if self.life.is_blank() && super::continues_its_run(watch) {
            let reason = if liveness == Liveness::Up { ANSWERS } else { "it did not answer before" };
            let since = watch.interval.start().min(when.latest());
            // What was before takes back no start that was told.
            self.stand(When::At(since), News { liveness, reason, cause: None, shown_by: None });
        }
    }

    /// Records that it answers, at the latest then; a start in a line has the better time.
    fn answers(&mut self, when: When) {
        let at = self.started.take().map_or(when, When::At);
        self.turn(at, News { liveness: Liveness::Up, reason: ANSWERS, cause: None, shown_by: None });
    }

    fn turn(&mut self, when: When, news: News<'_>) {
        // A start that nothing contradicted was one.
        if let Some(started) = self.started.take().filter(|_| self.life.is_down() && news.liveness == Liveness::Down) {
            self.life.turn(When::At(started), News { liveness: Liveness::Up, reason: "it started", cause: None, shown_by: None });
        }
        self.stand(when, news);
    }

    fn stand(&mut self, when: When, news: News<'_>) {
        if self.life.liveness() != Some(news.liveness) {
            self.life.turn(when, news);
            self.no_longer_awaited();
        }
    }

    /// Whether the watch began before the hub, and it is not there yet.
    pub(in crate::judge) fn is_awaiting(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.to.is_none())
    }

    fn no_longer_awaited(&mut self) {
        let (since, standing) = (self.life.since(), self.life.standing());
        if let (Some(awaited), Some(since)) = (self.awaited.as_mut().filter(|awaited| awaited.to.is_none()), since)
            && standing != CountsAs::Unknown
        {
            awaited.end(Moment(since));
        }
    }

    /// Since when it has been down.
    pub(super) fn down_since(&self) -> Option<Timestamp> {
        self.life.since().filter(|_| self.life.is_down())
    }

    /// Nobody watched.
    pub(super) fn unseen(&mut self, from: Timestamp) {
        self.life.unseen(from);
        if let Some(awaited) = self.awaited.as_mut().filter(|awaited| awaited.to.is_none()) {
            awaited.end(Moment(from));
        }
    }

    /// The clock was set back from the first instant to the second.
    pub(super) fn set_back(&mut self, from: Timestamp, to: Timestamp) {
        self.unseen(from);
        self.life.set_back(from, to);
        self.last_start = self.last_start.filter(|start| *start <= to);
        self.started = self.started.filter(|start| *start <= to);
    }

    /// Time has passed.
    pub(super) fn advance(&mut self, to: Timestamp, plans: &Plans) {
        self.life.advance(to);
        self.life.bound(plans);
        self.no_longer_awaited();
    }

    /// What happened since it was last asked.
    pub(in crate::judge) fn news(&mut self) -> LifeNews {
        self.life.news()
    }

    pub(super) fn finish(&mut self, end: Timestamp, plans: &Plans) {
        if let Some(started) = self.started.take().filter(|_| self.life.is_down()) {
            self.answers(When::At(started));
        }
        if self.is_awaiting() {
            // It never answered: then it was down rather than starting.
            let start = self.awaited.take().map_or(end, |awaited| awaited.from.0);
            self.life.await_until(start);
        }
        let (unreachable, tally) = self.life.finish(end, plans);
        self.unreachable = unreachable;
        (self.outages, self.down_us, self.down_unplanned_us) = (tally.outages, tally.down_us, tally.unplanned_us);
        (self.up_us, self.neither_us) = (tally.up_us, tally.neither_us);
        self.timeline = std::mem::take(&mut self.life.timeline);
        self.no_longer_awaited();
        if let Some(awaited) = &mut self.awaited {
            awaited.lasts_until(end);
        }
    }
}

/// Whether the watch of this hub began with this Watch.
fn begins_the_watch(watch: &Watch) -> bool {
    watch.origin.run <= 1 && !super::continues_its_run(watch)
}
