//! Meta-tool calls: from the lines of `hub__analyze_prompt` to one ended call each.
//!
//! With session ids the pairing of beginnings and ends is exact, as long as a session has one call at a time. Without them (pino
//! drops them) it is exact as long as only one call is at the same stage; otherwise the best supported guess is taken and marked.
//! Whatever the pairing, the number of calls of each outcome and the sum of their durations are right.
//!
//! The lines about failed rounds never carry a session. What they led to is told by the line just before the analysis ends, in the
//! same turn of the hub's event loop: the fallback, the success after a retry, or neither. So failed rounds wait until a call
//! shows that it had some.
//!
//! A call whose beginning nobody saw (the event stream was joined while it ran, a stretch of the log was lost) is seen in part: it
//! is counted when it ends, and how long it took stays unknown.

use serde::{Deserialize, Serialize};

use crate::watch::{
    CallEnded, CallOutcome, GeminiFailure, GeminiOutcome, Micros, Notification, Pairing, RecordUid, SessionHash, Text, Timestamp,
    TraceId,
};

use crate::hub::lines::detail::{Detail, joined};
use crate::hub::lines::meaning::Meaning;

/// After how long without an end a call is given up. The hub's own worst case, three rounds of three Gemini requests with backoff,
/// takes about 17 s (`captures/fork-pino`); ten minutes leave no doubt.
pub const LOST_AFTER: Micros = Micros::new(10 * 60 * 1_000_000);

/// More calls in flight than any hub serves: beyond it the oldest is given up, so that garbage can't fill the memory.
pub const MAX_IN_FLIGHT: usize = 4096;

/// The hub tries this often (hub notes, "up to 3").
pub const MAX_ROUNDS: usize = 3;

/// Failed rounds that no known call was asking for are kept for the calls seen in part that end next; more than these few calls
/// never overlap unseen.
const MAX_STRAY_ROUNDS: usize = 8 * MAX_ROUNDS;

/// No round fails earlier than this: three requests with a backoff of one second and more between them took 4.7 s in the recordings.
const SHORTEST_ROUND: Micros = Micros::new(2_000_000);

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Entered,
    AskingGemini,
    GeminiDone,
    Refused,
}

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

/// A step of a call with its time: an event of its span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEvent {
    /// When.
    pub at: Timestamp,
    /// The line that told it.
    pub name: Text,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Call {
    began: RecordUid,
    started: Timestamp,
    /// Whether its beginning was missed.
    #[serde(default)]
    partial: bool,
    session: Option<SessionHash>,
    stage: Stage,
    ambiguous: bool,
    gemini_asked: Option<Timestamp>,
    gemini_done: Option<Timestamp>,
    failed_rounds: u32,
    failure: Option<GeminiFailure>,
    fallback: bool,
    recovered: bool,
    notification: Option<Notification>,
    categories: Option<Vec<String>>,
    valid: Option<Vec<String>>,
    added: Option<u32>,
    confidence: Option<u32>,
    response_complete: Option<bool>,
    events: Vec<StageEvent>,
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

/// The calls in flight.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Calls {
    in_flight: Vec<Call>,
    /// Failed rounds that no call has shown to be its own yet, in the order of time.
    rounds: Vec<(Timestamp, GeminiFailure)>,
    /// Failed rounds at a time when no call that is known was asking: those of calls seen in part.
    #[serde(default)]
    stray_rounds: Vec<(Timestamp, GeminiFailure)>,
    /// Calls that were told as ended (given up, or aborted by a hub that lets them finish): their last lines may still come, and
    /// are not those of another call.
    #[serde(default)]
    told: Vec<Option<SessionHash>>,
    /// How the analysis that ends next ended.
    turn: Turn,
    /// The call that the latest line belonged to, so that the line's record can be linked to it.
    #[serde(skip)]
    touched: Option<RecordUid>,
}

/// Where and when a line was, and what it says beside its text.
#[derive(Debug, Clone, Copy)]
pub struct LineContext<'a> {
    /// The line's record.
    pub uid: RecordUid,
    /// When it was written, as well as that is known.
    pub at: Timestamp,
    /// The session it names.
    pub session: Option<SessionHash>,
    /// The object beside its text.
    pub data: Option<&'a str>,
}

impl Calls {
    /// Takes a line in; gives back the calls that it ends.
    pub fn line(&mut self, meaning: Meaning<'_>, text: &str, line: LineContext<'_>) -> Vec<EndedCall> {
        self.touched = None;
        match meaning {
            Meaning::CallEntered => return self.enter(text, line),
            Meaning::CallSucceeded => return self.end(text, line, false).into_iter().collect(),
            Meaning::CallErred => return self.end(text, line, true).into_iter().collect(),
            Meaning::HubStopping { .. } => return self.stopping(line.at),
            Meaning::HubStarting => return self.abort(line.at),
            _ => self.advance(meaning, text, line),
        }
        Vec::new()
    }

    /// The record that began the call of the latest line, if that line belonged to one.
    pub fn touched(&self) -> Option<RecordUid> {
        self.touched
    }

    /// Gives up the calls that nobody ended in time.
    pub fn give_up(&mut self, now: Timestamp) -> Vec<EndedCall> {
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
                _ => call.ended(now, CallOutcome::Lost, in_flight),
            })
            .collect()
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
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

    fn advance(&mut self, meaning: Meaning<'_>, text: &str, line: LineContext<'_>) {
        match meaning {
            Meaning::GeminiFailed(failure) => self.round_failed(text, failure, line.at),
            Meaning::GeminiRecovered => self.turn = Turn::Recovered,
            Meaning::GeminiFallback => self.turn = Turn::Fallback,
            Meaning::GeminiDone => self.analysed(text, line),
            _ => {
                let Some(call) = self.pick(meaning, line).and_then(|index| self.in_flight.get_mut(index)) else { return };
                call.note(text, line.at);
                call.learn(meaning, line.data);
                match meaning {
                    Meaning::GeminiAsked => {
                        call.stage = Stage::AskingGemini;
                        call.gemini_asked = Some(line.at);
                    }
                    Meaning::CallNotified(notification) => call.notification = Some(notification),
                    Meaning::CallRefused => call.stage = Stage::Refused,
                    _ => {}
                }
                self.touched = Some(call.began);
            }
        }
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
        call.gemini_done = Some(line.at);
        call.fallback = turn == Turn::Fallback;
        call.recovered = turn == Turn::Recovered;
        call.failed(&rounds);
        self.touched = Some(call.began);
        if self.asking(None).is_empty() {
            self.rounds.clear();
        }
    }

    /// The analysis of a call ended that nobody saw begin.
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
        call.gemini_done = Some(line.at);
        call.fallback = turn == Turn::Fallback;
        call.recovered = turn == Turn::Recovered;
        self.in_flight.push(call);
        self.touched = Some(line.uid);
    }

    /// A call was told as ended before its last line came.
    fn is_told(&mut self, session: Option<SessionHash>) {
        if self.told.len() >= MAX_IN_FLIGHT {
            self.told.remove(0);
        }
        self.told.push(session);
    }

    /// The call among those told as ended that a line may be about.
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

    /// The call that a line belongs to. These lines follow their predecessor in the same turn of the hub's event loop: of the calls at
    /// the right stage the latest one is meant.
    fn pick(&self, meaning: Meaning<'_>, line: LineContext<'_>) -> Option<usize> {
        let of_session = |call: &Call| line.session.is_none() || call.session == line.session;
        let mut calls = self.in_flight.iter().enumerate().filter(|(_, call)| of_session(call));
        match meaning {
            Meaning::GeminiAsked | Meaning::CallRefused => {
                calls.rfind(|(_, call)| call.stage == Stage::Entered).map(|(index, _)| index)
            }
            // Without a session the beginning of a session can't be told from a call's step.
            Meaning::ExposureUpdated if line.session.is_none() => None,
            Meaning::CallUpdating
            | Meaning::CallUpdated
            | Meaning::CallNotified(_)
            | Meaning::ExposureUpdated
            | Meaning::NoCategories => {
                let done = calls.filter(|(_, call)| call.stage == Stage::GeminiDone);
                done.max_by_key(|(_, call)| call.gemini_done).map(|(index, _)| index)
            }
            _ => None,
        }
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
        Some(call.ended(line.at, outcome, in_flight))
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
        // An error can end a call at any stage: the oldest is meant, for all that the line tells.
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
    pub fn abort(&mut self, at: Timestamp) -> Vec<EndedCall> {
        self.told.clear();
        self.stray_rounds.clear();
        let in_flight = self.in_flight.len();
        self.blame_rounds();
        self.turn = Turn::AtOnce;
        self.in_flight.drain(..).map(|call| call.ended(at, CallOutcome::Aborted, in_flight)).collect()
    }

    /// The hub's process had ended at `at`, as became known later: what began until then never ended. What began since goes on.
    pub fn abort_begun_by(&mut self, at: Timestamp) -> Vec<EndedCall> {
        if self.in_flight.iter().all(|call| call.started <= at) {
            return self.abort(at);
        }
        let in_flight = self.in_flight.len();
        let (gone, kept) = std::mem::take(&mut self.in_flight).into_iter().partition(|call| call.started <= at);
        self.in_flight = kept;
        let gone: Vec<Call> = gone;
        gone.into_iter().map(|call| call.ended(at, CallOutcome::Aborted, in_flight)).collect()
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

impl Call {
    /// A call has a dozen steps; more would be garbage.
    const MAX_EVENTS: usize = 64;

    /// A call that this line shows first.
    fn begun(line: LineContext<'_>, stage: Stage) -> Self {
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

    fn note(&mut self, text: &str, at: Timestamp) {
        if self.events.len() < Self::MAX_EVENTS {
            self.events.push(StageEvent { at, name: Text::new(text) });
        }
    }

    /// Takes what the line says beside its text.
    fn learn(&mut self, meaning: Meaning<'_>, data: Option<&str>) {
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
            _ => {}
        }
    }

    fn categories_known(&self) -> Option<bool> {
        let (found, valid) = (self.categories.as_ref()?, self.valid.as_ref()?);
        Some(found.iter().all(|category| valid.contains(category)))
    }

    fn failed(&mut self, rounds: &[(Timestamp, GeminiFailure)]) {
        self.failed_rounds = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
        self.failure = rounds.last().map(|(_, failure)| *failure);
    }

    fn gemini(&self) -> GeminiOutcome {
        match (self.gemini_asked, self.gemini_done) {
            (None, None) if self.partial && self.stage != Stage::Refused => GeminiOutcome::Unseen,
            (None, None) => GeminiOutcome::NotAsked,
            (Some(_), None) => GeminiOutcome::Unfinished,
            (_, Some(_)) if self.fallback => GeminiOutcome::Failed,
            (_, Some(_)) if self.recovered => GeminiOutcome::Recovered,
            (_, Some(_)) => GeminiOutcome::Ok,
        }
    }

    fn ended(self, at: Timestamp, outcome: CallOutcome, in_flight: usize) -> EndedCall {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::watch::WatcherId;

    const STEPS: [Meaning<'static>; 4] = [Meaning::CallEntered, Meaning::GeminiAsked, Meaning::GeminiDone, Meaning::CallSucceeded];

    fn context(at: u64, offset: u64, session: Option<usize>) -> LineContext<'static> {
        let session = session.map(|session| SessionHash::of(&session.to_string(), &[0; 32]));
        let uid = RecordUid::of_line(WatcherId::from_seed(b"test"), "log", 0, offset);
        LineContext { uid, at: Timestamp::new(at), session, data: None }
    }

    /// Plays the calls' steps in the order given (each entry is the call whose next step happens); returns the ended calls and
    /// the true sum of durations.
    fn play(order: &[usize], calls: usize, sessions: bool) -> (Vec<EndedCall>, u64) {
        let mut machine = Calls::default();
        let mut next = vec![0; calls];
        let mut started = vec![0; calls];
        let (mut ended, mut sum) = (Vec::new(), 0);
        for (index, &call) in order.iter().enumerate() {
            let at = 1_000 * (index as u64 + 1);
            let step = STEPS[next[call]];
            next[call] += 1;
            match step {
                Meaning::CallEntered => started[call] = at,
                Meaning::CallSucceeded => sum += at - started[call],
                _ => {}
            }
            ended.extend(machine.line(step, "step", context(at, index as u64, sessions.then_some(call))));
        }
        assert_eq!(machine.in_flight(), 0);
        (ended, sum)
    }

    /// How long a call took whose beginning was seen.
    fn taken(call: &EndedCall) -> u64 {
        call.fact.duration.unwrap().get()
    }

    fn interleavings() -> impl Strategy<Value = (usize, Vec<usize>)> {
        (1..8usize).prop_flat_map(|calls| {
            let steps: Vec<usize> = (0..calls).flat_map(|call| [call; 4]).collect();
            (Just(calls), Just(steps).prop_shuffle())
        })
    }

    proptest! {
        #[test]
        fn for_any_interleaving_the_number_of_calls_and_the_sum_of_durations_are_right((calls, order) in interleavings()) {
            let (ended, sum) = play(&order, calls, false);
            prop_assert_eq!(ended.len(), calls);
            prop_assert_eq!(ended.iter().map(taken).sum::<u64>(), sum);
        }

        #[test]
        fn with_sessions_every_call_is_exact((calls, order) in interleavings()) {
            let (ended, sum) = play(&order, calls, true);
            prop_assert_eq!(ended.iter().map(taken).sum::<u64>(), sum);
            prop_assert!(ended.iter().all(|call| call.fact.pairing == Pairing::Exact));
        }
    }

    #[test]
    fn a_call_that_nobody_ends_is_lost_after_a_while() {
        let mut calls = Calls::default();
        calls.line(Meaning::CallEntered, "entry", context(0, 0, None));
        assert!(calls.give_up(Timestamp::new(LOST_AFTER.get() - 1)).is_empty());
        let lost = calls.give_up(Timestamp::new(LOST_AFTER.get()));
        assert_eq!(lost[0].fact.outcome, CallOutcome::Lost);
    }

    #[test]
    fn calls_in_flight_are_aborted_when_the_hub_stops() {
        let mut calls = Calls::default();
        calls.line(Meaning::CallEntered, "entry", context(0, 0, None));
        let ended = calls.line(Meaning::HubStopping { signal: "SIGTERM" }, "stop", context(9, 1, None));
        assert_eq!(ended[0].fact.outcome, CallOutcome::Aborted);
    }

    /// Plays these lines, one a second; gives the calls that ended.
    fn say(machine: &mut Calls, lines: &[(Meaning<'static>, Option<usize>)]) -> Vec<EndedCall> {
        let line = |(index, (meaning, session)): (usize, &(Meaning<'static>, Option<usize>))| {
            machine.line(*meaning, "line", context(1_000_000 * (index as u64 + 1), index as u64, *session))
        };
        lines.iter().enumerate().flat_map(line).collect()
    }

    #[test]
    fn a_call_whose_beginning_was_missed_is_counted_without_a_duration_and_with_what_was_seen_of_it() {
        let failed = Meaning::GeminiFailed(GeminiFailure::RateLimited);
        let lines = [
            (failed, None),
            (failed, None),
            (failed, None),
            (Meaning::GeminiFallback, None),
            (Meaning::GeminiDone, Some(1)),
            (Meaning::CallSucceeded, Some(1)),
            (Meaning::CallErred, Some(2)),
        ];
        let ended = say(&mut Calls::default(), &lines);
        let [fallen_back, erred] = ended.as_slice() else { panic!("{ended:?}") };
        assert!(ended.iter().all(|call| (call.fact.duration, call.fact.pairing) == (None, Pairing::Partial)));
        assert_eq!((fallen_back.fact.outcome, fallen_back.fact.gemini), (CallOutcome::Fallback, GeminiOutcome::Failed));
        assert_eq!((fallen_back.fact.gemini_failed_rounds, fallen_back.fact.gemini_duration), (3, None));
        assert_eq!((erred.fact.outcome, erred.fact.gemini), (CallOutcome::Error, GeminiOutcome::Unseen));
    }

    #[test]
    fn the_last_lines_of_a_call_that_was_told_as_aborted_are_no_other_call_but_those_of_the_next_process_are() {
        for sessions in [[Some(1); 2], [None; 2]] {
            let mut machine = Calls::default();
            let stop = Meaning::HubStopping { signal: "SIGTERM" };
            let lines = [
                (Meaning::CallEntered, sessions[0]),
                (Meaning::GeminiAsked, sessions[0]),
                (stop, None),
                (Meaning::GeminiDone, sessions[1]),
                (Meaning::CallSucceeded, sessions[1]),
            ];
            let ended = say(&mut machine, &lines);
            assert_eq!(ended.iter().map(|call| call.fact.outcome).collect::<Vec<_>>(), [CallOutcome::Aborted], "{sessions:?}");
            let lines = [(Meaning::CallEntered, None), (stop, None), (Meaning::HubStarting, None), (Meaning::CallSucceeded, None)];
            let outcomes: Vec<_> = say(&mut machine, &lines).iter().map(|call| call.fact.outcome).collect();
            assert_eq!(outcomes, [CallOutcome::Aborted, CallOutcome::Ok], "{sessions:?}");
        }
    }

    proptest! {
        #[test]
        fn wherever_the_view_begins_each_end_is_one_call_and_only_whole_ones_have_a_duration(
            (calls, order) in interleavings(), skipped in 0..28usize,
        ) {
            let (mut machine, mut next) = (Calls::default(), vec![0; calls]);
            let (mut whole, mut ends, mut ended) = (vec![false; calls], 0, Vec::new());
            for (index, &call) in order.iter().enumerate() {
                let step = STEPS[next[call]];
                next[call] += 1;
                if index < skipped {
                    continue;
                }
                whole[call] |= step == Meaning::CallEntered;
                ends += usize::from(step == Meaning::CallSucceeded);
                ended.extend(machine.line(step, "step", context(1_000 * (index as u64 + 1), index as u64, Some(call))));
            }
            prop_assert_eq!(ended.len(), ends);
            let seen_whole = whole.iter().filter(|whole| **whole).count();
            prop_assert_eq!(ended.iter().filter(|call| call.fact.duration.is_some()).count(), seen_whole);
            prop_assert_eq!(machine.in_flight(), 0);
        }
    }
}
