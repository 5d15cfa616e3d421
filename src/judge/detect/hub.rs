//! The hub's ends, and the times when it did not answer: one incident from the first sign to its return.

use super::register::{Draft, Register};
use super::{CAUSE_WINDOW, Seen, Sight};
use crate::judge::incident::{Evidence, IncidentKind};
use crate::watch::{ApiOutcome, FactId, FactKind, Poll, Timestamp, Watch};

const EFFECT: &str = "all clients were disconnected";

/// What is known of the hub's process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HubLife {
    last_start: Option<Timestamp>,
    /// The last failed Gemini rounds: an invalid key ends the hub.
    rounds: Vec<(Timestamp, FactId)>,
}

impl HubLife {
    pub fn fact(&mut self, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        let down = IncidentKind::HubDown;
        match &seen.fact.kind {
            FactKind::GeminiRoundFailed(_) => {
                self.rounds.retain(|(at, _)| seen.at.since(*at) <= CAUSE_WINDOW);
                self.rounds.push((seen.at, seen.fact.id));
            }
            FactKind::HubStopping(stop) => {
                let signal = stop.signal.as_ref().map(|signal| format!("it received {signal}"));
                let cause = stop.cause.as_ref().map(ToString::to_string).or(signal);
                let draft = Draft { cause, ..seen.draft(down, "", "The hub stopped", EFFECT) };
                register.raise(sight.alerts, draft);
                self.blame(seen.at, register);
            }
            FactKind::HubStopped(_) => {
                if let Some(incident) = register.open(down, "") {
                    incident.title = "The hub stopped in good order".to_owned();
                    incident.evidence.push(Evidence::Fact(seen.fact.id));
                } else if self.last_start.is_none_or(|start| start < seen.at) {
                    register.raise(sight.alerts, seen.draft(down, "", "The hub stopped in good order", EFFECT));
                }
            }
            FactKind::HubExited(exit) => {
                let cause = exit.cause.as_ref().map(ToString::to_string);
                let title = "The hub's process ended without a word";
                register.raise(sight.alerts, Draft { cause, ..seen.draft(down, "", title, EFFECT) });
                self.blame(seen.at, register);
                // The poll notices after the log has told of the next start.
                if let Some(start) = self.last_start.filter(|start| *start >= seen.fact.when.earliest()) {
                    register.settle(down, "", start);
                }
            }
            FactKind::HubUnreachable(lost) if sight.answered_before => {
                let cause = Some(format!("no answer: {}", lost.outcome));
                let draft = seen.draft(down, "", "The hub did not answer", "no client could be served");
                if !register.is_open(down, "") {
                    register.raise(sight.alerts, Draft { cause, ..draft });
                }
            }
            FactKind::HubUnreachable(_) => {
                let title = "The watch began before the hub";
                register.raise(sight.alerts, seen.draft(IncidentKind::HubAwaited, "", title, "none: the hub was not there yet"));
            }
            FactKind::HubStarted(_) => {
                self.last_start = Some(seen.at);
                register.settle(down, "", seen.at);
            }
            FactKind::HubReachable(_) => {
                register.settle(down, "", seen.at);
                register.settle(IncidentKind::HubAwaited, "", seen.at);
            }
            _ => {}
        }
    }

    /// Failed Gemini rounds just before the end are evidence for its cause.
    fn blame(&self, at: Timestamp, register: &mut Register) {
        let near = self.rounds.iter().filter(|(round, _)| at.since(*round) <= CAUSE_WINDOW && *round <= at);
        let facts: Vec<_> = near.map(|(_, fact)| Evidence::Fact(*fact)).collect();
        if let Some(incident) = register.open(IncidentKind::HubDown, "").filter(|_| !facts.is_empty()) {
            incident.evidence.extend(facts);
            incident.evidence.truncate(crate::judge::incident::MAX_EVIDENCE);
        }
    }

    /// A hub that answers is there, whatever else was missed.
    pub fn poll(&mut self, poll: &Poll, watch: &Watch, register: &mut Register) {
        let stopping = poll.api.state.as_ref().is_some_and(|state| state.as_str().starts_with("stop"));
        if poll.api.health != ApiOutcome::Ok || stopping {
            return;
        }
        let began_before =
            register.ongoing().any(|incident| incident.kind == IncidentKind::HubDown && incident.start.0 < watch.interval.start());
        if began_before {
            register.settle(IncidentKind::HubDown, "", watch.interval.end());
        }
    }
}
