//! OTLP traces as JSON: a line of a file, or the content of Jaeger's responses.

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::{Deserialize, Serialize};

/// OTLP's `TracesData`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtlpTraces {
    /// The spans, by resource and scope.
    pub resource_spans: Vec<ResourceSpans>,
}

impl OtlpTraces {
    /// Merges consecutive spans of the same resource and scope: each row of the journal has its own.
    pub fn merged(all: impl IntoIterator<Item = ResourceSpans>) -> Self {
        let mut merged = Self::default();
        for resource in all {
            merged.add(resource);
        }
        merged
    }

    fn add(&mut self, resource: ResourceSpans) {
        match self.resource_spans.last_mut() {
            Some(last) if last.resource == resource.resource && last.schema_url == resource.schema_url => {
                for scope in resource.scope_spans {
                    match last.scope_spans.last_mut() {
                        Some(same) if same.scope == scope.scope && same.schema_url == scope.schema_url => {
                            same.spans.extend(scope.spans);
                        }
                        _ => last.scope_spans.push(scope),
                    }
                }
            }
            _ => self.resource_spans.push(resource),
        }
    }

    /// Returns whether it holds no span.
    pub fn is_empty(&self) -> bool {
        self.resource_spans.iter().flat_map(|resource| &resource.scope_spans).all(|scope| scope.spans.is_empty())
    }
}
