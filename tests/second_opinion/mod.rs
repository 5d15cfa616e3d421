//! A second opinion: the measures of a period, recomputed from its Watches by `docs/measures.md` alone. It is slow and obvious on purpose
//! and shares no code with the judge; only the form of a Watch is the program's.
#![allow(dead_code, reason = "each test uses a part of it")]

mod clock;
mod memory;
mod operations;
mod scenarios;
mod states;

use std::borrow::Cow;
use std::collections::BTreeMap;

use hubwatch::watch::*;

pub(crate) use memory::Steady;
pub(crate) use states::Sums;

const DAY: u128 = 86_400_000_000;
/// "30 s after that for its effects".
const SETTLE: u64 = 30_000_000;
/// "A window that is not ended within 4 h ends then".
const LONGEST: u64 = 4 * 3_600_000_000;
/// `high_load_clients` of the built-in rules.
const HIGH_LOAD: u32 = 10;
/// "More than a second between the end of a Watch and the start of the next".
const GAP: u64 = 1_000_000;

/// A fraction in lowest terms, or nothing.
pub(crate) type Value = Option<(u128, u128)>;

/// What was recomputed: the value and the number of samples of each measure by its word.
#[derive(Debug, Default)]
pub(crate) struct Opinion {
    pub measures: BTreeMap<&'static str, (Value, u64)>,
    pub coverage: BTreeMap<&'static str, u64>,
    /// How the servers fared, each by its name, and the hub by none.
    pub lives: BTreeMap<String, Sums>,
    /// The memory that a leak is looked for in.
    pub steady: Option<Steady>,
    /// Calls that failed, and all calls.
    calls: (u64, u64),
}

/// A planned window: its begin and end, and the end of its effects.
#[derive(Debug, Clone)]
struct Window {
    name: String,
    from: u64,
    to: Option<u64>,
}

impl Window {
    fn end(&self) -> u64 {
        self.to.map_or(self.from + LONGEST, |to| to.min(self.from + LONGEST))
    }

    fn settled(&self) -> u64 {
        match self.to {
            Some(to) if to - self.from <= LONGEST => to + SETTLE,
            _ => self.from + LONGEST,
        }
    }
}

/// From when to when is judged.
type Period = (u64, u64);

/// Where a Watch or a fact lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    Beyond,
}

/// Where an instant lies that a Watch beginning at `start` tells of: "what happens at the very instant of a cut belongs to the side on
/// which its Watch begins".
fn place_of(at: u64, start: u64, (from, to): Period) -> Place {
    if at < from || at == from && start < from {
        Place::Before
    } else if at > to || at == to && start >= to && to > from {
        Place::Beyond
    } else {
        Place::Inside
    }
}

/// The Watches in their order, each with what the document calls a gap or a break before it.
struct Taken<'a> {
    watch: Cow<'a, Watch>,
    /// "A Watch belongs to the period in which it ends."
    place: Place,
    /// "Time is split at the cut": its part of the period.
    share: Option<(u64, u64)>,
    /// The end of the Watch before, if there is a gap.
    unseen_from: Option<u64>,
    broken: bool,
    /// The windows that are known when it is judged.
    windows: Vec<Window>,
}

impl Taken<'_> {
    fn is_inside(&self) -> bool {
        self.place == Place::Inside
    }
}

/// Recomputes a period. The Watches are those of one watcher, in any order, possibly twice.
pub(crate) fn recompute(watches: &[Watch], from: Timestamp, to: Timestamp) -> Opinion {
    let period = (us(from), us(to));
    let taken = take(watches, period);
    let mut opinion = Opinion::default();
    let followed = states::follow(&taken, period, &mut opinion);
    calls(&taken, period, &mut opinion);
    operations::operations(&taken, period, &mut opinion);
    requests(&taken, &followed, &mut opinion);
    load(&taken, &mut opinion);
    memory(&taken, &mut opinion);
    opinion.steady = memory::steady(polls(&taken).filter_map(|(poll, end, _)| Some((poll.process.as_ref()?, end))));
    processor(&taken, &mut opinion);
    growth(&taken, &mut opinion);
    lines(&taken, period, &mut opinion);
    sessions(&taken, period, &mut opinion);
    scenarios::scenarios(&taken, period, &mut opinion);
    coverage(&taken, period, &mut opinion);
    opinion
}

/// Takes the Watches in their order, each once.
fn take(watches: &[Watch], period: Period) -> Vec<Taken<'_>> {
    let mut all: Vec<&Watch> = watches.iter().collect();
    all.sort_by_key(|watch| (watch.origin.run, watch.origin.sequence.get()));
    all.dedup_by_key(|watch| (watch.origin.run, watch.origin.sequence.get()));
    let mut taken: Vec<Taken<'_>> = Vec::new();
    let mut windows: Vec<Window> = Vec::new();
    for watch in clock::straight(&all) {
        announce(&watch, &mut windows);
        let before = taken.last().map(|taken| &*taken.watch);
        let (start, end) = (us(watch.interval.start()), us(watch.interval.end()));
        let unseen_from = before.map(|before| us(before.interval.end())).filter(|before| start > before + GAP);
        let missing = match before {
            Some(before) if before.origin.run == watch.origin.run => watch.origin.sequence.get() > before.origin.sequence.get() + 1,
            Some(_) => watch.origin.sequence.get() > 0,
            None => false,
        };
        let jumped = before.is_some_and(|before| {
            before.facts.iter().any(|fact| matches!(fact.kind, FactKind::Watcher(WatcherFact::ClockJumped(_))))
        });
        let place = place_of(end, start, period);
        let part = (start.max(period.0), end.min(period.1));
        let share = (part.0 < part.1 || part.0 == part.1 && place == Place::Inside).then_some(part);
        taken.push(Taken { watch, place, share, unseen_from, broken: missing || jumped, windows: windows.clone() });
    }
    taken
}

fn announce(watch: &Watch, windows: &mut Vec<Window>) {
    for fact in &watch.facts {
        let at = us(fact.when.latest());
        match &fact.kind {
            FactKind::Watcher(WatcherFact::MarkBegan(mark)) => {
                // "From then on the same name begins a new one."
                let lasts = |window: &Window| window.to.is_none() && at <= window.from + LONGEST;
                if !windows.iter().any(|window| window.name == mark.name.as_str() && lasts(window)) {
                    windows.push(Window { name: mark.name.to_string(), from: at, to: None });
                }
            }
            FactKind::Watcher(WatcherFact::MarkEnded(mark)) => {
                let open = windows.iter_mut().rev().find(|window| window.name == mark.name.as_str() && window.to.is_none());
                if let Some(window) = open {
                    window.to = Some(at);
                }
            }
            _ => {}
        }
    }
}

fn us(at: Timestamp) -> u64 {
    at.get()
}

/// Whether an instant lies in a window or its effects.
fn is_planned(windows: &[Window], at: u64) -> bool {
    windows.iter().any(|window| window.from <= at && at <= window.settled())
}

/// How much of an interval lies in windows and their effects.
fn planned_part(windows: &[Window], from: u64, to: u64) -> u64 {
    let mut parts: Vec<(u64, u64)> = windows.iter().map(|window| (window.from.max(from), window.settled().min(to))).collect();
    parts.retain(|(begin, end)| begin < end);
    parts.sort_unstable();
    let (mut sum, mut reached) = (0, from);
    for (begin, end) in parts {
        sum += end.saturating_sub(begin.max(reached));
        reached = reached.max(end);
    }
    sum
}

fn fraction(numerator: u128, denominator: u128) -> Value {
    if denominator == 0 {
        return None;
    }
    let (mut one, mut other) = (numerator, denominator);
    while other != 0 {
        (one, other) = (other, one % other);
    }
    Some((numerator / one, denominator / one))
}

fn permille(part: u64, whole: u64) -> Value {
    fraction(u128::from(part) * 1_000, u128::from(whole))
}

fn mean(all: &[u64]) -> Value {
    fraction(all.iter().copied().map(u128::from).sum(), all.len() as u128)
}

/// By nearest rank.
fn percentile(all: &[u64], of_a_hundred: usize) -> Value {
    let mut all = all.to_vec();
    all.sort_unstable();
    let rank = (all.len() * of_a_hundred).div_ceil(100).max(1);
    all.get(rank - 1).and_then(|value| fraction(u128::from(*value), 1))
}

fn whole(value: u64) -> Value {
    fraction(u128::from(value), 1)
}

/// The facts of the period, each with whether it is planned.
fn facts<'a>(taken: &'a [Taken<'_>], period: Period) -> impl Iterator<Item = (&'a Fact, bool)> {
    taken.iter().flat_map(move |taken| {
        let (start, end) = (us(taken.watch.interval.start()), us(taken.watch.interval.end()));
        let at = move |fact: &Fact| us(fact.when.latest()).min(end);
        let inside = taken.watch.facts.iter().filter(move |fact| place_of(at(fact), start, period) == Place::Inside);
        inside.map(move |fact| (fact, is_planned(&taken.windows, at(fact))))
    })
}

fn calls(taken: &[Taken<'_>], period: Period, opinion: &mut Opinion) {
    let mut all: Vec<&CallEnded> = Vec::new();
    let mut rounds_told = 0;
    let (mut gemini_failed, mut not_fallen_back) = (0, 0);
    for (fact, planned) in facts(taken, period) {
        match &fact.kind {
            FactKind::Call(CallFact::CallEnded(call)) => {
                let failed = call.gemini == GeminiOutcome::Failed
                    || call.gemini == GeminiOutcome::Unfinished && call.gemini_failed_rounds > 0;
                gemini_failed += u64::from(failed);
                not_fallen_back += u64::from(failed && call.outcome != CallOutcome::Fallback);
                if !planned {
                    all.push(call);
                }
            }
            FactKind::Call(CallFact::GeminiRoundFailed(_)) if !planned => rounds_told += 1,
            _ => {}
        }
    }
    let count = all.len() as u64;
    let failed = all.iter().filter(|call| !matches!(call.outcome, CallOutcome::Ok | CallOutcome::Fallback)).count() as u64;
    let notified = all.iter().filter(|call| call.notification == Some(Notification::Failed)).count() as u64;
    let known = |call: &&&CallEnded| call.response_complete.is_some() || call.categories_known.is_some();
    let invalid = |call: &&&CallEnded| call.response_complete == Some(false) || call.categories_known == Some(false);
    let (known, invalid) = (all.iter().filter(known).count() as u64, all.iter().filter(invalid).count() as u64);
    let measures = &mut opinion.measures;
    measures.insert("calls.failed_share", (permille(failed, count), count));
    measures.insert("calls.invalid", (permille(invalid, known), known));
    measures.insert("calls.notifications_failed", (whole(notified), count));
    measures.insert("gemini.not_fallen_back", (whole(not_fallen_back), gemini_failed));
    let seen_asking = |call: &&&CallEnded| {
        call.pairing != Pairing::Partial && !matches!(call.gemini, GeminiOutcome::NotAsked | GeminiOutcome::Unseen)
    };
    let asked: Vec<_> = all.iter().filter(seen_asking).collect();
    let of_calls: u64 = asked.iter().map(|call| u64::from(call.gemini_failed_rounds)).sum();
    let beyond = u64::saturating_sub(rounds_told, of_calls);
    let asked = asked.len() as u64 + beyond;
    measures.insert("gemini.failed_share", (permille(of_calls + beyond, asked), asked));
    let clean = |call: &&&CallEnded| {
        matches!(call.outcome, CallOutcome::Ok | CallOutcome::Fallback | CallOutcome::Error) && call.gemini_failed_rounds == 0
    };
    let timed: Vec<_> = all.iter().filter(clean).filter_map(|call| Some((call.duration?.get(), call.gemini_duration))).collect();
    let durations: Vec<u64> = timed.iter().map(|(duration, _)| *duration).collect();
    let of_gemini: Vec<u64> = timed.iter().filter_map(|(_, gemini)| Some((*gemini)?.get())).collect();
    let samples = durations.len() as u64;
    measures.insert("calls.mean", (mean(&durations), samples));
    measures.insert("calls.p95", (percentile(&durations, 95), samples));
    measures.insert("calls.p99", (percentile(&durations, 99), samples));
    measures.insert("gemini.mean", (mean(&of_gemini), of_gemini.len() as u64));
    opinion.calls = (failed, count);
}

/// The outcomes and durations of a poll's requests.
fn asked(poll: &Poll) -> Vec<(ApiOutcome, u64)> {
    let mut all = vec![(poll.api.health, poll.api.health_duration.get())];
    if let (Some(outcome), Some(duration)) = (poll.api.servers, poll.api.servers_duration) {
        all.push((outcome, duration.get()));
    }
    if let Some(filtering) = poll.filtering.as_ref().filter(|filtering| filtering.outcome != ApiOutcome::NotFound) {
        all.push((filtering.outcome, filtering.duration.get()));
    }
    all
}

fn polls<'a>(taken: &'a [Taken<'_>]) -> impl Iterator<Item = (&'a Poll, u64, bool)> {
    taken.iter().filter(|taken| taken.is_inside()).filter_map(|taken| {
        let end = us(taken.watch.interval.end());
        Some((taken.watch.poll.as_ref()?, end, is_planned(&taken.windows, end)))
    })
}

fn requests(taken: &[Taken<'_>], followed: &states::Followed, opinion: &mut Opinion) {
    let mut all: Vec<(ApiOutcome, u64)> = Vec::new();
    for (taken, awaiting) in taken.iter().zip(&followed.awaiting).filter(|(taken, _)| taken.is_inside()) {
        let Some(poll) = &taken.watch.poll else { continue };
        let left_out = *awaiting && followed.was_awaited || is_planned(&taken.windows, us(taken.watch.interval.end()));
        all.extend(if left_out { Vec::new() } else { asked(poll) });
    }
    let answered: Vec<u64> = all.iter().filter(|(outcome, _)| *outcome == ApiOutcome::Ok).map(|(_, duration)| *duration).collect();
    let failed = (all.len() - answered.len()) as u64 + opinion.calls.0;
    let operations = all.len() as u64 + opinion.calls.1;
    opinion.measures.insert("errors.share", (permille(failed, operations), operations));
    let samples = answered.len() as u64;
    let measures = &mut opinion.measures;
    measures.insert("api.mean", (mean(&answered), samples));
    measures.insert("api.p95", (percentile(&answered, 95), samples));
    measures.insert("api.p99", (percentile(&answered, 99), samples));
    measures.insert("api.max", (answered.iter().max().copied().and_then(whole), samples));
}

/// Requests at polls at which many clients were connected.
fn load(taken: &[Taken<'_>], opinion: &mut Opinion) {
    let (mut clients, mut requests) = (0, Vec::new());
    for (poll, ..) in polls(taken) {
        clients = match (poll.api.mcp_clients, poll.api.health) {
            (Some(clients), _) => clients,
            (None, ApiOutcome::Ok) => 0,
            (None, _) => clients,
        };
        if clients >= HIGH_LOAD {
            requests.extend(asked(poll));
        }
    }
    let answered: Vec<u64> =
        requests.iter().filter(|(outcome, _)| *outcome == ApiOutcome::Ok).map(|(_, duration)| *duration).collect();
    let (all, answers) = (requests.len() as u64, answered.len() as u64);
    opinion.measures.insert("load.api_mean", (mean(&answered), answers));
    opinion.measures.insert("load.api_failed_share", (permille(all - answers, all), all));
}

fn memory(taken: &[Taken<'_>], opinion: &mut Opinion) {
    let seen: Vec<&ProcessPoll> =
        polls(taken).filter(|(.., planned)| !planned).filter_map(|(poll, ..)| poll.process.as_ref()).collect();
    let measures = &mut opinion.measures;
    let peak = seen.iter().map(|process| process.rss.get()).max();
    measures.insert("memory.peak", (peak.and_then(whole), seen.len() as u64));
    let (limited, free): (Vec<_>, Vec<_>) = seen.into_iter().partition(|process| process.memory_limit.is_some());
    let share = |part: u64, of: u64| permille(part, of);
    let most = |shares: Vec<Value>| shares.into_iter().flatten().max_by(|one, other| (one.0 * other.1).cmp(&(other.0 * one.1)));
    let host: Vec<Value> = free.iter().map(|process| share(process.rss.get(), process.host_memory.get())).collect();
    let (rss, memory) =
        (free.iter().map(|process| process.rss.get()).sum(), free.iter().map(|process| process.host_memory.get()).sum());
    if limited.is_empty() {
        measures.insert("memory.host_mean", (permille(rss, memory), free.len() as u64));
        measures.insert("memory.host_peak", (most(host), free.len() as u64));
    }
    let of_limit = |process: &&ProcessPoll| share(process.rss.get(), process.memory_limit.map_or(0, Bytes::get));
    if !limited.is_empty() {
        measures.insert("memory.limit_peak", (most(limited.iter().map(of_limit).collect()), limited.len() as u64));
    }
}

/// A stretch of processor time: how long it was, and how much it used.
type Stretch = (u64, u64);

fn processor(taken: &[Taken<'_>], opinion: &mut Opinion) {
    let mut stretches: Vec<Stretch> = Vec::new();
    // The poll before, as long as nothing lies between it and the next one.
    let mut before: Option<(u64, &ProcessPoll)> = None;
    // Since when nothing was overlooked: the end of the poll before, or the start of the first Watch after a gap or break.
    let mut since: Option<u64> = None;
    for taken in taken.iter().filter(|taken| taken.is_inside()) {
        if taken.unseen_from.is_some() || taken.broken || since.is_none() {
            before = None;
            since = Some(us(taken.watch.interval.start()));
        }
        let Some(poll) = &taken.watch.poll else { continue };
        let end = us(taken.watch.interval.end());
        let Some(process) = &poll.process else {
            before = None;
            since = Some(end);
            continue;
        };
        let begun = us(process.started);
        let stretch = match before.filter(|(_, known)| (known.pid, known.started) == (process.pid, process.started)) {
            Some((at, known)) => process.cpu_time.get().checked_sub(known.cpu_time.get()).map(|used| (at, used)),
            None => since.filter(|since| begun >= *since && begun <= end).map(|_| (begun, process.cpu_time.get())),
        };
        if let Some((at, used)) = stretch {
            let is_start_up = at < begun + 60_000_000;
            let touches =
                planned_part(&taken.windows, at, end) > 0 || is_planned(&taken.windows, at) || is_planned(&taken.windows, end);
            if !is_start_up && !touches && end > at {
                stretches.push((end - at, used));
            }
        }
        before = Some((end, process));
        since = Some(end);
    }
    let (time, used) =
        stretches.iter().fold((0_u128, 0_u128), |sum, (time, used)| (sum.0 + u128::from(*time), sum.1 + u128::from(*used)));
    let peak = stretches
        .iter()
        .max_by(|one, other| (u128::from(one.1) * u128::from(other.0)).cmp(&(u128::from(other.1) * u128::from(one.0))));
    let samples = stretches.len() as u64;
    opinion.measures.insert("cpu.mean", (fraction(used * 1_000, time), samples));
    opinion.measures.insert("cpu.peak", (peak.and_then(|(time, used)| permille(*used, *time)), samples));
}

fn growth(taken: &[Taken<'_>], opinion: &mut Opinion) {
    let (mut grown, mut time, mut polled) = (0_u128, 0_u128, 0_u64);
    let mut reached: Option<u64> = None;
    let (mut bytes, mut polls, mut unreadable) = (0_u128, 0_u64, false);
    for taken in taken.iter().filter(|taken| taken.place != Place::Beyond) {
        let watch = &*taken.watch;
        let begins_anew =
            |fact: &Fact| matches!(&fact.kind, FactKind::Watcher(WatcherFact::WatcherStarted(started)) if !started.resumed);
        if taken.broken || watch.facts.iter().any(begins_anew) {
            (reached, unreadable) = (None, false);
        }
        unreadable |= watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Log(LogFact::LogUnreadable(_))));
        bytes += u128::from(watch.log.bytes.get());
        polls += u64::from(watch.poll.is_some());
        let is_reached = match watch.sources.log {
            Visibility::Read => true,
            Visibility::Missing => !unreadable,
            Visibility::Partial | Visibility::Off => false,
        };
        if !is_reached {
            continue;
        }
        let end = us(watch.interval.end());
        if let Some(since) = reached.filter(|_| taken.is_inside()) {
            let touches = planned_part(&taken.windows, since, end) > 0 || is_planned(&taken.windows, end);
            if !touches {
                grown += bytes;
                time += u128::from(end.saturating_sub(since));
                polled += polls;
            }
        }
        (reached, bytes, polls, unreadable) = (Some(end), 0, 0, false);
    }
    opinion.measures.insert("log.growth_per_day", (fraction(grown * DAY, time), polled));
}

fn lines(taken: &[Taken<'_>], period: Period, opinion: &mut Opinion) {
    let errors: u64 = facts(taken, period)
        .filter(|(_, planned)| !planned)
        .filter_map(|(fact, _)| match &fact.kind {
            FactKind::Log(LogFact::Lines(lines)) if lines.level == Level::Error => Some(lines.count.get()),
            _ => None,
        })
        .sum();
    opinion.measures.insert("log.errors", (whole(errors), 0));
    let mut losses = 0;
    for taken in taken.iter().filter(|taken| taken.is_inside()) {
        let (start, end) = (us(taken.watch.interval.start()), us(taken.watch.interval.end()));
        let planned = planned_part(&taken.windows, start, end) > 0 || is_planned(&taken.windows, end);
        let told = taken.watch.facts.iter().any(|fact| matches!(fact.kind, FactKind::Log(LogFact::LogUnreadable(_))));
        losses += u64::from(!planned && !told && taken.watch.sidecar.bytes_lost.get() > 0);
    }
    losses += facts(taken, period)
        .filter(|(fact, planned)| {
            !planned && matches!(fact.kind, FactKind::Log(LogFact::LogUnreadable(_) | LogFact::LogWriteFailed(_)))
        })
        .count() as u64;
    opinion.measures.insert("log.losses", (whole(losses), 0));
}

fn sessions(taken: &[Taken<'_>], period: Period, opinion: &mut Opinion) {
    let count = |of: fn(&FactKind) -> bool| facts(taken, period).filter(|(fact, _)| of(&fact.kind)).count() as u64;
    let left = count(|kind| matches!(kind, FactKind::Session(SessionFact::ClientDisconnected(_))));
    let closed = count(|kind| matches!(kind, FactKind::Session(SessionFact::SessionClosed(_))));
    let opened = count(|kind| matches!(kind, FactKind::Session(SessionFact::SessionOpened(_))));
    // "Not visible where no session is seen to be opened or closed."
    if opened + closed > 0 {
        opinion.measures.insert("sessions.left_open", (whole(left.saturating_sub(closed)), left));
    }
    let most = polls(taken).filter_map(|(poll, ..)| poll.api.mcp_clients).max();
    opinion.measures.insert("clients.peak", (most.and_then(|most| whole(u64::from(most))), 0));
}

fn coverage(taken: &[Taken<'_>], period: Period, opinion: &mut Opinion) {
    // Each instant that lies in a Watch, or in a break between two that is no gap, once.
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let mut before: Option<u64> = None;
    for taken in taken {
        if let Some((start, end)) = taken.share {
            let joined = before.filter(|_| taken.unseen_from.is_none()).map_or(start, |before| before.clamp(period.0, start));
            parts.push((joined, end));
        } else if let Some(before) = before.filter(|_| taken.unseen_from.is_none() && us(taken.watch.interval.start()) >= period.1)
        {
            parts.push((before.clamp(period.0, period.1), period.1));
        }
        before = Some(us(taken.watch.interval.end()));
    }
    parts.sort_unstable();
    let (mut covered, mut reached) = (0, period.0);
    for (start, end) in parts {
        covered += end.saturating_sub(start.max(reached));
        reached = reached.max(end);
    }
    let (mut planned_time, mut waiting) = (0, 0);
    let (mut api, mut servers, mut process) = (0, 0, 0);
    for taken in taken.iter().filter(|taken| taken.is_inside()) {
        let Some((start, end)) = taken.share else { continue };
        let planned = planned_part(&taken.windows, start, end);
        planned_time += planned;
        waiting += end - start - planned;
        if let Some(poll) = &taken.watch.poll {
            api += if poll.api.health == ApiOutcome::Ok { waiting } else { 0 };
            servers += if poll.api.servers == Some(ApiOutcome::Ok) { waiting } else { 0 };
            process += if poll.process.is_some() { waiting } else { 0 };
            waiting = 0;
        }
    }
    // "No source counts for longer than was watched."
    let sources = [("api", api), ("servers", servers), ("process", process), ("planned", planned_time)];
    let sources = sources
        .map(|(source, time)| (source, time.min(if source == "planned" { covered } else { covered - planned_time.min(covered) })));
    opinion.coverage.insert("covered", covered);
    opinion.coverage.extend(sources);
}
