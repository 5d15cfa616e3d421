//! Where growth begins, and where a straight rise begins and ends: looked for among all floors.
//!
//! A rise of many megabytes an hour that begins between two of the places at which bends are looked for leaves deviations of its own there,
//! far above the noise. Growth that goes on would explain a part of them. Growth that began at any floor is looked for as closely: a rise
//! that just ended would explain it better otherwise.

use super::points::{Point, Points};

/// Fewer floors in a life can't show where a rise begins and ends.
const MIN_POINTS: usize = 16;

/// What changes within fewer floors is a step.
const SHORTEST: usize = 2;

/// A rise must have been over for this share of its life: otherwise it is growth that goes on.
const OVER: usize = 24;

/// The times (hours) between which a straight rise or fall of one life takes away the most variance. Also how many pairs of times were
/// looked at. None where every life is too short.
pub(super) fn best_ramp(points: &Points) -> Option<(f64, f64, usize)> {
    let lives = points.lives().filter(|life| life.len() >= MIN_POINTS).map(|life| &points.all[life]);
    let (mut best, mut looked_at) = (None::<(f64, usize, usize, &[Point])>, 0);
    for life in lives {
        let sums = Sums::new(life);
        for from in 0..life.len() {
            for to in from + SHORTEST..life.len() - life.len() / OVER {
                looked_at += 1;
                let gain = sums.gain(life, from, to);
                if best.is_none_or(|(most, ..)| gain > most) {
                    best = Some((gain, from, to, life));
                }
            }
        }
    }
    best.map(|(_, from, to, life)| (life[from].time, life[to].time, looked_at))
}

/// So many floors apart are the times that are looked at beside the best one, as a share of all floors …
const BESIDE: usize = 96;

/// … so many on each side: where exactly growth began is not known, and with it changes how fast it is.
const BESIDE_TIMES: usize = 3;

/// The times (hours) at and around which growth that begins there, of all lives, takes away the most variance. Also of how many such times
/// they are.
pub(super) fn best_bends(points: &Points) -> (Vec<f64>, usize) {
    if points.len() < MIN_POINTS {
        return (Vec::new(), 1);
    }
    let first_seen = points.first_seen();
    let gain = |begin: f64| {
        let grown = |at: usize| (points.all[at].time - begin.max(first_seen[at])).max(0.0);
        let (mut both, mut own) = (0.0, 0.0);
        for life in points.lives() {
            let base = points.all[life.start].floor;
            let (mut column, mut square, mut floors, mut product) = (0.0, 0.0, 0.0, 0.0);
            for at in life.clone() {
                let (value, floor) = (grown(at), points.all[at].floor - base);
                column += value;
                square += value * value;
                floors += floor;
                product += value * floor;
            }
            both += product - column * floors / life.len() as f64;
            own += square - column * column / life.len() as f64;
        }
        if own > 1e-9 { both * both / own } else { 0.0 }
    };
    let gains = points.all.iter().enumerate().map(|(at, point)| (gain(point.time), at));
    let Some((_, best)) = gains.max_by(|one, other| one.0.total_cmp(&other.0)) else { return (Vec::new(), 1) };
    let apart = (points.len() / BESIDE).max(1);
    let around = (0..=2 * BESIDE_TIMES).filter_map(|place| (best + place * apart).checked_sub(BESIDE_TIMES * apart));
    (around.filter_map(|at| points.all.get(at)).map(|point| point.time).collect(), points.len().div_ceil(apart))
}

/// Sums over all points before one, times and floors counted from the first point's.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    time: f64,
    square: f64,
    floor: f64,
    both: f64,
}

#[derive(Debug)]
struct Sums(Vec<Sum>);

impl Sums {
    fn new(life: &[Point]) -> Self {
        let mut sum = Sum::default();
        let mut sums = vec![sum];
        for point in life {
            let (time, floor) = (point.time - life[0].time, point.floor - life[0].floor);
            sum.time += time;
            sum.square += time * time;
            sum.floor += floor;
            sum.both += time * floor;
            sums.push(sum);
        }
        Self(sums)
    }

    /// The variance that a rise by one between two points explains, times the number of points.
    fn gain(&self, life: &[Point], from: usize, to: usize) -> f64 {
        let (begin, end) = (life[from].time - life[0].time, life[to].time - life[0].time);
        let (before, until, all) = (self.0[from], self.0[to], self.0[life.len()]);
        let (count, rising, after) = (life.len() as f64, (to - from) as f64, (life.len() - to) as f64);
        let long = (end - begin).max(1e-6);
        let (time, floor) = (until.time - before.time, until.floor - before.floor);
        let square = until.square - before.square;
        let rise = (time - begin * rising) / long + after;
        let rise_square = (square - 2.0 * begin * time + begin * begin * rising) / (long * long) + after;
        let rise_floor = (until.both - before.both - begin * floor) / long + all.floor - until.floor;
        let (both, own) = (rise_floor - rise * all.floor / count, rise_square - rise * rise / count);
        if own > 1e-9 { both * both / own } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_where_a_rise_begins_and_ends() {
        let point = |index: usize| {
            let time = index as f64 / 12.0;
            let floor = 100e6 + ((time - 7.25) / 2.0).clamp(0.0, 1.0) * 50e6;
            Point { time, age: time, floor, clients: 0.0, operations: 0.0 }
        };
        let points = Points { all: (0..240).map(point).collect(), begins: vec![0] };
        let (from, to, looked_at) = best_ramp(&points).unwrap();
        assert!((from - 7.25).abs() < 1e-9 && (to - 9.25).abs() < 1e-9, "{from} {to}");
        assert_eq!(looked_at, 228 * 229 / 2);
    }

    #[test]
    fn it_finds_where_growth_begins_in_the_second_of_two_lives() {
        let point = |index: usize| {
            let time = index as f64 / 12.0;
            let (level, age) = if index < 120 { (100e6, time) } else { (70e6, time - 10.0) };
            Point { time, age, floor: level + (time - 13.25).max(0.0) * 2e6, clients: 0.0, operations: 0.0 }
        };
        let points = Points { all: (0..240).map(point).collect(), begins: vec![0, 120] };
        let (begins, of) = best_bends(&points);
        assert_eq!((begins.len(), of), (7, 120));
        assert!((begins[3] - 13.25).abs() < 1e-9, "{begins:?}");
    }
}
