//! The strategy's four phases, each compared with the baseline.

use super::model::{Baseline, Delta, Phase, Report};
use crate::judge::history::{PHASES, PhaseFigures, Phases};
use crate::judge::moment::Moment;

/// CPU shares are in thousandths of a core.
const PERMILLE: u128 = 1_000;

/// Returns the phases that the watch reached. An incident belongs to the phase in which it began. If the watch did not reach that phase,
/// it belongs to the nearest one: an incident at the very end may lie in a phase that has no time yet.
pub(super) fn phases(report: &Report, phases: &Phases) -> Vec<Phase> {
    let baseline = report.baseline.as_ref();
    let against = |value: Option<u64>, base: Option<u64>| Delta { value, baseline: base };
    let begun: Vec<Option<usize>> = report.incidents.iter().map(|incident| phases.of(incident.start.0)).collect();
    let phase = |(index, from, to, figures): &(usize, Moment, Moment, PhaseFigures)| Phase {
        name: PHASES.get(*index).map_or("", |(name, _)| name).to_owned(),
        from: *from,
        to: *to,
        cpu_mean_permille: against(figures.cpu.mean(PERMILLE), baseline.and_then(|base| base.cpu_permille)),
        rss_mean_bytes: against(figures.rss.mean(1), baseline.and_then(|base| base.rss_bytes)),
        api_mean_us: against(figures.api.mean(1), baseline.and_then(|base| base.api_us)),
        calls: figures.calls,
        error_lines: figures.error_lines,
        log_bytes: figures.log_bytes,
        incidents: begun.iter().filter(|begun| **begun == Some(*index)).count() as u64,
    };
    phases.reached().iter().map(phase).collect()
}

/// Makes a baseline from the first hour, for a hub without one from `hubwatch validate`.
pub(super) fn first_hour(report: &Report, phases: &Phases) -> Option<Baseline> {
    let figures = phases.first_hour()?;
    let servers = report.servers.iter().filter(|server| !server.never_up).count() as u64;
    Some(Baseline {
        at: report.coverage.first?,
        origin: "the first hour of the watch".to_owned(),
        cpu_permille: figures.cpu.mean(PERMILLE),
        rss_bytes: figures.rss.mean(1),
        api_us: figures.api.mean(1),
        mcp_clients: None,
        tools: None,
        servers_up: Some(servers),
    })
}
