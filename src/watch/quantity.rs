//! The units that a Watch is made of. Every quantity fits a signed 64-bit integer, because that is the widest number that every
//! trace backend keeps exactly; constructors saturate instead of wrapping.

use std::fmt;
use std::time::Duration;

/// The largest quantity that survives an OTLP `int_value`.
pub(super) const MAX_QUANTITY: u64 = i64::MAX as u64;

/// The last instant whose nanoseconds still fit a signed 64-bit integer: April 2262.
pub(super) const MAX_TIMESTAMP_MICROS: u64 = MAX_QUANTITY / 1_000;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, max = $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(from = "u64")]
        pub struct $name(u64);

        impl $name {
            /// Saturates at the largest value that OTLP can carry.
            pub const fn new(value: u64) -> Self {
                Self(if value > $max { $max } else { value })
            }

            /// The bare number, in the unit that the type stands for.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl From<u64> for $name {
            fn from(value: u64) -> Self {
                Self::new(value)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        #[cfg(test)]
        impl proptest::arbitrary::Arbitrary for $name {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                use proptest::prelude::*;
                prop_oneof![0..=$max, 0..=1_000_000u64, Just($max)].prop_map(Self::new).boxed()
            }
        }
    };
}

quantity!(
    /// How many of something.
    Count,
    max = MAX_QUANTITY
);
quantity!(
    /// A size in bytes.
    Bytes,
    max = MAX_QUANTITY
);
quantity!(
    /// A span of time in whole microseconds.
    Micros,
    max = MAX_QUANTITY
);
quantity!(
    /// An instant, in whole microseconds since the Unix epoch. Whole microseconds, because that is the finest grain that every
    /// trace backend gives back unchanged.
    Timestamp,
    max = MAX_TIMESTAMP_MICROS
);

impl Count {
    /// One more of it.
    #[must_use]
    pub const fn plus(self, more: u64) -> Self {
        Self::new(self.0.saturating_add(more))
    }
}

impl Bytes {
    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, more: u64) -> Self {
        Self::new(self.0.saturating_add(more))
    }
}

impl Micros {
    /// A duration cut to whole microseconds.
    pub fn from_duration(duration: Duration) -> Self {
        Self::new(u64::try_from(duration.as_micros()).unwrap_or(MAX_QUANTITY))
    }

    /// The same span of time as the standard library says it.
    pub const fn as_duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// In seconds, for people.
    pub fn as_secs_f64(self) -> f64 {
        self.as_duration().as_secs_f64()
    }
}

impl Timestamp {
    /// From whole seconds since the Unix epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self::new(secs.saturating_mul(1_000_000))
    }

    /// From whole milliseconds since the Unix epoch: the grain of the hub's own times.
    pub const fn from_millis(millis: u64) -> Self {
        Self::new(millis.saturating_mul(1_000))
    }

    /// The wall clock's reading. The only caller is the clock of a shell; pure code is handed its time.
    pub fn now() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::new(u64::try_from(since_epoch.as_micros()).unwrap_or(MAX_TIMESTAMP_MICROS))
    }

    /// Reads an RFC 3339 time such as the hub writes (`2026-11-23T03:40:38.102Z`). `None` for anything else and for times
    /// before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(millis) = own_form(text) {
            return Some(Self::from_millis(millis));
        }
        let instant: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(instant.as_microsecond()).ok().map(Self::new)
    }

    /// Nanoseconds since the Unix epoch, as OTLP wants them.
    pub const fn as_nanos(self) -> u64 {
        self.0 * 1_000
    }

    /// From OTLP's nanoseconds, cut to the microsecond.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self::new(nanos / 1_000)
    }

    /// This instant moved into the future, saturating.
    #[must_use]
    pub const fn plus(self, span: Micros) -> Self {
        Self::new(self.0.saturating_add(span.0))
    }

    /// This instant moved into the past, never before the epoch.
    #[must_use]
    pub const fn minus(self, span: Micros) -> Self {
        Self::new(self.0.saturating_sub(span.0))
    }

    /// This instant moved by so many microseconds; negative is into the past.
    #[must_use]
    pub const fn shifted(self, by: i64) -> Self {
        let distance = Micros::new(by.unsigned_abs());
        if by < 0 { self.minus(distance) } else { self.plus(distance) }
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Micros {
        Micros::new(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since 1970 of a time in exactly the form that JavaScript writes, `2026-11-23T03:40:38.102Z`, which stands in nearly
/// every line; anything else is left to the calendar's own reader.
fn own_form(text: &str) -> Option<u64> {
    let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if separators.iter().any(|(at, separator)| bytes[*at] != *separator) {
        return None;
    }
    let number = |at: std::ops::Range<usize>| {
        bytes[at].iter().try_fold(0u64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second, milli) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
    // Days that some months lack and leap seconds are rare enough for the calendar's reader.
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=28).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // The year is counted from March, so that the leap day is its last: 153 days in each five months from there.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days - DAYS_BEFORE_1970;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + milli)
}

/// Days from March 1 of the year 0 to January 1, 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

/// RFC 3339 in UTC with milliseconds, as the hub itself writes times.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(instant) => write!(f, "{instant:.3}"),
            // Beyond the calendar's range (only a saturated value can be): say it rather than fail.
            Err(_) => write!(f, "{} µs after 1970", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timestamp_reads_and_prints_the_hubs_own_form() {
        let text = "2026-11-23T03:40:38.102Z";
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
    }

    proptest! {
        #[test]
        fn the_quick_way_reads_what_the_calendar_reads(
            year in 1960..10_000u64, month in 0..14u64, day in 0..33u64, hour in 0..26u64, minute in 0..62u64, second in 0..62u64, milli in 0..1_000u64,
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
            if let Some(millis) = own_form(&text) {
                let calendar = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
                prop_assert_eq!(i64::try_from(millis).unwrap(), calendar);
            }
        }
    }

    #[test]
    fn a_time_before_1970_is_not_a_timestamp() {
        assert_eq!(Timestamp::parse("1969-12-31T23:59:59Z"), None);
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn quantities_saturate_instead_of_wrapping() {
        assert_eq!(Count::new(u64::MAX).get(), MAX_QUANTITY);
        assert_eq!(Timestamp::new(u64::MAX).plus(Micros::new(1)).get(), MAX_TIMESTAMP_MICROS);
        assert_eq!(Timestamp::new(5).since(Timestamp::new(9)), Micros::new(0));
    }
}
