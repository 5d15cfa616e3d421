//! The hub's process over the period.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Planned, Stretch, Timeline};
use crate::judge::moment::Moment;
use crate::watch::{ApiOutcome, FactKind, Liveness, Poll, Text, Timestamp};

/// The hub's process over the period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HubHistory {
    /// Its last state.
    pub last_state: Option<String>,
    /// Its version, where it says one.
    pub version: Option<String>,
    /// When it started.
    pub starts: Vec<Moment>,
    /// When it stopped in good order or began to.
    pub stops: Vec<HubStop>,
    /// When its process ended without a word.
    pub exits: Vec<HubStop>,
    /// When it did not answer, though it had before; or if it never did.
    pub unreachable: Vec<Stretch>,
    /// How long the watch waited for a hub that was not there yet.
    pub awaited: Option<Stretch>,
    /// Whether it answered, stretch by stretch.
    pub timeline: Timeline,
}

/// An end of the hub's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HubStop {
    /// When.
    pub at: Moment,
    /// Whether it said its last words.
    pub graceful: bool,
    /// The signal that it received.
    pub signal: Option<String>,
    /// What led to it.
    pub cause: Option<String>,
    /// The planned disturbance that it was part of.
    pub planned: Option<String>,
}

fn said(text: Option<&Text>) -> Option<String> {
    text.map(ToString::to_string)
}

impl HubHistory {
    /// Takes in what happened; `answered` is whether the hub ever answered before.
    pub(super) fn fact(&mut self, kind: &FactKind, at: Moment, planned: Planned<'_>, answered: bool) {
        let planned_by = || planned.map(str::to_owned);
        match kind {
            FactKind::HubStarted(_) => self.starts.push(at),
            FactKind::HubStopping(stop) => {
                let (signal, cause) = (said(stop.signal.as_ref()), said(stop.cause.as_ref()));
                self.stops.push(HubStop { at, graceful: false, signal, cause, planned: planned_by() });
            }
            FactKind::HubStopped(_) => match self.stops.last_mut().filter(|stop| !stop.graceful) {
                Some(stop) => stop.graceful = true,
                None => self.stops.push(HubStop { at, graceful: true, signal: None, cause: None, planned: planned_by() }),
            },
            FactKind::HubExited(exit) => {
                let cause = said(exit.cause.as_ref());
                self.exits.push(HubStop { at, graceful: false, signal: None, cause, planned: planned_by() });
            }
            FactKind::HubUnreachable(lost) => {
                self.timeline.is(at, Liveness::Down, lost.outcome.as_str());
                self.unreachable.push(Stretch::open(at, &format!("no answer: {}", lost.outcome), planned));
            }
            FactKind::HubReachable(_) => {
                self.timeline.is(at, Liveness::Up, "it answers again");
                if let Some(stretch) = self.unreachable.last_mut().filter(|stretch| stretch.to.is_none()) {
                    stretch.end(at);
                }
                // A hub that starts after the sidecar was not down before.
                if !answered {
                    self.awaited = self.unreachable.pop();
                }
            }
            _ => {}
        }
    }

    pub(super) fn poll(&mut self, poll: &Poll, at: Timestamp) {
        let api = &poll.api;
        match api.health {
            ApiOutcome::Ok => self.timeline.is(Moment(at), Liveness::Up, "it answers"),
            outcome => self.timeline.is(Moment(at), Liveness::Down, outcome.as_str()),
        }
        self.last_state = said(api.state.as_ref()).or(self.last_state.take());
        self.version = said(api.version.as_ref()).or(self.version.take());
    }

    pub(super) fn finish(&mut self, end: Timestamp) {
        self.unreachable.iter_mut().for_each(|stretch| stretch.lasts_until(end));
        self.timeline.lasts_until(end);
    }
}
