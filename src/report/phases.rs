//! The strategy's four phases, and how each compares with the state at the beginning.

use super::model::{Baseline, Delta, Phase, Report};
use crate::judge::moment::Moment;
use crate::judge::series::{Line, Point};
use crate::watch::{Micros, Timestamp};

const HOUR: Micros = Micros::new(3600 * 1_000_000);

/// The phases by the hours in which they begin; the last one lasts until the end.
const PHASES: [(&str, u64); 4] =
    [("Initial validation", 0), ("Continuous monitoring", 2), ("Stress testing", 24), ("Long-term stability", 36)];

/// The phases that the period reached, with their numbers.
pub fn phases(report: &Report) -> Vec<Phase> {
    let (Some(first), end) = (report.coverage.first, report.provenance.to.0) else { return Vec::new() };
    let start = report.baseline.as_ref().map_or(first.0, |baseline| baseline.at.0);
    let begin = |hour: u64| start.plus(Micros::new(HOUR.get() * hour));
    let ends = PHASES.iter().skip(1).map(|(_, hour)| begin(*hour)).chain([end]);
    let inside = report.provenance.from.0;
    let phases = PHASES.iter().zip(ends).filter_map(|((name, hour), to)| {
        let (from, to) = (begin(*hour).max(inside), to.min(end));
        (from < to).then(|| phase(report, name, from, to))
    });
    phases.collect()
}

fn phase(report: &Report, name: &str, from: Timestamp, to: Timestamp) -> Phase {
    let series = &report.series;
    let inside = |at: Moment| from <= at.0 && at.0 < to;
    let calls = series.calls_us.points.iter().filter(|point| inside(point.at));
    let api = series.api_us.points.iter().filter(|point| inside(point.at)).map(|point| (point.mean, point.count));
    let baseline = report.baseline.as_ref();
    let against = |value: Option<u64>, base: Option<u64>| Delta { value, baseline: base };
    Phase {
        name: name.to_owned(),
        from: Moment(from),
        to: Moment(to),
        cpu_mean_permille: against(mean(&series.cpu_permille, &inside), baseline.and_then(|base| base.cpu_permille)),
        rss_mean_bytes: against(mean(&series.rss_bytes, &inside), baseline.and_then(|base| base.rss_bytes)),
        api_mean_us: against(weighted(api), baseline.and_then(|base| base.api_us)),
        calls: calls.map(|point| point.count).sum(),
        error_lines: series.error_lines.points.iter().filter(|point| inside(point.at)).map(|point| point.sum).sum(),
        log_bytes: series.log_bytes.points.iter().filter(|point| inside(point.at)).map(|point| point.sum).sum(),
        incidents: report.incidents.iter().filter(|incident| inside(incident.start)).count() as u64,
    }
}

fn mean(line: &Line<Point>, inside: &impl Fn(Moment) -> bool) -> Option<u64> {
    weighted(line.points.iter().filter(|point| inside(point.at)).map(|point| (point.mean, point.count)))
}

fn weighted(values: impl Iterator<Item = (u64, u64)>) -> Option<u64> {
    let (sum, count) = values.fold((0u128, 0u128), |(sum, all), (value, count)| {
        (sum.saturating_add(u128::from(value) * u128::from(count)), all + u128::from(count))
    });
    sum.checked_div(count).and_then(|mean| u64::try_from(mean).ok())
}

/// Without a baseline of `hubwatch validate` the first hour is one.
pub fn first_hour(report: &Report) -> Option<Baseline> {
    let first = report.coverage.first?;
    let until = first.0.plus(HOUR);
    let inside = |at: Moment| at.0 < until;
    let series = &report.series;
    let api = series.api_us.points.iter().filter(|point| inside(point.at)).map(|point| (point.mean, point.count));
    let servers = report.servers.iter().filter(|server| !server.never_up).count() as u64;
    Some(Baseline {
        at: first,
        origin: "the first hour of the watch".to_owned(),
        cpu_permille: mean(&series.cpu_permille, &inside),
        rss_bytes: mean(&series.rss_bytes, &inside),
        api_us: weighted(api),
        mcp_clients: None,
        tools: None,
        servers_up: Some(servers),
    })
}
