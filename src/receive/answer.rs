//! Answers in the form of their requests.

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message as _;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::json;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::call::Form;
use super::check::Checked;
use super::limits::RETRY_AFTER;
use super::measure::Format;
use super::refused::Refused;
use crate::journal::Signal;

/// The beginning of the receiver's answer to a request that is none for it.
pub const SELF_DESCRIPTION: &str = "hubwatch receives OTLP";

/// The body of an answer.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// An answer.
pub(super) type Answer = Response<AnswerBody>;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const GRPC: &str = "application/grpc";

/// Acknowledges a request; records may have been refused.
pub(super) fn accepted(signal: Signal, form: Form, checked: &Checked) -> Answer {
    let (rejected, message) = (i64::try_from(checked.rejected()).unwrap_or(i64::MAX), checked.message());
    match form {
        Form::Http(Format::Json) => {
            let body = match rejected {
                0 => json!({}),
                _ => json!({"partialSuccess": {rejected_name(signal): rejected.to_string(), "errorMessage": message}}),
            };
            whole(StatusCode::OK, JSON, body.to_string())
        }
        Form::Http(Format::Protobuf) => whole(StatusCode::OK, PROTOBUF, protobuf(signal, rejected, message)),
        Form::Grpc => {
            let message = protobuf(signal, rejected, message);
            let mut framed = BytesMut::with_capacity(5 + message.len());
            framed.put_u8(0);
            framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
            framed.put_slice(&message);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let body = Full::new(framed.freeze()).with_trailers(async move { Some(Ok(trailers)) }).boxed_unsync();
            typed(StatusCode::OK, GRPC, body)
        }
    }
}

/// Refuses a request.
pub(super) fn refused(form: Form, refused: &Refused) -> Answer {
    let passing = refused.reason.is_passing();
    match form {
        Form::Grpc => {
            let status = if passing {
                let details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
                tonic::Status::with_error_details(refused.code(), &refused.message, details)
            } else {
                tonic::Status::new(refused.code(), &refused.message)
            };
            status.into_http::<AnswerBody>()
        }
        Form::Http(format) => {
            let (code, message) = (refused.code() as i32, refused.message.clone());
            let mut answer = match format {
                Format::Json => whole(refused.http(), JSON, json!({"code": code, "message": message}).to_string()),
                Format::Protobuf => {
                    let status = tonic_types::Status { code, message, details: Vec::new() };
                    whole(refused.http(), PROTOBUF, status.encode_to_vec())
                }
            };
            if passing {
                answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
            }
            if refused.http() == StatusCode::UNAUTHORIZED {
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            answer
        }
    }
}

/// Answers a request for something that the receiver does not have.
pub(super) fn other(status: StatusCode) -> Answer {
    let help = format!("{SELF_DESCRIPTION}: POST /v1/traces, /v1/metrics and /v1/logs, or the same by gRPC\n");
    whole(status, "text/plain; charset=utf-8", help)
}

fn rejected_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    }
}

fn protobuf(signal: Signal, rejected: i64, error_message: String) -> Vec<u8> {
    if rejected == 0 {
        return Vec::new();
    }
    match signal {
        Signal::Traces => {
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans: rejected, error_message });
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        }
        Signal::Metrics => {
            let partial_success = Some(ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message });
            ExportMetricsServiceResponse { partial_success }.encode_to_vec()
        }
        Signal::Logs => {
            let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records: rejected, error_message });
            ExportLogsServiceResponse { partial_success }.encode_to_vec()
        }
    }
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    typed(status, kind, Full::new(body.into()).boxed_unsync())
}

fn typed(status: StatusCode, kind: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
