//! What stands beside the text of a checkpoint line, where the logger did not drop it (docs/hub.md, "The log"): categories,
//! confidence, the parts of the response. Prompts and reasons are passed over: they stay in the hub.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The parts of such an object that are worth a fact.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Detail {
    /// The categories that the analysis found.
    pub categories: Option<Vec<String>>,
    /// The categories that the hub knows.
    pub valid_categories: Option<Vec<String>>,
    /// The categories that a session begins with.
    pub initial_categories: Option<Vec<String>>,
    /// The categories that were new.
    pub added_categories: Option<Vec<String>>,
    /// All categories of the session now.
    pub total_categories: Option<Vec<String>>,
    /// How sure the analysis was, 0 to 1.
    pub confidence: Option<f64>,
    /// The parts of the response.
    pub response: Option<Response>,
}

/// Which parts a response has.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Response {
    categories: Option<Seen>,
    confidence: Option<Seen>,
    reasoning: Option<Seen>,
    message: Option<Seen>,
}

/// Something is there; what, doesn't matter.
#[derive(Debug, Clone, PartialEq)]
struct Seen;

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Response {
    /// Whether a client gets all that the meta-tool promises.
    pub(crate) fn is_complete(&self) -> bool {
        self.categories.is_some() && self.confidence.is_some() && self.reasoning.is_some() && self.message.is_some()
    }
}

impl Detail {
    /// Reads the object; nothing at all from one that is not as expected.
    pub(crate) fn of(json: Option<&str>) -> Self {
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// The confidence in thousandths.
    pub(crate) fn confidence_permille(&self) -> Option<u32> {
        self.confidence.and_then(crate::hub::api::permille)
    }
}

/// Categories as one text.
pub(crate) fn joined(categories: &[String]) -> String {
    categories.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_complete_if_it_has_all_its_parts() {
        let whole = r#"{"response":{"categories":["a"],"confidence":0.9,"reasoning":null,"message":"m","nextStep":"n"}}"#;
        let detail = Detail::of(Some(whole));
        // A null is no part.
        assert!(!detail.response.unwrap().is_complete());
        let detail = Detail::of(Some(&whole.replace("null", "\"r\"")));
        assert!(detail.response.unwrap().is_complete());
    }

    #[test]
    fn confidence_is_read_in_thousandths_and_nonsense_is_none() {
        assert_eq!(Detail::of(Some(r#"{"confidence":0.93}"#)).confidence_permille(), Some(930));
        assert_eq!(Detail::of(Some(r#"{"confidence":93}"#)).confidence_permille(), None);
        assert_eq!(Detail::of(Some(r#"{"confidence":"high"}"#)), Detail::default());
        assert_eq!(Detail::of(None), Detail::default());
    }
}
