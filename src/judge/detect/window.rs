//! Counting within real time, with hysteresis: one condition is one incident.

use std::collections::VecDeque;

use super::Sight;
use super::register::{Draft, Register};
use crate::judge::incident::{Incident, IncidentKind};
use crate::watch::{Micros, Timestamp};

/// What happened within the last so much time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Window {
    events: VecDeque<(Timestamp, u64)>,
    sum: u64,
}

impl Window {
    /// Adds to what happened at an instant.
    pub(super) fn push(&mut self, at: Timestamp, count: u64) {
        let place = self.events.partition_point(|(known, _)| *known <= at);
        match place.checked_sub(1).and_then(|before| self.events.get_mut(before)).filter(|(known, _)| *known == at) {
            Some((_, known)) => *known = known.saturating_add(count),
            None => self.events.insert(place, (at, count)),
        }
        self.sum = self.sum.saturating_add(count);
    }

    /// Forgets what is older than `width` at `now`; gives the sum of the rest.
    pub(super) fn within(&mut self, width: Micros, now: Timestamp) -> u64 {
        while let Some((at, count)) = self.events.front()
            && now.since(*at) > width
        {
            self.sum = self.sum.saturating_sub(*count);
            self.events.pop_front();
        }
        self.sum
    }

    /// The clock jumped: what is remembered was as long ago as before, whatever the clock says.
    pub(super) fn clock_jumped(&mut self, by: i64) {
        for (at, _) in &mut self.events {
            *at = at.shifted(by);
        }
    }

    /// The first and the last of what is not forgotten.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.events.front()?.0, self.events.back()?.0))
    }
}

/// A condition that begins when more than a threshold happened within a window, and is over when it is half of that or less. All that
/// happened from its beginning to its end is counted in its one incident. What is caused on purpose is counted apart: it can't make an
/// incident of what is not planned, nor hide one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tide {
    unplanned: Window,
    planned: Window,
    /// The last of what is counted in the incident that is open.
    last: Option<Timestamp>,
}

impl Tide {
    /// So much happened, as the draft says; gives the incident that it is counted in, if it is more than the threshold allows.
    pub(super) fn rise<'a>(&mut self, draft: Draft<'_>, sight: &Sight<'_>, register: &'a mut Register) -> Option<&'a mut Incident> {
        let alert = sight.alerts.of(draft.kind);
        let (at, count, is_planned) = (draft.at, draft.count, draft.planned.is_some());
        let window = self.window(is_planned);
        window.push(at, count);
        let latest = window.span().map_or(at, |span| span.1);
        let sum = window.within(alert.window, latest);
        let first = window.span().map_or(at, |span| span.0);
        let open = register.find(draft.kind, draft.subject).map(|open| (open.planned.is_some(), open.start.0));
        match open {
            Some((of_planned, start)) if of_planned == is_planned => {
                // What is learned late happened before it began.
                let count = if at < start { 0 } else { count };
                self.last = self.last.max(Some(at));
                return register.raise(sight.alerts, Draft { count, ..draft });
            }
            // Two incidents of a kind don't overlap, and one that is not planned goes first.
            Some((false, _)) => return None,
            Some((true, _)) | None if sum <= alert.threshold => return None,
            Some((true, _)) => register.settle(draft.kind, draft.subject, self.last.unwrap_or(at)),
            None => {}
        }
        self.last = Some(latest);
        register.raise(sight.alerts, Draft { at: first, count: sum, ..draft })
    }

    fn window(&mut self, is_planned: bool) -> &mut Window {
        if is_planned { &mut self.planned } else { &mut self.unplanned }
    }

    /// Time has passed.
    pub(super) fn ebb(&mut self, kind: IncidentKind, subject: &str, now: Timestamp, sight: &Sight<'_>, register: &mut Register) {
        let alert = sight.alerts.of(kind);
        let sums = [false, true].map(|is_planned| self.window(is_planned).within(alert.window, now));
        let sum = sums[usize::from(is_of_planned(kind, subject, register))];
        if let Some(last) = self.last.filter(|_| sum <= alert.threshold / 2) {
            self.end(kind, subject, last, register);
        }
    }

    /// The clock jumped.
    pub(super) fn clock_jumped(&mut self, by: i64) {
        self.unplanned.clock_jumped(by);
        self.planned.clock_jumped(by);
        self.last = self.last.map(|last| last.shifted(by));
    }

    /// It is over, whatever is left in its window.
    pub(super) fn end(&mut self, kind: IncidentKind, subject: &str, at: Timestamp, register: &mut Register) {
        *self.window(is_of_planned(kind, subject, register)) = Window::default();
        self.last = None;
        register.settle(kind, subject, at);
    }
}

/// Returns whether the open incident is a planned one.
fn is_of_planned(kind: IncidentKind, subject: &str, register: &Register) -> bool {
    register.find(kind, subject).is_some_and(|open| open.planned.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_while_the_clock_was_thirty_days_ahead_for_three_seconds_was_as_long_ago_as_it_was() {
        let (month, wide) = (30 * 86_400_000_000, Micros::new(60_000_000));
        let mut window = Window::default();
        window.push(Timestamp::from_secs(100), 1);
        window.clock_jumped(month);
        let ahead = |second| Timestamp::from_secs(second).shifted(month);
        assert_eq!(window.within(wide, ahead(101)), 1);
        window.push(ahead(102), 1);
        window.clock_jumped(-month);
        window.push(Timestamp::from_secs(104), 1);
        assert_eq!(window.span(), Some((Timestamp::from_secs(100), Timestamp::from_secs(104))));
        assert_eq!(window.within(wide, Timestamp::from_secs(104)), 3);
        assert_eq!(window.within(wide, Timestamp::from_secs(163)), 1);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut window = Window::default();
        for second in [10, 20, 15, 70] {
            window.push(Timestamp::from_secs(second), 1);
        }
        assert_eq!(window.span(), Some((Timestamp::from_secs(10), Timestamp::from_secs(70))));
        assert_eq!(window.within(Micros::new(60_000_000), Timestamp::from_secs(70)), 4);
        assert_eq!(window.within(Micros::new(60_000_000), Timestamp::from_secs(76)), 2);
        assert_eq!(window.within(Micros::new(60_000_000), Timestamp::from_secs(500)), 0);
    }
}
