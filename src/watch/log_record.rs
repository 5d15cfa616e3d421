//! Lines as OTLP log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};

use super::fact::{Level, When};
use super::ids::{RecordUid, SpanId, TraceId};
use super::quantity::{Bytes, Timestamp};
use super::record::Attributes;
use super::{Origin, Text, encode, names};

/// A line that goes out.
#[derive(Debug, Clone, Copy)]
pub struct LineRecord<'a> {
    /// Its identity.
    pub uid: RecordUid,
    /// When it was written.
    pub when: When,
    /// When it was read.
    pub observed: Timestamp,
    /// Its level, where it has one.
    pub level: Option<Level>,
    /// Its text, secrets masked.
    pub text: &'a str,
    /// The name of its file.
    pub file: &'a str,
    /// The record that began the call it belongs to.
    pub call: Option<RecordUid>,
    /// Its length, if it was cut.
    pub cut_from: Option<Bytes>,
    /// Whether it held bytes that are not UTF-8, which are replaced.
    pub bad_utf8: bool,
}

/// The line as a log record. A line without a time of its own has none here, either: only the time of observation.
pub fn log_record(line: &LineRecord<'_>) -> LogRecord {
    let mut attributes = Attributes::default();
    attributes.put(names::LOG_RECORD_UID, &line.uid);
    attributes.put(names::LOG_FILE_NAME, &Text::from(line.file));
    attributes.put(names::LOG_TRUNCATED, &line.cut_from);
    attributes.put(names::LOG_BAD_UTF8, &line.bad_utf8.then_some(true));
    let (trace_id, span_id) = line.call.map_or_else(Default::default, |began| {
        (TraceId::of_call(began).as_bytes().to_vec(), SpanId::of_call(began, "").as_bytes().to_vec())
    });
    LogRecord {
        time_unix_nano: if let When::At(at) = line.when { at.as_nanos() } else { 0 },
        observed_time_unix_nano: line.observed.as_nanos(),
        severity_number: line.level.map_or(SeverityNumber::Unspecified, severity).into(),
        severity_text: line.level.map_or_else(String::new, |level| level.as_str().to_owned()),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(line.text.to_owned())) }),
        attributes: attributes.into_inner(),
        trace_id,
        span_id,
        ..LogRecord::default()
    }
}

/// The lowest number of the level's range, as the log data model wants it.
const fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::Debug => SeverityNumber::Debug,
        Level::Info => SeverityNumber::Info,
        Level::Warn => SeverityNumber::Warn,
        Level::Error => SeverityNumber::Error,
    }
}

/// Log records of one hub as the request that OTLP receivers take.
pub fn logs_request(origin: &Origin, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(encode::resource(origin)),
            scope_logs: vec![ScopeLogs { scope: Some(encode::scope()), log_records, schema_url: names::SCHEMA_URL.to_owned() }],
            schema_url: names::SCHEMA_URL.to_owned(),
        }],
    }
}
