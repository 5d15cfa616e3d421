//! Formats of a log entry: the legacy file, the legacy stdout, pino, and the event stream.

use std::borrow::Cow;
use std::sync::Arc;

use super::fields::{Fields, quote};
use super::profile::Logger;
use crate::watch::Timestamp;

/// The severity that the hub gave an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The order in which the hub's code passes its arguments to the logger.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// The correct order: `(message, data)`.
    Plain,
    /// The fork's checkpoints: `(data, message)`. The legacy logger writes them swapped, pino drops the data.
    Swapped,
    /// The error helper called as `(message, data)`, though it wants `(code, message, data)`: the text ends up in `code`, the
    /// data in the message.
    TextAsCode,
    /// The error helper called as `(data, message)`: the data ends up in `code` (from the fork's public source, not recorded).
    DataAsCode,
}

/// A log entry before a logger formats it.
#[derive(Clone, Debug)]
pub(super) struct Saying {
    level: Level,
    text: Cow<'static, str>,
    fields: Fields,
    code: Option<&'static str>,
    shape: Shape,
}

impl Saying {
    pub(super) fn new(level: Level, text: impl Into<Cow<'static, str>>) -> Self {
        Self { level, text: text.into(), fields: Fields::new(), code: None, shape: Shape::Plain }
    }

    pub(super) fn debug(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Level::Debug, text)
    }

    pub(super) fn info(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Level::Info, text)
    }

    pub(super) fn warn(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Level::Warn, text)
    }

    pub(super) fn error(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Some(code), ..Self::new(Level::Error, text) }
    }

    pub(super) fn with(self, fields: Fields) -> Self {
        Self { fields, ..self }
    }

    /// Swaps the arguments, like the fork's checkpoints.
    pub(super) fn swapped(self, fields: Fields) -> Self {
        Self { fields, shape: Shape::Swapped, ..self }
    }

    /// Restores the correct order, as in a hub without the defect.
    pub(super) fn in_order(self: Arc<Self>) -> Arc<Self> {
        match self.shape {
            Shape::Plain => self,
            Shape::Swapped | Shape::TextAsCode | Shape::DataAsCode => Arc::new(Self { shape: Shape::Plain, ..Self::clone(&self) }),
        }
    }

    /// Creates an error whose text ends up in `code`.
    pub(super) fn text_as_code(text: String, fields: Fields) -> Self {
        Self { fields, shape: Shape::TextAsCode, ..Self::new(Level::Error, text) }
    }

    /// Creates an error whose data ends up in `code`.
    pub(super) fn data_as_code(text: &'static str, fields: Fields) -> Self {
        Self { fields, shape: Shape::DataAsCode, ..Self::new(Level::Error, text) }
    }

    fn code_json(&self) -> Option<String> {
        match self.shape {
            Shape::TextAsCode => Some(quote(&self.text)),
            Shape::DataAsCode => Some(self.fields.object()),
            Shape::Plain | Shape::Swapped => self.code.map(quote),
        }
    }

    /// Returns `message` and `data` as the legacy logger writes them.
    fn legacy_parts(&self) -> (String, String) {
        match self.shape {
            Shape::Plain => (quote(&self.text), self.fields.object()),
            Shape::Swapped => (self.fields.object(), quote(&self.text)),
            Shape::TextAsCode => (self.fields.object(), "{}".into()),
            Shape::DataAsCode => (quote(&self.text), "{}".into()),
        }
    }

    /// Returns `message` and `data` as the fork with pino sends them on its event stream.
    fn pino_event_parts(&self) -> (String, String) {
        match self.shape {
            Shape::Plain if self.code.is_none() => (quote(&self.text), self.fields.object()),
            Shape::Plain => (quote(&self.text), self.data_with_code()),
            Shape::Swapped => (quote(&self.text), "{}".into()),
            Shape::TextAsCode => (self.fields.object(), format!("{{\"code\":{}}}", quote(&self.text))),
            Shape::DataAsCode => (quote(&self.text), format!("{{\"code\":{}}}", self.fields.object())),
        }
    }

    fn data_with_code(&self) -> String {
        let code = self.code_json().unwrap_or_else(|| "null".into());
        let comma = if self.fields.as_str().is_empty() { "" } else { "," };
        format!("{{\"code\":{code}{comma}{}}}", self.fields.as_str())
    }
}

/// One entry of the hub's log.
#[derive(Clone, Debug)]
pub struct Entry {
    at: Timestamp,
    stamped: Timestamp,
    pid: u32,
    hostname: Arc<str>,
    saying: Arc<Saying>,
}

impl Entry {
    /// Creates an entry written at `at`, when the hub's clock showed `stamped`.
    pub(super) fn new(at: Timestamp, stamped: Timestamp, pid: u32, hostname: Arc<str>, saying: Arc<Saying>) -> Self {
        Self { at, stamped, pid, hostname, saying }
    }

    /// Returns the real time of writing, independent of the hub's clock.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns its line in the log file, without line end (recordings: `mcp-hub.log`).
    pub fn file_line(&self, logger: Logger) -> Cow<'_, str> {
        match (logger, &self.saying.shape) {
            (Logger::Pino, _) => Cow::Owned(self.pino_line()),
            (Logger::Legacy, Shape::Plain | Shape::DataAsCode) => Cow::Borrowed(&self.saying.text),
            (Logger::Legacy, Shape::Swapped | Shape::TextAsCode) => Cow::Borrowed("[object Object]"),
        }
    }

    /// Returns its line on stdout, without line end (recordings: `stdout.log`).
    pub fn stdout_line(&self, logger: Logger) -> String {
        match logger {
            Logger::Pino => self.pino_line(),
            Logger::Legacy => self.legacy_json(),
        }
    }

    /// Returns its JSON object on the event stream (recordings: `events.sse`). With pino every `type` is `debug`, errors included.
    pub fn event_json(&self, logger: Logger) -> String {
        match logger {
            Logger::Legacy => self.legacy_json(),
            Logger::Pino => {
                let (message, data) = self.saying.pino_event_parts();
                self.event_object("debug", &message, &data)
            }
        }
    }

    fn legacy_json(&self) -> String {
        let (message, data) = self.saying.legacy_parts();
        self.event_object(self.saying.level.name(), &message, &data)
    }

    fn event_object(&self, level: &str, message: &str, data: &str) -> String {
        let code = self.saying.code_json().map(|code| format!(",\"code\":{code}")).unwrap_or_default();
        format!("{{\"type\":\"{level}\",\"message\":{message},\"data\":{data},\"timestamp\":\"{}\"{code}}}", self.stamped)
    }

    fn pino_line(&self) -> String {
        let saying = &self.saying;
        let code = saying.code_json().map(|code| format!("\"code\":{code},")).unwrap_or_default();
        let (fields, message) = match saying.shape {
            Shape::Plain => (saying.fields.as_str(), quote(&saying.text)),
            Shape::Swapped | Shape::DataAsCode => ("", quote(&saying.text)),
            Shape::TextAsCode => ("", saying.fields.object()),
        };
        let comma = if fields.is_empty() { "" } else { "," };
        format!(
            "{{\"level\":\"{}\",\"time\":\"{}\",\"pid\":{},\"hostname\":\"{}\",{code}{fields}{comma}\"msg\":{message}}}",
            saying.level.name(),
            self.stamped,
            self.pid,
            self.hostname,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(saying: Saying) -> Entry {
        let at = Timestamp::parse("2026-11-23T03:41:19.962Z").unwrap();
        Entry::new(at, at, 8668, "staging-1".into(), Arc::new(saying))
    }

    #[test]
    fn an_invalid_key_is_written_as_in_the_recordings() {
        let entry = entry(Saying::text_as_code(
            "Gemini API key invalid during prompt analysis".into(),
            Fields::new().text("prompt", "Check my github pull requests"),
        ));
        assert_eq!(
            entry.file_line(Logger::Pino),
            r#"{"level":"error","time":"2026-11-23T03:41:19.962Z","pid":8668,"hostname":"staging-1","code":"Gemini API key invalid during prompt analysis","msg":{"prompt":"Check my github pull requests"}}"#
        );
        assert_eq!(
            entry.event_json(Logger::Pino),
            r#"{"type":"debug","message":{"prompt":"Check my github pull requests"},"data":{"code":"Gemini API key invalid during prompt analysis"},"timestamp":"2026-11-23T03:41:19.962Z","code":"Gemini API key invalid during prompt analysis"}"#
        );
        assert_eq!(
            entry.stdout_line(Logger::Legacy),
            r#"{"type":"error","message":{"prompt":"Check my github pull requests"},"data":{},"timestamp":"2026-11-23T03:41:19.962Z","code":"Gemini API key invalid during prompt analysis"}"#
        );
        assert_eq!(entry.file_line(Logger::Legacy), "[object Object]");
    }

    #[test]
    fn a_checkpoint_keeps_its_session_only_on_the_legacy_stdout() {
        let entry = entry(Saying::debug("CHECKPOINT 5: Client tools updated").swapped(Fields::new().text("sessionId", "s-1")));
        assert_eq!(
            entry.stdout_line(Logger::Legacy),
            r#"{"type":"debug","message":{"sessionId":"s-1"},"data":"CHECKPOINT 5: Client tools updated","timestamp":"2026-11-23T03:41:19.962Z"}"#
        );
        assert!(!entry.file_line(Logger::Pino).contains("s-1"));
        assert_eq!(entry.file_line(Logger::Legacy), "[object Object]");
    }
}
