//! One meta-tool call: its stage, and the fact about its end.

use serde::{Deserialize, Serialize};

use crate::hub::lines::detail::{Detail, joined};
use crate::hub::lines::meaning::{Meaning, background_lines, client_lines, hub_lines, process_lines, server_lines};
use crate::watch::{
    CallEnded, CallOutcome, GeminiFailure, GeminiOutcome, Notification, Pairing, RecordUid, SessionHash, Text, Timestamp, TraceId,
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
    /// Whether its beginning was missed.
    #[serde(default)]
    pub(super) partial: bool,
    pub(super) session: Option<SessionHash>,
    pub(super) stage: Stage,
    pub(super) ambiguous: bool,
    pub(super) gemini_asked: Option<Timestamp>,
    pub(super) gemini_done: Option<Timestamp>,
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
            partial: false,
            session: line.session,
            stage,
            ambiguous: false,
            gemini_asked: None,
            gemini_done: None,
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

    pub(super) fn ended(self, at: Timestamp, outcome: CallOutcome, in_flight: usize) -> EndedCall {
        let gemini_duration = self.gemini_asked.map(|asked| self.gemini_done.unwrap_or(at).since(asked));
        let fact = CallEnded {
            started: self.started,
            duration: (!self.partial).then(|| at.since(self.started)),
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
        EndedCall { began: self.began, ended: at.max(fact.started), fact, gemini_asked: self.gemini_asked, events: self.events }
    }
}
