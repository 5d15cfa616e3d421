//! Measures of calls of ordinary tools, which instrumentation of the hub shows.

use super::valued;
use crate::judge::exact::Exact;
use crate::judge::history::{Basis, History, ToolCallHistory};
use crate::judge::measure::{Advice, Dated, Events, Kind, Measure, Measured, Row, Sentence, Unit, WhenPlanned, Worst, measures};

/// How to see calls of tools.
const NOT_INSTRUMENTED: &str = "ordinary tool calls leave no line in the hub's log, and no instrumentation told of them: start the hub with \
     `hubwatch instrument node`, and `hubwatch run` with --receive";

/// How to make calls.
const TOOL_CALLS: &str = "These checks need traffic: let a client call tools of the hub during the period.";

/// What to do about calls that fail or are slow.
const LOOK_AT_TOOLS: &str = "Look at the tools and the traces of their failed and slowest calls (section 5).";

measures! {
    /// Failed calls of ordinary tools (`mcphub.tool.outcome` is `tool_error`, `error` or `no_answer`), for a thousand. Calls of the
    /// meta-tool, calls whose client left before the answer (`client_closed`) and injected ones are left out. A fact
    /// `mcphub.tool.calls_counted` of which any part touches a planned disturbance is left out whole. Samples: the calls.
    TOOLS_FAILED_SHARE: Row {
        word: "tools.failed_share",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Instrumentation,
        needs: None,
        title: "failed tool calls",
        label: "failed tool calls {}",
        sentence: Sentence::Plain("{} of tool calls failed"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(LOOK_AT_TOOLS),
        traffic: TOOL_CALLS,
        measured: |history, _| judged(history, |calls| Exact::permille(calls.failed, calls.judged)),
    }

    /// The mean duration of the calls of `tools.failed_share` (µs), failed ones included.
    TOOLS_MEAN: Row {
        word: "tools.mean",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Instrumentation,
        needs: None,
        title: "tool call duration, average",
        label: "average {}",
        sentence: Sentence::Plain("Tool calls took {} on average"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(LOOK_AT_TOOLS),
        traffic: TOOL_CALLS,
        measured: |history, _| judged(history, ToolCallHistory::mean),
    }

    /// The duration that 95 of 100 of the calls of `tools.failed_share` keep to (µs), by nearest rank: the end of its bucket
    /// (docs/telemetry.md), at most an eighth above it, and not above the longest.
    TOOLS_P95: Row {
        word: "tools.p95",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Instrumentation,
        needs: None,
        title: "tool call duration, p95",
        label: "p95 {}",
        sentence: Sentence::Plain("Tool calls took {} at p95"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(LOOK_AT_TOOLS),
        traffic: TOOL_CALLS,
        measured: |history, _| judged(history, |calls| calls.p95_us.map(Exact::whole)),
    }
}

/// What is measured on the judged calls.
fn judged(history: &History, of: impl Fn(&ToolCallHistory) -> Option<Exact>) -> Measured {
    let calls = &history.tool_calls;
    match calls.judged {
        0 if history.coverage.sources.instrumentation_us == 0 => Measured::NotVisible(NOT_INSTRUMENTED.to_owned()),
        0 => Measured::NotExercised("no tool call was made".to_owned()),
        1.. => valued(of(calls), calls.judged, NOT_INSTRUMENTED),
    }
}
