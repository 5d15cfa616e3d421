//! What received telemetry shows of the hub.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde::{Deserialize, Serialize};

/// What received telemetry shows of the hub.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Observations {
    #[serde(default)]
    spans: u64,
}

impl Observations {
    /// Adds the spans of a request. Session ids must be hashed, and texts masked.
    pub fn observe_traces(&mut self, request: &ExportTraceServiceRequest) {
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        self.spans += scopes.map(|scope| scope.spans.len() as u64).sum::<u64>();
    }

    /// Adds the metrics of a request.
    pub fn observe_metrics(&mut self, _request: &ExportMetricsServiceRequest) {}

    /// Adds those of another.
    pub fn merge(&mut self, other: Self) {
        self.spans += other.spans;
    }

    /// Returns whether nothing was observed.
    pub fn is_empty(&self) -> bool {
        self.spans == 0
    }
}
