//! What a receiver's answer means, by OTLP's own rules (OTLP specification, "Failures", "Retryable Response Codes", "Throttling").

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::StatusCode;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All of it was taken.
    Accepted,
    /// Some records were refused. They are never sent again.
    Partial {
        /// How many.
        rejected: u64,
        /// Why.
        message: String,
    },
    /// Try again, after at least so long if the receiver said so.
    Retry {
        /// The receiver's wish.
        after: Option<Duration>,
        /// What happened.
        why: String,
    },
    /// Too large: send it in smaller pieces.
    TooLarge(String),
    /// Out of something that the receiver does not say will come back: smaller pieces, later.
    Exhausted(String),
    /// Something in it is wrong, which need not be true of all of it.
    Bad(String),
    /// Credentials are missing or wrong: somebody can mend that, so nothing is thrown away meanwhile.
    Unauthorized(String),
    /// Refused for good, whatever is in it.
    Refused(String),
}

/// What a taken request's body says. The three signals' responses have the same form on the wire, so one type reads them all.
pub fn of_response(body: &[u8]) -> Answer {
    let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|response| response.partial_success);
    match partial {
        Some(partial) if partial.rejected_spans > 0 || !partial.error_message.is_empty() => {
            Answer::Partial { rejected: u64::try_from(partial.rejected_spans).unwrap_or(0), message: partial.error_message }
        }
        _ => Answer::Accepted,
    }
}

/// What a gRPC error means.
pub fn of_status(status: &Status) -> Answer {
    let why = format!("{:?}: {}", status.code(), status.message());
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted if after.is_none() && is_about_size(status.message()) => Answer::TooLarge(why),
        Code::Cancelled | Code::DeadlineExceeded | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss => {
            Answer::Retry { after, why }
        }
        Code::ResourceExhausted if after.is_some() => Answer::Retry { after, why },
        Code::ResourceExhausted => Answer::Exhausted(why),
        Code::InvalidArgument | Code::Internal => Answer::Bad(why),
        Code::Unauthenticated | Code::PermissionDenied => Answer::Unauthorized(why),
        // A broken connection is reported as UNKNOWN by our own side, with what broke as its source.
        Code::Unknown if std::error::Error::source(status).is_some() => Answer::Retry { after, why },
        _ => Answer::Refused(why),
    }
}

/// The words of grpc-go, grpc-java and tonic for a message that is too large; the codes differ.
fn is_about_size(message: &str) -> bool {
    ["larger than max", "exceeds maximum", "too large"].iter().any(|words| message.contains(words))
}

/// What an HTTP status that is not a success means.
pub fn of_http(status: StatusCode, retry_after: Option<&str>, body: &str, now: SystemTime) -> Answer {
    let why = format!("HTTP {}: {}", status.as_u16(), body.chars().take(200).collect::<String>());
    match status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Retry { after: retry_after.and_then(|text| delay(text, now)), why },
        413 => Answer::TooLarge(why),
        400 | 422 | 500 => Answer::Bad(why),
        401 | 403 => Answer::Unauthorized(why),
        _ => Answer::Refused(why),
    }
}

/// `Retry-After`: seconds or a date. An HTTP server may say it in either form.
pub fn delay(text: &str, now: SystemTime) -> Option<Duration> {
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

    fn retry(after: Option<u64>) -> impl Fn(&Answer) -> bool {
        move |answer| matches!(answer, Answer::Retry { after: said, .. } if *said == after.map(Duration::from_secs))
    }

    #[test]
    fn http_statuses_are_sorted_as_the_specification_says() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let answer = |status: u16, after| of_http(StatusCode::from_u16(status).unwrap(), after, "", now);
        assert!([429, 502, 503, 504].iter().all(|status| retry(None)(&answer(*status, None))));
        assert!(retry(Some(7))(&answer(503, Some("7"))));
        assert!(retry(Some(10))(&answer(429, Some("Sun, 06 Nov 1994 08:49:47 GMT"))));
        assert!([404, 405, 408, 501].iter().all(|status| matches!(answer(*status, None), Answer::Refused(_))));
        assert!([400, 500].iter().all(|status| matches!(answer(*status, None), Answer::Bad(_))));
        assert!(matches!(answer(413, None), Answer::TooLarge(_)));
        assert!(matches!(answer(401, None), Answer::Unauthorized(_)));
    }

    #[test]
    fn grpc_codes_are_sorted_as_the_specification_says() {
        for code in [Code::Cancelled, Code::DeadlineExceeded, Code::Aborted, Code::OutOfRange, Code::Unavailable, Code::DataLoss] {
            assert!(retry(None)(&of_status(&Status::new(code, ""))), "{code:?}");
        }
        for code in [Code::NotFound, Code::FailedPrecondition, Code::Unimplemented, Code::Unknown] {
            assert!(matches!(of_status(&Status::new(code, "")), Answer::Refused(_)), "{code:?}");
        }
        for code in [Code::InvalidArgument, Code::Internal] {
            assert!(matches!(of_status(&Status::new(code, "")), Answer::Bad(_)), "{code:?}");
        }
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        let busy = tonic::Status::with_error_details(Code::ResourceExhausted, "", details);
        assert!(retry(Some(7))(&of_status(&busy)));
        assert!(matches!(of_status(&Status::new(Code::ResourceExhausted, "")), Answer::Exhausted(_)));
        for (code, words) in [
            (Code::ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"),
            (Code::OutOfRange, "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes"),
        ] {
            assert!(matches!(of_status(&Status::new(code, words)), Answer::TooLarge(_)));
        }
    }

    #[test]
    fn a_partial_success_is_counted() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "no".to_owned() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!(of_response(&body), Answer::Partial { rejected: 3, message: "no".to_owned() });
        assert_eq!(of_response(&[]), Answer::Accepted);
    }
}
