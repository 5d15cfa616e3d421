//! Spans out of OTLP protobuf, without a copy. The numbers are those of `opentelemetry/proto` (trace/v1, common/v1); what isn't read
//! here is passed over, as protobuf means it.

use std::borrow::Cow;

use prost::encoding::{WireType, decode_varint};

use super::{ReadAttributes, ReadEvent, ReadSpan, Scalar, USUAL_ATTRIBUTES};

/// Bytes that are no OTLP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not protobuf, or cut.
    #[error("{0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A field goes on after the end of what holds it.
    #[error("a field is cut")]
    Cut,
    /// A text of ours is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A kind of field that OTLP doesn't use.
    #[error("a field is of a kind that OTLP doesn't use")]
    Kind,
}

/// A field's value.
enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a message, with their numbers.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Most numbers are small: one byte.
    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        match self.0 {
            [byte @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => Ok(decode_varint(&mut self.0)?),
        }
    }

    #[inline]
    fn field(&mut self) -> Result<(u32, Field<'a>), WireError> {
        let key = u32::try_from(self.varint()?).map_err(|_| WireError::Kind)?;
        let (number, kind) = (key >> 3, WireType::try_from(u64::from(key & 0b111))?);
        let field = match kind {
            WireType::Varint => Field::Varint(self.varint()?),
            // A slice of eight bytes is an array of them.
            WireType::SixtyFourBit => Field::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| WireError::Cut)?)),
            WireType::LengthDelimited => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::Cut)?;
                Field::Bytes(self.take(length)?)
            }
            WireType::ThirtyTwoBit => self.take(4).map(|_| Field::Fixed32)?,
            WireType::StartGroup | WireType::EndGroup => return Err(WireError::Kind),
        };
        Ok((number, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.field())
    }
}

/// Every message of field `number`.
fn messages(bytes: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], WireError>> {
    Fields(bytes).filter_map(move |field| match field {
        Ok((found, Field::Bytes(bytes))) if found == number => Some(Ok(bytes)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// Gives every span of an `ExportTraceServiceRequest` (or `TracesData`, which has the same form).
pub fn spans_of_request<'a>(request: &'a [u8], mut give: impl FnMut(ReadSpan<'a>)) -> Result<(), WireError> {
    const RESOURCE_SPANS: u32 = 1;
    const SCOPE_SPANS: u32 = 2;
    const SPANS: u32 = 2;
    for resource in messages(request, RESOURCE_SPANS) {
        for scope in messages(resource?, SCOPE_SPANS) {
            for bytes in messages(scope?, SPANS) {
                give(span(bytes?)?);
            }
        }
    }
    Ok(())
}

fn span(bytes: &[u8]) -> Result<ReadSpan<'_>, WireError> {
    let mut span = ReadSpan { attributes: ReadAttributes::with_capacity(2 * USUAL_ATTRIBUTES), ..ReadSpan::default() };
    for field in Fields(bytes) {
        match field? {
            (1, Field::Bytes(id)) => span.trace_id = Cow::Borrowed(id),
            (5, Field::Bytes(name)) => span.name = text(name)?,
            (7, Field::Fixed64(nanos)) => span.start_nanos = nanos,
            (8, Field::Fixed64(nanos)) => span.end_nanos = nanos,
            (9, Field::Bytes(pair)) => attribute(pair, &mut span.attributes)?,
            (11, Field::Bytes(bytes)) => span.events.push(event(bytes)?),
            _ => {}
        }
    }
    Ok(span)
}

fn event(bytes: &[u8]) -> Result<ReadEvent<'_>, WireError> {
    let mut event = ReadEvent { attributes: ReadAttributes::with_capacity(USUAL_ATTRIBUTES), ..ReadEvent::default() };
    for field in Fields(bytes) {
        match field? {
            (1, Field::Fixed64(nanos)) => event.nanos = nanos,
            (2, Field::Bytes(name)) => event.name = text(name)?,
            (3, Field::Bytes(pair)) => attribute(pair, &mut event.attributes)?,
            _ => {}
        }
    }
    Ok(event)
}

fn attribute<'a>(bytes: &'a [u8], to: &mut ReadAttributes<'a>) -> Result<(), WireError> {
    let (mut name, mut value) = (&[][..], Scalar::Absent);
    for field in Fields(bytes) {
        match field? {
            (1, Field::Bytes(bytes)) => name = bytes,
            (2, Field::Bytes(bytes)) => value = scalar(bytes)?,
            _ => {}
        }
    }
    to.push(Cow::Borrowed(name), value);
    Ok(())
}

fn scalar(bytes: &[u8]) -> Result<Scalar<'_>, WireError> {
    let mut value = Scalar::Absent;
    for field in Fields(bytes) {
        value = match field? {
            (1, Field::Bytes(bytes)) => Scalar::Text(text(bytes)?),
            (2, Field::Varint(truth)) => Scalar::Truth(truth != 0),
            // Protobuf's int64: the same bits.
            (3, Field::Varint(number)) => Scalar::Integer(number.cast_signed()),
            (4..=7, _) => Scalar::Other,
            _ => continue,
        };
    }
    Ok(value)
}

fn text(bytes: &[u8]) -> Result<Cow<'_, str>, WireError> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| WireError::Text)
}
