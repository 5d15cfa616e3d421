//! What charts are drawn from: numbers over time, in memory that does not grow with the period.
//!
//! A [`Buckets`] begins with a second a bucket and doubles that whenever there are more than [`MAX_BUCKETS`]. [`Durations`] keeps
//! each duration in eight bytes, so that percentiles are exact.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::watch::{FactKind, Level, LogFact, Micros, Poll, Timestamp, Visibility, Watch};

/// More points than this no chart of a page's width can show: 48 hours come out at a point for every eight and a half minutes.
pub const MAX_BUCKETS: usize = 384;

/// Maximum number of durations: a million calls, 8 MB. Beyond it the older half is dropped, and the report says so.
pub const MAX_DURATIONS: usize = 1 << 20;

const SECOND_US: u64 = 1_000_000;

/// One point of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Where its bucket begins.
    pub at: Moment,
    /// How many values it stands for.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The least.
    pub min: u64,
    /// The mean.
    pub mean: u64,
    /// The most.
    pub max: u64,
}

/// One point of a chart of durations (µs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyPoint {
    /// Where its bucket begins.
    pub at: Moment,
    /// How many durations it stands for.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// The mean.
    pub mean: u64,
    /// What 50 of 100 keep to, by nearest rank.
    pub p50: u64,
    /// What 95 of 100 keep to, by nearest rank.
    pub p95: u64,
    /// What 99 of 100 keep to, by nearest rank.
    pub p99: u64,
    /// The most.
    pub max: u64,
}

/// A line of a chart: points in order; where a bucket has no values there is no point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line<P> {
    /// How long a bucket is.
    pub width_us: u64,
    /// The points.
    pub points: Vec<P>,
}

impl<P> Default for Line<P> {
    fn default() -> Self {
        Self { width_us: 0, points: Vec::new() }
    }
}

/// So many parts has a row of characters: an hour each over the strategy's 48.
pub const PARTS: u64 = 48;

/// All that charts show. The servers' timelines stand with the servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Processor time, in thousandths of one core.
    pub cpu_permille: Line<Point>,
    /// Resident memory.
    pub rss_bytes: Line<Point>,
    /// The API's answers.
    pub api_us: Line<LatencyPoint>,
    /// Meta-tool calls whose duration is known.
    pub calls_us: Line<LatencyPoint>,
    /// The API's answers in each forty-eighth of the period.
    #[serde(default)]
    pub api_parts_us: Line<LatencyPoint>,
    /// Meta-tool calls whose duration is known in each forty-eighth of the period.
    #[serde(default)]
    pub calls_parts_us: Line<LatencyPoint>,
    /// Lines of level error: the counts of facts `mcphub.log.lines`.
    pub error_lines: Line<Point>,
    /// Lines of level warn, counted in the same way.
    pub warn_lines: Line<Point>,
    /// Lines of the log.
    pub log_lines: Line<Point>,
    /// Bytes of the log.
    pub log_bytes: Line<Point>,
    /// MCP clients.
    pub clients: Line<Point>,
    /// How long was watched (µs): the sum of a bucket is less than its width where nobody watched.
    pub watched_us: Line<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    index: u64,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

impl Bucket {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// Numbers over time, summed up in buckets that grow wider as there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    width_us: u64,
    buckets: Vec<Bucket>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { width_us: SECOND_US, buckets: Vec::new() }
    }
}

impl Buckets {
    /// Adds a value.
    pub fn add(&mut self, at: Timestamp, value: u64) {
        let bucket = Bucket { index: at.get() / self.width_us, count: 1, sum: value, min: value, max: value };
        // Values come nearly in order: the place is at the end or near it.
        let place = self.buckets.iter().rposition(|known| known.index <= bucket.index);
        match place.map(|place| (place, &mut self.buckets[place])) {
            Some((_, known)) if known.index == bucket.index => known.add(bucket),
            Some((place, _)) => self.buckets.insert(place + 1, bucket),
            None => self.buckets.insert(0, bucket),
        }
        while self.buckets.len() > MAX_BUCKETS {
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.width_us = self.width_us.saturating_mul(2);
        let mut wider: Vec<Bucket> = Vec::with_capacity(self.buckets.len() / 2 + 1);
        for bucket in &self.buckets {
            let bucket = Bucket { index: bucket.index / 2, ..*bucket };
            match wider.last_mut() {
                Some(last) if last.index == bucket.index => last.add(bucket),
                _ => wider.push(bucket),
            }
        }
        self.buckets = wider;
    }

    /// The points.
    pub fn line(&self) -> Line<Point> {
        let point = |bucket: &Bucket| Point {
            at: Moment(Timestamp::new(bucket.index.saturating_mul(self.width_us))),
            count: bucket.count,
            sum: bucket.sum,
            min: bucket.min,
            mean: bucket.sum / bucket.count.max(1),
            max: bucket.max,
        };
        Line { width_us: self.width_us, points: self.buckets.iter().map(point).collect() }
    }
}

/// Durations with their times: seconds and microseconds, each in four bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    all: Vec<(u32, u32)>,
    /// How many were let go.
    dropped: u64,
}

/// Durations by their length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sorted(Vec<u32>);

impl Sorted {
    fn new(mut durations: Vec<u32>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The duration that `permille` of a thousand keep to: exact, by nearest rank.
    pub fn percentile(&self, permille: usize) -> Option<u64> {
        let rank = (self.0.len() * permille).div_ceil(1_000).max(1);
        self.0.get(rank - 1).map(|duration| u64::from(*duration))
    }
}

impl Durations {
    /// Adds one; an hour and more counts as 71 minutes.
    pub fn push(&mut self, at: Timestamp, duration: Micros) {
        if self.all.len() >= MAX_DURATIONS {
            self.all.drain(..MAX_DURATIONS / 2);
            self.dropped += (MAX_DURATIONS / 2) as u64;
        }
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        self.all.push((narrow(at.get() / SECOND_US), narrow(duration.get())));
    }

    /// How many were let go: percentiles are of the rest.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// By their length.
    pub fn sorted(&self) -> Sorted {
        Sorted::new(self.all.iter().map(|(_, duration)| *duration).collect())
    }

    /// The points, in buckets as wide as there must be.
    pub fn line(&self) -> Line<LatencyPoint> {
        let mut all = self.all.clone();
        all.sort_unstable_by_key(|(second, _)| *second);
        let (first, last) = (all.first().map_or(0, |first| first.0), all.last().map_or(0, |last| last.0));
        let mut width: u32 = 1;
        while u64::from(last - first) / u64::from(width) >= MAX_BUCKETS as u64 {
            width *= 2;
        }
        let chunks = all.chunk_by(|one, other| one.0 / width == other.0 / width);
        let begin =
            |chunk: &[(u32, u32)]| Timestamp::from_secs(chunk.first().map_or(0, |(second, _)| u64::from(second / width * width)));
        let points = chunks.filter_map(|chunk| latency_point(chunk, begin(chunk)));
        Line { width_us: u64::from(width) * SECOND_US, points: points.collect() }
    }

    /// The points of [`PARTS`] equal parts of a period, each with the percentiles of all that lies in it.
    pub fn parts(&self, from: Timestamp, to: Timestamp) -> Line<LatencyPoint> {
        let length = u128::from(to.since(from).get());
        let begin = |part: u128| from.plus(Micros::new(u64::try_from(length * part / u128::from(PARTS)).unwrap_or(u64::MAX)));
        let part_of = |second: u32| {
            let into = u128::from(Timestamp::from_secs(u64::from(second)).since(from).get());
            // The part whose beginning is the last one not after it.
            (((into + 1) * u128::from(PARTS)).div_ceil(length.max(1))).saturating_sub(1).min(u128::from(PARTS) - 1)
        };
        let mut all = self.all.clone();
        all.sort_unstable_by_key(|(second, _)| *second);
        let chunks = all.chunk_by(|one, other| part_of(one.0) == part_of(other.0));
        let at = |chunk: &[(u32, u32)]| begin(chunk.first().map_or(0, |(second, _)| part_of(*second)));
        let points = chunks.filter_map(|chunk| latency_point(chunk, at(chunk))).collect();
        Line { width_us: to.since(from).get().div_ceil(PARTS), points }
    }
}

fn latency_point(chunk: &[(u32, u32)], at: Timestamp) -> Option<LatencyPoint> {
    let sum: u64 = chunk.iter().map(|(_, duration)| u64::from(*duration)).sum();
    let sorted = Sorted::new(chunk.iter().map(|(_, duration)| *duration).collect());
    Some(LatencyPoint {
        at: Moment(at),
        count: chunk.len() as u64,
        min: sorted.percentile(0)?,
        mean: sum / chunk.len() as u64,
        p50: sorted.percentile(500)?,
        p95: sorted.percentile(950)?,
        p99: sorted.percentile(990)?,
        max: sorted.percentile(1_000)?,
    })
}

/// Records what charts show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorder {
    cpu: Buckets,
    rss: Buckets,
    errors: Buckets,
    warnings: Buckets,
    lines: Buckets,
    bytes: Buckets,
    clients: Buckets,
    watched: Buckets,
}

impl Recorder {
    /// `shows_levels` is whether warnings and errors could be seen.
    pub(super) fn watch(&mut self, watch: &Watch, shows_levels: bool) {
        let of_level = |level| {
            watch.facts.iter().fold(0_u64, |so_far, fact| {
                if let FactKind::Log(LogFact::Lines(lines)) = &fact.kind
                    && lines.level == level
                {
                    so_far.saturating_add(lines.count.get())
                } else {
                    so_far
                }
            })
        };
        for (buckets, count) in [(&mut self.errors, of_level(Level::Error)), (&mut self.warnings, of_level(Level::Warn))] {
            if shows_levels || count > 0 {
                buckets.add(watch.interval.end(), count);
            }
        }
        self.watched.add(watch.interval.end(), watch.interval.length().get());
        // The volume of a log that was not read is unknown, not zero.
        if !matches!(watch.sources.log, Visibility::Read | Visibility::Partial) {
            return;
        }
        let (at, volume) = (watch.interval.end(), &watch.log);
        self.lines.add(at, volume.lines.get());
        self.bytes.add(at, volume.bytes.get());
    }

    pub(super) fn poll(&mut self, poll: &Poll, cpu_permille: Option<u64>, at: Timestamp) {
        if let Some(share) = cpu_permille {
            self.cpu.add(at, share);
        }
        if let Some(process) = &poll.process {
            self.rss.add(at, process.rss.get());
        }
        if let Some(clients) = poll.api.mcp_clients {
            self.clients.add(at, u64::from(clients));
        }
    }

    /// All that charts show.
    pub(super) fn series(&self, api: &Durations, calls: &Durations, (from, to): (Timestamp, Timestamp)) -> Series {
        Series {
            api_parts_us: api.parts(from, to),
            calls_parts_us: calls.parts(from, to),
            cpu_permille: self.cpu.line(),
            rss_bytes: self.rss.line(),
            api_us: api.line(),
            calls_us: calls.line(),
            error_lines: self.errors.line(),
            warn_lines: self.warnings.line(),
            log_lines: self.lines.line(),
            log_bytes: self.bytes.line(),
            clients: self.clients.line(),
            watched_us: self.watched.line(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_lose_nothing_and_stay_few(values in proptest::collection::vec((0..200_000u64, 0..1_000u64), 0..2_000)) {
            let mut buckets = Buckets::default();
            for (second, value) in &values {
                buckets.add(Timestamp::from_secs(*second), *value);
            }
            let line = buckets.line();
            prop_assert!(line.points.len() <= MAX_BUCKETS);
            prop_assert!(line.points.is_sorted_by_key(|point| point.at));
            prop_assert_eq!(line.points.iter().map(|point| point.count).sum::<u64>(), values.len() as u64);
            prop_assert_eq!(line.points.iter().map(|point| point.sum).sum::<u64>(), values.iter().map(|(_, value)| value).sum::<u64>());
            prop_assert!(line.points.iter().all(|point| point.min <= point.mean && point.mean <= point.max));
        }

        #[test]
        fn a_percentile_is_the_value_of_its_rank(mut values in proptest::collection::vec(0..10_000u64, 1..200), permille in 0..=1_000usize) {
            let mut durations = Durations::default();
            values.iter().for_each(|value| durations.push(Timestamp::from_secs(1), Micros::new(*value)));
            values.sort_unstable();
            let found = durations.sorted().percentile(permille).unwrap();
            let within = values.iter().filter(|value| **value <= found).count();
            prop_assert!(within * 1_000 >= permille * values.len());
            let below = values.iter().filter(|value| **value < found).count();
            prop_assert!(below * 1_000 < permille.max(1) * values.len());
        }
    }

    proptest! {
        #[test]
        fn each_part_of_a_period_has_the_durations_that_lie_in_it(
            seconds in proptest::collection::vec(0..200_000u32, 0..300), from in 0..100_000u64, length in 1..400_000u64,
        ) {
            let (from, to) = (Timestamp::from_secs(from), Timestamp::from_secs(from + length));
            let mut durations = Durations::default();
            seconds.iter().for_each(|second| durations.push(Timestamp::from_secs(u64::from(*second)), Micros::new(7)));
            let line = durations.parts(from, to);
            prop_assert!(line.points.len() <= PARTS as usize);
            prop_assert_eq!(line.points.iter().map(|point| point.count).sum::<u64>(), seconds.len() as u64);
            let begin = |part: u64| from.plus(Micros::new(to.since(from).get() * part / PARTS));
            for (index, point) in line.points.iter().enumerate() {
                let part = (0..PARTS).find(|part| begin(*part) == point.at.0).unwrap();
                let inside = |second: &&u32| {
                    let at = Timestamp::from_secs(u64::from(**second));
                    (at >= begin(part) || index == 0) && (at < begin(part + 1) || part + 1 == PARTS)
                };
                prop_assert!(seconds.iter().filter(inside).count() as u64 >= point.count);
            }
        }
    }

    #[test]
    fn a_chart_of_durations_has_few_points_and_counts_each_duration_once() {
        let mut durations = Durations::default();
        for second in 0..10_000 {
            durations.push(Timestamp::from_secs(second * 17), Micros::new(second));
        }
        let line = durations.line();
        assert!(line.points.len() <= MAX_BUCKETS + 1);
        assert_eq!(line.points.iter().map(|point| point.count).sum::<u64>(), 10_000);
    }
}
