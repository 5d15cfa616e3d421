//! The report as Markdown, from templates.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tera::{Context, Kwargs, State, Tera};

use super::model::Report;
use super::words;
use crate::causes;

/// The template's name, in the binary and in a folder of one's own.
pub const TEMPLATE: &str = "report.md";

const EMBEDDED: &str = include_str!("../../templates/report.md");

/// Why a report could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A template of the user's own can't be read.
    #[error("can't read the template {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// A template is wrong.
    #[error("the template {path} is wrong: {reason}")]
    Template {
        /// Which one.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

/// Renders the report by the embedded template, or by the one of this name in `folder`.
pub fn render(report: &Report, folder: Option<&Path>) -> Result<String, RenderError> {
    let path = folder.map_or_else(|| PathBuf::from("(embedded)"), Path::to_owned).join(TEMPLATE);
    let template = match folder {
        None => EMBEDDED.to_owned(),
        Some(_) => std::fs::read_to_string(&path).map_err(|reason| RenderError::Unreadable { path: path.clone(), reason })?,
    };
    let wrong = |error: tera::Error| RenderError::Template { path: path.clone(), reason: causes::of(&error) };
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::<&str>::new());
    tera.register_filter("duration", |value: u64, _: Kwargs, _: &State| words::duration(value));
    tera.register_filter("bytes", |value: u64, _: Kwargs, _: &State| words::bytes(value));
    tera.register_filter("permille", |value: u64, _: Kwargs, _: &State| words::permille(value));
    tera.register_filter("cell", |value: &str, _: Kwargs, _: &State| cell(value));
    tera.register_filter("prose", |value: &str, _: Kwargs, _: &State| prose(value));
    tera.register_filter("badge", |value: &str, _: Kwargs, _: &State| badge(value));
    tera.add_raw_template(TEMPLATE, &template).map_err(wrong)?;
    let context = Context::from_serialize(report).map_err(wrong)?;
    tera.render(TEMPLATE, &context).map_err(wrong)
}

/// Text that can't break out of a table's cell or become markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

/// Text whose `code` stays code; everything else stays text.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let closed = text.matches('`').count().is_multiple_of(2);
    let part = |(index, part): (usize, &str)| if index % 2 == 1 { format!("`{part}`") } else { cell(part) };
    if closed { parts.map(part).collect() } else { cell(text) }
}

/// A verdict that catches the eye, told by its sign as well as by its word.
fn badge(verdict: &str) -> String {
    let badges = HashMap::from([
        ("pass", "✅ pass"),
        ("warn", "⚠️ warn"),
        ("fail", "❌ **FAIL**"),
        ("inconclusive", "❔ inconclusive"),
        ("not_applicable", "➖ not applicable"),
    ]);
    badges.get(verdict).map_or_else(|| verdict.to_owned(), |badge| (*badge).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(prose("run `a_b` on <c_d>"), "run `a_b` on &lt;c\\_d&gt;");
        assert_eq!(prose("one ` alone"), "one \\` alone");
        assert_eq!(cell("a|b\n<c> `d`"), "a\\|b &lt;c&gt; \\`d\\`");
    }
}
