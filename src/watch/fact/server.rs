//! The MCP servers that the hub manages.

use super::facts;
use crate::watch::names;
use crate::watch::poll::Liveness;
use crate::watch::record::{record, terms};
use crate::watch::text::Text;

terms! {
    /// Why a server changed, as far as the hub shows it.
    pub enum ChangeCause {
        /// Nobody asked for it: the server failed, or the hub acted by itself.
        Unprompted = "unprompted",
        /// Somebody asked for it through the hub's API: a start, a stop, a disable, a restart.
        Requested = "requested",
        /// The configuration changed.
        Configured = "configured",
        /// The whole hub stopped, started or went away.
        Hub = "hub",
        /// Unknown: a request through the hub's API is visible in the event stream only, and there was no subscription.
        Unknown = "unknown",
    }
}

record! {
    /// A server changed, as judged.
    pub struct ServerChanged {
        /// Which.
        pub server: Text = names::SERVER_NAME,
        /// Before.
        pub from: Liveness = names::FROM,
        /// Now.
        pub to: Liveness = names::TO,
        /// Why we think so.
        pub reason: Text = names::REASON,
        /// Who or what brought it about. Absent in what earlier versions wrote: read it as unprompted.
        pub cause: Option<ChangeCause> = names::CHANGE_CAUSE,
    }
}

impl ServerChanged {
    /// Returns whether the change was not requested: the server failed or recovered, or the hub acted by itself.
    pub fn is_unprompted(&self) -> bool {
        self.cause.unwrap_or(ChangeCause::Unprompted) == ChangeCause::Unprompted
    }
}

record! {
    /// A server could not be started.
    pub struct ServerStartFailed {
        /// Which.
        pub server: Text = names::SERVER_NAME,
        /// What the hub says about it.
        pub error: Text = names::SERVER_ERROR,
    }
}

record! {
    /// The number of a server's tools changed.
    pub struct ToolsChanged {
        /// Which server.
        pub server: Text = names::SERVER_NAME,
        /// Before.
        pub from: u32 = names::FROM,
        /// Now.
        pub to: u32 = names::TO,
    }
}

record! {
    /// The hub has started its servers.
    pub struct ServersStarted {
        /// How many are up.
        pub up: u32 = names::SERVERS_UP,
        /// Of how many.
        pub total: u32 = names::SERVERS_TOTAL,
    }
}

facts! {
    /// The MCP servers that the hub manages.
    pub enum ServerFact in Server {
        ServerChanged = "mcphub.server.changed",
        ServerStartFailed = "mcphub.server.start_failed",
        ToolsChanged = "mcphub.server.tools_changed",
        ServersStarted = "mcphub.servers.started",
    }
}
