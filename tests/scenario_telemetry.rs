//! The telemetry of `hubwatch scenario`, on simulated hubs: a receiver made by hand gets it, and the hub gets its trace context. One that
//! does not answer costs a few seconds and a sentence.

mod otlp;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hubwatch::simulator::Profile;
use hubwatch::watch::names;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use otlp::{Receiver, texts};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use watched::{Hub, told, until};

const DURATION: &str = "mcp.client.operation.duration";

/// How long telemetry may take at the end of the command, its own work included.
const END: Duration = Duration::from_secs(10);

/// A simulated hub, and what clients post to it.
struct Heard {
    hub: Hub,
    url: String,
    posted: Arc<Mutex<Vec<Value>>>,
}

impl Heard {
    async fn start(profile: Profile) -> Self {
        let hub = Hub::of(profile).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (behind, posted) = (hub.url.trim_start_matches("http://").to_owned(), Arc::default());
        let keep = Arc::clone(&posted);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, behind.clone(), Arc::clone(&keep)));
            }
        });
        let heard = Self { hub, url, posted };
        until("the hub is ready", async || {
            let body = reqwest::get(format!("{}/api/health", heard.url)).await.ok()?.bytes().await.ok()?;
            (serde_json::from_slice::<Value>(&body).ok()?["state"] == "ready").then_some(())
        })
        .await;
        heard
    }

    /// `hubwatch scenario run NAME…` on this hub.
    fn run(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubwatch"));
        command.args(["scenario", "run", "--hub", &self.url, "--name", "simulated", "--format", "json", "--state-dir"]);
        command.arg(self.hub.state_dir()).args(more).env_clear().current_dir(self.hub.folder.path());
        command
    }

    /// The context of each request that was posted, by its method and, for a call, its tool.
    fn contexts(&self) -> BTreeMap<String, String> {
        let posted = self.posted.lock().unwrap();
        let requests = posted.iter().filter(|message| message.get("id").is_some());
        let context = |message: &Value| {
            let method = message["method"].as_str().unwrap();
            let name = message["params"]["name"].as_str().map_or(method.to_owned(), |tool| format!("{method} {tool}"));
            let context = message["params"]["_meta"]["traceparent"].as_str();
            (context.unwrap_or_else(|| panic!("no context: {message}")).to_owned(), name)
        };
        requests.map(context).collect()
    }
}

/// Passes bytes both ways, and keeps the messages of the requests.
async fn pass(client: TcpStream, behind: String, posted: Arc<Mutex<Vec<Value>>>) {
    let Ok(server) = TcpStream::connect(behind).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let (mut seen, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
        seen.extend_from_slice(&buffer[..count]);
        if to_server.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    // The end of the client's bytes ends its connection to the hub, too: the hub must notice that it left.
    back.abort();
    posted.lock().unwrap().extend(messages(&seen));
}

/// The JSON bodies of HTTP requests on one connection.
fn messages(mut seen: &[u8]) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        let body = &seen[end + 4..end + 4 + length];
        if head.starts_with("post /messages") {
            messages.push(serde_json::from_slice(body).unwrap());
        }
        seen = &seen[end + 4 + length..];
    }
    messages
}

/// Runs a command without blocking what this process serves.
async fn output(mut command: Command) -> (Option<i32>, String, String) {
    tokio::task::spawn_blocking(move || told(command.output().unwrap())).await.unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_request(span: &Span) -> bool {
    span.kind == SpanKind::Client as i32
}

/// The spans of the requests, held against what the hub got.
fn assert_continued(heard: &Heard, spans: &[&Span]) {
    let contexts = heard.contexts();
    let requests: BTreeMap<String, String> = spans
        .iter()
        .filter(|span| is_request(span))
        .map(|span| (format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id)), span.name.clone()))
        .collect();
    assert!(contexts.len() >= 5, "{contexts:?}");
    assert_eq!(requests, contexts);
}

/// One trace for each scenario, named in the results.
fn assert_traces(results: &Value, spans: &[&Span]) {
    let scenarios = results["scenarios"].as_array().unwrap();
    let mut traces = BTreeSet::new();
    for played in scenarios {
        let trace = played["trace_id"].as_str().unwrap();
        traces.insert(trace.to_owned());
        let of: Vec<&&Span> = spans.iter().filter(|span| hex(&span.trace_id) == trace).collect();
        let (requests, roots): (Vec<&Span>, Vec<&Span>) = of.into_iter().partition(|span| is_request(span));
        let [root] = roots.as_slice() else { panic!("{roots:#?}") };
        assert_eq!(
            (root.name.clone(), root.parent_span_id.len()),
            (format!("scenario {}", played["scenario"].as_str().unwrap()), 0)
        );
        let steps = played["steps"].as_array().unwrap();
        let of_event = |name: &str| root.events.iter().map(|event| texts(&event.attributes)[name].clone()).collect::<Vec<_>>();
        let of_step = |name: &str| steps.iter().map(|step| step[name].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(of_event(names::CHECK), of_step("id"));
        assert_eq!(of_event(names::CHECK_VERDICT), of_step("verdict"));
        let failed = of_step("verdict").contains(&"fail".to_owned());
        assert_eq!(root.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error), failed, "{:?}", root.status);
        assert!(!requests.is_empty(), "{played:#}");
        for request in requests {
            assert_eq!(request.parent_span_id, root.span_id);
            assert!(
                root.start_time_unix_nano <= request.start_time_unix_nano && request.end_time_unix_nano <= root.end_time_unix_nano
            );
        }
    }
    assert_eq!(spans.iter().map(|span| hex(&span.trace_id)).collect::<BTreeSet<_>>(), traces);
}

/// The conventions' attributes, and nothing that is private.
fn assert_attributes(heard: &Heard, spans: &[&Span]) {
    let port = heard.url.rsplit(':').next().unwrap();
    let mut failed = 0;
    for span in spans.iter().filter(|span| is_request(span)) {
        let mut attributes = texts(&span.attributes);
        let mut take = |name: &str| attributes.remove(name);
        let method = take("mcp.method.name").unwrap();
        let tool = take("gen_ai.tool.name");
        assert_eq!(tool.as_ref().map_or(method.clone(), |tool| format!("{method} {tool}")), span.name);
        assert_eq!((method == "tools/call", take("gen_ai.operation.name").is_some()), (tool.is_some(), tool.is_some()));
        assert_eq!(take("mcp.protocol.version").as_deref(), Some("2025-06-18"));
        assert_eq!(take("network.transport").as_deref(), Some("tcp"));
        assert_eq!(take("network.protocol.name").as_deref(), Some("http"));
        assert_eq!((take("server.address").as_deref(), take("server.port").as_deref()), (Some("127.0.0.1"), Some(port)));
        assert!(take("jsonrpc.request.id").unwrap().parse::<u64>().unwrap() > 0);
        assert!(take("mcp.session.id").is_some());
        let code = take("rpc.response.status_code");
        match take("error.type") {
            None => assert!(code.is_none() && span.status.as_ref().unwrap().code() == StatusCode::Unset, "{span:?}"),
            Some(kind) => {
                failed += 1;
                assert!(kind == "tool_error" || code.as_ref() == Some(&kind), "{kind}, {code:?}");
                assert_eq!(span.status.as_ref().unwrap().code(), StatusCode::Error);
            }
        }
        assert_eq!(attributes, BTreeMap::new(), "{}", span.name);
    }
    assert!(failed > 0, "tools/list of the fork fails, and so does an empty prompt");
}

/// All spans of what was run, and the metric.
async fn assert_arrives(receiver: &Receiver, otlp: &str, protocol: &str) {
    let heard = Heard::start(Profile::fork_pino()).await;
    let (code, results, said) =
        output(heard.run(&["meta_tool", "tools_usable", "--otlp", otlp, "--otlp-protocol", protocol])).await;
    assert_eq!(code, Some(1), "{results}\n{said}");
    assert!(!said.contains("WARN"), "{said}");
    let results: Value = serde_json::from_str(&results).unwrap();
    let requests = receiver.read(|received| received.spans().into_iter().filter(|span| is_request(span)).count());
    until("every connection is closed", async || (heard.contexts().len() >= requests).then_some(())).await;
    receiver.read(|received| {
        let spans = received.spans();
        assert_traces(&results, &spans);
        assert_attributes(&heard, &spans);
        assert_continued(&heard, &spans);
        for resource in received.resources() {
            assert_eq!(
                (&*resource[names::SERVICE_NAME], &*resource[names::WATCH_HUB]),
                ("hubwatch-scenario", "simulated"),
                "{resource:?}"
            );
        }
        // Sessions are hashed, prompts and arguments are nowhere.
        let all = format!("{:?}", received.traces);
        let posted = heard.posted.lock().unwrap();
        let prompts: Vec<&str> = posted.iter().filter_map(|message| message["params"]["arguments"]["prompt"].as_str()).collect();
        assert!(prompts.iter().any(|prompt| !prompt.is_empty()));
        assert!(prompts.iter().all(|prompt| prompt.is_empty() || !all.contains(prompt)), "{prompts:?}");
        assert!(!all.contains("sessionId"));

        let histograms = received.histograms(DURATION);
        let last = histograms.last().unwrap();
        assert_eq!(last.data_points.iter().map(|point| point.count).sum::<u64>(), requests as u64);
        assert!(last.data_points.iter().any(|point| texts(&point.attributes).contains_key("error.type")));
        assert!(last.data_points.iter().all(|point| !texts(&point.attributes).contains_key("mcp.session.id")));
        assert_eq!(last.data_points[0].explicit_bounds.len(), 14);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_the_metric_arrive_by_http_and_the_hub_gets_their_context() {
    hubwatch::base::tls::choose_provider();
    let (receiver, otlp) = Receiver::http().await;
    assert_arrives(&receiver, &otlp, "http/protobuf").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_the_metric_arrive_by_grpc_and_the_hub_gets_their_context() {
    hubwatch::base::tls::choose_provider();
    let (receiver, otlp) = Receiver::grpc().await;
    assert_arrives(&receiver, &otlp, "grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_variables_of_opentelemetry_say_where_to_how_and_what() {
    hubwatch::base::tls::choose_provider();
    let heard = Heard::start(Profile::npm()).await;
    let run = async |variables: &[(&str, &str)]| {
        let mut command = heard.run(&["tools_usable"]);
        command.envs(variables.iter().copied());
        let (code, _, said) = output(command).await;
        assert!(code.is_some() && !said.contains("WARN") && !said.contains("hubwatch:"), "{code:?}: {said}");
    };
    let secret = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20word,x-tenant=staging");
    for protocol in ["grpc", "http/protobuf"] {
        let (receiver, otlp) = if protocol == "grpc" { Receiver::grpc().await } else { Receiver::http().await };
        run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), secret]).await;
        receiver.read(|received| {
            assert!(!received.spans().is_empty() && !received.histograms(DURATION).is_empty(), "{protocol}");
            for headers in &received.headers {
                let values = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
                assert_eq!((values("authorization"), values("x-tenant")), (vec!["Bearer word"], vec!["staging"]), "{headers:?}");
            }
            let cumulative = AggregationTemporality::Cumulative as i32;
            assert!(received.histograms(DURATION).iter().all(|histogram| histogram.aggregation_temporality == cumulative));
        });
    }
    let (receiver, otlp) = Receiver::http().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*otlp);
    run(&[endpoint, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")]).await;
    receiver.read(|received| {
        assert_eq!((received.traces.len(), received.metrics.is_empty()), (0, false));
        let delta = AggregationTemporality::Delta as i32;
        assert!(received.histograms(DURATION).iter().all(|histogram| histogram.aggregation_temporality == delta));
    });
    let (receiver, otlp) = Receiver::http().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*otlp);
    run(&[endpoint, ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "none")]).await;
    receiver.read(|received| assert_eq!((received.metrics.len(), received.traces.is_empty()), (0, false)));
}

/// Runs a scenario that sends to a receiver that takes nothing; returns what it said, and how long it went on after its last scenario.
async fn run_in_vain(heard: &Heard, otlp: &str, protocol: &str) -> (String, Duration) {
    let mut command = heard.run(&["tools_usable", "--otlp", otlp, "--otlp-protocol", protocol]);
    let running = move || {
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(process.stderr.take().unwrap()));
        let (mut said, mut over) = (String::new(), None);
        for line in lines.map_while(Result::ok) {
            said += &(line.clone() + "\n");
            if line.contains("held,") {
                over = Some(Instant::now());
            }
        }
        assert!(process.wait().unwrap().code().is_some());
        (said, over.expect("the scenario ends").elapsed())
    };
    tokio::task::spawn_blocking(running).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_takes_nothing_costs_seconds_and_is_named_with_what_it_did_not_get() {
    hubwatch::base::tls::choose_provider();
    let heard = Heard::start(Profile::npm()).await;
    // One listens and never answers; on the other port nobody listens.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for (address, protocol, why) in [
        (silent.local_addr().unwrap(), "http/protobuf", "no answer within 5 s"),
        (silent.local_addr().unwrap(), "grpc", "no answer within 5 s"),
        (refused, "http/protobuf", "refused"),
        (refused, "grpc", "Unavailable"),
    ] {
        let otlp = format!("http://word:secret@{address}");
        let (said, took) = run_in_vain(&heard, &otlp, protocol).await;
        println!("{protocol}, {why}: {took:.1?} after the last scenario\n{said}");
        assert!(took < END, "{took:?}");
        let warnings: Vec<&str> = said.lines().filter(|line| line.contains("WARN")).collect();
        let [spans, metric] = warnings.as_slice() else { panic!("{said}") };
        assert!(spans.contains(" spans could not be sent to ") && metric.contains(DURATION), "{said}");
        for warning in [spans, metric] {
            assert!(warning.contains(&address.to_string()) && warning.contains(why) && !warning.contains("secret"), "{warning}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_is_named_with_its_answer() {
    hubwatch::base::tls::choose_provider();
    let heard = Heard::start(Profile::npm()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = format!("http://{}", listener.local_addr().unwrap());
    let refuses = axum::Router::new().fallback(async || (axum::http::StatusCode::UNAUTHORIZED, "who are you?"));
    tokio::spawn(async move { axum::serve(listener, refuses).await });
    let (said, took) = run_in_vain(&heard, &otlp, "http/protobuf").await;
    println!("401: {took:.1?} after the last scenario\n{said}");
    assert!(said.contains("spans could not be sent") && said.contains("401"), "{said}");
}
