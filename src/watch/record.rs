//! Records: groups of flat attributes whose OTLP form is written and read by one list, so that the two can't drift apart.
//!
//! [`record!`] makes a struct together with its `write` and `read`; [`terms!`] makes an enum whose values are fixed words.
//! Only scalars exist here (text, integers, booleans), because arrays and maps do not survive every trace backend.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

use super::quantity::{Bytes, Count, MAX_QUANTITY, Micros, Timestamp};
use super::read::{ReadAttributes, Scalar};
use super::text::Text;

/// What stood in the way of reading a record back from its attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A required attribute is not there.
    #[error("attribute `{0}` is missing")]
    Missing(&'static str),
    /// The attribute is there, but of another type or with a value that it can't have.
    #[error("attribute `{0}` has a value that it can't have")]
    Unreadable(&'static str),
}

/// The attributes of one span or event, as OTLP has them.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// Adds one attribute.
    pub fn put<V: Value>(&mut self, name: &'static str, value: &V) {
        value.put(name, self);
    }

    /// Adds a text under a name that is not one of the constants: a metric's label.
    pub fn put_named(&mut self, name: &str, text: &Text) {
        self.push(name, any_value::Value::StringValue(text.as_str().to_owned()));
    }

    /// The OTLP form.
    pub fn into_inner(self) -> Vec<KeyValue> {
        self.0
    }

    pub(super) fn push(&mut self, name: &str, value: any_value::Value) {
        self.0.push(KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() });
    }
}

impl ReadAttributes<'_> {
    /// Reads one attribute.
    pub fn take<V: Value>(&self, name: &'static str) -> Result<V, RecordError> {
        V::take(name, self)
    }
}

/// A type that stands in one attribute (or, as an `Option`, in none).
pub trait Value: Sized {
    /// Writes the value under this name.
    fn put(&self, name: &'static str, to: &mut Attributes);
    /// Reads the value of this name.
    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError>;
}

impl<V: Value> Value for Option<V> {
    fn put(&self, name: &'static str, to: &mut Attributes) {
        if let Some(value) = self {
            value.put(name, to);
        }
    }

    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
        if from.has(name) { V::take(name, from).map(Some) } else { Ok(None) }
    }
}

impl Value for bool {
    fn put(&self, name: &'static str, to: &mut Attributes) {
        to.push(name, any_value::Value::BoolValue(*self));
    }

    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
        match from.find(name).ok_or(RecordError::Missing(name))? {
            Scalar::Truth(value) => Ok(*value),
            _ => Err(RecordError::Unreadable(name)),
        }
    }
}

impl Value for i64 {
    fn put(&self, name: &'static str, to: &mut Attributes) {
        to.push(name, any_value::Value::IntValue(*self));
    }

    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
        match from.find(name).ok_or(RecordError::Missing(name))? {
            Scalar::Integer(value) => Ok(*value),
            _ => Err(RecordError::Unreadable(name)),
        }
    }
}

/// An enum whose values are fixed words; its `Display` writes the word.
pub trait Term: Copy + Ord + std::fmt::Display {
    /// Returns the value that a word stands for.
    fn of_word(word: &str) -> Option<Self>;
}

/// Writes a string; the base of every textual value.
pub(crate) fn put_str(text: &str, name: &'static str, to: &mut Attributes) {
    to.push(name, any_value::Value::StringValue(text.to_owned()));
}

/// Reads a string; the base of every textual value.
pub(crate) fn take_str<'a>(name: &'static str, from: &'a ReadAttributes<'_>) -> Result<&'a str, RecordError> {
    match from.find(name).ok_or(RecordError::Missing(name))? {
        Scalar::Text(value) => Ok(value),
        _ => Err(RecordError::Unreadable(name)),
    }
}

impl Value for Text {
    fn put(&self, name: &'static str, to: &mut Attributes) {
        put_str(self.as_str(), name, to);
    }

    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
        take_str(name, from).map(Self::from)
    }
}

impl Value for u32 {
    fn put(&self, name: &'static str, to: &mut Attributes) {
        i64::from(*self).put(name, to);
    }

    fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
        Self::try_from(i64::take(name, from)?).map_err(|_| RecordError::Unreadable(name))
    }
}

/// A quantity never exceeds `i64::MAX`, so the conversion to OTLP's integer is exact.
macro_rules! quantity_value {
    ($($name:ident),*) => {$(
        impl Value for $name {
            fn put(&self, name: &'static str, to: &mut Attributes) {
                i64::try_from(self.get()).unwrap_or(i64::MAX).put(name, to);
            }

            fn take(name: &'static str, from: &ReadAttributes<'_>) -> Result<Self, RecordError> {
                let value = u64::try_from(i64::take(name, from)?).map_err(|_| RecordError::Unreadable(name))?;
                let quantity = Self::new(value);
                if quantity.get() == value { Ok(quantity) } else { Err(RecordError::Unreadable(name)) }
            }
        }
    )*};
}
quantity_value!(Count, Bytes, Micros, Timestamp);

const _: () = assert!(MAX_QUANTITY == i64::MAX as u64);

/// Makes an enum of fixed words: the words are what backends and people see.
macro_rules! terms {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[cfg_attr(test, derive(proptest_derive::Arbitrary))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that backends and people see.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The value that a word stands for.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl $crate::watch::record::Term for $name {
            fn of_word(word: &str) -> Option<Self> {
                Self::parse(word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::watch::record::Value for $name {
            fn put(&self, name: &'static str, to: &mut $crate::watch::record::Attributes) {
                $crate::watch::record::put_str(self.as_str(), name, to);
            }

            fn take(
                name: &'static str,
                from: &$crate::watch::ReadAttributes<'_>,
            ) -> Result<Self, $crate::watch::record::RecordError> {
                let word = $crate::watch::record::take_str(name, from)?;
                Self::parse(word).ok_or($crate::watch::record::RecordError::Unreadable(name))
            }
        }
    };
}
pub(crate) use terms;

/// Makes a struct of attributes: each field says under which name it is written and read.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $record:ident { $($(#[$fdoc:meta])* pub $field:ident: $type:ty = $attribute:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(test, derive(proptest_derive::Arbitrary))]
        pub struct $record { $($(#[$fdoc])* pub $field: $type,)* }

        impl $record {
            /// Writes each field under its name.
            #[allow(unused_variables)]
            pub fn write(&self, to: &mut $crate::watch::record::Attributes) {
                $(to.put($attribute, &self.$field);)*
            }

            /// Reads each field by its name.
            #[allow(unused_variables)]
            pub fn read(from: &$crate::watch::ReadAttributes<'_>) -> Result<Self, $crate::watch::record::RecordError> {
                Ok(Self { $($field: from.take($attribute)?,)* })
            }
        }
    };
}
pub(crate) use record;
