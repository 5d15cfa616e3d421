//! What people said to their tools does not leave, and does not lie in the journal.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use hubwatch::export::{Destination, Protocol, Route, Senders};
use hubwatch::hub::interpret::PollAnswer;
use hubwatch::journal::{DestinationName, Journal, Temporality};
use hubwatch::sidecar::{Lines, LogSource, Setup, Sidecar};
use hubwatch::tail::Begin;
use hubwatch::watch::{ApiOutcome, Count, Environment, HubName, Micros, Origin, Text, Timestamp};
use tokio::net::TcpListener;

const LOGS: [&str; 5] = [
    "fork-pino/mcp-hub.log.gz",
    "fork-pino/stdout.log.gz",
    "fork-legacy/mcp-hub.log.gz",
    "fork-legacy/stdout.log.gz",
    "npm-4.2.1/stdout.log.gz",
];

/// The prompts of the recordings, and what stands in them for keys and sessions.
const SAID: [&str; 3] = ["Check my github pull requests", "List all files in the directory", "what can you do?"];

/// Lines that were not recorded, but could be: keys in messages, arguments, a prompt in a line that is cut.
const MORE: &str = concat!(
    r#"{"level":"warn","time":"2026-11-23T03:40:38.150Z","pid":1,"msg":"401 for key AIzaSyA1234567890abcdefghij"}"#,
    "\n",
    r#"{"level":"info","time":"2026-11-23T03:40:38.151Z","pid":1,"arguments":{"path":"/private/path"},"apiKey":"topsecret","msg":"x"}"#,
    "\n",
    r#"{"level":"info","time":"2026-11-23T03:40:38.151Z","pid":1,"msg":"{\"prompt\":\"said in JSON in JSON\"}"}"#,
    "\n",
    "  prompt: 'said in a printed object',\n",
    r#"{"level":"info","prompt":"said in half a line"#,
    "\n",
);

const MORE_SAID: [&str; 6] = [
    "AIzaSyA1234567890abcdefghij",
    "/private/path",
    "topsecret",
    "said in JSON in JSON",
    "said in a printed object",
    "said in half a line",
];

fn recording(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(file);
    let mut log = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut log).unwrap();
    log
}

async fn receiver() -> (Arc<Mutex<Vec<u8>>>, String) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let keep = async |State(received): State<Arc<Mutex<Vec<u8>>>>, body: Bytes| received.lock().unwrap().extend_from_slice(&body);
    let routes = axum::Router::new().fallback(keep).with_state(received.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (received, address)
}

fn now(second: u64) -> Timestamp {
    Timestamp::parse("2026-11-23T03:30:00Z").unwrap().plus(Micros::new(second * 1_000_000))
}

fn no_answer(at: Timestamp) -> PollAnswer {
    PollAnswer {
        asked: at,
        now: at,
        health: Err(ApiOutcome::Refused),
        health_duration: Micros::new(100),
        servers: None,
        process: None,
        log_file: None,
        children: Vec::new(),
        filtering: None,
        own_subscribers: 0,
    }
}

/// Watches a log and gives back all bytes that left and all that lie in the state folder. With `reachable` false everything is kept
/// in the journal.
async fn traces_of(log: &[u8], lines: Lines, reachable: bool) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp-hub.log");
    std::fs::write(&path, b"").unwrap();
    let (received, address) = receiver().await;
    let address = if reachable { address } else { "http://127.0.0.1:9".to_owned() };
    let opened = Journal::open(&folder.path().join("state")).unwrap();
    let route = Route::to(&address, Protocol::HttpProtobuf);
    let destination = Destination::new(DestinationName::main(), Temporality::Cumulative, |_| Some(route.clone())).unwrap();
    let senders = Senders::spawn(&[destination], &opened.journal).await.unwrap();
    let origin = Origin {
        hub: HubName::parse("hub").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        watcher: opened.watcher,
        run: opened.run,
        sequence: Count::new(0),
        part: 0,
        tool_version: Text::from("test"),
        build: None,
        interval: Micros::new(15_000_000),
    };
    let setup = Setup {
        origin,
        key: opened.session_key,
        log: LogSource::File(path.clone()),
        begin: Begin::Start,
        lines,
        checkpoint: None,
        recovered: None,
        tally: senders.tally(),
        own: None,
    };
    let mut sidecar = Sidecar::begin(setup, now(0), opened.journal.clone(), senders.fast_path(), false);
    sidecar.polled(no_answer(now(0))).await.unwrap();
    std::fs::write(&path, log).unwrap();
    while !sidecar.read_log(now(1)).await.unwrap().at_end {}
    sidecar.polled(no_answer(now(20))).await.unwrap();
    sidecar.stop("test", now(30)).await.unwrap();
    if reachable {
        assert!(!senders.drain(std::time::Duration::from_secs(30)).await, "everything is sent");
    }
    let sent = received.lock().unwrap().clone();
    let mut kept = Vec::new();
    for file in std::fs::read_dir(folder.path().join("state")).unwrap() {
        kept.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    kept.extend(spooled(&folder.path().join("state").join(hubwatch::journal::FILE_NAME)));
    (sent, kept)
}

/// What lies compressed in the journal.
fn spooled(journal: &Path) -> Vec<u8> {
    let connection = rusqlite::Connection::open(journal).unwrap();
    let mut statement = connection.prepare("SELECT encoding, otlp FROM spool").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    let plain = rows.map(|row| {
        let (encoding, otlp) = row.unwrap();
        if encoding == 1 { zstd::decode_all(&otlp[..]).unwrap() } else { otlp }
    });
    plain.flatten().collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[tokio::test]
async fn no_prompt_and_no_key_leaves_or_lies_in_the_journal() {
    for file in LOGS {
        let log = [recording(file), MORE.as_bytes().to_vec()].concat();
        for reachable in [true, false] {
            let (sent, kept) = traces_of(&log, Lines::default(), reachable).await;
            let whole = if reachable { &sent } else { &kept };
            assert!(holds(whole, "[masked]") && holds(whole, "[key]"), "{file}: the lines themselves are there");
            for said in SAID.iter().chain(&MORE_SAID) {
                assert!(!holds(&sent, said), "{file}: `{said}` was sent");
                assert!(!holds(&kept, said), "{file}: `{said}` lies in the journal");
            }
        }
    }
}

#[tokio::test]
async fn whoever_wants_to_keep_what_was_said_gets_it() {
    let log = [recording("fork-pino/mcp-hub.log.gz"), MORE.as_bytes().to_vec()].concat();
    let lines = Lines { keep_private: true, ..Lines::default() };
    let (sent, _) = traces_of(&log, lines, true).await;
    for said in [SAID[0], MORE_SAID[0], MORE_SAID[2], MORE_SAID[5]] {
        assert!(holds(&sent, said), "`{said}` was not sent");
    }
}
