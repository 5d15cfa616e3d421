//! Lines of a container's output, as the runtime keeps them: Docker's `json-file` and the CRI's format. Each wraps what the hub
//! wrote in a frame with a time, and splits long lines into parts.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::watch::Timestamp;

/// Parts of one line are joined up to this: as long as the longest line that is read from a file.
pub const MAX_JOINED: usize = 1024 * 1024;

/// Takes the frames off the lines of one source.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Unframer {
    /// The parts of an unfinished line, by the stream that they belong to.
    stdout: Parts,
    stderr: Parts,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Parts {
    text: String,
    cut: bool,
}

/// A line without its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unframed<'a> {
    /// What the hub wrote.
    pub text: Cow<'a, str>,
    /// When the runtime took it; `None` for a line that has no frame.
    pub stamped: Option<Timestamp>,
    /// Whether it was longer than [`MAX_JOINED`].
    pub cut: bool,
}

/// A frame taken apart.
struct Frame<'a> {
    text: Cow<'a, str>,
    stamped: Option<Timestamp>,
    stderr: bool,
    ends: bool,
}

impl Unframer {
    /// What the hub wrote; `None` while parts are missing.
    pub fn take<'a>(&mut self, line: &'a str) -> Option<Unframed<'a>> {
        let Some(frame) = docker(line).or_else(|| cri(line)) else {
            return Some(Unframed { text: Cow::Borrowed(line), stamped: None, cut: false });
        };
        let parts = if frame.stderr { &mut self.stderr } else { &mut self.stdout };
        if frame.ends && parts.text.is_empty() {
            return Some(Unframed { text: frame.text, stamped: frame.stamped, cut: false });
        }
        parts.add(&frame.text);
        if !frame.ends {
            return None;
        }
        let Parts { text, cut } = std::mem::take(parts);
        Some(Unframed { text: Cow::Owned(text), stamped: frame.stamped, cut })
    }

    /// Whether parts of a line wait for their end.
    pub fn is_waiting(&self) -> bool {
        !self.stdout.text.is_empty() || !self.stderr.text.is_empty()
    }
}

impl Parts {
    fn add(&mut self, part: &str) {
        let mut room = MAX_JOINED.saturating_sub(self.text.len()).min(part.len());
        while !part.is_char_boundary(room) {
            room -= 1;
        }
        self.cut |= room < part.len();
        self.text.push_str(&part[..room]);
    }
}

/// `{"log":"text\n","stream":"stdout","time":"…"}`; a part of a longer line has no `\n` at its end.
fn docker(line: &str) -> Option<Frame<'_>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct JsonFile<'a> {
        #[serde(borrow)]
        log: Cow<'a, str>,
        stream: &'a str,
        time: &'a str,
        #[serde(default, rename = "attrs")]
        _attributes: serde::de::IgnoredAny,
    }
    if !line.starts_with("{\"log\":") {
        return None;
    }
    let JsonFile { mut log, stream, time, .. } = serde_json::from_str(line).ok()?;
    let ends = log.ends_with('\n');
    if ends {
        let without = log.len() - 1;
        match &mut log {
            Cow::Borrowed(text) => *text = &text[..without],
            Cow::Owned(text) => text.truncate(without),
        }
    }
    Some(Frame { text: log, stamped: Timestamp::parse(time), stderr: stream == "stderr", ends })
}

/// `2026-11-23T03:40:38.102000000Z stdout F text`; `P` instead of `F` for a part of a longer line.
fn cri(line: &str) -> Option<Frame<'_>> {
    line.as_bytes().first().filter(|first| first.is_ascii_digit())?;
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    if !matches!(stream, "stdout" | "stderr") {
        return None;
    }
    // Tags are separated by colons; the first one is all that is defined.
    let ends = match tags.split(':').next()? {
        "F" => true,
        "P" => false,
        _ => return None,
    };
    let stamped = Some(Timestamp::parse(time)?);
    Some(Frame { text: Cow::Borrowed(text), stamped, stderr: stream == "stderr", ends })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        let mut unframer = Unframer::default();
        lines.iter().filter_map(|line| unframer.take(line)).map(|line| line.text.into_owned()).collect()
    }

    #[test]
    fn dockers_frames_come_off_and_parts_are_joined() {
        let lines = [
            r#"{"log":"{\"level\":\"info\"}\n","stream":"stdout","time":"2026-11-23T03:40:38.102000001Z"}"#,
            r#"{"log":"one ","stream":"stdout","time":"2026-11-23T03:40:38.2Z"}"#,
            r#"{"log":"from stderr\n","stream":"stderr","time":"2026-11-23T03:40:38.2Z"}"#,
            r#"{"log":"line\n","stream":"stdout","time":"2026-11-23T03:40:38.3Z","attrs":{"tag":"x"}}"#,
        ];
        assert_eq!(texts(&lines), [r#"{"level":"info"}"#, "from stderr", "one line"]);
    }

    #[test]
    fn the_cri_s_frames_come_off_and_parts_are_joined() {
        let lines = [
            "2026-11-23T03:40:38.102000001Z stdout F {\"level\":\"info\"}",
            "2026-11-23T03:40:38.102+01:00 stderr P one ",
            "2026-11-23T03:40:38.102+01:00 stderr F line",
            "2026-11-23T03:40:38.102Z stdout F ",
        ];
        assert_eq!(texts(&lines), [r#"{"level":"info"}"#, "one line", ""]);
    }

    #[test]
    fn a_line_without_a_frame_stays_as_it_is() {
        for line in
            ["", "2026-11-23T03:40:38Z stdout", "a stdout F b", r#"{"log":1}"#, r#"{"log":"x","msg":"y"}"#, "[object Object]"]
        {
            assert_eq!(texts(&[line]), [line]);
        }
    }

    proptest! {
        #[test]
        fn however_a_runtime_cuts_a_line_it_comes_back_whole(parts in proptest::collection::vec("[^\n\r]{0,20}", 1..6)) {
            let last = parts.len() - 1;
            let docker = parts.iter().enumerate().map(|(index, part)| {
                let log = format!("{part}{}", if index == last { "\n" } else { "" });
                serde_json::json!({"log": log, "stream": "stdout", "time": "2026-11-23T03:40:38Z"})
            });
            // Docker writes the keys in this order.
            let docker: Vec<String> = docker
                .map(|frame| format!("{{\"log\":{},\"stream\":\"stdout\",\"time\":\"2026-11-23T03:40:38Z\"}}", frame["log"]))
                .collect();
            let cri: Vec<String> = parts.iter().enumerate()
                .map(|(index, part)| format!("2026-11-23T03:40:38Z stdout {} {part}", if index == last { 'F' } else { 'P' }))
                .collect();
            for lines in [docker, cri] {
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                prop_assert_eq!(texts(&lines), vec![parts.concat()]);
            }
        }
    }
}
