//! Masking: what must not leave the sidecar, and what is left out so that lines of one kind can be counted together.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::watch::SessionHash;

/// Hides what must not get out: live credentials, and what people said to their tools.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    key: [u8; 32],
    keeps: bool,
}

impl Mask {
    /// Session ids are hashed with this key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, keeps: false }
    }

    /// Hides nothing any more but session ids, which are live credentials in any case.
    pub fn keep(&mut self) {
        self.keeps = true;
    }

    /// The key of session hashes.
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The text as it may go out: session ids are keyed hashes, key-like strings, prompts and arguments a mark. What holds none of
    /// these is not touched, and costs one look. What stands between the quotes of a string in such a text holds none, either.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !may_be_private(text) {
            return Cow::Borrowed(text);
        }
        let text = if self.keeps { Cow::Borrowed(text) } else { content(text) };
        if has_secrets(&text) { Cow::Owned(secrets(&text, &self.key, self.keeps)) } else { text }
    }
}

/// Keys of objects whose values are what people said to their tools, or what opens doors.
const PRIVATE_KEYS: [&str; 14] = [
    "prompt",
    "prompts",
    "arguments",
    "args",
    "params",
    "input",
    "apiKey",
    "api_key",
    "authorization",
    "Authorization",
    "token",
    "password",
    "secret",
    "x-api-key",
];

static PRIVATE: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| searcher(PRIVATE_KEYS.iter()));
/// Whatever could be the beginning of something private.
static SUSPECTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| searcher(PRIVATE_KEYS.iter().chain(&KEY_BEGINNINGS)));

/// `None` would mean that so few words can't be searched for; then every text takes the slow way.
fn searcher(words: impl Iterator<Item = &'static &'static str>) -> Option<AhoCorasick> {
    AhoCorasick::builder().match_kind(aho_corasick::MatchKind::LeftmostLongest).build(words).ok()
}

/// A quick look, since hardly any line holds anything private: a suspicious word, or hyphens as far apart as those of a session id.
fn may_be_private(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hyphen = |at: usize| bytes.get(at) == Some(&b'-');
    memchr::memchr_iter(b'-', bytes).any(|at| hyphen(at + 5) && hyphen(at + 10) && hyphen(at + 15))
        || SUSPECTS.as_ref().is_none_or(|suspects| suspects.is_match(text))
}

/// What stands for a value that is not shown.
const MASKED: &str = "[masked]";

/// The text without the values of [`PRIVATE_KEYS`], in JSON, in JSON within JSON, and as Node prints objects.
fn content(text: &str) -> Cow<'_, str> {
    let Some(private) = &*PRIVATE else { return Cow::Owned(MASKED.to_owned()) };
    let (mut out, mut copied, mut from) = (String::new(), 0, 0);
    while let Some(found) = text.get(from..).and_then(|rest| private.find(rest)) {
        let key = from + found.start()..from + found.end();
        from = key.end;
        let Some(value) = value_of(text, &key) else { continue };
        out.push_str(&text[copied..value.start]);
        out.push_str(MASKED);
        (copied, from) = (value.end, value.end);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Where the value of a key stands, if this is a key: quoted, or bare at the beginning of a line, an object or a string, or behind a
/// comma.
fn value_of(text: &str, key: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let skip = |mut at: usize, byte: u8| {
        while bytes.get(at) == Some(&byte) {
            at += 1;
        }
        at
    };
    let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'');
    let quote = key.start.checked_sub(1).map(|at| bytes[at]).filter(is_quote);
    let closing = skip(key.end, b'\\');
    let is_quoted = quote.is_some() && bytes.get(closing) == quote.as_ref();
    let before_at = bytes[..key.start].iter().rposition(|byte| *byte != b' ');
    let before = before_at.map(|at| bytes[at]);
    if !is_quoted && !before.is_none_or(|before| matches!(before, b'{' | b',') || is_quote(&before)) {
        return None;
    }
    let mut at = skip(if is_quoted { closing + 1 } else { key.end }, b' ');
    if bytes.get(at) != Some(&b':') {
        return None;
    }
    at = skip(at + 1, b' ');
    let start = skip(at, b'\\');
    let escapes = start - at;
    // A bare key at the beginning of a string: what it stands for ends with the string at the latest.
    let string = before_at.filter(|at| !is_quoted && is_quote(&bytes[*at]));
    let bytes = string.map_or(bytes, |at| {
        let depth = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        &bytes[..end_of_string(bytes, key.end, bytes[at], depth)]
    });
    match bytes.get(start)? {
        quote @ (b'"' | b'\'' | b'`') => Some(start + 1..end_of_string(bytes, start + 1, *quote, escapes)),
        b'{' | b'[' => Some(at..end_of_group(bytes, at)),
        // Numbers and plain words are no secrets.
        _ => None,
    }
}

/// Where a string ends that began behind so many backslashes: at a quote behind as many, or at the end of a text that was cut.
fn end_of_string(bytes: &[u8], from: usize, quote: u8, escapes: usize) -> usize {
    let mut backslashes = 0;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        if *byte == quote && backslashes == escapes {
            return at - backslashes;
        }
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
        if backslashes == 2 * (escapes + 1) {
            // An escaped backslash of this depth.
            backslashes = 0;
        }
    }
    bytes.len()
}

/// Where an object or an array ends.
fn end_of_group(bytes: &[u8], from: usize) -> usize {
    let (mut depth, mut at) = (0_usize, from);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            quote @ (b'"' | b'\'') => {
                let escapes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
                at = end_of_string(bytes, at + 1, *quote, escapes) + escapes;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

/// Hides live credentials: session ids become keyed hashes, key-like strings a mark.
fn secrets(text: &str, key: &[u8; 32], keeps_keys: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for word in words(text) {
        if is_uuid(word) {
            out.push_str("session-");
            out.push_str(&SessionHash::of(word, key).to_string());
        } else if is_key(word) && !keeps_keys {
            out.push_str("[key]");
        } else {
            out.push_str(word);
        }
    }
    out
}

/// Whether a text holds anything that [`secrets`] would change.
fn has_secrets(text: &str) -> bool {
    words(text).any(|word| is_uuid(word) || is_key(word))
}

/// Whether a text holds anything that must not get out.
pub fn is_private(text: &str) -> bool {
    may_be_private(text) && (matches!(content(text), Cow::Owned(_)) || has_secrets(text))
}

/// The text with its numbers, ids and paths masked, so that lines of one kind are equal.
pub fn template(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(ends_path).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(if length == 0 { first.len_utf8() } else { length });
        rest = tail;
        if is_path(part) {
            out.push_str("<path>");
        } else {
            words(part).for_each(|word| out.push_str(templated(word)));
        }
    }
    out
}

/// What can't be part of a path in a message.
fn ends_path(letter: char) -> bool {
    letter.is_whitespace() || "'\"`()[]<>{},;=".contains(letter)
}

fn is_path(part: &str) -> bool {
    let beginnings = ["/", "./", "../", "~/", "file:///"];
    let rest = beginnings.iter().find_map(|beginning| part.strip_prefix(beginning));
    rest.is_some_and(|rest| rest.starts_with(|letter: char| letter.is_alphanumeric() || "._-@".contains(letter)))
}

fn templated(word: &str) -> &str {
    if is_uuid(word) || (word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        "<id>"
    } else if word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        "<n>"
    } else {
        word
    }
}

/// Splits a text into runs of word characters (ASCII letters, digits, `-`, `_`) and the runs between them; joined they are the text.
/// An escape of JSON (`\n`, `\u0027`) is no part of a word.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.bytes().next()?;
        let length = match first {
            b'\\' => escape(rest),
            _ => {
                let inside = is_word(first);
                rest.bytes().position(|byte| is_word(byte) != inside || byte == b'\\').unwrap_or(rest.len())
            }
        };
        let (word, tail) = rest.split_at(length);
        rest = tail;
        Some(word)
    })
}

/// How long the escape is that a text begins with; a backslash before anything else is only itself.
fn escape(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        Some(b'u') if bytes.get(2..6).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) => 6,
        Some(b'b' | b'f' | b'n' | b'r' | b't') => 2,
        _ => 1,
    }
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

    fn mask(text: &str) -> String {
        Mask::new([7; 32]).text(text).into_owned()
    }

    #[test]
    fn sessions_and_keys_do_not_get_out() {
        let text = "Cleaned up session ea498d21-9a09-41a7-ae0c-fcac767db87a with AIzaSyA1234567890abcdef";
        let masked = mask(text);
        assert!(is_private(text));
        assert!(!masked.contains("ea498d21") && !masked.contains("AIza"), "{masked}");
        assert_eq!(masked, mask(text));
        assert_ne!(masked, Mask::new([8; 32]).text(text));
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is() {
        for text in [
            "'é' client connected – 42 times, see /a/b-c",
            "Gemini rate limit exceeded during prompt analysis",
            "using allowed directories set from server args: [ '/srv/staging/data' ]",
            r#"{"msg":"prompt:","a":"b"}"#,
            r#"{"level":"info","prompt":null,"args":7,"msg":"Registered meta-tool: hub__analyze_prompt"}"#,
        ] {
            assert!(!is_private(text), "{text}");
            assert!(matches!(Mask::new([0; 32]).text(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn prompts_and_arguments_do_not_get_out_however_they_are_written() {
        for (text, masked) in [
            (r#"{"prompt":"say \"hi\"","a":1}"#, r#"{"prompt":"[masked]","a":1}"#),
            (r#"{"arguments":{"path":"/x","deep":[1,{"y":"}"}]},"a":1}"#, r#"{"arguments":[masked],"a":1}"#),
            (r#"{"msg":"{\"prompt\":\"hi there\",\"b\":2}"}"#, r#"{"msg":"{\"prompt\":\"[masked]\",\"b\":2}"}"#),
            ("failed { prompt: 'hi', apiKey: 'x' }", "failed { prompt: '[masked]', apiKey: '[masked]' }"),
            (r#"{"prompt":"cut in the mid"#, r#"{"prompt":"[masked]"#),
            (r#"{"prompt": "a", "prompt": "b"}"#, r#"{"prompt": "[masked]", "prompt": "[masked]"}"#),
            (r#"{"msg":"prompt: 'hi'","a":"b"}"#, r#"{"msg":"prompt: '[masked]'","a":"b"}"#),
            (r#"{"msg":"args: { a: 1 }"}"#, r#"{"msg":"args: [masked]"}"#),
            (r#"{"msg":"input: 'abc","prompt":"what's it"}"#, r#"{"msg":"input: '[masked]","prompt":"[masked]"}"#),
            (r#"{"msg":"args: [","prompt":"a] b","x":1}"#, r#"{"msg":"args: [masked]","prompt":"[masked]","x":1}"#),
        ] {
            assert_eq!(mask(text), masked);
        }
        let mut keeping = Mask::new([7; 32]);
        keeping.keep();
        assert_eq!(keeping.text(r#"{"prompt":"hi"}"#), r#"{"prompt":"hi"}"#);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_said_in_a_prompt_is_masked_and_the_rest_stays(said in "[^\u{0}]{0,40}", depth in 0..3usize) {
            let mut value = serde_json::json!({"before": 1, "prompt": format!("SAID{said}"), "after": "x"});
            for _ in 0..depth {
                value = serde_json::json!({"inner": value.to_string()});
            }
            let masked = mask(&value.to_string());
            proptest::prop_assert!(!masked.contains("SAID"), "{masked}");
            proptest::prop_assert!(masked.contains("after"), "{masked}");
        }
    }

    #[test]
    fn an_escape_before_a_session_or_a_key_hides_neither() {
        for escape in ["\\n", "\\t", "\\u0027", "\\\\n", "\\\""] {
            let masked =
                mask(&format!(r#"{{"msg":"of:{escape}ea498d21-9a09-41a7-ae0c-fcac767db87a{escape}AIzaSyA1234567890abcdef"}}"#));
            assert!(!masked.contains("ea498d21") && !masked.contains("AIza"), "{masked}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_message_that_is_cut_behind_a_key_hides_nothing_that_follows(
            key in "prompt|args|token",
            cut in "['\\[{(]{1,3}",
            said in "[a-z'\\[\\]{}]{0,9}",
        ) {
            let line = serde_json::json!({"a": "x", "msg": format!("{key}: {cut}"), "prompt": format!("{said}SAID{said}"), "z": 1});
            let within = serde_json::json!({"msg": line.to_string(), "y": 2}).to_string();
            for line in [line.to_string(), within] {
                let masked = mask(&line);
                proptest::prop_assert!(!masked.contains("SAID"), "{}", masked);
            }
        }

        #[test]
        fn a_message_of_a_line_that_holds_nothing_private_holds_nothing_private(
            said in "( ?(prompt|args|token|sk-0123456789abcdef|ea498d21-9a09-41a7-ae0c-fcac767db87a|x)[:' {,}a1-]{0,3}){0,4}",
            data in "[^\u{0}]{0,9}",
        ) {
            let line = serde_json::json!({"data": data, "msg": said, "port": 7}).to_string();
            proptest::prop_assert!(is_private(&line) || !is_private(&said), "{}", line);
        }
    }

    #[test]
    fn lines_of_one_kind_have_one_template() {
        assert_eq!(template("port 7000 in 12 ms"), template("port 7001 in 9 ms"));
        assert_eq!(template("v2 of x"), "v2 of x");
        assert_eq!(template("ENOENT: open '/home/a/x.json', 1/2 read"), "ENOENT: open '<path>', <n>/<n> read");
        assert_eq!(template("at file:///srv/hub/cli.js:10:3 (and/or)"), "at <path> (and/or)");
        assert_eq!(template("GET http://127.0.0.1:7000/é failed"), "GET http://<n>.<n>.<n>.<n>:<n>/é failed");
    }
}
