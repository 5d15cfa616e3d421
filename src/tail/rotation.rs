//! The names that a log's older generations have: `mcp-hub.log.1`, `mcp-hub.log-20261101.gz`, `mcp-hub.2026-11-01.3.log` …

/// How a log's generations are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    stem: String,
    extension: String,
}

impl Family {
    /// Of the log with this name.
    pub(super) fn of(name: &str) -> Self {
        let (stem, extension) = match name.rfind('.') {
            Some(dot) if dot > 0 && !is_mark(&name[dot..]) => name.split_at(dot),
            _ => (name, ""),
        };
        Self { stem: stem.to_owned(), extension: extension.to_owned() }
    }

    /// Of the log of which a generation has this name: what a link called `current.log` points to, say.
    pub(super) fn of_generation(name: &str) -> Self {
        let mut family = Self::of(without_packing(name));
        while let Some(cut) = (1..family.stem.len()).find(|at| family.stem.is_char_boundary(*at) && is_mark(&family.stem[*at..])) {
            family.stem.truncate(cut);
        }
        family
    }

    /// Whether a file with this name can be a generation of the log.
    pub(super) fn has(&self, name: &str) -> bool {
        let Some(rest) = without_packing(name).strip_prefix(&self.stem) else { return false };
        let Some(at) = rest.rfind(&self.extension) else { return false };
        let (before, after) = (&rest[..at], &rest[at + self.extension.len()..]);
        // Without an extension everything found its place behind the last byte.
        is_marks(before) && (is_marks(after) || matches!(after, ".old" | ".bak" | ".prev"))
    }
}

/// What tells which of two generations is the older one if their times don't: a number behind the name grows with each rotation, and
/// one inside it with each new file.
pub(super) fn age(name: &str) -> (std::cmp::Reverse<u32>, String) {
    let behind = without_packing(name).rsplit_once('.').and_then(|(_, number)| number.parse().ok());
    let padded = name.split_inclusive(|byte: char| !byte.is_ascii_digit()).map(|part| format!("{part:0>12}")).collect();
    (std::cmp::Reverse(behind.unwrap_or(0)), padded)
}

/// Whether what is called so is packed.
pub(super) fn is_packed(name: &str) -> bool {
    without_packing(name).len() < name.len()
}

fn without_packing(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name)
}

/// The longest text between or behind the parts of a log's name that is looked at.
const MAX_MARKS: usize = 64;

/// Numbers and dates, each behind a dot, a dash or an underscore; none is fine, too.
fn is_marks(text: &str) -> bool {
    if text.len() > MAX_MARKS {
        return false;
    }
    text.is_empty()
        || is_mark(text)
        || (1..text.len()).any(|at| text.is_char_boundary(at) && is_mark(&text[..at]) && is_marks(&text[at..]))
}

/// A number of a few digits behind a dot, or a date with or without a time. Other numbers may be a port: they tell hubs apart.
fn is_mark(text: &str) -> bool {
    let Some(value) = text.strip_prefix(['.', '-', '_']) else { return false };
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let is_number = text.starts_with('.') && digits == value.len() && (1..=3).contains(&digits);
    let is_date = digits >= 8
        && value.starts_with(|first: char| first.is_ascii_digit())
        && value.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'T' | b'Z' | b'_' | b'+'));
    is_number || is_date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates_make_a_generation() {
        let family = Family::of("mcp-hub.log");
        for name in [
            "mcp-hub.log.1",
            "mcp-hub.log.12.gz",
            "mcp-hub.log-20261101",
            "mcp-hub.log-20261101-1793500000.gz",
            "mcp-hub-20261101.log",
            "mcp-hub.1.log",
            "mcp-hub.2026-11-01.3.log",
            "mcp-hub.2026-11-01T10:00:00Z.log",
            "mcp-hub.log.old",
        ] {
            assert!(family.has(name), "{name}");
        }
    }

    #[test]
    fn another_hubs_log_is_no_generation() {
        let family = Family::of("mcp-hub.log");
        for name in [
            "mcp-hub-7001.log",
            "mcp-hub-two.log",
            "mcp-hub.log.swp",
            "mcp-hub.json",
            "other.log.1",
            "mcp-hub2.log",
            "mcp-hub.7001.log",
        ] {
            assert!(!family.has(name), "{name}");
        }
        assert!(!Family::of("mcp-hub-7000.log").has("mcp-hub-7001.log.1"));
        assert!(!Family::of("mcp-hub-7000.log").has("mcp-hub.log"));
    }

    #[test]
    fn a_name_without_an_extension_has_generations() {
        assert!(Family::of("hublog").has("hublog.1"));
        assert!(Family::of("hublog").has("hublog-20261101.gz"));
        assert!(!Family::of("hublog").has("hublog-b"));
    }

    #[test]
    fn the_older_generation_comes_first() {
        for (older, younger) in [
            ("hub.log.10", "hub.log.9"),
            ("hub.log.2.gz", "hub.log.1"),
            ("hub.log.1", "hub.log"),
            ("hub.9.log", "hub.10.log"),
            ("hub.log-20261101", "hub.log-20261102"),
        ] {
            assert!(age(older) < age(younger), "{older} {younger}");
        }
    }

    #[test]
    fn the_family_is_found_from_a_generation() {
        let family = Family::of_generation("mcp-hub.2026-11-01.3.log");
        assert_eq!(family, Family::of("mcp-hub.log"));
        assert!(family.has("mcp-hub.2026-11-01.4.log"));
        assert!(Family::of_generation("mcp-hub.log.2.gz").has("mcp-hub.log.3"));
    }
}
