//! What a report can't see.

use std::collections::BTreeMap;

use super::model::Provenance;
use super::words;
use crate::judge::history::{History, LogHistory};
use crate::judge::moment::Moment;
use crate::watch::{Aspect, DropReason, DroppedKind, LogShape, Sight, Visibility, Visible};

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
    all.extend(log_away(&coverage.log));
    all.extend(unseen(&coverage.sight));
    sharing(&history.log, &mut all);
    losses(history, &mut all);
    all
}

/// So much of the time (thousandths) a log may be away, as while it is rotated, without a word.
const LOG_AWAY: u64 = 50;

/// A log that was to be read and was not there.
fn log_away(watches: &BTreeMap<Visibility, u64>) -> Option<String> {
    let away = watches.get(&Visibility::Missing).copied().unwrap_or(0);
    let all: u64 = watches.values().sum();
    match away.saturating_mul(1_000).checked_div(all)? {
        1_000 => Some("The hub's log was never there: check the path that the watch was given with --log.".to_owned()),
        share if share > LOG_AWAY => Some(format!(
            "The hub's log was not there for {} of the time watched: what only the log shows is not visible then.",
            words::permille(share)
        )),
        _ => None,
    }
}

/// A note as a sentence.
pub fn sentence(note: &str) -> String {
    let mut letters = note.chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// What the sources did not show, or not always.
pub fn unseen(sight: &Sight) -> Vec<String> {
    let told = |(aspect, visible): (Aspect, Visible)| match visible {
        Visible::Yes => None,
        Visible::Partly(what) => Some(format!("Partly visible: {}: {what}.", aspect.title())),
        Visible::No(why) => Some(format!("Not visible: {}: {why}.", aspect.title())),
    };
    sight.blind_spots().into_iter().filter_map(told).collect()
}

/// What can't be told apart in a log that several hubs write.
fn sharing(log: &LogHistory, all: &mut Vec<String>) {
    if let Some(since) = log.shared_since {
        let pino = log.shapes == [LogShape::Pino.as_str()];
        let whose = if pino {
            "Its lines name their process, so only those of this hub count; the volume of the log is that of all hubs."
        } else {
            "Starts, stops and changes of servers count only where this hub's API confirms them; clients, Gemini failures, warnings \
             and errors of the other hub can't be told apart. Give each hub its own XDG_STATE_HOME."
        };
        all.push(format!("Another hub writes into the same log (seen first at {since}). {whose}"));
    }
    let dropped: u64 = log.claims_dropped.iter().fold(0, |sum, dropped| sum.saturating_add(dropped.lines));
    if dropped > 0 {
        let lines = if dropped == 1 { "1 line" } else { &format!("{dropped} lines") };
        all.push(format!(
            "{lines} of the log told of a start, a stop or a change of a server that the hub's API does not confirm: not counted."
        ));
    }
}

/// What the sidecar itself could not keep or pass on.
fn losses(history: &History, all: &mut Vec<String>) {
    if history.log.lost_bytes > 0 {
        let lost = words::bytes(history.log.lost_bytes);
        all.push(format!("{lost} of the log were overwritten or deleted before anybody could read them."));
    }
    let own = &history.sidecar;
    for journal in &own.recovered {
        let (at, rows) = (minute(journal.at), journal.rows);
        all.push(format!(
            "The sidecar's journal was damaged ({}), found at {at}: {rows} rows of it were kept, the file was set aside as {}.",
            journal.reason, journal.path
        ));
    }
    for lost in &own.state_lost {
        let (at, half, effect) = (minute(lost.at), &lost.half, lost.effect());
        all.push(format!("The last run's {half} could not be read at {at} ({}): {effect}.", lost.reason));
    }
    // What is dropped for its age is of an earlier period.
    let of = |what: DroppedKind| {
        let reasons = own.dropped.get(what.as_str()).into_iter().flatten();
        reasons.filter(|(reason, _)| *reason != DropReason::Age.as_str()).map(|(_, count)| *count).fold(0, u64::saturating_add)
    };
    let (watches, calls) = (of(DroppedKind::Watches), of(DroppedKind::Calls));
    if watches > 0 || calls > 0 {
        all.push(format!(
            "{watches} Watches and {calls} call spans are not in the sidecar's own journal any more: there was no room."
        ));
    }
    let rest = [DroppedKind::Logs, DroppedKind::Metrics].map(of);
    if rest.iter().any(|dropped| *dropped > 0) {
        let [logs, metrics] = rest;
        all.push(format!(
            "{logs} log records and {metrics} metrics never reached a destination: there was no room to keep them. \
             No verdict is made of them."
        ));
    }
    if own.rejected > 0 {
        all.push(format!(
            "{} records were refused by a destination for good; they are set aside in the sidecar's journal.",
            own.rejected
        ));
    }
}

/// The minute of an instant, in UTC.
pub fn minute(at: Moment) -> String {
    let at = at.to_string();
    at.get(..16).unwrap_or(&at).replace('T', " ")
}
