//! Recommendations: each has an action and the criteria that it should fix.

use std::collections::BTreeMap;

use super::model::Recommendation;
use super::{reason, words};
use crate::judge::Assessment;
use crate::judge::criterion::{Criterion, Severity};
use crate::judge::evaluate::{Ground, Judged, LimitJudged, short_of};
use crate::judge::history::{Basis, Ending, History, Outage, ScenarioHistory, ServerHistory};
use crate::judge::leak::{Growth, MemoryTrend};
use crate::judge::measure::{Advice, Events, Measure};
use crate::judge::obstacle::ObstacleKind;
use crate::judge::verdict::Verdict;
use crate::watch::{GeminiFailure, Micros};

/// The strategy's limit for the recovery of a server.
const IN_TIME: Micros = Micros::new(30_000_000);

/// Returns what to do, the most urgent first: failures before missing data. Criteria that passed need nothing.
pub(super) fn recommendations(judgement: &Assessment) -> Vec<Recommendation> {
    let history = &judgement.history;
    let mut all: Vec<_> = history.servers.0.values().filter_map(|one| server(one, judgement)).collect();
    all.extend(hub(judgement));
    all.extend(gemini(judgement));
    all.extend(judgement.criteria.iter().filter_map(|(criterion, judged)| numbers(criterion, judged, judgement)));
    all.extend(judgement.history.scenarios.all.iter().filter_map(|scenario| failed_steps(scenario, judgement)));
    all.extend(leak_undecided(judgement));
    all.extend(too_little_seen(judgement));
    all.extend(not_verifiable(judgement));
    all.extend(not_exercised(judgement));
    all.retain_mut(|recommendation| {
        recommendation.criteria.retain(|id| is_open(judgement, id));
        !recommendation.criteria.is_empty()
    });
    all.extend(too_short(judgement));
    once(all)
}

/// Makes one recommendation of those with equal words: two sources can have the same advice.
fn once(all: Vec<Recommendation>) -> Vec<Recommendation> {
    let mut told: Vec<Recommendation> = Vec::new();
    for Recommendation { action, why, criteria } in all {
        let Some(known) = told.iter_mut().find(|known| known.action == action) else {
            told.push(Recommendation { action, why, criteria });
            continue;
        };
        if !known.why.contains(&why) {
            known.why = format!("{}; {why}", known.why);
        }
        let new: Vec<String> = criteria.into_iter().filter(|id| !known.criteria.contains(id)).collect();
        known.criteria.extend(new);
    }
    told
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

fn server(server: &ServerHistory, judgement: &Assessment) -> Option<Recommendation> {
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
        return Some(recommend(action, why, &criteria_on(judgement, |measure| measure == Measure::SERVERS_DOWN_TIME)));
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
    Some(recommend(action, why, &criteria_on(judgement, |measure| measure.advice == Advice::Servers)))
}

fn hub(judgement: &Assessment) -> Option<Recommendation> {
    let ids = criteria_on(judgement, |measure| measure.advice == Advice::Hub);
    let hub = &judgement.history.hub;
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

fn gemini(judgement: &Assessment) -> Option<Recommendation> {
    let calls = &judgement.history.calls;
    let rounds = calls.gemini_failed_rounds;
    let failure = calls.last_failed_rounds.last()?.failure;
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
        &criteria_on(judgement, |measure| measure.advice == Advice::Gemini),
    ))
}

/// Returns what to do about a criterion that fails or warns: the advice of the first of its measures that has one.
fn numbers(criterion: &Criterion, judged: &Judged, judgement: &Assessment) -> Option<Recommendation> {
    if judged.verdict != Verdict::Fail && judged.verdict != Verdict::Warn {
        return None;
    }
    let decisive = judged.limits.iter().filter(|limit| !limit.passed_over && limit.verdict == judged.verdict);
    let action =
        decisive.map(|limit| limit.measure.advice).find_map(|advice| action(advice, judged.verdict, &judgement.history))?;
    Some(recommend(action, reason::why(criterion, judged, judgement), &[&criterion.id]))
}

fn action(advice: Advice, verdict: Verdict, history: &History) -> Option<String> {
    match advice {
        Advice::Do(action) => Some(action.to_owned()),
        Advice::LogGrowth if history.log.storms.is_empty() => Some("Lower the hub's log level, or rotate its log.".to_owned()),
        Advice::LogGrowth => Some("Stop the repeated lines (section 6 names them), or rotate the log.".to_owned()),
        Advice::Memory => Some(memory(verdict, history)),
        // What happened says more than the number: see `server`, `hub` and `gemini`.
        Advice::Servers | Advice::Hub | Advice::Gemini => None,
        Advice::None => None,
    }
}

/// Returns the criteria with a measure that an advice is about.
fn criteria_on(judgement: &Assessment, is_about: impl Fn(Measure) -> bool) -> Vec<&str> {
    let about = |criterion: &&Criterion| criterion.limits.iter().any(|limit| is_about(limit.measure));
    judgement.criteria.iter().map(|(criterion, _)| criterion).filter(about).map(|criterion| criterion.id.as_str()).collect()
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
fn leak_undecided(judgement: &Assessment) -> Option<Recommendation> {
    let trend = judgement.history.memory_trend.as_ref().filter(|trend| trend.growth != Growth::TooShort)?;
    let action = "Watch for longer (48 h), or under a more even load, to distinguish a memory leak from other growth.";
    let ids = criteria_on(judgement, |measure| measure.advice == Advice::Memory);
    Some(recommend(action, MemoryTrend::undecided(trend)?, &ids))
}

/// Returns the must criteria without a verdict.
fn undecided(judgement: &Assessment) -> impl Iterator<Item = (&Criterion, &Judged)> {
    let all = judgement.criteria.iter().map(|(criterion, judged)| (criterion, judged));
    all.filter(|(criterion, judged)| criterion.severity == Severity::Must && judged.verdict == Verdict::Inconclusive)
}

/// Returns the limit that left a criterion without a verdict on the given grounds.
fn undecided_by<'a>(judged: &'a Judged, grounds: &[Ground]) -> Option<&'a LimitJudged> {
    let decisive = |limit: &&LimitJudged| !limit.passed_over && limit.ground == judged.ground && grounds.contains(&limit.ground);
    judged.limits.iter().find(decisive)
}

/// Advises on sources that were missing or were not read for long enough.
fn too_little_seen(judgement: &Assessment) -> Vec<Recommendation> {
    let mut by_source: BTreeMap<Basis, (String, Vec<&str>)> = BTreeMap::new();
    for (criterion, judged) in undecided(judgement) {
        if let Some(limit) = undecided_by(judged, &[Ground::NotVisible, Ground::TooLittleCoverage]) {
            let short = short_of(criterion, limit.source, &judgement.history.coverage, judgement.rules.min_period);
            // Of a period that is too short, one recommendation says so for all criteria.
            if short.is_the_period() {
                continue;
            }
            by_source.entry(short.source).or_insert_with(|| (judged.why.clone(), Vec::new())).1.push(&criterion.id);
        }
    }
    let told = |(basis, (why, ids)): (Basis, (String, Vec<&str>))| {
        let action = basis.advice();
        recommend(format!("{}.", words::capitalised(action)), why, &ids)
    };
    by_source.into_iter().map(told).collect()
}

/// Advises on the steps of a scenario that failed.
fn failed_steps(scenario: &ScenarioHistory, judgement: &Assessment) -> Option<Recommendation> {
    let is_about = |measure: Measure| matches!(measure.events, Events::FailedSteps(name) if name == scenario.name);
    let first = scenario.failures.first()?;
    let steps: Vec<&str> = scenario.failures.iter().map(|step| step.check.as_str()).collect();
    let known = scenario.failures.iter().find_map(|step| step.known_defect.as_ref());
    let known = known.map_or("", |_| " (a known defect of the hub)");
    let steps = if steps.len() == 1 { format!("step {}", steps[0]) } else { format!("steps {}", steps.join(", ")) };
    let why = first.detail.as_ref().map_or(first.title.clone(), |detail| format!("{}: {detail}", first.title));
    // A backtick would end the code that the name stands in.
    let action = format!("Find out why {steps} of scenario `{}` failed{known}.", scenario.name.replace('`', "'"));
    Some(recommend(action, why, &criteria_on(judgement, is_about)))
}

/// Advises on scenarios whose steps could not be verified.
fn not_verifiable(judgement: &Assessment) -> impl Iterator<Item = Recommendation> {
    let action = "Run the scenarios again when their steps can be verified.";
    let not = undecided(judgement).filter(|(_, judged)| judged.ground == Ground::NotVerifiable);
    not.map(move |(criterion, judged)| recommend(action, judged.why.clone(), &[criterion.id.as_str()]))
}

/// Advises how to produce the traffic that untested criteria need.
fn not_exercised(judgement: &Assessment) -> Vec<Recommendation> {
    let mut by_action: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (criterion, judged) in undecided(judgement) {
        let Some(limit) = undecided_by(judged, &[Ground::NotExercised]) else { continue };
        let action = limit.measure.traffic;
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
    use crate::judge::rules::parse;
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

    /// Nothing was watched yet; the rules have a criterion of somebody's own.
    fn with_own_criterion() -> Assessment {
        let own = "[[criterion]]\nid = 'performance.api_p99'\nseverity = 'should'\nlimits = [{ measure = 'api.p99', fail = 3_000_000 }]\n";
        Judge::new(vec![parse(own).unwrap()], Timestamp::new(0)).assess(Timestamp::new(1))
    }

    #[test]
    fn a_criterion_of_ones_own_gets_the_advice_of_its_measure() {
        let assessment = with_own_criterion();
        let (criterion, judged) = assessment.criteria.iter().find(|(criterion, _)| criterion.id == "performance.api_p99").unwrap();
        assert_eq!(numbers(criterion, judged, &assessment), None, "it has no verdict yet");
        let mut failed = judged.clone();
        failed.verdict = Verdict::Fail;
        failed.limits[0].verdict = Verdict::Fail;
        let advised = numbers(criterion, &failed, &assessment).unwrap();
        assert!(advised.action.contains("event loop"), "{advised:?}");
        assert_eq!(advised.criteria, ["performance.api_p99"]);
    }

    #[test]
    fn what_happened_to_servers_hub_and_gemini_is_about_the_criteria_on_their_measures() {
        let assessment = with_own_criterion();
        let about = |advice| criteria_on(&assessment, |measure| measure.advice == advice);
        let of_servers =
            ["integration.servers_connected", "integration.no_unexpected_disconnections", "degradation.server_recovery"];
        assert_eq!(about(Advice::Servers), of_servers);
        assert_eq!(about(Advice::Hub), ["stability.uptime", "stability.no_restarts"]);
        assert_eq!(about(Advice::Gemini), ["integration.gemini_without_errors"]);
        assert_eq!(about(Advice::Memory), ["stability.no_memory_leak"]);
    }

    #[test]
    fn equal_words_stand_once_with_all_their_reasons_and_criteria() {
        let one = recommend("Do it.", "the API failed", &["a", "b"]);
        let other = recommend("Do it.", "the list failed", &["b", "c"]);
        let all = once(vec![one, recommend("Do more.", "", &["d"]), other]);
        let expected = recommend("Do it.", "the API failed; the list failed", &["a", "b", "c"]);
        assert_eq!(all, [expected, recommend("Do more.", "", &["d"])]);
    }

    #[test]
    fn a_source_that_is_lacking_has_an_advice_that_is_a_sentence() {
        for basis in Basis::ALL {
            assert!(basis.advice().chars().next().is_some_and(|first| first.is_ascii_lowercase()), "{basis}");
        }
    }
}
