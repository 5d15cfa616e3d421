//! What the hub does about tools in the background: sorting them with an LLM, reading the marketplace. The hub goes on without either.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::watch::ToolFact;

/// What the hub did about tools in the background.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ToolHistory {
    /// Tools that the LLM sorted into a category.
    pub categorized: u64,
    /// Times that the LLM could not sort a tool.
    pub categorizations_failed: u64,
    /// What the hub said about the last of them.
    pub last_categorization_error: Option<String>,
    /// Times that the marketplace's registry could not be had.
    pub marketplace_failed: u64,
    /// What the hub said about the last of them.
    pub last_marketplace_error: Option<String>,
}

impl ToolHistory {
    pub(super) fn fact(&mut self, fact: &ToolFact) {
        match fact {
            ToolFact::ToolCategorized(_) => self.categorized += 1,
            ToolFact::CategorizationFailed(failed) => {
                self.categorizations_failed += 1;
                self.last_categorization_error = Some(failed.error.to_string());
            }
            ToolFact::MarketplaceFailed(failed) => {
                self.marketplace_failed += 1;
                self.last_marketplace_error = Some(failed.error.to_string());
            }
            // The detectors make an incident of an open breaker.
            ToolFact::BreakerChanged(_) => {}
            // Calls have their own history.
            ToolFact::ToolCallsCounted(_) | ToolFact::ToolCallSeen(_) => {}
        }
    }
}
