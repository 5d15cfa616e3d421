//! Where the marks of an axis stand, and what they say.

use super::Span;
use crate::watch::{Micros, Timestamp};

/// What a chart's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Duration,
    /// Bytes.
    Bytes,
    /// Thousandths, shown as per cent.
    Share,
    /// How many.
    Count,
}

impl Unit {
    /// The unit in which numbers up to `top` are best read, and how many of ours it is.
    pub(super) fn named(self, top: f64) -> (&'static str, f64) {
        let steps: &[(&str, f64)] = match self {
            Self::Duration => &[("µs", 1.0), ("ms", 1e3), ("s", 1e6)],
            Self::Bytes => &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)],
            Self::Share => &[("%", 10.0)],
            Self::Count => &[("", 1.0)],
        };
        let fits = steps.iter().rev().find(|(_, factor)| top >= *factor);
        *fits.unwrap_or(&steps[0])
    }

    /// A number with its unit.
    pub fn say(self, value: u64) -> String {
        use crate::report::words;
        match self {
            Self::Duration => words::duration(value),
            Self::Bytes => words::bytes(value),
            Self::Share => words::permille(value),
            Self::Count => value.to_string(),
        }
    }
}

/// Steps that people count in.
const NICE: [f64; 4] = [1.0, 2.0, 2.5, 5.0];

/// The marks from zero up to the first that is not below `top`, about `wanted` of them.
pub(super) fn marks(top: f64, wanted: u32, whole: bool) -> Vec<f64> {
    let top = if top.is_finite() && top > 0.0 { top } else { 1.0 };
    let rough = top / f64::from(wanted.max(1));
    let magnitude = 10f64.powf(rough.log10().floor());
    let nice = NICE.iter().map(|nice| nice * magnitude).find(|step| *step >= rough * 0.999);
    let mut step = nice.unwrap_or(10.0 * magnitude);
    if whole {
        step = step.max(1.0).ceil();
    }
    let count = (top / step - 1e-9).ceil().max(1.0) as u32;
    (0..=count).map(|index| f64::from(index) * step).collect()
}

/// A mark's number, without digits that say nothing.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The distances of a clock's marks, in seconds.
const CLOCK: [u64; 19] = [
    1,
    2,
    5,
    10,
    15,
    30,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
];

/// A mark of the time axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where.
    pub at: Timestamp,
    /// The time of day.
    pub clock: String,
    /// The date, where it is another than the mark's before.
    pub date: Option<String>,
}

/// The marks of a time axis, at most `most` of them.
pub(super) fn clock_marks(span: Span, most: u64) -> Vec<Mark> {
    let seconds = span.to.since(span.from).get() / 1_000_000;
    let step = CLOCK.into_iter().find(|step| seconds / step < most).unwrap_or_else(|| seconds.div_ceil(most).div_ceil(DAY) * DAY);
    let mut at = span.from.get().div_ceil(step * 1_000_000) * step;
    let mut all: Vec<Mark> = Vec::new();
    let mut date_before = String::new();
    while Timestamp::from_secs(at) <= span.to {
        let mark = Timestamp::from_secs(at);
        // `2026-11-01T06:00:00.000Z`
        let text = mark.to_string();
        let date = text.get(..10).unwrap_or_default().to_owned();
        let clock = if step < MINUTE { text.get(11..19) } else { text.get(11..16) };
        let changed = date != date_before;
        date_before.clone_from(&date);
        all.push(Mark { at: mark, clock: clock.unwrap_or_default().to_owned(), date: changed.then_some(date) });
        at = at.saturating_add(step);
        // Beyond the calendar time stands still.
        if Timestamp::from_secs(at) == mark {
            break;
        }
    }
    all
}

/// Evenly distributed instants for a table, each the beginning of its part.
pub(super) fn parts(span: Span, count: u64) -> Vec<Span> {
    let length = span.to.since(span.from).get();
    let count = count.clamp(1, length.max(1));
    let at = |index: u64| {
        span.from.plus(Micros::new(u64::try_from(u128::from(length) * u128::from(index) / u128::from(count)).unwrap_or(length)))
    };
    (0..count).map(|index| Span { from: at(index), to: at(index + 1) }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(from: &str, to: &str) -> Span {
        Span { from: Timestamp::parse(from).unwrap(), to: Timestamp::parse(to).unwrap() }
    }

    #[test]
    fn marks_are_numbers_that_people_count_in() {
        assert_eq!(marks(119.0, 4, false), [0.0, 50.0, 100.0, 150.0]);
        assert_eq!(marks(0.0, 4, false).last(), Some(&1.0));
        assert_eq!(marks(3.0, 4, true), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!([0.5, 2.0, 2.5].map(number), ["0.5", "2", "2.5"]);
    }

    #[test]
    fn two_days_have_a_mark_every_six_hours_and_a_date_a_day() {
        let marks = clock_marks(span("2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z"), 10);
        let clocks: Vec<_> = marks.iter().map(|mark| mark.clock.as_str()).collect();
        assert_eq!(clocks, ["00:00", "06:00", "12:00", "18:00", "00:00", "06:00", "12:00", "18:00", "00:00"]);
        let dates: Vec<_> = marks.iter().filter_map(|mark| mark.date.as_deref()).collect();
        assert_eq!(dates, ["2026-11-01", "2026-11-02", "2026-11-03"]);
    }

    proptest! {
        #[test]
        fn marks_reach_the_top_and_are_few(top in 0.0..1e15f64, wanted in 1..8u32, whole: bool) {
            let marks = marks(top, wanted, whole);
            prop_assert!(marks.len() as u32 <= wanted + 2 && marks.len() >= 2);
            prop_assert!(marks[marks.len() - 1] >= top * 0.999_999);
        }

        #[test]
        fn a_time_axis_has_few_marks_all_inside(from: Timestamp, length in 0..4_000_000_000_000_000u64) {
            let span = Span { from, to: from.plus(Micros::new(length)) };
            let marks = clock_marks(span, 9);
            prop_assert!(marks.len() <= 10);
            prop_assert!(marks.iter().all(|mark| (span.from..=span.to).contains(&mark.at)));
        }

        #[test]
        fn parts_cover_their_span(from in 0..4_000_000_000u64, length in 0..1_000_000_000u64, count in 0..50u64) {
            let span = Span { from: Timestamp::new(from), to: Timestamp::new(from + length) };
            let parts = parts(span, count);
            prop_assert_eq!(parts[0].from, span.from);
            prop_assert_eq!(parts[parts.len() - 1].to, span.to);
            prop_assert!(parts.windows(2).all(|pair| pair[0].to == pair[1].from));
        }
    }
}
