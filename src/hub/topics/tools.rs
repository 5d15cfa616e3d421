//! What the hub does beside serving its clients: tools, marketplace, subscribers, its log file.

use crate::hub::facts::Said;
use crate::hub::interpret::Interpreter;
use crate::hub::lines::meaning::{Meaning, call_lines, client_lines, hub_lines, process_lines, server_lines};
use crate::watch::{
    BreakerChanged, CategorizationFailed, LogWriteFailed, MarketplaceFailed, ServersStarted, SubscriberFailed, Text,
    ToolCategorized,
};

impl Interpreter {
    /// What the hub does beside serving its clients.
    pub(in crate::hub) fn of_background(&self, meaning: Meaning<'_>, said: &mut Said) {
        match meaning {
            Meaning::Breaker(to) => said.say(BreakerChanged { to }),
            Meaning::ToolCategorized { tool, category } => {
                said.say(ToolCategorized { tool: Text::new(tool), category: Text::new(category) });
            }
            Meaning::CategorizationFailed { tool, error } => {
                said.say(CategorizationFailed { tool: Text::new(tool), error: self.masked(error) });
            }
            Meaning::MarketplaceFailed(error) => said.say(MarketplaceFailed { error: self.masked(error) }),
            Meaning::ServersStarted { up, total } => said.say(ServersStarted { up, total }),
            Meaning::SubscriberFailed(error) => said.say(SubscriberFailed { error: self.masked(error) }),
            Meaning::LogWriteFailed(error) => said.say(LogWriteFailed { error: self.masked(error) }),
            process_lines!() | hub_lines!() | server_lines!() | client_lines!() | call_lines!() | Meaning::ExposureUpdated => {}
        }
    }
}
