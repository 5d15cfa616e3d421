//! How fast lines become facts. The figure that counts is lines per second of one core: divide what criterion calls elements.

use std::hint::black_box;
use std::io::Read as _;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hubwatch::hub::framing::Unframer;
use hubwatch::hub::interpret::{Interpreter, RawLine};
use hubwatch::hub::merge::LineSource;
use hubwatch::hub::{line, meaning};
use hubwatch::watch::{RecordUid, Timestamp, WatcherId};

const READ: Timestamp = Timestamp::from_secs(1_795_410_000);

/// As many lines a time as one look at a busy log brings.
const LINES: usize = 10_000;

fn recording(path: &str) -> String {
    let path = format!("{}/tests/recordings/{path}", env!("CARGO_MANIFEST_DIR"));
    let mut log = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut log).unwrap();
    String::from_utf8_lossy(&log).into_owned()
}

/// The lines of the recorded logs, again and again; `keep` leaves some of them out.
fn mix(logs: &[&str], keep: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = logs.iter().flat_map(|log| recording(log).lines().map(str::to_owned).collect::<Vec<_>>());
    let lines: Vec<String> = lines.filter(|line| keep(line)).collect();
    lines.iter().cycle().take(LINES).cloned().collect()
}

fn take_in(interpreter: &mut Interpreter, lines: &[String]) {
    let watcher = WatcherId::from_seed(b"bench");
    let mut unframer = Unframer::default();
    let mut offset = 0;
    for text in lines {
        let Some(line) = unframer.take(text) else { continue };
        let size = text.len() as u64 + 1;
        black_box(interpreter.line(RawLine {
            source: LineSource::Log,
            text: &line.text,
            uid: RecordUid::of_line(watcher, "mcp-hub.log", 0, offset),
            size,
            stamped: line.stamped,
            read: READ,
            earliest: READ,
            historic: false,
        }));
        offset += size;
    }
    black_box(interpreter.harvest(READ));
}

fn lines(criterion: &mut Criterion) {
    let every = |_: &str| true;
    let no_storms = |line: &str| !line.contains(" client disconnected from MCP HUB");
    let pino = ["fork-pino/mcp-hub.log.gz"];
    let console = ["fork-legacy/stdout.log.gz"];
    let all = ["fork-pino/mcp-hub.log.gz", "fork-legacy/stdout.log.gz", "fork-legacy/mcp-hub.log.gz", "npm-4.2.1/stdout.log.gz"];
    let mixes = [
        ("recorded", mix(&all, every)),
        ("recorded pino", mix(&pino, every)),
        ("pino without storms", mix(&pino, no_storms)),
        ("console without storms", mix(&console, no_storms)),
    ];
    let mut group = criterion.benchmark_group("lines");
    group.throughput(Throughput::Elements(LINES as u64));
    for (name, lines) in &mixes {
        group.bench_function(format!("classify/{name}"), |bencher| {
            bencher.iter(|| lines.iter().filter(|text| meaning::of(&line::parse(text).text).is_some()).count());
        });
        group.bench_function(format!("classify and interpret/{name}"), |bencher| {
            // The state is that of a sidecar that has been running for a while.
            let mut running = Interpreter::new([1; 32]);
            take_in(&mut running, lines);
            bencher.iter_batched(|| running.clone(), |mut interpreter| take_in(&mut interpreter, lines), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, lines);
criterion_main!(benches);
