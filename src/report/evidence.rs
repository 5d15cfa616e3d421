//! Evidence: the events behind a verdict.

use super::model::Evidence;
use super::words;
use crate::judge::Assessment;
use crate::judge::criterion::{Criterion, Group};
use crate::judge::history::{FailedStep, History, HubStop, KeptCall, Outage, ScenarioHistory};
use crate::judge::measure::{Events, Worst};
use crate::judge::moment::Moment;
use crate::judge::series::{LatencyPoint, Line, Point, Series};
use crate::judge::verdict::Verdict;
use crate::watch::GeminiFailure;

/// Limit of the evidence for one criterion; the incident log has the rest.
const MOST: usize = 5;

/// Returns the first events behind a criterion's measures. A mean or a share has no event: a warning or a failure of it gets its worst
/// moments, so that the reader knows where to look.
pub(super) fn evidence(criterion: &Criterion, verdict: Verdict, judgement: &Assessment) -> Vec<Evidence> {
    let history = &judgement.history;
    let measures = || criterion.limits.iter().map(|limit| limit.measure);
    let mut all: Vec<Evidence> = measures().flat_map(|measure| events(measure.events, history)).collect();
    if measures().any(|measure| measure.events == Events::FailedScenarios) {
        all.extend(of_failed_degradation(judgement));
    }
    if all.is_empty() && matches!(verdict, Verdict::Warn | Verdict::Fail) {
        all.extend(measures().flat_map(|measure| worst(measure.worst, history, &judgement.series)));
    }
    if all.is_empty() && verdict == Verdict::Fail {
        all.extend(history.coverage.last.map(|last| plain(last, "end of the data that the watch collected".to_owned())));
    }
    all.sort_by(|one, other| (one.at, &one.what).cmp(&(other.at, &other.what)));
    all.dedup();
    all.truncate(MOST);
    all
}

fn events(events: Events, history: &History) -> Vec<Evidence> {
    match events {
        Events::ServerOutages => servers(history),
        Events::HubOutages => {
            let stretches = history.hub.unreachable.iter();
            stretches.map(|gone| plain(gone.from, format!("the hub was {}", words::outage(gone)))).collect()
        }
        Events::HubStops => {
            let how = |stop: &HubStop| match words::stop_cause(stop) {
                Some(cause) => format!("the hub stopped: {cause}"),
                None => "the hub stopped".to_owned(),
            };
            history.hub.stops.iter().chain(&history.hub.exits).map(|stop| plain(stop.at, how(stop))).collect()
        }
        Events::FailedRounds => gemini_rounds(history),
        Events::Storms => {
            let storm = |(line, storm): (&String, &crate::judge::history::StormHistory)| {
                plain(storm.first, format!("{} in {} repetitions of the line: {line}", words::bytes(storm.bytes), storm.lines))
            };
            history.log.storms.iter().map(storm).collect()
        }
        Events::FailedSteps(scenario) => history
            .scenarios
            .of(scenario)
            .into_iter()
            .flat_map(|scenario| scenario.failures.iter().map(|step| failed_step(scenario, step)))
            .collect(),
        // These are the events of other criteria: see `of_failed_degradation`.
        Events::FailedScenarios => Vec::new(),
        Events::None => Vec::new(),
    }
}

fn failed_step(scenario: &ScenarioHistory, step: &FailedStep) -> Evidence {
    let detail = step.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
    let known = step.known_defect.as_ref().map_or(String::new(), |link| format!(" (known defect of the hub: {link})"));
    let what = format!("{} {}, {}{detail}{known}", scenario.name, step.check, step.title);
    Evidence { trace: step.trace.clone(), ..plain(step.last, what) }
}

/// Returns the evidence of the degradation criteria that failed.
fn of_failed_degradation(judgement: &Assessment) -> impl Iterator<Item = Evidence> {
    let failed = judgement
        .criteria
        .iter()
        .filter(|(criterion, judged)| criterion.group == Group::Degradation && judged.verdict == Verdict::Fail);
    failed.flat_map(|(criterion, _)| &criterion.limits).flat_map(|limit| events(limit.measure.events, &judgement.history))
}

/// Returns the last failed rounds. Rounds of one minute with the same failure are one entry.
fn gemini_rounds(history: &History) -> Vec<Evidence> {
    let mut groups: Vec<(Moment, GeminiFailure, u64)> = Vec::new();
    for round in &history.calls.last_failed_rounds {
        match groups.last_mut() {
            Some((at, failure, count)) if words::minute(*at) == words::minute(round.at) && *failure == round.failure => *count += 1,
            Some(_) | None => groups.push((round.at, round.failure, 1)),
        }
    }
    let told = |(at, failure, count): (Moment, GeminiFailure, u64)| {
        let rounds = if count == 1 { "1 Gemini round".to_owned() } else { format!("{count} Gemini rounds") };
        plain(at, format!("{rounds} failed: {}", words::gemini_failure(failure)))
    };
    groups.into_iter().map(told).collect()
}

fn call(call: &KeptCall) -> Option<Evidence> {
    let what = match call.duration_us {
        Some(duration) => format!("a call took {}: {}", words::duration(duration), call.outcome),
        None => format!(
            "a call of unknown duration (its beginning was not seen, or the hub's clock was set during it): {}",
            call.outcome
        ),
    };
    Some(Evidence { trace: Some(call.trace.to_string()), ..plain(call.at?, what) })
}

/// Returns the worst moments of a measure without events.
fn worst(worst: Worst, history: &History, series: &Series) -> Vec<Evidence> {
    match worst {
        Worst::SlowestCalls => history.calls.slowest.iter().filter_map(call).collect(),
        Worst::FailedCalls => history.calls.failed.iter().filter_map(call).collect(),
        Worst::None | Worst::Cpu | Worst::Memory | Worst::Api | Worst::ErrorLines | Worst::LogBytes | Worst::Clients => {
            peak(worst, series).into_iter().collect()
        }
    }
}

/// Returns the highest point of a series, where the worst moment is one.
pub(super) fn peak(worst: Worst, series: &Series) -> Option<Evidence> {
    let most = |line: &Line<Point>, pick: fn(&Point) -> u64, say: &dyn Fn(u64) -> String| {
        let point = line.points.iter().max_by_key(|point| pick(point))?;
        Some(plain(point.at, say(pick(point))))
    };
    let slowest = |line: &Line<LatencyPoint>| {
        let point = line.points.iter().max_by_key(|point| point.max)?;
        Some(plain(point.at, format!("an API response took {}", words::duration(point.max))))
    };
    match worst {
        Worst::Cpu => most(&series.cpu_permille, |point| point.max, &|most| format!("{} of one core", words::permille(most))),
        Worst::Memory => most(&series.rss_bytes, |point| point.max, &|most| format!("{} of memory", words::bytes(most))),
        Worst::Api => slowest(&series.api_us),
        Worst::ErrorLines => most(&series.error_lines, |point| point.sum, &|most| format!("{most} error lines")),
        Worst::LogBytes => most(&series.log_bytes, |point| point.sum, &|most| format!("{} of log", words::bytes(most))),
        Worst::Clients => most(&series.clients, |point| point.max, &|most| format!("{most} MCP clients")),
        Worst::None | Worst::SlowestCalls | Worst::FailedCalls => None,
    }
}

fn servers(history: &History) -> Vec<Evidence> {
    let expected = history.servers.0.values().filter(|server| server.should_work());
    let downs = expected.flat_map(|server| server.down.iter().map(move |down| (server, down)));
    let told = |(server, down): (&crate::judge::history::ServerHistory, &Outage)| {
        plain(down.from, format!("{} {}", server.name, words::outage(down)))
    };
    downs.map(told).collect()
}

fn plain(at: Moment, what: String) -> Evidence {
    Evidence { at, what, trace: None, trace_url: None }
}
