//! Clients and their sessions.

use super::facts;
use crate::watch::ids::SessionHash;
use crate::watch::names;
use crate::watch::record::record;
use crate::watch::text::Text;

record! {
    /// An MCP client connected.
    pub struct ClientConnected {
        /// The name that it gave itself.
        pub client: Text = names::CLIENT_NAME,
    }
}

record! {
    /// An MCP client disconnected: once, however often the hub says it.
    pub struct ClientDisconnected {
        /// The name that it gave itself.
        pub client: Text = names::CLIENT_NAME,
    }
}

record! {
    /// A session began, with its tool exposure set up.
    pub struct SessionOpened {
        /// Which, where the source says.
        pub session: Option<SessionHash> = names::SESSION,
        /// The categories of tools that it begins with, separated by commas, where the source says.
        pub categories: Option<Text> = names::CATEGORIES,
    }
}

record! {
    /// What a session is offered changed.
    pub struct ExposureChanged {
        /// Which session.
        pub session: Option<SessionHash> = names::SESSION,
        /// The categories that came in addition, separated by commas.
        pub added: Text = names::CATEGORIES_ADDED,
        /// All its categories now.
        pub categories: Text = names::CATEGORIES,
    }
}

record! {
    /// A session's state was cleaned up.
    pub struct SessionClosed {
        /// Which, where the source says.
        pub session: Option<SessionHash> = names::SESSION,
    }
}

facts! {
    /// Clients and their sessions.
    pub enum SessionFact in Session {
        ClientConnected = "mcphub.client.connected",
        ClientDisconnected = "mcphub.client.disconnected",
        SessionOpened = "mcphub.session.opened",
        ExposureChanged = "mcphub.session.exposure_changed",
        SessionClosed = "mcphub.session.closed",
    }
}
