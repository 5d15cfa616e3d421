//! Reads the Watches of a period. The trace ids are computed, so no search is needed. The whole period is never in memory: Watches
//! are passed on as soon as their quarter-hour is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use futures_util::future::try_join;
use futures_util::{StreamExt as _, stream};

use super::{Backend, BackendError, Reading, Trace, TraceWatches};
use crate::judge::planned::LONGEST;
use crate::watch::{
    Count, DecodeError, Environment, FactId, FactKind, HubName, Micros, Slot, Timestamp, Watch, WatcherFact, WatcherId, amend,
};

/// Maximum parts of a slot's trace. It has one part unless it is larger than backends accept; more parts than this are a bug.
const MAX_PARTS: u32 = 64;

/// Watches this long after the period are read as well, for late facts. Their slots are read anyway.
const MARGIN: Micros = Micros::new(15 * 60 * 1_000_000);

/// Watches this long before it are read as well, for the state at its beginning: a planned window that began then may go on, and
/// its begin is in no other Watch.
pub const CONTEXT: Micros = Micros::new(LONGEST.get() + MARGIN.get());

/// The Watches to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The hub.
    pub hub: HubName,
    /// Its environment.
    pub environment: Environment,
    /// Begin of the period.
    pub from: Timestamp,
    /// End of the period.
    pub to: Timestamp,
}

impl Wanted {
    /// Returns the slots of the period: one more on each side, because a Watch belongs to the slot of its end.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Slot> + use<> {
        self.slots_since(self.from)
    }

    /// Returns the slots to request: those of the period, and those before it whose planned windows may go on.
    pub fn slots_with_context(&self) -> impl ExactSizeIterator<Item = Slot> + use<> {
        self.slots_since(self.from.minus(CONTEXT))
    }

    fn slots_since(&self, from: Timestamp) -> impl ExactSizeIterator<Item = Slot> + use<> {
        let (first, last) = (Slot::of(from).0.saturating_sub(1), Slot::of(self.to).0 + 1);
        let count = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
        (0..count).map(move |index| Slot(first + u64::from(index)))
    }

    fn touches(&self, watch: &Watch) -> bool {
        watch.interval.start() <= self.to && watch.interval.end() >= self.from
    }

    /// Returns whether the judge needs it: it touches the period, or lies near to it.
    fn concerns(&self, watch: &Watch) -> bool {
        watch.interval.start() <= self.to.plus(MARGIN) && watch.interval.end() >= self.from.minus(CONTEXT)
    }
}

/// The result of reading a period.
#[derive(Debug, Default)]
pub struct Found {
    /// Watches that touch the period, each once.
    pub watches: u64,
    /// Errors of watch spans that could not be decoded.
    pub unreadable: Vec<DecodeError>,
    /// Gaps in the numbers of Watches, and traces that the backend reports as partial.
    pub incomplete: Vec<Incomplete>,
    /// Messages about lost data of unknown times.
    pub cuts: Vec<String>,
    /// Requested slots of the period.
    pub slots: u64,
    /// Slots without Watches.
    pub empty_slots: u64,
    /// The end of the last Watch, and whether it ended its run.
    pub last: Option<(Timestamp, bool)>,
}

/// A part of the period that is missing or incomplete in the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// Its begin.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// What is missing.
    pub lack: Lack,
}

/// What can be missing in a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// This many Watches, by their numbers.
    Watches(u64),
    /// A partial trace, with the backend's reason.
    Partial(String),
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: ", self.from, self.to)?;
        match &self.lack {
            Lack::Watches(1) => f.write_str("1 Watch is missing"),
            Lack::Watches(missing) => write!(f, "{missing} Watches are missing"),
            Lack::Partial(reason) => f.write_str(reason),
        }
    }
}

/// Reads the Watches and feeds each to the state from `begin`, ordered by watcher, run and number; `arrange` may reorder those of
/// several watchers. After each slot, calls `progress` with the done and the total number of slots.
pub async fn read<S>(
    backend: &dyn Backend,
    wanted: &Wanted,
    begin: impl Fn() -> S,
    mut feed: impl FnMut(&mut S, Watch),
    arrange: impl FnOnce(Vec<Watch>) -> Vec<Watch>,
    progress: impl Fn(u64, u64),
) -> Result<(S, Found), BackendError> {
    let (mut state, mut stream) = (begin(), Stream::default());
    let streamed = slots(backend, wanted, &progress, |watches| {
        let whole = stream.take(watches)?;
        whole.into_iter().filter(|watch| wanted.concerns(watch)).for_each(|watch| feed(&mut state, watch));
        ControlFlow::Continue(())
    });
    if let ControlFlow::Continue(found) = streamed.await? {
        stream.last.into_iter().filter(|watch| wanted.concerns(watch)).for_each(|watch| feed(&mut state, watch));
        return Ok((state, found));
    }
    // With several watchers, a clock that was set back, or a fact amended long afterwards, the order or a fact's best time is known
    // only after everything was read.
    let (mut state, mut all) = (begin(), Watches::new());
    let read = slots(backend, wanted, &progress, |watches| {
        all.extend(watches);
        ControlFlow::Continue(())
    });
    let ControlFlow::Continue(found) = read.await? else { return Ok((state, Found::default())) };
    let mut all: Vec<Watch> = all.into_values().collect();
    amend(&mut all);
    arrange(all).into_iter().filter(|watch| wanted.concerns(watch)).for_each(|watch| feed(&mut state, watch));
    Ok((state, found))
}

/// Watches by watcher, run and number.
type Watches = BTreeMap<(WatcherId, u32, Count), Watch>;

/// Passes Watches on in time order, as long as that is also the order of their numbers.
#[derive(Default)]
struct Stream {
    order: Option<(WatcherId, u32, Count)>,
    /// The last slot's Watches, which the next slot's may amend.
    last: Vec<Watch>,
}

impl Stream {
    /// Takes a slot's Watches and returns those of the slot before, which are final; breaks if that is not certain.
    fn take(&mut self, watches: Watches) -> ControlFlow<(), Vec<Watch>> {
        let (Some((first, _)), Some((last, _))) = (watches.first_key_value(), watches.last_key_value()) else {
            return ControlFlow::Continue(Vec::new());
        };
        if first.0 != last.0 || self.order.is_some_and(|before| before.0 != first.0 || before >= *first) {
            return ControlFlow::Break(());
        }
        self.order = Some(*last);
        let before = self.last.len();
        self.last.extend(watches.into_values());
        if !amends_only_itself(&self.last) {
            return ControlFlow::Break(());
        }
        amend(&mut self.last);
        let next = self.last.split_off(before);
        ControlFlow::Continue(std::mem::replace(&mut self.last, next))
    }
}

/// Returns whether these Watches contain every fact that they amend.
fn amends_only_itself(watches: &[Watch]) -> bool {
    let facts = || watches.iter().flat_map(|watch| &watch.facts);
    let amended = |fact: &crate::watch::Fact| {
        if let FactKind::Watcher(WatcherFact::FactAmended(amendment)) = &fact.kind { Some(amendment.fact) } else { None }
    };
    let mut amended: BTreeSet<FactId> = facts().filter_map(amended).collect();
    if !amended.is_empty() {
        facts().for_each(|fact| _ = amended.remove(&fact.id));
    }
    amended.is_empty()
}

/// Reads all parts of a slot's trace.
pub async fn parts(backend: &dyn Backend, wanted: &Wanted, slot: Slot) -> Result<Vec<Trace>, BackendError> {
    let part = |part| backend.trace(slot.trace_id(&wanted.hub, &wanted.environment, part));
    all_parts(part, |trace| trace.spans.is_empty() && trace.partial.is_none()).await
}

/// Reads all parts. The second one is always requested, because an incomplete first part may not show that there is a second.
async fn all_parts<'a, T>(part: impl Fn(u32) -> Reading<'a, T>, is_absent: impl Fn(&T) -> bool) -> Result<Vec<T>, BackendError> {
    let (first, second) = try_join(part(0), part(1)).await?;
    let mut parts = vec![first, second];
    for next in 2..MAX_PARTS {
        if parts.last().is_some_and(&is_absent) {
            break;
        }
        parts.push(part(next).await?);
    }
    Ok(parts)
}

/// Reads slot by slot, and passes on the Watches of each.
async fn slots(
    backend: &dyn Backend,
    wanted: &Wanted,
    progress: &impl Fn(u64, u64),
    mut give: impl FnMut(Watches) -> ControlFlow<()>,
) -> Result<ControlFlow<(), Found>, BackendError> {
    let (mut found, mut runs) = (Found { cuts: backend.cuts().to_vec(), ..Found::default() }, BTreeMap::new());
    let (first, count) = (Slot::of(wanted.from).0.saturating_sub(1), wanted.slots_with_context().len() as u64);
    let mut done = 0;
    let ask = |slot: Slot| async move {
        let part = |part| backend.watches(slot.trace_id(&wanted.hub, &wanted.environment, part));
        (slot, all_parts(part, |trace| !trace.exists && trace.partial.is_none()).await)
    };
    let mut answers = stream::iter(wanted.slots_with_context()).map(ask).buffered(backend.concurrency());
    while let Some((slot, parts)) = answers.next().await {
        let mut watches = Watches::new();
        // What is missing before the period is missing in no figure of it. What is there and can't be used is reported all the same: it
        // may hold the state at the period's beginning.
        let (mut before, is_before) = (Found::default(), slot.0 < first);
        for trace in parts? {
            watches.extend(decoded(wanted, slot, trace, if is_before { &mut before } else { &mut found }));
        }
        found.unreadable.append(&mut before.unreadable);
        found.slots += u64::from(!is_before);
        found.empty_slots += u64::from(!is_before && watches.is_empty());
        done += 1;
        watches.values().filter(|watch| wanted.touches(watch)).for_each(|watch| note(watch, &mut found, &mut runs));
        progress(done, count);
        if give(watches).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(found))
}

fn decoded(wanted: &Wanted, slot: Slot, trace: TraceWatches, found: &mut Found) -> Watches {
    if let Some(reason) = trace.partial {
        let (from, to) = (slot.start(), Slot(slot.0 + 1).start());
        found.incomplete.push(Incomplete { from, to, lack: Lack::Partial(reason) });
    }
    found.unreadable.extend(trace.decoded.unreadable);
    let mut watches = Watches::new();
    for watch in trace.decoded.watches {
        match impossible(&watch, wanted, slot) {
            Some(error) => found.unreadable.push(error),
            None => _ = watches.insert(watch.origin.order(), watch),
        }
    }
    watches
}

/// The first instant of the year 2000: a clock that shows an earlier time was never set.
const YEAR_2000: Timestamp = Timestamp::from_secs(946_684_800);

/// No Watch lasts longer: six times the longest interval between polls, which is 10 min.
const LONGEST_WATCH: Micros = Micros::new(3_600 * 1_000_000);

/// Returns what is wrong with a Watch that can't have been made at its times, or is in a slot to which it does not belong.
fn impossible(watch: &Watch, wanted: &Wanted, slot: Slot) -> Option<DecodeError> {
    if watch.interval.start() < YEAR_2000 {
        return Some(DecodeError::TooEarly);
    }
    if watch.interval.length() > LONGEST_WATCH {
        return Some(DecodeError::TooLong);
    }
    let belongs = watch.trace_id() == slot.trace_id(&wanted.hub, &wanted.environment, watch.origin.part);
    (!belongs).then_some(DecodeError::Misplaced)
}

/// Number and end of each run's last Watch.
type Runs = BTreeMap<(WatcherId, u32), (Count, Timestamp)>;

/// Counts a Watch, and records a gap before it.
fn note(watch: &Watch, found: &mut Found, runs: &mut Runs) {
    let (watcher, run, number) = watch.origin.order();
    found.watches += 1;
    let last = runs.insert((watcher, run), (number, watch.interval.end()));
    if let Some((before, from)) = last
        && number.get() > before.get() + 1
    {
        let lack = Lack::Watches(number.get() - before.get() - 1);
        found.incomplete.push(Incomplete { from, to: watch.interval.start(), lack });
    }
    let end = watch.interval.end();
    // The fact about a run's last commit may come after the fact that the run ends.
    let has_ended = found.last.is_some_and(|(last, ended)| last == end && ended);
    if found.last.is_none_or(|(last, _)| last <= end) {
        found.last = Some((end, has_ended || ended_well(watch)));
    }
}

/// Returns whether the Watch ends its run cleanly.
fn ended_well(watch: &Watch) -> bool {
    watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Watcher(WatcherFact::WatcherStopped(_))))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
    use proptest::prelude::*;

    use super::*;
    use crate::watch::{Interval, TraceId, encode, request_of};

    #[derive(Debug, Default)]
    struct Memory(BTreeMap<TraceId, Vec<ResourceSpans>>);

    impl Backend for Memory {
        fn name(&self) -> String {
            "memory".to_owned()
        }

        fn trace(&self, id: TraceId) -> Reading<'_> {
            let spans = self.0.get(&id).cloned().unwrap_or_default();
            Box::pin(std::future::ready(Ok(Trace { spans, partial: None })))
        }
    }

    /// A time inside a slot.
    const BEGIN: Timestamp = Timestamp::from_secs(1_795_000_321);

    fn wanted(minutes: u64) -> Wanted {
        let (hub, environment) = (HubName::parse("hub").unwrap(), Environment::parse("staging").unwrap());
        Wanted { hub, environment, from: BEGIN, to: BEGIN.plus(Micros::new(minutes * 60_000_000)) }
    }

    /// Arranges consecutive Watches of `minutes` each, alternating between `watchers`. Marked Watches, and the later ones of their
    /// slot, are in the trace's second part.
    fn arrange(watches: Vec<Watch>, watchers: usize, minutes: u64, marks: &[bool]) -> Vec<Watch> {
        let mut arranged: Vec<Watch> = Vec::new();
        for (index, mut watch) in watches.into_iter().enumerate() {
            let start = BEGIN.plus(Micros::new(index as u64 * minutes * 60_000_000));
            watch.interval = Interval::new(start, start.plus(Micros::new(minutes * 60_000_000)));
            watch.facts.retain(|fact| !matches!(fact.kind, FactKind::Watcher(WatcherFact::WatcherStopped(_))));
            let Wanted { hub, environment, .. } = wanted(0);
            watch.origin.hub = hub;
            watch.origin.environment = environment;
            watch.origin.watcher = WatcherId::from_seed(&[u8::try_from(index % watchers).unwrap()]);
            watch.origin.run = 1;
            watch.origin.sequence = Count::new((index / watchers) as u64);
            let before = arranged.last().filter(|before| before.slot() == watch.slot()).map(|before| before.origin.part);
            let marked = marks.get(index).copied().unwrap_or(false);
            // A trace has a second part only after a first one.
            watch.origin.part = before.map_or(0, |part| part.max(u32::from(marked)));
            arranged.push(watch);
        }
        arranged
    }

    fn memory(watches: &[Watch]) -> Memory {
        let mut memory = Memory::default();
        for watch in watches {
            memory.0.entry(watch.trace_id()).or_default().extend(request_of(&watch.origin, vec![encode(watch)]).resource_spans);
        }
        memory
    }

    fn read_all(memory: &Memory, wanted: &Wanted) -> (Vec<Watch>, Found) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(memory, wanted, Vec::new, Vec::push, |watches| watches, |_, _| ())).unwrap()
    }

    proptest! {
        #[test]
        fn each_watch_is_returned_once_and_in_order_for_any_distribution_over_slots_and_parts(
            watches in proptest::collection::vec(any::<Watch>(), 1..10),
            (watchers, minutes) in (1..3_usize, 2..20_u64),
            marks in proptest::collection::vec(any::<bool>(), 10),
        ) {
            let watches = arrange(watches, watchers, minutes, &marks);
            let wanted = wanted(minutes * 10);
            let (given, found) = read_all(&memory(&watches), &wanted);
            let ordered: Watches = watches.into_iter().map(|watch| (watch.origin.order(), watch)).collect();
            let mut expected: Vec<Watch> = ordered.into_values().collect();
            amend(&mut expected);
            prop_assert_eq!((found.watches, &found.incomplete, &found.unreadable), (given.len() as u64, &vec![], &vec![]));
            prop_assert_eq!(given, expected);
        }

        #[test]
        fn a_watch_that_cant_be_is_counted_and_not_returned_also_before_the_period(watch in any::<Watch>(), slots_before in 0..16_u64) {
            let wanted = wanted(100);
            let mut impossible = arrange(vec![watch], 1, 7, &[]).remove(0);
            let end = BEGIN.minus(Micros::new(slots_before * 900_000_000));
            impossible.interval = Interval::new(end.minus(Micros::new(2 * LONGEST_WATCH.get())), end);
            let (given, found) = read_all(&memory(&[impossible]), &wanted);
            prop_assert_eq!((given.len(), found.unreadable), (0, vec![DecodeError::TooLong]));
        }

        #[test]
        fn a_missing_watch_is_reported_with_its_time(watches in proptest::collection::vec(any::<Watch>(), 8), lost in 1..7_usize) {
            let mut watches = arrange(watches, 1, 7, &[]);
            let gone = watches.remove(lost);
            let (given, found) = read_all(&memory(&watches), &wanted(100));
            prop_assert_eq!(given.len(), 7);
            let expected = Incomplete { from: gone.interval.start(), to: gone.interval.end(), lack: Lack::Watches(1) };
            prop_assert_eq!(found.incomplete, vec![expected]);
        }
    }
}
