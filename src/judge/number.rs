//! Numbers as people read them. Every output prints a measure's value by [`value`], so that none shows a number on the other side of
//! its limit: 1.04 % with a limit of 1 % is never "1.0 %".

use super::exact::Exact;
use super::measure::Unit;

/// A limit that a value keeps to or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// In the measure's unit.
    pub limit: u64,
    /// Whether values below, not above, are beyond it.
    pub below: bool,
    /// Whether a value that reaches the limit is beyond it: the strategy's "<". A limit of zero allows none, and that much.
    pub strict: bool,
}

impl Bound {
    /// Nothing is not something: a value that isn't zero is never printed as zero.
    const NOTHING: Self = Self { limit: 0, below: false, strict: false };

    /// Whether a value is beyond the limit.
    pub fn is_beyond(self, value: Exact) -> bool {
        let limit = Exact::whole(self.limit);
        match (self.below, self.is_strict()) {
            (false, false) => value > limit,
            (false, true) => value >= limit,
            (true, false) => value < limit,
            (true, true) => value <= limit,
        }
    }

    /// Whether one number stands to the limit as another does: what is near the limit must not look like it.
    fn stands_as(self, one: Exact, other: Exact) -> bool {
        let limit = Exact::whole(self.limit);
        one.cmp(&limit) == other.cmp(&limit)
    }

    const fn is_strict(self) -> bool {
        self.strict && self.limit > 0
    }

    /// Returns the limit in words. A plain limit is the highest value that is allowed; any other one has its sign.
    pub fn words(self, unit: Unit) -> String {
        match (self.limit, self.below) {
            (0, false) => "allowed: 0".to_owned(),
            (at, false) if !self.strict => format!("limit {}", limit(unit, at)),
            (at, _) => format!("limit {} {}", self.sign(), limit(unit, at)),
        }
    }

    /// The sign between a measure and this limit that a pass keeps to.
    pub const fn sign(self) -> &'static str {
        match (self.below, self.is_strict()) {
            (false, false) => "≤",
            (false, true) => "<",
            (true, false) => "≥",
            (true, true) => ">",
        }
    }
}

/// Digits after the point are added up to so many until the text stands on the value's side of its limits.
const MOST_DIGITS: u32 = 6;

/// A value in its unit, rounded to few digits but never across one of the bounds.
pub fn value(unit: Unit, value: Exact, bounds: &[Bound]) -> String {
    let keeps_side = |shown: Exact| bounds.iter().chain([&Bound::NOTHING]).all(|bound| bound.stands_as(shown, value));
    for detail in 0..=MOST_DIGITS {
        let (text, shown) = written(unit, value, detail);
        if keeps_side(shown) {
            return text;
        }
    }
    beside(unit, value, bounds)
}

/// What is nearer to a limit than anybody can read.
fn beside(unit: Unit, value: Exact, bounds: &[Bound]) -> String {
    let (_, shown) = written(unit, value, MOST_DIGITS);
    let crossed = bounds.iter().chain([&Bound::NOTHING]).find(|bound| !bound.stands_as(shown, value));
    let near = crossed.map_or(0, |bound| bound.limit);
    let side = if value > Exact::whole(near) { "just above" } else { "just below" };
    format!("{side} {}", limit(unit, near))
}

/// A limit in its unit, with all its digits and none that say nothing.
pub fn limit(unit: Unit, limit: u64) -> String {
    let exactly = Exact::whole(limit);
    let whole = |detail: &u32| written(unit, exactly, *detail).1 == exactly;
    let detail = (0..=MOST_DIGITS + 6).find(whole).unwrap_or(MOST_DIGITS);
    let (text, _) = written(unit, exactly, detail);
    text.replacen(".0 ", " ", 1)
}

/// The whole number that programs read beside the exact one: to the nearest, but on the value's side of the bounds.
pub fn rounded(value: Exact, bounds: &[Bound]) -> u64 {
    let stands = |number: &u64| bounds.iter().all(|bound| bound.stands_as(Exact::whole(*number), value));
    let keeps_side = |number: &u64| bounds.iter().all(|bound| bound.is_beyond(Exact::whole(*number)) == bound.is_beyond(value));
    let nearest = value.rounded();
    let near = [nearest, value.ceil(), value.floor()];
    near.into_iter().find(stands).or_else(|| near.into_iter().find(keeps_side)).unwrap_or(nearest)
}

/// The text, and the number that it says.
fn written(unit: Unit, value: Exact, detail: u32) -> (String, Exact) {
    match unit {
        Unit::Micros => duration(value, detail),
        Unit::Permille => decimal(value, 10, 1 + detail, " %"),
        Unit::Bytes => bytes(value, detail),
        Unit::BytesPerHour => {
            let (text, shown) = bytes(value, detail);
            (format!("{text}/h"), shown)
        }
        Unit::Count => decimal(value, 1, detail, ""),
    }
}

/// A number in a unit that is `scale` of ours, with so many digits after the point.
fn decimal(value: Exact, scale: u64, digits: u32, unit: &str) -> (String, Exact) {
    let ten = 10u64.pow(digits);
    let in_digits = |factor: Exact| value.times(factor);
    let Some(factor) = Exact::of(ten.into(), scale.into()) else { return (String::new(), value) };
    let counted = in_digits(factor).rounded();
    let (whole, rest) = (counted / ten, counted % ten);
    let point = if digits == 0 { String::new() } else { format!(".{rest:0>width$}", width = digits as usize) };
    let shown = Exact::of(u128::from(counted) * u128::from(scale), ten.into()).unwrap_or(value);
    (format!("{whole}{point}{unit}"), shown)
}

/// The same without zeros at the end.
fn trimmed((text, shown): (String, Exact)) -> (String, Exact) {
    let Some((number, unit)) = text.split_once(' ') else { return (text, shown) };
    if !number.contains('.') {
        return (text, shown);
    }
    (format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.')), shown)
}

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;

/// Microseconds: `850 ms`, `12 min 3 s`, `1 d 2 h`.
fn duration(value: Exact, detail: u32) -> (String, Exact) {
    if value.is_zero() {
        return ("0 s".to_owned(), value);
    }
    if value >= Exact::whole(MINUTE_US) {
        return parts(value, detail);
    }
    // A number that is rounded up to 1 of the next unit is written in that unit.
    let steps = [(1, 0, " µs"), (1_000, 1, " ms"), (SECOND_US, 1, " s")];
    let texts = steps.map(|(scale, digits, unit)| (scale, decimal(value, scale, digits + detail, unit)));
    let fits = |(scale, (_, shown)): &&(u64, (String, Exact))| *scale == SECOND_US || *shown < Exact::whole(scale * 1_000);
    let chosen = texts.iter().find(fits).unwrap_or(&texts[2]);
    trimmed(chosen.1.clone())
}

/// The two largest units, the rest cut off; with more detail all of them, and then digits of the second.
fn parts(value: Exact, detail: u32) -> (String, Exact) {
    let micros = value.floor();
    let (seconds, digits) = (micros / SECOND_US, detail.saturating_sub(1));
    let named = [(seconds / 86_400, 86_400, "d"), (seconds / 3_600 % 24, 3_600, "h"), (seconds / 60 % 60, 60, "min")];
    let first = named.iter().position(|(number, ..)| *number > 0).unwrap_or(2);
    let mut shown = 0;
    let mut told = Vec::new();
    for (number, length, unit) in named[first..].iter().take(if detail == 0 { 2 } else { 3 }) {
        shown += number * length * SECOND_US;
        if *number > 0 {
            told.push(format!("{number} {unit}"));
        }
    }
    let with_seconds = detail > 0 || first == 2;
    let mut exactly = Exact::whole(shown);
    if with_seconds {
        let rest =
            Exact::of(value.numerator() - (u128::from(shown) * value.denominator()).min(value.numerator()), value.denominator());
        let whole_seconds = Exact::whole(seconds % 60 * SECOND_US);
        let (text, told_rest) = match rest.filter(|_| digits > 0) {
            Some(rest) => trimmed(decimal(rest, SECOND_US, digits, " s")),
            None => (format!("{} s", seconds % 60), whole_seconds),
        };
        if !told_rest.is_zero() {
            told.push(text);
        }
        exactly = sum(exactly, told_rest);
    }
    (told.join(" "), exactly)
}

fn sum(one: Exact, other: Exact) -> Exact {
    let left = one.numerator().saturating_mul(other.denominator());
    let right = other.numerator().saturating_mul(one.denominator());
    let whole = one.denominator().saturating_mul(other.denominator());
    Exact::of(left.saturating_add(right), whole).unwrap_or(one)
}

/// Bytes, in powers of ten as the strategy's limits are.
fn bytes(value: Exact, detail: u32) -> (String, Exact) {
    const UNITS: [&str; 5] = [" B", " kB", " MB", " GB", " TB"];
    let mut scale = 1;
    for (index, unit) in UNITS.iter().enumerate() {
        let digits = if index == 0 { detail } else { 1 + detail };
        let (text, shown) = decimal(value, scale, digits, unit);
        if index + 1 == UNITS.len() || shown < Exact::whole(scale * 1_000) {
            return (text, shown);
        }
        scale *= 1_000;
    }
    decimal(value, 1, 0, " B")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNITS: [Unit; 5] = [Unit::Micros, Unit::Permille, Unit::Bytes, Unit::BytesPerHour, Unit::Count];

    /// The number that a text says, read the way a person would.
    fn read(text: &str) -> Option<Exact> {
        let text = text.trim_end_matches("/h");
        let words: Vec<&str> = text.split(' ').collect();
        let mut total = Exact::ZERO;
        for pair in words.chunks(2) {
            let scale = match pair.get(1).copied() {
                None | Some("B" | "µs") => 1,
                Some("%") => 10,
                Some("kB" | "ms") => 1_000,
                Some("MB" | "s") => 1_000_000,
                Some("GB") => 1_000_000_000,
                Some("TB") => 1_000_000_000_000,
                Some("min") => 60_000_000,
                Some("h") => 3_600_000_000,
                Some("d") => 86_400_000_000u64,
                Some(_) => return None,
            };
            let (whole, rest) = pair[0].split_once('.').unwrap_or((pair[0], ""));
            let number: u128 = format!("{whole}{rest}").parse().ok()?;
            let part = Exact::of(number * u128::from(scale), 10u128.pow(u32::try_from(rest.len()).ok()?))?;
            total = sum(total, part);
        }
        Some(total)
    }

    /// Values and limits that lie near each other: far apart there is nothing to confuse.
    fn near() -> impl Strategy<Value = (Exact, u64)> {
        let limits = prop_oneof![0..20u64, 0..3_000u64, 0..200_000_000u64, 0..200_000_000_000u64];
        (limits, 1..1_000_000u64, -2_000_000i64..2_000_000).prop_map(|(limit, denominator, off)| {
            let numerator = i128::from(limit) * i128::from(denominator) + i128::from(off);
            (Exact::of(u128::try_from(numerator).unwrap_or(0), denominator.into()).unwrap(), limit)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_printed_value_stands_on_its_own_side_of_the_limit(
            (exact, limit) in near(), unit in proptest::sample::select(&UNITS[..]), below: bool, strict: bool,
        ) {
            let bound = Bound { limit, below, strict };
            let text = value(unit, exact, &[bound]);
            match read(&text) {
                Some(said) => {
                    prop_assert_eq!(bound.is_beyond(said), bound.is_beyond(exact), "{} of {}", &text, exact);
                    let at = Exact::whole(limit);
                    prop_assert_eq!(said == at, exact == at, "what is near the limit does not look like it: {} of {}", text, exact);
                }
                None => {
                    let above = exact > Exact::whole(limit);
                    prop_assert!(text.starts_with("just ") && (text.contains("above") == above || text.contains(" 0")), "{} of {}", text, exact);
                }
            }
            prop_assert_eq!(bound.is_beyond(Exact::whole(rounded(exact, &[bound]))), bound.is_beyond(exact));
        }

        #[test]
        fn a_printed_limit_is_the_limit(limit_of in 0..400_000_000_000u64, unit in proptest::sample::select(&UNITS[..])) {
            let text = limit(unit, limit_of);
            prop_assert_eq!(read(&text), Some(Exact::whole(limit_of)), "{}", text);
        }

        #[test]
        fn any_number_can_be_printed(numerator: u128, denominator: u128, unit in proptest::sample::select(&UNITS[..]), limit: u64) {
            if let Some(exact) = Exact::of(numerator, denominator) {
                let _ = value(unit, exact, &[Bound { limit, below: false, strict: true }]);
            }
        }
    }

    #[test]
    fn what_is_beyond_a_limit_by_little_is_printed_with_more_digits() {
        let share = |numerator, denominator| {
            let bound = Bound { limit: 10, below: false, strict: true };
            value(Unit::Permille, Exact::of(numerator, denominator).unwrap(), &[bound])
        };
        assert_eq!(share(1_095, 100), "1.1 %");
        assert_eq!(share(104, 10), "1.04 %");
        assert_eq!(share(97, 10), "0.97 %", "it is below the limit and must not look like it");
        assert_eq!(share(10, 1), "1.0 %", "it reaches the limit, which is beyond it");
        assert_eq!(share(9_999_999_999_999, 1_000_000_000_000), "just below 1 %");
        assert_eq!(value(Unit::Permille, Exact::permille(1, 100_000).unwrap(), &[]), "0.001 %", "one of many is not none");
        assert_eq!(limit(Unit::Permille, 10), "1 %");
        assert_eq!(limit(Unit::Micros, 1_234_567), "1.234567 s");
        assert_eq!([limit(Unit::Bytes, 100_000_000), limit(Unit::Micros, 5_400_000_000)], ["100 MB", "1 h 30 min"]);
    }

    #[test]
    fn numbers_without_a_limit_near_them_have_few_digits() {
        let shown = |unit, number| value(unit, Exact::whole(number), &[]);
        let durations = [0, 12, 1_500, 999_960, 2_000_000, 61_000_000, 3_600_000_000, 90_061_000_000];
        let durations = durations.map(|micros| shown(Unit::Micros, micros));
        assert_eq!(durations, ["0 s", "12 µs", "1.5 ms", "1 s", "2 s", "1 min 1 s", "1 h", "1 d 1 h"]);
        assert_eq!(
            [999, 1_000, 999_999, 100_000_000].map(|size| shown(Unit::Bytes, size)),
            ["999 B", "1.0 kB", "1.0 MB", "100.0 MB"]
        );
        assert_eq!([shown(Unit::Permille, 1_000), shown(Unit::Count, 7)], ["100.0 %", "7"]);
    }
}
