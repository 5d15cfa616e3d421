//! Decides which alerts a target gets, and remembers which it got. Pure: the caller passes the time of both clocks. A jump of the wall
//! clock neither ages, silences nor removes an alert.
//!
//! An incident is sent once when it begins (for an escalation: once it has lasted long enough), again at long intervals while it lasts,
//! and once when it ends. The same incident has the same id in every run, and is sent once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::clocks::{Clocks, Since};
use crate::judge::incident::{Gravity, Incident};
use crate::judge::moment::Moment;
use crate::watch::{Micros, Timestamp};

/// How long resolved alerts are kept, so that a late change does not send them again.
const REMEMBERED: Micros = Micros::new(48 * 3600 * 1_000_000);

/// How old an incident may be that ended before it was sent: a run that resumes an old journal does not send what happened days ago.
const NEWS: Micros = Micros::new(3600 * 1_000_000);

/// The conditions for sending an alert to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The lowest severity that is sent.
    pub level: Gravity,
    /// How long an incident must last before it is sent.
    pub after: Micros,
    /// How often it is repeated.
    pub repeat: Micros,
}

/// The status of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It lasts, or has just happened.
    Firing,
    /// It is over.
    Resolved,
}

/// An alert to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The incident.
    pub incident: Incident,
    /// Its status.
    pub status: Status,
    /// Whether it was sent before.
    pub again: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    incident: Incident,
    /// When it was last sent as firing.
    told: Option<Moment>,
    /// When it was sent as resolved, or was found too old to send.
    closed: Option<Moment>,
    /// These times and those of the incident, by the monotonic clock of this run.
    #[serde(skip)]
    ages: Ages,
}

/// The times of an entry by the monotonic clock, where known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ages {
    begun: Option<Since>,
    ended: Option<Since>,
    told: Option<Since>,
}

/// The alerts that a target got, by the id under which each was first sent. An incident whose start is corrected gets another id, but stays
/// the same alert.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Takes the present state of an incident.
    pub fn take(&mut self, incident: Incident, terms: Terms) {
        if let Some(known) = self.entries.values_mut().find(|entry| entry.incident.id == incident.id) {
            known.learn(incident);
            return;
        }
        // Planned incidents and those below the target's level are not sent.
        if incident.planned.is_none() && severity(incident.severity) >= severity(terms.level) {
            self.enter(incident.id.clone(), Entry { incident, told: None, closed: None, ages: Ages::default() });
        }
    }

    /// Takes the full current set of incidents and retracts any other. An alert whose incident is in the set with another start stays the
    /// same alert, sent or resolved as it was. Any other open alert ends.
    pub fn take_all(&mut self, all: Vec<Incident>, terms: Terms, now: Timestamp) {
        let ids: BTreeSet<&str> = all.iter().map(|incident| incident.id.as_str()).collect();
        let strays = self.entries.iter().filter(|(_, entry)| !ids.contains(entry.incident.id.as_str()));
        let mut strays: Vec<(bool, String)> = strays.map(|(id, entry)| (!entry.is_open(), id.clone())).collect();
        // Open alerts choose first.
        strays.sort();
        for (_, id) in strays {
            let Some(mut entry) = self.entries.remove(&id) else { continue };
            let known: BTreeSet<&str> = self.entries.values().map(|entry| entry.incident.id.as_str()).collect();
            let same = all.iter().filter(|other| entry.incident.may_be(other) && !known.contains(other.id.as_str()));
            match same.min_by_key(|other| other.start.0) {
                Some(same) => entry.learn(same.clone()),
                None if entry.told.is_none() && entry.closed.is_none() => continue,
                None if entry.is_open() => entry.incident.end = Some(Moment(now)),
                None => {}
            }
            let id = if entry.told.is_some() { id } else { entry.incident.id.clone() };
            self.enter(id, entry);
        }
        for incident in all {
            self.take(incident, terms);
        }
    }

    /// Notes the age of new entries. Called often, so that they age with the monotonic clock from then on.
    pub fn look(&mut self, now: Clocks) {
        self.entries.values_mut().for_each(|entry| entry.look(now));
    }

    /// Adds the entry under this id, or under a longer one if another alert has it.
    fn enter(&mut self, mut id: String, entry: Entry) {
        while self.entries.contains_key(&id) {
            id.push('+');
        }
        self.entries.insert(id, entry);
    }

    /// Returns the alerts to send now.
    pub fn due(&self, terms: Terms, now: Clocks) -> Vec<Notice> {
        let entries = self.entries.iter().filter(|(_, entry)| entry.closed.is_none());
        entries.filter_map(|(id, entry)| entry.due(id, terms, now)).collect()
    }

    /// Returns how long it takes until [`due`](Self::due) has something new, if nothing happens meanwhile.
    pub fn next(&self, terms: Terms, now: Clocks) -> Option<Micros> {
        let open = self.entries.values().filter(|entry| entry.is_open());
        let wait = |entry: &Entry| match entry.told {
            None => terms.after.get().saturating_sub(entry.begun(now).get()),
            Some(told) => terms.repeat.get().saturating_sub(entry.told(told, now).get()),
        };
        open.map(wait).min().map(Micros::new)
    }

    /// Notes that these were sent.
    pub fn told(&mut self, notices: &[Notice], now: Clocks) {
        for notice in notices {
            let Some(entry) = self.entries.get_mut(&notice.incident.id) else { continue };
            let at = Moment(now.wall);
            match notice.status {
                Status::Firing => (entry.told, entry.ages.told) = (Some(at), Some(Since::new(now.wall, now))),
                Status::Resolved => entry.closed = Some(at),
            }
        }
    }

    /// Removes entries that are no longer needed. Call it only if the wall clock has not jumped for long.
    pub fn forget(&mut self, terms: Terms, now: Clocks) {
        for entry in self.entries.values_mut().filter(|entry| entry.closed.is_none()) {
            if entry.is_old_news(terms, now) {
                entry.closed = Some(Moment(now.wall));
            }
        }
        self.entries.retain(|_, entry| entry.closed.is_none_or(|closed| now.wall.since(closed.0) < REMEMBERED));
    }
}

impl Incident {
    /// Returns whether another incident can be this one with another start: same trouble and subject, and overlapping.
    fn may_be(&self, other: &Self) -> bool {
        let touches = |one: &Self, other: &Self| one.end.is_none_or(|end| end.0 >= other.start.0);
        (other.kind.trouble(), &other.subject) == (self.kind.trouble(), &self.subject)
            && touches(other, self)
            && touches(self, other)
    }
}

impl Entry {
    /// Takes the present state. An incident that was sent as resolved and reopens is sent again as new.
    fn learn(&mut self, incident: Incident) {
        if self.closed.is_some() && incident.end.is_none() {
            (self.told, self.closed, self.ages) = (None, None, Ages::default());
        }
        if self.incident.end != incident.end {
            self.ages.ended = None;
        }
        let known = std::mem::replace(&mut self.incident, incident);
        if self.told.is_some() {
            // The judged time may begin after the incident: keep the earlier start.
            self.incident.start = self.incident.start.min(known.start);
            // An alert keeps the kind under which it was sent.
            if known.kind != self.incident.kind {
                self.incident =
                    Incident { kind: known.kind, severity: known.severity, title: known.title, ..self.incident.clone() };
            }
        }
    }

    /// Returns whether it lasts and was not sent as resolved.
    fn is_open(&self) -> bool {
        self.closed.is_none() && self.incident.end.is_none()
    }

    fn look(&mut self, now: Clocks) {
        let since = |known: &mut Option<Since>, at: Option<Moment>| {
            *known = at.map(|at| known.unwrap_or_else(|| Since::new(at.0, now)));
        };
        since(&mut self.ages.begun, Some(self.incident.start));
        since(&mut self.ages.ended, self.incident.end);
        since(&mut self.ages.told, self.told);
    }

    /// Returns the time since the incident began.
    fn begun(&self, now: Clocks) -> Micros {
        self.ages.begun.unwrap_or_else(|| Since::new(self.incident.start.0, now)).age(now)
    }

    /// Returns the time since it was last sent as firing.
    fn told(&self, told: Moment, now: Clocks) -> Micros {
        self.ages.told.unwrap_or_else(|| Since::new(told.0, now)).age(now)
    }

    fn due(&self, id: &str, terms: Terms, now: Clocks) -> Option<Notice> {
        let incident = || Incident { id: id.to_owned(), ..self.incident.clone() };
        let notice = |status| Some(Notice { incident: incident(), status, again: self.told.is_some() });
        match (self.told, self.incident.end) {
            // An incident that is already over is sent as firing first: some targets accept "resolved" only for a known alert.
            (None, _) if self.is_old_news(terms, now) => None,
            (None, _) if self.begun(now) >= terms.after => notice(Status::Firing),
            (None, _) => None,
            (Some(_), Some(_)) => notice(Status::Resolved),
            (Some(told), None) => (self.told(told, now) >= terms.repeat).then(|| notice(Status::Firing)).flatten(),
        }
    }

    /// Returns whether it was too short for this target or ended too long ago. Both clocks must agree on the age: a run may begin while the wall
    /// clock is wrong.
    fn is_old_news(&self, terms: Terms, now: Clocks) -> bool {
        let Some(end) = self.incident.end.filter(|_| self.told.is_none()) else { return false };
        let by_wall = Since::new(end.0, now);
        let ago = self.ages.ended.unwrap_or(by_wall).age(now).min(by_wall.age(now));
        end.0.since(self.incident.start.0) < terms.after || ago > NEWS
    }
}

/// Returns the order of severities, the worst last.
const fn severity(gravity: Gravity) -> u8 {
    match gravity {
        Gravity::Notice => 0,
        Gravity::Warning => 1,
        Gravity::Critical => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::judge::incident::IncidentKind;

    const MINUTE: Micros = Micros::new(60_000_000);
    const AT_ONCE: Terms = Terms { level: Gravity::Warning, after: Micros::new(0), repeat: Micros::new(4 * 3600 * 1_000_000) };

    fn minute(minute: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + minute * 60)
    }

    /// Both clocks, while the wall clock is right.
    fn clocks(at: u64) -> Clocks {
        Clocks { wall: minute(at), monotonic: Duration::from_secs(at * 60) }
    }

    fn incident(id: &str, start: u64, end: Option<u64>) -> Incident {
        Incident {
            id: id.to_owned(),
            kind: IncidentKind::ServerDown,
            severity: Gravity::Critical,
            subject: "filesystem".to_owned(),
            start: Moment(minute(start)),
            end: end.map(|end| Moment(minute(end))),
            title: "Server filesystem is down".to_owned(),
            cause: None,
            effect: "its tools answer nothing".to_owned(),
            count: 1,
            evidence: Vec::new(),
            planned: None,
        }
    }

    /// Tells what is due and says what it was.
    fn tell(ledger: &mut Ledger, terms: Terms, now: u64) -> Vec<(String, Status)> {
        tell_at(ledger, terms, clocks(now))
    }

    fn tell_at(ledger: &mut Ledger, terms: Terms, now: Clocks) -> Vec<(String, Status)> {
        ledger.look(now);
        let due = ledger.due(terms, now);
        ledger.told(&due, now);
        due.into_iter().map(|notice| (notice.incident.id, notice.status)).collect()
    }

    #[test]
    fn an_incident_is_told_once_and_once_more_when_it_is_over() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 0, None), AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 0), [("a".to_owned(), Status::Firing)]);
        ledger.take(incident("a", 0, None), AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 5), []);
        ledger.take(incident("a", 0, Some(6)), AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 6), [("a".to_owned(), Status::Resolved)]);
        ledger.take(incident("a", 0, Some(6)), AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 7), []);
    }

    #[test]
    fn a_long_one_is_told_again() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 0, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, 0);
        assert_eq!(ledger.next(AT_ONCE, clocks(100)), Some(Micros::new(140 * MINUTE.get())));
        assert_eq!(tell(&mut ledger, AT_ONCE, 239), []);
        assert_eq!(tell(&mut ledger, AT_ONCE, 240).len(), 1);
    }

    #[test]
    fn an_escalation_hears_only_of_what_lasts() {
        let terms = Terms { after: Micros::new(15 * MINUTE.get()), ..AT_ONCE };
        let mut ledger = Ledger::default();
        ledger.take(incident("short", 0, None), terms);
        ledger.take(incident("long", 0, None), terms);
        assert_eq!(tell(&mut ledger, terms, 14), []);
        ledger.take(incident("short", 0, Some(10)), terms);
        assert_eq!(tell(&mut ledger, terms, 15), [("long".to_owned(), Status::Firing)]);
        assert_eq!(tell(&mut ledger, terms, 100), []);
    }

    #[test]
    fn what_was_over_at_once_is_told_and_what_is_long_over_is_not() {
        let mut ledger = Ledger::default();
        ledger.take(incident("stop", 0, Some(0)), AT_ONCE);
        ledger.take(incident("old", 0, Some(1)), AT_ONCE);
        let first = tell(&mut ledger, AT_ONCE, 1);
        assert_eq!(first, [("old".to_owned(), Status::Firing), ("stop".to_owned(), Status::Firing)]);
        assert_eq!(tell(&mut ledger, AT_ONCE, 1).len(), 2);
        ledger.take(incident("older", 0, Some(1)), AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 120), []);
    }

    #[test]
    fn what_was_planned_or_is_not_grave_enough_is_not_told() {
        let mut ledger = Ledger::default();
        ledger.take(Incident { planned: Some("server-crash".to_owned()), ..incident("a", 0, None) }, AT_ONCE);
        ledger.take(Incident { severity: Gravity::Notice, ..incident("b", 0, None) }, AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 0), []);
    }

    #[test]
    fn what_turns_out_to_have_begun_at_another_time_is_the_same_alert() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 0, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, 1);
        ledger.take_all(vec![incident("b", 1, None)], AT_ONCE, minute(2));
        assert_eq!(tell(&mut ledger, AT_ONCE, 2), []);
        ledger.take_all(vec![incident("b", 1, Some(3))], AT_ONCE, minute(3));
        assert_eq!(tell(&mut ledger, AT_ONCE, 3), [("a".to_owned(), Status::Resolved)], "as it was told first");
        ledger.take_all(vec![incident("b", 1, Some(3))], AT_ONCE, minute(4));
        assert_eq!(tell(&mut ledger, AT_ONCE, 4), []);
    }

    #[test]
    fn what_turns_out_to_have_begun_at_another_time_and_to_be_over_is_told_to_be_over_and_no_more() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 10, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, 10);
        let all = vec![incident("earlier", 0, Some(5)), incident("b", 9, Some(11))];
        ledger.take_all(all.clone(), Terms { level: Gravity::Critical, ..AT_ONCE }, minute(12));
        let told = tell(&mut ledger, AT_ONCE, 12);
        assert!(told.contains(&("a".to_owned(), Status::Resolved)) && told.iter().all(|(id, _)| id != "b"), "{told:?}");
        // Another one may get the id that the alert was told by.
        ledger.take_all([all, vec![incident("a", 13, None)]].concat(), AT_ONCE, minute(13));
        assert!(tell(&mut ledger, AT_ONCE, 13).contains(&("a+".to_owned(), Status::Firing)));
    }

    #[test]
    fn what_was_told_to_be_over_and_turns_out_to_have_begun_at_another_time_is_told_no_more() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 10, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, 10);
        ledger.take(incident("a", 10, Some(12)), AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 12), [("a".to_owned(), Status::Resolved)]);
        ledger.take_all(vec![incident("earlier", 9, Some(12))], AT_ONCE, minute(13));
        assert_eq!(tell(&mut ledger, AT_ONCE, 13), []);
        // Another one of the same server, beside it, is news.
        ledger.take_all(vec![incident("earliest", 8, Some(12)), incident("b", 14, None)], AT_ONCE, minute(14));
        assert_eq!(tell(&mut ledger, AT_ONCE, 14), [("b".to_owned(), Status::Firing)]);
        // That the first one is not among all of a later look, since it is too long ago, does not make it news when it comes again.
        ledger.take_all(vec![incident("b", 14, None)], AT_ONCE, minute(15));
        ledger.take_all(vec![incident("earliest", 8, Some(12)), incident("b", 14, None)], AT_ONCE, minute(16));
        assert_eq!(tell(&mut ledger, AT_ONCE, 16), []);
    }

    #[test]
    fn a_server_that_is_down_since_before_what_is_judged_is_the_same_alert() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 0, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, 0);
        let title = "Server filesystem never worked".to_owned();
        let never_up = Incident { kind: IncidentKind::ServerNeverUp, title, ..incident("b", 300, None) };
        ledger.take_all(vec![never_up.clone()], AT_ONCE, minute(200));
        ledger.take(never_up.clone(), AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 200), []);
        let again = ledger.due(AT_ONCE, clocks(240));
        assert_eq!(again.iter().map(|notice| &notice.incident).collect::<Vec<_>>(), [&incident("a", 0, None)]);
        ledger.take(Incident { end: Some(Moment(minute(500))), ..never_up }, AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 500), [("a".to_owned(), Status::Resolved)]);
    }

    #[test]
    fn what_was_told_to_be_over_and_goes_on_after_all_is_told_again() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 10, Some(11)), AT_ONCE);
        assert_eq!([tell(&mut ledger, AT_ONCE, 11).len(), tell(&mut ledger, AT_ONCE, 11).len()], [1, 1]);
        ledger.take_all(vec![incident("b", 9, None)], AT_ONCE, minute(12));
        assert_eq!(tell(&mut ledger, AT_ONCE, 12), [("b".to_owned(), Status::Firing)]);
    }

    #[test]
    fn what_turns_out_not_to_have_been_is_over() {
        let mut ledger = Ledger::default();
        ledger.take(incident("told", 0, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, 0);
        ledger.take(incident("untold", 0, None), AT_ONCE);
        ledger.take_all(Vec::new(), AT_ONCE, minute(2));
        assert_eq!(tell(&mut ledger, AT_ONCE, 2), [("told".to_owned(), Status::Resolved)]);
    }

    #[test]
    fn what_was_told_and_turns_out_to_be_planned_is_resolved_all_the_same() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 0, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, 0);
        ledger.take(Incident { planned: Some("server-crash".to_owned()), ..incident("a", 0, Some(1)) }, AT_ONCE);
        assert_eq!(tell(&mut ledger, AT_ONCE, 1), [("a".to_owned(), Status::Resolved)]);
    }

    #[test]
    fn a_ledger_that_was_kept_does_not_tell_twice() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 0, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, 0);
        let mut kept: Ledger = serde_json::from_slice(&serde_json::to_vec(&ledger).unwrap()).unwrap();
        kept.take(incident("a", 0, None), AT_ONCE);
        assert_eq!(tell(&mut kept, AT_ONCE, 1), []);
        kept.forget(AT_ONCE, clocks(100_000));
        assert_eq!(kept.entries.len(), 1, "what goes on is never forgotten");
    }

    const DAYS: u64 = 30 * 24 * 60;

    /// The clocks so many minutes after the beginning, with the wall clock ahead or behind by so many.
    fn jumped(at: u64, by: i64) -> Clocks {
        Clocks { wall: minute(at.checked_add_signed(by).unwrap()), ..clocks(at) }
    }

    #[test]
    fn a_clock_that_jumps_ahead_makes_no_news_old_and_asks_for_no_reminder() {
        let mut ledger = Ledger::default();
        ledger.take(incident("told", DAYS, None), AT_ONCE);
        tell(&mut ledger, AT_ONCE, DAYS);
        ledger.take(incident("untold", DAYS, Some(DAYS + 1)), AT_ONCE);
        ledger.look(clocks(DAYS + 2));
        let ahead = jumped(DAYS + 3, DAYS.cast_signed());
        // The target did not take it before the clock jumped.
        assert_eq!(tell_at(&mut ledger, AT_ONCE, ahead), [("untold".to_owned(), Status::Firing)]);
        assert_eq!(tell_at(&mut ledger, AT_ONCE, ahead), [("untold".to_owned(), Status::Resolved)]);
        assert_eq!(tell_at(&mut ledger, AT_ONCE, jumped(DAYS + 239, DAYS.cast_signed())), []);
        assert_eq!(tell_at(&mut ledger, AT_ONCE, jumped(DAYS + 240, DAYS.cast_signed())).len(), 1, "and a reminder comes in time");
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let terms = Terms { after: Micros::new(15 * MINUTE.get()), ..AT_ONCE };
        let back = -DAYS.cast_signed();
        let (mut ledger, mut late) = (Ledger::default(), Ledger::default());
        ledger.take(incident("a", DAYS, None), AT_ONCE);
        late.take(incident("b", DAYS, None), terms);
        tell(&mut ledger, AT_ONCE, DAYS);
        late.look(clocks(DAYS + 1));
        assert_eq!(tell_at(&mut late, terms, jumped(DAYS + 14, back)), []);
        assert_eq!(tell_at(&mut late, terms, jumped(DAYS + 15, back)), [("b".to_owned(), Status::Firing)]);
        assert_eq!(late.next(terms, jumped(DAYS + 16, back)), Some(Micros::new(239 * MINUTE.get())));
        assert_eq!(tell_at(&mut ledger, AT_ONCE, jumped(DAYS + 240, back)), [("a".to_owned(), Status::Firing)]);
        // What began by the clock before lies in the future now.
        ledger.take(incident("c", DAYS + 239, None), AT_ONCE);
        assert_eq!(tell_at(&mut ledger, AT_ONCE, jumped(DAYS + 241, back)), [("c".to_owned(), Status::Firing)]);
    }

    #[test]
    fn a_run_that_begins_with_a_wrong_clock_tells_what_it_took_for_old_once_the_clock_is_right() {
        let mut ledger = Ledger::default();
        ledger.take(incident("a", 0, Some(1)), AT_ONCE);
        let ahead = |at| jumped(at, DAYS.cast_signed());
        assert_eq!(tell_at(&mut ledger, AT_ONCE, ahead(2)), []);
        assert_eq!(tell(&mut ledger, AT_ONCE, 5), [("a".to_owned(), Status::Firing)]);
    }

    proptest! {
        #[test]
        fn each_incident_is_opened_before_it_is_resolved_and_both_once(
            steps in proptest::collection::vec((0..4u64, 0..30u64, any::<bool>()), 0..60),
            after in 0..5u64,
        ) {
            let terms = Terms { after: Micros::new(after * MINUTE.get()), ..AT_ONCE };
            let mut ledger = Ledger::default();
            let (mut now, mut told) = (0, Vec::new());
            let mut ended = std::collections::BTreeSet::new();
            for (id, wait, end) in steps {
                now += wait % 5;
                if end { ended.insert(id); }
                let over = ended.contains(&id).then_some(now);
                ledger.take(incident(&id.to_string(), 0, over), terms);
                told.extend(tell(&mut ledger, terms, now));
                ledger.forget(terms, clocks(now));
            }
            for id in 0..4 {
                let of_id: Vec<_> = told.iter().filter(|(told, _)| *told == id.to_string()).map(|(_, status)| *status).collect();
                prop_assert!(matches!(of_id.as_slice(), [] | [Status::Firing] | [Status::Firing, Status::Resolved]), "{of_id:?}");
            }
        }
    }
}
