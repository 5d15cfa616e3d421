//! Text that every trace backend keeps whole.

use std::fmt;

/// The longest text that leaves the sidecar in an attribute. Tempo cuts values at 2,048 bytes without a word; half of that leaves
/// room for what relays add.
pub const MAX_TEXT_BYTES: usize = 1024;

/// What stands at the end of a text that was cut.
pub const CUT_MARK: &str = "…[cut]";

/// A string of at most [`MAX_TEXT_BYTES`]; a longer one is cut on a character's border and ends with [`CUT_MARK`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(from = "String")]
pub struct Text(String);

impl Text {
    /// Takes the text as it is, or cut with a mark.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > MAX_TEXT_BYTES {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES - CUT_MARK.len()));
            text.push_str(CUT_MARK);
        }
        Self(text)
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
impl proptest::arbitrary::Arbitrary for Text {
    type Parameters = ();
    type Strategy = proptest::strategy::BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::prelude::*;
        prop_oneof!["[a-z ']{0,20}", any::<String>(), "é{600}"].prop_map(Self::new).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_on_a_characters_border_and_says_so() {
        let text = Text::new("é".repeat(MAX_TEXT_BYTES));
        assert!(text.as_str().len() <= MAX_TEXT_BYTES);
        assert!(text.as_str().ends_with(CUT_MARK));
        assert_eq!(Text::new(text.as_str()), text);
    }
}
