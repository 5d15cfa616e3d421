//! Requests to the hub's API and changes of its configuration: why servers start and stop.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::hub::topics::servers::Causes;
use crate::watch::{ChangeCause, Micros, Timestamp, When};

/// The hub notifies its subscribers when a request is done, right after the line, in batches of 0.1 s.
const REQUEST_AFTER: Micros = Micros::new(1_000_000);

/// A line about a changed configuration follows when the server has connected again: a hub gives it a minute.
const CONFIGURED_AFTER: Micros = Micros::new(60_000_000);

/// All servers are restarted within this time: none may take longer than five minutes to start. A hub that calls itself restarting
/// for longer hangs, and its servers die by themselves.
const LONGEST_RESTART: Micros = Micros::new(6 * 60 * 1_000_000);

/// Traces of requests that are kept.
const MAX_TRACES: usize = 256;

/// Why a server changed, as a trace says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Trace {
    /// Records that the hub has notified its subscribers of a finished request.
    Request,
    /// The hub said that the configuration changed.
    Configuration,
}

/// The traces that requests to the hub's API and changes of its configuration leave.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Requests {
    traces: VecDeque<(String, When, Trace)>,
    /// From when to when all servers are restarted on request, as the hub's state and its lines say.
    restarts: VecDeque<(When, Option<When>)>,
    /// Whether the hub's state confirms that.
    restarting: bool,
    /// Since when the event stream has been heard without a break: what was requested since then has left its trace.
    #[serde(skip)]
    heard_since: Option<Timestamp>,
}

impl Requests {
    /// The event stream was joined.
    pub fn heard_from(&mut self, at: Timestamp) {
        self.heard_since = Some(at);
    }

    /// The event stream ended: a request leaves no trace from now on.
    pub fn unheard(&mut self) {
        self.heard_since = None;
    }

    /// The hub's event stream says that a request about these servers was done.
    pub fn requested(&mut self, servers: impl IntoIterator<Item = String>, when: When) {
        servers.into_iter().for_each(|server| self.trace(server, when, Trace::Request));
    }

    /// The configuration of these servers changed.
    pub fn configured(&mut self, servers: impl IntoIterator<Item = String>, when: When) {
        servers.into_iter().for_each(|server| self.trace(server, when, Trace::Configuration));
    }

    fn trace(&mut self, server: String, when: When, trace: Trace) {
        if self.traces.len() >= MAX_TRACES {
            self.traces.pop_front();
        }
        self.traces.push_back((server, when, trace));
    }

    /// A restart of all servers began or is over.
    pub fn restart(&mut self, done: bool, when: When) {
        match self.restarts.back_mut().filter(|(_, end)| end.is_none()) {
            Some((_, end)) if done => *end = Some(when),
            // The state and the line say the same.
            Some(_) => {}
            None if done => {}
            None => {
                if self.restarts.len() >= MAX_TRACES {
                    self.restarts.pop_front();
                }
                self.restarts.push_back((when, None));
            }
        }
    }

    /// Records the hub's state during a restart of servers: `restarting` until all are up, then `restarted` permanently. A restart that
    /// had begun when the hub was `asked` is over in any other state, even without its last line.
    pub fn state(&mut self, state: &str, asked: Timestamp) {
        self.restarting = matches!(state, "restarting" | "restarted");
        if state != "restarting"
            && let Some((begin, end @ None)) = self.restarts.back_mut()
            && begin.latest() <= asked
        {
            *end = Some(When::At(asked));
        }
    }

    /// Another process of the hub started: what was asked of the one before is over.
    pub fn hub_started(&mut self, when: When) {
        self.traces.retain(|(_, at, _)| at.latest() >= when.earliest());
        self.restarts.retain(|(begin, _)| begin.latest() >= when.earliest());
        self.restarting = false;
    }

    /// What is older than this can explain nothing that is still undecided.
    pub fn forget_before(&mut self, at: Timestamp) {
        self.traces.retain(|(_, when, _)| when.latest() >= at);
        self.restarts.retain(|(_, end)| end.is_none_or(|end| end.latest() >= at));
    }

    fn in_restart(&self, when: When) -> bool {
        let inside = |(begin, end): &(When, Option<When>)| {
            let begun = when.latest().plus(REQUEST_AFTER) >= begin.earliest();
            let over = end.map_or(begin.latest().plus(LONGEST_RESTART), |end| end.latest().plus(REQUEST_AFTER));
            begun && when.earliest() <= over
        };
        self.restarting && self.restarts.iter().any(inside)
    }

    fn traced(&self, server: &str, trace: Trace, when: When, after: Micros) -> bool {
        let fits = |(name, at, kind): &(String, When, Trace)| {
            let not_before = at.latest().plus(REQUEST_AFTER) >= when.earliest();
            name == server && *kind == trace && not_before && at.earliest() <= when.latest().plus(after)
        };
        self.traces.iter().any(fits)
    }
}

impl Causes for Requests {
    fn of_stop(&self, server: &str, when: When, on_purpose: bool) -> ChangeCause {
        if on_purpose && self.traced(server, Trace::Configuration, when, CONFIGURED_AFTER) {
            ChangeCause::Configured
        } else if on_purpose || self.in_restart(when) || self.traced(server, Trace::Request, when, REQUEST_AFTER) {
            ChangeCause::Requested
        } else {
            ChangeCause::Unprompted
        }
    }

    fn of_start(&self, server: &str, when: When) -> Option<ChangeCause> {
        if self.traced(server, Trace::Configuration, when, REQUEST_AFTER) {
            Some(ChangeCause::Configured)
        } else if self.in_restart(when) || self.traced(server, Trace::Request, when, REQUEST_AFTER) {
            Some(ChangeCause::Requested)
        } else {
            None
        }
    }

    fn would_show(&self, when: When) -> bool {
        self.heard_since.is_some_and(|since| since <= when.earliest())
    }
}
