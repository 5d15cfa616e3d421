//! What instrumentation in the hub's process tells: facts at the end of each interval, and the exact times of meta-tool calls.
//!
//! A meta-tool call that the log and a span both show is one fact. The log of some hubs doesn't say which end belongs to which
//! beginning; the span does. So the fact of such a call waits a moment for its span, which corrects it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hub::facts::{Evidence, PendingFact};
use crate::hub::interpret::Interpreter;
use crate::hub::observations::{AttemptKey, MetaCall, Observations, ToolKey};
use crate::watch::{
    CallEnded, CallFact, CallOutcome, Count, FactKind, GeminiOutcome, LlmAttemptsCounted, Micros, Pairing, Source, Timestamp,
    ToolCallsCounted, ToolOutcome, Visibility, When,
};

/// Instrumentation tells of itself each 10 s; three times in a row nothing may get lost.
const TELLS_WITHIN: Micros = Micros::new(35_000_000);

/// A span arrives within half a second of its end, the commits on both sides included; this leaves room for a busy machine.
const SPAN_WITHIN: Micros = Micros::new(3_000_000);

/// The log's last line of a call is written in the same turn of the hub's event loop in which it is answered. This leaves room for
/// lines that are dated by the second line of a busy hub.
const SAME_END: u64 = 250_000;

/// A span whose call the log has not shown by then is of a call that it does not show.
const LOG_WITHIN: Micros = Micros::new(120_000_000);

/// What is known of the instrumentation.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(in crate::hub) struct Instrumented {
    /// What was told since the last harvest.
    told: Observations,
    /// When it last told anything.
    heard: Option<Timestamp>,
    /// Spans that were lost, by process, as far as that has been said.
    lost: BTreeMap<u32, u64>,
    /// Calls of the meta-tool that the log has not shown yet.
    waiting: Vec<MetaCall>,
    /// Whether anything can be received.
    #[serde(skip)]
    listens: bool,
}

impl Instrumented {
    fn is_heard(&self, now: Timestamp) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) <= TELLS_WITHIN)
    }

    /// Returns how well it could be read, and forgets what is said by that.
    fn visibility(&mut self, lost: BTreeMap<u32, u64>, now: Timestamp) -> Option<Visibility> {
        let more = lost.iter().any(|(pid, lost)| *lost > self.lost.get(pid).copied().unwrap_or(0));
        if !lost.is_empty() {
            self.lost = lost;
        }
        match (self.listens || self.heard.is_some(), self.is_heard(now), more) {
            (false, _, _) => None,
            (true, false, _) => Some(Visibility::Missing),
            (true, true, true) => Some(Visibility::Partial),
            (true, true, false) => Some(Visibility::Read),
        }
    }

    /// Takes the span of a call that ended about then, the nearest one.
    fn span_of(&mut self, call: &CallEnded, ended: Timestamp) -> Option<MetaCall> {
        let fits = |span: &MetaCall| span.session.is_none() || call.session.is_none() || span.session == call.session;
        let near =
            self.waiting.iter().enumerate().filter(|(_, span)| fits(span) && span.ended.get().abs_diff(ended.get()) <= SAME_END);
        let nearest = near.min_by_key(|(_, span)| span.ended.get().abs_diff(ended.get())).map(|(place, _)| place)?;
        Some(self.waiting.swap_remove(nearest))
    }
}

impl Interpreter {
    /// Says that instrumentation could tell of itself: a receiver runs.
    pub fn listens(&mut self) {
        self.instrumented.listens = true;
    }

    /// What instrumentation told, received at this time.
    pub fn observed(&mut self, told: Observations, now: Timestamp) {
        if told.is_alive || !told.tools.is_empty() || !told.attempts.is_empty() {
            self.instrumented.heard = Some(self.clocks.steady(now));
        }
        self.instrumented.told.merge(told);
    }

    /// Turns what was told since the last harvest into facts. Returns how well the instrumentation could be read, and of each fact
    /// whether it waits for its span until the next harvest.
    pub(in crate::hub) fn instrumentation_goes_out(&mut self, now: Timestamp) -> (Option<Visibility>, Vec<bool>) {
        let Observations { tools, attempts, tool_calls, llm_attempts, meta_calls, checks: _, is_alive: _, lost } =
            std::mem::take(&mut self.instrumented.told);
        let visibility = self.instrumented.visibility(lost, now);
        let at = |interpreter: &Self, when: Option<When>| {
            let by_us = |at| interpreter.clocks.ours(at).min(now);
            when.map_or(When::At(now), |when| When::between(by_us(when.earliest()), by_us(when.latest())))
        };
        for (ToolKey { cell: _, server, tool, outcome, injected }, tally) in tools {
            let when = at(self, tally.when());
            let (count, sum, max) = (Count::new(tally.count), Micros::new(tally.sum), Micros::new(tally.max));
            let durations = tally.durations;
            self.told_by_spans(when, ToolCallsCounted { server, tool, outcome, injected, count, sum, max, durations });
        }
        for (AttemptKey { cell: _, provider, model, outcome, injected }, tally) in attempts {
            let when = at(self, tally.timed.when());
            let timed = tally.timed;
            let counted = LlmAttemptsCounted {
                provider,
                model,
                outcome,
                injected,
                count: Count::new(timed.count),
                retries: Count::new(tally.retries),
                sum: Micros::new(timed.sum),
                max: Micros::new(timed.max),
                durations: timed.durations,
                with_tokens: Count::new(tally.with_tokens),
                input_tokens: Count::new(tally.input_tokens),
                output_tokens: Count::new(tally.output_tokens),
                reasoning_tokens: Count::new(tally.reasoning_tokens),
                input_sizes: (tally.input_sizes.count() > 0).then_some(tally.input_sizes),
                output_sizes: (tally.output_sizes.count() > 0).then_some(tally.output_sizes),
            };
            self.told_by_spans(when, counted);
        }
        for mut call in tool_calls.failed.into_iter().chain(tool_calls.slowest) {
            let when = at(self, Some(When::At(call.started.plus(call.duration))));
            call.started = self.clocks.ours(call.started).min(now);
            self.told_by_spans(when, call);
        }
        for mut attempt in llm_attempts.failed.into_iter().chain(llm_attempts.slowest) {
            let when = at(self, Some(When::At(attempt.started.plus(attempt.duration))));
            attempt.started = self.clocks.ours(attempt.started).min(now);
            self.told_by_spans(when, attempt);
        }
        (visibility, self.pair(meta_calls, now))
    }

    fn told_by_spans(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Instrumentation, kind: kind.into() });
    }

    /// Corrects the calls of this interval by their spans. Returns of each fact whether it still waits for its own.
    fn pair(&mut self, spans: Vec<MetaCall>, now: Timestamp) -> Vec<bool> {
        let instrumented = &mut self.instrumented;
        let by_us = |at| self.clocks.ours(at);
        let retimed = spans.into_iter().map(|span| MetaCall { started: by_us(span.started), ended: by_us(span.ended), ..span });
        instrumented.waiting.extend(retimed);
        let mut waits = vec![false; self.facts.len()];
        for (fact, waits) in self.facts.iter_mut().zip(&mut waits) {
            let (FactKind::Call(CallFact::CallEnded(call)), Evidence::Line(..)) = (&mut fact.kind, fact.evidence) else { continue };
            let ended = fact.when.latest();
            match instrumented.span_of(call, ended) {
                Some(span) => correct(call, &span),
                None => *waits = instrumented.is_heard(now) && now.since(ended) < SPAN_WITHIN,
            }
        }
        let (waiting, late) =
            std::mem::take(&mut instrumented.waiting).into_iter().partition(|span| now.since(span.ended) < LOG_WITHIN);
        instrumented.waiting = waiting;
        self.shown_by_spans_alone(late);
        waits.resize(self.facts.len(), false);
        waits
    }

    /// Tells of calls that only their spans show, unless the log shows calls: then it lost them, or they are of another hub.
    fn shown_by_spans_alone(&mut self, mut spans: Vec<MetaCall>) {
        match if self.joined { Some(true) } else { self.log_shows_checkpoints() } {
            Some(true) => return,
            Some(false) => spans.append(&mut self.instrumented.waiting),
            None => {}
        }
        for span in spans {
            self.told_by_spans(When::At(span.ended), alone(&span));
        }
    }
}

/// A call of which nothing but its span is known.
fn alone(span: &MetaCall) -> CallEnded {
    CallEnded {
        started: span.started,
        duration: Some(span.ended.since(span.started)),
        outcome: match span.outcome {
            ToolOutcome::Ok => CallOutcome::Ok,
            ToolOutcome::ToolError | ToolOutcome::Error => CallOutcome::Error,
            ToolOutcome::ClientClosed | ToolOutcome::NoAnswer => CallOutcome::Aborted,
        },
        pairing: Pairing::Exact,
        in_flight: 1,
        gemini: GeminiOutcome::Unseen,
        gemini_duration: None,
        gemini_failed_rounds: 0,
        gemini_failure: None,
        notification: None,
        session: span.session,
        trace: span.trace,
        categories: None,
        categories_known: None,
        categories_added: None,
        confidence: None,
        response_complete: None,
    }
}

/// A span shows when the call really began and which session's it was.
fn correct(call: &mut CallEnded, span: &MetaCall) {
    call.session = call.session.or(span.session);
    if call.pairing == Pairing::Exact && call.duration.is_some() {
        return;
    }
    let duration = span.ended.since(span.started);
    (call.started, call.duration, call.pairing) = (span.started, Some(duration), Pairing::Exact);
    // What was taken for its Gemini part may be that of another call.
    call.gemini_duration = call.gemini_duration.filter(|gemini| *gemini <= duration);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::sources::merge::LineSource;
    use crate::hub::sources::raw::RawLine;
    use crate::watch::{RecordUid, SessionHash, TraceId, WatcherId};

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000 + millis)
    }

    /// A pino line of the meta-tool, which has no session.
    fn line(interpreter: &mut Interpreter, text: &str, millis: u64) {
        let time = jiff::Timestamp::from_millisecond(i64::try_from(1_795_000_000_000 + millis).unwrap()).unwrap();
        let text = format!(r#"{{"level":"info","time":"{time:.3}","pid":7,"msg":"{text}"}}"#);
        let uid = RecordUid::of_line(WatcherId::from_seed(b"test"), "log", 0, millis);
        let (read, size) = (at(millis), text.len() as u64);
        interpreter.line(RawLine {
            source: LineSource::Log,
            text: &text,
            uid,
            size,
            stamped: None,
            read,
            earliest: read,
            historic: false,
        });
    }

    fn span(started: u64, ended: u64, session: u8) -> MetaCall {
        let session = Some(SessionHash::of(&session.to_string(), &[0; 32]));
        MetaCall {
            started: at(started),
            ended: at(ended),
            session,
            outcome: ToolOutcome::Ok,
            trace: TraceId::from_slice(&[7; 16]).unwrap(),
        }
    }

    fn told(spans: Vec<MetaCall>) -> Observations {
        Observations { meta_calls: spans, is_alive: true, ..Observations::default() }
    }

    fn calls(facts: &[PendingFact]) -> Vec<(u64, Option<u64>, Pairing)> {
        let call = |fact: &PendingFact| match &fact.kind {
            FactKind::Call(CallFact::CallEnded(call)) => {
                Some((call.started.since(at(0)).get() / 1_000, call.duration.map(|took| took.get() / 1_000), call.pairing))
            }
            _ => None,
        };
        facts.iter().filter_map(call).collect()
    }

    const STEPS: [&str; 3] = [
        "CHECKPOINT 1: handleAnalyzePrompt entry",
        "CHECKPOINT 2: Calling analyzePromptWithFallback",
        "CHECKPOINT 3: LLM analysis complete",
    ];

    /// Two calls that overlap, of which the one that began first ends last.
    fn overlapping() -> Interpreter {
        let mut interpreter = Interpreter::new([0; 32]);
        interpreter.lines_alone();
        for (text, millis) in [(STEPS[0], 0), (STEPS[1], 1), (STEPS[0], 100), (STEPS[1], 101), (STEPS[2], 1_000)] {
            line(&mut interpreter, text, millis);
        }
        line(&mut interpreter, "CHECKPOINT 6: Returning success response", 1_001);
        line(&mut interpreter, STEPS[2], 2_000);
        line(&mut interpreter, "CHECKPOINT 6: Returning success response", 2_001);
        interpreter
    }

    #[test]
    fn a_span_shows_which_end_of_overlapping_calls_belongs_to_which_beginning() {
        let mut interpreter = overlapping();
        interpreter.observed(told(vec![span(0, 2_002, 1), span(100, 1_002, 2)]), at(2_500));
        let harvest = interpreter.harvest(at(9_000));
        assert_eq!(calls(&harvest.facts), [(100, Some(902), Pairing::Exact), (0, Some(2_002), Pairing::Exact)]);
    }

    #[test]
    fn a_call_waits_for_its_span_a_moment_and_not_without_instrumentation() {
        let mut without = overlapping();
        assert_eq!(calls(&without.harvest(at(2_100)).facts).len(), 2);
        let mut interpreter = overlapping();
        interpreter.observed(told(vec![span(100, 1_002, 2)]), at(2_050));
        assert_eq!(calls(&interpreter.harvest(at(2_100)).facts), [(100, Some(902), Pairing::Exact)]);
        interpreter.observed(told(vec![span(0, 2_002, 1)]), at(2_300));
        assert_eq!(calls(&interpreter.harvest(at(2_400)).facts), [(0, Some(2_002), Pairing::Exact)]);
        assert!(calls(&interpreter.harvest(at(9_000)).facts).is_empty(), "each is told once");
    }

    #[test]
    fn a_call_that_no_log_shows_is_told_by_its_span() {
        let mut interpreter = Interpreter::new([0; 32]);
        let uid = RecordUid::of_line(WatcherId::from_seed(b"test"), "log", 0, 0);
        let (read, text) = (at(0), "Starting MCP Hub...");
        let size = text.len() as u64;
        let raw = RawLine { source: LineSource::Log, text, uid, size, stamped: None, read, earliest: read, historic: false };
        interpreter.line(raw);
        interpreter.observed(told(vec![span(100, 1_002, 2)]), at(1_500));
        assert_eq!(calls(&interpreter.harvest(at(2_000)).facts), [(100, Some(902), Pairing::Exact)]);
    }

    #[test]
    fn instrumentation_is_missing_once_it_no_longer_tells_of_itself_and_partial_where_it_lost_something() {
        let mut interpreter = Interpreter::new([0; 32]);
        assert_eq!(interpreter.harvest(at(0)).instrumentation, None, "nothing can be received");
        interpreter.listens();
        assert_eq!(interpreter.harvest(at(1_000)).instrumentation, Some(Visibility::Missing));
        let lost = |count| Observations { is_alive: true, lost: BTreeMap::from([(7, count)]), ..Observations::default() };
        interpreter.observed(lost(0), at(2_000));
        assert_eq!(interpreter.harvest(at(3_000)).instrumentation, Some(Visibility::Read));
        interpreter.observed(lost(4), at(4_000));
        assert_eq!(interpreter.harvest(at(5_000)).instrumentation, Some(Visibility::Partial));
        interpreter.observed(lost(4), at(14_000));
        assert_eq!(interpreter.harvest(at(15_000)).instrumentation, Some(Visibility::Read));
        assert_eq!(interpreter.harvest(at(60_000)).instrumentation, Some(Visibility::Missing));
    }
}
