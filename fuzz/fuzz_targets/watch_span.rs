//! A watch span that a backend or a stranger changed: refused, or read as a Watch that can be written again.

#![no_main]

use std::io::Read as _;
use std::sync::LazyLock;

use hubwatch::hub::interpret::{Interpreter, RawLine};
use hubwatch::hub::merge::LineSource;
use hubwatch::watch::{
    Bytes, Count, Decoded, Environment, Fact, FactId, HubName, Interval, JsonTraces, Micros, Origin, RecordUid, SidecarPoll, Sources, Text, Timestamp,
    Visibility, Watch, WatcherId, decode, encode, spans_of_request,
};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

const START: Timestamp = Timestamp::from_secs(1_795_400_000);

fn lines() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/recordings/fork-legacy/stdout.log.gz");
    let mut log = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut log).unwrap();
    String::from_utf8_lossy(&log).into_owned()
}

/// The span of a Watch with a recording's facts.
static SPAN: LazyLock<Span> = LazyLock::new(|| {
    let mut interpreter = Interpreter::new([1; 32]);
    let watcher = WatcherId::from_seed(b"fuzz");
    for (index, text) in lines().lines().enumerate() {
        let uid = RecordUid::of_line(watcher, "log", 0, index as u64);
        let size = text.len() as u64 + 1;
        interpreter.line(RawLine {
            source: LineSource::Log,
            text,
            uid,
            size,
            stamped: None,
            read: START,
            earliest: START,
            historic: false,
        });
    }
    let harvest = interpreter.harvest(START.plus(Micros::new(15_000_000)));
    let facts = harvest.facts.into_iter().enumerate().map(|(index, fact)| Fact {
        id: FactId::of_watch(watcher, 1, Count::new(1), index as u32),
        when: fact.when,
        source: fact.source,
        kind: fact.kind,
    });
    encode(&Watch {
        origin: Origin {
            hub: HubName::parse("hub").unwrap(),
            environment: Environment::parse("staging").unwrap(),
            watcher,
            run: 1,
            sequence: Count::new(1),
            part: 0,
            tool_version: Text::from("0"),
            build: None,
            interval: Micros::new(15_000_000),
        },
        interval: Interval::new(START, START.plus(Micros::new(15_000_000))),
        sources: Sources {
            polls: Visibility::Read,
            log: Visibility::Read,
            log_shape: harvest.shape,
            log_read_to: Some(START),
            log_behind: Some(Bytes::new(1)),
            event_stream: Visibility::Off,
            checkpoints: harvest.checkpoints,
            process: Visibility::Off,
        },
        log: harvest.volume,
        stream: None,
        sidecar: SidecarPoll::default(),
        poll: None,
        facts: facts.collect(),
    })
});

/// Every twelve bytes change one attribute of the span or of one of its events.
fn change(span: &mut Span, edit: &[u8]) {
    let number = i64::from_le_bytes([edit[4], edit[5], edit[6], edit[7], edit[8], edit[9], edit[10], edit[11]]);
    let events = span.events.len();
    let attributes = match usize::from(edit[0]) {
        0 => &mut span.attributes,
        which => {
            let event = &mut span.events[which % events];
            if edit[3] == 0 {
                event.time_unix_nano = number as u64;
            }
            &mut event.attributes
        }
    };
    let index = usize::from(edit[1]) % attributes.len().max(1);
    let Some(attribute) = attributes.get_mut(index) else { return };
    let value = match edit[2] % 7 {
        0 => Some(Value::IntValue(number)),
        1 => Some(Value::StringValue(number.to_string())),
        2 => Some(Value::StringValue(String::from_utf8_lossy(&edit[4..]).into_owned())),
        3 => Some(Value::BoolValue(number & 1 == 0)),
        4 => Some(Value::DoubleValue(number as f64)),
        5 => None,
        _ => {
            attributes.remove(index);
            return;
        }
    };
    attribute.value = value.map(|value| AnyValue { value: Some(value) });
}

fuzz_target!(|data: &[u8]| {
    // Read without a copy, it says the same as read by the library.
    let mut borrowed = Decoded::default();
    if spans_of_request(data, |span| borrowed.take(&span)).is_ok()
        && let Ok(request) = ExportTraceServiceRequest::decode(data)
    {
        assert_eq!(borrowed, Decoded::of(&request.resource_spans));
    }
    let mut borrowed = Decoded::default();
    if let Ok(traces) = serde_json::from_slice::<JsonTraces<'_>>(data) {
        traces.into_spans().for_each(|span| borrowed.take(&span));
        if let Ok(request) = serde_json::from_slice::<ExportTraceServiceRequest>(data) {
            assert_eq!(borrowed, Decoded::of(&request.resource_spans));
        }
    }
    let mut span = SPAN.clone();
    data.chunks_exact(12).take(8).for_each(|edit| change(&mut span, edit));
    if let Ok(watch) = decode(&(&span).into()) {
        assert_eq!(decode(&(&encode(&watch)).into()).as_ref(), Ok(&watch));
    }
});
