//! The memory that a leak is looked for in, by "Memory leaks" of the document: its exact parts. What the models make of it is not
//! recomputed.

use std::collections::{BTreeMap, BTreeSet};

use hubwatch::watch::*;

use super::us;

const WINDOW: u64 = 5 * 60_000_000;
const WARM_UP: u64 = 30 * 60_000_000;

/// What was seen beyond the warm-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steady {
    /// The first and the last poll.
    pub from: u64,
    pub to: u64,
    /// Windows with a floor, of each process its own.
    pub windows: u64,
    /// The time that these windows have together, each once.
    pub seen: u64,
    /// Processes, one after the other.
    pub processes: u64,
    /// The middle floor of the first and of the last eighth of the windows.
    pub first: u64,
    pub last: u64,
}

/// What the polls show beyond the warm-up.
pub(super) fn steady<'a>(polls: impl Iterator<Item = (&'a ProcessPoll, u64)>) -> Option<Steady> {
    let mut seen: Vec<(u64, u32, Timestamp, u64)> = Vec::new();
    for (process, at) in polls {
        if at.saturating_sub(us(process.started)) >= WARM_UP && process.rss.get() > 0 {
            // A clock that ran backwards adds to the last window.
            let at = seen.last().map_or(at, |last| at.max(last.0));
            seen.push((at, process.pid, process.started, process.rss.get()));
        }
    }
    let (from, to) = (seen.first()?.0, seen.last()?.0);
    let mut polled: BTreeMap<(usize, u64), Vec<u64>> = BTreeMap::new();
    let (mut processes, mut place, mut before) = (0, 0, None);
    for (at, pid, started, bytes) in &seen {
        if before != Some((*pid, *started)) {
            (processes, before) = (processes + 1, Some((*pid, *started)));
            place += 1;
        }
        polled.entry((place, at / WINDOW)).or_default().push(*bytes);
    }
    let windows: BTreeSet<u64> = polled.keys().map(|(_, window)| *window).collect();
    let third_lowest = |mut polled: Vec<u64>| {
        polled.sort_unstable();
        polled[polled.len().min(3) - 1]
    };
    let floors: Vec<u64> = polled.into_values().map(third_lowest).collect();
    let eighth = floors.len().div_ceil(8);
    let middle = |floors: &[u64]| {
        let mut floors = floors.to_vec();
        floors.sort_unstable();
        floors[floors.len() / 2]
    };
    Some(Steady {
        from,
        to,
        windows: floors.len() as u64,
        seen: windows.len() as u64 * WINDOW,
        processes,
        first: middle(&floors[..eighth]),
        last: middle(&floors[floors.len() - eighth..]),
    })
}
