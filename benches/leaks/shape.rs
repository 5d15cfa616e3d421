//! A shape of memory, and what shapes are made of.

use super::noise::{Noise, Random};

/// One poll: its hour, memory (MB), when its process started (hour), clients and operations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Poll {
    pub(super) hour: f64,
    pub(super) memory: f64,
    pub(super) started: f64,
    pub(super) clients: u32,
    pub(super) operations: u64,
}

/// A shape of memory: how much it leaks (MB an hour), and its polls by seed and hours.
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) leak: f64,
    pub(super) polls: Box<dyn Fn(u64, f64) -> Vec<Poll>>,
}

/// The course of memory above 100 MB by the hour, drawn with the seed for a period.
pub(super) type Course = Box<dyn Fn(f64) -> f64>;

pub(super) fn drawn(
    name: impl Into<String>,
    leak: f64,
    noise: Noise,
    course: impl Fn(&mut Random, f64) -> Course + 'static,
) -> Shape {
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

pub(super) fn plain(name: impl Into<String>, leak: f64, noise: Noise, course: impl Fn(f64) -> f64 + Clone + 'static) -> Shape {
    drawn(name, leak, noise, move |_, _| Box::new(course.clone()))
}

/// Changes polls that were drawn, or leaves them out.
pub(super) fn changed(shape: Shape, name: String, change: impl Fn(Poll, &mut Random, f64) -> Option<Poll> + 'static) -> Shape {
    let polls = move |seed: u64, hours: f64| {
        let mut random = Random::new(seed + 1_000);
        (shape.polls)(seed, hours).into_iter().filter_map(|poll| change(poll, &mut random, hours)).collect()
    };
    Shape { name, leak: shape.leak, polls: Box::new(polls) }
}

/// Memory that leaks `leak` an hour on average in proportion to the clients at work, and holds `each` for each of them.
pub(super) fn loaded(name: impl Into<String>, leak: f64, each: f64, clients: fn(f64, f64) -> f64) -> Shape {
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
pub(super) fn restarted(name: impl Into<String>, leak: f64, warm_up: f64, time: f64) -> Shape {
    let shape = plain("", leak, Noise::White, move |hour: f64| {
        let age = hour % 6.0;
        leak * age - warm_up * (-age / time).exp()
    });
    changed(shape, name.into(), |poll, _, _| Some(Poll { started: (poll.hour / 6.0).floor() * 6.0, ..poll }))
}

/// Leaves out the middle half of the time.
pub(super) fn gap(shape: Shape, name: String) -> Shape {
    changed(shape, name, |poll, _, hours| (!(0.25..0.75).contains(&(poll.hour / hours))).then_some(poll))
}

/// Restarts each `each` hours.
pub(super) fn short_lived(shape: Shape, name: String, each: f64) -> Shape {
    changed(shape, name, move |poll, _, _| Some(Poll { started: (poll.hour / each).floor() * each, ..poll }))
}

/// A heap as Node's: it frees young objects each minute, and old ones when the heap is half as large again as what was alive after the
/// last time; what it frees is given back to the system only in part and late. What is alive is 60 MB and `leak` an hour more.
pub(super) fn node_heap(name: impl Into<String>, leak: f64) -> Shape {
    let polls = move |seed: u64, hours: f64| {
        let mut random = Random::new(seed);
        let (mut old, mut limit, mut resident) = (60.0, 90.0, 0.0);
        let poll = |index: usize| {
            let hour = index as f64 / 240.0;
            let alive = 60.0 + leak * hour;
            // Garbage that survives its youth: about 20 MB an hour.
            old += random.share() * 40.0 / 240.0 + leak / 240.0;
            if old > limit {
                old = alive + random.share() * 3.0;
                limit = old * (1.4 + 0.2 * random.share());
            }
            let young = (index % 4) as f64 * 4.0 + random.share() * 2.0;
            let used = 40.0 + old + young;
            resident = if used > resident { used } else { resident + (used - resident) * 0.1 };
            Poll { hour, memory: resident, started: 0.0, clients: 0, operations: 0 }
        };
        (0..(hours * 240.0) as usize).map(poll).collect()
    };
    Shape { name: name.into(), leak, polls: Box::new(polls) }
}
