//! The order in which the Watches of several watchers are judged.

use std::collections::BTreeMap;

use crate::watch::{Watch, WatcherId};

/// Brings the Watches of several watchers together by their time. Those of one watcher keep their own order, by run and number: their
/// clock may have jumped. The Watches of one watcher alone stay as they are.
pub fn interleave(watches: Vec<Watch>) -> Vec<Watch> {
    let mut by_watcher: BTreeMap<WatcherId, Vec<Watch>> = BTreeMap::new();
    for watch in watches {
        by_watcher.entry(watch.origin.watcher).or_default().push(watch);
    }
    let mut queues: Vec<_> = by_watcher
        .into_values()
        .map(|mut queue| {
            queue.sort_by_key(|watch| watch.origin.order());
            queue.into_iter().peekable()
        })
        .collect();
    let mut ordered = Vec::new();
    loop {
        let starts = queues.iter_mut().enumerate().filter_map(|(index, queue)| Some((queue.peek()?.interval.start(), index)));
        let Some((_, index)) = starts.min() else { return ordered };
        ordered.extend(queues[index].next());
    }
}
