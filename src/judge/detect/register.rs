//! The incidents so far: opened, added to, closed. The same event is one incident however often it is shown.

use std::collections::{BTreeMap, BTreeSet};

use crate::judge::alert::{Alert, Alerts};
use crate::judge::incident::{Evidence, Incident, IncidentKind, MAX_EVIDENCE};
use crate::judge::moment::Moment;
use crate::watch::{Micros, Timestamp};

/// So many closed incidents are kept; a hub with more has a worse problem than what is told of the first.
pub(super) const MAX_CLOSED: usize = 10_000;

/// What is to be told.
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

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Register {
    open: BTreeMap<Key, Open>,
    closed: Vec<Incident>,
    touched: BTreeSet<String>,
    pub dropped: u64,
    /// Nothing is over before this: most facts need not look at what is open.
    next_over: Option<Timestamp>,
}

impl Register {
    /// Opens an incident, or adds to the one that is open. `None` if nobody wants to know of this kind.
    pub fn raise(&mut self, alerts: &Alerts, draft: Draft<'_>) -> Option<&mut Incident> {
        self.tell(alerts.of(draft.kind), draft, None)
    }

    /// The same for what has no end of its own: it is over when it was quiet for the alert's window.
    pub fn episode(&mut self, alerts: &Alerts, draft: Draft<'_>) -> Option<&mut Incident> {
        let alert = alerts.of(draft.kind);
        let quiet = alert.window;
        self.tell(alert, draft, Some(quiet))
    }

    fn tell(&mut self, alert: Alert, draft: Draft<'_>, quiet: Option<Micros>) -> Option<&mut Incident> {
        if !alert.enabled {
            return None;
        }
        let key = (draft.kind, draft.subject.to_owned());
        let closed = &self.closed;
        let begin = || Open { incident: begun(&alert, &draft, closed), last: draft.at, quiet };
        let open = self.open.entry(key).or_insert_with(begin);
        open.last = open.last.max(draft.at);
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
        self.touched.insert(incident.id.clone());
        Some(incident)
    }

    /// The open incident of a kind and subject; asking for it counts as a change.
    pub fn open(&mut self, kind: IncidentKind, subject: &str) -> Option<&mut Incident> {
        let open = self.open.get_mut(&(kind, subject.to_owned()))?;
        self.touched.insert(open.incident.id.clone());
        Some(&mut open.incident)
    }

    /// News of an episode: it is not over before it was quiet for so long after this.
    pub fn seen(&mut self, kind: IncidentKind, subject: &str, at: Timestamp) {
        if let Some(open) = self.open.get_mut(&(kind, subject.to_owned())) {
            open.last = open.last.max(at);
        }
    }

    /// Whether one is open.
    pub fn is_open(&self, kind: IncidentKind, subject: &str) -> bool {
        self.open.contains_key(&(kind, subject.to_owned()))
    }

    /// Ends an incident, if it is open.
    pub fn settle(&mut self, kind: IncidentKind, subject: &str, at: Timestamp) {
        if let Some(open) = self.open.remove(&(kind, subject.to_owned())) {
            self.close(open.incident, at);
        }
    }

    /// Ends what was quiet for long enough.
    pub fn advance(&mut self, now: Timestamp) {
        if self.next_over.is_none_or(|next| now <= next) {
            return;
        }
        let over = |open: &Open| open.over_after().is_some_and(|over| now > over);
        let keys: Vec<Key> = self.open.iter().filter(|(_, open)| over(open)).map(|(key, _)| key.clone()).collect();
        for open in keys.iter().filter_map(|key| self.open.remove(key)).collect::<Vec<_>>() {
            let last = open.last;
            self.close(open.incident, last);
        }
        self.next_over = self.open.values().filter_map(Open::over_after).min();
    }

    fn close(&mut self, mut incident: Incident, at: Timestamp) {
        incident.end = Some(Moment(at).max(incident.start));
        self.touched.insert(incident.id.clone());
        if self.closed.len() >= MAX_CLOSED {
            self.closed.remove(0);
            self.dropped += 1;
        }
        self.closed.push(incident);
    }

    /// What was opened, added to or closed since it was last asked.
    pub fn news(&mut self) -> Vec<Incident> {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return Vec::new();
        }
        let mut news: Vec<Incident> = self.all().filter(|incident| touched.contains(&incident.id)).cloned().collect();
        sort(&mut news);
        news
    }

    fn all(&self) -> impl Iterator<Item = &Incident> {
        self.closed.iter().chain(self.open.values().map(|open| &open.incident))
    }

    /// What goes on.
    pub fn ongoing(&self) -> impl Iterator<Item = &Incident> {
        self.open.values().map(|open| &open.incident)
    }

    /// All of them, by their beginning.
    pub fn incidents(&self) -> Vec<Incident> {
        let mut all: Vec<Incident> = self.all().cloned().collect();
        sort(&mut all);
        all
    }
}

fn sort(incidents: &mut [Incident]) {
    incidents.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
}

fn begun(alert: &Alert, draft: &Draft<'_>, closed: &[Incident]) -> Incident {
    let mut id = format!("{}-{}", draft.kind, draft.at.get());
    if !draft.subject.is_empty() {
        id = format!("{id}-{}", draft.subject);
    }
    // What is learned late can begin where one that is over began.
    let same =
        closed.iter().filter(|other| other.kind == draft.kind && other.start.0 == draft.at && other.subject == draft.subject);
    match same.count() {
        0 => {}
        before => id = format!("{id}-{}", before + 1),
    }
    Incident {
        id,
        kind: draft.kind,
        severity: alert.severity,
        subject: draft.subject.to_owned(),
        start: Moment(draft.at),
        end: None,
        title: draft.title.clone(),
        cause: None,
        effect: draft.effect.to_owned(),
        count: 0,
        evidence: Vec::new(),
        planned: draft.planned.map(str::to_owned),
    }
}
