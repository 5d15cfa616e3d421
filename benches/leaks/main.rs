//! How often a leak is found, and how often one is reported where there is none: 20 seeds of each shape, each polled every 15 s.
//!
//! `cargo bench --bench leaks` prints the table of benches/README.md. `-- --hours 48 --seeds 100 --first 1000 --only restarts` tries other
//! seeds, or only shapes whose name has one of the words that `|` separates. Nothing depends on the machine but the time that a verdict takes.

mod healthy;
mod leaking;
mod noise;
mod shape;

use std::time::Instant;

use hubwatch::judge::leak::{Growth, LeakRules, LeakWatch, Load};
use hubwatch::watch::{Bytes, Micros, ProcessPoll, Timestamp};

use healthy::without_leak;
use leaking::with_leak;
use shape::Shape;

const MB: f64 = 1e6;
const POLL: u64 = 15;
const START: u64 = 1_795_392_000;

/// What the command line asks for.
#[derive(Debug, Clone)]
struct Options {
    hours: Vec<f64>,
    seeds: u64,
    first: u64,
    only: String,
}

impl Options {
    fn read(arguments: &[String]) -> Self {
        let value = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
        let number = |name: &str| value(name).and_then(|value| value.parse::<f64>().ok());
        Self {
            hours: number("--hours").map_or(vec![24.0, 48.0], |hours| vec![hours]),
            seeds: number("--seeds").map_or(20, |seeds| seeds as u64),
            first: number("--first").map_or(1, |first| first as u64),
            only: value("--only").cloned().unwrap_or_default(),
        }
    }
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

fn judge(shape: &Shape, hours: f64, options: &Options) -> Tally {
    let mut tally = Tally::default();
    for seed in options.first..options.first + options.seeds {
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

/// What a shape falls short of; none where it doesn't.
fn miss(shape: &Shape, tally: &Tally, hours: f64, seeds: u64) -> Option<String> {
    let allowed = seeds.div_ceil(20);
    let name = &shape.name;
    if shape.leak == 0.0 && tally.leak > allowed {
        Some(format!("{name}, {hours} h: called a leak in {} of {seeds}", tally.leak))
    } else if shape.leak >= 2.0 && tally.leak + allowed < seeds {
        Some(format!("{name}, {hours} h: found in {} of {seeds}, {} passed", tally.leak, tally.none))
    } else if shape.leak > 0.0 && tally.none > allowed {
        Some(format!("{name}, {hours} h: {} of {seeds} passed", tally.none))
    } else {
        None
    }
}

fn main() {
    let options = Options::read(&std::env::args().skip(1).collect::<Vec<_>>());
    let (mut slowest, mut misses) = (0, Vec::new());
    let seeds = options.seeds;
    println!("Of {seeds} seeds each: leak reported / no leak / can't tell, and how often the interval held the slope.");
    println!("| shape | {} |", options.hours.iter().map(|hours| format!("{hours} h | interval")).collect::<Vec<_>>().join(" | "));
    println!("| --- |{}", " --- | --- |".repeat(options.hours.len()));
    let leaks = [0.5, 1.0, 2.0, 5.0].into_iter().flat_map(with_leak);
    for shape in
        without_leak().into_iter().chain(leaks).filter(|shape| options.only.split('|').any(|word| shape.name.contains(word)))
    {
        let row = options.hours.iter().map(|hours| {
            let tally = judge(&shape, *hours, &options);
            slowest = slowest.max(tally.slowest_us);
            misses.extend(miss(&shape, &tally, *hours, seeds));
            format!(" {} / {} / {} | {} of {} |", tally.leak, tally.none, tally.open, tally.held, tally.judged)
        });
        println!("| {} |{}", shape.name, row.collect::<String>());
    }
    println!("\nBeyond the goals: {}", if misses.is_empty() { "none" } else { "" });
    misses.iter().for_each(|miss| println!("- {miss}"));
    println!("\nThe slowest verdict took {:.1} ms.", slowest as f64 / 1e3);
}
