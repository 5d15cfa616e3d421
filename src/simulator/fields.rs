//! Data of a log line, in the hub's order (a JSON map type would sort it).

use std::fmt::Write as _;

/// The members of a JSON object, without the braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(String);

impl Fields {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, quote(value))
    }

    pub(super) fn texts(self, key: &str, values: &[String]) -> Self {
        let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
        self.raw(key, format!("[{}]", quoted.join(",")))
    }

    /// Adds a value that is JSON already.
    pub(super) fn raw(mut self, key: &str, json: impl std::fmt::Display) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a string can't fail.
        let _ = write!(self.0, "{comma}\"{key}\":{json}");
        self
    }

    /// Returns the whole object.
    pub(super) fn object(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// Returns a JSON string literal.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
