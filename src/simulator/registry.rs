//! `workspaces.json`: the registry of all hubs of a user, by port. A killed hub leaves its entry behind, and a hub whose port is
//! taken damages the entry of the hub that has the port (recordings `*-actions`).

use std::collections::BTreeMap;

use super::fields::Fields;
use crate::watch::Timestamp;

/// A hub's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workspace {
    pub(super) cwd: String,
    pub(super) config_file: String,
    pub(super) pid: u32,
    /// In the time of that hub's clock.
    pub(super) start: Timestamp,
    /// `activeConnections`: updated when a client subscribes, but not when it leaves.
    pub(super) connections: usize,
}

/// The entries by port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Registry(pub(super) BTreeMap<u16, Workspace>);

impl Registry {
    /// Returns `workspaces.allActive` of `/api/health`, and of the event about it.
    pub(super) fn json(&self) -> String {
        let entries = self.0.iter().fold(Fields::new(), |fields, (port, workspace)| {
            let entry = Fields::new()
                .text("cwd", &workspace.cwd)
                .texts("config_files", std::slice::from_ref(&workspace.config_file))
                .raw("pid", workspace.pid)
                .raw("port", port)
                .text("startTime", &workspace.start.to_string())
                .text("state", "active")
                .raw("activeConnections", workspace.connections)
                .raw("shutdownStartedAt", "null")
                .raw("shutdownDelay", "null");
            fields.raw(&port.to_string(), entry.object())
        });
        entries.object()
    }
}
