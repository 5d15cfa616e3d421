//! What a received span costs: from the socket to the acknowledgement, as a multiple of decoding and encoding the same request in the
//! same run. The journal lies on a disk, so the time of an acknowledgement has an fsync in it; sixteen senders share one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hubwatch::journal::{DestinationName, Journal, Recipient, Signal, Temporality};
use hubwatch::receive::{Context, Receiver, Settings};
use hubwatch::watch::{Count, Environment, HubName, Micros, Origin, Text, WatcherId, names};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

/// Spans of a batch: the default of SDKs.
const SPANS: u64 = 512;

/// Senders at the same time.
const SENDERS: u64 = 16;

fn pair(key: &str, text: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// A batch whose ids differ from those of every other number.
fn batch(number: u64) -> ExportTraceServiceRequest {
    let span = |index: u64| Span {
        trace_id: [number.to_be_bytes(), (index + 1).to_be_bytes()].concat(),
        span_id: (number * SPANS + index + 1).to_be_bytes().to_vec(),
        name: "tools/call github__search_issues".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_795_000_000_000_000_000 + index,
        end_time_unix_nano: 1_795_000_000_100_000_000 + index,
        attributes: vec![
            pair("mcp.method.name", "tools/call"),
            pair("mcp.session.id", "1f0e9d8c-7b6a-4543-8210-fedcba987654"),
            pair("gen_ai.tool.name", "github__search_issues"),
            pair("gen_ai.operation.name", "execute_tool"),
            pair("gen_ai.tool.call.arguments", r#"{"query":"is:open label:bug"}"#),
            pair("network.transport", "tcp"),
            pair("server.address", "127.0.0.1"),
            pair("jsonrpc.request.id", "17"),
        ],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: (0..SPANS).map(span).collect(), ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes: vec![pair("service.name", names::HUB_SERVICE)], ..Resource::default() });
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }] }
}

fn context(journal: Journal) -> Context {
    let origin = Origin {
        hub: HubName::parse("hub").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        watcher: WatcherId::from_seed(b"bench"),
        run: 1,
        sequence: Count::new(0),
        part: 0,
        tool_version: Text::from("0"),
        build: None,
        interval: Micros::new(1),
    };
    Context { origin, key: [7; 32], keep_private: false, journal, passed: 0 }
}

fn received(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spans");
    group.throughput(Throughput::Elements(SPANS));
    let whole = batch(0).encode_to_vec();
    group.bench_function("decoded and encoded", |bencher| {
        bencher.iter_batched(
            || whole.clone(),
            |bytes| black_box(ExportTraceServiceRequest::decode(&*bytes).unwrap().encode_to_vec()),
            BatchSize::LargeInput,
        );
    });
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (receiver, client) = runtime.block_on(async {
        let journal = Journal::open(folder.path()).unwrap().journal;
        let name = DestinationName::main();
        let all = Recipient { name, signals: Signal::ALL.to_vec(), temporality: Temporality::Cumulative };
        journal.register(vec![all]).await.unwrap();
        let (observed, mut observations) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move { while observations.recv().await.is_some() {} });
        let settings = Settings { addresses: vec!["127.0.0.1:0".parse().unwrap()], token: None, tls: None };
        let receiver = Receiver::start(&settings, context(journal), observed).unwrap();
        hubwatch::base::tls::choose_provider();
        (receiver, reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap())
    });
    let address = format!("http://{}/v1/traces", receiver.addresses()[0]);
    let mut number = 0;
    for senders in [1, SENDERS] {
        group.bench_function(format!("acknowledged, {senders} senders"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds.div_ceil(senders) {
                    let bodies: Vec<_> = (0..senders).map(|sender| batch(number + sender + 1).encode_to_vec()).collect();
                    number += senders;
                    let begun = Instant::now();
                    runtime.block_on(async {
                        let sends = bodies.into_iter().map(|body| {
                            let request = client.post(&address).header("content-type", "application/x-protobuf").body(body);
                            async move { assert_eq!(request.send().await.unwrap().status(), 200) }
                        });
                        futures_util::future::join_all(sends).await;
                    });
                    spent += begun.elapsed();
                }
                spent.mul_f64(rounds as f64 / (rounds.div_ceil(senders) * senders) as f64)
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(8));
    targets = received
}
criterion_main!(benches);
