//! Steps of scenarios, and what their clients measured.

use std::collections::{BTreeMap, BTreeSet};

use hubwatch::watch::*;

use super::{Opinion, Period, Taken, facts, fraction, whole};

/// "`checks.NAME` counts the failed steps of scenario NAME."
const CHECKS: [(&str, &str); 15] = [
    ("checks.session_isolation", "session_isolation"),
    ("checks.concurrent_sessions", "concurrent_sessions"),
    ("checks.session_cleanup", "session_cleanup"),
    ("checks.sse_lost", "sse_lost"),
    ("checks.sse_disconnect", "sse_lost"),
    ("checks.half_open", "half_open"),
    ("checks.mid_call_leave", "mid_call_leave"),
    ("checks.meta_tool", "meta_tool"),
    ("checks.tools_usable", "tools_usable"),
    ("checks.gemini_failure", "gemini_failure"),
    ("checks.server_crash", "server_crash"),
    ("checks.high_load", "high_load"),
    ("checks.log_growth", "log_growth"),
    ("checks.log_disk_full", "log_disk_full"),
    ("checks.soak", "soak"),
];

/// Scenarios that overload or disturb the hub.
const DISTURBING: [&str; 7] =
    ["high_load", "gemini_failure", "server_crash", "sse_lost", "half_open", "mid_call_leave", "log_disk_full"];

pub(super) fn scenarios(taken: &[Taken<'_>], period: Period, opinion: &mut Opinion) {
    let mut seen = BTreeSet::new();
    let mut steps: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut runs: BTreeMap<(&str, ScenarioRun), (Timestamp, u64)> = BTreeMap::new();
    let mut measured: BTreeMap<&str, (u128, u64)> = BTreeMap::new();
    for (fact, _) in facts(taken, period) {
        let FactKind::Scenario(told) = &fact.kind else { continue };
        // "The same scenario, run and number is the same result."
        let run = match told {
            ScenarioFact::ScenarioChecked(step) => step.run,
            ScenarioFact::ScenarioMeasured(of) => of.run,
        };
        let (first, unverifiable) = runs.entry((told.scenario().as_str(), run)).or_insert((fact.when.latest(), 0));
        *first = (*first).min(fact.when.latest());
        if !seen.insert((told.scenario().to_string(), told.place(), told.name())) {
            continue;
        }
        match told {
            ScenarioFact::ScenarioChecked(step) => {
                *unverifiable += u64::from(step.verdict == StepVerdict::NotVerifiable);
                let (failed, decided) = steps.entry(step.scenario.as_str()).or_default();
                *failed += u64::from(step.verdict == StepVerdict::Fail);
                *decided += u64::from(matches!(step.verdict, StepVerdict::Fail | StepVerdict::Pass));
            }
            ScenarioFact::ScenarioMeasured(of) => {
                let load = of.scenario.as_str() == "high_load";
                let word = match of.measured {
                    MeasuredByClient::MetaToolCall if load => "client.load_calls_mean",
                    MeasuredByClient::ApiRequest if load => "client.load_api_mean",
                    _ if DISTURBING.contains(&of.scenario.as_str()) => continue,
                    MeasuredByClient::MetaToolCall => "client.calls_mean",
                    MeasuredByClient::ApiRequest => "client.api_mean",
                    MeasuredByClient::ToolCall => continue,
                };
                let (sum, timed) = measured.entry(word).or_default();
                *sum += u128::from(of.sum.get());
                *timed += of.count.get() - of.failed.get();
            }
        }
    }
    for (word, scenario) in CHECKS {
        // "The latest run is the one whose first fact is the latest; of two at the same time the one with the greater id."
        let of = runs.iter().filter(|((of, _), _)| *of == scenario);
        let latest = of.max_by_key(|((_, run), (first, _))| (*first, run.to_string()));
        let unseen = latest.is_some_and(|(_, (_, unverifiable))| *unverifiable > 0);
        let told = steps.get(scenario).filter(|(failed, decided)| *decided > 0 && (*failed > 0 || !unseen));
        opinion.measures.insert(word, told.map_or((None, 0), |(failed, decided)| (whole(*failed), *decided)));
    }
    for word in ["client.calls_mean", "client.api_mean", "client.load_calls_mean", "client.load_api_mean"] {
        let (sum, timed) = measured.get(word).copied().unwrap_or_default();
        opinion.measures.insert(word, (fraction(sum, u128::from(timed)), timed));
    }
}
