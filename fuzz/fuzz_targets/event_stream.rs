//! An event stream: however its bytes are cut, the same is heard.

#![no_main]

use hubwatch::hub::events::EventReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = EventReader::default().feed(stream);
    let mut reader = EventReader::default();
    let parts: Vec<_> = stream.chunks(usize::from(*cut) + 1).flat_map(|part| reader.feed(part)).collect();
    assert_eq!(parts, whole);
});
