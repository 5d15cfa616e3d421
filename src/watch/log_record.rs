//! Lines as OTLP log records, written straight into the bytes that go out: an object for each line costs more than all the rest.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use prost::Message as _;
use prost::bytes::{BufMut as _, Bytes as RawBytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use super::fact::{Level, When};
use super::ids::{GenerationId, RecordUid, SpanId, TraceId};
use super::quantity::{Bytes, Timestamp};
use super::record::Attributes;
use super::{Origin, Text, encode, names};

/// A line that goes out.
#[derive(Debug, Clone, Copy)]
pub struct LineRecord<'a> {
    /// Where in its generation it begins.
    pub offset: u64,
    /// When it was written.
    pub when: When,
    /// When it was read.
    pub observed: Timestamp,
    /// Its level, where it has one.
    pub level: Option<Level>,
    /// Its text, secrets masked.
    pub text: &'a str,
    /// The whole line, secrets masked, where it holds more than the text.
    pub original: Option<&'a str>,
    /// The record that began the call it belongs to.
    pub call: Option<RecordUid>,
    /// Its length, if it was cut.
    pub cut_from: Option<Bytes>,
    /// Whether it held bytes that are not UTF-8, which are replaced.
    pub bad_utf8: bool,
}

/// What the records of one generation of a file have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordForm {
    generation: GenerationId,
    /// The attributes' bytes, complete but for the offset in the uid.
    attributes: Vec<u8>,
    /// Where in them the offset's digits stand.
    offset_at: usize,
}

/// How many hexadecimal digits the offset takes.
const OFFSET_DIGITS: usize = 16;

impl RecordForm {
    /// Of a file's generation.
    pub fn new(generation: GenerationId, file: &str) -> Self {
        let uid = generation.line(0).to_string();
        let mut shared = Attributes::default();
        shared.put(names::LOG_RECORD_UID, &generation.line(0));
        shared.put(names::LOG_FILE_NAME, &Text::from(file));
        let attributes = LogRecord { attributes: shared.into_inner(), ..LogRecord::default() }.encode_to_vec();
        let uid_at = attributes.windows(uid.len()).position(|bytes| bytes == uid.as_bytes()).unwrap_or_default();
        Self { generation, attributes, offset_at: uid_at + uid.len() - OFFSET_DIGITS }
    }

    /// The identity of the record at this offset.
    pub fn uid(&self, offset: u64) -> RecordUid {
        self.generation.line(offset)
    }

    fn put(&self, offset: u64, to: &mut BytesMut) {
        let mut digits = [0; OFFSET_DIGITS];
        // Twice as many digits as bytes: it fits.
        let _ = const_hex::encode_to_slice(offset.to_be_bytes(), &mut digits);
        to.put_slice(&self.attributes[..self.offset_at]);
        to.put_slice(&digits);
        to.put_slice(&self.attributes[self.offset_at + OFFSET_DIGITS..]);
    }
}

/// Tags of `LogRecord` and of what contains it, with their wire types (`opentelemetry/proto/logs/v1/logs.proto`).
mod tag {
    pub(super) const TIME: u8 = 1 << 3 | FIXED64;
    pub(super) const SEVERITY_NUMBER: u8 = 2 << 3;
    pub(super) const SEVERITY_TEXT: u8 = 3 << 3 | BYTES;
    pub(super) const BODY: u8 = 5 << 3 | BYTES;
    pub(super) const ATTRIBUTE: u8 = 6 << 3 | BYTES;
    pub(super) const TRACE_ID: u8 = 9 << 3 | BYTES;
    pub(super) const SPAN_ID: u8 = 10 << 3 | BYTES;
    pub(super) const OBSERVED: u8 = 11 << 3 | FIXED64;
    pub(super) const STRING_VALUE: u8 = 1 << 3 | BYTES;
    pub(super) const KEY: u8 = 1 << 3 | BYTES;
    pub(super) const VALUE: u8 = 2 << 3 | BYTES;
    pub(super) const RESOURCE_LOGS: u8 = 1 << 3 | BYTES;
    pub(super) const SCOPE_LOGS: u8 = 2 << 3 | BYTES;
    pub(super) const LOG_RECORD: u8 = 2 << 3 | BYTES;
    const FIXED64: u8 = 1;
    const BYTES: u8 = 2;
}

/// How many bytes a field takes whose content has this length and whose tag takes one byte.
const fn field_len(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

fn put_length(tag: u8, length: usize, to: &mut BytesMut) {
    to.put_u8(tag);
    encode_varint(length as u64, to);
}

fn put_field(tag: u8, content: &[u8], to: &mut BytesMut) {
    put_length(tag, content.len(), to);
    to.put_slice(content);
}

fn put_fixed64(tag: u8, value: u64, to: &mut BytesMut) {
    to.put_u8(tag);
    to.put_u64_le(value);
}

/// A fixed64 field's length.
const FIXED64_LEN: usize = 9;

/// The ids of a call's root span, as fields of a record.
const CALL_LEN: usize = field_len(16) + field_len(8);

/// Records of one hub that go out together: an `ExportLogsServiceRequest` in the making.
#[derive(Debug)]
pub struct LogBatch {
    /// What a request says of the hub, before and after the length of what follows.
    resource: Vec<u8>,
    scope: Vec<u8>,
    /// Room for the frame that is known only at the end, then the records.
    bytes: BytesMut,
    records: u32,
}

/// A finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// An encoded `ExportLogsServiceRequest`.
    pub otlp: RawBytes,
    /// How many records.
    pub records: u32,
}

impl LogBatch {
    /// An empty batch of the hub's records.
    pub fn new(origin: &Origin) -> Self {
        let schema_url = names::SCHEMA_URL.to_owned();
        let resource =
            ResourceLogs { resource: Some(encode::resource(origin)), schema_url: schema_url.clone(), ..Default::default() };
        let scope = ScopeLogs { scope: Some(encode::scope()), schema_url, ..Default::default() };
        let (resource, scope) = (resource.encode_to_vec(), scope.encode_to_vec());
        let mut batch = Self { resource, scope, bytes: BytesMut::new(), records: 0 };
        batch.begin(BytesMut::new());
        batch
    }

    fn begin(&mut self, bytes: BytesMut) {
        self.bytes = bytes;
        self.bytes.clear();
        self.bytes.resize(self.room(), 0);
        self.records = 0;
    }

    /// The most that the frame can take: two lengths have ten bytes at most.
    fn room(&self) -> usize {
        2 * (1 + 10) + self.resource.len() + self.scope.len()
    }

    /// How many records it holds.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Adds a line. One without a time of its own has none here, either: only the time of observation.
    pub fn push(&mut self, form: &RecordForm, line: &LineRecord<'_>) {
        let rare = rare_attributes(line);
        let to = &mut self.bytes;
        let body = field_len(line.text.len());
        let original = line.original.map(|original| {
            let value = field_len(original.len());
            (original, value, field_len(names::LOG_RECORD_ORIGINAL.len()) + field_len(value))
        });
        let time = if let When::At(at) = line.when { at.as_nanos() } else { 0 };
        let level = line.level.map(|level| (severity(level), level.as_str().as_bytes()));
        let length = FIXED64_LEN
            + if time == 0 { 0 } else { FIXED64_LEN }
            + level.map_or(0, |(_, word)| 2 + field_len(word.len()))
            + field_len(body)
            + form.attributes.len()
            + original.map_or(0, |(.., pair)| field_len(pair))
            + rare.len()
            + if line.call.is_some() { CALL_LEN } else { 0 };
        to.reserve(field_len(length));
        put_length(tag::LOG_RECORD, length, to);
        if time != 0 {
            put_fixed64(tag::TIME, time, to);
        }
        put_fixed64(tag::OBSERVED, line.observed.as_nanos(), to);
        if let Some((number, word)) = level {
            to.put_slice(&[tag::SEVERITY_NUMBER, number]);
            put_field(tag::SEVERITY_TEXT, word, to);
        }
        put_length(tag::BODY, body, to);
        put_field(tag::STRING_VALUE, line.text.as_bytes(), to);
        form.put(line.offset, to);
        if let Some((original, value, pair)) = original {
            put_length(tag::ATTRIBUTE, pair, to);
            put_field(tag::KEY, names::LOG_RECORD_ORIGINAL.as_bytes(), to);
            put_length(tag::VALUE, value, to);
            put_field(tag::STRING_VALUE, original.as_bytes(), to);
        }
        to.put_slice(&rare);
        if let Some(began) = line.call {
            put_field(tag::TRACE_ID, TraceId::of_call(began).as_bytes(), to);
            put_field(tag::SPAN_ID, SpanId::of_call(began, "").as_bytes(), to);
        }
        self.records += 1;
    }

    /// The request, and an empty batch that goes on in `spare`'s memory; nothing if there are no records.
    pub fn take(&mut self, spare: Option<RawBytes>) -> Option<LogRequest> {
        if self.is_empty() {
            return None;
        }
        let room = self.room();
        let records = self.records;
        let spare = spare.and_then(|bytes| bytes.try_into_mut().ok()).unwrap_or_default();
        let mut whole = std::mem::take(&mut self.bytes);
        self.begin(spare);
        let scope_len = self.scope.len() + whole.len() - room;
        let resource_len = self.resource.len() + field_len(scope_len);
        let mut frame = BytesMut::with_capacity(room);
        put_length(tag::RESOURCE_LOGS, resource_len, &mut frame);
        frame.put_slice(&self.resource);
        put_length(tag::SCOPE_LOGS, scope_len, &mut frame);
        frame.put_slice(&self.scope);
        let start = room - frame.len();
        whole[start..room].copy_from_slice(&frame);
        Some(LogRequest { otlp: whole.freeze().slice(start..), records })
    }
}

/// Attributes that hardly any line has.
fn rare_attributes(line: &LineRecord<'_>) -> Vec<u8> {
    if line.cut_from.is_none() && !line.bad_utf8 {
        return Vec::new();
    }
    let attributes = rare_pairs(line);
    LogRecord { attributes, ..LogRecord::default() }.encode_to_vec()
}

fn rare_pairs(line: &LineRecord<'_>) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    attributes.put(names::LOG_TRUNCATED, &line.cut_from);
    attributes.put(names::LOG_BAD_UTF8, &line.bad_utf8.then_some(true));
    attributes.into_inner()
}

/// The lowest number of the level's range, as the log data model wants it.
const fn severity(level: Level) -> u8 {
    let number = match level {
        Level::Debug => SeverityNumber::Debug,
        Level::Info => SeverityNumber::Info,
        Level::Warn => SeverityNumber::Warn,
        Level::Error => SeverityNumber::Error,
    };
    number as u8
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    use super::*;

    /// The same record, made of objects.
    fn plain(generation: GenerationId, line: &LineRecord<'_>) -> LogRecord {
        let mut attributes = Attributes::default();
        attributes.put(names::LOG_RECORD_UID, &generation.line(line.offset));
        attributes.put(names::LOG_FILE_NAME, &Text::from("hub.log"));
        if let Some(original) = line.original {
            super::super::record::put_str(original, names::LOG_RECORD_ORIGINAL, &mut attributes);
        }
        let mut attributes = attributes.into_inner();
        attributes.extend(rare_pairs(line));
        let (trace_id, span_id) = line.call.map_or_else(Default::default, |began| {
            (TraceId::of_call(began).as_bytes().to_vec(), SpanId::of_call(began, "").as_bytes().to_vec())
        });
        LogRecord {
            time_unix_nano: if let When::At(at) = line.when { at.as_nanos() } else { 0 },
            observed_time_unix_nano: line.observed.as_nanos(),
            severity_number: line.level.map_or(0, severity).into(),
            severity_text: line.level.map_or_else(String::new, |level| level.as_str().to_owned()),
            body: Some(AnyValue { value: Some(any_value::Value::StringValue(line.text.to_owned())) }),
            attributes,
            trace_id,
            span_id,
            ..LogRecord::default()
        }
    }

    prop_compose! {
        fn line()(
            offset in any::<u64>(), when in any::<When>(), observed in any::<Timestamp>(), level in any::<Option<Level>>(),
            text in ".{0,300}", original in proptest::option::of(".{0,300}"), call in any::<Option<RecordUid>>(),
            cut_from in any::<Option<Bytes>>(), bad_utf8 in any::<bool>(),
        ) -> (String, Option<String>, LineRecord<'static>) {
            (text, original, LineRecord { offset, when, observed, level, text: "", original: None, call, cut_from, bad_utf8 })
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_written_is_what_protobuf_reads(
            origin in any::<Origin>(), generation in any::<GenerationId>(),
            batches in proptest::collection::vec(proptest::collection::vec(line(), 1..6), 1..4),
        ) {
            let form = RecordForm::new(generation, "hub.log");
            let mut batch = LogBatch::new(&origin);
            let mut spare = None;
            for lines in &batches {
                let mut expected = Vec::new();
                for (text, original, line) in lines {
                    let line = LineRecord { text, original: original.as_deref(), ..*line };
                    batch.push(&form, &line);
                    expected.push(plain(generation, &line));
                }
                let request = batch.take(spare.take()).unwrap();
                let decoded = ExportLogsServiceRequest::decode(request.otlp.clone()).unwrap();
                prop_assert_eq!(request.records as usize, lines.len());
                prop_assert_eq!(decoded.resource_logs.len(), 1);
                let resource = &decoded.resource_logs[0];
                prop_assert_eq!(resource.resource.as_ref(), Some(&encode::resource(&origin)));
                prop_assert_eq!(&resource.schema_url, names::SCHEMA_URL);
                prop_assert_eq!(resource.scope_logs.len(), 1);
                prop_assert_eq!(resource.scope_logs[0].scope.as_ref(), Some(&encode::scope()));
                prop_assert_eq!(&resource.scope_logs[0].log_records, &expected);
                spare = Some(request.otlp);
            }
            prop_assert!(batch.take(None).is_none());
        }
    }

    #[test]
    fn a_batch_goes_on_in_the_memory_of_one_that_was_sent() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let origin = any::<Origin>().new_tree(&mut runner).unwrap().current();
        let form = RecordForm::new(GenerationId::of(origin.watcher, "hub.log", 0), "hub.log");
        let at = Timestamp::from_secs(1);
        let text = "x".repeat(10_000);
        let record = LineRecord {
            offset: 0,
            when: When::At(at),
            observed: at,
            level: None,
            text: &text,
            original: None,
            call: None,
            cut_from: None,
            bad_utf8: false,
        };
        let mut batch = LogBatch::new(&origin);
        batch.push(&form, &record);
        let sent = batch.take(None).unwrap().otlp;
        let memory = sent.as_ptr() as usize..sent.as_ptr() as usize + sent.len();
        batch.push(&form, &record);
        assert!(memory.contains(&(batch.bytes.as_ptr() as usize)) || batch.take(Some(sent)).is_some());
        batch.push(&form, &LineRecord { text: "short", ..record });
        assert!(memory.contains(&(batch.bytes.as_ptr() as usize)));
    }
}
