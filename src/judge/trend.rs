//! Trends: the slope of a series by Theil and Sen, with its confidence interval.
//!
//! The slope is the median of the slopes between all pairs of points: nearly a third of the points can be anything without moving
//! it far. Whether there is a trend at all is Kendall's question; its variance gives the interval (Sen 1968), widened for points that
//! follow their neighbours, as memory does.

/// So many points are looked at at most: their pairs are sorted, so the cost grows with the square.
pub const MAX_POINTS: usize = 400;

/// Two-sided 95 % of the normal distribution.
const Z_95: f64 = 1.959_964;

/// A slope with its interval, in value per unit of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// The median of all pairs' slopes.
    pub median: f64,
    /// It is above this in 95 of 100 cases …
    pub low: f64,
    /// … and below this.
    pub high: f64,
    /// Where the line crosses the time of zero.
    pub at_zero: f64,
}

/// The slope of points (time, value); at least four of them at different times.
pub fn theil_sen(points: &[(f64, f64)]) -> Option<Slope> {
    if points.len() < 4 || points.len() > MAX_POINTS {
        return None;
    }
    let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    for (index, (time, value)) in points.iter().enumerate() {
        for (later, then) in &points[index + 1..] {
            if later > time {
                slopes.push((then - value) / (later - time));
            }
        }
    }
    if slopes.is_empty() {
        return None;
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let median = middle(&slopes);
    let mut offsets: Vec<f64> = points.iter().map(|(time, value)| value - median * time).collect();
    offsets.sort_unstable_by(f64::total_cmp);
    let at_zero = middle(&offsets);
    let residuals: Vec<f64> = points.iter().map(|(time, value)| value - at_zero - median * time).collect();
    let (low, high) = interval(&slopes, points, memory_of(&residuals));
    Some(Slope { median, low, high, at_zero })
}

/// The median of sorted numbers; there is at least one.
fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[half - 1], sorted[half]) } else { sorted[half] }
}

/// Sen's interval: the slopes so many ranks around the middle as Kendall's deviation says.
fn interval(slopes: &[f64], points: &[(f64, f64)], memory: f64) -> (f64, f64) {
    let count = points.len() as f64;
    let mut variance = count * (count - 1.0) * (2.0 * count + 5.0);
    // Points of equal value carry less: without this, plateaus would look surer than they are.
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    for tied in values.chunk_by(|one, other| one == other) {
        let tied = tied.len() as f64;
        variance -= tied * (tied - 1.0) * (2.0 * tied + 5.0);
    }
    let deviation = (variance.max(0.0) / 18.0 * (1.0 + memory) / (1.0 - memory)).sqrt();
    let pairs = slopes.len() as f64;
    let reach = Z_95 * deviation;
    let rank = |rank: f64| slopes[rank.clamp(0.0, pairs - 1.0) as usize];
    (rank(((pairs - reach) / 2.0).floor()), rank(((pairs + reach) / 2.0).ceil()))
}

/// How much of a deviation a point passes on to the next: the autocorrelation at one step, between none and nearly all.
fn memory_of(residuals: &[f64]) -> f64 {
    let mean = residuals.iter().sum::<f64>() / residuals.len() as f64;
    let own: f64 = residuals.iter().map(|residual| (residual - mean).powi(2)).sum();
    let passed: f64 = residuals.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if own > 0.0 { (passed / own).clamp(0.0, 0.9) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(slope: f64, noise: &[f64]) -> Vec<(f64, f64)> {
        noise.iter().enumerate().map(|(index, noise)| (index as f64, 100.0 + slope * index as f64 + noise)).collect()
    }

    proptest! {
        #[test]
        fn a_line_gives_its_slope(slope in -50.0..50.0f64, count in 4..200usize) {
            let found = theil_sen(&line(slope, &vec![0.0; count])).unwrap();
            prop_assert!((found.median - slope).abs() < 1e-6 && (found.at_zero - 100.0).abs() < 1e-3);
            prop_assert!(found.low <= found.median && found.median <= found.high);
        }

        #[test]
        fn the_slope_lies_in_its_interval_and_turns_with_the_series(noise in proptest::collection::vec(-5.0..5.0f64, 4..80), slope in -3.0..3.0f64) {
            let up = theil_sen(&line(slope, &noise)).unwrap();
            prop_assert!(up.low <= up.median && up.median <= up.high);
            let turned: Vec<_> = line(slope, &noise).iter().map(|(time, value)| (*time, -value)).collect();
            let down = theil_sen(&turned).unwrap();
            prop_assert!((down.median + up.median).abs() < 1e-9);
        }

        #[test]
        fn a_fifth_of_wild_points_moves_the_slope_little(wild in proptest::collection::vec(-1e6..1e6f64, 20)) {
            let mut points = line(2.0, &[0.0; 100]);
            for (index, value) in wild.iter().enumerate() {
                points[index * 5].1 = *value;
            }
            let found = theil_sen(&points).unwrap();
            prop_assert!((found.median - 2.0).abs() < 0.5, "{}", found.median);
        }
    }

    #[test]
    fn too_few_or_simultaneous_points_have_no_slope() {
        assert_eq!(theil_sen(&[(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]), None);
        assert_eq!(theil_sen(&[(1.0, 1.0); 8]), None);
    }
}
