//! The servers over the period.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Planned, Stretch, Timeline};
use crate::judge::moment::Moment;
use crate::watch::{Liveness, ServerChanged, ServerPoll, Timestamp, ToolsChanged, Watch};

/// A server over the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerHistory {
    /// Its name.
    pub name: String,
    /// How the hub reaches it.
    pub transport: String,
    /// The status that the hub last claimed.
    pub last_status: String,
    /// Whether it works, as last judged.
    pub last_liveness: Liveness,
    /// Why.
    pub last_reason: String,
    /// The hub's last error text about it.
    pub last_error: Option<String>,
    /// The states in which it may be, where somebody said so.
    pub expected: Vec<String>,
    /// Whether it never worked.
    pub never_up: bool,
    /// The fewest tools while it worked.
    pub tools_min: Option<u32>,
    /// The most tools.
    pub tools_max: Option<u32>,
    /// The tools that it last claimed to have.
    pub tools_last: u32,
    /// When it did not work, after it had.
    pub down: Vec<Stretch>,
    /// How often the number of its tools changed while it worked, planned disturbances left out.
    pub tool_changes: u64,
    /// Whether it worked, stretch by stretch.
    pub timeline: Timeline,
}

/// All servers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers(pub BTreeMap<String, ServerHistory>);

impl Servers {
    /// A server that is expected and was never seen is told, too.
    pub(super) fn expect(&mut self, expected: &BTreeMap<String, Vec<String>>) {
        for (name, states) in expected {
            self.get(name).expected.clone_from(states);
        }
    }

    pub(in crate::judge) fn get(&mut self, name: &str) -> &mut ServerHistory {
        self.0.entry(name.to_owned()).or_insert_with(|| ServerHistory::new(name))
    }

    pub(super) fn changed(&mut self, change: &ServerChanged, at: Moment, planned: Planned<'_>) {
        let server = self.get(change.server.as_str());
        server.is(at, change.to, change.reason.as_str());
        let was_up = change.from == Liveness::Up;
        if let Some(down) = server.down.last_mut().filter(|down| down.to.is_none()) {
            // Starting again is not working again; a hub that is gone leaves the question open.
            if matches!(change.to, Liveness::Up | Liveness::Unknown | Liveness::Disabled) {
                down.end(at);
            }
        } else if was_up && change.to == Liveness::Down {
            server.down.push(Stretch::open(at, change.reason.as_str(), planned));
        }
    }

    pub(super) fn tools_changed(&mut self, change: &ToolsChanged, watch: &Watch, planned: Planned<'_>) {
        let polls = watch.poll.iter().flat_map(|poll| &poll.servers);
        let works = polls.filter(|server| server.liveness == Liveness::Up).any(|server| server.name == change.server);
        // From and to nothing is what a start or a stop looks like.
        if works && change.from > 0 && planned.is_none() {
            self.get(change.server.as_str()).tool_changes += 1;
        }
    }

    pub(super) fn poll(&mut self, seen: &ServerPoll, at: Moment) {
        let server = self.get(seen.name.as_str());
        server.transport = seen.transport.to_string();
        server.last_status = seen.status.to_string();
        server.is(at, seen.liveness, seen.reason.as_str());
        if let Some(error) = &seen.error {
            server.last_error = Some(error.to_string());
        }
        server.tools_last = seen.tools;
        if seen.liveness == Liveness::Up {
            server.tools_min = Some(server.tools_min.map_or(seen.tools, |known| known.min(seen.tools)));
            server.tools_max = server.tools_max.max(Some(seen.tools));
        }
    }

    /// Nobody watched: what the servers were meanwhile is not known.
    pub(super) fn unseen(&mut self, from: Timestamp) {
        self.0.values_mut().for_each(|server| server.timeline.unseen(from));
    }

    /// Closes what is open at the end of the period.
    pub(super) fn finish(&mut self, end: Timestamp) {
        for server in self.0.values_mut() {
            server.down.iter_mut().for_each(|down| down.lasts_until(end));
            server.timeline.lasts_until(end);
        }
    }
}

impl ServerHistory {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            transport: "unknown".to_owned(),
            last_status: "unknown".to_owned(),
            last_liveness: Liveness::Unknown,
            last_reason: "it was never seen".to_owned(),
            last_error: None,
            expected: Vec::new(),
            never_up: true,
            tools_min: None,
            tools_max: None,
            tools_last: 0,
            down: Vec::new(),
            tool_changes: 0,
            timeline: Timeline::default(),
        }
    }

    /// Whether it should work: unless somebody expects otherwise, every server should.
    pub fn should_work(&self) -> bool {
        self.expected.is_empty() || self.expected.iter().any(|state| state == "connected")
    }

    fn is(&mut self, at: Moment, liveness: Liveness, reason: &str) {
        self.last_liveness = liveness;
        self.last_reason = reason.to_owned();
        self.never_up &= liveness != Liveness::Up;
        self.timeline.is(at, liveness, reason);
    }
}
