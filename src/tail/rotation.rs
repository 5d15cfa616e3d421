//! The names of a log's rotated generations: `mcp-hub.log.1`, `mcp-hub.log-20261101.gz`, `mcp-hub.2026-11-01.3.log` …

/// The pattern of a log's rotated names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RotationNames {
    stem: String,
    extension: String,
}

impl RotationNames {
    /// Returns the names for the log with this name.
    pub(super) fn of(name: &str) -> Self {
        let (stem, extension) = match name.rfind('.') {
            Some(dot) if dot > 0 && !is_suffix(&name[dot..]) => name.split_at(dot),
            _ => (name, ""),
        };
        Self { stem: stem.to_owned(), extension: extension.to_owned() }
    }

    /// Derives the names from one generation's name, such as the target of a link called `current.log`.
    pub(super) fn of_generation(name: &str) -> Self {
        let mut names = Self::of(without_gz(name));
        while let Some(cut) = (1..names.stem.len()).find(|at| names.stem.is_char_boundary(*at) && is_suffix(&names.stem[*at..])) {
            names.stem.truncate(cut);
        }
        names
    }

    /// Returns whether a file with this name can be a generation of the log.
    pub(super) fn has(&self, name: &str) -> bool {
        let Some(rest) = without_gz(name).strip_prefix(&self.stem) else { return false };
        let Some(at) = rest.rfind(&self.extension) else { return false };
        let (before, after) = (&rest[..at], &rest[at + self.extension.len()..]);
        // Without an extension, `rfind` matches after the last byte: the whole suffix is in `before`.
        are_suffixes(before) && (are_suffixes(after) || matches!(after, ".old" | ".bak" | ".prev"))
    }
}

/// Returns a sort key for generations with equal times, oldest first: a number after the name grows with each rotation, one
/// inside the name with each new file.
pub(super) fn rotation_order(name: &str) -> (std::cmp::Reverse<u32>, String) {
    let behind = without_gz(name).rsplit_once('.').and_then(|(_, number)| number.parse().ok());
    let padded = name.split_inclusive(|byte: char| !byte.is_ascii_digit()).map(|part| format!("{part:0>12}")).collect();
    (std::cmp::Reverse(behind.unwrap_or(0)), padded)
}

/// Returns whether the name is of a gzip file.
pub(super) fn is_gzip(name: &str) -> bool {
    without_gz(name).len() < name.len()
}

fn without_gz(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name)
}

/// The longest suffix that is parsed, in bytes.
const MAX_SUFFIX_BYTES: usize = 64;

/// Accepts numbers and dates, each after a dot, a dash or an underscore, and an empty text.
fn are_suffixes(text: &str) -> bool {
    if text.len() > MAX_SUFFIX_BYTES {
        return false;
    }
    text.is_empty()
        || is_suffix(text)
        || (1..text.len()).any(|at| text.is_char_boundary(at) && is_suffix(&text[..at]) && are_suffixes(&text[at..]))
}

/// Accepts a number of up to 3 digits after a dot, or a date with or without a time. Longer numbers may be a hub's port.
fn is_suffix(text: &str) -> bool {
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
    fn numbers_and_dates_mark_a_generation() {
        let names = RotationNames::of("mcp-hub.log");
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
            assert!(names.has(name), "{name}");
        }
    }

    #[test]
    fn another_hubs_log_is_not_a_generation() {
        let names = RotationNames::of("mcp-hub.log");
        for name in [
            "mcp-hub-7001.log",
            "mcp-hub-two.log",
            "mcp-hub.log.swp",
            "mcp-hub.json",
            "other.log.1",
            "mcp-hub2.log",
            "mcp-hub.7001.log",
        ] {
            assert!(!names.has(name), "{name}");
        }
        assert!(!RotationNames::of("mcp-hub-7000.log").has("mcp-hub-7001.log.1"));
        assert!(!RotationNames::of("mcp-hub-7000.log").has("mcp-hub.log"));
    }

    #[test]
    fn a_log_without_an_extension_has_generations() {
        assert!(RotationNames::of("hublog").has("hublog.1"));
        assert!(RotationNames::of("hublog").has("hublog-20261101.gz"));
        assert!(!RotationNames::of("hublog").has("hublog-b"));
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
            assert!(rotation_order(older) < rotation_order(younger), "{older} {younger}");
        }
    }

    #[test]
    fn the_log_name_is_derived_from_a_generation() {
        let names = RotationNames::of_generation("mcp-hub.2026-11-01.3.log");
        assert_eq!(names, RotationNames::of("mcp-hub.log"));
        assert!(names.has("mcp-hub.2026-11-01.4.log"));
        assert!(RotationNames::of_generation("mcp-hub.log.2.gz").has("mcp-hub.log.3"));
    }
}
