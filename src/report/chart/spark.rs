//! Charts of characters, for where nothing else is drawn: Markdown on a forge strips SVG.

use super::{Span, scale};
use crate::judge::history::Timeline;
use crate::judge::standing::Standing;
use crate::watch::Timestamp;

/// The heights, from the least to the most.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Where nothing is known.
const NOTHING: char = '·';
/// So many characters: an hour each over the strategy's 48.
pub const COLUMNS: u64 = crate::judge::series::PARTS;

/// The most of each part of the span as a row of heights, the greatest as the full height; nothing if there are no values.
pub fn line(points: impl Iterator<Item = (Timestamp, u64)> + Clone, span: Span) -> Option<String> {
    let most = points.clone().map(|(_, value)| value).max()?;
    let columns = scale::parts(span, COLUMNS).into_iter().map(|part| {
        let inside = points.clone().filter(|(at, _)| part.from <= *at && (*at < part.to || part.to == span.to));
        inside.map(|(_, value)| value).max().map_or(NOTHING, |value| height(value, most))
    });
    Some(columns.collect())
}

fn height(value: u64, most: u64) -> char {
    let steps = HEIGHTS.len() as u128 - 1;
    // The index is at most `steps`: a value is at most the most.
    let index = (u128::from(value) * steps + u128::from(most) / 2) / u128::from(most.max(1));
    usize::try_from(index).ok().and_then(|index| HEIGHTS.get(index)).copied().unwrap_or(NOTHING)
}

/// How a server that should work, or need not, stood in each part of the span: the worst of it. Low is up, full is down.
pub fn states(timeline: &Timeline, should_work: bool, span: Span) -> String {
    let columns = scale::parts(span, COLUMNS).into_iter().map(|part| {
        let inside = timeline.stretches.iter().filter(|stretch| stretch.from.0 < part.to && part.from < stretch.to.0);
        let standings = inside.map(|stretch| Standing::of_stretch(stretch, should_work));
        standings.max_by_key(|standing| standing.gravity()).unwrap_or_default().mark()
    });
    columns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_heights_shows_the_most_of_each_part_and_where_nothing_is_known() {
        let span = Span { from: Timestamp::new(0), to: Timestamp::new(48) };
        let points = (0..24).map(|at| (Timestamp::new(at), at % 8));
        assert_eq!(line(points, span).unwrap(), format!("{0}{0}{0}{1}", "▁▂▃▄▅▆▇█", "·".repeat(24)));
        assert_eq!(line(std::iter::empty(), span), None);
    }
}
