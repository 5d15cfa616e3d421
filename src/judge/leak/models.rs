//! Which course memory took: every model is weighed by how well it predicted the floors.
//!
//! A model is a course (level, steps, a curve that slows down, one rise that ended), a growth that goes on (none, a line, a line from a
//! time on, growth with each operation), an effect of the day or the load (or none) and a kind of noise. Its weight is its marginal
//! likelihood (see [`super::products`]) times its prior. The answer is the mixture of all of them:
//!
//! - **leak**: the weight of the models with growth that goes on, each times the chance that this growth, less what was released
//!   meanwhile, is more than the least that counts;
//! - **pace**: the chance that the last third grows at least half as fast as the whole, among these;
//! - **rate**: the slope at the end. A line is allowed in each of these models, also where none is needed, so that the interval
//!   says what can't be excluded, not only what is simplest.

use super::noise::{Filter, Noise};
use super::points::Points;
use super::products::{Estimate, Fit, Products, Table, Term};
use super::shapes::{COARSE, Effect, POINTS_PER_STEP, Shapes};
use super::student;
use crate::watch::terms;

terms! {
    /// The course that explains a process's memory best.
    pub enum Course {
        /// It stays level.
        Level = "level",
        /// It jumps and stays there.
        Steps = "steps",
        /// It rises less and less: a cache that fills, fragmentation.
        SlowsDown = "slows_down",
        /// It rose once, and that is over.
        RoseOnce = "rose_once",
        /// It grows all the time.
        Grows = "grows",
        /// It grows from some time on.
        GrowsFrom = "grows_from",
        /// It grows with each operation.
        GrowsWithLoad = "grows_with_load",
    }
}

impl Course {
    /// Whether nothing grew.
    pub const fn is_level(self) -> bool {
        matches!(self, Self::Level)
    }
}

/// What the models say together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Findings {
    /// How many floors it stands on.
    pub points: usize,
    /// The chance of growth that goes on and counts.
    pub leak: f64,
    /// The chance that this keeps its pace.
    pub pace: f64,
    /// The slope at the end, in bytes an hour: below this with 5 % …
    pub low: f64,
    /// … with 50 % …
    pub middle: f64,
    /// … with 95 % …
    pub high: f64,
    /// … and with 99 %.
    pub highest: f64,
    /// The course with the most weight.
    pub course: Course,
    /// Since when it grows (hours), in the likeliest model that grows from a time on.
    pub since: f64,
}

/// Fewer floors say nothing.
pub(super) const MIN_POINTS: usize = 6;

/// Pairs of noise and effect whose best model is so much worse (in the logarithm of weight) are let go: less than a hundredth.
const NEGLIGIBLE: f64 = 5.0;

/// So many pairs are looked at closely.
const MAX_PAIRS: usize = 8;

/// A line from a time on is half as believable as a line, whatever the time.
const BEND_PRIOR: f64 = 0.5;

/// So is growth with each operation.
const OPERATIONS_PRIOR: f64 = 0.5;

/// How many steps there are, before anything was seen: this to the power of their number, spread over all places.
const STEP_PRIOR: f64 = 4.0;

/// More steps, evenly spread, are a leak by steps.
const MAX_STEPS: usize = 4;

/// How believable all straight rises are together, and all smooth ones.
const STRAIGHT_RISES: f64 = 0.3;
const SMOOTH_RISES: f64 = 0.2;

/// Where more than a third of the growth is released again, it is the teeth of a sawtooth.
const KEPT: f64 = 2.0 / 3.0;

/// How believable all pairs of rises are together.
const PAIRS: f64 = 0.2;

/// A growth that lasted less than this (hours) looks the same as a rise that is about to end.
const MIN_GROWTH_TIME: f64 = 5.0;

/// Weighs all models of `points`; growth of less than `least` bytes an hour doesn't count.
pub(super) fn weigh(points: &Points, least: f64) -> Option<Findings> {
    if points.len() < MIN_POINTS || points.longest_life() <= 0.0 {
        return None;
    }
    let shapes = Shapes::new(points);
    let mut mixture = Mixture::default();
    let table = Table::new(&shapes.columns(shapes.count()));
    for (noise, effects) in promising(points, &shapes) {
        let products = products(points, &noise, &table);
        for effect in effects {
            Weigher { points, shapes: &shapes, products: &products, effect, least, mixture: &mut mixture }.all();
        }
    }
    mixture.findings(points.len())
}

fn products(points: &Points, noise: &Noise, table: &Table) -> Products {
    let times: Vec<f64> = points.all.iter().map(|point| point.time).collect();
    Products::new(&Filter::new(noise, &times, &points.begins), points, table)
}

/// The kinds of noise that explain the points with some effect and a few courses, and these effects.
fn promising<'a>(points: &Points, shapes: &'a Shapes) -> Vec<(Noise, Vec<&'a Effect>)> {
    let grid = Noise::grid(points.span() / points.len() as f64, points.span());
    let table = Table::new(&shapes.columns(shapes.core));
    let mut scores: Vec<(f64, usize, &Effect)> = Vec::new();
    for (index, noise) in grid.iter().enumerate() {
        let products = products(points, noise, &table);
        let score = |effect: &'a Effect| (first_look(&products, shapes, effect) + effect.prior.ln(), index, effect);
        scores.extend(shapes.effects.iter().map(score));
    }
    scores.sort_by(|one, other| other.0.total_cmp(&one.0));
    let best = scores.first().map_or(0.0, |best| best.0);
    scores.truncate(MAX_PAIRS);
    scores.retain(|(score, ..)| *score > best - NEGLIGIBLE);
    let effects = |index: usize| scores.iter().filter(|score| score.1 == index).map(|score| score.2).collect::<Vec<_>>();
    let pairs = grid.iter().enumerate().map(|(index, noise)| (*noise, effects(index)));
    pairs.filter(|(_, effects)| !effects.is_empty()).collect()
}

/// How well the best of a few courses does.
fn first_look(products: &Products, shapes: &Shapes, effect: &Effect) -> f64 {
    let effects: Vec<Term> = effect.columns.iter().map(|column| Term::One(*column)).collect();
    let line = Term::One(shapes.line);
    let steps: Vec<Term> = shapes.steps.iter().take(MAX_STEPS).map(|column| Term::One(*column)).collect();
    let curves = shapes.curves.iter().filter(|curve| curve.column < shapes.core).map(|curve| Term::One(curve.column));
    let mut courses: Vec<Vec<Term>> = vec![Vec::new(), vec![line]];
    courses.extend(curves.flat_map(|curve| [vec![curve], vec![curve, line]]));
    if !effect.seen_once {
        courses.extend(shapes.rises.iter().map(|column| vec![Term::One(*column)]));
    }
    courses.extend((1..=steps.len()).flat_map(|count| [steps[..count].to_vec(), [&steps[..count], &[line]].concat()]));
    let likelihood = |course: Vec<Term>| products.fit(&[effects.as_slice(), &course].concat()).log_likelihood;
    // What was chosen of thousands must explain more than these few courses.
    let found = shapes.ramp.filter(|_| !effect.seen_once).map(|ramp| likelihood(vec![ramp.term()]) - (ramp.chosen_of as f64).ln());
    courses.into_iter().map(likelihood).chain(found).fold(f64::NEG_INFINITY, f64::max)
}

/// Growth is distinguished from other components if that leaves this share of its square unexplained (the reciprocal of the
/// variance inflation factor, 2) …
const SEPARATE: f64 = 0.45;

/// … and less believable the less it leaves, down to this: a line beside a slow curve, or beside clients that become more and more, is
/// mostly another curve, or more for each client.
const ENTANGLED: f64 = 0.05;

/// A course without growth that goes on.
struct Settling<'a> {
    course: Course,
    terms: &'a [Term],
    /// How far up each term goes.
    sizes: &'a [f64],
    prior: f64,
    /// The slopes of its terms at the end, an hour; none where they have come to rest.
    end_rates: &'a [f64],
}

impl Settling<'static> {
    const LEVEL: Self = Self { course: Course::Level, terms: &[], sizes: &[], prior: 1.0, end_rates: &[] };
}

/// One rise that ended.
struct Rise {
    term: Term,
    prior: f64,
    /// How far up it goes.
    size: f64,
}

/// Weighs all models of one noise and effect.
struct Weigher<'a> {
    points: &'a Points,
    shapes: &'a Shapes,
    products: &'a Products,
    effect: &'a Effect,
    least: f64,
    mixture: &'a mut Mixture,
}

impl Weigher<'_> {
    fn all(&mut self) {
        let shapes = self.shapes;
        self.course(&Settling::LEVEL);
        for curve in &shapes.curves {
            let terms = [Term::One(curve.column)];
            self.course(&Settling {
                course: Course::SlowsDown,
                terms: &terms,
                sizes: &[1.0],
                prior: curve.prior,
                end_rates: &[curve.end_rate],
            });
        }
        // Two caches.
        let coarse: Vec<_> = shapes.curves.iter().filter(|curve| curve.coarse).collect();
        for (index, one) in coarse.iter().enumerate() {
            for other in &coarse[index + 1..] {
                if one.short {
                    let terms = [Term::One(one.column), Term::One(other.column)];
                    let end_rates = [one.end_rate, other.end_rate];
                    self.course(&Settling {
                        course: Course::SlowsDown,
                        terms: &terms,
                        sizes: &[1.0; 2],
                        prior: one.prior * other.prior * (COARSE * COARSE) as f64,
                        end_rates: &end_rates,
                    });
                }
            }
        }
        if !self.effect.seen_once {
            for Rise { term, prior, size } in self.rises() {
                let sizes = [size];
                self.course(&Settling { course: Course::RoseOnce, terms: &[term], prior, sizes: &sizes, ..Settling::LEVEL });
            }
            for pair in &shapes.rise_pairs {
                let (terms, prior) = (pair.map(Term::One), PAIRS / shapes.rise_pairs.len() as f64);
                self.course(&Settling { course: Course::RoseOnce, terms: &terms, sizes: &[1.0; 2], prior, ..Settling::LEVEL });
            }
        }
        self.steps();
    }

    fn effect(&self) -> Vec<Term> {
        self.effect.columns.iter().map(|column| Term::One(*column)).collect()
    }

    fn likelihood(&self, terms: &[Term]) -> f64 {
        self.products.fit(&[self.effect().as_slice(), terms].concat()).log_likelihood
    }

    /// Smooth rises, and straight ones between any two bends: the best of every second pair, and what lies next to them.
    fn rises(&self) -> Vec<Rise> {
        const CLOSELY: usize = 3;
        const BEST: usize = 10;
        let starts: Vec<(usize, f64)> = [(self.shapes.line, 0.0)].into_iter().chain(self.shapes.bends.iter().copied()).collect();
        let rise = |from: usize, to: usize| Term::Less(starts[from].0, starts[to].0);
        let size = |from: usize, to: usize| (starts[to].1 - starts[from].1) / self.shapes.unit;
        let line = Term::One(self.shapes.line);
        let mut scores: Vec<(f64, usize, usize)> = Vec::new();
        for from in (0..starts.len()).step_by(2) {
            for to in (from + 1..starts.len()).step_by(2) {
                let score = self.likelihood(&[rise(from, to)]).max(self.likelihood(&[rise(from, to), line]));
                scores.push((score, from, to));
            }
        }
        scores.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut pairs: Vec<(usize, usize)> = scores.iter().take(BEST).map(|(_, from, to)| (*from, *to)).collect();
        for (_, from, to) in scores.iter().take(CLOSELY) {
            let near = |at: usize| at.saturating_sub(1)..(at + 2).min(starts.len());
            pairs.extend(near(*from).flat_map(|from| near(*to).map(move |to| (from, to))).filter(|(from, to)| from < to));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let count = (starts.len() * (starts.len() - 1) / 2) as f64;
        let straight =
            pairs.into_iter().map(|(from, to)| Rise { term: rise(from, to), prior: STRAIGHT_RISES / count, size: size(from, to) });
        let (rises, fillings) = (&self.shapes.rises, &self.shapes.fillings);
        let prior = SMOOTH_RISES / (rises.len() + fillings.len()) as f64;
        let smooth = rises.iter().chain(fillings).map(|column| Rise { term: Term::One(*column), prior, size: 1.0 });
        let found = self.shapes.ramp.map(|ramp| Rise {
            term: ramp.term(),
            prior: STRAIGHT_RISES / ramp.chosen_of as f64,
            size: (ramp.end.1 - ramp.begin.1) / self.shapes.unit,
        });
        straight.chain(smooth).chain(found).collect()
    }

    /// One step more each time, the one that explains most.
    fn steps(&mut self) {
        let mut left = self.shapes.steps.clone();
        let mut terms: Vec<Term> = Vec::new();
        let each = STEP_PRIOR / self.points.len() as f64;
        let mut prior = 1.0;
        for _ in 0..MAX_STEPS.min(self.points.len() / POINTS_PER_STEP) {
            let with = |column: usize| self.likelihood(&[terms.as_slice(), &[Term::One(column)]].concat());
            let best = left.iter().enumerate().map(|(index, column)| (with(*column), index));
            let Some((_, index)) = best.max_by(|one, other| one.0.total_cmp(&other.0)) else { return };
            terms.push(Term::One(left.remove(index)));
            prior *= each;
            let sizes = [1.0; MAX_STEPS];
            self.course(&Settling { course: Course::Steps, terms: &terms, sizes: &sizes[..terms.len()], prior, ..Settling::LEVEL });
        }
    }

    /// Weighs a course by itself and with each growth that may go on beside it.
    fn course(&mut self, settling: &Settling<'_>) {
        let terms = [self.effect().as_slice(), settling.terms].concat();
        let prior = settling.prior.ln() + self.effect.prior.ln();
        let alone = self.products.fit(&terms).log_likelihood + prior;
        self.mixture.models.push(Model { weight: alone, course: settling.course, leak: 0.0, pace: None, since: 0.0 });
        let (shapes, span) = (self.shapes, self.points.span());
        let line = Growing { course: Course::Grows, column: shapes.line, prior: 0.0, since: 0.0 };
        self.growing(settling, &terms, prior, &line, Some(alone));
        if settling.course == Course::Level {
            let evenly = shapes.bends.iter().map(|bend| (*bend, shapes.bends.len()));
            let closely = shapes.close_bends.iter().map(|bend| (*bend, shapes.close_bends_of));
            for ((column, since), of) in evenly.chain(closely).filter(|((_, since), _)| span - since >= MIN_GROWTH_TIME) {
                let bend = Growing { course: Course::GrowsFrom, column, prior: (BEND_PRIOR / of as f64).ln(), since };
                self.growing(settling, &terms, prior, &bend, None);
            }
        }
        if let (Some(column), Course::Level | Course::SlowsDown) = (shapes.operations, settling.course) {
            let load = Growing { course: Course::GrowsWithLoad, column, prior: OPERATIONS_PRIOR.ln(), since: 0.0 };
            self.growing(settling, &terms, prior, &load, None);
        }
    }

    fn growing(&mut self, settling: &Settling<'_>, terms: &[Term], prior: f64, growing: &Growing, alone: Option<f64>) {
        let span = self.points.span();
        // Operations are counted over all lives.
        let unit = if growing.course == Course::GrowsWithLoad { span } else { self.shapes.unit };
        let with = [terms, &[Term::One(growing.column)]].concat();
        let fit = self.products.fit(&with);
        let weight = fit.log_likelihood + prior + growing.prior + (fit.unexplained / SEPARATE).clamp(ENTANGLED, 1.0).ln();
        let lasting = span - growing.since;
        let size = lasting / unit;
        let net = self.net(settling, &fit, size);
        let kept = net.mean >= KEPT * size * fit.combine(&[1.0]).mean;
        let leak = if kept { above(&net, self.least * lasting) } else { 0.0 };
        let pace = (growing.course != Course::GrowsFrom).then(|| self.pace(&with, &fit)).flatten();
        self.mixture.models.push(Model { weight, course: growing.course, leak, pace, since: growing.since });
        let own = [settling.end_rates, &[unit.recip()]].concat();
        self.mixture.rates.push((alone.map_or(weight, |alone| log_sum(alone, weight)), fit.combine(&own)));
    }

    /// What the growth comes to, less what the course released: down steps, a fall after a peak.
    fn net(&self, settling: &Settling<'_>, fit: &Fit, size: f64) -> Estimate {
        let effects = self.effect.columns.len();
        let means = &fit.means()[effects..effects + settling.terms.len()];
        let up = || means.iter().zip(settling.sizes).map(|(mean, size)| mean * size);
        let whole: f64 = up().sum();
        let released = up().zip(settling.sizes).map(|(up, size)| match settling.course {
            // Two curves, or two rises, are one course: one of them can bend the other.
            Course::SlowsDown | Course::RoseOnce => {
                if whole < 0.0 {
                    *size
                } else {
                    0.0
                }
            }
            Course::Level | Course::Steps | Course::Grows | Course::GrowsFrom | Course::GrowsWithLoad => {
                if up < 0.0 {
                    *size
                } else {
                    0.0
                }
            }
        });
        fit.combine(&released.chain([size]).collect::<Vec<f64>>())
    }

    /// The chance that the slope of the last third is at least half of that of the whole.
    fn pace(&self, with: &[Term], whole: &Fit) -> Option<f64> {
        let last_third = self.points.span() * 2.0 / 3.0;
        let distance = |bend: &&(usize, f64)| (bend.1 - last_third).abs();
        let (bend, _) = self.shapes.bends.iter().min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
        let bent = self.products.fit(&[with, &[Term::One(*bend)]].concat());
        Some(above(&bent.combine(&[1.0, 1.0]), whole.combine(&[1.0]).mean / 2.0))
    }
}

/// A growth that goes on.
struct Growing {
    course: Course,
    column: usize,
    /// The logarithm of its prior.
    prior: f64,
    since: f64,
}

/// The chance that what was estimated lies above a bound.
fn above(estimate: &Estimate, bound: f64) -> f64 {
    if estimate.scale > 0.0 { student::below((estimate.mean - bound) / estimate.scale, estimate.freedom) } else { 0.0 }
}

fn log_sum(one: f64, other: f64) -> f64 {
    let top = one.max(other);
    top + ((one - top).exp() + (other - top).exp()).ln()
}

/// A weighed model.
struct Model {
    /// The logarithm of its weight.
    weight: f64,
    course: Course,
    leak: f64,
    pace: Option<f64>,
    since: f64,
}

/// Models with less weight than this share of the best one's are left out of the quantiles: thousands of them change nothing there.
const NO_WEIGHT: f64 = 1e-3;

/// Halves the interval so often: its ends are exact to a millionth of what they may be.
const HALVINGS: usize = 24;

/// All models that were weighed.
#[derive(Default)]
struct Mixture {
    models: Vec<Model>,
    rates: Vec<(f64, Estimate)>,
}

impl Mixture {
    fn findings(&self, points: usize) -> Option<Findings> {
        let top = self.models.iter().map(|model| model.weight).fold(f64::NEG_INFINITY, f64::max);
        let weight = |model: &Model| (model.weight - top).exp();
        let total: f64 = self.models.iter().map(weight).sum();
        if !total.is_finite() || total <= 0.0 {
            return None;
        }
        let share = |course: Course| self.models.iter().filter(|model| model.course == course).map(weight).sum::<f64>();
        let course = Course::ALL.iter().max_by(|one, other| share(**one).total_cmp(&share(**other)))?;
        let bends = self.models.iter().filter(|model| model.course == Course::GrowsFrom);
        let since = bends.max_by(|one, other| one.weight.total_cmp(&other.weight)).map_or(0.0, |model| model.since);
        let [low, middle, high, highest] = self.rate();
        Some(Findings {
            points,
            leak: self.models.iter().map(|model| weight(model) * model.leak).sum::<f64>() / total,
            pace: self.pace(top),
            low,
            middle,
            high,
            highest,
            course: *course,
            since,
        })
    }

    /// Among the models that grow; one that can't be looked at more closely keeps it.
    fn pace(&self, top: f64) -> f64 {
        let growing = self.models.iter().filter(|model| model.leak > 0.0);
        let (all, keeping) = growing.fold((0.0, 0.0), |(all, keeping), model| {
            let weight = (model.weight - top).exp();
            (all + weight, keeping + weight * model.pace.unwrap_or(1.0))
        });
        if all > 0.0 { keeping / all } else { 1.0 }
    }

    /// The quantiles of 5, 50, 95 and 99 % of the mixture of rates.
    fn rate(&self) -> [f64; 4] {
        let top = self.rates.iter().map(|rate| rate.0).fold(f64::NEG_INFINITY, f64::max);
        let weighed = self.rates.iter().map(|(weight, rate)| ((weight - top).exp(), rate));
        let rates: Vec<(f64, &Estimate)> = weighed.filter(|(weight, rate)| *weight > NO_WEIGHT && rate.scale > 0.0).collect();
        let total: f64 = rates.iter().map(|rate| rate.0).sum();
        let bound = |side: f64| {
            rates
                .iter()
                .map(|(_, rate)| side * (side * rate.mean + 20.0 * rate.scale))
                .fold(0.0, |most: f64, bound| if side > 0.0 { most.max(bound) } else { most.min(bound) })
        };
        let below = |rate: f64| {
            rates.iter().map(|(weight, of)| weight * student::below((rate - of.mean) / of.scale, of.freedom)).sum::<f64>() / total
        };
        let quantile = |share: f64| {
            let (mut low, mut high) = (bound(-1.0), bound(1.0));
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(low, high);
                if below(middle) < share { low = middle } else { high = middle }
            }
            f64::midpoint(low, high)
        };
        [0.05, 0.5, 0.95, 0.99].map(quantile)
    }
}
