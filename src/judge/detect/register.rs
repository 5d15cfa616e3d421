//! The incidents so far: opened, added to, closed. The same event is one incident however often it is shown, and no two incidents of
//! the same kind and subject overlap.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::judge::alert::{Alert, Alerts};
use crate::judge::history::Outage;
use crate::judge::incident::{Evidence, Incident, IncidentKind, MAX_EVIDENCE};
use crate::judge::moment::Moment;
use crate::judge::period::Period;
use crate::watch::{Micros, Timestamp};

/// Maximum number of closed incidents; a hub with more has a worse problem than the details of the first.
pub(super) const MAX_CLOSED: usize = 10_000;

/// The incidents to send.
#[derive(Debug, Clone)]
pub(super) struct Draft<'a> {
    pub kind: IncidentKind,
    pub subject: &'a str,
    pub at: Timestamp,
    pub title: String,
    pub cause: Option<String>,
    pub effect: &'a str,
    pub evidence: Option<Evidence>,
    pub planned: Option<&'a str>,
    /// How many of what it is made of this is.
    pub count: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Open {
    incident: Incident,
    last: Timestamp,
    /// Without news for so long it is over.
    quiet: Option<Micros>,
}

impl Open {
    /// After this it is over, unless there is news of it.
    fn over_after(&self) -> Option<Timestamp> {
        self.quiet.map(|quiet| self.last.plus(quiet))
    }
}

type Key = (IncidentKind, String);

/// The incidents of a key that are over and kept.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Over {
    /// When the last of them began and ended.
    start: Timestamp,
    end: Timestamp,
    /// How many began at that instant.
    repeats: u64,
    /// How many are kept.
    kept: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Register {
    period: Period,
    /// Nothing is known beyond this.
    now: Timestamp,
    /// The same by the clock as it is: it is earlier where that was set back.
    present: Timestamp,
    open: BTreeMap<Key, Open>,
    closed: VecDeque<Incident>,
    over: BTreeMap<Key, Over>,
    touched: BTreeSet<Key>,
    /// What was closed since news was last asked for.
    fresh: Vec<Incident>,
    pub dropped: u64,
    /// Nothing is over before this: most facts need not look at what is open.
    next_over: Option<Timestamp>,
}

impl Register {
    /// All incidents lie inside the period.
    pub(super) fn new(period: Period) -> Self {
        Self {
            period,
            now: period.from,
            present: period.from,
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            over: BTreeMap::new(),
            touched: BTreeSet::new(),
            fresh: Vec::new(),
            dropped: 0,
            next_over: None,
        }
    }

    /// Events up to this time are about to be reported.
    pub(super) fn reach(&mut self, end: Timestamp) {
        self.present = end.min(self.period.to);
        self.now = self.now.max(self.present);
    }

    /// The clock jumped: what goes on has lasted for as long as before, whatever the clock says. The histories of the hub and its
    /// servers tell their outages anew.
    pub(super) fn clock_jumped(&mut self, by: i64) {
        for ((kind, _), open) in &mut self.open {
            open.last = open.last.shifted(by);
            if !kind.is_an_outage() {
                let start = open.incident.start.0.shifted(by);
                open.incident.start = Moment(start.clamp(self.period.from, self.period.to));
            }
        }
        self.next_over = self.open.values().filter_map(Open::over_after).min();
    }

    /// Opens an incident, or adds to the open one. `None` if this kind is switched off.
    pub(super) fn raise(&mut self, alerts: &Alerts, draft: Draft<'_>) -> Option<&mut Incident> {
        self.tell(alerts.of(draft.kind), draft, None)
    }

    /// The same for what has no end of its own: it is over when it was quiet for the alert's window. What was caused on purpose is not
    /// added to an incident that was not: that gives `None`, too.
    pub(super) fn episode(&mut self, alerts: &Alerts, draft: Draft<'_>) -> Option<&mut Incident> {
        let alert = alerts.of(draft.kind);
        self.part(draft.kind, draft.subject, draft.planned);
        if draft.planned.is_some() && self.find(draft.kind, draft.subject).is_some_and(|open| open.planned.is_none()) {
            return None;
        }
        let quiet = alert.window;
        self.tell(alert, draft, Some(quiet))
    }

    /// Ends the open incident if it was planned and what follows is not: what goes on after a planned window counts against the hub.
    pub(super) fn part(&mut self, kind: IncidentKind, subject: &str, planned: Option<&str>) {
        if planned.is_some() || self.find(kind, subject).is_none_or(|open| open.planned.is_none()) {
            return;
        }
        let key = (kind, subject.to_owned());
        if let Some(open) = self.open.remove(&key) {
            self.close(key, open.incident, open.last);
        }
    }

    fn tell(&mut self, alert: Alert, draft: Draft<'_>, quiet: Option<Micros>) -> Option<&mut Incident> {
        if !alert.enabled {
            return None;
        }
        let key = (draft.kind, draft.subject.to_owned());
        // What ended in the future ended by a clock that was set back since.
        let over = self.over.get(&key).filter(|over| over.end <= self.present);
        let earliest = over.map_or(self.period.from, |over| over.end);
        let at = draft.at.min(self.now).max(earliest);
        if !self.open.contains_key(&key) {
            let incident = self.untold(begun(&alert, &draft, at, over));
            self.open.insert(key.clone(), Open { incident, last: at, quiet });
        }
        let open = self.open.get_mut(&key)?;
        open.last = open.last.max(at);
        self.next_over = self.next_over.into_iter().chain(open.over_after()).min();
        let incident = &mut open.incident;
        incident.count = incident.count.saturating_add(draft.count);
        if incident.cause.is_none() {
            incident.cause = draft.cause;
        }
        if let Some(evidence) = draft.evidence
            && incident.evidence.len() < MAX_EVIDENCE
            && !incident.evidence.contains(&evidence)
        {
            incident.evidence.push(evidence);
        }
        self.touched.insert(key);
        Some(incident)
    }

    /// The same incident with an id that no other has: a clock that was set back shows a time twice.
    fn untold(&self, incident: Incident) -> Incident {
        if self.present == self.now {
            return incident;
        }
        let is_taken = |id: &str| self.all().any(|known| known.id == id);
        let mut ids = (1..).map(|turn: u64| if turn == 1 { incident.id.clone() } else { format!("{}-again-{turn}", incident.id) });
        let id = ids.find(|id| !is_taken(id)).unwrap_or_default();
        Incident { id, ..incident }
    }

    /// The open incident of a kind and subject; asking for it counts as a change.
    pub(super) fn open(&mut self, kind: IncidentKind, subject: &str) -> Option<&mut Incident> {
        let key = (kind, subject.to_owned());
        let open = self.open.get_mut(&key)?;
        self.touched.insert(key);
        Some(&mut open.incident)
    }

    /// News of an episode: it is not over before it was quiet for so long after this.
    pub(super) fn seen(&mut self, kind: IncidentKind, subject: &str, at: Timestamp) {
        if let Some(open) = self.open.get_mut(&(kind, subject.to_owned())) {
            open.last = open.last.max(at.min(self.now));
        }
    }

    /// The open incident of a kind and subject, to look at.
    pub(super) fn find(&self, kind: IncidentKind, subject: &str) -> Option<&Incident> {
        self.open.get(&(kind, subject.to_owned())).map(|open| &open.incident)
    }

    /// Whether one is open.
    pub(super) fn is_open(&self, kind: IncidentKind, subject: &str) -> bool {
        self.find(kind, subject).is_some()
    }

    /// Ends an incident, if it is open.
    pub(super) fn settle(&mut self, kind: IncidentKind, subject: &str, at: Timestamp) {
        let key = (kind, subject.to_owned());
        if let Some(open) = self.open.remove(&key) {
            self.close(key, open.incident, at);
        }
    }

    /// Takes an open incident back that began before the outage that is `open` now, or without one: its own outage was over before the
    /// period, as was learned late. Live it was told already, so that its end is news.
    pub(super) fn withdraw(&mut self, kind: IncidentKind, subject: &str, open: Option<&Outage>) {
        let key = (kind, subject.to_owned());
        let is_of_it = |known: &Open| open.is_some_and(|outage| outage.from <= known.incident.start);
        if self.open.get(&key).is_none_or(is_of_it) {
            return;
        }
        if let Some(Open { mut incident, .. }) = self.open.remove(&key) {
            self.touched.remove(&key);
            incident.end = Some(incident.start);
            self.fresh.push(incident);
        }
    }

    /// Ends what was quiet for long enough.
    pub(super) fn advance(&mut self, now: Timestamp) {
        if self.next_over.is_none_or(|next| now <= next) {
            return;
        }
        let over = |open: &Open| open.over_after().is_some_and(|over| now > over);
        let keys: Vec<Key> = self.open.iter().filter(|(_, open)| over(open)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(open) = self.open.remove(&key) {
                self.close(key, open.incident, open.last);
            }
        }
        self.next_over = self.open.values().filter_map(Open::over_after).min();
    }

    fn close(&mut self, key: Key, mut incident: Incident, at: Timestamp) {
        let (start, end) = (incident.start.0, at.min(self.now).max(incident.start.0));
        incident.end = Some(Moment(end));
        self.touched.remove(&key);
        let over = self.over.entry(key).or_insert(Over { start, end, repeats: 0, kept: 0 });
        over.repeats = if over.start == start { over.repeats + 1 } else { 1 };
        over.kept += 1;
        (over.start, over.end) = (start, end.max(over.end));
        if self.closed.len() >= MAX_CLOSED {
            self.forget_the_first();
        }
        self.fresh.push(incident.clone());
        self.closed.push_back(incident);
    }

    fn forget_the_first(&mut self) {
        let Some(first) = self.closed.pop_front() else { return };
        self.dropped += 1;
        let key = (first.kind, first.subject);
        if let Some(over) = self.over.get_mut(&key) {
            over.kept -= 1;
            if over.kept == 0 {
                self.over.remove(&key);
            }
        }
    }

    /// What was opened, added to or closed since it was last asked.
    pub(super) fn news(&mut self) -> Vec<Incident> {
        let touched = std::mem::take(&mut self.touched);
        let mut news = std::mem::take(&mut self.fresh);
        news.extend(touched.iter().filter_map(|key| self.open.get(key)).map(|open| open.incident.clone()));
        sort(&mut news);
        news
    }

    fn all(&self) -> impl Iterator<Item = &Incident> {
        self.closed.iter().chain(self.open.values().map(|open| &open.incident))
    }

    /// What goes on.
    pub(super) fn ongoing(&self) -> impl Iterator<Item = &Incident> {
        self.open.values().map(|open| &open.incident)
    }

    /// All of them, by their beginning.
    pub(super) fn incidents(&self) -> Vec<Incident> {
        let mut all: Vec<Incident> = self.all().cloned().collect();
        sort(&mut all);
        all
    }
}

fn sort(incidents: &mut [Incident]) {
    incidents.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
}

fn begun(alert: &Alert, draft: &Draft<'_>, at: Timestamp, over: Option<&Over>) -> Incident {
    let mut id = format!("{}-{}", draft.kind, at.get());
    if !draft.subject.is_empty() {
        id = format!("{id}-{}", draft.subject);
    }
    // What is learned late can begin where one that is over began.
    if let Some(over) = over.filter(|over| over.start == at) {
        id = format!("{id}-{}", over.repeats + 1);
    }
    Incident {
        id,
        kind: draft.kind,
        severity: alert.severity,
        subject: draft.subject.to_owned(),
        start: Moment(at),
        end: None,
        title: draft.title.clone(),
        cause: None,
        effect: draft.effect.to_owned(),
        count: 0,
        evidence: Vec::new(),
        planned: draft.planned.map(str::to_owned),
    }
}
