//! Spans out of OTLP JSON: texts without escapes are borrowed. Ids are hexadecimal there, and 64-bit numbers are strings (OTLP's own
//! rule) or, from some writers, numbers.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ReadAttributes, ReadEvent, ReadSpan, Scalar, USUAL_ATTRIBUTES};

/// OTLP's `TracesData`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JsonTraces<'a> {
    #[serde(borrow)]
    resource_spans: Vec<Resource<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Resource<'a> {
    #[serde(borrow)]
    scope_spans: Vec<Scope<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scope<'a> {
    #[serde(borrow)]
    spans: Vec<SpanForm<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpanForm<'a> {
    trace_id: Id,
    #[serde(borrow)]
    name: Borrowing<'a>,
    start_time_unix_nano: Nanos,
    end_time_unix_nano: Nanos,
    #[serde(borrow)]
    attributes: ReadAttributes<'a>,
    #[serde(borrow)]
    events: Vec<EventForm<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EventForm<'a> {
    time_unix_nano: Nanos,
    #[serde(borrow)]
    name: Borrowing<'a>,
    #[serde(borrow)]
    attributes: ReadAttributes<'a>,
}

/// A text that is borrowed where it has no escapes.
#[derive(Debug, Default, Deserialize)]
struct Borrowing<'a>(#[serde(borrow)] Cow<'a, str>);

/// An id, in hexadecimal.
#[derive(Debug, Default)]
struct Id(Vec<u8>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Borrowing(digits) = Borrowing::deserialize(from)?;
        const_hex::decode(digits.as_bytes())
            .map(Self)
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&digits), &"an id in hexadecimal"))
    }
}

/// A 64-bit number, as OTLP writes it or as a number.
#[derive(Debug, Default)]
struct Number<N>(N);

/// An instant in nanoseconds since 1970. One that doesn't fit is the nearest that does: the reader of a Watch says what is wrong with it.
#[derive(Debug, Default)]
struct Nanos(u64);

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Instant;
        impl Visitor<'_> for Instant {
            type Value = Nanos;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nanoseconds since 1970, as a number or in a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Nanos, E> {
                let digits = text.strip_prefix('-').unwrap_or(text);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(E::invalid_value(Unexpected::Str(text), &self));
                }
                Ok(Nanos(if digits.len() < text.len() { 0 } else { text.parse().unwrap_or(u64::MAX) }))
            }

            fn visit_u64<E: Error>(self, nanos: u64) -> Result<Nanos, E> {
                Ok(Nanos(nanos))
            }

            fn visit_i64<E: Error>(self, nanos: i64) -> Result<Nanos, E> {
                Ok(Nanos(u64::try_from(nanos).unwrap_or(0)))
            }

            /// A number in JSON that is beyond 64 bits.
            fn visit_f64<E: Error>(self, nanos: f64) -> Result<Nanos, E> {
                Ok(Nanos(if nanos < 0.0 { 0 } else { u64::MAX }))
            }
        }
        from.deserialize_any(Instant)
    }
}

impl<'a> JsonTraces<'a> {
    /// Whether there is nothing in it at all.
    pub fn is_empty(&self) -> bool {
        self.resource_spans.is_empty()
    }

    /// Its spans.
    pub fn into_spans(self) -> impl Iterator<Item = ReadSpan<'a>> {
        self.resource_spans.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).map(ReadSpan::from)
    }
}

impl<'a> From<SpanForm<'a>> for ReadSpan<'a> {
    fn from(span: SpanForm<'a>) -> Self {
        Self {
            trace_id: Cow::Owned(span.trace_id.0),
            name: span.name.0,
            start_nanos: span.start_time_unix_nano.0,
            end_nanos: span.end_time_unix_nano.0,
            attributes: span.attributes,
            events: span.events.into_iter().map(ReadEvent::from).collect(),
        }
    }
}

impl<'a> From<EventForm<'a>> for ReadEvent<'a> {
    fn from(event: EventForm<'a>) -> Self {
        Self { nanos: event.time_unix_nano.0, name: event.name.0, attributes: event.attributes }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ReadAttributes<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Pair<'a> {
            #[serde(borrow)]
            key: Borrowing<'a>,
            #[serde(borrow, default)]
            value: Scalar<'a>,
        }

        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = ReadAttributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of attributes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
                let mut read = ReadAttributes::with_capacity(USUAL_ATTRIBUTES);
                while let Some(Pair { key, value }) = pairs.next_element()? {
                    let key = match key.0 {
                        Cow::Borrowed(key) => Cow::Borrowed(key.as_bytes()),
                        Cow::Owned(key) => Cow::Owned(key.into_bytes()),
                    };
                    read.push(key, value);
                }
                Ok(read)
            }
        }
        from.deserialize_seq(Pairs)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Absent)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut forms: A) -> Result<Self::Value, A::Error> {
                let mut value = Scalar::Absent;
                while let Some(Borrowing(form)) = forms.next_key()? {
                    let found = match &*form {
                        "stringValue" => forms.next_value::<Option<Borrowing<'de>>>()?.map(|text| Scalar::Text(text.0)),
                        "intValue" => forms.next_value::<Option<Number<i64>>>()?.map(|number| Scalar::Integer(number.0)),
                        "boolValue" => forms.next_value::<Option<bool>>()?.map(Scalar::Truth),
                        "doubleValue" | "arrayValue" | "kvlistValue" | "bytesValue" => {
                            forms.next_value::<Option<IgnoredAny>>()?.map(|_| Scalar::Other)
                        }
                        _ => forms.next_value::<IgnoredAny>().map(|_| None)?,
                    };
                    value = found.unwrap_or(value);
                }
                Ok(value)
            }
        }
        from.deserialize_any(AnyValue)
    }
}

impl<'de, N: TryFrom<u64> + TryFrom<i64> + std::str::FromStr> Deserialize<'de> for Number<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Digits<N>(std::marker::PhantomData<N>);
        impl<N: TryFrom<u64> + TryFrom<i64> + std::str::FromStr> Visitor<'_> for Digits<N> {
            type Value = Number<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit number, or one in a string")
            }

            fn visit_str<E: Error>(self, digits: &str) -> Result<Self::Value, E> {
                digits.parse().map(Number).map_err(|_| E::invalid_value(Unexpected::Str(digits), &self))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                N::try_from(number).map(Number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                N::try_from(number).map(Number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            }
        }
        from.deserialize_any(Digits(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_left_open_is_none_and_what_is_not_known_is_passed_over() {
        let list = r#"[{"key":"a","value":{"stringValue":null}},{"key":"b","value":{}},{"key":"c"},{"key":"d","value":null},
            {"key":"e","value":{"stringValue":"x","new":[1]}},{"key":"f","value":{"intValue":7}},{"key":"g","value":{"doubleValue":1.5}}]"#;
        let read: ReadAttributes<'_> = serde_json::from_str(list).unwrap();
        assert!(["a", "b", "c", "d"].iter().all(|name| !read.has(name)));
        assert_eq!(read.find("e"), Some(&Scalar::Text("x".into())));
        assert_eq!((read.find("f"), read.find("g")), (Some(&Scalar::Integer(7)), Some(&Scalar::Other)));
    }

    #[test]
    fn what_is_no_id_is_an_error() {
        let trace = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"AAECAw=="}]}]}]}"#;
        assert!(serde_json::from_str::<JsonTraces<'_>>(trace).is_err());
    }
}
