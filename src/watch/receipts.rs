//! What the OTLP receiver accepted and refused.

use super::counts::Counts;
use super::record::terms;

terms! {
    /// What others send by OTLP.
    pub enum ReceivedKind {
        /// Spans.
        Spans = "spans",
        /// Points of metrics.
        MetricPoints = "metric_points",
        /// Log records.
        LogRecords = "log_records",
        /// Whole requests, refused before their records were known.
        Requests = "requests",
    }
}

terms! {
    /// How it was sent.
    pub enum Carrier {
        /// OTLP over gRPC.
        Grpc = "grpc",
        /// OTLP over HTTP, as protobuf or JSON.
        Http = "http",
    }
}

terms! {
    /// Why the receiver refused something.
    pub enum Refusal {
        /// A span without a valid trace id or span id, or a log record with an invalid one.
        InvalidId = "invalid_id",
        /// A record with too many attributes.
        TooManyAttributes = "too_many_attributes",
        /// A metric point whose numbers contradict each other, such as a sum that is not a number.
        InvalidPoint = "invalid_point",
        /// A request that is no OTLP, or that is nested too deeply.
        Malformed = "malformed",
        /// A request whose content type or compression the receiver does not know.
        Unsupported = "unsupported",
        /// A request beyond the limit for its bytes or its records.
        TooLarge = "too_large",
        /// A request without the right token.
        Unauthenticated = "unauthenticated",
        /// A request that came too slowly.
        TooSlow = "too_slow",
        /// A request that came while too much was in work; the sender is asked to repeat it.
        Busy = "busy",
        /// A request that the journal could not keep; the sender is asked to repeat it.
        NotKept = "not_kept",
        /// A connection beyond the limit.
        TooManyConnections = "too_many_connections",
    }
}

impl Refusal {
    /// Returns whether the sender was asked to send the same again later.
    pub const fn is_passing(self) -> bool {
        match self {
            Self::Busy | Self::NotKept | Self::TooManyConnections | Self::TooSlow => true,
            Self::InvalidId
            | Self::TooManyAttributes
            | Self::InvalidPoint
            | Self::Malformed
            | Self::Unsupported
            | Self::TooLarge
            | Self::Unauthenticated => false,
        }
    }
}

/// Records that the receiver accepted.
pub type Received = Counts<ReceivedKind, Carrier>;

/// Records and whole requests that it refused.
pub type Refused = Counts<ReceivedKind, Refusal>;
