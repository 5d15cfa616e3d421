//! What the hub does about tools in the background: sorting them with an LLM, reading the marketplace.

use super::facts;
use crate::watch::names;
use crate::watch::record::{record, terms};
use crate::watch::text::Text;

terms! {
    /// The state of the circuit breaker before the LLM that sorts tools into categories.
    pub enum Breaker {
        /// Requests go through.
        Closed = "closed",
        /// Requests are refused.
        Open = "open",
        /// A request is tried.
        HalfOpen = "half_open",
    }
}

record! {
    /// The circuit breaker changed.
    pub struct BreakerChanged {
        /// Now.
        pub to: Breaker = names::TO,
    }
}

record! {
    /// The LLM sorted a tool into a category, in the background.
    pub struct ToolCategorized {
        /// Which tool.
        pub tool: Text = names::TOOL,
        /// Into which category.
        pub category: Text = names::CATEGORY,
    }
}

record! {
    /// The LLM could not sort a tool.
    pub struct CategorizationFailed {
        /// Which tool.
        pub tool: Text = names::TOOL,
        /// Why.
        pub error: Text = names::ERROR,
    }
}

record! {
    /// The marketplace's registry can't be had: the hub goes on without.
    pub struct MarketplaceFailed {
        /// What the hub says about it.
        pub error: Text = names::ERROR,
    }
}

facts! {
    /// What the hub does about tools in the background: sorting them with an LLM, reading the marketplace.
    pub enum ToolFact in Tool {
        BreakerChanged = "mcphub.breaker.changed",
        ToolCategorized = "mcphub.tool.categorized",
        CategorizationFailed = "mcphub.tool.categorization_failed",
        MarketplaceFailed = "mcphub.marketplace.failed",
    }
}
