//! Measures of the hub's life and of its API.

use super::{NEVER_ANSWERED, happened, valued};
use crate::judge::exact::Exact;
use crate::judge::history::{Basis, History};
use crate::judge::measure::{
    ANY_TRAFFIC, Advice, Dated, Events, Kind, Measure, Measured, Row, Sentence, Unit, WhenPlanned, Worst, measures,
};

/// What to do about slow answers.
const EVENT_LOOP: &str = "Find out what blocks the hub's event loop: its API answers slowly.";

measures! {
    /// The mean time of an answer of the API (µs), over the requests that were answered as a hub answers.
    API_MEAN: Row {
        word: "api.mean",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Api,
        needs: None,
        title: "API response time, average",
        label: "average {}",
        sentence: Sentence::Plain("API responses took {} on average"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Api,
        advice: Advice::Do(EVENT_LOOP),
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_api(history, history.api.mean()),
    }

    /// The time that 95 of 100 of the same answers keep to (µs), by nearest rank.
    API_P95: Row {
        word: "api.p95",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Api,
        needs: None,
        title: "API response time, p95",
        label: "p95 {}",
        sentence: Sentence::Plain("API responses took {} at p95"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Api,
        advice: Advice::Do(EVENT_LOOP),
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_api(history, history.api.p95_us.map(Exact::whole)),
    }

    /// The time that 99 of 100 of the same answers keep to (µs), by nearest rank.
    API_P99: Row {
        word: "api.p99",
        unit: Unit::Micros,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Api,
        needs: None,
        title: "API response time, p99",
        label: "p99 {}",
        sentence: Sentence::Plain("API responses took {} at p99"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Api,
        advice: Advice::Do(EVENT_LOOP),
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_api(history, history.api.p99_us.map(Exact::whole)),
    }

    /// The longest of the same answers (µs).
    API_MAX: Row {
        word: "api.max",
        unit: Unit::Micros,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Api,
        needs: None,
        title: "slowest API response",
        label: "longest {}",
        sentence: Sentence::Plain("The slowest API response took {}"),
        dated: Dated::Peak,
        events: Events::None,
        worst: Worst::Api,
        advice: Advice::Do(EVENT_LOOP),
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_api(history, history.api.max_us.map(Exact::whole)),
    }

    /// How long the hub did not answer as a hub answers, or had said that it stops, outside planned windows (µs): its unplanned down
    /// time. Samples: the polls.
    HUB_DOWN_TIME: Row {
        word: "hub.down_time",
        unit: Unit::Micros,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Watch,
        needs: None,
        title: "hub down time",
        label: "down time {}",
        sentence: Sentence::Plain("The hub was down for {}"),
        dated: Dated::HubOutages,
        events: Events::HubOutages,
        worst: Worst::None,
        advice: Advice::Hub,
        traffic: ANY_TRAFFIC,
        measured: |history, _| happened(history.hub.down_unplanned_us, history.coverage.polls, NEVER_POLLED),
    }

    /// How often the hub's process ended outside planned disturbances: it said that it stops (facts `mcphub.hub.stopping`, or
    /// `mcphub.hub.stopped` without one before it), or ended without a word (facts `mcphub.hub.exited`). Samples: the polls.
    HUB_ENDS: Row {
        word: "hub.ends",
        unit: Unit::Count,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Watch,
        needs: None,
        title: "stops of the hub process",
        label: "process stops {}",
        sentence: Sentence::Counted("The hub process stopped once", "The hub process stopped {} times"),
        dated: Dated::HubStops,
        events: Events::HubStops,
        worst: Worst::None,
        advice: Advice::Hub,
        traffic: ANY_TRAFFIC,
        measured: |history, _| happened(unplanned_ends(history), history.coverage.polls, NEVER_POLLED),
    }

    /// Failed operations, for a thousand: meta-tool calls (failed as in `calls.failed_share`), calls of ordinary tools where instrumentation
    /// shows them (failed as in `tools.failed_share`) and our own API requests (failed unless `ok`) together. Requests made while there was
    /// no hub yet are none.
    ERRORS_SHARE: Row {
        word: "errors.share",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Watch,
        needs: None,
        title: "failed operations",
        label: "failed operations {}",
        sentence: Sentence::Plain("{} of operations failed"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::FailedCalls,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| failed_operations(history),
    }
}

const NEVER_POLLED: &str = "the hub was never polled";

/// How often the hub's process ended outside planned disturbances.
fn unplanned_ends(history: &History) -> u64 {
    let ends = history.hub.stops.iter().chain(&history.hub.exits).filter(|stop| stop.planned.is_none());
    ends.count() as u64
}

fn failed_operations(history: &History) -> Measured {
    let judged = &history.calls.judged;
    let operations = super::total([judged.total, history.tool_calls.judged, history.api.requests].into_iter());
    let failed = super::total([judged.failed, history.tool_calls.failed, history.api.failed].into_iter());
    valued(Exact::permille(failed, operations), operations, "there were no operations")
}

fn of_api(history: &History, value: Option<Exact>) -> Measured {
    valued(value, history.api.answers(), NEVER_ANSWERED)
}
