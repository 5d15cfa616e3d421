//! Makes the report's model from an assessment: pure.

use std::collections::BTreeMap;

use super::model::{CriterionRow, Overall, Provenance, Report, SignOff, VERSION};
use super::{baseline, blind, daily, evidence, phases, points, reason, recommend, words};
use crate::base::exit::Exit;
use crate::judge::criterion::{Criterion, Limit, Severity};
use crate::judge::evaluate::Judged;
use crate::judge::measure::{Events, Measure};
use crate::judge::verdict::{RULE, Verdict};
use crate::judge::{Assessment, Override, RuleSource, number, rules};

/// Returns the exit code of a verdict.
pub const fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Pass | Verdict::Warn | Verdict::NotApplicable => Exit::Ok,
        Verdict::Fail => Exit::Failed,
        Verdict::Inconclusive => Exit::NoVerdict,
    }
}

/// Returns the digest of the built-in criteria.
pub fn built_in_digest() -> String {
    blake3::hash(rules::DEFAULT.as_bytes()).to_hex().as_str()[..16].to_owned()
}

/// What a report needs beside the assessment.
#[derive(Debug, Clone)]
pub struct Given {
    /// Where it comes from.
    pub provenance: Provenance,
    /// Signatures and contacts.
    pub sign_off: SignOff,
    /// The baseline that `hubwatch validate` stored; without one the report uses the first hour.
    pub baseline: baseline::Found,
}

/// Makes the report.
pub fn report(judgement: Assessment, given: Given) -> Report {
    let Given { provenance, sign_off, baseline } = given;
    let criteria: Vec<CriterionRow> =
        judgement.criteria.iter().map(|(criterion, judged)| row(criterion, judged, &judgement)).collect();
    let overall = Overall {
        verdict: judgement.overall,
        exit_code: exit(judgement.overall).code(),
        rule: RULE.to_owned(),
        because: because(&judgement),
    };
    let recommendations = recommend::recommendations(&judgement);
    let mut blind_spots = blind::blind_spots(&judgement.history, &provenance);
    blind_spots.extend(baseline.note.as_deref().map(blind::sentence));
    let integration_points = points::integration_points(&judgement.history, &criteria);
    let history = judgement.history;
    let watchers = history.coverage.watchers.keys().cloned().collect();
    let builds = history.coverage.builds.clone();
    let overrides = judgement.overrides.iter().map(override_words).collect();
    let mut report = Report {
        version: VERSION,
        provenance: Provenance { watchers, builds, overrides, ..provenance },
        overall,
        coverage: history.coverage,
        integration_points,
        criteria,
        measures: judgement.measures,
        servers: history.servers.0.into_values().collect(),
        hub: history.hub,
        clients: history.clients,
        calls: history.calls,
        process: history.process,
        log: history.log,
        api: history.api,
        tools: history.tools,
        tool_calls: history.tool_calls,
        llm: history.llm,
        scenarios: history.scenarios.all,
        sidecar: history.sidecar,
        series: judgement.series,
        planned: judgement.planned,
        obstacles: judgement.obstacles,
        memory_trend: history.memory_trend,
        incidents: judgement.incidents,
        recommendations,
        blind_spots,
        sign_off,
        baseline: baseline.baseline,
        phases: Vec::new(),
        daily: Vec::new(),
        comparison: None,
        trace_urls: BTreeMap::new(),
    };
    report.baseline = report.baseline.take().or_else(|| phases::first_hour(&report, &history.phases));
    report.phases = phases::phases(&report, &history.phases);
    report.daily = daily::daily(&report);
    report
}

fn row(criterion: &Criterion, judged: &Judged, judgement: &Assessment) -> CriterionRow {
    let shown = judged
        .limits
        .iter()
        .filter_map(|limit| Some(words::labelled(limit.measure, limit.shown.as_ref()?) + &over_runs(limit.measure, judgement)))
        .map(|value| format!("{value}{}", over_servers(criterion, judgement)));
    let value = shown.collect::<Vec<_>>().join(", ");
    // The limits of scenarios that did not run would fill the column.
    let is_silent = |limit: &Limit| {
        let judged = judged.limits.iter().find(|judged| judged.measure == limit.measure);
        let of_scenarios = matches!(limit.measure.events, Events::FailedSteps(_)) || limit.measure.word.starts_with("client.");
        of_scenarios && judged.is_some_and(|judged| judged.passed_over)
    };
    let limits = criterion.limits.iter().filter(|limit| !is_silent(limit)).filter_map(|limit| {
        let bound = limit.fails().or_else(|| limit.warns())?;
        let at = number::limit(limit.measure.unit, bound.limit);
        Some(words::labelled(limit.measure, &format!("{} {at}", bound.sign())))
    });
    CriterionRow {
        id: criterion.id.clone(),
        group: criterion.group,
        title: criterion.title.clone(),
        severity: criterion.severity,
        verdict: judged.verdict,
        value: if value.is_empty() { "–".to_owned() } else { value },
        threshold: limits.collect::<Vec<_>>().join(", "),
        ground: judged.ground,
        limits: judged.limits.clone(),
        waiver: judged.waiver.clone(),
        samples: judged.samples,
        coverage_permille: judged.coverage_permille,
        min_coverage_permille: criterion.min_coverage,
        why: reason::why(criterion, judged, judgement),
        evidence: evidence::evidence(criterion, judged.verdict, judgement),
    }
}

/// Marks the down time of several servers as a sum: it can be longer than the period.
fn over_servers(criterion: &Criterion, judgement: &Assessment) -> String {
    let is_sum = criterion.limits.iter().any(|limit| limit.measure == Measure::SERVERS_DOWN_TIME);
    let servers = judgement.history.servers.0.values().filter(|server| server.should_work());
    match servers.filter(|server| server.down_unplanned_us > 0).count() {
        down @ 2.. if is_sum => format!(" (sum over {down} servers)"),
        _ => String::new(),
    }
}

/// Says over how many runs of a scenario its steps were counted, if over several.
fn over_runs(measure: Measure, judgement: &Assessment) -> String {
    let Events::FailedSteps(scenario) = measure.events else { return String::new() };
    match judgement.history.scenarios.of(scenario).map(|scenario| scenario.runs) {
        Some(runs @ 2..) => format!(" in {runs} runs"),
        Some(_) | None => String::new(),
    }
}

/// Writes a rule on one line, with its source.
fn override_words(said: &Override) -> String {
    let lines: Vec<&str> = said.rule.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let source = match said.source {
        RuleSource::Watch => "from the watch",
        RuleSource::Here => "from this report's configuration",
    };
    format!("{} ({source})", lines.join(" "))
}

/// Returns the reasons of the overall verdict: those of the criteria that decided it.
fn because(judgement: &Assessment) -> Vec<String> {
    let decisive = |(criterion, judged): &&(Criterion, Judged)| match judgement.overall {
        Verdict::Fail | Verdict::Inconclusive => criterion.severity == Severity::Must && judged.verdict == judgement.overall,
        Verdict::Warn => {
            criterion.severity != Severity::Info && judged.verdict == Verdict::Warn
                || criterion.severity == Severity::Should && judged.verdict == Verdict::Fail
                || criterion.severity == Severity::Must && judged.is_waived()
        }
        Verdict::Pass | Verdict::NotApplicable => false,
    };
    let mut because = Vec::new();
    if judgement.overall == Verdict::Inconclusive {
        because.extend(judgement.obstacles.iter().map(|obstacle| words::capitalised(&obstacle.why)));
    }
    let reason = |(criterion, judged): &(Criterion, Judged)| reason::summary(criterion, judged, judgement);
    because.extend(judgement.criteria.iter().filter(decisive).map(reason));
    because
}
