//! Blind spots: what a report can't know.

use std::collections::BTreeMap;

use super::model::Provenance;
use super::words;
use crate::judge::history::{History, LogHistory, SidecarHistory};
use crate::watch::{Aspect, DropReason, DroppedKind, LogShape, Refusal, Sight, Visibility, Visible};

/// Returns everything that the sources did not show.
pub fn blind_spots(history: &History, provenance: &Provenance) -> Vec<String> {
    let mut all = Vec::new();
    let coverage = &history.coverage;
    if coverage.share_permille < 1_000 {
        let (share, gaps) = (words::permille(coverage.share_permille), coverage.gaps.len());
        all.push(format!("Only {share} of the period was watched ({gaps} gaps)."));
    }
    if coverage.missing_watches > 0 {
        all.push(format!("{} Watches are missing in the backend.", coverage.missing_watches));
    }
    all.extend(provenance.incomplete.iter().map(|incomplete| format!("Incomplete in the backend: {incomplete}.")));
    left_out(&provenance.unreadable, &mut all);
    all.extend(log_away(&coverage.log));
    all.extend(unseen(&coverage.sight));
    sharing(&history.log, &mut all);
    losses(history, &mut all);
    all
}

/// So many different reasons are told one by one: others are in the report's provenance.
const TOLD_REASONS: usize = 5;

/// Adds the watch spans that could not be used, by reason.
fn left_out(unreadable: &[String], all: &mut Vec<String>) {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    unreadable.iter().for_each(|reason| *reasons.entry(reason).or_default() += 1);
    let count = |spans: usize| if spans == 1 { "1 watch span was".to_owned() } else { format!("{spans} watch spans were") };
    all.extend(reasons.iter().take(TOLD_REASONS).map(|(reason, spans)| format!("{} left out: {reason}.", count(*spans))));
    let rest = reasons.values().skip(TOLD_REASONS).sum();
    if rest > 0 {
        all.push(format!("{} left out for other reasons.", count(rest)));
    }
}

/// A log may be absent for this share of the time (thousandths) without a note: rotation takes a moment.
const LOG_AWAY: u64 = 50;

/// Returns a note if the log file was absent.
fn log_away(watches: &BTreeMap<Visibility, u64>) -> Option<String> {
    let away = watches.get(&Visibility::Missing).copied().unwrap_or(0);
    let all: u64 = watches.values().sum();
    match away.saturating_mul(1_000).checked_div(all)? {
        1_000 => Some("The hub's log file did not exist: check the path in --log.".to_owned()),
        share if share > LOG_AWAY => Some(format!(
            "The hub's log file was absent for {} of the time watched: events that only the log shows are missing.",
            words::permille(share)
        )),
        _ => None,
    }
}

/// Makes a sentence of a note.
pub fn sentence(note: &str) -> String {
    format!("{}.", words::capitalised(note))
}

/// Returns what the sources showed only partly or not at all.
pub fn unseen(sight: &Sight) -> Vec<String> {
    let told = |(aspect, visible): (Aspect, Visible)| match visible {
        Visible::Yes => None,
        Visible::Partly(what) => Some(format!("Partly visible: {} – {what}.", aspect.title())),
        Visible::No(why) => Some(format!("Not visible: {} – {why}.", aspect.title())),
    };
    sight.blind_spots().into_iter().filter_map(told).collect()
}

/// Adds what stays ambiguous in a log that several hubs write.
fn sharing(log: &LogHistory, all: &mut Vec<String>) {
    if let Some(since) = log.shared_since {
        let pino = log.shapes == [LogShape::Pino.as_str()];
        let whose = if pino {
            "Its lines name their process, so only this hub's lines count; the log volume is that of all hubs."
        } else {
            "Starts, stops and changes of servers count only where this hub's API confirms them; clients, Gemini failures, warnings \
             and errors of both hubs are mixed. Give each hub its own XDG_STATE_HOME."
        };
        all.push(format!("Another hub writes to the same log (first seen at {since}). {whose}"));
    }
    let dropped: u64 = log.claims_dropped.iter().fold(0, |sum, dropped| sum.saturating_add(dropped.lines));
    if dropped > 0 {
        let lines = if dropped == 1 { "1 line" } else { &format!("{dropped} lines") };
        all.push(format!(
            "{lines} of the log did not count: the hub's API does not confirm the start, stop or server change in them."
        ));
    }
}

/// Adds what the sidecar lost or could not send.
fn losses(history: &History, all: &mut Vec<String>) {
    if history.log.lost_bytes > 0 {
        let lost = words::bytes(history.log.lost_bytes);
        all.push(format!("{lost} of the log were overwritten or deleted before hubwatch could read them."));
    }
    let own = &history.sidecar;
    for journal in &own.recovered {
        let (at, rows) = (words::minute(journal.at), journal.rows);
        all.push(format!(
            "The sidecar's journal was found damaged at {at} ({}): {rows} rows were recovered, the file was moved to {}.",
            journal.reason, journal.path
        ));
    }
    for created in &own.created_again {
        let (at, path, reason) = (words::minute(created.at), &created.path, &created.reason);
        all.push(format!(
            "The sidecar's state folder {path} was lost while it was in use ({reason}); it was created again at {at} with all that \
             the journal held."
        ));
    }
    for lost in &own.state_lost {
        let (at, half, effect) = (words::minute(lost.at), &lost.half, lost.effect());
        all.push(format!("The last run's {half} could not be read at {at} ({}): {effect}.", lost.reason));
    }
    // Data that was dropped for its age belongs to an earlier period.
    let of = |what: DroppedKind| {
        let reasons = own.dropped.get(what.as_str()).into_iter().flatten();
        reasons.filter(|(reason, _)| *reason != DropReason::Age.as_str()).map(|(_, count)| *count).fold(0, u64::saturating_add)
    };
    let (watches, calls) = (of(DroppedKind::Watches), of(DroppedKind::Calls));
    if watches > 0 || calls > 0 {
        all.push(format!("The sidecar's journal was full: {watches} Watches and {calls} call spans were dropped from it."));
    }
    let rest = [DroppedKind::Logs, DroppedKind::Metrics].map(of);
    if rest.iter().any(|dropped| *dropped > 0) {
        let [logs, metrics] = rest;
        all.push(format!(
            "The sidecar's queue was full: {logs} log records and {metrics} metrics were dropped before they were sent. \
             No verdict depends on them."
        ));
    }
    let spans = of(DroppedKind::ReceivedSpans);
    if spans > 0 {
        all.push(format!(
            "The sidecar's queue was full: {spans} spans that others had sent by OTLP were dropped before they were sent on."
        ));
    }
    all.extend(refused(own));
    if own.rejected > 0 {
        all.push(format!("A destination permanently rejected {} records; they are kept in the sidecar's journal.", own.rejected));
    }
}

/// Returns what the OTLP receiver refused for good. What a sender was asked to send again is no loss that is known.
fn refused(own: &SidecarHistory) -> Option<String> {
    let for_good = |reason: &str| Refusal::parse(reason).is_none_or(|reason| !reason.is_passing());
    let counts = own.refused.iter().flat_map(|(what, reasons)| {
        let what = what.replace('_', " ");
        let reasons = reasons.iter().filter(|(reason, _)| for_good(reason));
        reasons.map(move |(reason, count)| format!("{count} {what} ({})", reason.replace('_', " ")))
    });
    let counts: Vec<String> = counts.collect();
    let told = format!("The OTLP receiver refused {}: what only these showed is missing.", counts.join(", "));
    (!counts.is_empty()).then_some(told)
}
