//! Whether memory leaks.
//!
//! What is looked at is the floor of the resident memory in each window, since a garbage collector's sawtooth is no growth; of one
//! process only, since a restart frees everything; and without its first minutes, since a warm-up is no leak. A leak is told when all
//! of it holds: the slope's interval lies above zero, the growth is more than noise, and each quarter of the time lies above the one
//! before. A step up, after which nothing grows, fails the last of these.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::trend::{MAX_POINTS, theil_sen};
use crate::watch::{Micros, ProcessPoll, Timestamp, terms};

/// How a leak is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeakRules {
    /// The floor of each such stretch counts.
    pub window: Micros,
    /// How much of a process's beginning is left out.
    pub warm_up: Micros,
    /// A process must have been watched for so long beyond that.
    pub min_steady: Micros,
    /// Growth below this share of the floor at the beginning is noise (thousandths).
    pub min_growth_permille: u64,
    /// Growth below so many bytes is noise.
    pub min_growth_bytes: u64,
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
    };
}

terms! {
    /// What became of a process's memory.
    pub enum Growth {
        /// It does not grow.
        Steady = "steady",
        /// It grows, but not by more than noise or not all the time: a step, or a cache that fills.
        Growing = "growing",
        /// It grows and grows.
        Leaking = "leaking",
        /// It was not watched for long enough.
        TooShort = "too_short",
    }
}

/// What the memory of a process did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryTrend {
    /// What it comes to.
    pub growth: Growth,
    /// Which process.
    pub pid: u32,
    /// Where the time that was looked at begins: after the warm-up.
    pub from: Moment,
    /// Where it ends.
    pub to: Moment,
    /// How many windows had a floor.
    pub windows: u64,
    /// The slope (bytes an hour).
    pub slope_bytes_per_hour: i64,
    /// It is above this in 95 of 100 cases …
    pub slope_low: i64,
    /// … and below this.
    pub slope_high: i64,
    /// The fitted line where it begins.
    pub from_bytes: u64,
    /// The fitted line where it ends.
    pub to_bytes: u64,
    /// The memory that there is: the control group's limit, or the host's.
    pub limit_bytes: u64,
    /// How long until that is used up at this slope, counted from the end; absent where nothing grows.
    pub time_to_limit_us: Option<u64>,
}

/// The floors of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Life {
    pid: u32,
    started: Timestamp,
    limit: u64,
    width: u64,
    /// By the number of their window.
    floors: Vec<(u64, u64)>,
}

/// Keeps what a verdict needs, whatever the period's length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeakWatch {
    lives: Vec<Life>,
}

/// More restarts than this are a worse problem than a leak; the earliest are let go.
const MAX_LIVES: usize = 200;

const HOUR_US: f64 = 3_600e6;

impl LeakWatch {
    /// Takes a poll's process in.
    pub fn take(&mut self, process: &ProcessPoll, at: Timestamp, rules: &LeakRules) {
        let id = (process.pid, process.started);
        if self.lives.last().is_none_or(|life| (life.pid, life.started) != id) {
            if self.lives.len() >= MAX_LIVES {
                self.lives.remove(0);
            }
            let (pid, started, width) = (process.pid, process.started, rules.window.get().max(1));
            self.lives.push(Life { pid, started, limit: 0, width, floors: Vec::new() });
        }
        if at.since(process.started) < rules.warm_up {
            return;
        }
        if let Some(life) = self.lives.last_mut() {
            life.limit = process.memory_limit.unwrap_or(process.host_memory).get();
            life.take(at, process.rss.get());
        }
    }

    /// What it comes to: the worst of the processes that were watched for long enough, or the longest one if none was.
    pub fn trend(&self, rules: &LeakRules) -> Option<MemoryTrend> {
        let trends = self.lives.iter().filter_map(|life| life.trend(rules));
        trends.max_by_key(|trend| (rank(trend.growth), trend.slope_low.max(0), trend.windows))
    }
}

fn rank(growth: Growth) -> u8 {
    match growth {
        Growth::TooShort => 0,
        Growth::Steady => 1,
        Growth::Growing => 2,
        Growth::Leaking => 3,
    }
}

impl Life {
    fn take(&mut self, at: Timestamp, rss: u64) {
        let window = at.get() / self.width;
        match self.floors.last_mut() {
            // A clock that ran backwards adds to the last window.
            Some((last, floor)) if *last >= window => *floor = rss.min(*floor),
            _ => self.floors.push((window, rss)),
        }
        while self.floors.len() > MAX_POINTS {
            self.widen();
        }
    }

    /// Windows twice as wide: the floor of two is the lower one.
    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        let mut wider: Vec<(u64, u64)> = Vec::with_capacity(self.floors.len());
        for (window, rss) in &self.floors {
            match wider.last_mut() {
                Some((last, floor)) if *last == window / 2 => *floor = (*rss).min(*floor),
                _ => wider.push((window / 2, *rss)),
            }
        }
        self.floors = wider;
    }

    fn trend(&self, rules: &LeakRules) -> Option<MemoryTrend> {
        let (first, last) = (self.floors.first()?.0, self.floors.last()?.0);
        let hours = |window: u64| (window - first) as f64 * self.width as f64 / HOUR_US;
        let points: Vec<(f64, f64)> = self.floors.iter().map(|(window, rss)| (hours(*window), *rss as f64)).collect();
        let moment = |window: u64| Moment(Timestamp::new(window.saturating_mul(self.width)));
        let length = hours(last);
        let slope = theil_sen(&points);
        let (median, low, high, begins) =
            slope.map_or((0.0, 0.0, 0.0, points[0].1), |slope| (slope.median, slope.low, slope.high, slope.at_zero));
        let ends = begins + median * length;
        let grown = ends - begins;
        let noise = (begins * rules.min_growth_permille as f64 / 1e3).max(rules.min_growth_bytes as f64);
        // Half a period of gaps is half a period that was not seen.
        let seen = self.floors.len() as u64 * self.width;
        let growth = match () {
            () if seen < rules.min_steady.get() || slope.is_none() => Growth::TooShort,
            () if low <= 0.0 => Growth::Steady,
            () if grown >= noise && quarters_rise(&self.floors, noise / 8.0) && goes_on(&points) => Growth::Leaking,
            () => Growth::Growing,
        };
        let whole = |number: f64| number.round() as i64;
        let room = self.limit as f64 - ends;
        let growing = matches!(growth, Growth::Growing | Growth::Leaking) && median > 0.0;
        Some(MemoryTrend {
            growth,
            pid: self.pid,
            from: moment(first),
            to: moment(last + 1),
            windows: self.floors.len() as u64,
            slope_bytes_per_hour: whole(median),
            slope_low: whole(low),
            slope_high: whole(high),
            from_bytes: begins.max(0.0) as u64,
            to_bytes: ends.max(0.0) as u64,
            limit_bytes: self.limit,
            time_to_limit_us: growing.then_some((room.max(0.0) / median * HOUR_US) as u64),
        })
    }
}

/// Whether the mean floor of each quarter lies above that of the one before, by more than `noise`. The mean, since where a sawtooth is
/// longer than the windows the floors lie on a few levels, and their middle jumps between two of these.
fn quarters_rise(floors: &[(u64, u64)], noise: f64) -> bool {
    let quarters = floors.chunks(floors.len().div_ceil(4).max(1));
    let mean = |floors: &[(u64, u64)]| floors.iter().map(|(_, floor)| *floor as f64).sum::<f64>() / floors.len() as f64;
    let means: Vec<f64> = quarters.map(mean).collect();
    means.len() == 4 && means.windows(2).all(|pair| pair[1] - pair[0] > noise)
}

/// Whether the last quarter rises by itself: what grew and then stopped is no leak any more, however much higher it stands.
fn goes_on(points: &[(f64, f64)]) -> bool {
    let last = &points[points.len() * 3 / 4..];
    theil_sen(last).is_some_and(|slope| slope.low > 0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::watch::Bytes;

    const RULES: LeakRules = LeakRules::DEFAULT;
    const MB: f64 = 1e6;
    const POLL: u64 = 15;

    fn process(pid: u32, started: u64, rss: f64) -> ProcessPoll {
        ProcessPoll {
            pid,
            started: Timestamp::from_secs(started),
            cpu_time: Micros::new(0),
            rss: Bytes::new(rss as u64),
            memory_limit: Some(Bytes::new(512_000_000)),
            fds: None,
            threads: None,
            children: 0,
            host_cpus: 2,
            host_memory: Bytes::new(8_000_000_000),
        }
    }

    /// A process that is polled for so many hours; `rss` says its memory by the hours since its start.
    fn watched(hours: u64, rss: impl Fn(f64) -> Option<f64>) -> MemoryTrend {
        let mut watch = LeakWatch::default();
        for second in (0..hours * 3600).step_by(POLL as usize) {
            if let Some(rss) = rss(second as f64 / 3600.0) {
                watch.take(&process(1, 1_000_000, rss), Timestamp::from_secs(1_000_000 + second), &RULES);
            }
        }
        watch.trend(&RULES).unwrap()
    }

    /// The same noise in every run: a few megabytes, like a heap between two collections.
    fn noise(hour: f64) -> f64 {
        ((hour * 7919.0).sin() * 43_758.5).fract().abs() * 4.0 * MB
    }

    #[test]
    fn a_leak_is_told_with_its_slope_and_the_time_that_is_left() {
        let trend = watched(48, |hour| Some(100.0 * MB + hour * 2.0 * MB + noise(hour)));
        assert_eq!(trend.growth, Growth::Leaking);
        assert!((trend.slope_bytes_per_hour - 2_000_000).abs() < 50_000, "{trend:?}");
        assert!(trend.slope_low > 1_800_000 && trend.slope_high < 2_200_000, "{trend:?}");
        let left = trend.time_to_limit_us.unwrap() as f64 / HOUR_US;
        assert!((left - (512.0 - 196.0) / 2.0).abs() < 5.0, "{left}");
    }

    #[test]
    fn a_small_leak_is_found_over_two_days() {
        let trend = watched(48, |hour| Some(100.0 * MB + hour * 0.2 * MB + noise(hour)));
        assert_eq!(trend.growth, Growth::Leaking, "{trend:?}");
    }

    #[test]
    fn growth_that_stopped_is_told_but_is_no_leak() {
        let trend = watched(36, |hour| Some(100.0 * MB + hour.min(24.0) * 0.5 * MB + noise(hour)));
        assert_eq!(trend.growth, Growth::Growing, "{trend:?}");
    }

    #[test]
    fn a_sawtooth_is_no_leak() {
        let trend = watched(24, |hour| Some(100.0 * MB + (hour * 3.0).fract() * 60.0 * MB));
        assert_eq!(trend.growth, Growth::Steady, "{trend:?}");
        // Nor is one whose teeth are longer than the windows.
        let trend = watched(24, |hour| Some(100.0 * MB + (hour / 2.0).fract() * 60.0 * MB));
        assert_ne!(trend.growth, Growth::Leaking, "{trend:?}");
    }

    #[test]
    fn a_sawtooth_on_a_rising_floor_is_a_leak() {
        let trend = watched(24, |hour| Some(100.0 * MB + hour * MB + (hour * 3.0).fract() * 60.0 * MB));
        assert_eq!(trend.growth, Growth::Leaking, "{trend:?}");
    }

    #[test]
    fn a_warm_up_and_then_a_plateau_is_no_leak() {
        let trend = watched(24, |hour| Some(60.0 * MB + 60.0 * MB * (1.0 - (-hour * 4.0).exp()) + noise(hour)));
        assert_eq!(trend.growth, Growth::Steady, "{trend:?}");
    }

    #[test]
    fn a_step_is_no_leak() {
        for step in [3.0, 6.0, 12.0, 20.0] {
            let trend = watched(24, |hour| Some(if hour < step { 100.0 } else { 150.0 } * MB + noise(hour)));
            assert_ne!(trend.growth, Growth::Leaking, "at {step}: {trend:?}");
        }
    }

    #[test]
    fn a_restart_frees_everything_and_each_process_is_judged_by_itself() {
        let mut watch = LeakWatch::default();
        let run = |watch: &mut LeakWatch, pid: u32, from: u64, hours: u64, slope: f64| {
            for second in (0..hours * 3600).step_by(POLL as usize) {
                let rss = 100.0 * MB + slope * second as f64 / 3600.0 + noise(second as f64 / 3600.0);
                watch.take(&process(pid, from, rss), Timestamp::from_secs(from + second), &RULES);
            }
        };
        run(&mut watch, 1, 1_000_000, 12, 3.0 * MB);
        run(&mut watch, 2, 1_050_000, 24, 0.0);
        let trend = watch.trend(&RULES).unwrap();
        assert_eq!((trend.growth, trend.pid), (Growth::Leaking, 1), "the healthy process does not excuse the one before");
        let mut steady = LeakWatch::default();
        (0..10).for_each(|run_number| run(&mut steady, run_number, 1_000_000 + u64::from(run_number) * 40_000, 10, 0.0));
        assert_eq!(steady.trend(&RULES).unwrap().growth, Growth::Steady);
    }

    #[test]
    fn a_gap_is_no_floor() {
        let trend = watched(30, |hour| (!(8.0..20.0).contains(&hour)).then(|| 100.0 * MB + noise(hour)));
        assert_eq!(trend.growth, Growth::Steady, "{trend:?}");
        let leaking = watched(30, |hour| (!(8.0..20.0).contains(&hour)).then(|| 100.0 * MB + hour * MB + noise(hour)));
        assert_eq!(leaking.growth, Growth::Leaking, "{leaking:?}");
    }

    #[test]
    fn less_than_six_steady_hours_say_nothing() {
        assert_eq!(watched(6, |hour| Some(100.0 * MB + hour * 10.0 * MB)).growth, Growth::TooShort);
        let mostly_gap = watched(30, |hour| (!(2.0..27.0).contains(&hour)).then_some(100.0 * MB + hour * MB));
        assert_eq!(mostly_gap.growth, Growth::TooShort);
        assert_eq!(LeakWatch::default().trend(&RULES), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn noise_alone_is_never_a_leak(values in proptest::collection::vec(0.0..8.0f64, 240)) {
            let trend = watched(20, |hour| Some((100.0 + values[(hour * 12.0) as usize % 240]) * MB));
            prop_assert_ne!(trend.growth, Growth::Leaking);
        }

        #[test]
        fn a_leak_stays_one_under_noise(slope in 1.0..20.0f64, values in proptest::collection::vec(0.0..4.0f64, 240)) {
            let trend = watched(20, |hour| Some((100.0 + slope * hour + values[(hour * 12.0) as usize % 240]) * MB));
            prop_assert_eq!(trend.growth, Growth::Leaking);
            prop_assert!(trend.slope_low <= trend.slope_bytes_per_hour && trend.slope_bytes_per_hour <= trend.slope_high);
        }

        #[test]
        fn odd_processes_never_panic(polls in proptest::collection::vec((any::<ProcessPoll>(), any::<Timestamp>()), 0..20)) {
            let mut watch = LeakWatch::default();
            polls.iter().for_each(|(process, at)| watch.take(process, *at, &RULES));
            watch.trend(&RULES);
        }
    }
}
