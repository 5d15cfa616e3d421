//! Whether memory leaks.
//!
//! - [`windows`] keeps the third lowest resident memory of each window (its floor): a garbage collector's sawtooth is no growth, two polls
//!   that dip are no floor, and a warm-up is no leak.
//! - [`shapes`] says which courses memory can take: level, steps, curves that slow down, one rise, growth that goes on, with the
//!   day's cycle or the load on top. All processes of the period are fitted together, each with a level of its own.
//! - [`noise`] says how memory wanders about its course, from independent deviations to a random walk.
//! - [`models`] weighs every course with every noise by how well it predicted the floors ([`products`] does the algebra).
//! - [`teeth`] finds the collections where these come less often than windows end: how long ago the last one was explains teeth that
//!   climb evenly, and of uneven ones the lowest floor after each is taken.
//! - [`plateaus`] finds memory that jumps up and down between two levels: which of the two it is at is no growth.
//! - [`ramps`] looks among all floors for where growth begins, and where a straight rise begins and ends.
//! - [`decide`] makes a verdict of it: a leak, no leak, or that it can't be told in this time, with the smallest leak that would
//!   have been found. Growth of processes that all lived for less than 5 h is no leak: each may only warm up.
//!
//! Where all processes together show no leak, the three longest that were seen for the least time are looked at alone. A leak of one of
//! them is told with the figures of this process only.
//!
//! Nothing here is random: the same polls give the same verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod decide;
mod models;
mod noise;
mod plateaus;
mod points;
mod products;
mod ramps;
mod shapes;
mod student;
mod teeth;
#[cfg(test)]
mod tests;
mod windows;

pub use decide::Growth;
use decide::decide;
pub use models::Course;
pub use windows::Load;
use windows::Windows;

use super::moment::Moment;
use crate::watch::{Micros, ProcessPoll, Timestamp};

/// How a leak is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakRules {
    /// The floor of each such stretch counts.
    pub window: Micros,
    /// How much of a process's beginning is left out.
    pub warm_up: Micros,
    /// Processes must have been watched for so long beyond that, all together.
    pub min_steady: Micros,
    /// Growth in the whole time below this share of the floor at the beginning is no leak (thousandths).
    pub min_growth_permille: u64,
    /// Growth in the whole time below so many bytes is no leak.
    pub min_growth_bytes: u64,
    /// The verdict is "no leak" if the growth per day is surely below this share of the floor at the beginning (thousandths) …
    pub tolerated_permille_per_day: u64,
    /// … or below so many bytes.
    pub tolerated_bytes_per_day: u64,
}

impl LeakRules {
    /// What the built-in rules say.
    pub const DEFAULT: Self = Self {
        // Node's major collections come more often than this, even in an idle process.
        window: Micros::new(5 * 60 * 1_000_000),
        // The hub compiles its code and starts its servers; caches fill.
        warm_up: Micros::new(30 * 60 * 1_000_000),
        // Soak tests that decided earlier blocked healthy builds.
        min_steady: Micros::new(6 * 3600 * 1_000_000),
        min_growth_permille: 20,
        min_growth_bytes: 2_000_000,
        // A hub that grows by less doubles in more than ten days: longer than builds stay. A day of a healthy hub can show this much.
        tolerated_permille_per_day: 100,
        tolerated_bytes_per_day: 8_000_000,
    };
}

/// What the memory of the hub's processes did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryTrend {
    /// What it comes to.
    pub growth: Growth,
    /// The course that explains it best; absent where too little was seen.
    #[serde(default)]
    pub course: Option<Course>,
    /// The process that was seen for the longest time.
    pub pid: u32,
    /// How many processes were looked at together, one after the other.
    #[serde(default = "one")]
    pub processes: u64,
    /// Where the time that was looked at begins: after the warm-up.
    pub from: Moment,
    /// Where it ends.
    pub to: Moment,
    /// How much of it was seen (µs), gaps and warm-ups left out.
    #[serde(default)]
    pub seen_us: u64,
    /// How many windows had a floor.
    pub windows: u64,
    /// The growth at the end (bytes an hour).
    pub slope_bytes_per_hour: i64,
    /// It is above this in 19 of 20 cases …
    pub slope_low: i64,
    /// … and below this in 19 of 20.
    pub slope_high: i64,
    /// How likely it is that memory leaks (thousandths).
    #[serde(default)]
    pub leak_permille: u64,
    /// The smallest leak (bytes an hour) that would have been found; absent where too little was seen.
    #[serde(default)]
    pub smallest_visible_bytes_per_hour: Option<u64>,
    /// Since when it grows, where it did not from the beginning.
    #[serde(default)]
    pub grows_since: Option<Moment>,
    /// The growth for each operation, where memory grows with these.
    #[serde(default)]
    pub bytes_per_operation: Option<u64>,
    /// The middle floor of the first eighth of the windows.
    pub from_bytes: u64,
    /// That of the last eighth, and what it grows by until `to`.
    pub to_bytes: u64,
    /// The memory that there is: the control group's limit, or the host's.
    pub limit_bytes: u64,
    /// How long until that is used up at this growth, counted from `to`; absent where nothing leaks.
    pub time_to_limit_us: Option<u64>,
}

fn one() -> u64 {
    1
}

const HOUR_US: f64 = 3_600e6;

/// So many of the longest lives are looked at by themselves: each look takes time, and may see a leak where there is none …
const ALONE: usize = 3;

/// … so a leak of one life must be likelier than one of all (thousandths).
const ALONE_PERMILLE: u64 = 900;

/// Keeps what a verdict needs, whatever the period's length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeakWatch {
    windows: Windows,
}

impl LeakWatch {
    /// Takes a poll's process in, and what the hub had to do.
    pub fn take(&mut self, process: &ProcessPoll, load: Load, at: Timestamp, rules: &LeakRules) {
        self.windows.take(process, load, at, rules);
    }

    /// What it comes to; none where no process was seen beyond its warm-up. A leak that only one of several processes has is told of this
    /// one.
    pub fn trend(&self, rules: &LeakRules) -> Option<MemoryTrend> {
        let together = Self::judged(&self.windows, rules)?;
        if together.growth.is_leak() || together.growth == Growth::TooShort {
            return Some(together);
        }
        let alone = self.windows.alone(ALONE, rules.min_steady);
        let surely = |trend: &MemoryTrend| trend.growth.is_leak() && trend.leak_permille >= ALONE_PERMILLE;
        let leaking = alone.iter().filter_map(|life| Self::judged(life, rules)).find(surely);
        Some(leaking.unwrap_or(together))
    }

    fn judged(windows: &Windows, rules: &LeakRules) -> Option<MemoryTrend> {
        let (from, to) = windows.bounds()?;
        let (life, processes) = windows.lives()?;
        let (first, last) = windows.ends()?;
        let decision = decide(windows, rules)?;
        let found = decision.findings.as_ref();
        let slope = found.map_or(0.0, |found| found.middle);
        let eighth = to.since(from).get() as f64 / HOUR_US / 16.0;
        let end = (last as f64 + slope.max(0.0) * eighth).max(0.0) as u64;
        let leaking = decision.growth.is_leak() && slope > 0.0;
        let course = found.map(|found| found.course);
        let grows_since = found.filter(|found| found.course == Course::GrowsFrom).and_then(|found| windows.after(found.since));
        let operations = (course == Some(Course::GrowsWithLoad)).then(|| windows.operations_per_hour()).flatten();
        let whole = |number: f64| number.round() as i64;
        Some(MemoryTrend {
            growth: decision.growth,
            course,
            pid: life.pid,
            processes,
            from: Moment(from),
            to: Moment(to),
            seen_us: windows.seen().get(),
            windows: windows.count(),
            slope_bytes_per_hour: whole(slope),
            slope_low: whole(found.map_or(0.0, |found| found.low)),
            slope_high: whole(found.map_or(0.0, |found| found.high)),
            leak_permille: found.map_or(0, |found| (found.leak * 1e3) as u64),
            smallest_visible_bytes_per_hour: found.map(|_| decision.visible.ceil() as u64),
            grows_since: grows_since.map(Moment),
            bytes_per_operation: operations.map(|operations| (slope.max(0.0) / operations) as u64),
            from_bytes: first,
            to_bytes: end,
            limit_bytes: windows.limit(),
            time_to_limit_us: leaking.then(|| (windows.limit().saturating_sub(end) as f64 / slope * HOUR_US) as u64),
        })
    }
}

impl MemoryTrend {
    /// Why no verdict can be given; none where one can.
    pub fn undecided(&self) -> Option<String> {
        let time = hours(self.seen_us);
        match self.growth {
            Growth::Steady | Growth::Settled | Growth::Leaking => None,
            Growth::TooShort => {
                Some(format!("can't tell: the process was seen for {time} beyond its warm-up, which is too short to find a leak"))
            }
            Growth::Growing => Some(format!(
                "can't tell in {time}: memory grows by about {}, but a cache that fills would look the same; watch one process for longer",
                per_hour(self.slope_bytes_per_hour)
            )),
            Growth::Unclear => Some(format!(
                "can't tell in {time}: a leak below {} could not have been seen",
                per_hour(self.smallest_visible_bytes_per_hour.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(i64::MAX))
            )),
        }
    }
}

fn per_hour(bytes: i64) -> String {
    format!("{:.1} MB/h", bytes as f64 / 1e6)
}

fn hours(us: u64) -> String {
    let hours = us as f64 / HOUR_US;
    if hours < 10.0 { format!("{hours:.1} h") } else { format!("{hours:.0} h") }
}
