//! What instrumentation of the hub showed, ready for the report's pages: calls of tools, and requests to LLMs.

use serde::Serialize;

use super::model::Report;
use super::words;
use crate::judge::history::{Cost, KeptAttempt, KeptToolCall, LlmHistory, ToolFigures};
use crate::watch::{ToolOutcome, TraceId};

/// So many tools are listed; the others are in report.json.
const LISTED_TOOLS: usize = 20;

/// An operation worth a look.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct OperationRow {
    /// When it ended.
    at: String,
    what: String,
    took: String,
    outcome: String,
    /// Its trace; empty if unknown.
    trace: String,
    /// The address of its trace; empty if unknown.
    url: String,
}

/// What the pages show.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Instrumented {
    /// All tool calls in a sentence; empty if none was seen.
    tool_calls: String,
    /// By tool: server, tool, calls, failed, average, p95, longest.
    tools: Vec<Vec<String>>,
    /// How many tools are not listed; empty if none.
    more_tools: String,
    slowest_tool_calls: Vec<OperationRow>,
    failed_tool_calls: Vec<OperationRow>,
    /// All attempts in a sentence; empty if none was seen.
    attempts: String,
    /// Their tokens in a sentence; empty if none told them.
    tokens: String,
    /// By model: model, attempts, failed, average, p95, tokens in, tokens out.
    models: Vec<Vec<String>>,
    slowest_attempts: Vec<OperationRow>,
    failed_attempts: Vec<OperationRow>,
}

/// Returns what the pages show of it.
pub(super) fn view(report: &Report) -> Instrumented {
    let (calls, llm) = (&report.tool_calls, &report.llm);
    let more = calls.tools.len().saturating_sub(LISTED_TOOLS);
    let of_calls = |kept: &[KeptToolCall]| kept.iter().map(|call| tool_call(call, report)).collect();
    let of_attempts = |kept: &[KeptAttempt]| kept.iter().map(|attempt| llm_attempt(attempt, report)).collect();
    Instrumented {
        tool_calls: if calls.total == 0 { String::new() } else { of_tools(report) },
        tools: calls.tools.iter().take(LISTED_TOOLS).map(tool_row).collect(),
        more_tools: if more == 0 { String::new() } else { format!("… and {more} more tools") },
        slowest_tool_calls: of_calls(&calls.slowest),
        failed_tool_calls: of_calls(&calls.last_failed),
        attempts: if llm.total == 0 { String::new() } else { of_llm(llm) },
        tokens: if llm.tokens.attempts == 0 { String::new() } else { of_tokens(report) },
        models: llm.models.iter().map(model_row).collect(),
        slowest_attempts: of_attempts(&llm.slowest),
        failed_attempts: of_attempts(&llm.last_failed),
    }
}

fn timed(mean: Option<u64>, p50: Option<u64>, p95: Option<u64>, p99: Option<u64>, max: Option<u64>) -> String {
    let figure = |name: &str, value: Option<u64>| value.map(|value| format!("{name} {}", words::duration(value)));
    let all = [("average", mean), ("p50", p50), ("p95", p95), ("p99", p99), ("longest", max)];
    let known: Vec<String> = all.into_iter().filter_map(|(name, value)| figure(name, value)).collect();
    if known.is_empty() { String::new() } else { format!("; {}", known.join(", ")) }
}

fn of_tools(report: &Report) -> String {
    let calls = &report.tool_calls;
    let left = calls.by_outcome.get("client_closed").copied().unwrap_or(0);
    let share = report.shown(crate::judge::measure::Measure::TOOLS_FAILED_SHARE).unwrap_or("–");
    let aside = |count: u64, what: &str| if count == 0 { String::new() } else { format!("; {count} {what}") };
    format!(
        "{} calls; of {} judged ones {} failed ({share}){}{}{}",
        calls.total,
        calls.judged,
        calls.failed,
        timed(calls.mean_us, calls.p50_us, calls.p95_us, calls.p99_us, calls.max_us),
        aside(calls.planned, "in planned disturbances"),
        aside(left, "whose client left before the answer"),
    )
}

fn of_llm(llm: &LlmHistory) -> String {
    let aside = |count: u64, what: &str| if count == 0 { String::new() } else { format!("; {count} {what}") };
    format!(
        "{} attempts; of {} judged ones {} failed ({} turned away with HTTP 429), {} were retries{}{}",
        llm.total,
        llm.judged,
        llm.failed,
        llm.rate_limited,
        llm.retries,
        timed(llm.mean_us, llm.p50_us, llm.p95_us, llm.p99_us, llm.max_us),
        aside(llm.planned, "in planned disturbances or answered by the instrumentation itself"),
    )
}

fn of_tokens(report: &Report) -> String {
    let (tokens, calls) = (&report.llm.tokens, report.calls.total);
    let a_day = report.llm.tokens_per_day.map_or(String::new(), |a_day| format!(", {a_day} a day"));
    let per_call = tokens.total().checked_div(calls).map_or(String::new(), |each| format!(", {each} for each meta-tool call"));
    let used = report.shown(crate::judge::measure::Measure::LLM_BUDGET_USED).filter(|_| report.llm.budget_used_permille.is_some());
    let used = used.map_or(String::new(), |used| format!(": {used} of the budget"));
    let cost = report.llm.cost.as_ref().map_or(String::new(), |cost| format!("; {}", of_cost(cost)));
    let thinking = if tokens.reasoning == 0 { String::new() } else { format!(" ({} for thinking)", tokens.reasoning) };
    format!("{} in prompts, {} in answers{thinking}{per_call}{a_day}{used}{cost}", tokens.input, tokens.output)
}

fn of_cost(cost: &Cost) -> String {
    format!("{} {}, {} a day", money(cost.micros), cost.currency, money(cost.micros_per_day))
}

/// An amount with two digits; a smaller one than that with four.
fn money(micros: u64) -> String {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
    if micros > 0 && micros < 10_000 { format!("{whole}.{:04}", rest / 100) } else { format!("{whole}.{:02}", rest / 10_000) }
}

fn tool_row(tool: &ToolFigures) -> Vec<String> {
    let server = if tool.server.is_empty() { "–".to_owned() } else { tool.server.clone() };
    let durations = [tool.mean_us, tool.p95_us, tool.max_us].map(words::duration);
    [vec![server, tool.tool.clone(), tool.calls.to_string(), tool.failed.to_string()], durations.to_vec()].concat()
}

fn model_row(model: &crate::judge::history::ModelFigures) -> Vec<String> {
    let known = |duration: Option<u64>| duration.map_or("–".to_owned(), words::duration);
    let tokens = |count: u64| if model.tokens.attempts == 0 { "–".to_owned() } else { count.to_string() };
    vec![
        model.model.clone(),
        model.attempts.to_string(),
        model.failed.to_string(),
        known(model.mean_us),
        known(model.p95_us),
        tokens(model.tokens.input),
        tokens(model.tokens.output),
    ]
}

fn tool_call(call: &KeptToolCall, report: &Report) -> OperationRow {
    row(call.at, &call.tool, call.duration_us, ended(call.outcome, &call.error), call.trace, report)
}

/// Returns the outcome, with the error if that says more.
fn ended(outcome: ToolOutcome, error: &str) -> String {
    if error.is_empty() || error == outcome.as_str() { outcome.to_string() } else { format!("{outcome} ({error})") }
}

fn llm_attempt(attempt: &KeptAttempt, report: &Report) -> OperationRow {
    let why = attempt.status.map(|status| format!("HTTP {status}")).or((!attempt.error.is_empty()).then(|| attempt.error.clone()));
    let injected = if attempt.injected { ", injected" } else { "" };
    let outcome = match (attempt.outcome.error(), why) {
        (Some(error), Some(why)) => format!("{error} ({why}{injected})"),
        (_, _) => format!("{}{injected}", attempt.outcome),
    };
    row(attempt.at, &attempt.model, attempt.duration_us, outcome, attempt.trace, report)
}

fn row(
    at: crate::judge::moment::Moment,
    what: &str,
    took: u64,
    outcome: String,
    trace: Option<TraceId>,
    report: &Report,
) -> OperationRow {
    let trace = trace.map(|trace| trace.to_string()).unwrap_or_default();
    let url = report.trace_urls.get(&trace).cloned().unwrap_or_default();
    OperationRow { at: words::minute(at), what: what.to_owned(), took: words::duration(took), outcome, trace, url }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_repeats_the_outcome_is_not_shown_twice() {
        assert_eq!(ended(ToolOutcome::ToolError, "tool_error"), "tool_error");
        assert_eq!(ended(ToolOutcome::Error, "-32602"), "error (-32602)");
        assert_eq!(ended(ToolOutcome::Ok, ""), "ok");
    }

    #[test]
    fn small_amounts_keep_their_digits() {
        assert_eq!([0, 1_234, 12_345, 1_500_000, 12_345_678_901].map(money), ["0.00", "0.0012", "0.01", "1.50", "12345.67"]);
    }
}
