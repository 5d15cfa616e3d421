//! The last lines of the hub's log: errors, levels, and the log's shape.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::{Check, check};
use crate::hub::line;
use crate::judge::verdict::Verdict;
use crate::tail;
use crate::watch::{Level, LogShape};

/// Number of recent lines, by the strategy.
const RECENT_LINES: usize = 100;

/// Bytes that are read for them: a line has a few hundred bytes, a stack dump more.
const RECENT_BYTES: u64 = 256 * 1024;

/// "Errors: 0-1"; ten are the strategy's error spike.
const EXPECTED_ERRORS: usize = 1;
const MANY_ERRORS: usize = 10;

/// Returns true if a line is about a server that need not work.
fn is_expected(line: &str, expected: &BTreeMap<String, Vec<String>>) -> bool {
    let need_not = expected.iter().filter(|(_, states)| !states.is_empty() && states.iter().all(|state| state != "connected"));
    need_not.into_iter().any(|(name, _)| line.contains(&format!("\"{name}\"")) || line.contains(&format!("'{name}'")))
}

/// Checks the last lines: their levels, and errors except for those about servers that need not work.
pub(super) fn recent(log: &Path, expected: &BTreeMap<String, Vec<String>>) -> Vec<Check> {
    let end = match end_of(&tail::newest(log)) {
        Ok(end) => end,
        Err(error) => return vec![check("log", Verdict::Fail, format!("{} can't be read: {error}", log.display()), None)],
    };
    let lines: Vec<&str> = end.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(RECENT_LINES)..];
    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
    let mut errors = Vec::new();
    for text in last {
        let parsed = line::parse(text);
        *levels.entry(parsed.level.map_or("without level", Level::as_str)).or_default() += 1;
        if parsed.level == Some(Level::Error) && !is_expected(&parsed.text, expected) {
            errors.push(parsed.text.into_owned());
        }
    }
    let counted: Vec<_> = levels.iter().map(|(level, count)| format!("{count} {level}")).collect();
    let unlevelled = levels.get("without level").copied().unwrap_or(0) == last.len() && !last.is_empty();
    let verdict = match errors.len() {
        _ if unlevelled => Verdict::Inconclusive,
        count if count <= EXPECTED_ERRORS => Verdict::Pass,
        count if count <= MANY_ERRORS => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let latest = errors.last().map_or(String::new(), |error| format!(", the last: {}", crate::hub::mask::template(error)));
    let found = if unlevelled {
        "this log has no levels".to_owned()
    } else {
        format!("{} in the last {} lines{latest}", errors.len(), last.len())
    };
    vec![
        check("recent errors", verdict, found, Some("0 or 1".to_owned())),
        check(
            "log levels",
            Verdict::Pass,
            if counted.is_empty() { "the log is empty".to_owned() } else { counted.join(", ") },
            None,
        ),
    ]
}

/// Returns the shape of the last lines.
pub(super) fn shape_at_end(log: &Path) -> Option<LogShape> {
    let end = end_of(&tail::newest(log)).ok()?;
    let shapes: Vec<_> = end.lines().filter(|line| !line.trim().is_empty()).map(|text| line::parse(text).shape).collect();
    // Bare lines beside JSON are stack traces.
    shapes.iter().rfind(|shape| **shape != LogShape::LegacyFile).or(shapes.last()).copied()
}

fn end_of(log: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(RECENT_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(RECENT_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // In a longer file, the bytes begin inside a line.
    Ok(if size > RECENT_BYTES { text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned()) } else { text })
}
