//! The yardstick: the least that a program does which turns such a file into OTLP. A tape of each line's JSON, written straight to
//! protobuf in batches of a thousand; no network, no disk but the reading, no following, no identity, no knowledge of what lines mean.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use prost::encoding::{encode_varint, encoded_len_varint};
use simd_json::{Buffers, Node, StaticNode, Tape};

const BATCH: usize = 1000;
const READ: usize = 1 << 20;

/// Converts the file; gives back how many records and bytes that made.
pub(crate) fn run(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let mut work = Work::default();
    let mut chunk = vec![0; READ];
    let mut held = 0;
    loop {
        let read = file.read(&mut chunk[held..])?;
        if read == 0 {
            break;
        }
        let filled = held + read;
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &chunk[start..filled]) {
            work.line(&mut chunk[start..start + length]);
            start += length + 1;
        }
        chunk.copy_within(start..filled, 0);
        held = filled - start;
    }
    work.finish();
    Ok((work.records, work.bytes))
}

#[derive(Default)]
struct Work {
    buffers: Buffers,
    record: Vec<u8>,
    batch: Vec<u8>,
    in_batch: usize,
    records: u64,
    bytes: u64,
}

impl Work {
    fn line(&mut self, line: &mut [u8]) {
        let Ok(tape) = simd_json::to_tape_with_buffers(line, &mut self.buffers) else { return };
        self.record.clear();
        record(&tape, &mut self.record);
        field(0x12, &self.record, &mut self.batch);
        self.records += 1;
        self.in_batch += 1;
        if self.in_batch == BATCH {
            self.finish();
        }
    }

    fn finish(&mut self) {
        // resource_logs { scope_logs { log_records … } }
        let scope = 1 + encoded_len_varint(self.batch.len() as u64) + self.batch.len();
        self.bytes += (1 + encoded_len_varint(scope as u64) + scope) as u64;
        std::hint::black_box(&self.batch);
        self.batch.clear();
        self.in_batch = 0;
    }
}

fn record(tape: &Tape<'_>, out: &mut Vec<u8>) {
    let nodes = &tape.0;
    let Some(Node::Object { len, .. }) = nodes.first() else { return };
    let mut at = 1;
    let mut body = None;
    for _ in 0..*len {
        let Node::String(key) = nodes[at] else { return };
        let value = at + 1;
        at = value + size(&nodes[value]);
        match (key, &nodes[value]) {
            ("time", Node::String(time)) => {
                out.push(0x09);
                out.extend_from_slice(&nanos(time.as_bytes()).unwrap_or(0).to_le_bytes());
            }
            ("level", Node::String(level)) => {
                let number = match *level {
                    "debug" => 5,
                    "info" => 9,
                    "warn" => 13,
                    _ => 17,
                };
                out.extend_from_slice(&[0x10, number]);
                field(0x1a, level.as_bytes(), out);
            }
            ("msg", _) => body = Some(value),
            (key, _) => {
                let value_len = any_len(nodes, value);
                out.push(0x32);
                encode_varint((framed(key.len()) + framed(value_len)) as u64, out);
                field(0x0a, key.as_bytes(), out);
                any(nodes, value, 0x12, out);
            }
        }
    }
    if let Some(body) = body {
        any(nodes, body, 0x2a, out);
    }
}

/// `2026-11-23T03:40:38.102Z` as nanoseconds since 1970.
fn nanos(time: &[u8]) -> Option<u64> {
    let digits = |at: std::ops::Range<usize>| {
        time.get(at)?.iter().try_fold(0_u64, |sum, digit| Some(sum * 10 + u64::from(digit.checked_sub(b'0')?)))
    };
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    // Days since 1970 by a calendar whose year begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + digits(11..13)? * 3_600 + digits(14..16)? * 60 + digits(17..19)?;
    Some((seconds * 1_000 + digits(20..23)?) * 1_000_000)
}

/// The length of a field with a tag of one byte.
fn framed(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

fn size(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        _ => 1,
    }
}

/// The children of an array or an object: where each key and value stands.
fn children(nodes: &[Node<'_>], at: usize, each: usize, len: usize) -> impl Iterator<Item = usize> {
    let mut child = at + 1;
    (0..len).map(move |_| {
        let this = child;
        let value = this + each - 1;
        child = value + size(&nodes[value]);
        this
    })
}

fn pair_len(nodes: &[Node<'_>], key_at: usize) -> usize {
    let key = if let Node::String(key) = nodes[key_at] { key.len() } else { 0 };
    framed(key) + framed(any_len(nodes, key_at + 1))
}

fn items_len(nodes: &[Node<'_>], at: usize) -> usize {
    match nodes[at] {
        Node::Array { len, .. } => children(nodes, at, 1, len).map(|item| framed(any_len(nodes, item))).sum(),
        Node::Object { len, .. } => children(nodes, at, 2, len).map(|key| framed(pair_len(nodes, key))).sum(),
        _ => 0,
    }
}

fn any_len(nodes: &[Node<'_>], at: usize) -> usize {
    match nodes[at] {
        Node::String(text) => framed(text.len()),
        Node::Static(StaticNode::Bool(_)) => 2,
        Node::Static(StaticNode::I64(number)) => 1 + encoded_len_varint(number.cast_unsigned()),
        Node::Static(StaticNode::U64(number)) => 1 + encoded_len_varint(number),
        Node::Static(StaticNode::F64(_)) => 9,
        Node::Static(StaticNode::Null) => 0,
        Node::Array { .. } | Node::Object { .. } => framed(items_len(nodes, at)),
    }
}

fn any(nodes: &[Node<'_>], at: usize, tag: u8, out: &mut Vec<u8>) {
    out.push(tag);
    encode_varint(any_len(nodes, at) as u64, out);
    match nodes[at] {
        Node::String(text) => field(0x0a, text.as_bytes(), out),
        Node::Static(StaticNode::Bool(truth)) => out.extend_from_slice(&[0x10, truth.into()]),
        Node::Static(StaticNode::I64(number)) => {
            out.push(0x18);
            encode_varint(number.cast_unsigned(), out);
        }
        Node::Static(StaticNode::U64(number)) => {
            out.push(0x18);
            encode_varint(number, out);
        }
        Node::Static(StaticNode::F64(number)) => {
            out.push(0x21);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Node::Static(StaticNode::Null) => {}
        Node::Array { len, .. } => {
            out.push(0x2a);
            encode_varint(items_len(nodes, at) as u64, out);
            children(nodes, at, 1, len).for_each(|item| any(nodes, item, 0x0a, out));
        }
        Node::Object { len, .. } => {
            out.push(0x32);
            encode_varint(items_len(nodes, at) as u64, out);
            for key_at in children(nodes, at, 2, len) {
                out.push(0x0a);
                encode_varint(pair_len(nodes, key_at) as u64, out);
                if let Node::String(key) = nodes[key_at] {
                    field(0x0a, key.as_bytes(), out);
                }
                any(nodes, key_at + 1, 0x12, out);
            }
        }
    }
}

fn field(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}
