//! What scenarios found.

use super::facts;
use crate::watch::names;
use crate::watch::record::record;
use crate::watch::text::Text;

record! {
    /// A scenario looked whether something held.
    pub struct ScenarioChecked {
        /// Which scenario.
        pub scenario: Text = names::SCENARIO,
        /// What should hold.
        pub check: Text = names::CHECK,
        /// Whether it did.
        pub held: bool = names::HELD,
        /// What was seen.
        pub detail: Option<Text> = names::DETAIL,
    }
}

facts! {
    /// What scenarios found.
    pub enum ScenarioFact in Scenario {
        ScenarioChecked = "hubwatch.scenario.checked",
    }
}
