//! Spans and metrics of others, of which facts are made: read or passed over, bounded, and kept as they were.

#![no_main]

use hubwatch::hub::interpret::Interpreter;
use hubwatch::hub::observations::Observations;
use hubwatch::watch::{Micros, Timestamp};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

const NOW: Timestamp = Timestamp::from_secs(1_795_400_000);

fuzz_target!(|data: &[u8]| {
    let (Some((how, data)), mut told) = (data.split_first(), Observations::default()) else { return };
    match how % 4 {
        0 => ExportTraceServiceRequest::decode(data).map(|request| told.observe_traces(&request)).unwrap_or_default(),
        1 => ExportMetricsServiceRequest::decode(data).map(|request| told.observe_metrics(&request)).unwrap_or_default(),
        2 => serde_json::from_slice(data).map(|request| told.observe_traces(&request)).unwrap_or_default(),
        _ => told = serde_json::from_slice(data).unwrap_or_default(),
    }
    let kept = serde_json::to_vec(&told).unwrap();
    assert_eq!(serde_json::from_slice::<Observations>(&kept).unwrap(), told);
    let mut twice = told.clone();
    twice.merge(told);
    let mut interpreter = Interpreter::new([1; 32]);
    interpreter.observed(twice, NOW);
    let facts = interpreter.harvest(NOW.plus(Micros::new(1_000_000))).facts;
    assert!(facts.len() < 2_000, "{}", facts.len());
});
