//! Reasons: why a criterion has its verdict, as a sentence with the thing, the value, the limit and the time.

use super::{evidence, words};
use crate::judge::Assessment;
use crate::judge::criterion::{Criterion, Group};
use crate::judge::evaluate::{Ground, Judged, LimitJudged};
use crate::judge::history::{FailedStep, HubStop, Outage, ServerHistory};
use crate::judge::measure::{Dated, Measure, Names, Sentence};
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
        | Ground::NotVerifiable
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
        Ground::NotVerifiable => format!("Not verifiable: {title} – {}", rest("not verifiable: ")),
        Ground::TooFewSamples | Ground::TooLittleCoverage => format!("Not enough data: {title} – {}", judged.why),
        Ground::NotApplicable | Ground::Disabled => format!("Not judged: {title} – {}", judged.why),
    }
}

/// Words a value beyond its limit: `Server files was down for 12 min (allowed: 0), from 2026-11-01 14:52`.
fn told(criterion: &Criterion, judged: &LimitJudged, judgement: &Assessment) -> String {
    let limit = criterion.limits.iter().find(|limit| limit.measure == judged.measure);
    let bound = limit.and_then(|limit| if judged.verdict == Verdict::Fail { limit.fails() } else { limit.warns() });
    let bound = bound.map_or(String::new(), |bound| format!(" ({})", bound.words(judged.measure.unit)));
    let sentence = sentence(judged, judgement);
    format!("{sentence}{bound}{}", when(judged.measure, judgement).unwrap_or_default())
}

fn sentence(judged: &LimitJudged, judgement: &Assessment) -> String {
    let listed = |names| listed(&named(names, judgement));
    let one_or_more = |one, more| if judged.value == Some(1) { one } else { more };
    let (text, names) = match judged.measure.sentence {
        Sentence::Plain(text) => (text, String::new()),
        Sentence::Counted(one, more) => (one_or_more(one, more), String::new()),
        Sentence::CountedOf(names, one, more) => (one_or_more(one, more), listed(names)),
        Sentence::SummedOver(names, one, _) if named(names, judgement).len() == 1 => (one, listed(names)),
        Sentence::SummedOver(names, _, more) => (more, listed(names)),
    };
    // The names come last: one may contain braces.
    text.replace("{}", judged.shown.as_deref().unwrap_or("–")).replace("{names}", &names)
}

/// Returns the names that a sentence is about.
fn named(names: Names, judgement: &Assessment) -> Vec<String> {
    match names {
        Names::DownServers => {
            required(judgement).filter(|server| server.down_unplanned_us > 0).map(|server| server.name.clone()).collect()
        }
        Names::DisconnectedServers => {
            required(judgement).filter(|server| server.disconnections_unplanned > 0).map(|server| server.name.clone()).collect()
        }
        Names::FailedScenarios => {
            let failed = |(criterion, judged): &&(Criterion, Judged)| {
                criterion.group == Group::Degradation && judged.verdict == Verdict::Fail
            };
            judgement.criteria.iter().filter(failed).map(|(criterion, _)| criterion.title.clone()).collect()
        }
    }
}

/// Returns when it happened, where that is one instant or has a first one.
fn when(measure: Measure, judgement: &Assessment) -> Option<String> {
    let hub = &judgement.history.hub;
    match measure.dated {
        Dated::ServerOutages => {
            let downs = unplanned(required(judgement).flat_map(|server| &server.down));
            dated("from", &downs.iter().map(|down| down.from).collect::<Vec<_>>())
        }
        Dated::Disconnections => {
            let downs =
                unplanned(required(judgement).filter(|server| server.disconnections_unplanned > 0).flat_map(|server| &server.down));
            dated("at", &downs.iter().map(|down| down.from).collect::<Vec<_>>())
        }
        Dated::HubOutages => dated("from", &unplanned(&hub.unreachable).iter().map(|down| down.from).collect::<Vec<_>>()),
        Dated::HubStops => {
            let stops: Vec<&HubStop> = hub.stops.iter().chain(&hub.exits).filter(|stop| stop.planned.is_none()).collect();
            let first = stops.iter().min_by_key(|stop| stop.at)?;
            let cause = words::stop_cause(first).map_or(String::new(), |cause| format!(": {cause}"));
            Some(dated("at", &stops.iter().map(|stop| stop.at).collect::<Vec<_>>())? + &cause)
        }
        Dated::LastFailedRound => {
            let last = judgement.history.calls.last_failed_rounds.last()?;
            Some(format!(", last at {}: {}", words::minute(last.at), words::gemini_failure(last.failure)))
        }
        Dated::Peak => {
            let peak = evidence::peak(measure.worst, &judgement.series)?;
            Some(format!(", around {}", words::minute(peak.at)))
        }
        Dated::FailedSteps(scenario) => {
            let scenario = judgement.history.scenarios.of(scenario)?;
            let runs = if scenario.runs == 1 { String::new() } else { format!(", in {} runs", scenario.runs) };
            let at: Vec<Moment> = scenario.failures.iter().map(|step| step.first).collect();
            let steps: Vec<String> = scenario.failures.iter().map(failed_step).collect();
            Some(format!("{runs}{}: {}", dated("at", &at)?, listed(&steps)))
        }
        Dated::Never => None,
    }
}

/// Words a failed step: `1.3 A lists its tools (a known defect of the hub)`. The list of steps has the link.
fn failed_step(step: &FailedStep) -> String {
    let known = step.known_defect.as_ref().map_or("", |_| " (a known defect of the hub)");
    format!("{} {}{known}", step.check, step.title)
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

fn listed(names: &[String]) -> String {
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
        let listed = |names: &[&str]| listed(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b, c");
        assert_eq!(listed(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
