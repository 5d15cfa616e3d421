//! The strategy's daily tasks, checked with the data of the watch. Without evidence a task is "not verified".

use std::collections::BTreeMap;

use super::model::{DailyCheck, Report};
use super::words;
use crate::judge::history::{CountsAs, ServerHistory};
use crate::judge::incident::{Gravity, Incident};
use crate::judge::verdict::Verdict;
use crate::watch::{Aspect, Liveness, Visibility, Visible};

/// Share of the time (thousandths) that each source must cover, as for a criterion.
const ENOUGH: u64 = 950;

/// Share of the polls (thousandths) that the hub must answer. An hour of maintenance a day is fine.
const ANSWERED: u64 = 900;

/// Returns the tasks in the strategy's order and words.
pub(super) fn daily(report: &Report) -> Vec<DailyCheck> {
    vec![watched(report), anomalies(report), critical(report), servers(report), log(report)]
}

/// Makes a check. A doubt turns a pass into "not verified"; a bad result needs no more evidence.
fn check(task: &str, verdict: Verdict, found: String, doubt: Option<String>) -> DailyCheck {
    let (verdict, found) = match doubt {
        Some(doubt) if verdict == Verdict::Pass => (Verdict::Inconclusive, format!("not verified: {doubt} ({found})")),
        _ => (verdict, found),
    };
    DailyCheck { task: task.to_owned(), verdict, found }
}

/// Returns why the watch as a whole is not enough evidence.
fn unwatched(report: &Report) -> Option<String> {
    let coverage = &report.coverage;
    let (polls, answered) = (coverage.polls, coverage.polls_answered);
    if coverage.watches == 0 || polls == 0 {
        Some("nothing was watched".to_owned())
    } else if answered == 0 {
        Some(format!("the hub never answered (0 of {polls} polls)"))
    } else if coverage.share_permille < ENOUGH {
        Some(format!("only {} of {} was watched", words::permille(coverage.share_permille), words::duration(coverage.period_us)))
    } else if answered.saturating_mul(1_000) < polls.saturating_mul(ANSWERED) {
        Some(format!("the hub answered only {answered} of {polls} polls"))
    } else {
        None
    }
}

/// Returns how often a source was read, in thousandths.
fn read(times: &BTreeMap<Visibility, u64>) -> u64 {
    let all: u64 = times.values().sum();
    let read = [Visibility::Read, Visibility::Partial].iter().filter_map(|how| times.get(how)).sum::<u64>();
    read.saturating_mul(1_000).checked_div(all).unwrap_or(0)
}

/// Returns why errors may be missing.
fn errors_unseen(report: &Report) -> Option<String> {
    let coverage = &report.coverage;
    let share = read(&coverage.log).max(read(&coverage.event_stream));
    match coverage.sight.of(Aspect::LogLevels) {
        Visible::No(why) => Some(why),
        Visible::Yes | Visible::Partly(_) if share < ENOUGH => {
            Some(format!("the hub's log was read for only {} of the time watched", words::permille(share)))
        }
        Visible::Yes | Visible::Partly(_) => None,
    }
}

/// Returns why high CPU or memory usage may be missing.
fn process_unseen(report: &Report) -> Option<String> {
    let share = read(&report.coverage.process);
    let seen = format!("the hub process was seen at only {} of the polls", words::permille(share));
    match share {
        0 => Some("the hub process was not seen".to_owned()),
        share if share < ENOUGH => Some(seen),
        _ => None,
    }
}

fn watched(report: &Report) -> DailyCheck {
    let coverage = &report.coverage;
    let found = format!(
        "{} of {} watched, {} of {} polls answered",
        words::permille(coverage.share_permille),
        words::duration(coverage.period_us),
        coverage.polls_answered,
        coverage.polls
    );
    check("Review monitoring data", Verdict::Pass, found, unwatched(report))
}

/// Returns the incidents of a severity that were not planned.
fn unplanned(report: &Report, severity: Gravity) -> Vec<&Incident> {
    report.incidents.iter().filter(|incident| incident.severity == severity && incident.planned.is_none()).collect()
}

fn anomalies(report: &Report) -> DailyCheck {
    let warnings = unplanned(report, Gravity::Warning).len();
    let verdict = if warnings > 0 { Verdict::Warn } else { Verdict::Pass };
    let doubt = unwatched(report).or_else(|| errors_unseen(report)).or_else(|| process_unseen(report));
    check("Check anomalies", verdict, format!("{warnings} warnings"), doubt)
}

fn critical(report: &Report) -> DailyCheck {
    let critical = unplanned(report, Gravity::Critical);
    let last = critical.last().map_or(String::new(), |last| format!(", the last at {}: {}", words::minute(last.start), last.title));
    let verdict = if critical.is_empty() { Verdict::Pass } else { Verdict::Fail };
    let doubt = unwatched(report).or_else(|| errors_unseen(report));
    check("Verify no critical errors", verdict, format!("{} critical incidents{last}", critical.len()), doubt)
}

fn servers(report: &Report) -> DailyCheck {
    // A server that was removed or switched off on purpose may be down.
    let should = |server: &&ServerHistory| server.should_work() && server.counts_as != CountsAs::OnPurpose;
    let expected: Vec<_> = report.servers.iter().filter(should).collect();
    let down: Vec<_> = expected.iter().filter(|server| !server.is_well()).map(|server| server.name.as_str()).collect();
    let (verdict, found) = match (expected.len(), down.as_slice()) {
        (0, _) => (Verdict::Inconclusive, "not verified: no server was seen".to_owned()),
        (all, []) => (Verdict::Pass, format!("all {all} are up")),
        (all, down) => (Verdict::Fail, format!("{} of {all} are down: {}", down.len(), down.join(", "))),
    };
    let away = report.hub.timeline.stretches.last().filter(|stretch| stretch.liveness != Liveness::Up);
    let away = away.map(|stretch| format!("the hub has not answered since {}", words::minute(stretch.from)));
    check("Confirm servers connected", verdict, found, unwatched(report).or(away))
}

fn log(report: &Report) -> DailyCheck {
    let growth = report.criteria.iter().find(|row| row.id == "performance.log_growth");
    let size = report.log.last_size_bytes.map_or("unknown".to_owned(), words::bytes);
    let value = growth.map_or("–", |row| row.value.as_str());
    let share = read(&report.coverage.log);
    let unread = (share < ENOUGH).then(|| match share {
        0 => "the hub's log was not read".to_owned(),
        share => format!("the hub's log was read for only {} of the time watched", words::permille(share)),
    });
    let found = format!("file size {size}; {value}");
    let verdict = growth.map_or(Verdict::Inconclusive, |row| row.verdict);
    let doubt = unwatched(report).or(unread);
    match (verdict, doubt) {
        (Verdict::Inconclusive, Some(doubt)) => {
            check("Validate log file size", verdict, format!("not verified: {doubt} ({found})"), None)
        }
        (verdict, doubt) => check("Validate log file size", verdict, found, doubt),
    }
}
