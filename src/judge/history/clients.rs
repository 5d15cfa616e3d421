//! MCP clients and their sessions.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::watch::{ExposureChanged, HubFact, Poll, SessionFact, SessionHash};

/// Maximum number of sessions that are distinguished at the same time.
const MAX_SESSIONS: usize = 10_000;

/// MCP clients and sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientHistory {
    /// Connects.
    pub connected: u64,
    /// Disconnects.
    pub disconnected: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions cleaned up.
    pub sessions_closed: u64,
    /// Changes of what a session is offered.
    pub exposure_changes: u64,
    /// The most MCP clients at a poll.
    pub peak_mcp_clients: Option<u32>,
    /// The most event-stream subscribers at a poll.
    pub peak_subscribers: Option<u32>,
    /// Sessions whose lines say which session they are about.
    pub sessions_told_apart: u64,
    /// Exposure changes of a session while another one was open: each shows whether sessions are kept apart.
    pub isolation_seen: u64,
    /// Of these and of the sessions' beginnings, those that show what belongs to another session.
    pub isolation_broken: u64,
    #[serde(skip)]
    open: BTreeMap<SessionHash, BTreeSet<String>>,
    /// The categories that sessions begin with, by the first one.
    #[serde(skip)]
    initial: Option<BTreeSet<String>>,
}

fn categories(list: &str) -> BTreeSet<String> {
    list.split(',').map(str::trim).filter(|category| !category.is_empty()).map(str::to_owned).collect()
}

impl ClientHistory {
    /// All sessions end with their hub.
    pub(super) fn hub(&mut self, fact: &HubFact) {
        match fact {
            HubFact::HubStarted(_) | HubFact::HubStopped(_) | HubFact::HubExited(_) => self.open.clear(),
            // It may go on, or clean its sessions up before it ends.
            HubFact::HubStopping(_) | HubFact::HubUnreachable(_) | HubFact::HubReachable(_) => {}
            HubFact::HubStateChanged(_) | HubFact::SubscriberFailed(_) => {}
        }
    }

    pub(super) fn fact(&mut self, fact: &SessionFact) {
        match fact {
            SessionFact::ClientConnected(_) => self.connected += 1,
            SessionFact::ClientDisconnected(_) => self.disconnected += 1,
            SessionFact::SessionOpened(opened) => {
                self.sessions_opened += 1;
                self.begins(opened.session, opened.categories.as_ref().map(|list| categories(list.as_str())));
            }
            SessionFact::SessionClosed(closed) => {
                self.sessions_closed += 1;
                if let Some(session) = closed.session {
                    self.open.remove(&session);
                }
            }
            SessionFact::ExposureChanged(change) => {
                self.exposure_changes += 1;
                self.exposes(change);
            }
        }
    }

    fn begins(&mut self, session: Option<SessionHash>, begins_with: Option<BTreeSet<String>>) {
        let (Some(session), Some(begins_with)) = (session, begins_with) else { return };
        self.sessions_told_apart += 1;
        let usual = self.initial.get_or_insert_with(|| begins_with.clone());
        // A session that begins with more tools than the first one has them from another session.
        if !begins_with.is_subset(usual) && !self.open.is_empty() {
            self.isolation_broken += 1;
        }
        if self.open.len() < MAX_SESSIONS {
            self.open.insert(session, begins_with);
        }
    }

    /// After a change a session may have what it had and what it added; anything else is another session's.
    fn exposes(&mut self, change: &ExposureChanged) {
        let Some(session) = change.session else { return };
        let others = self.open.keys().any(|open| *open != session);
        let Some(known) = self.open.get_mut(&session) else { return };
        let now = categories(change.categories.as_str());
        known.extend(categories(change.added.as_str()));
        let foreign = !now.is_subset(known);
        *known = now;
        if others {
            self.isolation_seen += 1;
            self.isolation_broken += u64::from(foreign);
        }
    }

    pub(super) fn poll(&mut self, poll: &Poll) {
        self.peak_mcp_clients = self.peak_mcp_clients.max(poll.api.mcp_clients);
        self.peak_subscribers = self.peak_subscribers.max(poll.api.subscribers);
    }
}
