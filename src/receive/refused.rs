//! A request that is refused as a whole: why, and the answer.

use tonic::Code;
use tonic::codegen::http::StatusCode;

use super::limits::{MAX_REQUEST_BYTES, RETRY_AFTER};
use crate::watch::Refusal;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// Why, for the counts.
    pub reason: Refusal,
    /// Why, for the sender.
    pub message: String,
}

impl Refused {
    pub(super) fn new(reason: Refusal, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(Refusal::Malformed, message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(Refusal::TooLarge, format!("the request has more than {} MiB; send smaller batches", MAX_REQUEST_BYTES >> 20))
    }

    pub(super) fn busy(what: &str) -> Self {
        let seconds = RETRY_AFTER.as_secs();
        Self::new(Refusal::Busy, format!("{what}; nothing of this request was kept, repeat it in {seconds} s"))
    }

    /// Returns the status of an HTTP answer.
    pub(super) const fn http(&self) -> StatusCode {
        match self.reason {
            Refusal::InvalidId | Refusal::TooManyAttributes | Refusal::InvalidPoint | Refusal::Malformed => StatusCode::BAD_REQUEST,
            Refusal::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Unauthenticated => StatusCode::UNAUTHORIZED,
            Refusal::TooSlow | Refusal::Busy | Refusal::NotKept | Refusal::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the code of a gRPC answer, which HTTP answers have in their body.
    pub(super) const fn code(&self) -> Code {
        match self.reason {
            Refusal::InvalidId | Refusal::TooManyAttributes | Refusal::InvalidPoint | Refusal::Malformed => Code::InvalidArgument,
            Refusal::Unsupported => Code::Unimplemented,
            Refusal::TooLarge | Refusal::Busy | Refusal::TooManyConnections => Code::ResourceExhausted,
            Refusal::Unauthenticated => Code::Unauthenticated,
            Refusal::TooSlow | Refusal::NotKept => Code::Unavailable,
        }
    }
}
