//! What a report can't see.

use super::model::Provenance;
use super::words;
use crate::judge::history::History;
use crate::watch::Visible;

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
    all.extend(provenance.incomplete.iter().map(|incomplete| format!("Not whole in the backend: {incomplete}.")));
    if !provenance.unreadable.is_empty() {
        all.push(format!("{} watch spans could not be read.", provenance.unreadable.len()));
    }
    for (aspect, visible) in coverage.sight.blind_spots() {
        match visible {
            Visible::Yes => {}
            Visible::Partly(what) => all.push(format!("Partly visible: {}: {what}.", aspect.title())),
            Visible::No(why) => all.push(format!("Not visible: {}: {why}.", aspect.title())),
        }
    }
    all
}
