//! Memory that jumps between two levels.
//!
//! A buffer that is taken and given back again and again makes more jumps than courses have steps. Where jumps go up and down in turn, all by
//! about as much, one column says at which of the two levels memory is.

use super::points::Points;

/// Up, down and up again show two levels; fewer jumps are steps.
const FEWEST_JUMPS: usize = 3;

/// A jump is so many times the usual change from floor to floor: of independent floors one in millions.
const FAR: f64 = 6.0;

/// Jumps between the same two levels differ from the middle one by less than this share.
const ALIKE: f64 = 0.3;

/// One at the upper level, zero at the lower one; none where memory does not jump up and down in turn.
pub(super) fn upper_level(points: &Points) -> Option<Vec<f64>> {
    let changes = changes(points);
    let mut sizes: Vec<f64> = changes.iter().map(|(_, change)| change.abs()).collect();
    let usual = middle(&mut sizes)?;
    let jumps: Vec<(usize, f64)> = changes.into_iter().filter(|(_, change)| change.abs() > usual * FAR).collect();
    let mut sizes: Vec<f64> = jumps.iter().map(|(_, change)| change.abs()).collect();
    let size = middle(&mut sizes)?;
    let alike = sizes.iter().all(|other| (other - size).abs() < size * ALIKE);
    let in_turn = jumps.windows(2).all(|pair| (pair[0].1 > 0.0) != (pair[1].1 > 0.0) || begins_between(points, pair));
    if jumps.len() < FEWEST_JUMPS || !alike || !in_turn {
        return None;
    }
    Some((0..points.len()).map(|at| if is_upper(points, &jumps, at) { 1.0 } else { 0.0 }).collect())
}

/// A life is at the level that the jump before led to, or that the one after begins at.
fn is_upper(points: &Points, jumps: &[(usize, f64)], at: usize) -> bool {
    let Some(life) = points.lives().find(|life| life.contains(&at)) else { return false };
    let before = jumps.iter().rfind(|(jump, _)| (life.start..=at).contains(jump)).map(|(_, change)| *change > 0.0);
    let after = jumps.iter().find(|(jump, _)| (at + 1..life.end).contains(jump)).map(|(_, change)| *change < 0.0);
    before.or(after).unwrap_or(false)
}

fn begins_between(points: &Points, pair: &[(usize, f64)]) -> bool {
    points.begins.iter().any(|begin| (pair[0].0 + 1..=pair[1].0).contains(begin))
}

/// By how much each floor lies above the one before, of the same life.
fn changes(points: &Points) -> Vec<(usize, f64)> {
    let inner = points.lives().flat_map(|life| life.start + 1..life.end);
    inner.map(|at| (at, points.all[at].floor - points.all[at - 1].floor)).collect()
}

fn middle(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::points::Point;
    use super::*;

    fn points(floor: impl Fn(usize) -> f64) -> Points {
        let point = |index: usize| {
            let time = index as f64 / 12.0;
            // Neighbours differ by up to a megabyte.
            let noise = ((index * 7919) % 13) as f64 / 13.0;
            Point { time, age: time, floor: (100.0 + floor(index) + noise) * 1e6, clients: 0.0, operations: 0.0 }
        };
        Points { all: (0..240).map(point).collect(), begins: vec![0] }
    }

    #[test]
    fn memory_that_jumps_up_and_down_in_turn_has_two_levels() {
        let high = |index: usize| (index / 40) % 2 == 1;
        let column = upper_level(&points(|index| if high(index) { 20.0 } else { 0.0 } + index as f64 / 6.0)).unwrap();
        assert!(column.iter().enumerate().all(|(index, level)| (*level > 0.5) == high(index)), "{column:?}");
    }

    #[test]
    fn steps_up_and_jumps_of_all_sizes_are_no_plateaus() {
        assert_eq!(upper_level(&points(|index| (index / 40) as f64 * 20.0)), None);
        let sizes = [0.0, 20.0, 0.0, 60.0, 0.0, 20.0];
        assert_eq!(upper_level(&points(|index| sizes[index / 40])), None);
    }
}
