//! Shapes that leak.

use std::f64::consts::TAU;

use super::noise::Noise;
use super::shape::{Poll, Shape, changed, drawn, gap, loaded, node_heap, plain, restarted, short_lived};

/// All that leak `rate` megabytes an hour.
pub(super) fn with_leak(rate: f64) -> Vec<Shape> {
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
    uneven(&mut all, rate);
    all
}

/// Leaks that are no line.
fn uneven(all: &mut Vec<Shape>, rate: f64) {
    let white = Noise::White;
    let named = move |what: &str| format!("{rate} MB/h, {what}");
    let line = || plain("", rate, white, move |hour| rate * hour);
    all.push(plain(named("a step each hour"), rate, white, move |hour: f64| rate * hour.floor()));
    all.push(drawn(named("a buffer that is rotated each 8 h"), rate, white, move |random, _| {
        let begin = random.share();
        Box::new(move |hour| rate * hour + (hour / 8.0 + begin).fract() * 20.0)
    }));
    all.push(drawn(named("and plateaus: up and down by 20 MB, six times"), rate, white, move |random, hours| {
        let at = [0; 6].map(|_| random.share() * hours);
        Box::new(move |hour| rate * hour + if at.iter().filter(|at| hour > **at).count() % 2 == 1 { 20.0 } else { 0.0 })
    }));
    all.push(node_heap(named("a heap as Node's"), rate));
    // Busy in the day only: all of a day's growth within eight hours.
    all.push(loaded(
        named("eight hours of load a day"),
        rate,
        0.3,
        |hour, _| if (8.0..16.0).contains(&(hour % 24.0)) { 10.0 } else { 0.0 },
    ));
    all.push(short_lived(
        plain("", rate, white, move |hour| rate * (hour - 12.0).max(0.0)),
        named("in the second of two lives"),
        12.0,
    ));
    all.push(short_lived(
        plain("", rate, white, move |hour| if hour < 12.0 { rate * hour } else { 0.0 }),
        named("in the first of two lives"),
        12.0,
    ));
    all.push(short_lived(plain("", rate, white, move |hour| rate * (hour % 2.0)), named("restarts each 2 h"), 2.0));
    all.push(changed(line(), named("seen in each second poll"), |poll, _, _| {
        ((poll.hour * 240.0) as u64).is_multiple_of(2).then_some(poll)
    }));
    all.push(changed(line(), named("seen in each second hour"), |poll, _, _| (poll.hour as u64).is_multiple_of(2).then_some(poll)));
}
