//! Measures of scenarios: how many of their steps failed.

use super::{ANY_STEPS, TWO_CLIENTS, counted};
use crate::judge::features::Feature;
use crate::judge::history::{Basis, History};
use crate::judge::measure::{Advice, Dated, Events, Kind, Measure, Measured, Row, Sentence, Unit, WhenPlanned, Worst, measures};

/// The rows differ in the scenario, in what a hub must have for it, and in how to have it run.
macro_rules! checks {
    ($($(#[doc = $line:literal])+ $name:ident: $word:literal of $scenario:literal, $needs:expr, $traffic:expr;)+) => {
        measures! {
            $($(#[doc = $line])+ $name: Row {
                word: $word,
                unit: Unit::Count,
                kind: Kind::Happened,
                when_planned: WhenPlanned::Counts,
                basis: Basis::Watch,
                needs: $needs,
                title: concat!("failed steps of scenario ", $scenario),
                label: concat!("failed steps of ", $scenario, " {}"),
                sentence: Sentence::Counted(
                    concat!("{} step of scenario ", $scenario, " failed"),
                    concat!("{} steps of scenario ", $scenario, " failed"),
                ),
                dated: Dated::FailedSteps($scenario),
                events: Events::FailedSteps($scenario),
                worst: Worst::None,
                advice: Advice::None,
                traffic: $traffic,
                measured: |history, _| checks(history, $scenario),
            })+
        }
    };
}

checks! {
    /// Steps of scenario `session_isolation` that failed, in all its runs. Samples: steps that held or failed. So it is for the other scenarios.
    CHECKS_SESSION_ISOLATION: "checks.session_isolation" of "session_isolation", Some(Feature::Sessions), TWO_CLIENTS;
    /// Steps of scenario `concurrent_sessions` that failed.
    CHECKS_CONCURRENT_SESSIONS: "checks.concurrent_sessions" of "concurrent_sessions", Some(Feature::Sessions), TWO_CLIENTS;
    /// Steps of scenario `session_cleanup` that failed.
    CHECKS_SESSION_CLEANUP: "checks.session_cleanup" of "session_cleanup", Some(Feature::Sessions), ANY_STEPS;
    /// Steps of scenario `sse_lost` that failed.
    CHECKS_SSE_LOST: "checks.sse_lost" of "sse_lost", None, ANY_STEPS;
    /// The same as `checks.sse_lost`, by its earlier name.
    CHECKS_SSE_DISCONNECT: "checks.sse_disconnect" of "sse_lost", None, ANY_STEPS;
    /// Steps of scenario `half_open` that failed.
    CHECKS_HALF_OPEN: "checks.half_open" of "half_open", None, ANY_STEPS;
    /// Steps of scenario `mid_call_leave` that failed.
    CHECKS_MID_CALL_LEAVE: "checks.mid_call_leave" of "mid_call_leave", Some(Feature::MetaTool), ANY_STEPS;
    /// Steps of scenario `meta_tool` that failed.
    CHECKS_META_TOOL: "checks.meta_tool" of "meta_tool", Some(Feature::MetaTool), ANY_STEPS;
    /// Steps of scenario `tools_usable` that failed.
    CHECKS_TOOLS_USABLE: "checks.tools_usable" of "tools_usable", None, ANY_STEPS;
    /// Steps of scenario `gemini_failure` that failed.
    CHECKS_GEMINI_FAILURE: "checks.gemini_failure" of "gemini_failure", Some(Feature::Gemini), ANY_STEPS;
    /// Steps of scenario `server_crash` that failed.
    CHECKS_SERVER_CRASH: "checks.server_crash" of "server_crash", None, ANY_STEPS;
    /// Steps of scenario `high_load` that failed.
    CHECKS_HIGH_LOAD: "checks.high_load" of "high_load", None, ANY_STEPS;
    /// Steps of scenario `log_growth` that failed.
    CHECKS_LOG_GROWTH: "checks.log_growth" of "log_growth", None, ANY_STEPS;
    /// Steps of scenario `log_disk_full` that failed.
    CHECKS_LOG_DISK_FULL: "checks.log_disk_full" of "log_disk_full", None, ANY_STEPS;
    /// Steps of scenario `soak` that failed.
    CHECKS_SOAK: "checks.soak" of "soak", None, ANY_STEPS;
}

/// What came of the steps of a scenario. Those that can't be seen, or can't exist on this hub, neither held nor failed. Where none failed
/// and the latest run has one that can't be seen, it can't be said that the scenario held: that one may be what it is for.
fn checks(history: &History, name: &str) -> Measured {
    let Some(scenario) = history.scenarios.of(name) else {
        return Measured::NotExercised(format!("scenario {name} was not run"));
    };
    if let (0, Some(why)) = (scenario.steps.failed, scenario.latest.unverified()) {
        return Measured::NotVerifiable(why);
    }
    match (scenario.steps.decided(), &scenario.not_verifiable, &scenario.not_applicable) {
        (decided @ 1.., _, _) => counted(scenario.steps.failed, decided),
        (0, Some(why), _) => Measured::NotVerifiable(why.clone()),
        (0, None, Some(why)) => Measured::NotApplicable(why.clone()),
        (0, None, None) => Measured::NotExercised(format!("scenario {name} ended before its first step")),
    }
}
