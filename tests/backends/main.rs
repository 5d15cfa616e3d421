//! The report is the same from each backend: Jaeger's API, Tempo's, files, the journal. Missing data lowers the coverage, a failed
//! request is an error, and neither ever improves the verdict.

mod doctor;
mod pipeline;
mod rehearsal;
mod secure;
mod server;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use hubwatch::backend::otlp_json::OtlpTraces;
use hubwatch::config::listen::Listen;
use hubwatch::live::vitals::Vitals;
use hubwatch::serve::{Server as Serving, WatchedHub};
use hubwatch::watch::{Environment, HubName};

use rehearsal::{FROM, REHEARSAL, TO, hubwatch, report_embedded, report_from, report_from_server, trace_id};
use server::{Behaviour, Contract, Fault, Server};

/// Returns the report from a server with this behaviour, and the number of requests.
async fn from_server(behaviour: Behaviour, more: &'static [&'static str]) -> (rehearsal::Reported, usize) {
    let kind = if behaviour.contract == Contract::Jaeger { "jaeger" } else { "tempo" };
    let server = Server::start(behaviour).await;
    let reported = report_from_server(format!("{kind}={}/behind/a/proxy", server.base), more).await;
    (reported, server.requests())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_the_same_from_each_kind_of_server() {
    let embedded = report_embedded();
    assert_eq!((embedded.code, &embedded.json["coverage"]["missing_watches"]), (Some(1), &0.into()), "{embedded:?}");
    for contract in [Contract::Jaeger, Contract::Tempo, Contract::OldTempo] {
        let (reported, asked) = from_server(Behaviour::of(contract), &[]).await;
        assert_eq!((reported.code, &reported.stderr), (embedded.code, &String::new()));
        assert_eq!(reported.content(), embedded.content());
        // Five quarter-hours, 18 before them (a planned window may have begun then) and one after, two parts of each. The first
        // concurrent requests find out that there is no v2.
        let at_first = if contract == Contract::OldTempo { 8 } else { 0 };
        assert!((48..=48 + at_first).contains(&asked), "{contract:?}: {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_or_reordered_spans_change_nothing() {
    let embedded = report_embedded();
    for contract in [Contract::Jaeger, Contract::Tempo] {
        assert_eq!(from_server(Behaviour::with(contract, Fault::Twice), &[]).await.0.content(), embedded.content());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_served_gives_the_same_report() {
    let (hub, environment) = (HubName::parse("demo-hub").unwrap(), Environment::parse("staging").unwrap());
    let watched = WatchedHub::new(hub, environment, Duration::from_secs(15), Vitals::default(), REHEARSAL.state_dir());
    let serving = Serving::start("127.0.0.1:0".parse::<Listen>().unwrap(), vec![watched]).await.unwrap();
    let reported = report_from_server(format!("jaeger=http://{}", serving.address()), &[]).await;
    assert_eq!(reported.content(), report_embedded().content());
    serving.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_watches_are_reported_and_lower_the_coverage() {
    let whole = report_embedded().json;
    for contract in [Contract::Jaeger, Contract::Tempo] {
        let (reported, _) = from_server(Behaviour::with(contract, Fault::Lacks(trace_id(1))), &[]).await;
        let report = &reported.json;
        assert_eq!((report["coverage"]["missing_watches"].as_u64(), reported.code), (Some(60), Some(1)), "{reported:?}");
        assert!(report["coverage"]["share_permille"].as_u64() < whole["coverage"]["share_permille"].as_u64());
        let incomplete = report["provenance"]["incomplete"].as_array().unwrap();
        assert_eq!(incomplete.len(), 1);
        assert!(incomplete[0].as_str().unwrap().starts_with("2026-11-01T00:1"), "{incomplete:?}");
        assert!(incomplete[0].as_str().unwrap().ends_with("60 Watches are missing"), "{incomplete:?}");
        assert!(report["blind_spots"].to_string().contains("Incomplete in the backend: 2026-11-01T00:1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_tempo_marks_as_partial_is_reported() {
    let (reported, _) = from_server(Behaviour::with(Contract::Tempo, Fault::Partial(trace_id(2))), &[]).await;
    let incomplete = reported.json["provenance"]["incomplete"].to_string();
    assert!(incomplete.contains("Tempo marked the trace as partial: trace exceeds max size"), "{incomplete}");
    assert_eq!((reported.json["coverage"]["missing_watches"].as_u64(), reported.code), (Some(30), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_busy_server_is_retried() {
    let (reported, asked) = from_server(Behaviour::with(Contract::Jaeger, Fault::BusyAtFirst(3)), &[]).await;
    assert_eq!(reported.content(), report_embedded().content());
    assert!(asked > 14, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_links_to_its_trace() {
    let server = Server::start(Behaviour::of(Contract::Jaeger)).await;
    let reported = report_from_server(format!("jaeger={}", server.base), &[]).await;
    let evidence = reported.json["criteria"].as_array().unwrap().iter().flat_map(|row| row["evidence"].as_array().unwrap());
    let (of_calls, of_watch): (Vec<_>, Vec<_>) = evidence.partition(|evidence| evidence["trace"].is_string());
    let links: Vec<&str> = of_watch.iter().map(|evidence| evidence["trace_url"].as_str().unwrap()).collect();
    let own = (0..5).map(|quarter| format!("{}/trace/{}", server.base, trace_id(quarter)));
    let own: Vec<String> = own.collect();
    assert!(!links.is_empty() && links.iter().all(|link| own.iter().any(|own| own == link)), "{links:?}");
    let of_itself = |evidence: &&serde_json::Value| format!("{}/trace/{}", server.base, evidence["trace"].as_str().unwrap());
    assert!(of_calls.iter().all(|evidence| evidence["trace_url"] == of_itself(evidence)), "{of_calls:?}");
    let of_incidents = reported.json["incidents"].as_array().unwrap().iter().map(|incident| incident["id"].as_str().unwrap());
    let of_calls = reported.json["calls"]["slowest"].as_array().unwrap().iter().map(|call| call["trace"].as_str().unwrap());
    let urls = &reported.json["trace_urls"];
    assert!(of_incidents.chain(of_calls.clone()).all(|key| urls[key].as_str().unwrap().starts_with(&server.base)), "{urls}");
    assert!(of_calls.clone().count() > 2 && of_calls.clone().all(|trace| urls[trace].as_str().unwrap().ends_with(trace)), "{urls}");
    let wrong = rehearsal::report_command().env("HUBWATCH_TRACE_URL", "http://grafana/").output().unwrap();
    assert_eq!(wrong.status.code(), Some(78), "{}", String::from_utf8_lossy(&wrong.stderr));
}

#[test]
fn reports_link_to_the_trace_of_each_slow_call_incident_and_failed_criterion() {
    let rendered = |form: &str| {
        let mut shown = hubwatch();
        shown.env("HUBWATCH_TRACE_URL", "http://grafana/{trace_id}").args(["report", "--name", "demo-hub", "--from", FROM]);
        shown.args(["--to", TO, "--format", form, "--state-dir"]).arg(REHEARSAL.state_dir());
        String::from_utf8(shown.output().unwrap().stdout).unwrap()
    };
    let report: serde_json::Value = serde_json::from_str(&rendered("json")).unwrap();
    let (markdown, page) = (rendered("md"), rendered("html").replace("&#x2F;", "/"));
    let of = |rows: &serde_json::Value, key: &str| -> Vec<String> {
        rows.as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
    };
    let calls = [of(&report["calls"]["slowest"], "trace"), of(&report["calls"]["failed"], "trace")].concat();
    assert!(calls.len() > 2, "{calls:?}");
    for trace in calls {
        assert!(markdown.contains(&format!("| [`{trace}`](http://grafana/{trace}) |")), "{trace}:\n{markdown}");
        assert!(page.contains(&format!("<a href=\"http://grafana/{trace}\"><code>{trace}</code></a>")), "{trace}");
    }
    let incidents = of(&report["incidents"], "id");
    let section = |text: &str, from: &str, to: &str| text.split(from).nth(1).unwrap().split(to).next().unwrap().to_owned();
    let log = [section(&markdown, "## 6. Incident log", "\n## "), section(&page, "id=\"incidents\"", "</section>")];
    assert!(!incidents.is_empty());
    assert_eq!(log.map(|log| log.matches("http://grafana/").count()), [incidents.len(); 2]);
    let failed = report["criteria"].as_array().unwrap().iter().filter(|row| row["verdict"] == "fail");
    let failed: Vec<&str> = failed.map(|row| row["id"].as_str().unwrap()).collect();
    assert!(!failed.is_empty());
    for id in failed {
        let row = markdown.lines().find(|line| line.contains(&format!("<br> `{id}`"))).unwrap();
        assert!(row.contains("[trace](http://grafana/"), "{row}");
        let row = section(&page, &format!("<tr id=\"c-{id}\">"), "</tr>");
        assert!(row.contains("<a href=\"http://grafana/"), "{row}");
    }
}

/// Returns each fault with its error message.
fn faults() -> Vec<(Contract, Fault, &'static str)> {
    let both = [Contract::Jaeger, Contract::Tempo];
    let mut all = vec![
        (Contract::Jaeger, Fault::CutJson, "its response is not Jaeger's"),
        (Contract::Jaeger, Fault::Page, "is not Jaeger's query API, or not at this path"),
        (Contract::Jaeger, Fault::OtherJson, "neither a result nor an error"),
        (Contract::Tempo, Fault::CutJson, "its response is not Tempo's protobuf"),
        (Contract::Tempo, Fault::Page, "is not Tempo's query API, or not at this path"),
        (Contract::Tempo, Fault::OtherJson, "it returned application/json instead of protobuf"),
    ];
    for contract in both {
        all.extend([
            (contract, Fault::Status(429), "can't be read after 4 attempts: HTTP 429"),
            (contract, Fault::Status(503), "can't be read after 4 attempts: HTTP 503"),
            (contract, Fault::Status(500), "returned HTTP 500: a word of the server"),
            (contract, Fault::Status(403), "check the credentials and the tenant"),
            (contract, Fault::Silence, "can't be read after 4 attempts: timeout"),
            (contract, Fault::HalfABody, "can't be read after 4 attempts"),
            (contract, Fault::OtherTrace, "when asked for trace"),
            (contract, Fault::DiesAt(3), "can't be read after 4 attempts"),
        ]);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_an_error_and_never_a_verdict() {
    let tried = faults().into_iter().map(async |(contract, fault, expected)| {
        let (reported, _) = from_server(Behaviour::with(contract, fault.clone()), &[]).await;
        assert_eq!((reported.code, &reported.json), (Some(4), &serde_json::Value::Null), "{contract:?} {fault:?}: {reported:?}");
        assert!(reported.stderr.contains(expected), "{contract:?} {fault:?}: {}", reported.stderr);
        assert_eq!(reported.stderr.lines().count(), 1, "{}", reported.stderr);
    });
    futures_util::future::join_all(tried).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_path_is_not_mistaken_for_missing_traces() {
    for (contract, kind) in [(Contract::Jaeger, "tempo"), (Contract::Tempo, "jaeger"), (Contract::OldTempo, "jaeger")] {
        let server = Server::start(Behaviour::of(contract)).await;
        let reported = report_from_server(format!("{kind}={}", server.base), &[]).await;
        assert_eq!(reported.code, Some(4), "{reported:?}");
        assert!(reported.stderr.contains("or not at this path: it returned HTTP 404"), "{}", reported.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_and_credentials_are_sent_and_requested() {
    let tenant = Some(("x-scope-orgid", "staging"));
    let behaviour = Behaviour { wants: tenant, ..Behaviour::of(Contract::Tempo) };
    let (without, _) = from_server(behaviour.clone(), &[]).await;
    assert_eq!(without.code, Some(4));
    assert!(without.stderr.contains("(no org id): check the credentials and the tenant (X-Scope-OrgID)"), "{}", without.stderr);
    let (with, _) = from_server(behaviour, &["--backend-header", "X-Scope-OrgID: staging"]).await;
    assert_eq!(with.content(), report_embedded().content());

    let folder = tempfile::tempdir().unwrap();
    let basic = Server::start(Behaviour { wants: Some(("authorization", "Basic YTpi")), ..Behaviour::of(Contract::Jaeger) }).await;
    let bearer =
        Server::start(Behaviour { wants: Some(("authorization", "Bearer secret-word")), ..Behaviour::of(Contract::Jaeger) }).await;
    for (server, keys) in [(&basic, "user = 'a'\npassword = 'b'"), (&bearer, "bearer = 'secret-word'")] {
        let file = folder.path().join("hubwatch.toml");
        std::fs::write(&file, format!("[backend]\nsource = 'jaeger={}'\n{keys}\n", server.base)).unwrap();
        let command = move || rehearsal::report_command().arg("--config").arg(file).output().unwrap();
        let output = tokio::task::spawn_blocking(command).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!String::from_utf8_lossy(&output.stdout).contains("secret-word"));
    }
}

#[test]
fn an_invalid_backend_is_rejected_with_the_valid_kinds() {
    let report_of = |backend: &str| {
        let reported = report_from(backend, &[]);
        (reported.code, reported.stderr)
    };
    let (code, stderr) = report_of("nosuch=http://user:password@127.0.0.1:9");
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.contains("unknown backend kind `nosuch`") && stderr.contains("jaeger=") && !stderr.contains("password"),
        "{stderr}"
    );
    let (code, stderr) = report_of("jaeger=127.0.0.1:16686");
    assert_eq!(code, Some(78), "{stderr}");
    let (code, stderr) = report_of("file=/nonexistent/staging.jsonl");
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("can't read /nonexistent/staging.jsonl"), "{stderr}");
    let nameless = hubwatch().args(["report", "--backend", "jaeger=http://127.0.0.1:9", "--format", "json"]).output().unwrap();
    assert!(String::from_utf8_lossy(&nameless.stderr).contains("set --name"));
}

fn export(to: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = hubwatch();
    command.args(["export", "--name", "demo-hub", "--from", FROM, "--to", TO, "--out"]).arg(to).args(more);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

fn export_embedded(to: &Path, more: &[&str]) -> (Option<i32>, String) {
    let state = REHEARSAL.state_dir();
    export(to, &[&["--state-dir", state.to_str().unwrap()], more].concat())
}

#[test]
fn an_archive_gives_the_same_report_with_each_compression() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = report_embedded();
    for name in ["staging.jsonl", "staging.jsonl.gz", "staging.jsonl.zst"] {
        let file = folder.path().join(name);
        let (code, output) = export_embedded(&file, &["--format", "json"]);
        assert_eq!(code, Some(0), "{output}");
        let output: serde_json::Value = serde_json::from_str(&output).unwrap();
        assert_eq!((&output["traces"], &output["watch_spans"]), (&5.into(), &241.into()), "{output}");
        let reported = report_from(&format!("file={}", file.display()), &[]);
        assert_eq!((reported.code, &reported.stderr), (embedded.code, &String::new()));
        assert_eq!(reported.content(), embedded.content());
    }
    let of_folder = report_from(&format!("file={}", folder.path().display()), &[]);
    assert_eq!(of_folder.content(), embedded.content(), "all three at once: each Watch counts once");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing unfinished is left");

    let again = folder.path().join("again.jsonl");
    let (code, output) = export(&again, &["--backend", &format!("file={}", folder.path().join("staging.jsonl.zst").display())]);
    assert_eq!(
        (code, output.lines().next()),
        (
            Some(0),
            Some(
                format!("241 Watches of demo-hub (staging) from file {}", folder.path().join("staging.jsonl.zst").display())
                    .as_str()
            )
        )
    );
    assert_eq!(std::fs::read(again).unwrap(), std::fs::read(folder.path().join("staging.jsonl")).unwrap());
}

#[test]
fn an_empty_archive_is_not_a_success() {
    let folder = tempfile::tempdir().unwrap();
    let (code, output) = export_embedded(&folder.path().join("empty.jsonl"), &["--environment", "production"]);
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("demo-hub has not been watched in environment production, but in staging"), "{output}");
}

/// The Collector writes one request of any spans per line, and may compress each line separately.
#[test]
fn a_collectors_file_with_mixed_and_late_spans_gives_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut all: Vec<_> = REHEARSAL.traces().into_values().flatten().collect();
    // Spans that came an hour late are at the end.
    all.rotate_left(100);
    let lines = || all.chunks(50).map(|chunk| serde_json::to_vec(&OtlpTraces { resource_spans: chunk.to_vec() }).unwrap());
    let plain = folder.path().join("plain.json");
    std::fs::write(&plain, lines().collect::<Vec<_>>().join(&b'\n')).unwrap();
    let mut framed = std::fs::File::create(folder.path().join("framed.json")).unwrap();
    for line in lines() {
        let packed = zstd::encode_all(line.as_slice(), 0).unwrap();
        framed.write_all(&u32::try_from(packed.len()).unwrap().to_be_bytes()).unwrap();
        framed.write_all(&packed).unwrap();
    }
    for name in ["plain.json", "framed.json"] {
        let reported = report_from(&format!("file={}", folder.path().join(name).display()), &[]);
        assert_eq!(reported.content(), report_embedded().content(), "{name}");
    }
}

/// Returns the offsets at which lines begin, and the end of the last one.
fn borders(text: &[u8]) -> Vec<usize> {
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).collect()
}

#[test]
fn complete_lines_of_a_truncated_archive_are_read_and_the_truncation_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("staging.jsonl");
    assert_eq!(export_embedded(&plain, &[]).0, Some(0));
    let whole = std::fs::read(&plain).unwrap();
    let borders = borders(&whole);
    let inside = (borders[3] + borders[4]) / 2;
    // A compressed stream that is truncated between lines is detected as well: its end is missing.
    let cuts = [
        ("jsonl", whole[..inside].to_vec(), "is truncated in line 4"),
        ("jsonl.gz", without_its_end(gzip(&whole[..inside])), "is truncated in line 4"),
        ("jsonl.gz", without_its_end(gzip(&whole[..borders[3]])), "is truncated after line 3"),
        ("jsonl.zst", without_its_end(zstd(&whole[..inside])), "is truncated in line 4"),
        ("jsonl.zst", without_its_end(zstd(&whole[..borders[3]])), "is truncated after line 3"),
        ("json", framed(&whole, &borders[..5], 10), "is truncated after line 3"),
        ("jsonl.unfinished", whole[..borders[3]].to_vec(), "`hubwatch export` was stopped after line 3"),
    ];
    let first_lines = folder.path().join("lines.jsonl");
    std::fs::write(&first_lines, &whole[..borders[3]]).unwrap();
    let readable = report_from(&format!("file={}", first_lines.display()), &[]);
    let without_words = |reported: &rehearsal::Reported| {
        let mut content = reported.content();
        content["provenance"]["incomplete"].take();
        content["blind_spots"].take();
        content
    };
    for (ending, bytes, expected) in cuts {
        let file = folder.path().join(format!("cut.{ending}"));
        std::fs::write(&file, bytes).unwrap();
        let backend = format!("file={}", file.display());
        let cut = report_from(&backend, &[]);
        assert_eq!(without_words(&cut), without_words(&readable), "{ending}: only complete lines count");
        let incomplete = cut.json["provenance"]["incomplete"].as_array().unwrap();
        assert!(incomplete[0].as_str().unwrap().contains(expected), "{ending}: {incomplete:?}");
        assert!(cut.json["blind_spots"].to_string().contains(expected), "{ending}: {cut:?}");
        assert!(cut.json["coverage"]["share_permille"].as_u64() < Some(800), "{ending}: {}", cut.json["coverage"]);
        let (code, said) = export(&folder.path().join("again.ndjson"), &["--backend", &backend]);
        assert!(code == Some(3) && said.contains(expected), "{ending}: an archive of a truncated one is incomplete: {said}");
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).and_then(|()| encoder.flush()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 0).unwrap();
    encoder.write_all(text).and_then(|()| encoder.flush()).unwrap();
    encoder.finish().unwrap()
}

/// Returns what a killed writer leaves: all flushed data, but no end of the stream.
fn without_its_end(mut packed: Vec<u8>) -> Vec<u8> {
    packed.truncate(packed.len() - 3);
    packed
}

/// Compresses each line separately, as the Collector does, and keeps only `last` bytes of the last one.
fn framed(text: &[u8], borders: &[usize], last: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut begins = 0;
    for line in borders.windows(2) {
        let packed = zstd::encode_all(&text[line[0]..line[1]], 0).unwrap();
        begins = file.len();
        file.extend(u32::try_from(packed.len()).unwrap().to_be_bytes());
        file.extend(packed);
    }
    file.truncate(begins + last);
    file
}

#[test]
fn an_empty_archive_is_reported_as_truncated_only_if_it_should_be_compressed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, cut) in [("empty.jsonl", false), ("empty.jsonl.gz", true), ("empty.jsonl.zst", true)] {
        let file = folder.path().join(name);
        std::fs::write(&file, []).unwrap();
        let reported = report_from(&format!("file={}", file.display()), &[]);
        assert_eq!(reported.code, Some(3), "{reported:?}");
        assert_eq!(reported.json["provenance"]["incomplete"].to_string().contains("is truncated: it is empty"), cut, "{name}");
    }
}

#[test]
fn a_broken_line_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("staging.jsonl");
    assert_eq!(export_embedded(&file, &[]).0, Some(0));
    let mut broken = std::fs::read(&file).unwrap();
    let fourth = borders(&broken)[3];
    broken[fourth] = b'}';
    std::fs::write(&file, broken).unwrap();
    let reported = report_from(&format!("file={}", file.display()), &[]);
    assert_eq!(reported.code, Some(4));
    assert!(reported.stderr.contains("line 4 is not OTLP JSON"), "{}", reported.stderr);
}
