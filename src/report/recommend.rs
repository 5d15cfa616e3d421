//! What to do about it: each recommendation names the action.

use super::model::Recommendation;
use super::words;
use crate::judge::Assessment;
use crate::judge::criterion::{Criterion, Severity};
use crate::judge::evaluate::{Ground, Judged};
use crate::judge::history::{History, ServerHistory};
use crate::judge::obstacle::ObstacleKind;
use crate::judge::verdict::Verdict;
use crate::watch::GeminiFailure;

/// What to do, the most pressing first: what failed before what is missing.
pub fn recommendations(judgement: &Assessment) -> Vec<Recommendation> {
    let history = &judgement.history;
    let mut all: Vec<_> = history.servers.0.values().filter_map(server).collect();
    all.extend(hub(history));
    all.extend(gemini(history));
    all.extend(judgement.criteria.iter().filter_map(|(criterion, judged)| numbers(criterion, judged, history)));
    all.extend(more_data(judgement));
    all
}

fn recommend(action: impl Into<String>, why: impl Into<String>, criteria: &[&str]) -> Recommendation {
    let criteria = criteria.iter().map(|id| (*id).to_owned()).collect();
    Recommendation { action: action.into(), why: why.into(), criteria }
}

fn server(server: &ServerHistory) -> Option<Recommendation> {
    if !server.should_work() {
        return None;
    }
    // A backtick would end the code that the name stands in.
    let name = server.name.replace('`', "'");
    if server.never_up {
        let action = format!(
            "Make server `{name}` start, or declare what is expected of it in hubwatch.toml: `[servers.{name}] expected = [\"disconnected\"]`."
        );
        let why = server.last_error.as_ref().map_or("it never worked".to_owned(), |error| format!("it never worked: {error}"));
        return Some(recommend(action, why, &["integration.servers_connected"]));
    }
    let last = server.down.last()?;
    let action = if last.to.is_some() {
        format!("Find out why server `{name}` went down, and have something restart it: the hub never does by itself.")
    } else {
        format!("Restart server `{name}` (stop it, then start it: a start alone does nothing), and find out why it went down.")
    };
    let down = words::duration(server.down.iter().map(|down| down.duration_us).sum());
    let why = format!("down {}× for {down}, the last time because {}", server.down.len(), last.reason);
    let ids = ["integration.servers_connected", "integration.no_unexpected_disconnections", "degradation.server_recovery"];
    Some(recommend(action, why, &ids))
}

fn hub(history: &History) -> Option<Recommendation> {
    let ids = ["stability.uptime", "stability.no_restarts"];
    let hub = &history.hub;
    if let Some(cause) = hub.stops.iter().chain(&hub.exits).find_map(|stop| stop.cause.as_ref()) {
        return Some(recommend(format!("Mend what ended the hub: {cause}."), "the hub's process ended", &ids));
    }
    if let Some(exit) = hub.exits.first() {
        let action =
            "Find out why the hub's process ended without a word: look for the kernel's out-of-memory killer (`dmesg`) first.";
        return Some(recommend(action, format!("it was gone at {}", exit.at), &ids));
    }
    let stop = hub.stops.first()?;
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
    if judged.verdict != Verdict::Fail && judged.verdict != Verdict::Warn || criterion.severity == Severity::Info {
        return None;
    }
    let action = match criterion.id.as_str() {
        "performance.cpu" => "Profile the hub (`node --cpu-prof`) in the hours of its peak.",
        "performance.memory" => "Take heap snapshots of the hub (`node --heapsnapshot-signal=SIGUSR2`) and compare them.",
        "performance.api_response_time" => "Find out what blocks the hub's event loop: its API answers slowly.",
        "performance.meta_tool_time" => "Look at the traces of the slowest meta-tool calls: the Gemini part is a span of its own.",
        "performance.log_growth" if !history.log.storms.is_empty() => {
            "Stop the repeated lines (section 6 names them), or rotate the log."
        }
        "performance.log_growth" => "Lower the hub's log level, or rotate its log.",
        "stability.no_memory_leak" => "Find the leak before promoting: compare heap snapshots taken hours apart.",
        "integration.meta_tool_succeeds" => "Look at the errors of the failed meta-tool calls (their traces are in the appendix).",
        "integration.logging_without_loss" => {
            "Make the log readable for hubwatch all the time, and keep rotated files for a while."
        }
        "degradation.session_cleanup" => "Find out why sessions outlive their clients.",
        _ => return None,
    };
    Some(recommend(action, format!("{}: {}", criterion.title, judged.why), &[&criterion.id]))
}

/// What a verdict still needs.
fn more_data(judgement: &Assessment) -> Vec<Recommendation> {
    let mut all = Vec::new();
    if judgement.obstacles.iter().any(|obstacle| obstacle.kind == ObstacleKind::TooShort) {
        let wanted = words::duration(judgement.rules.min_period.get());
        let watched = words::duration(judgement.history.coverage.covered_us);
        all.push(recommend(
            format!("Watch for at least {wanted} before asking for a verdict."),
            format!("{watched} were watched"),
            &[],
        ));
    }
    if judgement.history.coverage.calls_visible == 0 {
        let action = "Give a source that shows meta-tool calls: start the hub with ENABLE_PINO_LOGGER=true, or let hubwatch join the event stream.";
        all.push(recommend(action, "the sources at hand don't show them", &["integration.meta_tool_succeeds"]));
    }
    let undecided = |(criterion, judged): &&(Criterion, Judged)| {
        criterion.severity == Severity::Must && judged.verdict == Verdict::Inconclusive && judged.ground == Ground::NotExercised
    };
    let ids: Vec<&str> = judgement.criteria.iter().filter(undecided).map(|(criterion, _)| criterion.id.as_str()).collect();
    if !ids.is_empty() {
        let action = "Exercise what nobody used: let a client call the meta-tool during the period.";
        all.push(recommend(action, format!("not exercised: {}", ids.join(", ")), &ids));
    }
    all
}
