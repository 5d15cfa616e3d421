//! Measures of meta-tool calls and their Gemini part.

use super::{counted, valued};
use crate::judge::exact::Exact;
use crate::judge::features::Feature;
use crate::judge::history::{Basis, CallHistory, History, JudgedCalls};
use crate::judge::measure::{
    ANY_TRAFFIC, Advice, Dated, Events, Kind, Measure, Measured, Row, Sentence, Unit, WhenPlanned, Worst, measures,
};

/// What to do about slow calls.
const SLOW_CALLS: &str = "Look at the traces of the slowest meta-tool calls (section 5): the Gemini part is a separate span.";

/// What to do about failed calls.
const FAILED_CALLS: &str = "Look at the errors of the failed meta-tool calls (their traces are in the appendix).";

/// How to make calls.
const META_TOOL_CALLS: &str = "These checks need traffic: let a client call the meta-tool during the period.";

measures! {
    /// Failed Gemini rounds for a thousand calls that asked Gemini: they were seen whole and their `mcphub.call.gemini.outcome` is neither `not_asked` nor `unseen`. Rounds are those of these
    /// calls (`mcphub.call.gemini.failed_rounds`); rounds beyond these that facts `mcphub.gemini.round_failed` tell of belong to calls
    /// that were not seen to end, and count as a round and as a call each. Samples: the calls.
    GEMINI_FAILED_SHARE: Row {
        word: "gemini.failed_share",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Calls,
        needs: Some(Feature::Gemini),
        title: "failed Gemini rounds per call",
        label: "failed rounds per call {}",
        sentence: Sentence::Plain("Failed Gemini rounds: {} of calls"),
        dated: Dated::LastFailedRound,
        events: Events::FailedRounds,
        worst: Worst::None,
        advice: Advice::Gemini,
        traffic: META_TOOL_CALLS,
        measured: |history, _| failed_rounds(history),
    }

    /// Calls whose Gemini part failed (`failed`, or `unfinished` after a failed round) and whose outcome is not `fallback`, planned or
    /// not. Samples: the calls whose Gemini part failed.
    GEMINI_NOT_FALLEN_BACK: Row {
        word: "gemini.not_fallen_back",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Calls,
        needs: Some(Feature::Gemini),
        title: "calls without a fallback after Gemini failed",
        label: "calls without fallback {}",
        sentence: Sentence::Counted("{} call had no fallback after Gemini failed", "{} calls had no fallback after Gemini failed"),
        dated: Dated::Never,
        events: Events::FailedRounds,
        worst: Worst::None,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| seen_calls(history, not_fallen_back),
    }

    /// The mean duration of the Gemini part (µs), over the calls of `calls.mean` that have one.
    GEMINI_MEAN: Row {
        word: "gemini.mean",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Calls,
        needs: Some(Feature::Gemini),
        title: "Gemini part of a call, average",
        label: "average of the Gemini part {}",
        sentence: Sentence::Plain("The Gemini part of a call took {} on average"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::SlowestCalls,
        advice: Advice::Do(SLOW_CALLS),
        traffic: META_TOOL_CALLS,
        measured: |history, _| judged_calls(history, |_, judged| valued(judged.gemini_mean(), judged.gemini_timed, UNTIMED)),
    }

    /// Calls whose outcome is neither `ok` nor `fallback`, for a thousand. Samples: all calls.
    CALLS_FAILED_SHARE: Row {
        word: "calls.failed_share",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Calls,
        needs: Some(Feature::MetaTool),
        title: "failed meta-tool calls",
        label: "failed calls {}",
        sentence: Sentence::Plain("{} of meta-tool calls failed"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::FailedCalls,
        advice: Advice::Do(FAILED_CALLS),
        traffic: META_TOOL_CALLS,
        measured: |history, _| {
            judged_calls(history, |_, judged| valued(Exact::permille(judged.failed, judged.total), judged.total, ""))
        },
    }

    /// Calls whose response lacked a part (`mcphub.call.response.complete` is false) or named an unknown category (`mcphub.call.categories.known` is false), for
    /// a thousand calls of which either is known. Samples: the latter.
    CALLS_INVALID: Row {
        word: "calls.invalid",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Calls,
        needs: Some(Feature::MetaTool),
        title: "invalid meta-tool responses",
        label: "invalid responses {}",
        sentence: Sentence::Plain("{} of meta-tool responses were invalid"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(FAILED_CALLS),
        traffic: META_TOOL_CALLS,
        measured: |history, _| judged_calls(history, |_, judged| {
            let share = Exact::permille(judged.responses_invalid, judged.responses_seen);
            valued(share, judged.responses_seen, "no source showed whole responses")
        }),
    }

    /// Calls whose client could not be told that its tools changed (`mcphub.call.notification` is `failed`).
    CALLS_NOTIFICATIONS_FAILED: Row {
        word: "calls.notifications_failed",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Calls,
        needs: Some(Feature::MetaTool),
        title: "clients that were not notified of new tools",
        label: "failed notifications {}",
        sentence: Sentence::Counted(
            "{} client notification of changed tools failed",
            "{} client notifications of changed tools failed",
        ),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(FAILED_CALLS),
        traffic: META_TOOL_CALLS,
        measured: |history, _| judged_calls(history, |_, judged| counted(judged.notifications_failed, judged.total)),
    }

    /// The mean duration of calls (µs): those that ended as `ok`, `fallback` or `error` without a failed Gemini round and whose duration
    /// is known, guessed pairings included: what retries cost is Gemini's doing.
    CALLS_MEAN: Row {
        word: "calls.mean",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Calls,
        needs: Some(Feature::MetaTool),
        title: "meta-tool call duration, average",
        label: "average {}",
        sentence: Sentence::Plain("Meta-tool calls took {} on average"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::SlowestCalls,
        advice: Advice::Do(SLOW_CALLS),
        traffic: META_TOOL_CALLS,
        measured: |history, _| judged_calls(history, |_, judged| valued(judged.mean(), judged.timed, UNTIMED)),
    }

    /// The duration that 95 of 100 of the calls of `calls.mean` keep to (µs), by nearest rank.
    CALLS_P95: Row {
        word: "calls.p95",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Calls,
        needs: Some(Feature::MetaTool),
        title: "meta-tool call duration, p95",
        label: "p95 {}",
        sentence: Sentence::Plain("Meta-tool calls took {} at p95"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::SlowestCalls,
        advice: Advice::Do(SLOW_CALLS),
        traffic: META_TOOL_CALLS,
        measured: |history, _| judged_calls(history, |calls, judged| valued(calls.p95_us.map(Exact::whole), judged.timed, UNTIMED)),
    }

    /// The duration that 99 of 100 of the calls of `calls.mean` keep to (µs), by nearest rank.
    CALLS_P99: Row {
        word: "calls.p99",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Calls,
        needs: Some(Feature::MetaTool),
        title: "meta-tool call duration, p99",
        label: "p99 {}",
        sentence: Sentence::Plain("Meta-tool calls took {} at p99"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::SlowestCalls,
        advice: Advice::Do(SLOW_CALLS),
        traffic: META_TOOL_CALLS,
        measured: |history, _| judged_calls(history, |calls, judged| valued(calls.p99_us.map(Exact::whole), judged.timed, UNTIMED)),
    }
}

const UNTIMED: &str = "no call without a failed Gemini round was seen from beginning to end";

/// What is measured on calls, where their lines could be seen.
fn seen_calls(history: &History, of: impl Fn(&CallHistory) -> Measured) -> Measured {
    if history.calls.total == 0 && history.coverage.calls_visible == 0 {
        return Measured::NotVisible("no source showed meta-tool calls".to_owned());
    }
    of(&history.calls)
}

/// What is measured on the calls outside planned disturbances.
fn judged_calls(history: &History, of: fn(&CallHistory, &JudgedCalls) -> Measured) -> Measured {
    seen_calls(history, |calls| match calls.judged.total {
        0 => Measured::NotExercised("no meta-tool call was made".to_owned()),
        1.. => of(calls, &calls.judged),
    })
}

fn not_fallen_back(calls: &CallHistory) -> Measured {
    match calls.gemini_failed {
        0 => Measured::NotExercised(no_fallback_needed(calls)),
        failed => counted(calls.not_fallen_back(), failed),
    }
}

/// A failed round shows by itself that a call asked Gemini, also where the sources show no end of a call.
fn failed_rounds(history: &History) -> Measured {
    match history.calls.judged.failed_rounds() {
        (_, 0) => seen_calls(history, |_| Measured::NotExercised("no call asked Gemini".to_owned())),
        (failed, asked) => valued(Exact::permille(failed, asked), asked, ""),
    }
}

/// Why no call shows whether the hub falls back. Failed rounds may be there all the same.
fn no_fallback_needed(calls: &CallHistory) -> String {
    let (rounds, of_calls) = (calls.gemini_failed_rounds, calls.gemini_failed_rounds_of_calls);
    match rounds {
        0 => "Gemini never failed".to_owned(),
        1.. if of_calls == 0 => format!("{rounds} Gemini rounds failed, but the end of their calls was not seen"),
        1.. => format!("{rounds} Gemini rounds failed, but Gemini answered each of these calls after a retry"),
    }
}
