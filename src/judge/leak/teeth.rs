//! The teeth of a sawtooth that are longer than the windows.
//!
//! A garbage collector lets memory climb and then frees it at once. Where that happens less often than once a window, floors are taken
//! on the teeth, not below them. Windows as wide as the longest tooth have a floor at the bottom of one.

use super::points::Points;

/// A fall of this share of the whole range is a collection.
const FALL: f64 = 1.0 / 3.0;

/// Fewer falls are changes of level.
const MIN_FALLS: usize = 3;

/// The longest time between two falls of one process, in hours; none where there are too few of them.
pub fn longest_tooth(points: &Points) -> Option<f64> {
    let level = straightened(points);
    let (low, high) =
        level.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let deep = (high - low) * FALL;
    let (mut falls, mut longest) = (0, 0.0_f64);
    for life in points.lives() {
        let mut last: Option<f64> = None;
        let mut top = life.start;
        for index in life.start + 1..life.end {
            let goes_down = level[index] < level[index - 1];
            if !goes_down {
                top = index;
                continue;
            }
            if level[top] - level[index] > deep {
                let bottom = points.all[index].time;
                // The same fall, still going on, has its end moved.
                let same = level[top] - level[index - 1] > deep && index - 1 > top;
                if !same {
                    falls += 1;
                    longest = last.map_or(longest, |last| longest.max(bottom - last));
                }
                last = Some(bottom);
            }
        }
    }
    (falls >= MIN_FALLS && longest > 0.0).then_some(longest)
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
