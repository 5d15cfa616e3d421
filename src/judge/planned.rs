//! Planned disturbances: scenarios, and what was announced with `hubwatch mark`. What happens in them is told, counts for the
//! degradation criteria, and not against stability.
//!
//! Two things are planned, and each has its own rule:
//!
//! - An *event* (a call, an error, a failed request) is planned if it happens from the window's begin to [`SETTLE`] after its end.
//!   The volume of an interval is planned by the same rule.
//! - *Time* in which something was down is planned only inside the window itself. An outage that begins planned and goes on becomes
//!   unplanned at the window's end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::watch::{Fact, FactKind, Micros, Timestamp, WatcherFact, When};

/// What a disturbance did shows up to two polls after it was over.
pub const SETTLE: Micros = Micros::new(30_000_000);

/// The longest planned window, if its end is missing: the longest stress test of the strategy is far shorter.
pub const LONGEST: Micros = Micros::new(4 * 3600 * 1_000_000);

/// A planned disturbance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// When it began.
    pub from: Moment,
    /// When it ended, or after which time it counts no longer because nobody ended it; `None` while it goes on.
    pub to: Option<Moment>,
    /// Whether it was never ended, so that only its first hours count as planned.
    pub forgotten: bool,
}

impl Plan {
    /// The end of the window. Without an end of its own it is [`LONGEST`] after the begin.
    fn end(&self) -> Timestamp {
        self.to.map_or(self.from.0.plus(LONGEST), |to| to.0)
    }

    /// Until when the effects of the window are planned. A window that was forgotten has no effects beyond its end.
    fn settled(&self) -> Timestamp {
        if self.to.is_some() && !self.forgotten { self.end().plus(SETTLE) } else { self.end() }
    }
}

/// A part of the time, from the first instant to the second.
pub type Span = (Timestamp, Timestamp);

/// The planned disturbances of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plans(Vec<Plan>);

impl Plans {
    /// Takes up what the facts of a Watch announce, before anything of it is judged.
    pub(super) fn take<'a>(&mut self, facts: impl IntoIterator<Item = &'a Fact>) {
        for fact in facts {
            let at = Moment(fact.when.latest());
            if let FactKind::Watcher(WatcherFact::MarkBegan(mark)) = &fact.kind {
                self.begin(mark.name.as_str(), at);
            }
            if let FactKind::Watcher(WatcherFact::MarkEnded(mark)) = &fact.kind {
                self.end(mark.name.as_str(), at);
            }
        }
    }

    fn begin(&mut self, name: &str, at: Moment) {
        self.forget(name, at);
        // A mark that was read twice has the same name and time.
        if self.open(name).is_none() && !self.holds(name, at) {
            self.0.push(Plan { name: name.to_owned(), from: at, to: None, forgotten: false });
        }
    }

    fn end(&mut self, name: &str, at: Moment) {
        if let Some(plan) = self.open(name) {
            plan.to = Some(at);
            plan.forgotten = at.0.since(plan.from.0) > LONGEST;
            if plan.forgotten {
                plan.to = Some(Moment(plan.from.0.plus(LONGEST)));
            }
        }
    }

    /// A window without an end is closed after the longest time: it may begin again.
    fn forget(&mut self, name: &str, at: Moment) {
        if let Some(plan) = self.open(name).filter(|plan| at.0.since(plan.from.0) > LONGEST) {
            plan.to = Some(Moment(plan.from.0.plus(LONGEST)));
            plan.forgotten = true;
        }
    }

    fn holds(&self, name: &str, from: Moment) -> bool {
        self.0.iter().any(|plan| plan.name == name && plan.from == from)
    }

    fn open(&mut self, name: &str) -> Option<&mut Plan> {
        self.0.iter_mut().rev().find(|plan| plan.to.is_none() && plan.name == name)
    }

    /// The disturbance that was on at an instant, or just over: whether an event is planned.
    pub fn at(&self, at: Timestamp) -> Option<&str> {
        self.0.iter().rev().find(|plan| plan.from.0 <= at && at <= plan.settled()).map(|plan| plan.name.as_str())
    }

    /// The disturbance that was on, or just over, at some instant of a time that is not known exactly.
    pub fn touched_by(&self, when: When) -> Option<&str> {
        let (from, to) = (when.earliest(), when.latest());
        self.0.iter().rev().find(|plan| plan.from.0 <= to && from <= plan.settled()).map(|plan| plan.name.as_str())
    }

    /// Returns how much of an interval lies in windows and the time after them in which their effects show. Windows that overlap
    /// count once.
    pub fn part(&self, from: Timestamp, to: Timestamp) -> Micros {
        let free = self.outside(from, to, Plan::settled).iter().map(|(from, to)| to.since(*from).get()).sum();
        Micros::new(to.since(from).get().saturating_sub(free))
    }

    /// Returns the parts of an interval that lie in no window, in order: the time that is not planned.
    pub fn unplanned(&self, from: Timestamp, to: Timestamp) -> Vec<Span> {
        self.outside(from, to, Plan::end)
    }

    /// Returns the windows of a name, in the order in which they began.
    pub(super) fn windows(&self, name: &str) -> Vec<Span> {
        self.0.iter().filter(|plan| plan.name == name).map(|plan| (plan.from.0, plan.end())).collect()
    }

    /// Returns the name of the window in which an interval lies for the longest time, if it lies in one at all.
    pub fn name_of(&self, from: Timestamp, to: Timestamp) -> Option<&str> {
        let shared = |plan: &&Plan| plan.end().min(to).since(plan.from.0.max(from));
        let touches = |plan: &&Plan| plan.from.0 <= to && from <= plan.end();
        self.0.iter().filter(touches).max_by_key(shared).map(|plan| plan.name.as_str())
    }

    fn outside(&self, from: Timestamp, to: Timestamp, end: impl Fn(&Plan) -> Timestamp) -> Vec<Span> {
        let mut windows: Vec<Span> = self.0.iter().map(|plan| (plan.from.0.max(from), end(plan).min(to))).collect();
        windows.retain(|(begin, end)| begin < end);
        windows.sort_unstable();
        let (mut free, mut next) = (Vec::new(), from);
        for (begin, end) in windows {
            if next < begin {
                free.push((next, begin));
            }
            next = next.max(end);
        }
        if next < to {
            free.push((next, to));
        }
        free
    }

    /// Returns those of a period, as they are at its end.
    pub(super) fn of(&self, from: Timestamp, end: Timestamp) -> Vec<Plan> {
        let inside = |plan: &&Plan| plan.from.0 <= end && plan.settled() >= from;
        let finished = |plan: &Plan| match plan.to {
            None if end.since(plan.from.0) > LONGEST => {
                Plan { to: Some(Moment(plan.from.0.plus(LONGEST))), forgotten: true, ..plan.clone() }
            }
            _ => plan.clone(),
        };
        self.0.iter().filter(inside).map(finished).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{FactId, MarkBegan, MarkEnded, RecordUid, Source, Text, When};

    fn fact(at: u64, kind: impl Into<FactKind>) -> Fact {
        let id = FactId::of_line(RecordUid::parse(&"11".repeat(16)).unwrap(), 0);
        Fact { id, when: When::At(Timestamp::from_secs(at)), source: Source::Sidecar, kind: kind.into() }
    }

    fn began(at: u64, name: &str) -> Fact {
        fact(at, MarkBegan { name: Text::new(name) })
    }

    fn ended(at: u64, name: &str) -> Fact {
        fact(at, MarkEnded { name: Text::new(name) })
    }

    fn at(plans: &Plans, second: u64) -> Option<&str> {
        plans.at(Timestamp::from_secs(second))
    }

    #[test]
    fn a_disturbance_lasts_from_its_beginning_until_its_effects_have_shown() {
        let mut plans = Plans::default();
        plans.take(&[began(100, "crash"), ended(200, "crash")]);
        assert_eq!([99, 100, 200, 230, 231].map(|second| at(&plans, second).is_some()), [false, true, true, true, false]);
    }

    #[test]
    fn what_is_never_ended_does_not_excuse_the_rest_of_the_period() {
        let mut plans = Plans::default();
        plans.take(&[began(100, "crash")]);
        let (inside, beyond) = (100 + 4 * 3600, 101 + 4 * 3600);
        assert!(at(&plans, inside).is_some() && at(&plans, beyond).is_none());
        assert!(plans.of(Timestamp::new(0), Timestamp::from_secs(beyond))[0].forgotten);
        plans.take(&[ended(90_000, "crash")]);
        assert!(at(&plans, 90_000).is_none());
    }

    #[test]
    fn only_the_time_inside_a_window_is_planned_and_windows_that_overlap_count_once() {
        let second = Timestamp::from_secs;
        let mut plans = Plans::default();
        plans.take(&[began(100, "a"), began(150, "b"), ended(160, "a"), ended(300, "b")]);
        assert_eq!(plans.unplanned(second(50), second(400)), [(second(50), second(100)), (second(300), second(400))]);
        assert_eq!(plans.unplanned(second(120), second(300)), []);
        assert_eq!(plans.part(second(50), second(400)), Micros::new(230_000_000), "the effects of a window show for 30 s more");
        assert_eq!(plans.part(second(400), second(500)), Micros::new(0));
        assert_eq!(plans.name_of(second(140), second(400)), Some("b"));
        assert_eq!(plans.name_of(second(301), second(400)), None);
    }

    #[test]
    fn disturbances_may_overlap_and_come_again() {
        let mut plans = Plans::default();
        plans.take(&[began(100, "a"), began(150, "b"), ended(160, "a"), ended(300, "b"), began(400, "a")]);
        assert_eq!([120, 155, 250, 350, 400].map(|second| at(&plans, second)), [Some("a"), Some("b"), Some("b"), None, Some("a")]);
    }
}
