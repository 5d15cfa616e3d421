//! Makes rows for the journal of a request: checks it, hides what is private, names the hub, and takes from it what the watch should
//! know.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use prost::bytes::Bytes;
use serde::de::DeserializeOwned;

use super::check::{self, Checked};
use super::measure::{self, Format};
use super::privacy::{Privacy, complete};
use super::refused::Refused;
use crate::hub::observations::Observations;
use crate::journal::{ReceivedRows, Signal};
use crate::watch::{self, Origin};

/// What requests are changed by.
#[derive(Debug)]
pub(super) struct Preparation {
    of_hub: Resource,
    privacy: Privacy,
}

/// A request that is ready for the journal.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What is accepted and refused of it.
    pub checked: Checked,
    /// What to keep; `None` if nothing is left.
    pub kept: Option<(ReceivedRows, Observations)>,
}

impl Preparation {
    /// Requests are completed with the resource of this origin's hub; session ids are hashed with this key.
    pub(super) fn new(origin: &Origin, key: [u8; 32], keeps_private: bool) -> Self {
        Self { of_hub: watch::resource(origin), privacy: Privacy::new(key, keeps_private) }
    }

    /// Prepares a decompressed request.
    pub(super) fn prepare(&self, signal: Signal, format: Format, body: Bytes) -> Result<Prepared, Refused> {
        measure::check(signal, format, &body)?;
        let hash = hash(signal, &body);
        let mut observations = Observations::default();
        let (checked, otlp) = match signal {
            Signal::Traces => {
                let mut request: ExportTraceServiceRequest = decode(format, body)?;
                let checked = check::traces(&mut request);
                self.privacy.traces(&mut request);
                request.resource_spans.iter_mut().for_each(|resource| complete(&mut resource.resource, &self.of_hub));
                observations.observe_traces(&request);
                (checked, request.encode_to_vec())
            }
            Signal::Metrics => {
                let mut request: ExportMetricsServiceRequest = decode(format, body)?;
                let checked = check::metrics(&mut request);
                self.privacy.metrics(&mut request);
                request.resource_metrics.iter_mut().for_each(|resource| complete(&mut resource.resource, &self.of_hub));
                observations.observe_metrics(&request);
                (checked, request.encode_to_vec())
            }
            Signal::Logs => {
                let mut request: ExportLogsServiceRequest = decode(format, body)?;
                let checked = check::logs(&mut request);
                self.privacy.logs(&mut request);
                request.resource_logs.iter_mut().for_each(|resource| complete(&mut resource.resource, &self.of_hub));
                (checked, request.encode_to_vec())
            }
        };
        if checked.accepted == 0 {
            return Ok(Prepared { checked, kept: None });
        }
        let observed = if observations.is_empty() {
            None
        } else {
            let failed = |error: serde_json::Error| Refused::malformed(format!("the request can't be kept: {error}"));
            Some(serde_json::to_vec(&observations).map_err(failed)?)
        };
        let records = u32::try_from(checked.accepted).unwrap_or(u32::MAX);
        let rows = ReceivedRows::new(signal, &otlp, records, hash, observed);
        Ok(Prepared { checked, kept: Some((rows, observations)) })
    }
}

fn decode<M: Message + Default + DeserializeOwned>(format: Format, body: Bytes) -> Result<M, Refused> {
    match format {
        Format::Protobuf => {
            M::decode(body).map_err(|error| Refused::malformed(format!("the body is not a valid request in protobuf: {error}")))
        }
        Format::Json => {
            // An error's text shows values, which may be private: its place is enough.
            let wrong = |error: serde_json::Error| {
                let (line, column) = (error.line(), error.column());
                Refused::malformed(format!("the body is not a valid request in JSON: see line {line}, column {column}"))
            };
            serde_json::from_slice(&body).map_err(wrong)
        }
    }
}

/// The same bytes are the same request.
fn hash(signal: Signal, body: &[u8]) -> [u8; 16] {
    let mut hash = [0; 16];
    blake3::Hasher::new().update(signal.as_str().as_bytes()).update(&[0]).update(body).finalize_xof().fill(&mut hash);
    hash
}
