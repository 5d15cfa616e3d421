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

/// Memory changes from one level to another.
#[derive(Debug, Clone, Copy)]
struct Jump {
    /// The first floor after its begin …
    from: usize,
    /// … and the first at the new level: a window in which memory jumps can have a floor between the two.
    to: usize,
    /// By how much.
    size: f64,
}

/// One at the upper level, zero at the lower one; none where memory does not jump up and down in turn.
pub(super) fn upper_level(points: &Points) -> Option<Vec<f64>> {
    let jumps = jumps(points)?;
    let mut sizes: Vec<f64> = jumps.iter().map(|jump| jump.size.abs()).collect();
    let size = middle(&mut sizes)?;
    let alike = sizes.iter().all(|other| (other - size).abs() < size * ALIKE);
    let in_turn =
        jumps.windows(2).all(|pair| (pair[0].size > 0.0) != (pair[1].size > 0.0) || begins_between(points, pair[0], pair[1]));
    (jumps.len() >= FEWEST_JUMPS && alike && in_turn).then(|| (0..points.len()).map(|at| level(points, &jumps, at)).collect())
}

/// A life is at the level that the jump before led to, or that the one after begins at.
fn level(points: &Points, jumps: &[Jump], at: usize) -> f64 {
    let Some(life) = points.lives().find(|life| life.contains(&at)) else { return 0.0 };
    if let Some(jump) = jumps.iter().find(|jump| (jump.from..jump.to).contains(&at)) {
        let share = ((points.all[at].floor - points.all[jump.from - 1].floor) / jump.size).clamp(0.0, 1.0);
        return if jump.size > 0.0 { share } else { 1.0 - share };
    }
    let before = jumps.iter().rfind(|jump| (life.start..=at).contains(&jump.to)).map(|jump| jump.size > 0.0);
    let after = jumps.iter().find(|jump| (at + 1..life.end).contains(&jump.from)).map(|jump| jump.size < 0.0);
    if before.or(after).unwrap_or(false) { 1.0 } else { 0.0 }
}

fn begins_between(points: &Points, one: Jump, other: Jump) -> bool {
    points.begins.iter().any(|begin| (one.to + 1..=other.from).contains(begin))
}

/// The changes that are far larger than the usual one. Two that follow each other in the same direction are one jump.
fn jumps(points: &Points) -> Option<Vec<Jump>> {
    let inner = points.lives().flat_map(|life| life.start + 1..life.end);
    let changes: Vec<(usize, f64)> = inner.map(|at| (at, points.all[at].floor - points.all[at - 1].floor)).collect();
    let mut sizes: Vec<f64> = changes.iter().map(|(_, change)| change.abs()).collect();
    let usual = middle(&mut sizes)?;
    let mut jumps: Vec<Jump> = Vec::new();
    for (at, size) in changes.into_iter().filter(|(_, change)| change.abs() > usual * FAR) {
        match jumps.last_mut() {
            Some(last) if last.to + 1 == at && last.from == last.to && (last.size > 0.0) == (size > 0.0) => {
                *last = Jump { from: last.from, to: at, size: last.size + size };
            }
            _ => jumps.push(Jump { from: at, to: at, size }),
        }
    }
    Some(jumps)
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
    fn a_floor_in_the_middle_of_a_jump_lies_between_the_levels() {
        let level = |index: usize| if index.is_multiple_of(40) && index > 0 { 0.25 } else { 0.0 };
        let floor = |index: usize| if (index / 40) % 2 == 1 { 20.0 * (1.0 - 3.0 * level(index)) } else { 20.0 * level(index) };
        let column = upper_level(&points(floor)).unwrap();
        assert!(column[39] < 0.1 && (0.2..0.35).contains(&column[40]) && column[41] > 0.9, "{:?}", &column[38..43]);
        assert!(column[79] > 0.9 && (0.2..0.35).contains(&column[80]) && column[81] < 0.1, "{:?}", &column[78..83]);
    }

    #[test]
    fn steps_up_and_jumps_of_all_sizes_are_no_plateaus() {
        assert_eq!(upper_level(&points(|index| (index / 40) as f64 * 20.0)), None);
        let sizes = [0.0, 20.0, 0.0, 60.0, 0.0, 20.0];
        assert_eq!(upper_level(&points(|index| sizes[index / 40])), None);
    }
}
