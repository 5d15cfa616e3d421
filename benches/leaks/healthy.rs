//! Shapes without a leak.

use std::f64::consts::TAU;

use super::noise::Noise;
use super::shape::{Shape, changed, drawn, gap, loaded, node_heap, plain, restarted, short_lived};

/// All of them.
pub(super) fn without_leak() -> Vec<Shape> {
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
    lives(&mut all);
    growth_that_ends(&mut all);
    all
}

/// Processes that don't live for long, or are seldom seen.
fn lives(all: &mut Vec<Shape>) {
    let level = || plain("", 0.0, Noise::White, |_| 0.0);
    for (each, name) in [(1.0, "restarts each hour"), (2.0, "restarts each 2 h")] {
        all.push(short_lived(level(), name.to_owned(), each));
    }
    // To the last poll what a leak of 2 MB/h with restarts each 2 h looks like.
    all.push(short_lived(
        plain("", 0.0, Noise::White, |hour| 2.0 * (hour % 2.0)),
        "restarts each 2 h, each with an even warm-up of 4 MB".to_owned(),
        2.0,
    ));
    all.push(short_lived(
        plain("", 0.0, Noise::White, |hour| 20.0 * ((hour % 2.0) * 2.0).ln_1p()),
        "restarts each 2 h, fragmentation".to_owned(),
        2.0,
    ));
    all.push(short_lived(
        plain("", 0.0, Noise::White, |hour| 10.0 * ((hour % 6.0) * 2.0).ln_1p()),
        "restarts each 6 h, fragmentation".to_owned(),
        6.0,
    ));
    all.push(short_lived(
        plain("", 0.0, Noise::White, |hour| if hour < 12.0 { 0.0 } else { 15.0 }),
        "two lives, the second is larger".to_owned(),
        12.0,
    ));
    for noise in [Noise::Persistent(0.97, 20), Noise::Walk, Noise::UnevenTeeth] {
        let level = plain("", 0.0, noise, |_| 0.0);
        all.push(short_lived(level, format!("two lives, {}", noise.name()), 12.0));
    }
    all.push(short_lived(
        plain("", 0.0, Noise::White, |hour| -40.0 * (-(hour % 12.0) / 1.5).exp()),
        "two lives, each with a cache that fills in 1.5 h".to_owned(),
        12.0,
    ));
    all.push(changed(level(), "seen in each second poll".to_owned(), |poll, _, _| {
        ((poll.hour * 240.0) as u64).is_multiple_of(2).then_some(poll)
    }));
    all.push(changed(level(), "seen in each second hour".to_owned(), |poll, _, _| {
        (poll.hour as u64).is_multiple_of(2).then_some(poll)
    }));
}

/// Growth that comes to an end, or is given back.
fn growth_that_ends(all: &mut Vec<Shape>) {
    let white = Noise::White;
    all.push(drawn("a leak of 2 MB/h that stops after half of the time", 0.0, white, |_, hours| {
        Box::new(move |hour| 2.0 * hour.min(hours / 2.0))
    }));
    all.push(drawn("a leak of 2 MB/h that stops after three quarters", 0.0, white, |_, hours| {
        Box::new(move |hour| 2.0 * hour.min(hours * 0.75))
    }));
    all.push(drawn("memory that doubles at once", 0.0, white, |random, hours| {
        let at = hours * (0.1 + 0.8 * random.share());
        Box::new(move |hour| if hour > at { 100.0 } else { 0.0 })
    }));
    all.push(drawn("memory that doubles within 2 h", 0.0, white, |random, hours| {
        let at = hours * (0.1 + 0.7 * random.share());
        Box::new(move |hour| ((hour - at) / 2.0).clamp(0.0, 1.0) * 100.0)
    }));
    for each in [6.0, 8.0] {
        all.push(drawn(format!("a buffer that is rotated each {each} h"), 0.0, white, move |random, _| {
            let begin = random.share();
            Box::new(move |hour| (hour / each + begin).fract() * 20.0)
        }));
    }
    all.push(node_heap("a heap as Node's", 0.0));
}
