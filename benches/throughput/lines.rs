//! Lines as a hub writes them with pino, each with its number, the same in every run.

use std::io::{self, BufWriter, Write};

/// The mixture of the recorded hubs' lines without their storms: 2 % warnings, 0.5 % errors, 3 % with a repeated key, 2 % whose
/// message is an object, some with nested objects and arrays. About 183 bytes each.
pub(crate) fn write(to: impl Write, lines: u64) -> io::Result<()> {
    let mut to = BufWriter::with_capacity(1 << 20, to);
    let mut random = fastrand::Rng::with_seed(7);
    // 2026-11-23T03:40:38.000Z
    let mut millis = 1_795_405_238_000_u64;
    for seq in 0..lines {
        millis += random.u64(0..3);
        line(&mut to, seq, &stamp(millis), &mut random)?;
    }
    to.flush()
}

/// One line; its number stands under `seq`.
pub(crate) fn line(to: &mut impl Write, seq: u64, time: &str, random: &mut fastrand::Rng) -> io::Result<()> {
    let level = match random.u16(0..1000) {
        0..5 => "error",
        5..25 => "warn",
        25..500 => "debug",
        _ => "info",
    };
    write!(to, r#"{{"level":"{level}","time":"{time}","pid":8668,"hostname":"staging-1","seq":{seq}"#)?;
    let port = 7000 + random.u16(0..4);
    match random.u8(0..100) {
        0..3 => write!(to, r#","port":{port},"cwd":"/srv/mcp-hub","pid":8668,"msg":"Registered workspace on port {port}"}}"#)?,
        3..5 => {
            let tools = random.u8(1..40);
            write!(
                to,
                r#","code":"Tool list of a server changed","msg":{{"server":"filesystem","tools":{tools},"changed":true}}}}"#
            )?;
        }
        5..11 => {
            let active = random.u8(0..9);
            write!(
                to,
                r#","port":{port},"updates":{{"activeConnections":{active},"state":"active"}},"msg":"Updated workspace state for port {port}"}}"#
            )?;
        }
        11..15 => {
            let after = random.u8(1..50);
            write!(
                to,
                r#","total":2,"successful":2,"failedServers":["a","b"],"after":{after},"msg":"Tool exposure computed for the client"}}"#
            )?;
        }
        15..45 => {
            let file = random.u32(..);
            write!(
                to,
                r#","server":"filesystem","durationMs":{},"msg":"Read /srv/staging/data/report-{file:08x}.md for the client"}}"#,
                random.u16(1..2_000)
            )?;
        }
        45..75 => {
            let kept = random.u16(0..500);
            write!(
                to,
                r#","cacheFile":"/home/hub/.local/state/mcp-hub/tool-cache.json","entries":{kept},"msg":"Tool cache written with {kept} entries"}}"#
            )?;
        }
        _ => {
            let took = random.u16(1..3_000);
            write!(
                to,
                r#","batchSize":{},"activeWorkspaces":1,"msg":"Sent a batch of events to the subscribers in {took} ms"}}"#,
                random.u8(1..50)
            )?;
        }
    }
    to.write_all(b"\n")
}

/// A time as pino writes it.
pub(crate) fn stamp(millis: u64) -> String {
    hubwatch::watch::Timestamp::from_millis(millis).to_string()
}
