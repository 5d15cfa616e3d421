//! A configuration: read, or refused with a reason.

#![no_main]

use hubwatch::config::{duration, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(problem) = file::parse(text) {
        assert!(!problem.is_empty());
    }
    let _ = duration(text);
});
