//! Measures under high load, by the clients of scenarios, and of what the degradation criteria came to.

use super::{ANY_STEPS, counted, valued};
use crate::judge::evaluate::{Ground, Judged};
use crate::judge::exact::Exact;
use crate::judge::features::Feature;
use crate::judge::history::{Basis, History, LOAD, LoadHistory, UNDISTURBED};
use crate::judge::measure::{
    ANY_TRAFFIC, Advice, Dated, Events, Kind, Measure, Measured, Names, Row, Sentence, Unit, WhenPlanned, Worst, measures,
};
use crate::judge::verdict::Verdict;
use crate::watch::MeasuredByClient;

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

    /// The mean time that clients of scenarios waited for a meta-tool call (µs): of calls that did not fail, in scenarios that neither
    /// overload nor disturb the hub. These are `meta_tool`, `tools_usable`, `session_isolation`, `session_cleanup`, `concurrent_sessions`,
    /// `log_growth` and `soak`.
    CLIENT_CALLS_MEAN: Row {
        word: "client.calls_mean",
        needs: Some(Feature::MetaTool),
        title: "meta-tool calls as clients measured them, average",
        label: "average {} for clients",
        sentence: Sentence::Plain("clients of scenarios waited {} on average for a meta-tool call"),
        measured: |history, _| by_clients(history, MeasuredByClient::MetaToolCall, &UNDISTURBED),
        ..CLIENT
    }

    /// The mean time that clients of the same scenarios waited for the hub's REST API (µs): of requests that did not fail.
    CLIENT_API_MEAN: Row {
        word: "client.api_mean",
        title: "API requests as clients measured them, average",
        label: "average {} for clients",
        sentence: Sentence::Plain("clients of scenarios waited {} on average for the API"),
        measured: |history, _| by_clients(history, MeasuredByClient::ApiRequest, &UNDISTURBED),
        ..CLIENT
    }

    /// The mean time that the clients of scenario `high_load` waited for a meta-tool call (µs): of calls that did not fail.
    CLIENT_LOAD_CALLS_MEAN: Row {
        word: "client.load_calls_mean",
        needs: Some(Feature::MetaTool),
        title: "meta-tool calls under high load as clients measured them, average",
        label: "meta-tool average {} for clients",
        sentence: Sentence::Plain("clients waited {} on average for a meta-tool call under high load"),
        measured: |history, _| by_clients(history, MeasuredByClient::MetaToolCall, &LOAD),
        ..CLIENT
    }

    /// The mean time that scenario `high_load` waited for the hub's REST API (µs): of requests that did not fail.
    CLIENT_LOAD_API_MEAN: Row {
        word: "client.load_api_mean",
        title: "API requests under high load as clients measured them, average",
        label: "API average {} for clients",
        sentence: Sentence::Plain("clients waited {} on average for the API under high load"),
        measured: |history, _| by_clients(history, MeasuredByClient::ApiRequest, &LOAD),
        ..CLIENT
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
            let unseen = matches!(judged.ground, Ground::NotExercised | Ground::NotVisible | Ground::NotVerifiable);
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

/// What the rows of durations that clients measured have in common.
const CLIENT: Row = Row {
    word: "",
    definition: &[],
    unit: Unit::Micros,
    kind: Kind::Estimated,
    when_planned: WhenPlanned::Counts,
    basis: Basis::Watch,
    needs: None,
    title: "",
    label: "",
    sentence: Sentence::Plain(""),
    dated: Dated::Never,
    events: Events::None,
    worst: Worst::None,
    advice: Advice::None,
    traffic: ANY_STEPS,
    measured: |_, _| Measured::NotExercised(String::new()),
};

fn by_clients(history: &History, measured: MeasuredByClient, scenarios: &[&str]) -> Measured {
    match history.scenarios.mean(measured, scenarios) {
        (Some(value), samples) => Measured::Value { value, samples },
        (None, _) => Measured::NotExercised("no client of a scenario measured it".to_owned()),
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
