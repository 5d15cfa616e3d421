//! One meta-tool call: its stage, and the fact about its end.

use serde::{Deserialize, Serialize};

use crate::hub::lines::detail::{Detail, joined};
use crate::hub::lines::meaning::{Meaning, background_lines, client_lines, hub_lines, process_lines, server_lines};
use crate::hub::sources::clocks::Clocks;
use crate::hub::sources::stated::{Basis, Stated};
use crate::watch::{
    CallEnded, CallOutcome, GeminiFailure, GeminiOutcome, Micros, Notification, Pairing, RecordUid, SessionHash, Text, Timestamp,
    TraceId,
};

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    Entered,
    AskingGemini,
    GeminiDone,
    Refused,
}

/// A step of a call with its time: an event of its span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEvent {
    /// When.
    pub at: Timestamp,
    /// The line that showed it.
    pub name: Text,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) began: RecordUid,
    pub(super) started: Timestamp,
    /// What its first line states.
    #[serde(default)]
    pub(super) begun: Option<Stated>,
    /// Whether its beginning was missed.
    #[serde(default)]
    pub(super) partial: bool,
    pub(super) session: Option<SessionHash>,
    pub(super) stage: Stage,
    pub(super) ambiguous: bool,
    pub(super) gemini_asked: Option<Timestamp>,
    #[serde(default)]
    pub(super) asking_began: Option<Stated>,
    pub(super) gemini_done: Option<Timestamp>,
    /// How long Gemini took, if that is known.
    #[serde(default)]
    pub(super) gemini_took: Option<Micros>,
    pub(super) failed_rounds: u32,
    pub(super) failure: Option<GeminiFailure>,
    pub(super) fallback: bool,
    pub(super) recovered: bool,
    pub(super) notification: Option<Notification>,
    pub(super) categories: Option<Vec<String>>,
    pub(super) valid: Option<Vec<String>>,
    pub(super) added: Option<u32>,
    pub(super) confidence: Option<u32>,
    pub(super) response_complete: Option<bool>,
    pub(super) events: Vec<StageEvent>,
}

/// A call that ended, with all that its trace shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedCall {
    /// The record that began it: its ids are derived from it.
    pub began: RecordUid,
    /// The fact.
    pub fact: CallEnded,
    /// What its duration stands on.
    pub(crate) basis: Option<Basis>,
    /// What its first line states.
    pub(crate) begun: Option<Stated>,
    /// When it ended.
    pub ended: Timestamp,
    /// When Gemini was asked.
    pub gemini_asked: Option<Timestamp>,
    /// Its steps.
    pub events: Vec<StageEvent>,
}

impl EndedCall {
    /// Gives its times by another clock.
    pub fn retime(&mut self, by: impl Fn(Timestamp) -> Timestamp) {
        self.fact.started = by(self.fact.started);
        self.ended = by(self.ended);
        self.gemini_asked = self.gemini_asked.map(&by);
        self.events.iter_mut().for_each(|event| event.at = by(event.at));
    }
}

/// Where and when a line was, and what it says beside its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineContext<'a> {
    /// The line's record.
    pub uid: RecordUid,
    /// When it was written, as well as that is known.
    pub at: Timestamp,
    /// What it states of that.
    pub stated: Option<Stated>,
    /// The session it names.
    pub session: Option<SessionHash>,
    /// The object beside its text.
    pub data: Option<&'a str>,
}

impl Call {
    /// A call has a dozen steps; more would be garbage.
    const MAX_EVENTS: usize = 64;

    /// A call that this line shows first.
    pub(super) fn begun(line: LineContext<'_>, stage: Stage) -> Self {
        Self {
            began: line.uid,
            started: line.at,
            begun: line.stated,
            partial: false,
            session: line.session,
            stage,
            ambiguous: false,
            gemini_asked: None,
            asking_began: None,
            gemini_done: None,
            gemini_took: None,
            failed_rounds: 0,
            failure: None,
            fallback: false,
            recovered: false,
            notification: None,
            categories: None,
            valid: None,
            added: None,
            confidence: None,
            response_complete: None,
            events: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, text: &str, at: Timestamp) {
        if self.events.len() < Self::MAX_EVENTS {
            self.events.push(StageEvent { at, name: Text::new(text) });
        }
    }

    /// Takes what the line says beside its text.
    pub(super) fn learn(&mut self, meaning: Meaning<'_>, data: Option<&str>) {
        match meaning {
            Meaning::GeminiAsked => self.valid = Detail::of(data).valid_categories,
            Meaning::GeminiDone => {
                let detail = Detail::of(data);
                self.confidence = detail.confidence_permille();
                self.categories = detail.categories;
            }
            Meaning::ExposureUpdated => {
                let added = Detail::of(data).added_categories;
                self.added = added.map(|added| u32::try_from(added.len()).unwrap_or(u32::MAX));
            }
            Meaning::CallSucceeded => {
                self.response_complete = Detail::of(data).response.map(|response| response.is_complete());
            }
            Meaning::CallEntered
            | Meaning::CallUpdating
            | Meaning::CallNotified(_)
            | Meaning::CallUpdated
            | Meaning::CallErred
            | Meaning::CallRefused
            | Meaning::GeminiFailed(_)
            | Meaning::GeminiRecovered
            | Meaning::GeminiFallback
            | Meaning::NoCategories => {}
            process_lines!() | hub_lines!() | server_lines!() | client_lines!() | background_lines!() => {}
        }
    }

    pub(super) fn categories_known(&self) -> Option<bool> {
        let (found, valid) = (self.categories.as_ref()?, self.valid.as_ref()?);
        Some(found.iter().all(|category| valid.contains(category)))
    }

    pub(super) fn failed(&mut self, rounds: &[(Timestamp, GeminiFailure)]) {
        self.failed_rounds = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
        self.failure = rounds.last().map(|(_, failure)| *failure);
    }

    pub(super) fn gemini(&self) -> GeminiOutcome {
        match (self.gemini_asked, self.gemini_done) {
            (None, None) if self.partial && self.stage != Stage::Refused => GeminiOutcome::Unseen,
            (None, None) => GeminiOutcome::NotAsked,
            (Some(_), None) => GeminiOutcome::Unfinished,
            (_, Some(_)) if self.fallback => GeminiOutcome::Failed,
            (_, Some(_)) if self.recovered => GeminiOutcome::Recovered,
            (_, Some(_)) => GeminiOutcome::Ok,
        }
    }

    /// The hub's clock was set back before these lines were written, as an answer shows.
    pub(super) fn correct_late_lines(&mut self, clocks: &Clocks) {
        let correct = |stated: &mut Option<Stated>, at: &mut Timestamp| {
            if let Some(late) = stated.as_mut().filter(|stated| stated.is_late()) {
                let (corrected, when) = late.corrected(clocks);
                (*late, *at) = (corrected, when.latest());
            }
        };
        correct(&mut self.begun, &mut self.started);
        if let Some(asked) = &mut self.gemini_asked {
            correct(&mut self.asking_began, asked);
        }
    }

    /// The analysis ended with this line.
    pub(super) fn analysed(&mut self, line: LineContext<'_>) {
        self.gemini_done = Some(line.at);
        self.gemini_took = between(self.asking_began, line.stated).map(|(took, _)| took);
    }

    /// A line shows its end.
    pub(super) fn ended_by(self, line: LineContext<'_>, outcome: CallOutcome, in_flight: usize) -> EndedCall {
        let took = if self.partial { None } else { between(self.begun, line.stated) };
        self.over(line.at, took.map(|(took, _)| took), took.map(|(_, basis)| basis), outcome, in_flight)
    }

    /// Its end is not shown by a line of its own.
    pub(super) fn ended(self, at: Timestamp, outcome: CallOutcome, in_flight: usize) -> EndedCall {
        let is_known = !self.partial && at >= self.started;
        let took = is_known.then(|| at.since(self.started));
        self.over(at, took, None, outcome, in_flight)
    }

    fn over(
        self,
        at: Timestamp,
        duration: Option<Micros>,
        basis: Option<Basis>,
        outcome: CallOutcome,
        in_flight: usize,
    ) -> EndedCall {
        let unfinished =
            || self.gemini_asked.filter(|_| self.gemini_done.is_none() && duration.is_some()).map(|asked| at.since(asked));
        let gemini_duration = self.gemini_took.or_else(unfinished);
        let fact = CallEnded {
            started: self.started,
            duration,
            outcome,
            pairing: match (self.partial, self.ambiguous) {
                (true, _) => Pairing::Partial,
                (false, true) => Pairing::Guessed,
                (false, false) => Pairing::Exact,
            },
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            gemini: self.gemini(),
            gemini_duration,
            gemini_failed_rounds: self.failed_rounds,
            gemini_failure: self.failure,
            notification: self.notification,
            session: self.session,
            trace: TraceId::of_call(self.began),
            categories: self.categories.as_deref().map(|categories| Text::new(joined(categories))),
            categories_known: self.categories_known(),
            categories_added: self.added,
            confidence: self.confidence,
            response_complete: self.response_complete,
        };
        EndedCall {
            began: self.began,
            ended: at.max(fact.started),
            fact,
            basis,
            begun: self.begun,
            gemini_asked: self.gemini_asked,
            events: self.events,
        }
    }
}

/// How long one line was written after another, and what that stands on.
fn between(one: Option<Stated>, other: Option<Stated>) -> Option<(Micros, Basis)> {
    one.zip(other).and_then(|(one, other)| other.since(one))
}
