//! A log, in whatever shape and frame: every line is taken in, counted, and told once.

#![no_main]

use hubwatch::hub::framing::Unframer;
use hubwatch::hub::interpret::{Interpreter, RawLine};
use hubwatch::hub::merge::LineSource;
use hubwatch::watch::{Micros, RecordUid, Timestamp, WatcherId};
use libfuzzer_sys::fuzz_target;

const START: Timestamp = Timestamp::from_secs(1_795_400_000);

fuzz_target!(|data: &[u8]| {
    let Some((how, log)) = data.split_first() else { return };
    let mut interpreter = Interpreter::new([1; 32]);
    let mut unframer = Unframer::default();
    if how & 1 != 0 {
        interpreter.stream_joined(START);
    }
    if how & 2 != 0 {
        interpreter.keep_storms();
    }
    let (streamed, put_out) = (how & 1 != 0, how & 8 != 0);
    if put_out {
        interpreter.with_output();
    }
    let watcher = WatcherId::from_seed(b"fuzz");
    let (mut fed, mut bytes) = (0, 0);
    for (index, line) in log.split(|byte| *byte == b'\n').enumerate() {
        let index = index as u64;
        let text = String::from_utf8_lossy(line);
        let Some(line) = unframer.take(&text) else { continue };
        let read = START.plus(Micros::new(index * 10_000));
        let source = match index % 3 {
            0 if streamed => LineSource::EventStream,
            1 if put_out => LineSource::Output,
            _ => LineSource::Log,
        };
        let size = line.text.len() as u64 + 1;
        let earliest = read.minus(Micros::new(250_000));
        let uid = RecordUid::of_line(watcher, "log", 0, index);
        let said = interpreter.line(RawLine {
            source,
            text: &line.text,
            uid,
            size,
            stamped: line.stamped,
            read,
            earliest,
            historic: how & 4 != 0,
        });
        assert!(said.when.earliest() <= said.when.latest());
        if source == LineSource::Log {
            (fed, bytes) = (fed + 1, bytes + size);
        }
    }
    let harvest = interpreter.harvest(START.plus(Micros::new(3_600_000_000)));
    assert_eq!((harvest.volume.lines.get(), harvest.volume.bytes.get()), (fed, bytes));
    let volume = &harvest.volume;
    let levels = [volume.debug, volume.info, volume.warn, volume.error, volume.unlevelled];
    // Beside a plain log the levels are those of the output.
    assert!(put_out || levels.iter().map(|level| level.get()).sum::<u64>() == fed);
});
