//! Recommendations: each has an action and the criteria that it should fix.

use std::collections::BTreeMap;

use super::model::Recommendation;
use super::{reason, words};
use crate::judge::Assessment;
use crate::judge::criterion::{Criterion, Severity};
use crate::judge::evaluate::{Ground, Judged};
use crate::judge::history::{Basis, Ending, History, Outage, ServerHistory};
use crate::judge::leak::{Growth, MemoryTrend};
use crate::judge::obstacle::ObstacleKind;
use crate::judge::verdict::Verdict;
use crate::watch::{GeminiFailure, Micros};

/// The strategy's limit for the recovery of a server.
const IN_TIME: Micros = Micros::new(30_000_000);

/// Returns what to do, the most urgent first: failures before missing data. Criteria that passed need nothing.
pub(super) fn recommendations(judgement: &Assessment) -> Vec<Recommendation> {
    let history = &judgement.history;
    let mut all: Vec<_> = history.servers.0.values().filter_map(server).collect();
    all.extend(hub(history));
    all.extend(gemini(history));
    all.extend(judgement.criteria.iter().filter_map(|(criterion, judged)| numbers(criterion, judged, judgement)));
    all.extend(leak_undecided(history));
    all.extend(too_little_seen(judgement));
    all.extend(not_exercised(judgement));
    all.retain_mut(|recommendation| {
        recommendation.criteria.retain(|id| is_open(judgement, id));
        !recommendation.criteria.is_empty()
    });
    all.extend(too_short(judgement));
    all
}

/// Returns whether a criterion that counts did not pass.
fn is_open(judgement: &Assessment, id: &str) -> bool {
    let found = judgement.criteria.iter().find(|(criterion, _)| criterion.id == id);
    found.is_some_and(|(criterion, judged)| {
        let open = matches!(judged.verdict, Verdict::Fail | Verdict::Warn | Verdict::Inconclusive);
        open && criterion.severity != Severity::Info
    })
}

fn recommend<I: AsRef<str>>(action: impl Into<String>, why: impl Into<String>, criteria: &[I]) -> Recommendation {
    let criteria = criteria.iter().map(|id| id.as_ref().to_owned()).collect();
    Recommendation { action: action.into(), why: why.into(), criteria }
}

fn server(server: &ServerHistory) -> Option<Recommendation> {
    if !server.should_work() {
        return None;
    }
    // A backtick would end the code that the name stands in.
    let name = server.name.replace('`', "'");
    if server.never_up && server.down_us > 0 {
        let action = format!(
            "Make server `{name}` start, or declare in hubwatch.toml that it may be down: `[servers.{name}] expected = [\"disconnected\"]`."
        );
        let why = server.last_error.as_ref().map_or("it was never up".to_owned(), |error| format!("it was never up: {error}"));
        return Some(recommend(action, why, &["integration.servers_connected"]));
    }
    // A planned outage that the hub recovered from in time needs no action.
    let asks = |down: &&Outage| down.unplanned_us > 0 || !down.has_recovered() || down.duration_us > IN_TIME.get();
    let last = server.down.iter().rev().find(asks)?;
    let action = if last.ending == Some(Ending::ByHand) {
        format!(
            "Find out why server `{name}` went down, and set up an automatic restart: it came back only after a manual restart."
        )
    } else if last.to.is_some() {
        format!("Find out why server `{name}` went down, and set up an automatic restart: the hub does not restart servers itself.")
    } else {
        format!("Restart server `{name}` (stop it, then start it: a start alone has no effect), and find out why it went down.")
    };
    let down = words::duration(server.down_us);
    let times = if server.outages == 1 { "once".to_owned() } else { format!("{} times", server.outages) };
    let why = format!("down {times} for {down}; last cause: {}", last.reason);
    let ids = ["integration.servers_connected", "integration.no_unexpected_disconnections", "degradation.server_recovery"];
    Some(recommend(action, why, &ids))
}

fn hub(history: &History) -> Option<Recommendation> {
    let ids = ["stability.uptime", "stability.no_restarts"];
    let hub = &history.hub;
    let unplanned = || hub.stops.iter().chain(&hub.exits).filter(|stop| stop.planned.is_none());
    if let Some(cause) = unplanned().find_map(|stop| stop.cause.as_ref()) {
        return Some(recommend(format!("Fix what stopped the hub: {cause}."), "the hub process stopped", &ids));
    }
    if let Some(exit) = hub.exits.iter().find(|exit| exit.planned.is_none()) {
        let action =
            "Find out why the hub process died without logging a reason: check `dmesg` for the out-of-memory killer first.";
        return Some(recommend(action, format!("it was gone at {}", words::minute(exit.at)), &ids));
    }
    let stop = unplanned().next()?;
    let signal = stop.signal.as_deref().unwrap_or("a signal");
    let action = format!(
        "Find out what stopped the hub with {signal}; mark a planned stop with `hubwatch mark begin` and `hubwatch mark end`."
    );
    Some(recommend(action, format!("it stopped at {}", words::minute(stop.at)), &ids))
}

fn gemini(history: &History) -> Option<Recommendation> {
    let rounds = history.calls.gemini_failed_rounds;
    let failure = history.calls.last_failed_rounds.last()?.failure;
    let action = match failure {
        GeminiFailure::RateLimited => {
            "Raise Gemini's quota, or send fewer prompts: each failed round delays its caller by seconds."
        }
        GeminiFailure::KeyInvalid => "Give the hub a valid GEMINI_API_KEY: an invalid key stops the hub at the first prompt.",
        GeminiFailure::SafetyFilter => "Check the prompts that Gemini's safety filter blocks.",
        GeminiFailure::Failed => "Find out why Gemini requests failed: check network, model name and API key.",
    };
    Some(recommend(
        action,
        format!("{rounds} rounds failed, the last one: {}", words::gemini_failure(failure)),
        &["integration.gemini_without_errors"],
    ))
}

/// Returns what to do about a number beyond its limit.
fn numbers(criterion: &Criterion, judged: &Judged, judgement: &Assessment) -> Option<Recommendation> {
    let history = &judgement.history;
    if judged.verdict != Verdict::Fail && judged.verdict != Verdict::Warn {
        return None;
    }
    let action = match criterion.id.as_str() {
        "performance.cpu" => "Profile the hub (`node --cpu-prof`) during its peak hours.".to_owned(),
        "performance.memory" => {
            "Take heap snapshots of the hub (`node --heapsnapshot-signal=SIGUSR2`) and compare them.".to_owned()
        }
        "performance.api_response_time" => "Find out what blocks the hub's event loop: its API answers slowly.".to_owned(),
        "performance.meta_tool_time" => {
            "Look at the traces of the slowest meta-tool calls (section 5): the Gemini part is a separate span.".to_owned()
        }
        "performance.log_growth" if !history.log.storms.is_empty() => {
            "Stop the repeated lines (section 6 names them), or rotate the log.".to_owned()
        }
        "performance.log_growth" => "Lower the hub's log level, or rotate its log.".to_owned(),
        "stability.no_memory_leak" => memory(judged.verdict, history),
        "integration.meta_tool_succeeds" => {
            "Look at the errors of the failed meta-tool calls (their traces are in the appendix).".to_owned()
        }
        "integration.logging_without_loss" => {
            "Keep the log readable for hubwatch all the time, and keep rotated files for some minutes.".to_owned()
        }
        "degradation.session_cleanup" => "Find out why sessions stay open after their clients disconnect.".to_owned(),
        _ => return None,
    };
    Some(recommend(action, reason::why(criterion, judged, judgement), &[&criterion.id]))
}

/// Words the advice on memory. A warning is not a leak, so it asks for more data, not for a fix before the promotion.
fn memory(verdict: Verdict, history: &History) -> String {
    let left = history.memory_trend.as_ref().and_then(|trend| trend.time_to_limit_us);
    let left = left.map_or(String::new(), |left| format!(" At this rate it reaches its limit in {}.", words::duration(left)));
    match verdict {
        Verdict::Fail => format!("Find the leak before promoting: compare heap snapshots taken hours apart.{left}"),
        Verdict::Warn | Verdict::Pass | Verdict::Inconclusive | Verdict::NotApplicable => {
            format!("Watch the hub's memory for longer: it grows, but a leak is not proven.{left}")
        }
    }
}

/// Advises a longer watch if the period is too short to decide whether memory leaks.
fn leak_undecided(history: &History) -> Option<Recommendation> {
    let trend = history.memory_trend.as_ref().filter(|trend| trend.growth != Growth::TooShort)?;
    let action = "Watch for longer (48 h), or under a more even load, to distinguish a memory leak from other growth.";
    Some(recommend(action, MemoryTrend::undecided(trend)?, &["stability.no_memory_leak"]))
}

/// Returns the must criteria without a verdict.
fn undecided(judgement: &Assessment) -> impl Iterator<Item = (&Criterion, &Judged)> {
    let all = judgement.criteria.iter().map(|(criterion, judged)| (criterion, judged));
    all.filter(|(criterion, judged)| criterion.severity == Severity::Must && judged.verdict == Verdict::Inconclusive)
}

/// Returns the source whose absence left a criterion without a verdict.
fn lacking(judged: &Judged) -> Option<Basis> {
    let decisive = |ground| ground == judged.ground && matches!(ground, Ground::NotVisible | Ground::TooLittleCoverage);
    judged.limits.iter().find(|limit| !limit.passed_over && decisive(limit.ground)).map(|limit| limit.source)
}

/// Advises on sources that were missing or were not read for long enough.
fn too_little_seen(judgement: &Assessment) -> Vec<Recommendation> {
    let mut by_source: BTreeMap<Basis, (String, Vec<&str>)> = BTreeMap::new();
    for (criterion, judged) in undecided(judgement) {
        if let Some(basis) = lacking(judged) {
            by_source.entry(basis).or_insert_with(|| (judged.why.clone(), Vec::new())).1.push(&criterion.id);
        }
    }
    let told = |(basis, (why, ids)): (Basis, (String, Vec<&str>))| {
        let action = basis.advice();
        recommend(format!("{}.", words::capitalised(action)), why, &ids)
    };
    by_source.into_iter().map(told).collect()
}

/// Advises how to produce the traffic that untested criteria need.
fn not_exercised(judgement: &Assessment) -> Vec<Recommendation> {
    let mut by_action: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (criterion, judged) in undecided(judgement) {
        if judged.ground != Ground::NotExercised {
            continue;
        }
        let action = match criterion.id.as_str() {
            "integration.meta_tool_succeeds" | "integration.gemini_without_errors" | "performance.meta_tool_time" => {
                "These checks need traffic: let a client call the meta-tool during the period."
            }
            "integration.session_isolation" => {
                "This check needs traffic: connect two clients at once, and let each of them choose its own tools."
            }
            "stability.degradation_passes" => {
                "Test the resilience scenarios between `hubwatch mark begin` and `hubwatch mark end`: make Gemini fail, kill a server's \
                 process, disconnect a client, connect ten clients at once."
            }
            _ => "These checks need traffic during the period.",
        };
        by_action.entry(action).or_default().push(&criterion.id);
    }
    let title = |id: &str| {
        let found = judgement.criteria.iter().find(|(criterion, _)| criterion.id == id);
        found.map_or(id.to_owned(), |(criterion, _)| criterion.title.clone())
    };
    let told = |(action, ids): (&str, Vec<&str>)| {
        let titles: Vec<String> = ids.iter().map(|id| title(id)).collect();
        recommend(action, format!("not tested: {}", titles.join("; ")), &ids)
    };
    by_action.into_iter().map(told).collect()
}

/// Advises a longer watch: a period that is too short gets no verdict, whatever its criteria say.
fn too_short(judgement: &Assessment) -> Option<Recommendation> {
    judgement.obstacles.iter().find(|obstacle| obstacle.kind == ObstacleKind::TooShort)?;
    let wanted = words::duration(judgement.rules.min_period.get());
    let watched = words::duration(judgement.history.coverage.covered_us);
    let ids: Vec<&str> = undecided(judgement).map(|(criterion, _)| criterion.id.as_str()).collect();
    Some(recommend(
        format!("Watch for at least {wanted} before you ask for a verdict."),
        format!("watched so far: {watched}"),
        &ids,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::Judge;
    use crate::judge::rules::Rules;
    use crate::watch::{Timestamp, Watch};

    proptest! {
        #[test]
        fn every_recommendation_names_a_criterion_that_is_not_passed_or_an_obstacle(
            watches in proptest::collection::vec(any::<Watch>(), 0..6),
        ) {
            let mut judge = Judge::new(Vec::new(), Timestamp::new(0));
            watches.iter().for_each(|watch| drop(judge.take(watch)));
            let assessment = judge.assess(Timestamp::new(u64::MAX));
            for Recommendation { action, criteria, .. } in recommendations(&assessment) {
                prop_assert!(!criteria.is_empty() || !assessment.obstacles.is_empty(), "{}", action);
                for id in criteria {
                    let (_, judged) = assessment.criteria.iter().find(|(criterion, _)| criterion.id == id).unwrap();
                    prop_assert!(!matches!(judged.verdict, Verdict::Pass | Verdict::NotApplicable), "{}: {}", action, id);
                }
            }
        }
    }

    #[test]
    fn a_source_that_is_lacking_has_an_advice_that_is_a_sentence() {
        for basis in Basis::ALL {
            assert!(basis.advice().chars().next().is_some_and(|first| first.is_ascii_lowercase()), "{basis}");
        }
        assert!(Rules::builtin().criteria.iter().any(|criterion| criterion.id == "stability.degradation_passes"));
    }
}
