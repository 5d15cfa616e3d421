//! Numbers that are not rounded: what is compared with a limit is a fraction of two integers, and only printing rounds.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A fraction of two integers in lowest terms, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exact {
    numerator: u128,
    /// Never zero.
    denominator: u128,
}

const fn greatest_common_divisor(mut one: u128, mut other: u128) -> u128 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

impl Exact {
    /// Nothing.
    pub const ZERO: Self = Self::whole(0);

    /// A whole number.
    pub const fn whole(number: u64) -> Self {
        Self { numerator: number as u128, denominator: 1 }
    }

    /// The fraction; `None` if there is nothing to divide by.
    pub const fn of(numerator: u128, denominator: u128) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let common = greatest_common_divisor(numerator, denominator);
        Some(Self { numerator: numerator / common, denominator: denominator / common })
    }

    /// A share in thousandths; `None` of nothing.
    pub fn permille(part: u64, whole: u64) -> Option<Self> {
        Self::of(u128::from(part) * 1_000, u128::from(whole))
    }

    /// The mean of a sum; `None` without a sample.
    pub fn mean(sum: u128, samples: u64) -> Option<Self> {
        Self::of(sum, u128::from(samples))
    }

    /// The numerator in lowest terms.
    pub const fn numerator(self) -> u128 {
        self.numerator
    }

    /// The denominator in lowest terms.
    pub const fn denominator(self) -> u128 {
        self.denominator
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.numerator == 0
    }

    /// The product. Products beyond 128 bits lose their last bits; none of a period that a calendar holds does.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let (one, two) = (Self::of(self.numerator, other.denominator), Self::of(other.numerator, self.denominator));
        let (Some(one), Some(two)) = (one, two) else { return self };
        let (mut numerators, mut denominators) = ((one.numerator, two.numerator), (one.denominator, two.denominator));
        loop {
            let product = numerators.0.checked_mul(numerators.1).zip(denominators.0.checked_mul(denominators.1));
            match product.and_then(|(numerator, denominator)| Self::of(numerator, denominator)) {
                Some(product) => return product,
                // Both are halved, the larger factor of each, so that the fraction stays.
                None => {
                    halve_larger(&mut numerators);
                    halve_larger(&mut denominators);
                }
            }
        }
    }

    /// The sum; beyond 128 bits as in [`times`](Self::times).
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let whole = narrow(self.numerator / self.denominator).saturating_add(narrow(other.numerator / other.denominator));
        let (one, two) = (self.numerator % self.denominator, other.numerator % other.denominator);
        let rest = one
            .checked_mul(other.denominator)
            .zip(two.checked_mul(self.denominator))
            .zip(self.denominator.checked_mul(other.denominator))
            .and_then(|((one, two), both)| Self::of(one.checked_add(two)?.checked_add(both.checked_mul(whole.into())?)?, both));
        rest.unwrap_or_else(|| Self::whole(whole))
    }

    /// The whole number that it is nearest to; half is rounded up.
    pub fn rounded(self) -> u64 {
        let half = self.denominator.div_ceil(2);
        let up = self.numerator % self.denominator >= half && self.denominator > 1;
        narrow(self.numerator / self.denominator + u128::from(up))
    }

    /// The whole number that is not above it.
    pub const fn floor(self) -> u64 {
        narrow(self.numerator / self.denominator)
    }

    /// The whole number that is not below it.
    pub const fn ceil(self) -> u64 {
        narrow(self.numerator.div_ceil(self.denominator))
    }

    /// As a chart draws it: for nothing that is judged.
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

const fn narrow(number: u128) -> u64 {
    if number > u64::MAX as u128 { u64::MAX } else { number as u64 }
}

fn halve_larger(pair: &mut (u128, u128)) {
    let larger = if pair.0 > pair.1 { &mut pair.0 } else { &mut pair.1 };
    *larger = (*larger / 2).max(1);
}

impl Ord for Exact {
    /// Whole parts first, then the rests turned over: no product that could leave 128 bits.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut one, mut two) = ((self.numerator, self.denominator), (other.numerator, other.denominator));
        loop {
            let order = (one.0 / one.1).cmp(&(two.0 / two.1));
            if order != Ordering::Equal {
                return order;
            }
            match (one.0 % one.1, two.0 % two.1) {
                (0, 0) => return Ordering::Equal,
                (0, _) => return Ordering::Less,
                (_, 0) => return Ordering::Greater,
                // The smaller rest has the larger reciprocal.
                (rest, other_rest) => (one, two) = ((two.1, other_rest), (one.1, rest)),
            }
        }
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `219/20`, or `7` for a whole number.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (numerator, denominator) = text.split_once('/').unwrap_or((&text, "1"));
        let read = || Self::of(numerator.parse().ok()?, denominator.parse().ok()?);
        read().ok_or_else(|| serde::de::Error::custom("not a fraction of two whole numbers"))
    }
}

impl JsonSchema for Exact {
    fn schema_name() -> Cow<'static, str> {
        "Exact".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(/[1-9][0-9]*)?$",
            "description": "A number that is not rounded, as a fraction in lowest terms: `219/20`, or `7`."
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(numerator: u64, denominator: u64) -> Exact {
        Exact::of(numerator.into(), denominator.into()).unwrap()
    }

    proptest! {
        #[test]
        fn fractions_are_ordered_as_their_cross_products_are(one: (u64, u64), other: (u64, u64)) {
            prop_assume!(one.1 > 0 && other.1 > 0);
            let products = (u128::from(one.0) * u128::from(other.1)).cmp(&(u128::from(other.0) * u128::from(one.1)));
            prop_assert_eq!(exact(one.0, one.1).cmp(&exact(other.0, other.1)), products);
        }

        #[test]
        fn rounding_is_to_the_nearest_and_half_goes_up(numerator: u64, denominator in 1..u64::MAX) {
            let value = exact(numerator, denominator);
            let twice = u128::from(numerator) * 2 + u128::from(denominator);
            prop_assert_eq!(u128::from(value.rounded()), twice / (u128::from(denominator) * 2));
            prop_assert!(value.floor() <= value.rounded() && value.rounded() <= value.ceil());
        }

        #[test]
        fn a_product_is_exact_where_it_fits(one in (0..1u64 << 60, 1..1u64 << 60), other in (0..1u64 << 60, 1..1u64 << 60)) {
            let product = exact(one.0, one.1).times(exact(other.0, other.1));
            let expected = Exact::of(u128::from(one.0) * u128::from(other.0), u128::from(one.1) * u128::from(other.1)).unwrap();
            prop_assert_eq!(product, expected);
        }

        #[test]
        fn a_fraction_is_written_and_read_unchanged(numerator: u64, denominator in 1..u64::MAX) {
            let value = exact(numerator, denominator);
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<Exact>(&json).unwrap(), value);
        }

        #[test]
        fn the_largest_numbers_neither_panic_nor_wrap(one: (u128, u128), other: (u128, u128)) {
            let (Some(one), Some(other)) = (Exact::of(one.0, one.1), Exact::of(other.0, other.1)) else { return Ok(()) };
            let _ = (one.times(other), one.cmp(&other), one.rounded(), one.ceil());
        }
    }

    #[test]
    fn there_is_no_fraction_of_nothing() {
        assert_eq!([Exact::permille(0, 0), Exact::mean(7, 0)], [None, None]);
        for wrong in ["\"1/0\"", "\"-1\"", "\"1.5\"", "7"] {
            assert!(serde_json::from_str::<Exact>(wrong).is_err(), "{wrong}");
        }
    }
}
