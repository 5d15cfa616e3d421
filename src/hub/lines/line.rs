//! One line of a hub's log, in whichever of its three shapes (docs/hub.md, "The log").

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::scan;
use crate::watch::{Level, LogShape, Timestamp};

/// A line, taken apart: severity, time and text from where its shape really holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Which shape it has. Never [`LogShape::Mixed`].
    pub shape: LogShape,
    /// Its level, where the shape has one.
    pub level: Option<Level>,
    /// Its own time, where the shape has one.
    pub time: Option<Timestamp>,
    /// The message for people, wherever the hub put it.
    pub text: Cow<'a, str>,
    /// The MCP session it speaks of. A live credential: hash it before it goes anywhere.
    pub session: Option<Cow<'a, str>>,
    /// The hub's process, where the shape names it.
    pub pid: Option<u32>,
    /// The Gemini model in use, where the line names it.
    pub model: Option<Cow<'a, str>>,
    /// The object beside the text, unparsed: for pino the whole line, for the console logger the swapped message or the data.
    pub data: Option<&'a str>,
    /// Whether the message is an object, so that the legacy file can only show `[object Object]` for it.
    pub object: bool,
    /// Where in the line its time stands: what is left is the same for each line of a storm.
    pub time_at: Option<Range<usize>>,
}

/// Takes a line apart. A line that is not one of the JSON shapes is bare text: the legacy file's shape, or a stack trace.
pub fn parse(line: &str) -> LogLine<'_> {
    let json = if line.starts_with('{') { parse_json(line) } else { None };
    json.unwrap_or(LogLine {
        shape: LogShape::LegacyFile,
        level: None,
        time: None,
        text: Cow::Borrowed(line),
        session: None,
        pid: None,
        model: None,
        data: None,
        object: false,
        time_at: None,
    })
}

/// Where `part`, a slice of `line`, stands in it.
fn place(line: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
    Some(start..start + part.len()).filter(|place| place.end <= line.len())
}

fn parse_json(line: &str) -> Option<LogLine<'_>> {
    let fields = Fields::of(line)?;
    fields.pino(line).or_else(|| fields.console(line))
}

/// The keys that matter, unparsed. Keys can repeat (`pid` does); the first one is the logger's own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields<'a> {
    level: Option<&'a str>,
    time: Option<&'a str>,
    msg: Option<&'a str>,
    code: Option<&'a str>,
    pid: Option<&'a str>,
    model: Option<&'a str>,
    r#type: Option<&'a str>,
    message: Option<&'a str>,
    data: Option<&'a str>,
    timestamp: Option<&'a str>,
    session: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// Reads an object: quickly as loggers write it, otherwise by the whole of JSON.
    fn of(json: &'a str) -> Option<Self> {
        let mut fields = Self::default();
        match scan::members(json, |key, value| fields.keep(key, || value)) {
            Some(()) => Some(fields),
            None => Self::parsed(json),
        }
    }

    fn parsed(json: &'a str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let fields = deserializer.deserialize_map(FieldsVisitor).ok()?;
        deserializer.end().ok()?;
        Some(fields)
    }

    fn keep(&mut self, key: &str, value: impl FnOnce() -> &'a str) {
        if let Some(slot) = self.slot(key) {
            slot.get_or_insert_with(value);
        }
    }

    fn slot(&mut self, key: &str) -> Option<&mut Option<&'a str>> {
        Some(match key {
            "level" => &mut self.level,
            "time" => &mut self.time,
            "msg" => &mut self.msg,
            "code" => &mut self.code,
            "pid" => &mut self.pid,
            "model" => &mut self.model,
            "type" => &mut self.r#type,
            "message" => &mut self.message,
            "data" => &mut self.data,
            "timestamp" => &mut self.timestamp,
            "sessionId" => &mut self.session,
            _ => return None,
        })
    }

    /// Pino's shape. `msg` can be an object: the text is in `code` then.
    fn pino(&self, line: &'a str) -> Option<LogLine<'a>> {
        let level = level_of(&string(self.level?)?);
        let msg = self.msg?;
        let text = string(msg).or_else(|| string(self.code?)).unwrap_or(Cow::Borrowed(""));
        Some(LogLine {
            shape: LogShape::Pino,
            level,
            time: self.time.and_then(instant),
            text,
            session: self.session.and_then(string),
            pid: self.pid.and_then(|pid| pid.parse().ok()),
            model: self.model.and_then(string),
            data: Some(line),
            object: !msg.starts_with('"'),
            time_at: self.time.and_then(|time| place(line, time)),
        })
    }

    /// The console logger's shape. For checkpoint lines message and data are swapped: the message is an object with the session
    /// id, the data is the text. For errors the message can be an object and the text be in `code`.
    fn console(&self, line: &'a str) -> Option<LogLine<'a>> {
        let level = level_of(&string(self.r#type?)?);
        let message = self.message?;
        let data = self.data;
        let text = string(message).or_else(|| string(data?)).or_else(|| string(self.code?)).unwrap_or(Cow::Borrowed(""));
        let object = [Some(message), data].into_iter().flatten().find(|raw| raw.starts_with('{'));
        let inner = object.filter(|object| object.len() > 2).and_then(Fields::of);
        Some(LogLine {
            shape: LogShape::LegacyStdout,
            level,
            time: self.timestamp.and_then(instant),
            text,
            session: inner.as_ref().and_then(|inner| inner.session).and_then(string),
            pid: None,
            model: inner.as_ref().and_then(|inner| inner.model).and_then(string),
            data: object,
            object: !message.starts_with('"'),
            time_at: self.timestamp.and_then(|time| place(line, time)),
        })
    }
}

fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

fn instant(json: &str) -> Option<Timestamp> {
    Timestamp::parse(&string(json)?)
}

/// The level that a word stands for; a word that no logger uses has none.
fn level_of(word: &str) -> Option<Level> {
    Some(match word {
        "trace" | "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        "error" | "fatal" => Level::Error,
        _ => return None,
    })
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log line's JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value: &RawValue = map.next_value()?;
            fields.keep(&key, || value.get());
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pino_line_with_a_repeated_key_is_read() {
        let line = parse(
            r#"{"level":"info","time":"2026-11-23T03:40:38.115Z","pid":8668,"hostname":"h","pid":1,"msg":"Registered workspace on port 7000"}"#,
        );
        assert_eq!(line.shape, LogShape::Pino);
        assert_eq!(line.pid, Some(8668));
        assert_eq!(line.text, "Registered workspace on port 7000");
        assert_eq!(line.time, Timestamp::parse("2026-11-23T03:40:38.115Z"));
    }

    #[test]
    fn the_text_of_a_pino_line_whose_message_is_an_object_is_its_code() {
        let line = parse(
            r#"{"level":"error","time":"2026-11-23T03:40:38.115Z","pid":1,"code":"Gemini API key invalid during prompt analysis","msg":{"prompt":"secret"}}"#,
        );
        assert_eq!(line.text, "Gemini API key invalid during prompt analysis");
        assert_eq!(line.level, Some(Level::Error));
    }

    #[test]
    fn a_swapped_checkpoint_line_gives_its_text_and_its_session() {
        let line = parse(
            r#"{"type":"debug","message":{"sessionId":"abc","prompt":"p"},"data":"CHECKPOINT 1: handleAnalyzePrompt entry","timestamp":"2026-11-23T03:41:46.296Z"}"#,
        );
        assert_eq!(line.shape, LogShape::LegacyStdout);
        assert_eq!(line.text, "CHECKPOINT 1: handleAnalyzePrompt entry");
        assert_eq!(line.session.as_deref(), Some("abc"));
    }

    proptest! {
        #[test]
        fn however_an_object_is_written_its_fields_are_the_same(
            members in proptest::collection::vec(("level|time|msg|code|pid|data|x", any::<String>(), any::<bool>()), 0..8),
        ) {
            let member = |(key, text, nested): &(String, String, bool)| {
                let text = serde_json::to_string(text).unwrap();
                if *nested { format!(r#""{key}":{{"msg":{text}}}"#) } else { format!(r#""{key}":{text}"#) }
            };
            let members: Vec<String> = members.iter().map(member).collect();
            let tight = format!("{{{}}}", members.join(","));
            prop_assert_eq!(Fields::of(&tight), Fields::parsed(&tight));
            // White space is left to the parser.
            let wide = format!("{{ {} }}", members.join(" , "));
            prop_assert_eq!(Fields::of(&wide), Fields::of(&tight));
        }
    }

    #[test]
    fn anything_else_is_bare_text() {
        for text in ["[object Object]", "{not json", "{}", r#"{"a":1}"#, "", "    at Socket.emit (node:events:536:35)"] {
            let line = parse(text);
            assert_eq!((line.shape, &*line.text), (LogShape::LegacyFile, text));
        }
    }
}
