//! What to do about it: each recommendation names an action and the criteria that did not pass for want of it.

use std::collections::BTreeMap;

use super::model::Recommendation;
use super::words;
use crate::judge::Assessment;
use crate::judge::criterion::{Criterion, Severity};
use crate::judge::evaluate::{Ground, Judged};
use crate::judge::history::{Basis, Ending, History, Outage, ServerHistory};
use crate::judge::leak::{Growth, MemoryTrend};
use crate::judge::obstacle::ObstacleKind;
use crate::judge::verdict::Verdict;
use crate::watch::{GeminiFailure, Micros};

/// The strategy wants a server back within this.
const IN_TIME: Micros = Micros::new(30_000_000);

/// What to do, the most pressing first: what failed before what is missing. What passed needs nothing.
pub fn recommendations(judgement: &Assessment) -> Vec<Recommendation> {
    let history = &judgement.history;
    let mut all: Vec<_> = history.servers.0.values().filter_map(server).collect();
    all.extend(hub(history));
    all.extend(gemini(history));
    all.extend(judgement.criteria.iter().filter_map(|(criterion, judged)| numbers(criterion, judged, history)));
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

/// Whether a criterion that decides anything did not pass.
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
            "Make server `{name}` start, or declare what is expected of it in hubwatch.toml: `[servers.{name}] expected = [\"disconnected\"]`."
        );
        let why = server.last_error.as_ref().map_or("it never worked".to_owned(), |error| format!("it never worked: {error}"));
        return Some(recommend(action, why, &["integration.servers_connected"]));
    }
    // What was planned, and from which the hub recovered by itself in time, asks for nothing.
    let asks = |down: &&Outage| down.unplanned_us > 0 || !down.has_recovered() || down.duration_us > IN_TIME.get();
    let last = server.down.iter().rev().find(asks)?;
    let action = if last.ending == Some(Ending::ByHand) {
        format!(
            "Find out why server `{name}` went down, and have something restart it: it came back only because somebody restarted it."
        )
    } else if last.to.is_some() {
        format!("Find out why server `{name}` went down, and have something restart it: the hub never does by itself.")
    } else {
        format!("Restart server `{name}` (stop it, then start it: a start alone does nothing), and find out why it went down.")
    };
    let down = words::duration(server.down_us);
    let why = format!("down {}× for {down}, the last time because {}", server.outages, last.reason);
    let ids = ["integration.servers_connected", "integration.no_unexpected_disconnections", "degradation.server_recovery"];
    Some(recommend(action, why, &ids))
}

fn hub(history: &History) -> Option<Recommendation> {
    let ids = ["stability.uptime", "stability.no_restarts"];
    let hub = &history.hub;
    let unplanned = || hub.stops.iter().chain(&hub.exits).filter(|stop| stop.planned.is_none());
    if let Some(cause) = unplanned().find_map(|stop| stop.cause.as_ref()) {
        return Some(recommend(format!("Mend what ended the hub: {cause}."), "the hub's process ended", &ids));
    }
    if let Some(exit) = hub.exits.iter().find(|exit| exit.planned.is_none()) {
        let action =
            "Find out why the hub's process ended without a word: look for the kernel's out-of-memory killer (`dmesg`) first.";
        return Some(recommend(action, format!("it was gone at {}", exit.at), &ids));
    }
    let stop = unplanned().next()?;
    let signal = stop.signal.as_deref().unwrap_or("a signal");
    let action = format!(
        "Find out who stopped the hub with {signal}; a planned stop belongs between `hubwatch mark begin` and `hubwatch mark end`."
    );
    Some(recommend(action, format!("it stopped at {}", stop.at), &ids))
}

fn gemini(history: &History) -> Option<Recommendation> {
    let rounds = history.calls.gemini_failed_rounds;
    let failure = history.calls.last_failed_rounds.last()?.failure;
    let action = match failure {
        GeminiFailure::RateLimited => {
            "Raise Gemini's quota, or lower the rate of prompts: each failed round costs its caller seconds."
        }
        GeminiFailure::KeyInvalid => "Give the hub a valid GEMINI_API_KEY: an invalid one stops it at the first prompt.",
        GeminiFailure::SafetyFilter => "Look at the prompts that Gemini's safety filter withholds.",
        GeminiFailure::Failed => "Find out why Gemini's answers failed: network, model name and key.",
    };
    Some(recommend(action, format!("{rounds} rounds failed, the last ones {failure}"), &["integration.gemini_without_errors"]))
}

/// What a number beyond its limit asks for.
fn numbers(criterion: &Criterion, judged: &Judged, history: &History) -> Option<Recommendation> {
    if judged.verdict != Verdict::Fail && judged.verdict != Verdict::Warn {
        return None;
    }
    let action = match criterion.id.as_str() {
        "performance.cpu" => "Profile the hub (`node --cpu-prof`) in the hours of its peak.".to_owned(),
        "performance.memory" => {
            "Take heap snapshots of the hub (`node --heapsnapshot-signal=SIGUSR2`) and compare them.".to_owned()
        }
        "performance.api_response_time" => "Find out what blocks the hub's event loop: its API answers slowly.".to_owned(),
        "performance.meta_tool_time" => {
            "Look at the traces of the slowest meta-tool calls: the Gemini part is a span of its own.".to_owned()
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
            "Make the log readable for hubwatch all the time, and keep rotated files for a while.".to_owned()
        }
        "degradation.session_cleanup" => "Find out why sessions outlive their clients.".to_owned(),
        _ => return None,
    };
    Some(recommend(action, judged.why.clone(), &[&criterion.id]))
}

/// A warning is no leak: what grows by little is looked at, not searched for before the build may go on.
fn memory(verdict: Verdict, history: &History) -> String {
    let left = history.memory_trend.as_ref().and_then(|trend| trend.time_to_limit_us);
    let left = left.map_or(String::new(), |left| format!(" At this rate its limit is reached in {}.", words::duration(left)));
    match verdict {
        Verdict::Fail => format!("Find the leak before promoting: compare heap snapshots taken hours apart.{left}"),
        Verdict::Warn | Verdict::Pass | Verdict::Inconclusive | Verdict::NotApplicable => {
            format!("Watch the hub's memory for longer: it grows, but it is not known to leak.{left}")
        }
    }
}

/// Memory that may leak or not, as far as this period tells.
fn leak_undecided(history: &History) -> Option<Recommendation> {
    let trend = history.memory_trend.as_ref().filter(|trend| trend.growth != Growth::TooShort)?;
    let action = "Watch for longer (48 h), or under more even load, so that a memory leak can be told from other growth.";
    Some(recommend(action, MemoryTrend::undecided(trend)?, &["stability.no_memory_leak"]))
}

/// Criteria without a verdict that must have one, and why they have none.
fn undecided(judgement: &Assessment) -> impl Iterator<Item = (&Criterion, &Judged)> {
    let all = judgement.criteria.iter().map(|(criterion, judged)| (criterion, judged));
    all.filter(|(criterion, judged)| criterion.severity == Severity::Must && judged.verdict == Verdict::Inconclusive)
}

/// The source that a criterion has no verdict for want of.
fn lacking(judged: &Judged) -> Option<Basis> {
    let decisive = |ground| ground == judged.ground && matches!(ground, Ground::NotVisible | Ground::TooLittleCoverage);
    judged.limits.iter().find(|limit| !limit.passed_over && decisive(limit.ground)).map(|limit| limit.source)
}

/// What was not seen, or not for long enough, by its source.
fn too_little_seen(judgement: &Assessment) -> Vec<Recommendation> {
    let mut by_source: BTreeMap<Basis, (String, Vec<&str>)> = BTreeMap::new();
    for (criterion, judged) in undecided(judgement) {
        if let Some(basis) = lacking(judged) {
            by_source.entry(basis).or_insert_with(|| (judged.why.clone(), Vec::new())).1.push(&criterion.id);
        }
    }
    let told = |(basis, (why, ids)): (Basis, (String, Vec<&str>))| {
        let action = basis.advice();
        let first = action.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
        recommend(format!("{first}{}.", action.get(1..).unwrap_or_default()), why, &ids)
    };
    by_source.into_iter().map(told).collect()
}

/// How to exercise what nobody used, for each thing that lacks it.
fn not_exercised(judgement: &Assessment) -> Vec<Recommendation> {
    let mut by_action: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (criterion, judged) in undecided(judgement) {
        if judged.ground != Ground::NotExercised {
            continue;
        }
        let action = match criterion.id.as_str() {
            "integration.meta_tool_succeeds" | "integration.gemini_without_errors" | "performance.meta_tool_time" => {
                "Let a client call the meta-tool during the period."
            }
            "integration.session_isolation" => "Connect two clients at once, and let each of them choose tools of its own.",
            "stability.degradation_passes" => {
                "Disturb the hub on purpose between `hubwatch mark begin` and `hubwatch mark end`: let Gemini fail, kill a server's \
                 process, disconnect a client, connect ten clients at once."
            }
            _ => "Exercise what these criteria measure during the period.",
        };
        by_action.entry(action).or_default().push(&criterion.id);
    }
    let title = |id: &str| {
        let found = judgement.criteria.iter().find(|(criterion, _)| criterion.id == id);
        found.map_or(id.to_owned(), |(criterion, _)| criterion.title.clone())
    };
    let told = |(action, ids): (&str, Vec<&str>)| {
        let titles: Vec<String> = ids.iter().map(|id| title(id)).collect();
        recommend(action, format!("not exercised: {}", titles.join("; ")), &ids)
    };
    by_action.into_iter().map(told).collect()
}

/// A period that is too short stands in the way of the whole verdict, whatever its criteria came to.
fn too_short(judgement: &Assessment) -> Option<Recommendation> {
    judgement.obstacles.iter().find(|obstacle| obstacle.kind == ObstacleKind::TooShort)?;
    let wanted = words::duration(judgement.rules.min_period.get());
    let watched = words::duration(judgement.history.coverage.covered_us);
    let ids: Vec<&str> = undecided(judgement).map(|(criterion, _)| criterion.id.as_str()).collect();
    Some(recommend(format!("Watch for at least {wanted} before asking for a verdict."), format!("{watched} were watched"), &ids))
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
