use proptest::prelude::*;

use super::*;
use crate::watch::{GeminiOutcome, Pairing, WatcherId, When};

const STEPS: [Meaning<'static>; 4] = [Meaning::CallEntered, Meaning::GeminiAsked, Meaning::GeminiDone, Meaning::CallSucceeded];

fn context(at: u64, offset: u64, session: Option<usize>) -> LineContext<'static> {
    let session = session.map(|session| SessionHash::of(&session.to_string(), &[0; 32]));
    let uid = RecordUid::of_line(WatcherId::from_seed(b"test"), "log", 0, offset);
    let at = Timestamp::new(at);
    LineContext { uid, at, stated: Some(Stated::new(at, When::At(at), at, at)), session, data: None }
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
