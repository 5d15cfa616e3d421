//! The floors of memory, window by window, in memory that does not grow with the period.

use super::LeakRules;
use super::points::{Point, Points};
use crate::watch::{Micros, ProcessPoll, Timestamp};

/// What the hub had to do when its process was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// MCP clients that were connected.
    pub clients: u32,
    /// Operations since the watch began.
    pub operations: u64,
}

/// A process: two of them can have the same id, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// Its id.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
}

/// The floor is the third lowest poll: one that dips, or two, would make a floor of their own otherwise (an L-estimator instead of the
/// minimum, whose deviations have no bound under heavy tails).
const LOWEST: usize = 3;

/// Memory at a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Low {
    bytes: u64,
    at: Timestamp,
}

/// The lowest memory within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Floor {
    life: Life,
    window: u64,
    /// The lowest polls, in order; the last one again where there were fewer.
    lowest: [Low; LOWEST],
    polls: u64,
    clients: u64,
    operations: u64,
}

impl Floor {
    /// Its floor.
    fn low(&self) -> Low {
        self.lowest[LOWEST - 1]
    }

    /// Two windows seen as one.
    fn join(&mut self, later: &Self) {
        let mut all: Vec<Low> = self.lowest.iter().chain(&later.lowest).copied().collect();
        all.sort_unstable();
        all.dedup();
        let last = all.len() - 1;
        self.lowest = std::array::from_fn(|rank| all[rank.min(last)]);
        self.polls += later.polls;
        self.clients = self.clients.saturating_add(later.clients);
        self.operations = later.operations;
    }
}

/// Keeps what a verdict needs, whatever the period's length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Windows {
    /// How wide a window is (µs); zero before the first.
    width: u64,
    floors: Vec<Floor>,
    /// The first and the last poll that counted.
    bounds: Option<(Timestamp, Timestamp)>,
    limit: u64,
}

/// Two days of the default windows have 576 floors. When there are more than this, windows become wider.
const MAX_FLOORS: usize = 1_024;

/// So many are left then, at most: making room takes a look at all of them, so it must not be needed at each poll.
const ROOMY: usize = MAX_FLOORS * 3 / 4;

/// Windows don't become more than 64 times as wide at once: five hours.
const MOST_DOUBLINGS: u32 = 6;

const HOUR: f64 = 3_600e6;

impl Windows {
    /// Takes a poll's process in, unless it is still warming up.
    pub(super) fn take(&mut self, process: &ProcessPoll, load: Load, at: Timestamp, rules: &LeakRules) {
        let rss = process.rss.get();
        // A process without memory is one that just ended.
        if at.since(process.started) < rules.warm_up || rss == 0 {
            return;
        }
        if self.width == 0 {
            self.width = rules.window.get().max(1);
        }
        self.limit = process.memory_limit.unwrap_or(process.host_memory).get();
        let last = self.floors.last();
        // A clock that ran backwards adds to the last window.
        let at = last.map_or(at, |last| at.max(last.low().at));
        let (first, latest) = self.bounds.unwrap_or((at, at));
        self.bounds = Some((first, latest.max(at)));
        let floor = Floor {
            life: Life { pid: process.pid, started: process.started },
            window: at.get() / self.width,
            lowest: [Low { bytes: rss, at }; LOWEST],
            polls: 1,
            clients: u64::from(load.clients),
            operations: load.operations,
        };
        match self.floors.last_mut() {
            Some(last) if (last.window, last.life) == (floor.window, floor.life) => last.join(&floor),
            _ => self.floors.push(floor),
        }
        if self.floors.len() > MAX_FLOORS {
            self.make_room();
        }
    }

    /// Makes windows wider until there are few enough of them. Where processes alternate all the time, or windows lie far apart, that would
    /// only blur them: there the earliest are let go.
    fn make_room(&mut self) {
        let wider = (1..=MOST_DOUBLINGS).map(|times| (1 << times, joined(&self.floors, 1 << times)));
        if let Some((factor, floors)) = wider.into_iter().find(|(_, floors)| floors.len() <= ROOMY) {
            (self.width, self.floors) = (self.width.saturating_mul(factor), floors);
            return;
        }
        self.floors.drain(..self.floors.len().saturating_sub(ROOMY));
        if let (Some(bounds), Some(first)) = (self.bounds.as_mut(), self.floors.first()) {
            bounds.0 = first.low().at;
        }
    }

    /// How many windows have a floor.
    pub(super) fn count(&self) -> u64 {
        self.floors.len() as u64
    }

    /// The time that was seen: a window without a floor was not, and one in which two processes were seen counts once.
    pub(super) fn seen(&self) -> Micros {
        let windows = self.floors.chunk_by(|one, other| one.window == other.window).count() as u64;
        Micros::new(windows.saturating_mul(self.width))
    }

    /// The memory that there is.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The first and the last poll that counted.
    pub(super) fn bounds(&self) -> Option<(Timestamp, Timestamp)> {
        self.bounds
    }

    /// The time so many hours after the first floor.
    pub(super) fn after(&self, hours: f64) -> Option<Timestamp> {
        let first = self.floors.first()?.low().at;
        Some(Timestamp::new(first.get().saturating_add((hours * HOUR) as u64)))
    }

    /// How many operations there were an hour, if there were any.
    pub(super) fn operations_per_hour(&self) -> Option<f64> {
        let (first, last) = (self.floors.first()?, self.floors.last()?);
        let operations = last.operations.saturating_sub(first.operations);
        let hours = last.low().at.since(first.low().at).get() as f64 / HOUR;
        (operations > 0 && hours > 0.0).then(|| operations as f64 / hours)
    }

    /// The process that was seen for the longest time, and how many there were.
    pub(super) fn lives(&self) -> Option<(Life, u64)> {
        let lives: Vec<&[Floor]> = self.floors.chunk_by(|one, other| one.life == other.life).collect();
        let longest = lives.iter().max_by_key(|life| life.len())?;
        Some((longest.first()?.life, lives.len() as u64))
    }

    /// The middle floor of the first and of the last eighth.
    pub(super) fn ends(&self) -> Option<(u64, u64)> {
        let eighth = self.floors.len().div_ceil(8);
        let middle = |floors: &[Floor]| {
            let mut floors: Vec<u64> = floors.iter().map(|floor| floor.low().bytes).collect();
            floors.sort_unstable();
            floors.get(floors.len() / 2).copied()
        };
        Some((middle(self.floors.get(..eighth)?)?, middle(&self.floors[self.floors.len() - eighth..])?))
    }

    /// `most` floors, and in short lives up to half as many more, of windows as wide as that takes. A window of which less than `share` was seen, in per cent of what is
    /// usual, has no floor that can be believed: the lowest of few polls lies higher than that of many.
    pub(super) fn points(&self, most: u64, share: u64) -> Points {
        let factor = self.count().div_ceil(most.max(1)).max(1);
        let runs = self.floors.chunk_by(|one, other| one.life == other.life);
        let mut floors: Vec<Floor> = runs.flat_map(|life| evenly(life, factor)).collect();
        let mut polls: Vec<u64> = floors.iter().map(|floor| floor.polls).collect();
        polls.sort_unstable();
        let usual = polls.get(polls.len() / 2).copied().unwrap_or(0);
        floors.retain(|floor| floor.polls.saturating_mul(100) >= usual.saturating_mul(share));
        // One floor has a level and no growth.
        let runs = floors.chunk_by(|one, other| one.life == other.life).filter(|life| life.len() > 1);
        let floors: Vec<Floor> = runs.flatten().copied().collect();
        let Some(first) = floors.first().map(|floor| floor.low().at) else { return Points::default() };
        let hours = |from: Timestamp, to: Timestamp| to.since(from).get() as f64 / HOUR;
        let starts = floors.windows(2).enumerate().filter(|(_, pair)| pair[0].life != pair[1].life).map(|(index, _)| index + 1);
        let begins = [0].into_iter().chain(starts).collect();
        let point = |floor: &Floor| Point {
            time: hours(first, floor.low().at),
            age: hours(floor.life.started, floor.low().at),
            floor: floor.low().bytes as f64,
            clients: floor.clients as f64 / floor.polls.max(1) as f64,
            operations: floor.operations as f64,
        };
        Points { all: floors.iter().map(point).collect(), begins }
    }

    /// The `most` longest lives, each by itself, where there are several: those that were seen for at least `least`.
    pub(super) fn alone(&self, most: usize, least: Micros) -> Vec<Self> {
        let mut lives: Vec<&[Floor]> = self.floors.chunk_by(|one, other| one.life == other.life).collect();
        if lives.len() < 2 {
            return Vec::new();
        }
        lives.retain(|life| (life.len() as u64).saturating_mul(self.width) >= least.get());
        lives.sort_by_key(|life| std::cmp::Reverse(life.len()));
        let bounds = |life: &[Floor]| Some((life.first()?.low().at, life.last()?.low().at));
        let windows = |life: &[Floor]| Self { width: self.width, floors: life.to_vec(), bounds: bounds(life), limit: self.limit };
        lives.into_iter().take(most).map(windows).collect()
    }
}

/// The floors of one life in windows about `factor` times as wide. They are as wide as each other: a short one at a life's end would have
/// a higher floor, in each life anew.
fn evenly(life: &[Floor], factor: u64) -> Vec<Floor> {
    let (Some(first), Some(last)) = (life.first(), life.last()) else { return Vec::new() };
    let span = u128::from(last.window - first.window) + 1;
    let factor = u128::from(factor);
    let parts = ((span + factor / 2) / factor).max(1);
    let part = |floor: &Floor| u64::try_from(u128::from(floor.window - first.window) * parts / span).unwrap_or(u64::MAX);
    let mut wider: Vec<Floor> = Vec::with_capacity(life.len());
    for floor in life {
        let window = part(floor);
        match wider.last_mut() {
            Some(last) if last.window == window => last.join(floor),
            _ => wider.push(Floor { window, ..*floor }),
        }
    }
    wider
}

/// The floors of windows `factor` times as wide.
fn joined(floors: &[Floor], factor: u64) -> Vec<Floor> {
    let mut wider: Vec<Floor> = Vec::with_capacity(floors.len());
    for floor in floors {
        let window = floor.window / factor.max(1);
        match wider.last_mut() {
            Some(last) if last.window == window && last.life == floor.life => last.join(floor),
            _ => wider.push(Floor { window, ..*floor }),
        }
    }
    wider
}
