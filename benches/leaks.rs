//! How often a leak is found, and how often one is told where there is none: 20 seeds of each shape, each polled every 15 s.
//!
//! `cargo bench --bench leaks` prints the table of benches/README.md; `-- 48 40` takes hours and seeds. Nothing in it depends on the
//! machine but the time that a verdict takes.

use std::f64::consts::TAU;
use std::time::Instant;

use hubwatch::judge::leak::{Growth, LeakRules, LeakWatch, Load};
use hubwatch::watch::{Bytes, Micros, ProcessPoll, Timestamp};

const MB: f64 = 1e6;
const POLL: u64 = 15;
const START: u64 = 1_795_392_000;

/// A small generator whose numbers are the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x0123_4567)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1.
    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.share()).ln()).sqrt() * (TAU * self.share()).cos()
    }
}

/// How memory deviates from its course.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Noise {
    White,
    /// AR(1) with this coefficient for each step of so many polls; deviation 2 MB.
    Persistent(f64, usize),
    /// A random walk of 0.8 MB an hour.
    Walk,
    /// Teeth of 40 MB, so many hours long.
    Teeth(f64),
    /// Teeth of 15 to 55 MB.
    UnevenTeeth,
    /// A day's cycle of ±10 MB.
    Day,
    Spikes,
    /// Student's t with two degrees of freedom: now and then far below or above.
    Heavy,
    /// Only whole megabytes are known.
    Whole,
}

impl Noise {
    const ALL: [Self; 13] = [
        Self::White,
        Self::Persistent(0.9, 20),
        Self::Persistent(0.97, 20),
        Self::Persistent(0.99, 20),
        Self::Persistent(0.99, 1),
        Self::Walk,
        Self::Teeth(1.0),
        Self::Teeth(3.0),
        Self::UnevenTeeth,
        Self::Day,
        Self::Spikes,
        Self::Heavy,
        Self::Whole,
    ];

    fn name(self) -> String {
        match self {
            Self::White => "white noise".to_owned(),
            Self::Persistent(kept, 1) => format!("AR(1) {kept} a poll"),
            Self::Persistent(kept, _) => format!("AR(1) {kept} in 5 min"),
            Self::Walk => "random walk".to_owned(),
            Self::Teeth(hours) => format!("sawtooth of {hours} h"),
            Self::UnevenTeeth => "uneven sawtooth".to_owned(),
            Self::Day => "day and night".to_owned(),
            Self::Spikes => "spikes".to_owned(),
            Self::Heavy => "heavy tails".to_owned(),
            Self::Whole => "whole MB only".to_owned(),
        }
    }

    /// In megabytes, for each poll.
    fn deviations(self, random: &mut Random, polls: usize) -> Vec<f64> {
        let begin = random.share();
        let mut state = 0.0;
        let mut top = 30.0;
        let hour = |poll: usize| poll as f64 / 240.0;
        let mut one = |poll: usize| match self {
            Self::White => random.normal() * 2.0,
            Self::Persistent(kept, every) => {
                if poll.is_multiple_of(every) {
                    state = kept * state + (1.0 - kept * kept).sqrt() * 2.0 * random.normal();
                }
                state
            }
            Self::Walk => {
                state += random.normal() * 0.05;
                state
            }
            Self::Teeth(hours) => (hour(poll) / hours + begin).fract() * 40.0 + random.normal(),
            Self::UnevenTeeth => {
                state += 0.08;
                if state > top {
                    (state, top) = (0.0, 15.0 + 40.0 * random.share());
                }
                state + random.normal()
            }
            Self::Day => ((hour(poll) / 24.0 + begin) * TAU).sin() * 10.0 + random.normal(),
            Self::Spikes => random.normal() + if random.share() < 0.02 { random.share() * 80.0 } else { 0.0 },
            Self::Heavy => random.normal() / (-(1.0 - random.share()).ln()).sqrt().max(0.02),
            Self::Whole => random.normal() * 0.5,
        };
        (0..polls).map(&mut one).collect()
    }
}

/// One poll: its hour, memory (MB), when its process started (hour), clients and operations.
#[derive(Debug, Clone, Copy)]
struct Poll {
    hour: f64,
    memory: f64,
    started: f64,
    clients: u32,
    operations: u64,
}

/// A shape of memory: whether it leaks (MB an hour), and its polls by seed and hours.
struct Shape {
    name: String,
    leak: f64,
    polls: Box<dyn Fn(u64, f64) -> Vec<Poll>>,
}

/// The course of memory above 100 MB by the hour, drawn with the seed for a period.
type Course = Box<dyn Fn(f64) -> f64>;

fn drawn(name: impl Into<String>, leak: f64, noise: Noise, course: impl Fn(&mut Random, f64) -> Course + 'static) -> Shape {
    let polls = move |seed: u64, hours: f64| {
        let mut random = Random::new(seed);
        let course = course(&mut random, hours);
        let deviations = noise.deviations(&mut random, (hours * 240.0) as usize);
        let poll = |(index, deviation): (usize, &f64)| {
            let hour = index as f64 / 240.0;
            let memory = 100.0 + course(hour) + deviation;
            let memory = if noise == Noise::Whole { memory.round() } else { memory };
            Poll { hour, memory, started: 0.0, clients: 0, operations: 0 }
        };
        deviations.iter().enumerate().map(poll).collect()
    };
    Shape { name: name.into(), leak, polls: Box::new(polls) }
}

fn plain(name: impl Into<String>, leak: f64, noise: Noise, course: impl Fn(f64) -> f64 + Clone + 'static) -> Shape {
    drawn(name, leak, noise, move |_, _| Box::new(course.clone()))
}

/// Changes polls that were drawn, or leaves them out.
fn changed(shape: Shape, name: String, change: impl Fn(Poll, &mut Random, f64) -> Option<Poll> + 'static) -> Shape {
    let polls = move |seed: u64, hours: f64| {
        let mut random = Random::new(seed + 1_000);
        (shape.polls)(seed, hours).into_iter().filter_map(|poll| change(poll, &mut random, hours)).collect()
    };
    Shape { name, leak: shape.leak, polls: Box::new(polls) }
}

/// Memory that leaks `leak` an hour on average in proportion to the clients at work, and holds `each` for each of them.
fn loaded(name: impl Into<String>, leak: f64, each: f64, clients: fn(f64, f64) -> f64) -> Shape {
    let polls = move |seed: u64, hours: f64| {
        let mut random = Random::new(seed);
        let count = (hours * 240.0) as usize;
        let all: Vec<f64> = (0..count).map(|index| clients(index as f64 / 240.0, hours).round()).collect();
        let total: f64 = all.iter().sum();
        let mut done = 0.0;
        let poll = |(index, clients): (usize, &f64)| {
            done += clients;
            let memory = 100.0 + each * clients + leak * hours * done / total + random.normal() * 2.0;
            Poll { hour: index as f64 / 240.0, memory, started: 0.0, clients: *clients as u32, operations: (done / 20.0) as u64 }
        };
        all.iter().enumerate().map(poll).collect()
    };
    Shape { name: name.into(), leak, polls: Box::new(polls) }
}

/// Restarts every six hours, each process with the same course.
fn restarted(name: impl Into<String>, leak: f64, warm_up: f64, time: f64) -> Shape {
    let shape = plain("", leak, Noise::White, move |hour: f64| {
        let age = hour % 6.0;
        leak * age - warm_up * (-age / time).exp()
    });
    changed(shape, name.into(), |poll, _, _| Some(Poll { started: (poll.hour / 6.0).floor() * 6.0, ..poll }))
}

fn without_leak() -> Vec<Shape> {
    let mut all: Vec<Shape> = Noise::ALL.iter().map(|noise| plain(noise.name(), 0.0, *noise, |_| 0.0)).collect();
    let white = Noise::White;
    all.push(drawn("one step of 30 MB", 0.0, white, |random, hours| {
        let at = random.share() * hours;
        Box::new(move |hour| if hour > at { 30.0 } else { 0.0 })
    }));
    all.push(drawn("one step of 30 MB, sawtooth of 3 h", 0.0, Noise::Teeth(3.0), |random, hours| {
        let at = random.share() * hours;
        Box::new(move |hour| if hour > at { 30.0 } else { 0.0 })
    }));
    all.push(drawn("three steps of 12 MB", 0.0, white, |random, hours| {
        let at = [0; 3].map(|_| random.share() * hours);
        Box::new(move |hour| at.iter().filter(|at| hour > **at).count() as f64 * 12.0)
    }));
    all.push(drawn("three even steps of 12 MB", 0.0, white, |_, hours| Box::new(move |hour| (hour / hours * 4.0).floor() * 12.0)));
    for time in [1.0, 3.0, 6.0, 9.0, 12.0, 18.0] {
        all.push(plain(format!("a cache of 60 MB that fills in {time} h"), 0.0, white, move |hour: f64| {
            60.0 * (1.0 - (-hour / time).exp())
        }));
    }
    all.push(plain("two caches, of 1 h and 6 h", 0.0, white, |hour: f64| 60.0 - 30.0 * (-hour).exp() - 30.0 * (-hour / 6.0).exp()));
    all.push(plain("two caches, of 1 h and 18 h", 0.0, white, |hour: f64| {
        60.0 - 30.0 * (-hour).exp() - 30.0 * (-hour / 18.0).exp()
    }));
    all.push(plain("a cache of 60 MB that fills in 6 h, AR(1) 0.97 in 5 min", 0.0, Noise::Persistent(0.97, 20), |hour: f64| {
        60.0 * (1.0 - (-hour / 6.0).exp())
    }));
    all.push(plain("a cache of 60 MB that fills in 6 h, uneven sawtooth", 0.0, Noise::UnevenTeeth, |hour: f64| {
        60.0 * (1.0 - (-hour / 6.0).exp())
    }));
    all.push(drawn("plateaus: up and down by 20 MB, six times", 0.0, white, |random, hours| {
        let at = [0; 6].map(|_| random.share() * hours);
        Box::new(move |hour| if at.iter().filter(|at| hour > **at).count() % 2 == 1 { 20.0 } else { 0.0 })
    }));
    all.push(drawn("a cache that begins to fill later", 0.0, white, |random, hours| {
        let from = hours * (0.2 + 0.2 * random.share());
        Box::new(move |hour| if hour < from { 0.0 } else { 40.0 * (1.0 - (-(hour - from) / (hours / 10.0)).exp()) })
    }));
    all.push(drawn("one slow rise of 30 MB that ends", 0.0, white, |random, hours| {
        let end = hours * (0.3 + 0.4 * random.share());
        Box::new(move |hour| hour.min(end) / end * 30.0)
    }));
    all.push(drawn("an S of 40 MB", 0.0, white, |_, hours| {
        Box::new(move |hour| 40.0 / (1.0 + (-(hour / hours - 0.5) * 12.0).exp()))
    }));
    all.push(plain("a warm-up of 2 h", 0.0, white, |hour: f64| 40.0 * (hour / 2.0).min(1.0)));
    all.push(plain("fragmentation (logarithm)", 0.0, white, |hour: f64| 10.0 * (hour / 0.5).ln_1p()));
    all.push(drawn("a rise of 5 h that falls back", 0.0, white, |random, hours| {
        let from = random.share() * hours;
        Box::new(move |hour| if (from..from + 5.0).contains(&hour) { 20.0 } else { 0.0 })
    }));
    all.push(plain("memory that falls", 0.0, white, |hour| -0.5 * hour));
    all.push(loaded("load that rises once to 20 clients", 0.0, 1.0, |hour, hours| if hour > hours * 0.4 { 20.0 } else { 2.0 }));
    all.push(loaded("load that rises all the time", 0.0, 1.0, |hour, hours| 2.0 + 30.0 * hour / hours));
    all.push(loaded("load by day", 0.0, 1.0, |hour, _| 15.0 + 14.0 * (hour / 24.0 * TAU - 2.0).sin()));
    all.push(restarted("restarts each 6 h", 0.0, 0.0, 1.0));
    all.push(restarted("restarts each 6 h, each with a warm-up", 0.0, 40.0, 0.7));
    all.push(restarted("restarts each 6 h, each with a warm-up of 2 h", 0.0, 40.0, 2.0));
    all.push(gap(plain("", 0.0, white, |_| 0.0), "half of the time not seen".to_owned()));
    all
}

fn gap(shape: Shape, name: String) -> Shape {
    changed(shape, name, |poll, _, hours| (!(0.25..0.75).contains(&(poll.hour / hours))).then_some(poll))
}

fn with_leak(rate: f64) -> Vec<Shape> {
    let white = Noise::White;
    let line = move |name: &str, noise: Noise| plain(name, rate, noise, move |hour| rate * hour);
    let named = move |what: &str| format!("{rate} MB/h, {what}");
    let mut all: Vec<Shape> = Noise::ALL.iter().map(|noise| line(&named(&noise.name()), *noise)).collect();
    all.push(drawn(named("from the middle of the time on"), rate, white, move |_, hours| {
        Box::new(move |hour| rate * (hour - hours / 2.0).max(0.0))
    }));
    all.push(drawn(named("from hour 12 on"), rate, white, move |_, _| Box::new(move |hour| rate * (hour - 12.0).max(0.0))));
    all.push(plain(named("and a cache that fills in 2 h"), rate, white, move |hour: f64| {
        rate * hour + 40.0 * (1.0 - (-hour / 2.0).exp())
    }));
    all.push(drawn(named("and a step of 20 MB"), rate, white, move |random, hours| {
        let at = random.share() * hours;
        Box::new(move |hour| rate * hour + if hour > at { 20.0 } else { 0.0 })
    }));
    all.push(loaded(named("only under load"), rate, 0.3, |hour, _| if hour % 6.0 < 3.0 { 10.0 } else { 0.0 }));
    all.push(loaded(named("load by day"), rate, 0.7, |hour, _| 15.0 + 14.0 * (hour / 24.0 * TAU - 2.0).sin()));
    all.push(restarted(named("restarts each 6 h"), rate, 0.0, 1.0));
    all.push(restarted(named("restarts each 6 h, each with a warm-up"), rate, 20.0, 0.7));
    all.push(gap(line("", white), named("half of the time not seen")));
    all.push(changed(line("", white), named("three of five polls missing"), |poll, random, _| {
        (random.share() < 0.4).then_some(poll)
    }));
    all.push(changed(line("", white), named("the watch begins in the middle"), |poll, _, _| {
        Some(Poll { started: poll.started - 100.0, ..poll })
    }));
    all
}

/// What became of some seeds.
#[derive(Default)]
struct Tally {
    leak: u64,
    none: u64,
    open: u64,
    held: u64,
    judged: u64,
    slowest_us: u128,
}

fn judge(shape: &Shape, hours: f64, seeds: u64) -> Tally {
    let mut tally = Tally::default();
    for seed in 1..=seeds {
        let mut watch = LeakWatch::default();
        for (index, poll) in (shape.polls)(seed, hours).into_iter().enumerate() {
            let at = |hour: f64| Timestamp::from_secs(START.saturating_add_signed((hour * 3600.0).round() as i64));
            let process = ProcessPoll {
                pid: 1,
                started: at(poll.started),
                cpu_time: Micros::new(index as u64 * POLL),
                rss: Bytes::new((poll.memory.max(1.0) * MB) as u64),
                memory_limit: None,
                fds: None,
                threads: None,
                children: 0,
                host_cpus: 2,
                host_memory: Bytes::new(8_000_000_000),
            };
            let load = Load { clients: poll.clients, operations: poll.operations };
            watch.take(&process, load, at(poll.hour), &LeakRules::DEFAULT);
        }
        let begun = Instant::now();
        let trend = watch.trend(&LeakRules::DEFAULT);
        tally.slowest_us = tally.slowest_us.max(begun.elapsed().as_micros());
        let Some(trend) = trend else { continue };
        match trend.growth {
            Growth::Leaking => tally.leak += 1,
            Growth::Steady | Growth::Settled => tally.none += 1,
            Growth::Growing | Growth::Unclear | Growth::TooShort => tally.open += 1,
        }
        let leak = (shape.leak * MB) as i64;
        tally.judged += u64::from(trend.slope_low != trend.slope_high);
        tally.held += u64::from(trend.slope_low != trend.slope_high && trend.slope_low <= leak && leak <= trend.slope_high);
    }
    tally
}

fn main() {
    let numbers: Vec<f64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let seeds = numbers.get(1).map_or(20, |seeds| *seeds as u64);
    let all_hours = numbers.first().map_or(vec![24.0, 48.0], |hours| vec![*hours]);
    let mut slowest = 0;
    println!("Of {seeds} seeds each: leak told / no leak / can't tell, and how often the interval held the slope.");
    println!("| shape | {} |", all_hours.iter().map(|hours| format!("{hours} h | interval")).collect::<Vec<_>>().join(" | "));
    println!("| --- |{}", " --- | --- |".repeat(all_hours.len()));
    let leaks = [0.5, 1.0, 2.0, 5.0].into_iter().flat_map(with_leak);
    for shape in without_leak().into_iter().chain(leaks) {
        let row = all_hours.iter().map(|hours| {
            let tally = judge(&shape, *hours, seeds);
            slowest = slowest.max(tally.slowest_us);
            format!(" {} / {} / {} | {} of {} |", tally.leak, tally.none, tally.open, tally.held, tally.judged)
        });
        println!("| {} |{}", shape.name, row.collect::<String>());
    }
    println!("\nThe slowest verdict took {:.1} ms.", slowest as f64 / 1e3);
}
