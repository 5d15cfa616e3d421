//! The state of one life of a hub, from the start of its process to its end.

use super::resources::Resources;
use super::step::Gemini;
use super::tools::Toolset;
use super::truth::{StopCause, UpCause};
use crate::watch::{Micros, Timestamp};

/// The values of `state` in `/api/health` that the simulator uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HubState {
    Starting,
    Ready,
    /// `POST /api/restart`: the process continues, and the servers restart.
    Restarting,
    /// After that, permanently: a restarted hub never reports `ready` again.
    Restarted,
    Stopping,
}

impl HubState {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Restarting => "restarting",
            Self::Restarted => "restarted",
            Self::Stopping => "stopping",
        }
    }
}

/// `status` of a server in `/api/servers`, as the hub reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerStatus {
    Connecting,
    Connected,
    Disconnected,
    Disabled,
}

impl ServerStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Disabled => "disabled",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) starts: bool,
    pub(super) connects_after: Micros,
    pub(super) toolset: Toolset,
    pub(super) starts_again: bool,
    /// True after a crash that nobody has repaired.
    pub(super) crashed: bool,
    /// Number of its starts: the result of an aborted start is ignored.
    pub(super) attempt: u32,
    /// The reason for its start.
    pub(super) starter: UpCause,
    pub(super) status: ServerStatus,
    pub(super) error: Option<String>,
    /// As it noted it then: by its clock.
    pub(super) last_started: Option<Timestamp>,
    /// When it connected; `None` after its transport closed, so that its uptime is 0 although the hub reports it as connected.
    pub(super) up_since: Option<Timestamp>,
    /// The same as the hub noted it then: by its clock.
    pub(super) counts_from: Option<Timestamp>,
    /// Its process, while it is alive.
    pub(super) pid: Option<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) session: String,
    /// Known after the handshake.
    pub(super) name: Option<String>,
    /// The categories of the tools exposed to it.
    pub(super) exposed: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) session: String,
    pub(super) client: String,
    pub(super) prompt: String,
    pub(super) start: Timestamp,
    pub(super) gemini_start: Timestamp,
    pub(super) gemini: Gemini,
}

#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    pub(super) id: String,
    pub(super) connected_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Hub {
    pub(super) pid: u32,
    pub(super) started: Timestamp,
    pub(super) state: HubState,
    /// True once Node has loaded the hub, so that it handles signals.
    pub(super) booted: bool,
    /// True if its port accepts connections.
    pub(super) listening: bool,
    pub(super) servers: Vec<Server>,
    pub(super) clients: Vec<Client>,
    pub(super) calls: Vec<Call>,
    pub(super) subscribers: Vec<Subscriber>,
    /// Number of changes of the workspace file, so that only the last of several close ones is reported.
    pub(super) workspace_changes: u64,
    pub(super) last_event_at: Timestamp,
    /// The end of the time for which its only thread is busy.
    pub(super) busy_until: Timestamp,
    /// The end of the time for which it answers nobody because clients have left.
    pub(super) storms_until: Timestamp,
    pub(super) resources: Resources,
    pub(super) next_child: u32,
    pub(super) stop_cause: StopCause,
    /// Number of tools of the connected servers before their restart: the fork counts them then.
    pub(super) tools_before_restart: usize,
    /// Names of the connections that were open at the shutdown: one or two late lines follow for each.
    pub(super) strays: Vec<String>,
    /// True if the shutdown had to close the filesystem server's transport.
    pub(super) closed_at_stop: Vec<String>,
}

impl Hub {
    pub(super) fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }

    pub(super) fn server_mut(&mut self, name: &str) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.name == name)
    }

    pub(super) fn client(&self, session: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.session == session)
    }

    pub(super) fn client_mut(&mut self, session: &str) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.session == session)
    }

    pub(super) fn take_call(&mut self, id: u64) -> Option<Call> {
        let index = self.calls.iter().position(|call| call.id == id)?;
        Some(self.calls.remove(index))
    }

    /// Returns true if its servers can be controlled: not while it starts, restarts or stops.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, HubState::Ready | HubState::Restarted)
    }

    /// Returns true if the start of every server has succeeded or failed.
    pub(super) fn settled(&self) -> bool {
        self.servers.iter().all(|server| server.status != ServerStatus::Connecting)
    }
}
