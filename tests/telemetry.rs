//! The table of names in docs/telemetry.md is made from the code: the names, and what stands beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hubwatch::watch::{
    ApiOutcome, ApiPoll, Bytes, CallEnded, CallOutcome, Carrier, Count, DropReason, DroppedKind, Environment, Expected, Fact,
    FactId, FactKind, FilteringPoll, GeminiOutcome, Histogram, HubName, Interval, Liveness, LlmAttemptsCounted, LlmOutcome,
    LogFilePoll, LogVolume, Metrics, Micros, Origin, Pairing, Poll, ProcessPoll, ReceivedKind, RecordUid, Refusal, ServerPoll,
    SidecarPoll, Source, Sources, Text, Timestamp, ToolCallsCounted, ToolOutcome, TraceId, Visibility, Watch, WatcherId, When,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};

const NAMES: &str = include_str!("../src/watch/names.rs");

/// Where the attributes are described: at the fields that hold them.
const RECORDS: [&str; 2] = [include_str!("../src/watch/mod.rs"), include_str!("../src/watch/poll.rs")];

/// The facts, by topic.
const FACTS: [&str; 9] = [
    include_str!("../src/watch/fact/hub.rs"),
    include_str!("../src/watch/fact/server.rs"),
    include_str!("../src/watch/fact/session.rs"),
    include_str!("../src/watch/fact/call.rs"),
    include_str!("../src/watch/fact/tool.rs"),
    include_str!("../src/watch/fact/llm.rs"),
    include_str!("../src/watch/fact/log.rs"),
    include_str!("../src/watch/fact/watcher.rs"),
    include_str!("../src/watch/fact/scenario.rs"),
];

/// What stands at one field of a record.
struct Field {
    doc: String,
    of: &'static str,
    optional: bool,
}

/// The fields of all records by the constant that names them.
fn fields() -> BTreeMap<String, Vec<Field>> {
    let mut fields: BTreeMap<String, Vec<Field>> = BTreeMap::new();
    for source in RECORDS.into_iter().chain(FACTS) {
        let mut doc = String::new();
        for line in source.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                let _ = write!(doc, "{}{}", if doc.is_empty() { "" } else { " " }, text.trim());
                continue;
            }
            let field = line.strip_prefix("pub ").and_then(|rest| rest.split_once(" = names::"));
            if let Some((field, constant)) = field {
                let of = field.split_once(": ").map_or("", |(_, of)| of);
                let (optional, of) = of.strip_prefix("Option<").map_or((false, of), |of| (true, of.trim_end_matches('>')));
                let field = Field { doc: std::mem::take(&mut doc), of: kind_of(of), optional };
                fields.entry(constant.trim_end_matches(',').to_owned()).or_default().push(field);
            }
            doc.clear();
        }
    }
    fields
}

/// How a type stands in an attribute.
fn kind_of(of: &str) -> &'static str {
    match of {
        "bool" => "bool",
        "u32" | "i64" | "Count" => "int",
        "Bytes" => "int, bytes",
        "Micros" => "int, µs",
        "Timestamp" => "int, µs since 1970",
        _ => "string",
    }
}

/// A constant of the names module, the name that it stands for, and what it says of itself.
type Named = (String, String, String);

/// The constants of the names module by section.
fn sections() -> Vec<(String, Vec<Named>)> {
    let mut sections: Vec<(String, Vec<Named>)> = Vec::new();
    let mut doc = String::new();
    for line in NAMES.lines() {
        if let Some(title) = line.strip_prefix("// ") {
            sections.push((title.trim_end_matches('.').to_owned(), Vec::new()));
        } else if let Some(text) = line.strip_prefix("/// ") {
            let _ = write!(doc, "{}{text}", if doc.is_empty() { "" } else { " " });
        } else if let Some((constant, name)) = line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": &str = \"")) {
            if let Some((_, section)) = sections.last_mut() {
                section.push((constant.to_owned(), name.trim_end_matches("\";").to_owned(), std::mem::take(&mut doc)));
            }
            doc.clear();
        }
    }
    sections
}

fn attributes() -> String {
    let fields = fields();
    let mut table = String::new();
    for (title, constants) in sections() {
        if title == "Metrics" {
            continue;
        }
        let _ = write!(table, "\n### {title}\n\n| name | type | meaning |\n| --- | --- | --- |\n");
        for (constant, name, own) in constants {
            let used = fields.get(&constant).map(Vec::as_slice).unwrap_or_default();
            // A name that no record holds says its type itself, unless it is a string.
            let (said, own) = own.strip_prefix('(').and_then(|own| own.split_once(") ")).unwrap_or(("string", own.as_str()));
            let kind = used.first().map_or(said, |field| field.of);
            let optional = if !used.is_empty() && used.iter().all(|field| field.optional) { ", where known" } else { "" };
            let mut meanings: Vec<&str> = used.iter().map(|field| field.doc.as_str()).chain([own]).collect();
            meanings.retain(|meaning| !meaning.is_empty());
            meanings.dedup();
            let _ = writeln!(table, "| `{name}` | {kind}{optional} | {} |", meanings.join(" / ").replace('|', "\\|"));
        }
    }
    table
}

fn facts() -> String {
    let mut table = String::from("| event | what happened |\n| --- | --- |\n");
    for source in FACTS {
        let names = source.split_once("facts! {").unwrap().1;
        for line in names.lines().filter_map(|line| line.trim().strip_suffix("\",")) {
            let (kind, name) = line.split_once(" = \"").unwrap();
            let record = format!("pub struct {kind} {{");
            let before = source.split_once(&record).unwrap_or_else(|| panic!("no record {kind}")).0;
            let doc: Vec<&str> = before.lines().rev().skip(1).map_while(|line| line.trim().strip_prefix("/// ")).collect();
            let doc: Vec<&str> = doc.into_iter().rev().collect();
            let _ = writeln!(table, "| `{name}` | {} |", doc.join(" "));
            assert!(FactKind::names().any(|known| known == name), "{name}");
        }
    }
    assert_eq!(table.lines().count() - 2, FactKind::names().count());
    table
}

/// A Watch that has everything that becomes a metric.
fn watch() -> Watch {
    let watcher = WatcherId::from_seed(b"telemetry");
    let (start, end) = (Timestamp::from_secs(1_795_400_000), Timestamp::from_secs(1_795_400_015));
    let began = RecordUid::of_line(watcher, "log", 0, 0);
    let call = CallEnded {
        started: start,
        duration: Some(Micros::new(1)),
        outcome: CallOutcome::Error,
        pairing: Pairing::Exact,
        in_flight: 1,
        gemini: GeminiOutcome::Failed,
        gemini_duration: Some(Micros::new(1)),
        gemini_failed_rounds: 1,
        gemini_failure: None,
        notification: None,
        session: None,
        trace: TraceId::of_call(began),
        categories: None,
        categories_known: None,
        categories_added: None,
        confidence: None,
        response_complete: None,
    };
    let source = Source::Log;
    Watch {
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
        interval: Interval::new(start, end),
        sources: Sources {
            polls: Visibility::Read,
            log: Visibility::Read,
            log_shape: None,
            log_read_to: None,
            log_behind: Some(Bytes::new(1)),
            event_stream: Visibility::Off,
            checkpoints: None,
            process: Visibility::Read,
            instrumentation: None,
        },
        log: LogVolume { lines: Count::new(1), error: Count::new(1), ..LogVolume::default() },
        stream: None,
        sidecar: sidecar(),
        poll: Some(poll(start)),
        facts: vec![
            Fact { id: FactId::of_line(began, 0), when: When::At(end), source, kind: call.into() },
            Fact { id: FactId::of_line(began, 1), when: When::At(end), source, kind: tool_calls().into() },
            Fact { id: FactId::of_line(began, 2), when: When::At(end), source, kind: attempts().into() },
        ],
    }
}

fn one() -> Histogram {
    let mut one = Histogram::default();
    one.add(1);
    one
}

fn tool_calls() -> ToolCallsCounted {
    ToolCallsCounted {
        server: Some("files".into()),
        tool: "files__read".into(),
        outcome: ToolOutcome::Error,
        injected: false,
        count: Count::new(1),
        sum: Micros::new(1),
        max: Micros::new(1),
        durations: one(),
    }
}

fn attempts() -> LlmAttemptsCounted {
    LlmAttemptsCounted {
        provider: Some("gcp.gemini".into()),
        model: "gemini-2.5-flash".into(),
        outcome: LlmOutcome::RateLimited,
        injected: false,
        count: Count::new(1),
        retries: Count::new(0),
        sum: Micros::new(1),
        max: Micros::new(1),
        durations: one(),
        with_tokens: Count::new(1),
        input_tokens: Count::new(1),
        output_tokens: Count::new(1),
        reasoning_tokens: Count::new(0),
        input_sizes: Some(one()),
        output_sizes: Some(one()),
    }
}

fn sidecar() -> SidecarPoll {
    let (rss, lag) = (Some(Bytes::new(1)), Some(Micros::new(1)));
    let mut sidecar = SidecarPoll { rss, lag, ..SidecarPoll::default() };
    sidecar.dropped.add(DroppedKind::Logs, DropReason::Size, Count::new(1));
    for kind in ReceivedKind::ALL {
        sidecar.received.add(*kind, Carrier::Grpc, Count::new(1));
        sidecar.refused.add(*kind, Refusal::Malformed, Count::new(1));
    }
    sidecar
}

fn poll(started: Timestamp) -> Poll {
    let one = Some(1);
    Poll {
        api: ApiPoll {
            health: ApiOutcome::Timeout,
            health_duration: Micros::new(1),
            servers: None,
            servers_duration: None,
            state: None,
            version: None,
            pid: None,
            started: None,
            mcp_clients: one,
            subscribers: one,
            tools: one,
        },
        process: Some(ProcessPoll {
            pid: 1,
            started,
            cpu_time: Micros::new(1),
            rss: Bytes::new(1),
            memory_limit: None,
            fds: one,
            threads: one,
            children: 1,
            host_cpus: 1,
            host_memory: Bytes::new(1),
        }),
        log_file: Some(LogFilePoll { size: Bytes::new(1), disk_free: Some(Bytes::new(1)) }),
        filtering: None::<FilteringPoll>,
        servers: vec![ServerPoll {
            name: Text::from("files"),
            transport: Text::from("stdio"),
            status: Text::from("connected"),
            liveness: Liveness::Up,
            reason: Text::from(""),
            cause: None,
            uptime: Micros::new(1),
            tools: 1,
            error: None,
            child_pid: one,
            child_started: Some(started),
            child_rss: Some(Bytes::new(1)),
            child_cpu_time: Some(Micros::new(1)),
        }],
    }
}

fn sent() -> Vec<Metric> {
    let mut watch = watch();
    let mut metrics = Metrics::new(watch.interval.start());
    // Shares are told between two polls.
    metrics.count(&watch);
    let expected = Expected { may_be_down: &BTreeSet::new(), planned: false };
    metrics.requests(&watch, &expected);
    let end = watch.interval.end();
    watch.interval = Interval::new(end, end.plus(watch.interval.length()));
    metrics.count(&watch);
    let request = metrics.requests(&watch, &expected).cumulative;
    request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics).flat_map(|scope| scope.metrics).collect()
}

fn keys<'a>(points: impl Iterator<Item = &'a Vec<KeyValue>>) -> Vec<String> {
    let mut keys: Vec<String> = points.flatten().map(|pair| format!("`{}`", pair.key)).collect();
    keys.sort();
    keys.dedup();
    keys
}

fn metrics() -> String {
    let mut table = String::from("| metric | instrument | unit | attributes | what it is |\n| --- | --- | --- | --- | --- |\n");
    let sent = sent();
    for metric in &sent {
        let (instrument, keys) = match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => ("gauge", keys(gauge.data_points.iter().map(|point| &point.attributes))),
            Data::Sum(sum) if sum.is_monotonic => ("counter", keys(sum.data_points.iter().map(|point| &point.attributes))),
            Data::Sum(sum) => ("up-down counter", keys(sum.data_points.iter().map(|point| &point.attributes))),
            Data::Histogram(histogram) => ("histogram", keys(histogram.data_points.iter().map(|point| &point.attributes))),
            other => panic!("{other:?}"),
        };
        let Metric { name, unit, description, .. } = metric;
        assert!(!description.is_empty(), "{name} has no description");
        let _ = writeln!(table, "| `{name}` | {instrument} | {unit} | {} | {description} |", keys.join(", "));
    }
    let (_, named) = sections().into_iter().find(|(title, _)| title == "Metrics").unwrap();
    for (_, name, _) in named {
        assert!(sent.iter().any(|metric| metric.name == name), "{name} is named, but this Watch does not send it");
    }
    table
}

const HEAD: &str = "# What hubwatch sends

This page is made from the code by `tests/telemetry.rs`; `UPDATE_DOCS=1 cargo test --test telemetry` writes it anew.

Names are OpenTelemetry's where it has one, `mcphub.*` for what a hub and its watch add. The MCP and GenAI conventions are in
development: the names are those of the core conventions 1.41.1, the last that held them. Where hubwatch deviates: `process.cpu.time`
has no `cpu.mode`, as user and system time are not told apart; the duration metrics have the attribute of their outcome in addition.

`mcphub.operation.durations` and `mcphub.llm.tokens.*.sizes` are histograms in one text: `number:count` for each bucket that is not empty.
Numbers below 16 are the sizes themselves (µs, or tokens); bucket `n` from 16 on holds what is not above `(9 + n % 8) * 2^(n / 8 - 1) - 1`
and above the end of the bucket before, so that an end is at most an eighth above what its bucket holds. If there were more than 64
buckets, neighbours were joined under the higher number. In the metrics made of them counts and sums are exact, and each operation stands
where the end of its bucket falls.

Every span, event and record belongs to a resource with `service.name=mcp-hub`, `service.instance.id` (the hub's name),
`deployment.environment.name` and, where somebody named the build under test, `service.version`. The sidecar's own metrics
(`mcphub.sidecar.*`, `otelcol_receiver_*` and `process.*` that say so) belong to a resource with `service.name=hubwatch`, `service.instance.id` (the
watcher) and `mcphub.watch.hub`.
";

#[test]
fn the_table_of_names_is_what_the_code_sends() {
    let doc = format!(
        "{HEAD}\n## Metrics\n\nCumulative; they go on after a restart of the sidecar.\n\n{}\n## Events of the span `hub.watch`\n\n\
         Each is a fact: one thing that happened, once.\n\n{}\n## Attributes\n{}",
        metrics(),
        facts(),
        attributes()
    );
    let path = format!("{}/docs/telemetry.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(format!("{}/docs", env!("CARGO_MANIFEST_DIR"))).unwrap();
        std::fs::write(&path, &doc).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == doc, "docs/telemetry.md is not what the code sends: run with UPDATE_DOCS=1 and look at the difference");
}
