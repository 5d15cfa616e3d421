//! The strategy's five integration points.

use super::model::{Check, CriterionRow, IntegrationPoint};
use super::words;
use crate::judge::history::{History, ServerHistory};
use crate::judge::measure::Unit;
use crate::judge::number;
use crate::judge::standing::Standing;
use crate::judge::verdict::{Verdict, weight};

/// An integration point of the strategy: its name, its components and its criteria.
struct Point {
    name: &'static str,
    components: &'static str,
    criteria: &'static [&'static str],
    evidence: fn(&History) -> String,
}

const POINTS: [Point; 5] = [
    Point {
        name: "MCP Hub ↔ MCP Servers",
        components: "hub, connections, servers",
        criteria: &[
            "integration.servers_connected",
            "integration.no_unexpected_disconnections",
            "integration.tools_synchronised",
            "degradation.server_recovery",
        ],
        evidence: servers_words,
    },
    Point {
        name: "MCP Hub ↔ Gemini API",
        components: "LLM categorization, prompt analyzer",
        criteria: &["integration.gemini_without_errors", "degradation.gemini_fallback"],
        evidence: gemini_words,
    },
    Point {
        name: "Tool Filtering ↔ Session Management",
        components: "tool filtering, session state, MCP endpoint",
        criteria: &["integration.session_isolation", "degradation.session_cleanup"],
        evidence: sessions_words,
    },
    Point {
        name: "Meta-Tool ↔ Client Connections",
        components: "hub__analyze_prompt, MCP protocol handler",
        criteria: &["integration.meta_tool_succeeds", "performance.meta_tool_time"],
        evidence: calls_words,
    },
    Point {
        name: "Logging ↔ All Components",
        components: "logger, event stream, log file",
        criteria: &["integration.logging_without_loss", "performance.log_growth"],
        evidence: log_words,
    },
];

/// Returns the five points. Each has the worst verdict of its criteria.
pub(super) fn integration_points(history: &History, rows: &[CriterionRow]) -> Vec<IntegrationPoint> {
    let check = |row: &CriterionRow| Check { id: row.id.clone(), title: row.title.clone(), verdict: row.verdict };
    let point = |point: &Point| {
        let checks: Vec<_> = rows.iter().filter(|row| point.criteria.contains(&row.id.as_str())).map(check).collect();
        let verdicts = checks.iter().map(|check| check.verdict);
        let verdict = verdicts.max_by_key(|verdict| weight(*verdict)).unwrap_or(Verdict::Inconclusive);
        let reason = |row: &CriterionRow| (row.verdict == Verdict::NotApplicable).then(|| row.why.clone());
        let evidence = match verdict {
            // The hub lacks the feature, so there is no evidence of it.
            Verdict::NotApplicable => rows.iter().filter(|row| point.criteria.contains(&row.id.as_str())).find_map(reason),
            Verdict::Pass | Verdict::Warn | Verdict::Fail | Verdict::Inconclusive => None,
        };
        let evidence = evidence.unwrap_or_else(|| (point.evidence)(history));
        IntegrationPoint { name: point.name.to_owned(), components: point.components.to_owned(), verdict, checks, evidence }
    };
    POINTS.iter().map(point).collect()
}

fn servers_words(history: &History) -> String {
    let of_server = |server: &ServerHistory| {
        let down = server.down_us;
        let state = match (server.never_up, down) {
            (true, _) if !server.should_work() => Standing::Expected.word().to_owned(),
            (true, 0) => "never seen up".to_owned(),
            (true, _) => "never up".to_owned(),
            (false, 0) => "up the whole time".to_owned(),
            (false, down) if server.outages == 1 => format!("down once for {}", words::duration(down)),
            (false, down) => format!("down {} times for {} in total", server.outages, words::duration(down)),
        };
        format!("{}: {state}, {} tools", server.name, server.tools_last)
    };
    let all: Vec<_> = history.servers.0.values().map(of_server).collect();
    if all.is_empty() { "no server was seen".to_owned() } else { all.join("; ") }
}

fn gemini_words(history: &History) -> String {
    let calls = &history.calls;
    let rounds = calls.gemini_failed_rounds;
    let of_others = match rounds.saturating_sub(calls.gemini_failed_rounds_of_calls) {
        0 => String::new(),
        others => format!(" ({others} of them in calls that were only partly seen)"),
    };
    match (calls.gemini_asked, calls.gemini_mean_us) {
        (0, _) if rounds == 0 => "no call used Gemini".to_owned(),
        (0, _) => format!("{rounds} rounds failed{of_others}"),
        (asked, mean) => format!(
            "{asked} calls used Gemini, {rounds} rounds failed{of_others}, average {} without a failed round",
            mean.map_or("–".to_owned(), words::duration)
        ),
    }
}

fn sessions_words(history: &History) -> String {
    let clients = &history.clients;
    format!("{} sessions opened, {} cleaned up", clients.sessions_opened, clients.sessions_closed)
}

fn calls_words(history: &History) -> String {
    let calls = &history.calls;
    let outcomes: Vec<_> = calls.by_outcome.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    match calls.total {
        0 if history.coverage.calls_visible > 0 => "no call was made".to_owned(),
        0 => "no source shows calls".to_owned(),
        total => {
            let in_part = match calls.partial {
                0 => String::new(),
                partial => format!("; {partial} of them only partly seen, of unknown duration"),
            };
            let untimed = match calls.untimed {
                0 => String::new(),
                untimed => format!("; {untimed} of unknown duration, because the hub's clock was set"),
            };
            let mean = calls.mean_us.map_or("–".to_owned(), words::duration);
            format!("{total} calls ({}), average {mean}{in_part}{untimed}", outcomes.join(", "))
        }
    }
}

fn log_words(history: &History) -> String {
    let log = &history.log;
    let a_day = log.growth_per_day().map_or("–".to_owned(), |growth| number::value(Unit::Bytes, growth, &[]));
    let errors = log.errors.map_or("errors not visible".to_owned(), |errors| format!("{errors} errors"));
    let (lines, size) = (log.lines, words::bytes(log.bytes));
    format!("{lines} lines, {size} (growth {a_day} per day), {errors}, {} repeated lines", log.collapsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::rules::Rules;

    #[test]
    fn the_points_name_criteria_that_exist() {
        let criteria = Rules::builtin().criteria;
        for id in POINTS.iter().flat_map(|point| point.criteria) {
            assert!(criteria.iter().any(|criterion| criterion.id == *id), "{id}");
        }
    }
}
