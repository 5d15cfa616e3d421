//! A state that was damaged on the disk: refused, or taken up without harm.

#![no_main]

use std::io::Read as _;
use std::sync::LazyLock;

use hubwatch::hub::interpret::{Interpreter, RawLine};
use hubwatch::hub::merge::LineSource;
use hubwatch::watch::{Micros, RecordUid, Timestamp, WatcherId};
use libfuzzer_sys::fuzz_target;

const START: Timestamp = Timestamp::from_secs(1_795_400_000);

fn recording() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/recordings/fork-legacy/stdout.log.gz");
    let mut log = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut log).unwrap();
    log
}

fn feed(interpreter: &mut Interpreter, log: &[u8], lines: std::ops::Range<usize>) {
    for (index, line) in log.split(|byte| *byte == b'\n').enumerate().take(lines.end).skip(lines.start) {
        let text = String::from_utf8_lossy(line);
        let uid = RecordUid::of_line(WatcherId::from_seed(b"fuzz"), "log", 0, index as u64);
        let read = START.plus(Micros::new(index as u64 * 1_000));
        let source = if index % 2 == 0 { LineSource::Log } else { LineSource::EventStream };
        let size = text.len() as u64 + 1;
        interpreter.line(RawLine { source, text: &text, uid, size, stamped: None, read, earliest: read, historic: false });
    }
}

/// A log, and the state after its first lines.
static BEGUN: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let log = recording();
    let mut interpreter = Interpreter::new([1; 32]);
    interpreter.stream_joined(START);
    feed(&mut interpreter, &log, 0..60);
    let state = serde_json::to_vec(&interpreter).unwrap();
    (log, state)
});

fuzz_target!(|data: &[u8]| {
    let (log, state) = &*BEGUN;
    let mut state = state.clone();
    // Each four bytes damage one place: where, and what stands there then.
    for edit in data.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) * state.len() / 65_536;
        match edit[2] % 4 {
            0 => state[at] = edit[3],
            1 => state[at] = b'0' + edit[3] % 10,
            2 => drop(state.remove(at)),
            _ => state.insert(at, edit[3]),
        }
    }
    let Ok(interpreter) = serde_json::from_slice::<Interpreter>(&state) else { return };
    let mut interpreter = interpreter.with_key([1; 32]);
    feed(&mut interpreter, log, 60..90);
    interpreter.harvest(START.plus(Micros::new(15_000_000)));
    serde_json::to_vec(&interpreter).unwrap();
});
