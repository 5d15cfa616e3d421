//! What becomes an incident by its number within a time: errors, failed Gemini rounds, slow and failed calls, storms, log growth.

use std::collections::BTreeMap;

use super::register::{Draft, Register};
use super::window::Window;
use super::{Seen, Sight};
use crate::judge::history::{Gap, has_failed};
use crate::judge::incident::{Evidence, IncidentKind};
use crate::judge::moment::Moment;
use crate::watch::{
    Breaker, CallEnded, FactKind, GeminiFailure, Level, Lines, Micros, Notification, Storm, Timestamp, Visibility, Watch,
};

/// The storm that every hub makes of a client's disconnect: known, and no fault of the build under test.
const KNOWN_STORM: &str = "client disconnected from MCP HUB";

/// The error that goes with it, once a disconnect.
const KNOWN_ERRORS: [&str; 2] = ["Maximum call stack size exceeded", "Error closing server connected to"];

/// Windows by kind and subject.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counted {
    errors: Window,
    hourly: Window,
    rounds: BTreeMap<GeminiFailure, Window>,
    log: Window,
    watched: bool,
    too_wide: u64,
    known_storm: Option<Timestamp>,
}

impl Counted {
    /// Facts whose time is not known well enough for their windows.
    pub fn too_wide(&self) -> u64 {
        self.too_wide
    }

    pub fn fact(&mut self, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        match &seen.fact.kind {
            FactKind::Lines(lines) if lines.level == Level::Error => self.errors(lines, seen, sight, register),
            FactKind::GeminiRoundFailed(failed) => self.round(failed.failure, seen, sight, register),
            FactKind::CallEnded(call) => calls(call, seen, sight, register),
            FactKind::Storm(storm) => self.storm(storm, seen, sight, register),
            FactKind::BreakerChanged(change) => match change.to {
                Breaker::Open => {
                    let title = "The hub stopped asking the LLM for categories";
                    let effect = "tools are sorted by keywords only";
                    register.raise(sight.alerts, seen.draft(IncidentKind::BreakerOpen, "", title, effect));
                }
                Breaker::Closed => register.settle(IncidentKind::BreakerOpen, "", seen.at),
                Breaker::HalfOpen => {}
            },
            FactKind::LogWriteFailed(failed) => {
                let cause = Some(failed.error.to_string());
                let draft = seen.draft(IncidentKind::LogWriteFailed, "", "The hub could not write its log", "lines are lost");
                register.episode(sight.alerts, Draft { cause, ..draft });
            }
            FactKind::LogUnreadable(unreadable) => {
                let cause = Some(unreadable.reason.to_string());
                let effect = "what only the log tells is not visible";
                let draft = seen.draft(IncidentKind::LogUnreadable, "", "The log could not be read", effect);
                register.episode(sight.alerts, Draft { cause, ..draft });
            }
            _ => {}
        }
    }

    fn errors(&mut self, lines: &Lines, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        let text = lines.template.as_str();
        if KNOWN_ERRORS.iter().any(|known| text.contains(known)) {
            return;
        }
        let width = seen.fact.when.width();
        let effect = "see the lines of the log around that time";
        for (kind, window) in [(IncidentKind::ErrorSpike, &mut self.errors), (IncidentKind::ErrorRate, &mut self.hourly)] {
            let alert = sight.alerts.of(kind);
            if width > alert.window {
                self.too_wide += 1;
                continue;
            }
            window.push(seen.at, lines.count.get());
            let count = window.within(alert.window, seen.at);
            if count > alert.threshold {
                let first = window.span().map_or(seen.at, |span| span.0);
                let title = "The hub wrote many errors".to_owned();
                let cause = Some(text.to_owned());
                let draft = Draft { at: first, cause, count: 0, ..seen.draft(kind, "", title, effect) };
                if let Some(incident) = register.raise(sight.alerts, draft) {
                    incident.count = incident.count.max(count);
                }
            }
        }
    }

    fn round(&mut self, failure: GeminiFailure, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        let alert = sight.alerts.of(IncidentKind::GeminiFailing);
        if seen.fact.when.width() > alert.window {
            self.too_wide += 1;
            return;
        }
        let window = self.rounds.entry(failure).or_default();
        window.push(seen.at, 1);
        let count = window.within(alert.window, seen.at);
        if count <= alert.threshold {
            return;
        }
        let first = window.span().map_or(seen.at, |span| span.0);
        let effect = "calls took longer, fell back to keywords or failed";
        let draft = seen.draft(IncidentKind::GeminiFailing, failure.as_str(), "Gemini failed again and again", effect);
        let known = register.is_open(IncidentKind::GeminiFailing, failure.as_str());
        let count = if known { 1 } else { count };
        let cause = Some(words_of(failure).to_owned());
        if let Some(incident) = register.episode(sight.alerts, Draft { cause, at: first, count, ..draft }) {
            incident.title = format!("Gemini failed in {} rounds", incident.count);
        }
        register.seen(IncidentKind::GeminiFailing, failure.as_str(), seen.at);
    }

    fn storm(&mut self, storm: &Storm, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        let (known, line) = (storm.line.as_str().contains(KNOWN_STORM), storm.line.as_str());
        let (kind, subject) = if known { (IncidentKind::LogStormKnown, "") } else { (IncidentKind::LogStorm, line) };
        let cause = known.then(|| "a known defect of the hub: its cleanup calls itself when a client leaves".to_owned());
        let effect = if known { "each client is counted once here" } else { "the log grows, and other lines are hard to find" };
        let draft = seen.draft(kind, subject, "The log repeated a line", effect);
        let first = self.known_storm.filter(|_| known).unwrap_or(storm.first);
        if known {
            self.known_storm = Some(first);
        }
        let draft = Draft { at: first, cause: cause.or(Some(line.to_owned())), count: storm.count.get(), ..draft };
        if let Some(incident) = register.episode(sight.alerts, draft) {
            let lines = incident.count;
            incident.title = match known {
                true => format!("Disconnects of clients wrote {lines} repeated lines"),
                false => format!("The log repeated one line {lines} times"),
            };
            if known {
                incident.end = Some(Moment(storm.last));
            }
        }
        register.seen(kind, subject, storm.last);
    }

    /// How fast the log grows. What a Watch read that comes after a gap may be of any time before it.
    pub fn volume(&mut self, watch: &Watch, gap: Option<Gap>, sight: &Sight<'_>, register: &mut Register) {
        let alert = sight.alerts.of(IncidentKind::LogGrowth);
        let end = watch.interval.end();
        let first = !std::mem::replace(&mut self.watched, true);
        let read = matches!(watch.sources.log, Visibility::Read | Visibility::Partial);
        let since = gap.map_or(watch.interval.start(), |gap| gap.from);
        if read && watch.log.bytes.get() > 0 {
            if first || end.since(since) > alert.window {
                self.too_wide += 1;
            } else {
                self.log.push(end, watch.log.bytes.get());
            }
        }
        let bytes = self.log.within(alert.window, end);
        let kind = IncidentKind::LogGrowth;
        if bytes <= alert.threshold {
            register.settle(kind, "", end);
            return;
        }
        let draft = Draft {
            kind,
            subject: "",
            at: self.log.span().map_or(end, |span| span.0),
            title: "The log grew fast".to_owned(),
            cause: None,
            effect: "the disk fills up",
            evidence: None,
            planned: sight.plans.at(end),
            count: 0,
        };
        if let Some(incident) = register.raise(sight.alerts, draft) {
            incident.count = incident.count.max(bytes);
            incident.title = format!("The log grew by {} MB within {} min", incident.count / 1_000_000, minutes(alert.window));
        }
    }

    /// What is no longer beyond its threshold is over.
    pub fn advance(&mut self, now: Timestamp, sight: &Sight<'_>, register: &mut Register) {
        for (kind, window) in [(IncidentKind::ErrorSpike, &mut self.errors), (IncidentKind::ErrorRate, &mut self.hourly)] {
            let alert = sight.alerts.of(kind);
            let last = window.span().map_or(now, |span| span.1);
            if window.within(alert.window, now) <= alert.threshold {
                register.settle(kind, "", last);
            } else if let Some(incident) = register.open(kind, "") {
                let shown = incident.count;
                incident.title = format!("The hub wrote {shown} errors within {} min", minutes(alert.window));
            }
        }
    }
}

fn minutes(window: Micros) -> u64 {
    window.get() / 60_000_000
}

fn words_of(failure: GeminiFailure) -> &'static str {
    match failure {
        GeminiFailure::RateLimited => "its quota is used up (HTTP 429)",
        GeminiFailure::SafetyFilter => "its safety filter withheld the answers",
        GeminiFailure::KeyInvalid => "its API key is not valid",
        GeminiFailure::Failed => "see the lines of the log around that time",
    }
}

fn calls(call: &CallEnded, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
    let evidence = Some(Evidence::Trace(call.trace));
    let mut tell = |kind, title: &str, effect: &str, at| {
        register.episode(sight.alerts, Draft { evidence, at, ..seen.draft(kind, "", title, effect) });
        register.seen(kind, "", seen.at);
    };
    if call.duration.get() > sight.alerts.of(IncidentKind::CallsSlow).threshold {
        tell(IncidentKind::CallsSlow, "Meta-tool calls took too long", "clients waited", call.started);
    }
    if has_failed(call) {
        tell(IncidentKind::CallsFailing, "Meta-tool calls failed", "clients got errors instead of tools", seen.at);
    }
    if call.notification == Some(Notification::Failed) {
        let title = "Clients could not be told that their tools changed";
        tell(IncidentKind::NotificationsFailing, title, "they go on with the old list", seen.at);
    }
}
