//! The quick way into a log line's JSON object: one pass over its bytes, borrowing everything.
//!
//! It knows less than JSON and says so: it takes objects as loggers write them (no white space between tokens, no `\u` in strings,
//! no exponents) and gives everything else back, valid or not, for a real parser to decide on. What it takes, a parser takes, too,
//! and sees the same in it: a property test holds it against `serde_json`.

/// Values nested deeper than this are left to the real parser.
const MAX_DEPTH: usize = 32;

/// Tells the key and the raw value of each member of the object that `json` is, in their order. `None` when it is none, or not as
/// loggers write them; the values reported until then must be discarded.
pub(crate) fn members<'a>(json: &'a str, mut tell: impl FnMut(&'a str, &'a str)) -> Option<()> {
    let bytes = json.as_bytes();
    let mut at = after(bytes, 0, b'{')?;
    if bytes.get(at) == Some(&b'}') {
        return (at + 1 == bytes.len()).then_some(());
    }
    loop {
        let key_end = string(bytes, at)?;
        let key = json.get(at + 1..key_end - 1)?;
        if key.contains('\\') {
            return None;
        }
        let begin = after(bytes, key_end, b':')?;
        let end = value(bytes, begin, MAX_DEPTH)?;
        tell(key, json.get(begin..end)?);
        match bytes.get(end)? {
            b',' => at = end + 1,
            b'}' => return (end + 1 == bytes.len()).then_some(()),
            _ => return None,
        }
    }
}

/// Behind `token`, if it stands at `at`.
fn after(bytes: &[u8], at: usize, token: u8) -> Option<usize> {
    (bytes.get(at) == Some(&token)).then_some(at + 1)
}

/// Behind the value that begins at `at`.
fn value(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string(bytes, at),
        b'{' => object(bytes, at + 1, depth.checked_sub(1)?),
        b'[' => array(bytes, at + 1, depth.checked_sub(1)?),
        b'-' | b'0'..=b'9' => number(bytes, at),
        b't' => word(bytes, at, b"true"),
        b'f' => word(bytes, at, b"false"),
        b'n' => word(bytes, at, b"null"),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(word).then_some(at + word.len())
}

fn object(bytes: &[u8], mut at: usize, depth: usize) -> Option<usize> {
    if bytes.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    loop {
        at = string(bytes, at)?;
        at = value(bytes, after(bytes, at, b':')?, depth)?;
        match bytes.get(at)? {
            b',' => at += 1,
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn array(bytes: &[u8], mut at: usize, depth: usize) -> Option<usize> {
    if bytes.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    loop {
        at = value(bytes, at, depth)?;
        match bytes.get(at)? {
            b',' => at += 1,
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Digits with at most one point between them. What follows must end the value, which the caller sees to.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let begin = at + usize::from(bytes.get(at) == Some(&b'-'));
    let whole = digits(bytes, begin)?;
    if bytes.get(begin) == Some(&b'0') && whole > begin + 1 {
        return None;
    }
    if bytes.get(whole) == Some(&b'.') { digits(bytes, whole + 1) } else { Some(whole) }
}

/// Behind at least one digit.
fn digits(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at..)?.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len() - at);
    (length > 0).then_some(at + length)
}

/// Behind the string that begins at `at` with its quote.
fn string(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = after(bytes, at, b'"')?;
    loop {
        at = plain(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match bytes.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                _ => return None,
            },
            // A control character.
            _ => return None,
        }
    }
}

/// The next byte that means something in a string: a quote, a backslash, a control character. Eight bytes at a time.
fn plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = special(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// The highest bit of each byte that is a quote, a backslash or a control character. Bits above the lowest one may be wrong, as a
/// subtraction borrows from the byte above.
const fn special(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const fn zero(bytes: u64) -> u64 {
        bytes.wrapping_sub(ONES) & !bytes
    }
    let quote = zero(bytes ^ (ONES * b'"' as u64));
    let backslash = zero(bytes ^ (ONES * b'\\' as u64));
    let control = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    (quote | backslash | control) & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn scanned(json: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        members(json, |key, value| found.push((key.to_owned(), value.to_owned()))).map(|()| found)
    }

    /// The members as `serde_json` sees them, repeated keys included.
    fn parsed(json: &str) -> Option<Vec<(String, String)>> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Vec<(String, String)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    found.push((key, value.get().to_owned()));
                }
                Ok(found)
            }
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let found = serde::Deserializer::deserialize_map(&mut deserializer, Members).ok()?;
        deserializer.end().ok().map(|()| found)
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<i32>().prop_map(|value| value.to_string()),
            any::<f32>().prop_filter("JSON has no NaN", |value| value.is_finite()).prop_map(|value| format!("{value}")),
            any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
            "[a-z '\\\\\"]{0,20}".prop_map(|value| serde_json::to_string(&value).unwrap()),
        ];
        let value = leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
                members_of(inner),
            ]
        });
        members_of(value)
    }

    fn members_of(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        let key = prop_oneof!["pid|msg|level|time", ".{0,6}"].prop_map(|key| serde_json::to_string(&key).unwrap());
        proptest::collection::vec((key, value), 0..6)
            .prop_map(|members| members.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(","))
            .prop_map(|members| format!("{{{members}}}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_is_taken_is_what_a_parser_sees(json in json()) {
            if let Some(found) = scanned(&json) {
                prop_assert_eq!(Some(found), parsed(&json));
            }
        }

        #[test]
        fn what_is_damaged_is_not_taken_for_more_than_it_is(
            json in json(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<char>(), any::<bool>()), 1..4),
        ) {
            let mut letters: Vec<char> = json.chars().collect();
            for (index, letter, insert) in edits {
                let at = index.index(letters.len());
                if insert { letters.insert(at, letter) } else { letters[at] = letter }
            }
            let json: String = letters.into_iter().collect();
            if let Some(found) = scanned(&json) {
                prop_assert_eq!(Some(found), parsed(&json));
            }
        }

        #[test]
        fn bytes_that_mean_something_are_found_wherever_they_stand(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let first = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
            prop_assert_eq!(plain(&bytes, 0), first);
        }
    }

    #[test]
    fn a_logger_s_lines_are_taken() {
        let members = scanned(r#"{"level":"info","pid":1,"data":{"a":[1,{}],"b":"x\ny"},"pid":2,"msg":"m"}"#).unwrap();
        let [level, pid, data, again, msg] = members.as_slice() else { panic!("{members:?}") };
        assert_eq!((level.1.as_str(), pid.1.as_str(), again.1.as_str(), msg.1.as_str()), (r#""info""#, "1", "2", r#""m""#));
        assert_eq!(data.1, r#"{"a":[1,{}],"b":"x\ny"}"#);
        assert_eq!(scanned("{}"), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_as_loggers_write_it_is_left_to_a_parser() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for json in
            ["", "{", "{}x", "{} ", "[]", r#"{"a": 1}"#, r#"{"a":1e5}"#, r#"{"a":01}"#, r#"{"\u0061":1}"#, r#"{"a":1,}"#, &deep]
        {
            assert_eq!(scanned(json), None, "{json}");
        }
    }
}
