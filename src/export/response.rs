//! Interprets a receiver's response by OTLP's rules (OTLP specification, "Failures", "Retryable Response Codes", "Throttling").

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::StatusCode;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The outcome of an export request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportResult {
    /// All records were accepted.
    Accepted,
    /// Some records were rejected. They are never sent again.
    Partial {
        /// Number of rejected records.
        rejected: u64,
        /// Why.
        message: String,
    },
    /// Retry, not before the receiver's delay if it sent one.
    Retry {
        /// The receiver's delay.
        after: Option<Duration>,
        /// The error.
        why: String,
    },
    /// The request is too large: split it.
    TooLarge(String),
    /// A resource is exhausted, without a delay from the receiver: back off, and split the request.
    Exhausted(String),
    /// Some records may be invalid: split the request to find them.
    Bad(String),
    /// Credentials are missing or wrong. This can be repaired, so no data is discarded meanwhile.
    Unauthorized(String),
    /// Permanently rejected, whatever the content.
    Rejected(String),
}

/// Interprets the body of a success. The three signals' responses have the same wire format, so one type decodes them all.
pub fn of_response(body: &[u8]) -> ExportResult {
    let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|response| response.partial_success);
    match partial {
        Some(partial) if partial.rejected_spans > 0 || !partial.error_message.is_empty() => {
            ExportResult::Partial { rejected: u64::try_from(partial.rejected_spans).unwrap_or(0), message: partial.error_message }
        }
        _ => ExportResult::Accepted,
    }
}

/// Interprets a gRPC error.
pub fn of_status(status: &Status) -> ExportResult {
    let why = format!("{:?}: {}", status.code(), status.message());
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted if after.is_none() && is_about_size(status.message()) => {
            ExportResult::TooLarge(why)
        }
        Code::Cancelled | Code::DeadlineExceeded | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss => {
            ExportResult::Retry { after, why }
        }
        Code::ResourceExhausted if after.is_some() => ExportResult::Retry { after, why },
        Code::ResourceExhausted => ExportResult::Exhausted(why),
        Code::InvalidArgument | Code::Internal => ExportResult::Bad(why),
        Code::Unauthenticated | Code::PermissionDenied => ExportResult::Unauthorized(why),
        // tonic reports a broken connection as UNKNOWN, with the cause as its source.
        Code::Unknown if std::error::Error::source(status).is_some() => ExportResult::Retry { after, why },
        _ => ExportResult::Rejected(why),
    }
}

/// Detects a message that is too large by the texts of grpc-go, grpc-java and tonic, because their codes differ.
fn is_about_size(message: &str) -> bool {
    ["larger than max", "exceeds maximum", "too large"].iter().any(|words| message.contains(words))
}

/// Interprets an HTTP error status.
pub fn of_http(status: StatusCode, retry_after: Option<&str>, body: &str, now: SystemTime) -> ExportResult {
    let why = format!("HTTP {}: {}", status.as_u16(), body.chars().take(200).collect::<String>());
    match status.as_u16() {
        429 | 502 | 503 | 504 => ExportResult::Retry { after: retry_after.and_then(|text| retry_after_delay(text, now)), why },
        413 => ExportResult::TooLarge(why),
        400 | 422 | 500 => ExportResult::Bad(why),
        401 | 403 => ExportResult::Unauthorized(why),
        _ => ExportResult::Rejected(why),
    }
}

/// Parses `Retry-After`: seconds or a date, as HTTP allows both.
pub fn retry_after_delay(text: &str, now: SystemTime) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text.trim()).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use tonic_types::ErrorDetails;

    use super::*;

    fn retry(after: Option<u64>) -> impl Fn(&ExportResult) -> bool {
        move |answer| matches!(answer, ExportResult::Retry { after: said, .. } if *said == after.map(Duration::from_secs))
    }

    #[test]
    fn http_statuses_are_interpreted_by_the_specification() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let answer = |status: u16, after| of_http(StatusCode::from_u16(status).unwrap(), after, "", now);
        assert!([429, 502, 503, 504].iter().all(|status| retry(None)(&answer(*status, None))));
        assert!(retry(Some(7))(&answer(503, Some("7"))));
        assert!(retry(Some(10))(&answer(429, Some("Sun, 06 Nov 1994 08:49:47 GMT"))));
        assert!([404, 405, 408, 501].iter().all(|status| matches!(answer(*status, None), ExportResult::Rejected(_))));
        assert!([400, 500].iter().all(|status| matches!(answer(*status, None), ExportResult::Bad(_))));
        assert!(matches!(answer(413, None), ExportResult::TooLarge(_)));
        assert!(matches!(answer(401, None), ExportResult::Unauthorized(_)));
    }

    #[test]
    fn grpc_codes_are_interpreted_by_the_specification() {
        for code in [Code::Cancelled, Code::DeadlineExceeded, Code::Aborted, Code::OutOfRange, Code::Unavailable, Code::DataLoss] {
            assert!(retry(None)(&of_status(&Status::new(code, ""))), "{code:?}");
        }
        for code in [Code::NotFound, Code::FailedPrecondition, Code::Unimplemented, Code::Unknown] {
            assert!(matches!(of_status(&Status::new(code, "")), ExportResult::Rejected(_)), "{code:?}");
        }
        for code in [Code::InvalidArgument, Code::Internal] {
            assert!(matches!(of_status(&Status::new(code, "")), ExportResult::Bad(_)), "{code:?}");
        }
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        let busy = tonic::Status::with_error_details(Code::ResourceExhausted, "", details);
        assert!(retry(Some(7))(&of_status(&busy)));
        assert!(matches!(of_status(&Status::new(Code::ResourceExhausted, "")), ExportResult::Exhausted(_)));
        for (code, words) in [
            (Code::ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"),
            (Code::OutOfRange, "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes"),
        ] {
            assert!(matches!(of_status(&Status::new(code, words)), ExportResult::TooLarge(_)));
        }
    }

    #[test]
    fn a_partial_success_is_counted() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "no".to_owned() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!(of_response(&body), ExportResult::Partial { rejected: 3, message: "no".to_owned() });
        assert_eq!(of_response(&[]), ExportResult::Accepted);
    }
}
