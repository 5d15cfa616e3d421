//! The teeth of a sawtooth that are longer than the windows.
//!
//! A garbage collector lets memory climb and then frees it at once. Where that happens less often than once a window, most floors lie on
//! the teeth. The lower envelope of the teeth, one point after each fall, is what grows when memory leaks, however uneven the teeth are
//! and however they climb: memory after a full collection is the live set.

use super::points::Points;

/// A fall of this share of the whole range is a collection. Independent noise has few such falls; of uneven teeth the small ones may be
/// missed, since the others have bottoms enough.
const FALL: f64 = 0.4;

/// Fewer falls are changes of level, and fewer bottoms carry no model.
const MIN_FALLS: usize = 6;

/// Two falls within one life show that it repeats …
const FEWEST_FALLS: usize = 2;

/// … if each is most of the range: noise has few falls that are so deep.
const DEEP_FALL: f64 = 0.5;

/// Where it repeats, uneven teeth have smaller falls, too.
const SMALL_FALL: f64 = 0.2;

/// Teeth climb evenly: this share of what happens between falls is a line. What jumps up and down again is none, and a leak could hide in
/// it.
const EVEN: f64 = 0.9;

/// The lowest point after each fall; none where there are too few of them.
pub(super) fn bottoms(points: &Points) -> Option<Points> {
    let falls = falls(points, FALL);
    if falls.len() < MIN_FALLS {
        return None;
    }
    let mut bottoms = Points::default();
    for life in points.lives() {
        let begin = bottoms.len();
        bottoms.all.extend(falls.iter().filter(|fall| life.contains(&fall.bottom)).map(|fall| points.all[fall.bottom]));
        if bottoms.len() > begin {
            bottoms.begins.push(begin);
        }
    }
    Some(bottoms)
}

/// For teeth that climb evenly and fall all the way, each time: how long before each point its life fell, scaled to about one. The
/// first tooth of all begins somewhere in its middle: a column of its own. None where it does not repeat.
pub(super) fn since_falls(points: &Points) -> Option<[Vec<f64>; 2]> {
    let deep = falls(points, DEEP_FALL);
    let repeats = points.lives().any(|life| deep.iter().filter(|fall| life.contains(&fall.bottom)).count() >= FEWEST_FALLS);
    if !repeats {
        return None;
    }
    let falls = falls(points, SMALL_FALL);
    let first = falls.first()?.landing;
    let since = |life: std::ops::Range<usize>| {
        let fallen =
            |at: usize| falls.iter().map(|fall| fall.landing).rfind(|fall| (life.start..=at).contains(fall)).unwrap_or(life.start);
        life.clone().map(|at| points.all[at].time - points.all[fallen(at)].time).collect::<Vec<f64>>()
    };
    let since: Vec<f64> = points.lives().flat_map(since).collect();
    if evenness(points, &falls, &since) < EVEN {
        return None;
    }
    let longest = since.iter().copied().fold(0.0, f64::max);
    let cut_off = (0..points.len()).map(|at| if at < first { 1.0 } else { 0.0 }).collect();
    (longest > 0.0).then(|| [since.iter().map(|hours| hours / longest).collect(), cut_off])
}

/// Which share of the variance between falls one line explains that all teeth have in common.
fn evenness(points: &Points, falls: &[Fall], since: &[f64]) -> f64 {
    let mut cuts: Vec<usize> = points.begins.iter().copied().chain(falls.iter().map(|fall| fall.landing)).collect();
    cuts.push(points.len());
    cuts.sort_unstable();
    let (mut both, mut time, mut height) = (0.0, 0.0, 0.0);
    for tooth in cuts.windows(2).map(|pair| pair[0]..pair[1]).filter(|tooth| !tooth.is_empty()) {
        let count = tooth.len() as f64;
        let floors = || points.all[tooth.clone()].iter().map(|point| point.floor);
        let (middle, level) = (since[tooth.clone()].iter().sum::<f64>() / count, floors().sum::<f64>() / count);
        for (hours, floor) in since[tooth.clone()].iter().zip(floors()) {
            both += (hours - middle) * (floor - level);
            time += (hours - middle).powi(2);
            height += (floor - level).powi(2);
        }
    }
    if both > 0.0 { both * both / (time * height) } else { 0.0 }
}

/// Memory goes down from point to point.
#[derive(Debug, Clone, Copy)]
struct Fall {
    /// The point that its steepest part leads to: the first of the next tooth.
    landing: usize,
    /// The lowest point.
    bottom: usize,
}

/// Each fall by more than `share` of the whole range.
fn falls(points: &Points, share: f64) -> Vec<Fall> {
    let level = straightened(points);
    let (low, high) =
        level.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let deep = (high - low) * share;
    let drop = |index: usize| level[index - 1] - level[index];
    let mut falls: Vec<Fall> = Vec::new();
    for life in points.lives() {
        let (mut top, mut steepest) = (life.start, life.start + 1);
        for index in life.start + 1..life.end {
            if drop(index) <= 0.0 {
                (top, steepest) = (index, index + 1);
                continue;
            }
            if drop(index) > drop(steepest) {
                steepest = index;
            }
            if level[top] - level[index] > deep {
                if falls.last().is_some_and(|fall| fall.bottom > top) {
                    // The same fall, still going on.
                    falls.pop();
                }
                falls.push(Fall { landing: steepest, bottom: index });
            }
        }
    }
    falls
}

/// The floors less their line of least squares.
fn straightened(points: &Points) -> Vec<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&super::points::Point) -> f64| points.all.iter().map(of).sum::<f64>() / count;
    let (time, floor) = (mean(|point| point.time), mean(|point| point.floor));
    let (mut both, mut square) = (0.0, 0.0);
    for point in &points.all {
        both += (point.time - time) * (point.floor - floor);
        square += (point.time - time).powi(2);
    }
    let slope = if square > 0.0 { both / square } else { 0.0 };
    points.all.iter().map(|point| point.floor - slope * point.time).collect()
}
