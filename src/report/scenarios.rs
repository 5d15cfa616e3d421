//! Scenarios, ready for the report's pages: their steps, and what their clients measured beside what the hub's log says.

use serde::Serialize;

use super::model::Report;
use super::words;
use crate::judge::history::{CallComparison, CallMatch, ClientFigures, RunHistory, ScenarioHistory, Step, StepCounts};
use crate::judge::moment::Moment;
use crate::watch::{MeasuredByClient, StepVerdict};

/// The strategy's test cases of session management: section 4 has them, section 3 the other scenarios.
const SESSIONS: [&str; 3] = ["session_isolation", "session_cleanup", "concurrent_sessions"];

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ScenarioView {
    name: String,
    /// Whether it belongs to section 4.
    is_session: bool,
    /// The sign of its worst verdict, and the class of its colour.
    sign: &'static str,
    class: &'static str,
    /// How often it ran, and how its steps ended.
    result: String,
    /// When its latest run was; empty if there is one only.
    latest: String,
    /// The trace of the latest run, if all its steps have the same.
    trace: String,
    /// The address of that trace; empty if unknown.
    trace_url: String,
    steps: Vec<StepRow>,
    /// A line for steps that are not listed; empty if all are.
    more_steps: String,
    /// The runs before it, a line each.
    earlier: Vec<String>,
}

/// A step of the latest run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct StepRow {
    check: String,
    title: String,
    /// The sign and the word of its verdict.
    result: &'static str,
    class: &'static str,
    detail: String,
    /// When it was told, in UTC.
    at: String,
    /// The link of a known defect; empty if there is none that a page may link to.
    defect_url: String,
    /// The known defect, if it is no such link.
    defect: String,
    trace: String,
    /// The address of the trace; empty if unknown.
    trace_url: String,
}

/// Returns the sign and the word of a verdict, and the class of its colour.
const fn verdict(verdict: StepVerdict) -> (&'static str, &'static str) {
    match verdict {
        StepVerdict::Pass => ("✓ pass", "pass"),
        StepVerdict::Fail => ("✗ FAIL", "fail"),
        StepVerdict::NotVerifiable => ("? not verifiable", "inconclusive"),
        StepVerdict::NotApplicable => ("– not applicable", "not_applicable"),
    }
}

/// Returns the verdict of all steps together. Steps that are not verifiable may be those that the scenario is for: then it did not hold.
const fn worst(counts: StepCounts) -> StepVerdict {
    match (counts.failed, counts.not_verifiable, counts.passed) {
        (1.., _, _) => StepVerdict::Fail,
        (0, 1.., _) => StepVerdict::NotVerifiable,
        (0, 0, 1..) => StepVerdict::Pass,
        (0, 0, 0) => StepVerdict::NotApplicable,
    }
}

/// Returns how steps ended: `7 passed, 1 failed, 2 not verifiable`.
fn counted(counts: StepCounts) -> String {
    let all = [
        (counts.passed, "passed"),
        (counts.failed, "failed"),
        (counts.not_verifiable, "not verifiable"),
        (counts.not_applicable, "not applicable"),
    ];
    let some = all.iter().filter(|(count, _)| *count > 0).map(|(count, how)| format!("{count} {how}"));
    let some: Vec<String> = some.collect();
    if some.is_empty() { "no step was told".to_owned() } else { some.join(", ") }
}

/// Returns the scenarios of the period, by name.
pub(super) fn views(report: &Report) -> Vec<ScenarioView> {
    report.scenarios.iter().map(|scenario| view(scenario, report)).collect()
}

fn view(scenario: &ScenarioHistory, report: &Report) -> ScenarioView {
    let (sign, class) = verdict(worst(scenario.steps));
    let when = span(&scenario.latest);
    let (runs, latest) = match scenario.runs {
        1 => (format!("1 run, {when}"), String::new()),
        runs => (format!("{runs} runs"), when),
    };
    let mut earlier: Vec<String> = scenario.earlier.iter().map(run_line).collect();
    if scenario.earlier_left_out > 0 {
        earlier.push(format!("… and {} more", scenario.earlier_left_out));
    }
    let more_steps = match scenario.latest.steps_left_out {
        0 => String::new(),
        more => format!("… and {more} more steps"),
    };
    let trace = one_trace(&scenario.latest);
    let mut steps: Vec<StepRow> = scenario.latest.steps.iter().map(|step| step_row(step, report)).collect();
    if !trace.is_empty() {
        for step in &mut steps {
            (step.trace, step.trace_url) = (String::new(), String::new());
        }
    }
    ScenarioView {
        name: scenario.name.clone(),
        is_session: SESSIONS.contains(&scenario.name.as_str()),
        sign,
        class,
        result: format!("{runs}: {}", counted(scenario.steps)),
        latest,
        trace_url: report.trace_urls.get(&trace).cloned().unwrap_or_default(),
        trace,
        steps,
        more_steps,
        earlier,
    }
}

/// Returns the trace that all steps of a run have; empty if they have several.
fn one_trace(run: &RunHistory) -> String {
    let first = run.steps.first().and_then(|step| step.trace.clone()).unwrap_or_default();
    if run.steps.iter().all(|step| step.trace.as_deref() == Some(first.as_str())) { first } else { String::new() }
}

fn run_line(run: &RunHistory) -> String {
    let failed = if run.failed.is_empty() { String::new() } else { format!(" ({})", run.failed.join(", ")) };
    format!("{}: {}{failed}", span(run), counted(run.counts))
}

/// Returns from when to when a run told results, in UTC.
fn span(run: &RunHistory) -> String {
    let (from, to) = (second(run.from), second(run.to));
    match (from.split_once(' '), to.split_once(' ')) {
        _ if from == to => format!("{from} UTC"),
        (Some((day, _)), Some((same, time))) if day == same => format!("{from} to {time} UTC"),
        _ => format!("{from} to {to} UTC"),
    }
}

fn second(at: Moment) -> String {
    let at = at.to_string();
    at.get(..19).unwrap_or(&at).replace('T', " ")
}

fn step_row(step: &Step, report: &Report) -> StepRow {
    let (result, class) = verdict(step.verdict);
    let defect = step.known_defect.clone().unwrap_or_default();
    let (defect_url, defect) = if is_link(&defect) { (defect, String::new()) } else { (String::new(), defect) };
    let trace = step.trace.clone().unwrap_or_default();
    StepRow {
        check: step.check.clone(),
        title: step.title.clone(),
        result,
        class,
        detail: step.detail.clone().unwrap_or_default(),
        at: second(step.at),
        defect_url,
        defect,
        trace_url: report.trace_urls.get(&trace).cloned().unwrap_or_default(),
        trace,
    }
}

/// Returns whether a text is the address of a web page, with nothing in it that could end a link in Markdown or HTML.
fn is_link(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/?#@!$&+,;=%".contains(letter);
    (text.starts_with("https://") || text.starts_with("http://")) && text.chars().all(plain)
}

/// Returns what clients measured, ready for a table: scenario, what, how many, average, p95, longest, the hub's log, the difference.
pub(super) fn measured_rows(report: &Report) -> Vec<Vec<String>> {
    let rows =
        report.scenarios.iter().flat_map(|scenario| scenario.measured.iter().map(move |figures| measured_row(scenario, figures)));
    rows.collect()
}

fn measured_row(scenario: &ScenarioHistory, figures: &ClientFigures) -> Vec<String> {
    let known = |duration: Option<u64>| duration.map_or("–".to_owned(), words::duration);
    let failed = if figures.failed == 0 { String::new() } else { format!(", {} failed", figures.failed) };
    let (what, compared) = match figures.measured {
        MeasuredByClient::MetaToolCall => ("meta-tool calls", scenario.compared.as_ref()),
        MeasuredByClient::ApiRequest => ("API requests", None),
        MeasuredByClient::ToolCall => ("tool calls", None),
    };
    let (log, difference) = match compared {
        Some(compared) => (log_says(compared), difference(compared)),
        None => ("does not show them".to_owned(), "–".to_owned()),
    };
    vec![
        scenario.name.clone(),
        what.to_owned(),
        format!("{}{failed}", figures.count),
        known(figures.mean_us),
        known(figures.p95_us),
        known(figures.max_us),
        log,
        difference,
    ]
}

fn log_says(compared: &CallComparison) -> String {
    let mean = compared.hub_mean_us.map_or("–".to_owned(), words::duration);
    let calls = if compared.hub_calls == 1 { "1 call".to_owned() } else { format!("{} calls", compared.hub_calls) };
    match compared.matched {
        CallMatch::Windows => format!("average {mean} ({calls} in its windows)"),
        CallMatch::OutsideWindows => format!("average {mean} ({calls} outside of planned windows)"),
        CallMatch::OtherCalls => format!("{calls}, not the same ones"),
        CallMatch::NotVisible => "shows none of these calls".to_owned(),
        CallMatch::TooMany => "too many calls to compare".to_owned(),
    }
}

fn difference(compared: &CallComparison) -> String {
    match compared.difference_permille {
        None => "–".to_owned(),
        Some(difference) => {
            let sign = if difference < 0 { '−' } else { '+' };
            format!("{sign}{}", words::permille(difference.unsigned_abs()))
        }
    }
}

/// Returns a sentence for each scenario whose clients measured another mean call time than the hub's log shows.
pub(super) fn differences(report: &Report) -> Vec<String> {
    let of = |scenario: &ScenarioHistory| {
        let compared = scenario.compared.as_ref().filter(|compared| compared.differs)?;
        let (client, hub) = (words::duration(compared.client_mean_us), words::duration(compared.hub_mean_us?));
        let calls = if compared.client_calls == 1 { "1 call".to_owned() } else { format!("{} calls", compared.client_calls) };
        Some(format!(
            "Scenario {}: its clients waited {client} on average for {calls} of the meta-tool, and the hub's log shows {hub} for the same \
             calls ({}).",
            scenario.name,
            difference(compared)
        ))
    };
    report.scenarios.iter().filter_map(of).collect()
}

/// Returns one line for each scenario, for the summary.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let line = |scenario: &ScenarioHistory| {
        let (sign, _) = verdict(worst(scenario.steps));
        let runs = if scenario.runs == 1 { String::new() } else { format!(" in {} runs", scenario.runs) };
        format!("{sign} – {}: {}{runs}", scenario.name, counted(scenario.steps))
    };
    report.scenarios.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_of_a_web_page_becomes_a_link() {
        assert!(is_link("https://github.com/ravitemer/mcp-hub/issues/128#issue-1"));
        let others = ["", "issue 128", "javascript:alert(1)", "https://a.b/)[x](https://c", "https://a.b/\"onload", "https://a b"];
        others.iter().for_each(|text| assert!(!is_link(text), "{text}"));
    }

    #[test]
    fn a_scenario_has_the_worst_verdict_of_its_steps_and_none_if_nothing_could_be_decided() {
        let counts = |passed, failed, not_verifiable, not_applicable| StepCounts { passed, failed, not_verifiable, not_applicable };
        assert_eq!(worst(counts(3, 1, 1, 1)), StepVerdict::Fail);
        assert_eq!(worst(counts(3, 0, 1, 1)), StepVerdict::NotVerifiable);
        assert_eq!(worst(counts(3, 0, 0, 1)), StepVerdict::Pass);
        assert_eq!(worst(counts(0, 0, 1, 1)), StepVerdict::NotVerifiable);
        assert_eq!(worst(counts(0, 0, 0, 1)), StepVerdict::NotApplicable);
        assert_eq!(counted(counts(7, 1, 0, 2)), "7 passed, 1 failed, 2 not applicable");
    }

    #[test]
    fn a_run_of_one_day_names_the_day_once() {
        let at = |second: u64| Moment(crate::watch::Timestamp::from_secs(1_795_000_000 + second));
        let run = |length| span(&RunHistory { from: at(0), to: at(length), ..RunHistory::default() });
        assert_eq!(run(0), "2026-11-18 11:06:40 UTC");
        assert_eq!(run(65), "2026-11-18 11:06:40 to 11:07:45 UTC");
        assert_eq!(run(86_400), "2026-11-18 11:06:40 to 2026-11-19 11:06:40 UTC");
    }
}
