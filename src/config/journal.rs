//! Retention limits of the journal.

use super::environment::Environment;
use super::{ConfigError, Layers, Sourced, duration, parse};
use crate::journal::Limits;

impl<E: Environment> Layers<E> {
    /// Returns the limits of `[journal]`, with defaults for missing keys.
    pub fn journal_limits(&self) -> Result<Limits, ConfigError> {
        let (section, default) = (&self.file.journal, Limits::default());
        let picked = |key: &str, variable: &str, value: &Option<String>| {
            self.pick(("", None), variable, (&format!("journal.{key}"), value.as_deref()))
        };
        let size = |picked: Option<Sourced<String>>, or| picked.map_or(Ok(or), |size| parse(size, bytes));
        let age = picked("max_age", "HUBWATCH_JOURNAL_MAX_AGE", &section.max_age);
        Ok(Limits {
            max_bytes: size(picked("max_bytes", "HUBWATCH_JOURNAL_MAX_BYTES", &section.max_bytes), default.max_bytes)?,
            max_age: age.map_or(Ok(default.max_age), |age| parse(age, duration))?,
            reserve: size(picked("reserve", "HUBWATCH_JOURNAL_RESERVE", &section.reserve), default.reserve)?,
        })
    }
}

/// Parses a size such as `512 MiB`, `2GB` or `1000000`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let help = || "not a size; try 512 MiB or 2 GB".to_owned();
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| help())?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(help()),
    };
    number.checked_mul(unit).ok_or_else(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_write_them() {
        assert_eq!((bytes("512 MiB"), bytes("2GB"), bytes(" 7 ")), (Ok(512 << 20), Ok(2_000_000_000), Ok(7)));
        assert!(bytes("many").is_err() && bytes("5 bits").is_err() && bytes("99999999999 GiB").is_err());
    }

    #[test]
    fn missing_keys_have_their_defaults() {
        let layers = crate::config::layers(&[], "[journal]\nmax_bytes = '200 MB'\n");
        assert_eq!(layers.journal_limits().unwrap(), Limits { max_bytes: 200_000_000, ..Limits::default() });
    }
}
