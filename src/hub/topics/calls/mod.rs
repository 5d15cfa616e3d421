//! Meta-tool calls: from the lines of `hub__analyze_prompt` to one ended call each.
//!
//! With session ids the pairing of beginnings and ends is exact, as long as a session has one call at a time. Without them (pino
//! drops them) it is exact as long as only one call is at the same stage; otherwise the best supported guess is taken and marked.
//! Whatever the pairing, the number of calls of each outcome and the sum of their durations are right.
//!
//! The lines about failed rounds never carry a session. Their result is in the line just before the analysis ends, in the same turn
//! of the hub's event loop: the fallback, the success after a retry, or neither. So failed rounds wait until a call shows that it
//! had some.
//!
//! A call whose beginning is not visible (the subscription began while it ran, or a part of the log was lost) is seen in part: it
//! is counted when it ends, and how long it took stays unknown. So does how long a call took in whose midst the hub's clock was set.

use serde::{Deserialize, Serialize};

use crate::hub::facts::Said;
use crate::hub::interpret::Interpreter;
use crate::hub::lines::line::LogLine;
use crate::hub::lines::meaning::{Meaning, background_lines, client_lines, hub_lines, process_lines, server_lines};
use crate::hub::sources::clocks::Clocks;
use crate::hub::sources::stated::Stated;
use crate::watch::{CallOutcome, GeminiFailure, Micros, RecordUid, SessionHash, Timestamp};

mod call;
mod durations;

use call::{Call, Stage};
pub(crate) use call::{EndedCall, LineContext, StageEvent};
pub(crate) use durations::Measured;

/// After how long without an end a call is given up. The hub's own worst case, three rounds of three Gemini requests with backoff,
/// takes about 17 s (`tests/recordings/fork-pino`); ten minutes leave no doubt.
pub(crate) const LOST_AFTER: Micros = Micros::new(10 * 60 * 1_000_000);

/// More calls in flight than any hub serves: beyond it the oldest is given up, so that garbage can't fill the memory.
pub(crate) const MAX_IN_FLIGHT: usize = 4096;

/// The hub tries this often (docs/hub.md, "Lines with a meaning").
pub(crate) const MAX_ROUNDS: usize = 3;

/// Failed rounds that no known call was asking for are kept for the calls seen in part that end next; more than these few calls
/// never overlap unseen.
const MAX_STRAY_ROUNDS: usize = 8 * MAX_ROUNDS;

/// No round fails earlier than this: three requests with a backoff of one second and more between them took 4.7 s in the recordings.
const SHORTEST_ROUND: Micros = Micros::new(2_000_000);

/// What was said just before an analysis ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Turn {
    /// Nothing: it succeeded at the first try.
    #[default]
    AtOnce,
    /// It succeeded after a retry.
    Recovered,
    /// It gave up.
    Fallback,
}

/// The calls in flight.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Calls {
    in_flight: Vec<Call>,
    /// Failed rounds that no call has shown to be its own yet, in the order of time.
    rounds: Vec<(Timestamp, GeminiFailure)>,
    /// Failed rounds at a time when no call that is known was asking: those of calls seen in part.
    #[serde(default)]
    stray_rounds: Vec<(Timestamp, GeminiFailure)>,
    /// Calls whose end is already a fact (given up, or aborted by a hub that lets them finish): their last lines may still come,
    /// and are not those of another call.
    #[serde(default)]
    told: Vec<Option<SessionHash>>,
    /// How the analysis that ends next ended.
    turn: Turn,
    /// The call that the latest line belonged to, so that the line's record can be linked to it.
    #[serde(skip)]
    touched: Option<RecordUid>,
}

impl Calls {
    /// Takes a line in; gives back the calls that it ends.
    pub(crate) fn line(&mut self, meaning: Meaning<'_>, text: &str, line: LineContext<'_>) -> Vec<EndedCall> {
        self.touched = None;
        match meaning {
            Meaning::CallEntered => return self.enter(text, line),
            Meaning::CallSucceeded => return self.end(text, line, false).into_iter().collect(),
            Meaning::CallErred => return self.end(text, line, true).into_iter().collect(),
            Meaning::HubStopping { .. } => return self.stopping(line.at),
            Meaning::HubStarting => return self.abort(line.at),
            Meaning::GeminiFailed(failure) => self.round_failed(text, failure, line.at),
            Meaning::GeminiRecovered => self.turn = Turn::Recovered,
            Meaning::GeminiFallback => self.turn = Turn::Fallback,
            Meaning::GeminiDone => self.analysed(text, line),
            Meaning::GeminiAsked | Meaning::CallRefused => self.advance(self.latest_entered(line), meaning, text, line),
            // Without a session, the beginning of a session looks the same as a step of a call.
            Meaning::ExposureUpdated if line.session.is_none() => {}
            Meaning::CallUpdating
            | Meaning::CallUpdated
            | Meaning::CallNotified(_)
            | Meaning::ExposureUpdated
            | Meaning::NoCategories => self.advance(self.latest_analysed(line), meaning, text, line),
            hub_lines!() | server_lines!() | client_lines!() | background_lines!() => {}
        }
        Vec::new()
    }

    /// The record that began the call of the latest line, if that line belonged to one.
    pub(crate) fn touched(&self) -> Option<RecordUid> {
        self.touched
    }

    /// Ends the calls without a last line in time.
    pub(crate) fn give_up(&mut self, now: Timestamp) -> Vec<EndedCall> {
        let in_flight = self.in_flight.len();
        let is_lost = |call: &Call| now.since(call.started) >= LOST_AFTER;
        if self.in_flight.iter().any(is_lost) {
            self.blame_rounds();
        }
        let (lost, kept) = std::mem::take(&mut self.in_flight).into_iter().partition(is_lost);
        self.in_flight = kept;
        let lost: Vec<Call> = lost;
        lost.iter().for_each(|call| self.is_told(call.session));
        lost.into_iter()
            .map(|call| match call.stage {
                Stage::Refused => call.ended(now, CallOutcome::Refused, in_flight),
                Stage::Entered | Stage::AskingGemini | Stage::GeminiDone => call.ended(now, CallOutcome::Lost, in_flight),
            })
            .collect()
    }

    /// How many are in flight.
    #[cfg(test)]
    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn enter(&mut self, text: &str, line: LineContext<'_>) -> Vec<EndedCall> {
        let mut given_up = Vec::new();
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            let oldest = self.in_flight.remove(0);
            self.is_told(oldest.session);
            given_up.push(oldest.ended(line.at, CallOutcome::Lost, MAX_IN_FLIGHT));
        }
        let mut call = Call::begun(line, Stage::Entered);
        call.note(text, line.at);
        self.in_flight.push(call);
        self.touched = Some(line.uid);
        given_up
    }

    /// Takes a step of the call at this place.
    fn advance(&mut self, place: Option<usize>, meaning: Meaning<'_>, text: &str, line: LineContext<'_>) {
        let Some(call) = place.and_then(|index| self.in_flight.get_mut(index)) else { return };
        call.note(text, line.at);
        call.learn(meaning, line.data);
        match meaning {
            Meaning::GeminiAsked => {
                call.stage = Stage::AskingGemini;
                (call.gemini_asked, call.asking_began) = (Some(line.at), line.stated);
            }
            Meaning::CallNotified(notification) => call.notification = Some(notification),
            Meaning::CallRefused => call.stage = Stage::Refused,
            Meaning::CallEntered
            | Meaning::GeminiDone
            | Meaning::CallUpdating
            | Meaning::CallUpdated
            | Meaning::CallSucceeded
            | Meaning::CallErred
            | Meaning::GeminiFailed(_)
            | Meaning::GeminiRecovered
            | Meaning::GeminiFallback
            | Meaning::NoCategories
            | Meaning::ExposureUpdated => {}
            process_lines!() | hub_lines!() | server_lines!() | client_lines!() | background_lines!() => {}
        }
        self.touched = Some(call.began);
    }

    fn round_failed(&mut self, text: &str, failure: GeminiFailure, at: Timestamp) {
        let asking = self.asking(None);
        if asking.is_empty() {
            self.stray_rounds.push((at, failure));
            if self.stray_rounds.len() > MAX_STRAY_ROUNDS {
                self.stray_rounds.remove(0);
            }
            return;
        }
        if self.rounds.len() >= MAX_IN_FLIGHT {
            return;
        }
        self.rounds.push((at, failure));
        if let [only] = asking.as_slice() {
            let call = &mut self.in_flight[*only];
            call.note(text, at);
            self.touched = Some(call.began);
        }
    }

    fn analysed(&mut self, text: &str, line: LineContext<'_>) {
        let turn = std::mem::take(&mut self.turn);
        let asking = self.asking(line.session);
        if asking.len() > 1 {
            for &index in &asking {
                self.in_flight[index].ambiguous = true;
            }
        }
        let Some(index) = self.likely(&asking, turn) else { return self.analysed_unseen(text, line, turn) };
        let alone = self.asking(None).len() == 1;
        let asked = self.in_flight[index].gemini_asked.unwrap_or(line.at);
        let rounds = match turn {
            Turn::AtOnce => Vec::new(),
            Turn::Recovered => self.take_rounds(asked, if alone { MAX_ROUNDS - 1 } else { 1 }),
            Turn::Fallback => self.take_rounds(asked, MAX_ROUNDS),
        };
        let call = &mut self.in_flight[index];
        call.note(text, line.at);
        call.learn(Meaning::GeminiDone, line.data);
        call.stage = Stage::GeminiDone;
        call.analysed(line);
        call.fallback = turn == Turn::Fallback;
        call.recovered = turn == Turn::Recovered;
        call.failed(&rounds);
        self.touched = Some(call.began);
        if self.asking(None).is_empty() {
            self.rounds.clear();
        }
    }

    /// Records the end of an analysis whose beginning was not seen.
    fn analysed_unseen(&mut self, text: &str, line: LineContext<'_>, turn: Turn) {
        if self.is_of_told(line.session).is_some() || self.in_flight.len() >= MAX_IN_FLIGHT {
            return;
        }
        let mut call = Call { partial: true, ..Call::begun(line, Stage::GeminiDone) };
        let most = match turn {
            Turn::AtOnce => 0,
            Turn::Recovered => MAX_ROUNDS - 1,
            Turn::Fallback => MAX_ROUNDS,
        };
        let of_others = self.stray_rounds.len().saturating_sub(most);
        call.failed(&self.stray_rounds.split_off(of_others));
        call.note(text, line.at);
        call.learn(Meaning::GeminiDone, line.data);
        call.analysed(line);
        call.fallback = turn == Turn::Fallback;
        call.recovered = turn == Turn::Recovered;
        self.in_flight.push(call);
        self.touched = Some(line.uid);
    }

    /// The end of a call became a fact before its last line was read.
    fn is_told(&mut self, session: Option<SessionHash>) {
        if self.told.len() >= MAX_IN_FLIGHT {
            self.told.remove(0);
        }
        self.told.push(session);
    }

    /// Returns the ended call that a line may be about.
    fn is_of_told(&self, session: Option<SessionHash>) -> Option<usize> {
        self.told.iter().position(|told| session.is_none() || told.is_none() || *told == session)
    }

    /// Of the calls that may be meant the one that the way the analysis ended speaks for: who gave up has waited longest; who
    /// succeeded at once is the oldest that no failed round belongs to.
    fn likely(&self, asking: &[usize], turn: Turn) -> Option<usize> {
        let first_failure = self.rounds.first().map(|(at, _)| *at);
        let may_have_failed = |index: &&usize| {
            let asked = self.in_flight[**index].gemini_asked;
            asked.zip(first_failure).is_some_and(|(asked, failure)| asked.plus(SHORTEST_ROUND) <= failure)
        };
        let failing = self.rounds.len().div_ceil(MAX_ROUNDS);
        let oldest_failed = asking.iter().find(may_have_failed);
        let spared = asking.iter().filter(may_have_failed).take(failing).copied().collect::<Vec<_>>();
        let unhurt = asking.iter().find(|index| !spared.contains(index));
        match turn {
            Turn::AtOnce => unhurt.or(asking.first()).copied(),
            Turn::Recovered | Turn::Fallback => oldest_failed.or(asking.first()).copied(),
        }
    }

    /// Up to `most` of the oldest failed rounds since a call asked.
    fn take_rounds(&mut self, asked: Timestamp, most: usize) -> Vec<(Timestamp, GeminiFailure)> {
        let mut taken = Vec::new();
        self.rounds.retain(|round| {
            let take = taken.len() < most && round.0 >= asked;
            if take {
                taken.push(*round);
            }
            !take
        });
        taken
    }

    /// The calls that ask Gemini, of one session if it is known, oldest first.
    fn asking(&self, session: Option<SessionHash>) -> Vec<usize> {
        let of_session = |call: &Call| session.is_none() || call.session == session;
        let asking = self.in_flight.iter().enumerate();
        asking.filter(|(_, call)| call.stage == Stage::AskingGemini && of_session(call)).map(|(index, _)| index).collect()
    }

    /// The calls that a line can belong to, with their places.
    fn of_session(&self, line: LineContext<'_>) -> impl DoubleEndedIterator<Item = (usize, &Call)> {
        let of_session = move |call: &Call| line.session.is_none() || call.session == line.session;
        self.in_flight.iter().enumerate().filter(move |(_, call)| of_session(call))
    }

    /// The call that a line belongs to which follows its beginning in the same turn of the hub's event loop: the latest one.
    fn latest_entered(&self, line: LineContext<'_>) -> Option<usize> {
        self.of_session(line).rfind(|(_, call)| call.stage == Stage::Entered).map(|(index, _)| index)
    }

    /// The call that a line belongs to which follows an analysis in the same turn of the hub's event loop: the latest one.
    fn latest_analysed(&self, line: LineContext<'_>) -> Option<usize> {
        let done = self.of_session(line).filter(|(_, call)| call.stage == Stage::GeminiDone);
        done.max_by_key(|(_, call)| call.gemini_done).map(|(index, _)| index)
    }

    fn end(&mut self, text: &str, line: LineContext<'_>, erred: bool) -> Option<EndedCall> {
        let (mut call, in_flight) = match self.ending(line) {
            Some(index) => {
                let in_flight = self.in_flight.len();
                (self.in_flight.remove(index), in_flight)
            }
            None => {
                if let Some(told) = self.is_of_told(line.session) {
                    self.told.remove(told);
                    return None;
                }
                (Call { partial: true, ..Call::begun(line, Stage::Entered) }, self.in_flight.len() + 1)
            }
        };
        call.note(text, line.at);
        call.learn(if erred { Meaning::CallErred } else { Meaning::CallSucceeded }, line.data);
        self.touched = Some(call.began);
        let outcome = match (call.stage, erred) {
            (Stage::Refused, _) => CallOutcome::Refused,
            (_, true) => CallOutcome::Error,
            (_, false) if call.fallback => CallOutcome::Fallback,
            (_, false) => CallOutcome::Ok,
        };
        Some(call.ended_by(line, outcome, in_flight))
    }

    fn ending(&mut self, line: LineContext<'_>) -> Option<usize> {
        let of_session = |call: &Call| line.session.is_none() || call.session == line.session;
        let calls = &mut self.in_flight;
        let candidates: Vec<usize> = (0..calls.len()).filter(|&index| of_session(&calls[index])).collect();
        let over = |index: &usize| matches!(calls[*index].stage, Stage::GeminiDone | Stage::Refused);
        let furthest = candidates.iter().copied().filter(over).max_by_key(|&index| calls[index].gemini_done);
        if furthest.is_some() {
            return furthest;
        }
        // An error can end a call at any stage, and the line doesn't show which call: pick the oldest.
        if candidates.len() > 1 {
            candidates.iter().for_each(|&index| calls[index].ambiguous = true);
        }
        candidates.first().copied()
    }

    /// The hub begins to stop: what it was doing is aborted, though some of it may still come to its end.
    fn stopping(&mut self, at: Timestamp) -> Vec<EndedCall> {
        let sessions: Vec<_> = self.in_flight.iter().map(|call| call.session).collect();
        let aborted = self.abort(at);
        sessions.into_iter().for_each(|session| self.is_told(session));
        aborted
    }

    /// The hub's process is gone, and with it what it was doing.
    pub(crate) fn abort(&mut self, at: Timestamp) -> Vec<EndedCall> {
        self.told.clear();
        self.stray_rounds.clear();
        let in_flight = self.in_flight.len();
        self.blame_rounds();
        self.turn = Turn::AtOnce;
        self.in_flight.drain(..).map(|call| call.ended(at, CallOutcome::Aborted, in_flight)).collect()
    }

    /// The hub's process had ended at `at`, as became known later: what began until then never ended. What began since goes on.
    pub(crate) fn abort_begun_by(&mut self, at: Timestamp) -> Vec<EndedCall> {
        if self.in_flight.iter().all(|call| call.started <= at) {
            return self.abort(at);
        }
        let in_flight = self.in_flight.len();
        let (gone, kept) = std::mem::take(&mut self.in_flight).into_iter().partition(|call| call.started <= at);
        self.in_flight = kept;
        let gone: Vec<Call> = gone;
        gone.into_iter().map(|call| call.ended(at, CallOutcome::Aborted, in_flight)).collect()
    }

    /// What seemed late of the calls in flight was written by the clock that was set back.
    fn correct_late_lines(&mut self, clocks: &Clocks) {
        self.in_flight.iter_mut().for_each(|call| call.correct_late_lines(clocks));
    }

    /// The failed rounds that are left belong to the calls that still ask.
    fn blame_rounds(&mut self) {
        for index in self.asking(None) {
            let asked = self.in_flight[index].gemini_asked.unwrap_or_default();
            let rounds = self.take_rounds(asked, MAX_ROUNDS);
            self.in_flight[index].failed(&rounds);
        }
        self.rounds.clear();
    }
}

impl Interpreter {
    pub(in crate::hub) fn of_call(
        &mut self,
        meaning: Meaning<'_>,
        line: &LogLine<'_>,
        stated: Option<Stated>,
        said: &mut Said,
    ) -> Option<RecordUid> {
        let session = line.session.as_deref().map(|session| SessionHash::of(session, self.mask.key()));
        let context = LineContext { uid: said.uid, at: said.when.latest(), stated, session, data: line.data };
        let ended = self.calls.line(meaning, self.masked(&line.text).as_str(), context);
        for call in &ended {
            said.say(call.fact.clone());
        }
        self.measured(&ended);
        self.ended.extend(ended);
        self.calls.touched()
    }

    /// The calls that ended since it was last asked; each is among the facts, too.
    pub fn ended_calls(&mut self) -> Vec<EndedCall> {
        let mut ended = std::mem::take(&mut self.ended);
        ended.iter_mut().for_each(|call| call.retime(|at| self.clocks.wall(at)));
        ended
    }
}

#[cfg(test)]
mod tests;
