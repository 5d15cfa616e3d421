//! What happened that speaks for a verdict.

use super::model::Evidence;
use super::words;
use crate::judge::Assessment;
use crate::judge::criterion::{Criterion, Group};
use crate::judge::history::{History, KeptCall, Outage};
use crate::judge::measure::Measure;
use crate::judge::moment::Moment;
use crate::judge::series::{LatencyPoint, Line, Point, Series};
use crate::judge::verdict::Verdict;

/// Enough to begin looking; the incident log has the rest.
const MOST: usize = 5;

/// The events behind a criterion's measures, the first few. What is not well and is no event is shown where it was worst, so that
/// whoever reads of it knows where to look.
pub fn evidence(criterion: &Criterion, verdict: Verdict, judgement: &Assessment) -> Vec<Evidence> {
    let history = &judgement.history;
    let measures = || criterion.limits.iter().map(|limit| limit.measure);
    let mut all: Vec<Evidence> = measures().flat_map(|measure| of_measure(measure, history)).collect();
    if measures().any(|measure| measure == Measure::DegradationFailed) {
        all.extend(of_failed_degradation(judgement));
    }
    if all.is_empty() && matches!(verdict, Verdict::Warn | Verdict::Fail) {
        all.extend(measures().flat_map(|measure| worst(measure, history, &judgement.series)));
    }
    if all.is_empty() && verdict == Verdict::Fail {
        all.extend(history.coverage.last.map(|last| plain(last, "what the watch had seen by then".to_owned())));
    }
    all.sort_by(|one, other| (one.at, &one.what).cmp(&(other.at, &other.what)));
    all.dedup();
    all.truncate(MOST);
    all
}

fn of_measure(measure: Measure, history: &History) -> Vec<Evidence> {
    match measure {
        Measure::ServersDownTime
        | Measure::ServersDisconnections
        | Measure::ServersSlowestRecovery
        | Measure::ServersRecoveredByHand => servers(history),
        Measure::HubDownTime => {
            let stretches = history.hub.unreachable.iter();
            stretches.map(|gone| plain(gone.from, format!("the hub was {}", words::outage(gone)))).collect()
        }
        Measure::HubEnds => {
            let how = |stop: &crate::judge::history::HubStop| match (&stop.cause, &stop.signal) {
                (Some(cause), _) => format!("the hub ended: {cause}"),
                (None, Some(signal)) => format!("the hub ended: it received {signal}"),
                (None, None) => "the hub ended".to_owned(),
            };
            history.hub.stops.iter().chain(&history.hub.exits).map(|stop| plain(stop.at, how(stop))).collect()
        }
        Measure::GeminiFailedShare | Measure::GeminiNotFallenBack => history
            .calls
            .last_failed_rounds
            .iter()
            .map(|round| plain(round.at, format!("a Gemini round: {}", round.failure)))
            .collect(),
        Measure::LogGrowthPerDay => {
            let storm = |(line, storm): (&String, &crate::judge::history::StormHistory)| {
                plain(storm.first, format!("{} in {} repetitions of: {line}", words::bytes(storm.bytes), storm.lines))
            };
            history.log.storms.iter().map(storm).collect()
        }
        Measure::ServersToolChanges
        | Measure::GeminiMean
        | Measure::CallsFailedShare
        | Measure::CallsInvalid
        | Measure::CallsNotificationsFailed
        | Measure::CallsMean
        | Measure::CallsP95
        | Measure::CallsP99
        | Measure::LogLosses
        | Measure::LogErrors
        | Measure::CpuMean
        | Measure::CpuPeak
        | Measure::MemoryHostMean
        | Measure::MemoryHostPeak
        | Measure::MemoryLimitPeak
        | Measure::MemoryPeak
        | Measure::MemoryLeak
        | Measure::MemoryGrowing
        | Measure::ApiMean
        | Measure::ApiP95
        | Measure::ApiP99
        | Measure::ApiMax
        | Measure::ErrorsShare
        | Measure::SessionsLeftOpen
        | Measure::SessionsNotIsolated
        | Measure::ClientsPeak
        | Measure::LoadApiMean
        | Measure::LoadApiFailedShare
        | Measure::ChecksSessionIsolation
        | Measure::ChecksGeminiFailure
        | Measure::ChecksServerCrash
        | Measure::ChecksSseDisconnect
        | Measure::ChecksHighLoad
        | Measure::DegradationFailed
        | Measure::DegradationNotExercised => Vec::new(),
    }
}

/// What speaks for those that failed.
fn of_failed_degradation(judgement: &Assessment) -> impl Iterator<Item = Evidence> {
    let failed = judgement
        .criteria
        .iter()
        .filter(|(criterion, judged)| criterion.group == Group::Degradation && judged.verdict == Verdict::Fail);
    failed.flat_map(|(criterion, _)| &criterion.limits).flat_map(|limit| of_measure(limit.measure, &judgement.history))
}

fn call(call: &KeptCall) -> Option<Evidence> {
    let what = match call.duration_us {
        Some(duration) => format!("a call took {}: {}", words::duration(duration), call.outcome),
        None => format!("a call whose beginning was missed: {}", call.outcome),
    };
    Some(Evidence { trace: Some(call.trace.to_string()), ..plain(call.at?, what) })
}

/// Where a measure that isn't one of events was at its worst.
fn worst(measure: Measure, history: &History, series: &Series) -> Vec<Evidence> {
    match measure {
        Measure::CallsMean | Measure::CallsP95 | Measure::CallsP99 | Measure::GeminiMean => {
            history.calls.slowest.iter().filter_map(call).collect()
        }
        Measure::CallsFailedShare | Measure::ErrorsShare => history.calls.failed.iter().filter_map(call).collect(),
        Measure::ServersDownTime
        | Measure::ServersDisconnections
        | Measure::ServersSlowestRecovery
        | Measure::ServersRecoveredByHand
        | Measure::ServersToolChanges
        | Measure::GeminiFailedShare
        | Measure::GeminiNotFallenBack
        | Measure::CallsInvalid
        | Measure::CallsNotificationsFailed
        | Measure::LogLosses
        | Measure::LogGrowthPerDay
        | Measure::LogErrors
        | Measure::CpuMean
        | Measure::CpuPeak
        | Measure::MemoryHostMean
        | Measure::MemoryHostPeak
        | Measure::MemoryLimitPeak
        | Measure::MemoryPeak
        | Measure::MemoryLeak
        | Measure::MemoryGrowing
        | Measure::ApiMean
        | Measure::ApiP95
        | Measure::ApiP99
        | Measure::ApiMax
        | Measure::HubDownTime
        | Measure::HubEnds
        | Measure::SessionsLeftOpen
        | Measure::SessionsNotIsolated
        | Measure::ClientsPeak
        | Measure::LoadApiMean
        | Measure::LoadApiFailedShare
        | Measure::ChecksSessionIsolation
        | Measure::ChecksGeminiFailure
        | Measure::ChecksServerCrash
        | Measure::ChecksSseDisconnect
        | Measure::ChecksHighLoad
        | Measure::DegradationFailed
        | Measure::DegradationNotExercised => peak(measure, series).into_iter().collect(),
    }
}

/// The highest point of the line that shows it.
fn peak(measure: Measure, series: &Series) -> Option<Evidence> {
    let most = |line: &Line<Point>, pick: fn(&Point) -> u64, say: &dyn Fn(u64) -> String| {
        let point = line.points.iter().max_by_key(|point| pick(point))?;
        Some(plain(point.at, say(pick(point))))
    };
    let slowest = |line: &Line<LatencyPoint>| {
        let point = line.points.iter().max_by_key(|point| point.max)?;
        Some(plain(point.at, format!("an answer of the API took {}", words::duration(point.max))))
    };
    match measure {
        Measure::CpuMean | Measure::CpuPeak => {
            most(&series.cpu_permille, |point| point.max, &|most| format!("{} of a core", words::permille(most)))
        }
        Measure::MemoryHostMean
        | Measure::MemoryHostPeak
        | Measure::MemoryLimitPeak
        | Measure::MemoryPeak
        | Measure::MemoryLeak
        | Measure::MemoryGrowing => most(&series.rss_bytes, |point| point.max, &|most| format!("{} of memory", words::bytes(most))),
        Measure::ApiMean | Measure::ApiP95 | Measure::ApiP99 | Measure::ApiMax | Measure::LoadApiMean => slowest(&series.api_us),
        Measure::LogErrors => most(&series.error_lines, |point| point.sum, &|most| format!("{most} lines of level error")),
        Measure::LogGrowthPerDay => most(&series.log_bytes, |point| point.sum, &|most| format!("{} of log", words::bytes(most))),
        Measure::ClientsPeak => most(&series.clients, |point| point.max, &|most| format!("{most} MCP clients")),
        Measure::ServersDownTime
        | Measure::ServersDisconnections
        | Measure::ServersSlowestRecovery
        | Measure::ServersRecoveredByHand
        | Measure::ServersToolChanges
        | Measure::GeminiFailedShare
        | Measure::GeminiNotFallenBack
        | Measure::GeminiMean
        | Measure::CallsFailedShare
        | Measure::CallsInvalid
        | Measure::CallsNotificationsFailed
        | Measure::CallsMean
        | Measure::CallsP95
        | Measure::CallsP99
        | Measure::LogLosses
        | Measure::HubDownTime
        | Measure::HubEnds
        | Measure::ErrorsShare
        | Measure::SessionsLeftOpen
        | Measure::SessionsNotIsolated
        | Measure::LoadApiFailedShare
        | Measure::ChecksSessionIsolation
        | Measure::ChecksGeminiFailure
        | Measure::ChecksServerCrash
        | Measure::ChecksSseDisconnect
        | Measure::ChecksHighLoad
        | Measure::DegradationFailed
        | Measure::DegradationNotExercised => None,
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
