//! How a server or the hub fared over the period: one state history, from which the timeline, the down time, the outages, the
//! incidents and the criteria are all taken, so that they can't disagree.
//!
//! What counts as what:
//!
//! - It is *down* for each stretch in which it should work and doesn't, whoever saw the change, and from the period's start if the
//!   period begins inside the outage.
//! - Starting again is not working again: an outage ends when it works, is switched off, is removed, or is no longer known.
//! - What was stopped on purpose (through the hub's API, by its configuration, or because the whole hub stops or starts) is not down.
//! - A start may take [`STARTING`]; from then on it is down.
//! - The time in which nothing is known counts as neither. So does a start of a server that worked at the poll before and works at the
//!   poll after it, where nothing tells whether somebody asked for that.
//! - A *disconnection* is an outage that begins in the period after it had worked. What was down before, unknown for a while, and is
//!   down again, was disconnected once. A disconnection is planned if all of its outage is.
//! - An outage's *planned part* is the part inside a planned window; at the window's end it becomes unplanned. Where the end of the
//!   outage is known only as an interval that begins inside the window, nothing is known to be unplanned.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timeline;
use super::timeline::add_reason;
use crate::judge::moment::Moment;
use crate::judge::planned::Plans;
use crate::watch::{ChangeCause, FactId, Liveness, Micros, ServerPoll, Timestamp, When, terms};

/// A server that hangs while it is started keeps its hub starting for up to five minutes: until then it may still come.
pub const STARTING: Micros = Micros::new(5 * 60 * 1_000_000);

/// More outages than this are not kept one by one; their number and their time are exact all the same.
pub const MAX_OUTAGES: usize = 2_000;

terms! {
    /// What a stretch of time counts as.
    pub enum CountsAs {
        /// It worked.
        Up = "up",
        /// It should have worked and did not.
        Down = "down",
        /// It was stopped or switched off on purpose.
        OnPurpose = "on_purpose",
        /// It was being started.
        Starting = "starting",
        /// Nothing is known of it, or it was not there yet.
        Unknown = "unknown",
    }
}

impl CountsAs {
    /// Who brought about a stretch that counts so, as far as that matters for how it is shown.
    pub const fn cause(self) -> Option<ChangeCause> {
        match self {
            Self::OnPurpose => Some(ChangeCause::Requested),
            Self::Up | Self::Down | Self::Starting | Self::Unknown => None,
        }
    }
}

/// A report of an earlier version does not say.
impl Default for CountsAs {
    fn default() -> Self {
        Self::Unknown
    }
}

terms! {
    /// How an outage ended.
    pub enum Ending {
        /// It worked again, and nobody had asked for that.
        Recovered = "recovered",
        /// It worked again after a request to the hub's API or a change of the configuration.
        ByHand = "by_hand",
        /// It worked again, and nothing tells whether the hub did that or somebody asked for it.
        Unexplained = "unexplained",
        /// It was switched off.
        SwitchedOff = "switched_off",
        /// It was removed from the configuration.
        Removed = "removed",
        /// It is not known how it went on: the hub ended, or nobody watched.
        Unknown = "unknown",
    }
}

/// A time in which something was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outage {
    /// From when, inside the period.
    pub from: Moment,
    /// To when; absent where it went on when the watch or the period ended.
    pub to: Option<Moment>,
    /// Why we think so.
    pub reason: String,
    /// How long; where it went on, up to the end of the watch or the period.
    pub duration_us: u64,
    /// How much of that lies in no planned window.
    #[serde(default)]
    pub unplanned_us: u64,
    /// The planned window in which it lies for the longest time.
    pub planned: Option<String>,
    /// Whether it had worked before: then it is a disconnection.
    #[serde(default)]
    pub disconnection: bool,
    /// How it ended; absent where it went on.
    #[serde(default)]
    pub ending: Option<Ending>,
    /// The fact that showed its beginning.
    #[serde(skip)]
    pub(in crate::judge) shown_by: Option<FactId>,
    /// Whether it is not known to have ever worked.
    #[serde(skip)]
    pub(in crate::judge) is_the_first: bool,
    /// Somebody asked for a start meanwhile.
    #[serde(skip)]
    by_hand: bool,
    /// Whether it began before the period.
    #[serde(skip)]
    is_older: bool,
    /// True if it is unknown whether a start was requested meanwhile.
    #[serde(skip)]
    is_unexplained: bool,
    /// It was over at the earliest then.
    #[serde(skip)]
    over: Option<Timestamp>,
}

impl Outage {
    /// Whether it came back without being asked to.
    pub fn has_recovered(&self) -> bool {
        self.ending == Some(Ending::Recovered)
    }

    /// Works out how long it lasted up to `end`, and how much of that was planned.
    pub(in crate::judge) fn measure(&mut self, end: Timestamp, plans: &Plans) {
        let (from, to) = (self.from.0, self.to.map_or(end, |to| to.0).max(self.from.0));
        self.duration_us = to.since(from).get();
        let mut free = plans.unplanned(from, to);
        // It may have been over inside the window.
        let over = self.over.unwrap_or(to);
        if free.last().is_some_and(|(begin, last)| *last == to && *begin > from && over <= *begin) {
            free.pop();
        }
        self.unplanned_us = free.iter().map(|(from, to)| to.since(*from).get()).sum();
        let planned = self.unplanned_us < self.duration_us || self.duration_us == 0;
        self.planned = plans.name_of(from, to).filter(|_| planned).map(str::to_owned);
    }
}

/// What is learned about a state.
#[derive(Debug, Clone, Copy)]
pub(in crate::judge) struct News<'a> {
    pub liveness: Liveness,
    pub reason: &'a str,
    pub cause: Option<ChangeCause>,
    pub shown_by: Option<FactId>,
}

impl<'a> News<'a> {
    /// What a poll shows of a server.
    pub(super) fn of_poll(seen: &'a ServerPoll) -> Self {
        Self { liveness: seen.liveness, reason: seen.reason.as_str(), cause: seen.cause, shown_by: None }
    }
}

/// The state that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Now {
    standing: CountsAs,
    liveness: Liveness,
    reason: String,
    since: Timestamp,
    /// A start that takes longer than until then is an outage.
    patience: Option<Timestamp>,
    /// Returns whether nothing is known because the time was not watched.
    is_blind: bool,
}

/// One state history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::judge) struct Life {
    /// The period's start: what was before is known, and does not count.
    from: Timestamp,
    now: Option<Now>,
    /// Whether it worked when that was last known.
    worked: Option<bool>,
    /// Whether it may have worked before: it did, or it was there before anything was learned of it.
    has_worked: bool,
    open: Option<Outage>,
    ended: VecDeque<Outage>,
    /// Outages that ended since it was last asked.
    fresh: Vec<Outage>,
    /// Attempts to start it again, since it was last asked.
    attempts: Vec<Timestamp>,
    pub timeline: Timeline,
    tally: Tally,
}

/// What it all comes to, exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::judge) struct Tally {
    pub up_us: u64,
    pub down_us: u64,
    pub neither_us: u64,
    /// Outages that are kept one by one are added at the end, here and in what follows.
    pub unplanned_us: u64,
    pub outages: u64,
    pub disconnections: u64,
    pub unplanned_disconnections: u64,
}

impl Life {
    pub(super) fn new(from: Timestamp) -> Self {
        Self { from, ..Self::default() }
    }

    /// The watch begins then.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.from = at;
    }

    /// Returns whether nothing is known, so that a new state may hold for the time before, too.
    pub(super) fn is_blank(&self) -> bool {
        self.now.as_ref().is_none_or(|now| now.is_blind)
    }

    /// Whether nothing was ever learned of it.
    pub(super) fn is_new(&self) -> bool {
        self.now.is_none()
    }

    /// It was there before anything was learned of it.
    pub(super) fn was_there(&mut self) {
        self.has_worked = true;
    }

    pub(super) fn standing(&self) -> CountsAs {
        self.now.as_ref().map_or(CountsAs::Unknown, |now| now.standing)
    }

    pub(super) fn liveness(&self) -> Option<Liveness> {
        self.now.as_ref().map(|now| now.liveness)
    }

    pub(super) fn is_down(&self) -> bool {
        self.open.is_some()
    }

    /// Since when it is as it is.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.now.as_ref().map(|now| now.since)
    }

    /// From `when` on it is so. The latest instant counts; an earlier one than that of the last change is moved to it.
    pub(super) fn turn(&mut self, when: When, news: News<'_>) {
        let at = self.now.as_ref().map_or(when.latest(), |now| when.latest().max(now.since));
        self.advance(at);
        let before = self.standing();
        let standing = self.stands(&news);
        let on_request = matches!(news.cause, Some(ChangeCause::Requested | ChangeCause::Configured));
        let is_unexplained = news.cause == Some(ChangeCause::Unknown);
        if standing == CountsAs::Down && news.liveness == Liveness::Starting {
            self.attempts.push(at);
        }
        if let Some(open) = &mut self.open {
            open.by_hand |= on_request;
            open.is_unexplained |= is_unexplained;
        }
        self.enter(at, standing, &news);
        match (before == CountsAs::Down, standing == CountsAs::Down) {
            (false, true) => self.fall(at, news.reason, news.shown_by),
            (true, false) => self.rise(at, when.earliest(), &news),
            (true, true) | (false, false) => {}
        }
        match (standing, news.liveness) {
            (CountsAs::Up, _) => (self.worked, self.has_worked) = (Some(true), true),
            (CountsAs::Down, _) => self.worked = Some(false),
            // What was switched off and is on again begins anew.
            (CountsAs::OnPurpose | CountsAs::Starting | CountsAs::Unknown, Liveness::Disabled | Liveness::Removed) => {
                self.worked = None;
            }
            (
                CountsAs::OnPurpose | CountsAs::Starting | CountsAs::Unknown,
                Liveness::Up | Liveness::Down | Liveness::Starting | Liveness::Unauthorized | Liveness::Unknown,
            ) => {}
        }
    }

    /// What a state counts as, after the one before.
    fn stands(&self, news: &News<'_>) -> CountsAs {
        let on_purpose = match news.cause {
            Some(ChangeCause::Requested | ChangeCause::Configured | ChangeCause::Hub) => true,
            Some(ChangeCause::Unprompted | ChangeCause::Unknown) | None => false,
        };
        let is_unexplained = news.cause == Some(ChangeCause::Unknown);
        match (news.liveness, self.standing()) {
            (Liveness::Up, _) => CountsAs::Up,
            (Liveness::Disabled | Liveness::Removed, _) => CountsAs::OnPurpose,
            (Liveness::Unknown, _) => CountsAs::Unknown,
            (Liveness::Down | Liveness::Unauthorized | Liveness::Starting, CountsAs::Down) => CountsAs::Down,
            (Liveness::Down | Liveness::Unauthorized, _) if on_purpose => CountsAs::OnPurpose,
            (Liveness::Down | Liveness::Unauthorized, _) => CountsAs::Down,
            (Liveness::Starting, CountsAs::OnPurpose) => CountsAs::OnPurpose,
            (Liveness::Starting, _) if on_purpose => CountsAs::OnPurpose,
            // It worked whenever it was looked at, and was started anew between.
            (Liveness::Starting, CountsAs::Up) if is_unexplained => CountsAs::Unknown,
            (Liveness::Starting, CountsAs::Up) => CountsAs::Down,
            (Liveness::Starting, CountsAs::Starting | CountsAs::Unknown) => CountsAs::Starting,
        }
    }

    fn neither(&mut self, lasted: u64) {
        self.tally.neither_us = self.tally.neither_us.saturating_add(lasted);
    }

    fn enter(&mut self, at: Timestamp, standing: CountsAs, news: &News<'_>) {
        let before = self.now.take();
        match &before {
            Some(before) => self.passed(before, at),
            // It was not known until then.
            None => self.neither(at.since(self.from).get()),
        }
        let starts = news.liveness == Liveness::Starting && standing != CountsAs::Down;
        // What lies just before the first instant was moved there, and happened at it.
        let begun = if at.plus(Micros::new(1)) == self.from { self.from } else { at };
        let patience = before.and_then(|before| before.patience).or(Some(begun.plus(STARTING)));
        let patience = patience.filter(|_| starts);
        let reason = news.reason.to_owned();
        self.now = Some(Now { standing, liveness: news.liveness, reason, since: at, patience, is_blind: false });
    }

    /// The state that lasts has this reason, too.
    pub(super) fn also(&mut self, reason: &str) {
        let reasons = self.now.as_mut().map(|now| &mut now.reason).into_iter();
        for reasons in reasons.chain(self.open.as_mut().map(|open| &mut open.reason)) {
            add_reason(reasons, reason);
        }
    }

    /// Says that it is waited for until then, and is down afterwards.
    pub(super) fn await_until(&mut self, until: Timestamp) {
        if let Some(now) = &mut self.now {
            now.patience = Some(until);
        }
    }

    /// The state has lasted until `at`: what of it lies in the period counts.
    fn passed(&mut self, now: &Now, at: Timestamp) {
        let from = now.since.max(self.from);
        if at <= from {
            return;
        }
        let lasted = at.since(from).get();
        match now.standing {
            CountsAs::Up => self.tally.up_us = self.tally.up_us.saturating_add(lasted),
            CountsAs::Down => self.tally.down_us = self.tally.down_us.saturating_add(lasted),
            CountsAs::OnPurpose | CountsAs::Starting | CountsAs::Unknown => self.neither(lasted),
        }
        if now.liveness != Liveness::Removed {
            self.timeline.add(Moment(from), Moment(at), (now.liveness, now.standing), &now.reason);
        }
    }

    /// Time has passed: a start that takes too long is an outage.
    pub(super) fn advance(&mut self, to: Timestamp) {
        let Some(now) = &self.now else { return };
        let Some(late) = now.patience.filter(|patience| *patience < to) else { return };
        let (liveness, reason) = match now.liveness {
            Liveness::Starting => (Liveness::Starting, "it has been starting for more than five minutes".to_owned()),
            Liveness::Up | Liveness::Down | Liveness::Unauthorized | Liveness::Disabled | Liveness::Unknown | Liveness::Removed => {
                (Liveness::Down, now.reason.clone())
            }
        };
        let news = News { liveness, reason: &reason, cause: None, shown_by: None };
        let late = late.max(now.since);
        self.enter(late, CountsAs::Down, &news);
        self.fall(late, &reason, None);
        self.worked = Some(false);
    }

    fn fall(&mut self, at: Timestamp, reason: &str, shown_by: Option<FactId>) {
        let inside = at >= self.from;
        self.open = Some(Outage {
            from: Moment(at.max(self.from)),
            to: None,
            reason: reason.to_owned(),
            duration_us: 0,
            unplanned_us: 0,
            planned: None,
            disconnection: inside && self.worked == Some(true),
            ending: None,
            shown_by,
            is_the_first: !self.has_worked,
            by_hand: false,
            is_older: !inside,
            is_unexplained: false,
            over: None,
        });
    }

    fn rise(&mut self, at: Timestamp, over: Timestamp, news: &News<'_>) {
        // What was over when the period began is none of its outages.
        let lies_inside = |outage: &Outage| at > self.from || at == self.from && !outage.is_older;
        let Some(mut outage) = self.open.take().filter(lies_inside) else { return };
        outage.to = Some(Moment(at));
        outage.over = Some(over);
        outage.ending = Some(match news.liveness {
            Liveness::Up if outage.by_hand => Ending::ByHand,
            Liveness::Up if news.cause == Some(ChangeCause::Hub) => Ending::Unknown,
            Liveness::Up if outage.is_unexplained => Ending::Unexplained,
            Liveness::Up => Ending::Recovered,
            Liveness::Disabled => Ending::SwitchedOff,
            Liveness::Removed => Ending::Removed,
            Liveness::Down | Liveness::Unauthorized | Liveness::Starting => Ending::SwitchedOff,
            Liveness::Unknown => Ending::Unknown,
        });
        self.fresh.push(outage.clone());
        self.ended.push_back(outage);
    }

    /// Lets go of outages beyond [`MAX_OUTAGES`]; what they come to stays.
    pub(super) fn bound(&mut self, plans: &Plans) {
        while self.ended.len() > MAX_OUTAGES {
            let Some(mut outage) = self.ended.pop_front() else { return };
            outage.measure(self.from, plans);
            self.tally.count(&outage, plans);
        }
    }

    /// Nobody watched from `from` on: what was before is not known to go on.
    pub(super) fn unseen(&mut self, from: Timestamp) {
        if self.now.is_none() {
            return;
        }
        self.turn(When::At(from), News { liveness: Liveness::Unknown, reason: "not watched", cause: None, shown_by: None });
        if let Some(now) = &mut self.now {
            now.is_blind = true;
        }
    }

    /// The clock was set back from the first instant to the second, and shows some time again. What is learned from now on is of that
    /// time, however far ahead the clock had been.
    pub(super) fn set_back(&mut self, from: Timestamp, to: Timestamp) {
        self.unseen(from);
        if let Some(now) = &mut self.now {
            now.since = now.since.min(to);
        }
    }

    /// What happened since it was last asked: the outages that ended, the one that goes on, attempts to start.
    pub(super) fn news(&mut self) -> LifeNews {
        let open = self.open.clone();
        LifeNews { ended: std::mem::take(&mut self.fresh), open, attempts: std::mem::take(&mut self.attempts) }
    }

    /// Ends the period: gives the outages, and what they come to.
    pub(super) fn finish(&mut self, end: Timestamp, plans: &Plans) -> (Vec<Outage>, Tally) {
        self.advance(end);
        match self.now.take() {
            Some(now) => {
                self.passed(&now, end);
                self.now = Some(now);
            }
            None => self.neither(end.since(self.from).get()),
        }
        self.timeline.end(Moment(end));
        let mut outages: Vec<Outage> = std::mem::take(&mut self.ended).into_iter().chain(self.open.take()).collect();
        let mut tally = self.tally;
        for outage in &mut outages {
            outage.measure(end, plans);
            tally.count(outage, plans);
        }
        (outages, tally)
    }
}

impl Tally {
    fn count(&mut self, outage: &Outage, plans: &Plans) {
        self.outages += 1;
        self.unplanned_us = self.unplanned_us.saturating_add(outage.unplanned_us);
        self.disconnections += u64::from(outage.disconnection);
        // One that goes on beyond its window is no planned one.
        let unplanned = outage.unplanned_us > 0 || plans.at(outage.from.0).is_none();
        self.unplanned_disconnections += u64::from(outage.disconnection && unplanned);
    }
}

/// What happened to it in a Watch.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::judge) struct LifeNews {
    pub ended: Vec<Outage>,
    pub open: Option<Outage>,
    pub attempts: Vec<Timestamp>,
}
