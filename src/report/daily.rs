//! The strategy's daily tasks, done from what was watched.

use super::model::{DailyCheck, Report};
use super::words;
use crate::judge::incident::Gravity;
use crate::judge::verdict::Verdict;
use crate::watch::Liveness;

/// The tasks in the strategy's order and words.
pub fn daily(report: &Report) -> Vec<DailyCheck> {
    vec![watched(report), anomalies(report), critical(report), servers(report), log(report)]
}

fn check(task: &str, verdict: Verdict, found: String) -> DailyCheck {
    DailyCheck { task: task.to_owned(), verdict, found }
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
    let verdict = if coverage.watches == 0 { Verdict::Inconclusive } else { Verdict::Pass };
    check("Review monitoring data", verdict, found)
}

/// An unwatched hub has no incidents: that is no good news.
fn of_incidents(report: &Report, found: usize, bad: Verdict) -> Verdict {
    match (found, report.coverage.watches) {
        (1.., _) => bad,
        (0, 0) => Verdict::Inconclusive,
        (0, _) => Verdict::Pass,
    }
}

fn anomalies(report: &Report) -> DailyCheck {
    let warnings = report.incidents.iter().filter(|incident| incident.severity == Gravity::Warning).count();
    check("Check anomalies", of_incidents(report, warnings, Verdict::Warn), format!("{warnings} warnings"))
}

fn critical(report: &Report) -> DailyCheck {
    let critical: Vec<_> = report.incidents.iter().filter(|incident| incident.severity == Gravity::Critical).collect();
    let last = critical.last().map_or(String::new(), |last| format!(", the last: {} ({})", last.title, last.start));
    let verdict = of_incidents(report, critical.len(), Verdict::Fail);
    check("Verify no critical errors", verdict, format!("{} critical incidents{last}", critical.len()))
}

fn servers(report: &Report) -> DailyCheck {
    let expected: Vec<_> = report.servers.iter().filter(|server| server.should_work()).collect();
    let down: Vec<_> =
        expected.iter().filter(|server| server.last_liveness != Liveness::Up).map(|server| server.name.as_str()).collect();
    let (verdict, found) = match (expected.len(), down.as_slice()) {
        (0, _) => (Verdict::Inconclusive, "no server was seen".to_owned()),
        (all, []) => (Verdict::Pass, format!("all {all} work")),
        (all, down) => (Verdict::Fail, format!("{} of {all} do not work: {}", down.len(), down.join(", "))),
    };
    check("Confirm servers connected", verdict, found)
}

fn log(report: &Report) -> DailyCheck {
    let growth = report.criteria.iter().find(|row| row.id == "performance.log_growth");
    let size = report.log.last_size_bytes.map_or("of unknown size".to_owned(), words::bytes);
    let value = growth.map_or("", |row| row.value.as_str());
    check(
        "Validate log file size",
        growth.map_or(Verdict::Inconclusive, |row| row.verdict),
        format!("the file is {size}; growth: {value}"),
    )
}
