//! A busy period of 48 hours, sent to a real Jaeger by the sidecar: the same report from there, from the journal and from a file, and
//! what each report costs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backends::content;
use crate::hub::signal;
use crate::servers::Jaeger;
use crate::sidecar::binary;
use crate::wait::until_within;

const FROM: &str = "2026-11-01T00:00:00Z";
const TO: &str = "2026-11-03T00:00:00Z";

/// Far older than a journal would keep, and far more.
const KEEPS_ALL: &str = "[journal]\nmax_age = '876000h'\nmax_bytes = '8 GiB'\n";

/// How long 170 MB may take: far longer than they do.
const SENDING: Duration = Duration::from_secs(600);

fn hubwatch(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--config").arg(folder.join("hubwatch.toml")).args(arguments);
    command
}

/// Runs a command to its end.
fn succeed(mut command: Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The sidecar's own senders carry a rehearsed journal to a receiver. Its cursor is put to the journal's beginning, since for a new
/// destination the past is the past. The calls' own traces stay behind: no report reads them, and badger is slow with them.
async fn send_all(folder: &Path, state: &Path, otlp: &str) {
    let journal = rusqlite::Connection::open(state.join("journal.db")).unwrap();
    journal.execute("DELETE FROM span WHERE kind = 'call'", []).unwrap();
    journal.execute("INSERT INTO cursor(destination, passed) VALUES ('main', 0)", []).unwrap();
    let otlp = format!("http://{otlp}");
    let arguments = ["run", "--hub", "http://127.0.0.1:9", "--name", "demo-hub"];
    let mut command = hubwatch(folder, &arguments);
    command.args(["--otlp", &otlp, "--otlp-protocol", "grpc", "--state-dir"]).arg(state);
    let mut sidecar = command.stderr(Stdio::null()).spawn().unwrap();
    let all = "SELECT (SELECT passed FROM cursor) >= (SELECT max(id) FROM span)";
    let sent = async || journal.query_row(all, [], |row| row.get::<_, bool>(0)).unwrap().then_some(());
    until_within(SENDING, "all is sent", sent).await;
    signal("-TERM", sidecar.id());
    assert!(sidecar.wait().unwrap().success());
}

/// Makes a report, and says how long it took and how much memory.
async fn report(folder: &Path, state: &Path, backend: Option<&str>) -> (Value, Option<i32>) {
    let mut command = hubwatch(folder, &["report", "--name", "demo-hub", "--from", FROM, "--to", TO, "--format", "json"]);
    command.arg("--state-dir").arg(state).args(backend.iter().flat_map(|backend| ["--backend", backend]));
    let out = folder.join("report.json");
    let begun = Instant::now();
    let mut process = command.stdout(Stdio::from(std::fs::File::create(&out).unwrap())).spawn().unwrap();
    let (mut peak, mut looks) = (String::new(), tokio::time::interval(Duration::from_millis(5)));
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
        peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map_or(peak, |peak| peak.trim().to_owned());
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        looks.tick().await;
    };
    println!("report from {}: {:.2?}, {peak}", backend.unwrap_or("the journal"), begun.elapsed());
    (serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap(), status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_period_of_48_hours_is_the_same_from_each_backend() {
    let folder = tempfile::tempdir().unwrap();
    let (path, state) = (folder.path(), folder.path().join("state"));
    std::fs::write(path.join("hubwatch.toml"), KEEPS_ALL).unwrap();
    let mut demo = hubwatch(path, &["demo", "--period", "48h", "--calls", "200000", "--dir"]);
    succeed({
        demo.arg(path);
        demo
    });
    let badger = path.join("badger");
    std::fs::create_dir(&badger).unwrap();
    let jaeger = Jaeger::badger(&badger).await;
    let begun = Instant::now();
    send_all(path, &state, &jaeger.otlp_grpc).await;
    println!("sent to Jaeger in {:.0?}", begun.elapsed());
    let archive = path.join("archive.jsonl.zst");
    let mut export = hubwatch(path, &["export", "--name", "demo-hub", "--from", FROM, "--to", TO, "--out"]);
    succeed({
        export.arg(&archive).arg("--state-dir").arg(&state);
        export
    });

    let embedded = report(path, &state, None).await;
    assert!(embedded.0["calls"]["total"].as_u64() > Some(199_000), "{:#}", embedded.0["calls"]["total"]);
    assert_eq!(embedded.0["coverage"]["watches"].as_u64().map(|watches| watches / 100), Some(115), "{:#}", embedded.0["coverage"]);
    let embedded = content(embedded);
    for backend in [format!("file={}", archive.display()), format!("jaeger={}", jaeger.query)] {
        assert_eq!(content(report(path, &state, Some(&backend)).await), embedded, "{backend}");
    }
}
