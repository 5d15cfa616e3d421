//! Measures of scenarios, and of what the degradation criteria came to.

use super::{SESSIONS_LEFT, TWO_CLIENTS, counted, valued};
use crate::judge::evaluate::{Ground, Judged};
use crate::judge::exact::Exact;
use crate::judge::features::Feature;
use crate::judge::history::{Basis, History, LoadHistory};
use crate::judge::measure::{
    ANY_TRAFFIC, Advice, Dated, Events, Kind, Measure, Measured, Names, Row, Sentence, Unit, WhenPlanned, Worst, measures,
};
use crate::judge::verdict::Verdict;

/// How to test the degradation scenarios.
const DISTURBANCES: &str = "Test the resilience scenarios between `hubwatch mark begin` and `hubwatch mark end`: make Gemini fail, kill a server's process, \
     disconnect a client, connect ten clients at once.";

measures! {
    /// The mean time of an answer of the API under high load (µs), planned or not: at polls with as many clients as `high_load_clients`; a
    /// poll that fails has as many as the one before.
    LOAD_API_MEAN: Row {
        word: "load.api_mean",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Api,
        needs: None,
        title: "API response time under high load, average",
        label: "average under load {}",
        sentence: Sentence::Plain("API responses under high load took {} on average"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Api,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| {
            under_load(history, |load| valued(load.mean(), load.answers(), "the hub never answered under load"))
        },
    }

    /// Requests to the API that failed at the same polls, for a thousand.
    LOAD_API_FAILED_SHARE: Row {
        word: "load.api_failed_share",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Api,
        needs: None,
        title: "failed API requests under high load",
        label: "failed under load {}",
        sentence: Sentence::Plain("{} of API requests failed under high load"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| under_load(history, |load| {
            valued(Exact::permille(load.failed, load.requests), load.requests, "no request was made under load")
        }),
    }

    /// Checks of scenario `session_isolation` that did not hold.
    CHECKS_SESSION_ISOLATION: Row {
        word: "checks.session_isolation",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Watch,
        needs: Some(Feature::Sessions),
        title: "failed checks of scenario session_isolation",
        label: "failed checks {}",
        sentence: Sentence::Counted(
            "{} check of scenario session_isolation failed",
            "{} checks of scenario session_isolation failed",
        ),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::None,
        traffic: TWO_CLIENTS,
        measured: |history, _| checks(history, "session_isolation"),
    }

    /// Checks of scenario `gemini_failure` that did not hold.
    CHECKS_GEMINI_FAILURE: Row {
        word: "checks.gemini_failure",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Watch,
        needs: Some(Feature::Gemini),
        title: "failed checks of scenario gemini_failure",
        label: "failed checks {}",
        sentence: Sentence::Counted("{} check of scenario gemini_failure failed", "{} checks of scenario gemini_failure failed"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| checks(history, "gemini_failure"),
    }

    /// Checks of scenario `server_crash` that did not hold.
    CHECKS_SERVER_CRASH: Row {
        word: "checks.server_crash",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Watch,
        needs: None,
        title: "failed checks of scenario server_crash",
        label: "failed checks {}",
        sentence: Sentence::Counted("{} check of scenario server_crash failed", "{} checks of scenario server_crash failed"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| checks(history, "server_crash"),
    }

    /// Checks of scenario `sse_disconnect` that did not hold.
    CHECKS_SSE_DISCONNECT: Row {
        word: "checks.sse_disconnect",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Watch,
        needs: Some(Feature::Sessions),
        title: "failed checks of scenario sse_disconnect",
        label: "failed checks {}",
        sentence: Sentence::Counted("{} check of scenario sse_disconnect failed", "{} checks of scenario sse_disconnect failed"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::Do(SESSIONS_LEFT),
        traffic: ANY_TRAFFIC,
        measured: |history, _| checks(history, "sse_disconnect"),
    }

    /// Checks of scenario `high_load` that did not hold.
    CHECKS_HIGH_LOAD: Row {
        word: "checks.high_load",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Watch,
        needs: None,
        title: "failed checks of scenario high_load",
        label: "failed checks {}",
        sentence: Sentence::Counted("{} check of scenario high_load failed", "{} checks of scenario high_load failed"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| checks(history, "high_load"),
    }

    /// Degradation criteria whose verdict is fail. Samples: those that were exercised.
    DEGRADATION_FAILED: Row {
        word: "degradation.failed",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Criteria,
        needs: None,
        title: "failed resilience scenarios",
        label: "failed {}",
        sentence: Sentence::CountedOf(
            Names::FailedScenarios,
            "{} resilience scenario failed: {names}",
            "{} resilience scenarios failed: {names}",
        ),
        dated: Dated::Never,
        events: Events::FailedScenarios,
        worst: Worst::None,
        advice: Advice::None,
        traffic: DISTURBANCES,
        measured: |_, all| degradation(all, |all| counted(all.failed, all.exercised)),
    }

    /// Degradation criteria that nothing exercised or that can't be seen. Samples: all of them.
    DEGRADATION_NOT_EXERCISED: Row {
        word: "degradation.not_exercised",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Criteria,
        needs: None,
        title: "resilience scenarios that were not tested",
        label: "not tested {}",
        sentence: Sentence::Counted("{} resilience scenario was not tested", "{} resilience scenarios were not tested"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::None,
        advice: Advice::None,
        traffic: DISTURBANCES,
        measured: |_, all| {
            degradation(all, |all| counted(all.not_exercised, all.exercised + all.not_exercised))
        },
    }
}

/// What the degradation criteria came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::judge) struct Degradations {
    exercised: u64,
    not_exercised: u64,
    failed: u64,
}

impl Degradations {
    pub(in crate::judge) fn of(judged: impl Iterator<Item = Judged>) -> Self {
        judged.fold(Self::default(), |so_far, judged| {
            // What can't be exercised on this hub, or is switched off, is not missed.
            if judged.verdict == Verdict::NotApplicable {
                return so_far;
            }
            let unseen = matches!(judged.ground, Ground::NotExercised | Ground::NotVisible);
            Self {
                exercised: so_far.exercised + u64::from(!unseen),
                not_exercised: so_far.not_exercised + u64::from(unseen),
                failed: so_far.failed + u64::from(judged.verdict == Verdict::Fail),
            }
        })
    }
}

fn under_load(history: &History, of: fn(&LoadHistory) -> Measured) -> Measured {
    match history.api.under_load.polls {
        0 => Measured::NotExercised("too few clients were connected at once".to_owned()),
        1.. => of(&history.api.under_load),
    }
}

/// What came of the checks of a scenario.
fn checks(history: &History, scenario: &str) -> Measured {
    match history.scenarios.get(scenario) {
        Some(checked) => {
            let failed = checked.failed.len() as u64;
            counted(failed, checked.held + failed)
        }
        None => Measured::NotExercised(format!("scenario {scenario} was not run")),
    }
}

fn degradation(all: &Degradations, of: fn(&Degradations) -> Measured) -> Measured {
    if all.exercised + all.not_exercised == 0 {
        return Measured::NotApplicable("every degradation criterion is switched off or does not apply to this hub".to_owned());
    }
    if all.exercised == 0 {
        return Measured::NotExercised("no degradation was exercised".to_owned());
    }
    of(all)
}
