//! TOML parsing. An error gives the position and a suggestion, and shows no value, since any may be a credential.

use serde::de::DeserializeOwned;

use crate::base::nearest::nearest;

/// Parses a text.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let message = error.message();
        let mut problem = without_value(message);
        if let Some(start) = error.span().map(|span| span.start) {
            problem = format!("{}: {problem}", place(text, start, message));
        }
        if let Some(meant) = suggestion(message) {
            problem.push_str(&format!("\ndid you mean `{meant}`?"));
        }
        problem
    })
}

/// Returns the position of an error and, if the error is about a value, its key.
fn place(text: &str, start: usize, message: &str) -> String {
    let before = text.get(..start).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    let place = format!("line {}, column {}", before.matches('\n').count() + 1, line.chars().count() + 1);
    let is_value = ["invalid type", "invalid value", "invalid length"].iter().any(|about| message.starts_with(about));
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|_| is_value);
    let bare = |key: &&str| key.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
    key.filter(bare).map_or(place.clone(), |key| format!("{place}, `{key}`"))
}

/// Hides the value in serde's message about a wrong type: `invalid type: string "…", expected a map`, ``integer `7`, expected a
/// string``. The expected part holds no quotation marks.
pub(crate) fn without_value(message: &str) -> String {
    let about = ["invalid type: ", "invalid value: "].iter().find(|about| message.starts_with(**about));
    if let Some((value, expected)) =
        about.and_then(|about| message.strip_prefix(about)).and_then(|message| message.rsplit_once(", expected "))
        && let Some((kind, _)) = value.split_once('`')
    {
        return format!("{}{kind}[hidden], expected {expected}", about.unwrap_or(&""));
    }
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}[hidden]{}", &message[..first], &message[last + 1..]),
        _ => message.to_owned(),
    }
}

/// Returns the known name that is most similar to the unknown one in serde's message: "unknown field `x`, expected one of `a`,
/// `b`".
fn suggestion(message: &str) -> Option<String> {
    let named = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut quoted = named.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_a_wrong_type_never_shows_the_value() {
        for value in ["123456789", "1.5e7", "true", "\"123456789\""] {
            let message = read::<std::collections::BTreeMap<String, Vec<u8>>>(&format!("password = {value}")).unwrap_err();
            assert!(message.contains("`password`") && !message.contains(value.trim_matches('"')), "{message}");
        }
    }
}
