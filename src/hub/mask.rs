//! Masking: what must not leave the sidecar, and what is left out so that lines of one kind can be counted together.

use crate::watch::SessionHash;

/// Hides live credentials in a text that goes out: session ids become keyed hashes, key-like strings a mark.
pub fn secrets(text: &str, key: &[u8; 32]) -> String {
    let mut out = String::with_capacity(text.len());
    for word in words(text) {
        if is_uuid(word) {
            out.push_str("session-");
            out.push_str(&SessionHash::of(word, key).to_string());
        } else if is_key(word) {
            out.push_str("[key]");
        } else {
            out.push_str(word);
        }
    }
    out
}

/// Whether a text holds anything that [`secrets`] would change.
pub fn has_secrets(text: &str) -> bool {
    words(text).any(|word| is_uuid(word) || is_key(word))
}

/// The text with its numbers, ids and paths masked, so that lines of one kind are equal.
pub fn template(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in words(text) {
        if is_uuid(word) || (word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            out.push_str("<id>");
        } else if word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            out.push_str("<n>");
        } else {
            out.push_str(word);
        }
    }
    out
}

/// Splits a text into runs of word characters (ASCII letters, digits, `-`, `_`) and the runs between them; joined they are the text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.bytes().next()?;
        let inside = is_word(first);
        let length = rest.bytes().position(|byte| is_word(byte) != inside).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(length);
        rest = tail;
        Some(word)
    })
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// `8-4-4-4-12` hexadecimal digits: the form of the hub's session ids.
fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The beginnings of keys that staging hubs are run with: Google, GitHub, OpenAI and the like, Slack.
const KEY_BEGINNINGS: [&str; 9] = ["AIza", "ghp_", "gho_", "ghs_", "github_pat_", "sk-", "xoxb-", "xoxp-", "glpat-"];

/// A key is long; `sk-1` in a sentence is none.
const MIN_KEY: usize = 16;

fn is_key(word: &str) -> bool {
    word.len() >= MIN_KEY && KEY_BEGINNINGS.iter().any(|beginning| word.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_keys_do_not_get_out() {
        let text = "Cleaned up session ea498d21-9a09-41a7-ae0c-fcac767db87a with AIzaSyA1234567890abcdef";
        let masked = secrets(text, &[7; 32]);
        assert!(has_secrets(text));
        assert!(!masked.contains("ea498d21") && !masked.contains("AIza"), "{masked}");
        assert_eq!(masked, secrets(text, &[7; 32]));
        assert_ne!(masked, secrets(text, &[8; 32]));
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is() {
        let text = "'é' client connected – 42 times, see /a/b-c";
        assert_eq!(secrets(text, &[0; 32]), text);
        assert!(!has_secrets(text));
    }

    #[test]
    fn lines_of_one_kind_have_one_template() {
        assert_eq!(template("port 7000 in 12 ms"), template("port 7001 in 9 ms"));
        assert_eq!(template("v2 of x"), "v2 of x");
    }
}
