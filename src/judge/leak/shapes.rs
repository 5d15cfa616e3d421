//! The courses that memory can take, as columns of numbers.
//!
//! Each column says how memory would lie above its level if its coefficient were one byte. Columns of growth go up by about one over
//! the whole time. "Age" is that of the process, so that what each process does after its start is one column for all of them.

use std::f64::consts::TAU;

use super::plateaus::upper_level;
use super::points::{Point, Points};
use super::products::Term;
use super::ramps::{best_bends, best_ramp};
use super::teeth::since_falls;

/// A column, and its slope at the end.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    values: Vec<f64>,
    end_rate: f64,
}

/// A curve that slows down, or one that settles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Curve {
    /// Its column.
    pub column: usize,
    /// How believable it is before anything was seen.
    pub prior: f64,
    /// Its slope at the end, an hour.
    pub end_rate: f64,
    /// True if it is easy to distinguish from a line.
    pub short: bool,
    /// Whether it is one of those that stand for their neighbours.
    pub coarse: bool,
}

/// Effects that repeat, or that are the load's: they explain a course and are no growth by themselves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effect {
    /// Its columns.
    pub columns: Vec<usize>,
    /// How believable it is.
    pub prior: f64,
    /// Whether it is a day's cycle of which little more than one was seen: no other bend can be recognised beside it.
    pub seen_once: bool,
}

/// A straight rise that was found among many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ramp {
    /// The line that begins with it: the column, and the time in hours.
    pub begin: (usize, f64),
    /// The line that begins at its end.
    pub end: (usize, f64),
    /// Out of how many it was chosen.
    pub chosen_of: usize,
}

impl Ramp {
    /// The rise by itself.
    pub(super) fn term(&self) -> Term {
        Term::Less(self.begin.0, self.end.0)
    }
}

/// All columns for some points.
#[derive(Debug, Clone, Default)]
pub(super) struct Shapes {
    columns: Vec<Vec<f64>>,
    /// How many of them are enough for a first look.
    pub core: usize,
    /// So many hours make lines go up by one: the longest life.
    pub unit: f64,
    /// It grows all the time.
    pub line: usize,
    /// It grows from a time on: the column, and the time in hours.
    pub bends: Vec<(usize, f64)>,
    /// It grows from about the time on that explains most …
    pub close_bends: Vec<(usize, f64)>,
    /// … of so many times.
    pub close_bends_of: usize,
    /// It grows with each operation.
    pub operations: Option<usize>,
    /// A cache that fills, fragmentation.
    pub curves: Vec<Curve>,
    /// One rise with a smooth beginning and end.
    pub rises: Vec<usize>,
    /// The straight rise from one of the two to the other that explains most, and out of how many.
    pub ramp: Option<Ramp>,
    /// Pairs of rises that are next to each other: together they stand for any rise between them.
    pub rise_pairs: Vec<[usize; 2]>,
    /// A cache that begins to fill at some time.
    pub fillings: Vec<usize>,
    /// It jumps. In the order of likelihood.
    pub steps: Vec<usize>,
    /// Effects that any course can have on top; the first is none.
    pub effects: Vec<Effect>,
}

/// Bends are looked for at so many times, evenly among the points.
const BENDS: usize = 24;

/// So many places of steps are looked at.
const STEPS: usize = 8;

/// A curve whose time is longer than this share of the longest life can hardly be distinguished from a line …
const LONG: f64 = 0.7;

/// … so all of these together are hardly believable.
const LONG_PRIOR: f64 = 0.03;

/// The shorter ones together. A line is as believable as 1: simpler courses come first.
const SHORT_PRIOR: f64 = 0.3;

/// Each curve's time is so much longer than that of the one before: what lies between two of them deviates by less than a floor's noise.
const FINENESS: f64 = 1.2;

/// So many of them reach from a fortieth of the longest life to twice that life.
const CURVES: usize = 25;

/// Every third curve stands for its neighbours, too.
pub(super) const COARSE: usize = 3;

/// Fragmentation grows by the logarithm of age, with these shares of the longest life as its unit.
const LOGARITHMS: [f64; 6] = [1.0 / 80.0, 1.0 / 40.0, 1.0 / 20.0, 1.0 / 10.0, 1.0 / 5.0, 2.0 / 5.0];

/// How believable these are together.
const LOGARITHM_PRIOR: f64 = 0.09;

/// An effect of several columns needs this many points for each.
const POINTS_PER_COLUMN: usize = 10;

/// So many points are needed for each step.
pub(super) const POINTS_PER_STEP: usize = 6;

impl Shapes {
    /// Makes the columns.
    pub(super) fn new(points: &Points) -> Self {
        let mut shapes = Self::default();
        shapes.add(points.all.iter().map(|point| point.floor).collect());
        // A life's own growth is what counts: levels are taken out.
        shapes.unit = points.longest_life();
        shapes.line = shapes.add(points.all.iter().map(|point| point.time / shapes.unit).collect());
        shapes.curves(points, true);
        shapes.steps = step_places(points).into_iter().map(|at| shapes.add(step(points, at))).collect();
        shapes.effects(points);
        shapes.operations =
            scaled(points.all.iter().map(|point| point.operations).collect()).map(|column| shapes.add(column.values));
        shapes.rises(points);
        shapes.ramp(points);
        shapes.core = shapes.columns.len();
        shapes.curves(points, false);
        shapes.bends(points);
        shapes.fillings(points);
        shapes
    }

    fn add(&mut self, column: Vec<f64>) -> usize {
        self.columns.push(column);
        self.columns.len() - 1
    }

    /// The first `count` columns.
    pub(super) fn columns(&self, count: usize) -> Vec<&[f64]> {
        self.columns[..count].iter().map(Vec::as_slice).collect()
    }

    /// All of them.
    pub(super) fn count(&self) -> usize {
        self.columns.len()
    }

    /// `1 - exp(-age / time)` for times from a fortieth of the longest life to more than two of it, and `ln(1 + age / unit)`. Of the
    /// curves only every third is needed for a first look.
    fn curves(&mut self, points: &Points, coarse: bool) {
        let longest = points.longest_life();
        let youngest = points.all.iter().map(|point| point.age).fold(f64::INFINITY, f64::min);
        let age = |point: &Point| point.age - youngest;
        let end = points.all.last().map_or(0.0, age);
        let time = |index: usize| longest / 40.0 * FINENESS.powi(index as i32);
        let long = (0..CURVES).filter(|index| time(*index) > longest * LONG).count();
        for index in (0..CURVES).filter(|index| index.is_multiple_of(COARSE) == coarse) {
            let time = time(index);
            let values = points.all.iter().map(|point| -(-age(point) / time).exp()).collect();
            let short = time <= longest * LONG;
            let prior = if short { SHORT_PRIOR / (CURVES - long) as f64 } else { LONG_PRIOR / long as f64 };
            self.curve(values, Curve { column: 0, prior, end_rate: (-end / time).exp() / time, short, coarse });
        }
        for share in LOGARITHMS.iter().filter(|_| coarse) {
            let unit = longest * share;
            let values = points.all.iter().map(|point| (age(point) / unit).ln_1p()).collect();
            let (prior, end_rate) = (LOGARITHM_PRIOR / LOGARITHMS.len() as f64, (unit + end).recip());
            self.curve(values, Curve { column: 0, prior, end_rate, short: false, coarse: false });
        }
    }

    fn curve(&mut self, values: Vec<f64>, curve: Curve) {
        if let Some(column) = scaled(values) {
            let end_rate = curve.end_rate * column.end_rate;
            let column = self.add(column.values);
            self.curves.push(Curve { column, end_rate, ..curve });
        }
    }

    /// The cycle of a day, with and without its half; the number of clients; how many operations there were in a window.
    fn effects(&mut self, points: &Points) {
        /// A cycle of which less was seen (hours) has not been seen to repeat.
        const REPEATS: f64 = 36.0;
        /// Clients are known to hold memory: what their number explains as well as a leak would is theirs.
        const CLIENTS_PRIOR: f64 = 3.0;
        /// Where falls are, is read from the floors, as with steps. True teeth explain so much that this is enough.
        const TEETH_PRIOR: f64 = 0.01;
        /// The same holds for jumps between two levels.
        const PLATEAUS_PRIOR: f64 = 0.01;
        let seen_once = points.span() < REPEATS;
        let rare = if seen_once { 0.1 } else { 1.0 };
        let mut effects = vec![Effect { columns: Vec::new(), prior: 1.0, seen_once: false }];
        let mut wave = |turns: f64| {
            let angle = |point: &Point| point.time / 24.0 * TAU * turns;
            let one = self.add(points.all.iter().map(|point| angle(point).cos() / 2.0).collect());
            vec![one, self.add(points.all.iter().map(|point| angle(point).sin() / 2.0).collect())]
        };
        let (day, half) = (wave(1.0), wave(2.0));
        effects.push(Effect { columns: day.clone(), prior: 0.5 * rare, seen_once });
        effects.push(Effect { columns: [day.clone(), half].concat(), prior: 0.25 * rare, seen_once });
        if let Some(clients) = scaled(points.all.iter().map(|point| point.clients).collect()) {
            let clients = self.add(clients.values);
            effects.push(Effect { columns: vec![clients], prior: CLIENTS_PRIOR, seen_once: false });
            effects.push(Effect { columns: [day, vec![clients]].concat(), prior: 0.25 * rare, seen_once });
        }
        if let Some(busy) = scaled(busy(points)) {
            effects.push(Effect { columns: vec![self.add(busy.values)], prior: 0.5, seen_once: false });
        }
        if let Some(teeth) = since_falls(points) {
            let columns = teeth.into_iter().map(|column| self.add(column)).collect();
            effects.push(Effect { columns, prior: TEETH_PRIOR, seen_once: false });
        }
        if let Some(level) = upper_level(points) {
            effects.push(Effect { columns: vec![self.add(level)], prior: PLATEAUS_PRIOR, seen_once: false });
        }
        effects.retain(|effect| effect.columns.len() < 2 || effect.columns.len() * POINTS_PER_COLUMN <= points.len());
        self.effects = effects;
    }

    fn bends(&mut self, points: &Points) {
        let places = match points.len() {
            ..16 => return,
            16..48 => BENDS / 2,
            _ => BENDS,
        };
        let (first_seen, span) = (points.first_seen(), points.span());
        for place in 1..places {
            let bend = points.all[place * points.len() / places].time;
            if self.bends.last().is_some_and(|(_, last)| bend - last < span / 100.0) {
                continue;
            }
            let column = self.line_from(points, &first_seen, bend);
            self.bends.push((column, bend));
        }
        let (begins, of) = best_bends(points);
        self.close_bends = begins.into_iter().map(|begin| (self.line_from(points, &first_seen, begin), begin)).collect();
        self.close_bends_of = of;
    }

    fn ramp(&mut self, points: &Points) {
        let first_seen = points.first_seen();
        self.ramp = best_ramp(points).map(|(begin, end, chosen_of)| {
            let mut from = |time: f64| (self.line_from(points, &first_seen, time), time);
            Ramp { begin: from(begin), end: from(end), chosen_of }
        });
    }

    /// A line that begins at a time, in each life with the first point at the earliest.
    fn line_from(&mut self, points: &Points, first_seen: &[f64], begin: f64) -> usize {
        let unit = self.unit;
        let grown = |(point, first): (&Point, &f64)| (point.time - begin.max(*first)).max(0.0) / unit;
        self.add(points.all.iter().zip(first_seen).map(grown).collect())
    }

    /// A cache that begins to fill at some time.
    fn fillings(&mut self, points: &Points) {
        if points.len() < 32 {
            return;
        }
        let (first_seen, span) = (points.first_seen(), points.span());
        for begin in 1..8 {
            for steepness in [20.0, 10.0, 5.0] {
                let filled = |time: f64| -(-(time / span - f64::from(begin) / 8.0).max(0.0) * steepness).exp_m1();
                let column = points.all.iter().zip(&first_seen).map(|(point, first)| filled(point.time) - filled(*first)).collect();
                let column = self.add(column);
                self.fillings.push(column);
            }
        }
    }

    fn rises(&mut self, points: &Points) {
        if points.len() < 32 {
            return;
        }
        let (first_seen, span) = (points.first_seen(), points.span());
        for middle in 1..8 {
            for steepness in [24.0, 14.0, 8.0] {
                let risen = |time: f64| (1.0 + (-(time / span - f64::from(middle) / 8.0) * steepness).exp()).recip();
                let column = points.all.iter().zip(&first_seen).map(|(point, first)| risen(point.time) - risen(*first)).collect();
                let column = self.add(column);
                self.rises.push(column);
            }
        }
        let steepnesses = 3;
        for (index, rise) in self.rises.iter().enumerate() {
            let steeper = (index % steepnesses + 1 < steepnesses).then_some(index + 1);
            let neighbours = steeper.into_iter().chain([index + steepnesses]).filter_map(|next| self.rises.get(next));
            self.rise_pairs.extend(neighbours.map(|next| [*rise, *next]));
        }
    }
}

/// The column scaled to a range of one, with the scale as its slope; none for one that doesn't change.
fn scaled(values: Vec<f64>) -> Option<Column> {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let range = high - low;
    (range > 1e-9 && range.is_finite())
        .then(|| Column { values: values.iter().map(|value| value / range).collect(), end_rate: range.recip() })
}

/// The operations since the point before, of the same life.
fn busy(points: &Points) -> Vec<f64> {
    let since = |life: std::ops::Range<usize>| {
        let points = &points.all[life];
        let first = points.first().map(|_| 0.0);
        first.into_iter().chain(
            points.windows(2).map(|pair| (pair[1].operations - pair[0].operations) / (pair[1].time - pair[0].time).max(1e-3)),
        )
    };
    points.lives().flat_map(since).collect()
}

fn step(points: &Points, at: usize) -> Vec<f64> {
    let end = points.lives().find(|life| life.contains(&at)).map_or(at, |life| life.end);
    (0..points.len()).map(|index| if (at..end).contains(&index) { 1.0 } else { 0.0 }).collect()
}

/// Where steps may be: the best cuts into pieces of equal level, one after the other, and the largest changes between two points.
fn step_places(points: &Points) -> Vec<usize> {
    if points.len() < POINTS_PER_STEP {
        return Vec::new();
    }
    let mut cuts: Vec<usize> = points.begins.iter().copied().chain([points.len()]).collect();
    let mut places = Vec::new();
    while places.len() < STEPS {
        let Some(place) =
            cuts.windows(2).filter_map(|piece| best_cut(points, piece[0], piece[1])).max_by(|one, other| one.0.total_cmp(&other.0))
        else {
            break;
        };
        places.push(place.1);
        cuts.push(place.1);
        cuts.sort_unstable();
    }
    let inner = |index: &usize| !points.begins.contains(index);
    let mut jumps: Vec<usize> = (1..points.len()).filter(inner).collect();
    let jump = |index: usize| (points.all[index].floor - points.all[index - 1].floor).abs();
    jumps.sort_by(|one, other| jump(*other).total_cmp(&jump(*one)));
    let jumps: Vec<usize> = jumps.into_iter().take(STEPS / 2).filter(|index| !places.contains(index)).collect();
    places.extend(jumps);
    places
}

/// The cut of a piece that leaves the least variance, and how much it takes away; none for a piece that is level.
fn best_cut(points: &Points, from: usize, to: usize) -> Option<(f64, usize)> {
    let piece = &points.all[from..to];
    let (total, count) = (piece.iter().map(|point| point.floor).sum::<f64>(), piece.len() as f64);
    let mut left = 0.0;
    let mut best: Option<(f64, usize)> = None;
    for (index, point) in piece.iter().enumerate().take(piece.len().saturating_sub(1)) {
        left += point.floor;
        let (before, after) = (index as f64 + 1.0, count - index as f64 - 1.0);
        let gain = (left / before - (total - left) / after).powi(2) * before * after / count;
        if gain > best.map_or(0.0, |best| best.0) {
            best = Some((gain, from + index + 1));
        }
    }
    best
}
