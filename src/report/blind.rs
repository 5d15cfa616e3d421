//! What a report can't see.

use super::model::Provenance;
use super::words;
use crate::judge::history::{Coverage, History};

/// Each thing that the sources at hand did not show.
pub fn blind_spots(history: &History, provenance: &Provenance) -> Vec<String> {
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
    if !Coverage::was_read(&coverage.log) {
        all.push("The hub's log was not read: clients, sessions, calls and causes are not visible.".to_owned());
    } else if coverage.calls_visible == 0 {
        all.push("The log's shape does not show meta-tool calls and sessions (the legacy file never does).".to_owned());
    }
    if !Coverage::was_read(&coverage.process) {
        all.push("The hub's process was not seen: processor time and memory are not visible.".to_owned());
    }
    if !Coverage::was_read(&coverage.event_stream) {
        all.push("The event stream was not joined: what only it shows is not visible.".to_owned());
    }
    all.push("Ordinary tool calls leave no line in any log: they are not visible.".to_owned());
    all
}
