//! The hub as its API shows it.

use std::collections::BTreeMap;

use hubwatch::hub::interpret::PollAnswer;
use hubwatch::watch::{ApiOutcome, Micros};

use super::at;

/// A server as the hub shows it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub status: &'static str,
    /// Since when it counts its uptime.
    pub up_since: Option<f64>,
    pub last_started: Option<f64>,
    pub error: Option<&'static str>,
}

impl Server {
    /// Connected since then.
    pub(crate) fn up(since: f64) -> Self {
        Self { status: "connected", up_since: Some(since), last_started: Some(since - 0.5), error: None }
    }

    /// As a crash leaves it.
    pub(crate) fn crashed(started: f64) -> Self {
        Self { status: "connected", up_since: None, last_started: Some(started - 0.5), error: None }
    }

    /// As a stop through the API leaves it.
    pub(crate) fn stopped() -> Self {
        Self { status: "disconnected", up_since: None, last_started: None, error: None }
    }

    /// As a stop that disables leaves it.
    pub(crate) fn disabled() -> Self {
        Self { status: "disabled", ..Self::stopped() }
    }

    /// Being connected since then.
    pub(crate) fn connecting(since: f64) -> Self {
        Self { status: "connecting", up_since: None, last_started: Some(since), error: None }
    }
}

/// The hub as its API shows it.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub answers: Result<(), ApiOutcome>,
    pub pid: u32,
    pub started: f64,
    /// Whether it still has its entry in `workspaces.json`.
    pub entry: bool,
    /// What stands in its entry instead: the process of another hub that could not have its port, and its start.
    pub usurper: Option<(u32, f64)>,
    /// Another hub's entry there.
    pub other: Option<(u16, u32)>,
    pub state: &'static str,
    /// How far its clock is ahead.
    pub ahead: f64,
    /// When its clock was set while it ran, and by how much. What it had noted before stays as it is.
    pub set: Option<(f64, f64)>,
    pub servers: BTreeMap<&'static str, Server>,
    /// A server that its list has once more, in another state.
    pub twice: Option<(&'static str, Server)>,
}

impl Hub {
    /// What its clock said at a time, in seconds.
    pub(super) fn clock(&self, time: f64) -> f64 {
        let set = self.set.filter(|(since, _)| time >= *since).map_or(0.0, |(_, by)| by);
        time + self.ahead + set
    }

    pub(super) fn answer(&self, now: f64) -> PollAnswer {
        let iso = |time: f64| at(self.clock(time)).to_string();
        let (asked, now_at) = (at(now - 0.002), at(now));
        let (health, servers) = match self.answers {
            Err(outcome) => (Err(outcome), None),
            Ok(()) => (
                Ok(serde_json::from_value(self.health(&iso, now)).unwrap()),
                Some((Ok(serde_json::from_value(self.list(&iso, now)).unwrap()), Micros::new(500))),
            ),
        };
        PollAnswer {
            asked,
            now: now_at,
            health,
            health_duration: Micros::new(1_000),
            servers,
            process: None,
            children: Vec::new(),
            filtering: None,
            log_file: None,
            own_subscribers: 0,
        }
    }

    fn health(&self, iso: &dyn Fn(f64) -> String, now: f64) -> serde_json::Value {
        let mut active = serde_json::Map::new();
        if self.entry {
            let (pid, started) = self.usurper.unwrap_or((self.pid, self.started));
            let own = serde_json::json!({"pid": pid, "port": 7000, "startTime": iso(started), "config_files": []});
            active.insert("7000".to_owned(), own);
        }
        if let Some((port, pid)) = self.other {
            active.insert(port.to_string(), serde_json::json!({"pid": pid, "port": port, "startTime": iso(now - 1.0)}));
        }
        serde_json::json!({
            "status": "ok", "state": self.state, "timestamp": iso(now - 0.001), "activeClients": 0,
            "workspaces": {"current": "7000", "allActive": active},
        })
    }

    fn list(&self, iso: &dyn Fn(f64) -> String, now: f64) -> serde_json::Value {
        let servers: Vec<_> = self
            .servers
            .iter()
            .chain(self.twice.iter().map(|(name, server)| (name, server)))
            .map(|(name, server)| {
                serde_json::json!({
                    "name": name, "transportType": "stdio", "status": server.status, "error": server.error,
                    "capabilities": {"tools": if server.status == "connected" { vec![1; 3] } else { Vec::new() }},
                    "uptime": server.up_since.map_or(0.0, |since| (self.clock(now) - self.clock(since)).floor()),
                    "lastStarted": server.last_started.map(iso),
                })
            })
            .collect();
        serde_json::json!({"servers": servers, "timestamp": iso(now - 0.001)})
    }
}
