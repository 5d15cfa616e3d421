//! From a judgement to the report's model: pure.

use std::collections::BTreeMap;

use super::model::{CriterionRow, IntegrationPoint, Overall, Provenance, Report, VERSION};
use super::words;
use crate::judge::criterion::{Criterion, Severity};
use crate::judge::evaluate::Judged;
use crate::judge::history::History;
use crate::judge::verdict::{RULE, Verdict, weight};
use crate::judge::{Judgement, MIN_PERIOD};
use crate::watch::Visibility;

/// How a verdict ends the command.
pub const fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass | Verdict::Warn | Verdict::NotApplicable => 0,
        Verdict::Fail => 1,
        Verdict::Inconclusive => 3,
    }
}

/// Makes the report.
pub fn report(judgement: Judgement, provenance: Provenance) -> Report {
    let criteria: Vec<CriterionRow> = judgement.criteria.iter().map(|(criterion, judged)| row(criterion, judged)).collect();
    let overall = Overall {
        verdict: judgement.overall,
        exit_code: exit_code(judgement.overall),
        rule: RULE.to_owned(),
        because: because(&judgement, &criteria),
    };
    let recommendations = recommendations(&judgement);
    let blind_spots = blind_spots(&judgement.history, &provenance);
    let integration_points = integration_points(&judgement.history, &criteria);
    let mut history = judgement.history;
    let watchers = std::mem::take(&mut history.watchers).into_keys().map(|watcher| watcher.to_string()).collect();
    let builds = std::mem::take(&mut history.builds);
    Report {
        version: VERSION,
        provenance: Provenance { watchers, builds, ..provenance },
        overall,
        coverage: history.coverage,
        integration_points,
        criteria,
        servers: history.servers.into_values().collect(),
        hub: history.hub,
        clients: history.clients,
        calls: history.calls,
        process: history.process,
        log: history.log,
        api: history.api,
        storms: history.storms,
        incidents: judgement.incidents,
        recommendations,
        blind_spots,
    }
}

fn row(criterion: &Criterion, judged: &Judged) -> CriterionRow {
    let shown = judged.values.iter().filter_map(|(measure, value)| {
        let value = (*value)?;
        Some(format!("{} {}", words::name_of(*measure), words::of_measure(*measure, value)))
    });
    let value = shown.collect::<Vec<_>>().join(", ");
    let limits = criterion.limits.iter().map(|limit| {
        let (name, bound) = (words::name_of(limit.measure), words::of_measure(limit.measure, limit.fail));
        format!("{name} {} {bound}", if limit.below { "≥" } else { "≤" })
    });
    CriterionRow {
        id: criterion.id.clone(),
        group: criterion.group.to_string(),
        title: criterion.title.clone(),
        severity: criterion.severity.to_string(),
        verdict: judged.verdict,
        value: if value.is_empty() { "–".to_owned() } else { value },
        threshold: limits.collect::<Vec<_>>().join(", "),
        values: judged.values.iter().map(|(measure, value)| (measure.to_string(), *value)).collect(),
        samples: judged.samples,
        why: judged.why.clone(),
    }
}

/// What decided: the criteria that have the overall verdict's weight.
fn because(judgement: &Judgement, rows: &[CriterionRow]) -> Vec<String> {
    let decisive = |(criterion, judged): &&(Criterion, Judged)| match judgement.overall {
        Verdict::Fail | Verdict::Inconclusive => criterion.severity == Severity::Must && judged.verdict == judgement.overall,
        Verdict::Warn => {
            judged.verdict == Verdict::Warn || criterion.severity == Severity::Should && judged.verdict == Verdict::Fail
        }
        Verdict::Pass | Verdict::NotApplicable => false,
    };
    let by_id: BTreeMap<&str, &CriterionRow> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut because = Vec::new();
    if !judgement.long_enough && judgement.overall == Verdict::Inconclusive {
        let watched = words::duration(judgement.history.coverage.covered_us);
        because.push(format!("only {watched} were watched; a verdict needs {}", words::duration(MIN_PERIOD.get())));
    }
    for (criterion, judged) in judgement.criteria.iter().filter(decisive) {
        let value = by_id.get(criterion.id.as_str()).map_or("–", |row| row.value.as_str());
        because.push(match value {
            "–" => format!("{}: {}", criterion.title, judged.why),
            value => format!("{}: {value} ({})", criterion.title, judged.why),
        });
    }
    because
}

/// The strategy's five integration points and the criteria that speak for each.
const INTEGRATION_POINTS: [(&str, &[&str]); 5] = [
    (
        "MCP Hub ↔ MCP Servers",
        &[
            "integration.servers_connected",
            "integration.no_unexpected_disconnections",
            "integration.tools_synchronised",
            "degradation.server_recovery",
        ],
    ),
    ("MCP Hub ↔ Gemini API", &["integration.gemini_without_errors", "degradation.gemini_fallback"]),
    ("Tool Filtering ↔ Session Management", &["integration.session_isolation", "degradation.session_cleanup"]),
    ("Meta-Tool ↔ Client Connections", &["integration.meta_tool_succeeds", "performance.meta_tool_time"]),
    ("Logging ↔ All Components", &["integration.logging_without_loss", "performance.log_growth"]),
];

fn integration_points(history: &History, rows: &[CriterionRow]) -> Vec<IntegrationPoint> {
    let evidence =
        [servers_words(history), gemini_words(history), sessions_words(history), calls_words(history), log_words(history)];
    let points = INTEGRATION_POINTS.iter().zip(evidence);
    let point = |((name, ids), evidence): (&(&str, &[&str]), String)| {
        let verdicts = rows.iter().filter(|row| ids.contains(&row.id.as_str())).map(|row| row.verdict);
        let verdict = verdicts.max_by_key(|verdict| weight(*verdict)).unwrap_or(Verdict::Inconclusive);
        IntegrationPoint { name: (*name).to_owned(), verdict, evidence }
    };
    points.map(point).collect()
}

fn servers_words(history: &History) -> String {
    let of_server = |server: &crate::judge::history::ServerHistory| {
        let down: u64 = server.down.iter().map(|down| down.duration_us).sum();
        let state = match (server.never_up, down) {
            (true, _) if !server.should_work() => "does not work, as expected".to_owned(),
            (true, _) => "never worked".to_owned(),
            (false, 0) => "always worked".to_owned(),
            (false, down) => format!("down {}× for {}", server.down.len(), words::duration(down)),
        };
        format!("{}: {state}, {} tools", server.name, server.tools_last)
    };
    let all: Vec<_> = history.servers.values().map(of_server).collect();
    if all.is_empty() { "no server was seen".to_owned() } else { all.join("; ") }
}

fn gemini_words(history: &History) -> String {
    let calls = &history.calls;
    match (calls.gemini_asked, calls.gemini_mean_us) {
        (0, _) => "no call asked Gemini".to_owned(),
        (asked, mean) => format!(
            "{asked} calls asked it, {} rounds failed, {} on average without a failed round",
            calls.gemini_failed_rounds,
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
        0 if history.calls_visible => "no call was made".to_owned(),
        0 => "calls are not visible with the sources at hand".to_owned(),
        total => {
            format!("{total} calls ({}), {} on average", outcomes.join(", "), calls.mean_us.map_or("–".to_owned(), words::duration))
        }
    }
}

fn log_words(history: &History) -> String {
    let log = &history.log;
    let a_day = history.log_growth_per_day().map_or("–".to_owned(), words::bytes);
    format!("{} lines, {} ({a_day} a day), {} in storms", log.lines, words::bytes(log.bytes), log.collapsed)
}

fn recommendations(judgement: &Judgement) -> Vec<String> {
    let mut all = Vec::new();
    let history = &judgement.history;
    for server in history.servers.values().filter(|server| server.should_work()) {
        if server.never_up {
            let why = server.last_error.as_deref().map_or(String::new(), |error| format!(" (it says: {error})"));
            all.push(format!(
                "Make server `{0}` start{why}, or declare what is expected of it: `[servers.{0}] expected = [\"disconnected\"]`.",
                server.name
            ));
        } else if !server.down.is_empty() {
            all.push(format!(
                "Find out why server `{}` went down; the hub does not restart it by itself: stop it, then start it.",
                server.name
            ));
        }
    }
    if let Some(cause) = history.hub.stops.iter().chain(&history.hub.exits).find_map(|stop| stop.cause.as_ref()) {
        all.push(format!("Mend what ended the hub: {cause}."));
    } else if !history.hub.exits.is_empty() {
        all.push(
            "Find out why the hub's process ended without a word: look for the kernel's out-of-memory killer first.".to_owned(),
        );
    }
    if history.calls.gemini_failed_rounds > 0 {
        all.push("Check the quota and key of Gemini: rounds failed, and each costs its callers seconds.".to_owned());
    }
    if !judgement.long_enough {
        all.push(format!("Watch for at least {} before asking for a verdict.", words::duration(MIN_PERIOD.get())));
    }
    if !history.calls_visible {
        all.push("Give a log that shows meta-tool calls: start the hub with ENABLE_PINO_LOGGER=true.".to_owned());
    }
    if all.is_empty() {
        all.push("Nothing needs to be done.".to_owned());
    }
    all
}

fn blind_spots(history: &History, provenance: &Provenance) -> Vec<String> {
    let mut all = Vec::new();
    let coverage = &history.coverage;
    if coverage.share_permille < 1_000 {
        let (share, gaps) = (words::permille(coverage.share_permille), coverage.gaps.len());
        all.push(format!("{share} of the period was watched ({gaps} gaps between the first and the last Watch)."));
    }
    if coverage.missing_watches > 0 {
        all.push(format!("{} Watches were made but are not in the backend.", coverage.missing_watches));
    }
    if !provenance.unreadable.is_empty() {
        all.push(format!("{} watch spans could not be read.", provenance.unreadable.len()));
    }
    let seen = |visibility: &BTreeMap<Visibility, u64>| visibility.contains_key(&Visibility::Read);
    if !seen(&history.log_visibility) {
        all.push("The hub's log was not read: clients, sessions, calls and causes are not visible.".to_owned());
    } else if !history.calls_visible {
        all.push("The log's shape does not show meta-tool calls and sessions (the legacy file never does).".to_owned());
    }
    if !seen(&history.process_visibility) {
        all.push("The hub's process was not seen: processor time and memory are not visible.".to_owned());
    }
    all.push("The event stream was not joined: what only it shows is not visible.".to_owned());
    all.push("Ordinary tool calls leave no line in any log: they are not visible.".to_owned());
    all
}
