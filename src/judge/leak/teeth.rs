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

/// The lowest point after each fall; none where there are too few of them.
pub(super) fn bottoms(points: &Points) -> Option<Points> {
    let level = straightened(points);
    let (low, high) =
        level.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let deep = (high - low) * FALL;
    let mut bottoms = Points::default();
    for life in points.lives() {
        let begin = bottoms.len();
        let (mut top, mut falling) = (life.start, false);
        for index in life.start + 1..life.end {
            let goes_down = level[index] < level[index - 1];
            if !goes_down {
                (top, falling) = (index, false);
            } else if level[top] - level[index] > deep {
                if falling {
                    // The same fall, still going on.
                    bottoms.all.pop();
                }
                falling = true;
                bottoms.all.push(points.all[index]);
            }
        }
        if bottoms.len() > begin {
            bottoms.begins.push(begin);
        }
    }
    (bottoms.len() >= MIN_FALLS).then_some(bottoms)
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
