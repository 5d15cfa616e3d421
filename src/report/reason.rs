//! Reasons: why a criterion has its verdict, as a sentence with the thing, the value, the limit and the time.

use super::{evidence, words};
use crate::judge::Assessment;
use crate::judge::criterion::{Criterion, Group};
use crate::judge::evaluate::{Ground, Judged, LimitJudged};
use crate::judge::history::{HubStop, Outage, ServerHistory};
use crate::judge::measure::Measure;
use crate::judge::moment::Moment;
use crate::judge::verdict::Verdict;

/// At most so many names stand in a sentence.
const MAX_NAMES: usize = 3;

/// Returns why a criterion has its verdict. A measured value that is beyond its limit gets a sentence of its own.
pub(super) fn why(criterion: &Criterion, judged: &Judged, judgement: &Assessment) -> String {
    let beyond = |limit: &&LimitJudged| !limit.passed_over && matches!(limit.verdict, Verdict::Fail | Verdict::Warn);
    match judged.ground {
        Ground::Measured if judged.limits.iter().any(|limit| beyond(&limit)) => {
            let sentences = judged.limits.iter().filter(beyond).map(|limit| told(criterion, limit, judgement));
            sentences.collect::<Vec<_>>().join("; ")
        }
        Ground::Measured
        | Ground::NotVisible
        | Ground::NotExercised
        | Ground::TooFewSamples
        | Ground::TooLittleCoverage
        | Ground::NotApplicable
        | Ground::Disabled => judged.why.clone(),
    }
}

/// Returns the same for the executive summary, where the criterion's title is not beside it.
pub(super) fn summary(criterion: &Criterion, judged: &Judged, judgement: &Assessment) -> String {
    let title = &criterion.title;
    let rest = |prefix: &str| judged.why.strip_prefix(prefix).unwrap_or(&judged.why).to_owned();
    match judged.ground {
        Ground::Measured => why(criterion, judged, judgement),
        Ground::NotExercised => format!("Not tested: {title} – {}", rest("not tested: ")),
        Ground::NotVisible => format!("Not visible: {title} – {}", rest("not visible: ")),
        Ground::TooFewSamples | Ground::TooLittleCoverage => format!("Not enough data: {title} – {}", judged.why),
        Ground::NotApplicable | Ground::Disabled => format!("Not judged: {title} – {}", judged.why),
    }
}

/// Words a value beyond its limit: `Server files was down for 12 min (allowed: 0), from 2026-11-01 14:52`.
fn told(criterion: &Criterion, judged: &LimitJudged, judgement: &Assessment) -> String {
    let limit = criterion.limits.iter().find(|limit| limit.measure == judged.measure);
    let bound = limit.and_then(|limit| if judged.verdict == Verdict::Fail { limit.fails() } else { limit.warns() });
    let bound = bound.map_or(String::new(), |bound| format!(" ({})", bound.words(judged.measure.unit())));
    let sentence = sentence(judged, judgement);
    format!("{sentence}{bound}{}", when(judged.measure, judgement).unwrap_or_default())
}

fn sentence(judged: &LimitJudged, judgement: &Assessment) -> String {
    let shown = judged.shown.as_deref().unwrap_or("–");
    let one = judged.value == Some(1);
    let count = |singular: &str, plural: &str| format!("{shown} {}", if one { singular } else { plural });
    let took = |what: &str, how: &str| format!("{what} took {shown} {how}");
    let checks = |scenario: &str| format!("{} of scenario {scenario} failed", count("check", "checks"));
    match judged.measure {
        Measure::ServersDownTime => match down_servers(judgement).as_slice() {
            [name] => format!("Server {name} was down for {shown}"),
            names => format!("Servers {} were down for {shown} in total", listed(names)),
        },
        Measure::ServersDisconnections => {
            let names = listed(&disconnected_servers(judgement));
            format!("{} of {names}", count("unexpected disconnection", "unexpected disconnections"))
        }
        Measure::ServersSlowestRecovery => format!("The slowest server recovery took {shown}"),
        Measure::ServersRecoveredByHand => {
            format!("{} only by a manual restart", count("server outage ended", "server outages ended"))
        }
        Measure::ServersToolChanges => {
            format!("{} while the server was connected", count("change of a tool list", "changes of tool lists"))
        }
        Measure::GeminiFailedShare => format!("Failed Gemini rounds: {shown} of calls"),
        Measure::GeminiNotFallenBack => format!("{} no fallback after Gemini failed", count("call had", "calls had")),
        Measure::GeminiMean => took("The Gemini part of a call", "on average"),
        Measure::CallsFailedShare => format!("{shown} of meta-tool calls failed"),
        Measure::CallsInvalid => format!("{shown} of meta-tool responses were invalid"),
        Measure::CallsNotificationsFailed => {
            format!("{} of changed tools failed", count("client notification", "client notifications"))
        }
        Measure::CallsMean => took("Meta-tool calls", "on average"),
        Measure::CallsP95 => took("Meta-tool calls", "at p95"),
        Measure::CallsP99 => took("Meta-tool calls", "at p99"),
        Measure::LogLosses => format!("The log was lost, unreadable or not writable {}", count("time", "times")),
        Measure::LogGrowthPerDay => format!("The log grew by {shown} per day"),
        Measure::LogErrors => format!("{} in the log", count("error line", "error lines")),
        Measure::CpuMean => format!("CPU usage was {shown} of one core on average"),
        Measure::CpuPeak => format!("CPU usage peaked at {shown} of one core"),
        Measure::MemoryHostMean => format!("Memory usage was {shown} of host RAM on average"),
        Measure::MemoryHostPeak => format!("Memory usage peaked at {shown} of host RAM"),
        Measure::MemoryLimitPeak => format!("Memory usage peaked at {shown} of the container's limit"),
        Measure::MemoryPeak => format!("Memory usage peaked at {shown}"),
        Measure::MemoryLeak => format!("Memory leaks: it grows by {shown}"),
        Measure::MemoryGrowing => format!("Memory grows by {shown}"),
        Measure::ApiMean => took("API responses", "on average"),
        Measure::ApiP95 => took("API responses", "at p95"),
        Measure::ApiP99 => took("API responses", "at p99"),
        Measure::ApiMax => format!("The slowest API response took {shown}"),
        Measure::HubDownTime => format!("The hub was down for {shown}"),
        Measure::HubEnds if one => "The hub process stopped once".to_owned(),
        Measure::HubEnds => format!("The hub process stopped {shown} times"),
        Measure::ErrorsShare => format!("{shown} of operations failed"),
        Measure::SessionsLeftOpen => format!("{} open after the client disconnected", count("session stayed", "sessions stayed")),
        Measure::SessionsNotIsolated => format!("{} another session's tools", count("session showed", "sessions showed")),
        Measure::ClientsPeak => format!("{} connected at once", count("MCP client was", "MCP clients were")),
        Measure::LoadApiMean => took("API responses under high load", "on average"),
        Measure::LoadApiFailedShare => format!("{shown} of API requests failed under high load"),
        Measure::ChecksSessionIsolation => checks("session_isolation"),
        Measure::ChecksGeminiFailure => checks("gemini_failure"),
        Measure::ChecksServerCrash => checks("server_crash"),
        Measure::ChecksSseDisconnect => checks("sse_disconnect"),
        Measure::ChecksHighLoad => checks("high_load"),
        Measure::DegradationFailed => {
            let failed = listed(&failed_scenarios(judgement));
            format!("{} failed: {failed}", count("resilience scenario", "resilience scenarios"))
        }
        Measure::DegradationNotExercised => {
            format!("{} not tested", count("resilience scenario was", "resilience scenarios were"))
        }
    }
}

/// Returns when it happened, where that is one instant or has a first one.
fn when(measure: Measure, judgement: &Assessment) -> Option<String> {
    let hub = &judgement.history.hub;
    match measure {
        Measure::ServersDownTime => {
            let downs = unplanned(required(judgement).flat_map(|server| &server.down));
            dated("from", &downs.iter().map(|down| down.from).collect::<Vec<_>>())
        }
        Measure::ServersDisconnections => {
            let downs =
                unplanned(required(judgement).filter(|server| server.disconnections_unplanned > 0).flat_map(|server| &server.down));
            dated("at", &downs.iter().map(|down| down.from).collect::<Vec<_>>())
        }
        Measure::HubDownTime => dated("from", &unplanned(&hub.unreachable).iter().map(|down| down.from).collect::<Vec<_>>()),
        Measure::HubEnds => {
            let stops: Vec<&HubStop> = hub.stops.iter().chain(&hub.exits).filter(|stop| stop.planned.is_none()).collect();
            let first = stops.iter().min_by_key(|stop| stop.at)?;
            let cause = words::stop_cause(first).map_or(String::new(), |cause| format!(": {cause}"));
            Some(dated("at", &stops.iter().map(|stop| stop.at).collect::<Vec<_>>())? + &cause)
        }
        Measure::GeminiFailedShare => {
            let last = judgement.history.calls.last_failed_rounds.last()?;
            Some(format!(", last at {}: {}", words::minute(last.at), words::gemini_failure(last.failure)))
        }
        Measure::CpuPeak | Measure::MemoryHostPeak | Measure::MemoryLimitPeak | Measure::MemoryPeak | Measure::ApiMax => {
            let peak = evidence::peak(measure, &judgement.series)?;
            Some(format!(", around {}", words::minute(peak.at)))
        }
        // These are figures of the whole period, or nothing dates them.
        Measure::ServersSlowestRecovery
        | Measure::ServersRecoveredByHand
        | Measure::ServersToolChanges
        | Measure::GeminiNotFallenBack
        | Measure::GeminiMean
        | Measure::CallsFailedShare
        | Measure::CallsInvalid
        | Measure::CallsNotificationsFailed
        | Measure::CallsMean
        | Measure::CallsP95
        | Measure::CallsP99
        | Measure::LogLosses
        | Measure::LogGrowthPerDay
        | Measure::LogErrors
        | Measure::CpuMean
        | Measure::MemoryHostMean
        | Measure::MemoryLeak
        | Measure::MemoryGrowing
        | Measure::ApiMean
        | Measure::ApiP95
        | Measure::ApiP99
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
        | Measure::DegradationNotExercised => None,
    }
}

fn dated(preposition: &str, all: &[Moment]) -> Option<String> {
    let first = words::minute(*all.iter().min()?);
    Some(if all.len() == 1 { format!(", {preposition} {first}") } else { format!(", first at {first}") })
}

fn unplanned<'a>(outages: impl IntoIterator<Item = &'a Outage>) -> Vec<&'a Outage> {
    outages.into_iter().filter(|outage| outage.unplanned_us > 0).collect()
}

fn required(judgement: &Assessment) -> impl Iterator<Item = &ServerHistory> {
    judgement.history.servers.0.values().filter(|server| server.should_work())
}

fn down_servers(judgement: &Assessment) -> Vec<&str> {
    required(judgement).filter(|server| server.down_unplanned_us > 0).map(|server| server.name.as_str()).collect()
}

fn disconnected_servers(judgement: &Assessment) -> Vec<&str> {
    required(judgement).filter(|server| server.disconnections_unplanned > 0).map(|server| server.name.as_str()).collect()
}

fn failed_scenarios(judgement: &Assessment) -> Vec<&str> {
    let failed =
        |(criterion, judged): &&(Criterion, Judged)| criterion.group == Group::Degradation && judged.verdict == Verdict::Fail;
    judgement.criteria.iter().filter(failed).map(|(criterion, _)| criterion.title.as_str()).collect()
}

fn listed(names: &[&str]) -> String {
    match names.split_at_checked(MAX_NAMES) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        Some(_) | None => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_three_things_and_counts_the_others() {
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b, c");
        assert_eq!(listed(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
