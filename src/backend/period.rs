//! Reading the Watches of a period: the trace ids are computed, so nothing is searched for.

use std::collections::BTreeMap;

use super::{Backend, BackendError};
use crate::watch::{Count, DecodeError, Environment, HubName, Slot, Timestamp, Watch, WatcherId, amend, decode_all};

/// A slot's trace has one part unless it outgrew what backends keep; more than this many would be a fault of ours.
const MAX_PARTS: u32 = 64;

/// Which Watches to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of which hub.
    pub hub: HubName,
    /// Where.
    pub environment: Environment,
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The Watches that touch the period, in the order in which they were made, each once.
    pub watches: Vec<Watch>,
    /// What was wrong with the watch spans that could not be read.
    pub unreadable: Vec<DecodeError>,
    /// How many slots were asked for.
    pub slots: u64,
    /// How many of them had no trace.
    pub empty_slots: u64,
}

/// Reads them. One more slot on each side is asked for, since a Watch belongs to the slot of its end. `progress` is told after each
/// slot how many are done and how many there are.
pub async fn read(backend: &impl Backend, wanted: &Wanted, progress: impl Fn(u64, u64)) -> Result<Found, BackendError> {
    let (first, last) = (Slot::of(wanted.from).0.saturating_sub(1), Slot::of(wanted.to).0 + 1);
    let mut watches = BTreeMap::new();
    let mut found = Found::default();
    for slot in first..=last {
        let mut empty = true;
        for part in 0..MAX_PARTS {
            let spans = backend.trace(Slot(slot).trace_id(&wanted.hub, &wanted.environment, part)).await?;
            if spans.is_empty() {
                break;
            }
            empty = false;
            let (read, unreadable) = decode_all(&spans);
            found.unreadable.extend(unreadable);
            watches.extend(read.into_iter().map(|watch| (key(&watch), watch)));
        }
        found.slots += 1;
        found.empty_slots += u64::from(empty);
        progress(found.slots, last - first + 1);
    }
    let touches = |watch: &Watch| watch.interval.start() <= wanted.to && watch.interval.end() >= wanted.from;
    let mut watches: Vec<Watch> = watches.into_values().collect();
    amend(&mut watches);
    found.watches = watches.into_iter().filter(touches).collect();
    Ok(found)
}

/// Runs of a watcher follow each other; several watchers are told apart by their ids.
fn key(watch: &Watch) -> (WatcherId, u32, Count) {
    watch.origin.order()
}
