//! What becomes an incident by its number within a time: errors, failed Gemini rounds, slow and failed calls, storms, log growth.

use std::collections::BTreeMap;

use super::register::{Draft, Register};
use super::window::{Tide, Window};
use super::{Seen, Sight};
use crate::judge::history::{Gap, has_failed};
use crate::judge::incident::{Evidence, IncidentKind};
use crate::judge::moment::Moment;
use crate::watch::{
    Breaker, CallEnded, CallFact, Fact, GeminiFailure, Level, Lines, LogFact, Micros, Notification, Storm, Timestamp, ToolFact,
    Visibility, Watch,
};

/// The storm that every hub makes of a client's disconnect: known, and no fault of the build under test.
const KNOWN_STORM: &str = "client disconnected from MCP HUB";

/// The error that goes with it, once a disconnect.
const KNOWN_ERRORS: [&str; 2] = ["Maximum call stack size exceeded", "Error closing server connected to"];

/// Windows by kind and subject.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counted {
    errors: Tide,
    hourly: Tide,
    rounds: BTreeMap<GeminiFailure, Tide>,
    log: Tide,
    watched: bool,
    too_wide: u64,
    storms: Storms,
    /// That the circuit breaker opened, at a time that is hardly known, and is not known to have closed since.
    opened_before: Option<Fact>,
}

/// Lines that repeat, and how often they did lately.
#[derive(Debug, Clone, Default, PartialEq)]
struct Storms {
    /// By line, and by whether it was caused on purpose.
    lines: BTreeMap<(String, bool), (Window, Option<Timestamp>)>,
}

/// So many different lines are looked at at once; the one that was quiet for longest makes room.
const MAX_STORMS: usize = 256;

/// No storm that is reported with a poll is of a longer time: lines whose times are known less well have no rate.
const WIDEST: Micros = Micros::new(15 * 60 * 1_000_000);

/// Equal lines go out one by one until there are more than this, and are counted from then on.
const SAMPLES: u64 = 10;

/// Equal lines that are further apart than this are counted anew.
const QUIET: Micros = Micros::new(2_000_000);

impl Storms {
    /// How many lines a report of a storm stands for: those that were counted, and the samples before them if it has just begun.
    fn repeated(&mut self, storm: &Storm, is_planned: bool) -> u64 {
        let key = (storm.line.to_string(), is_planned);
        if self.lines.len() >= MAX_STORMS && !self.lines.contains_key(&key) {
            let oldest = self.lines.iter().min_by_key(|(_, (_, last))| *last).map(|(line, _)| line.clone());
            oldest.map(|line| self.lines.remove(&line));
        }
        let (_, last) = self.lines.entry(key).or_default();
        let goes_on = last.is_some_and(|last| storm.first.since(last) < QUIET);
        *last = (*last).max(Some(storm.last));
        storm.count.get().saturating_add(if goes_on { 0 } else { SAMPLES })
    }

    fn window(&mut self, line: &str, is_planned: bool) -> &mut Window {
        &mut self.lines.entry((line.to_owned(), is_planned)).or_default().0
    }
}

impl Counted {
    /// Facts whose time is not known well enough for their windows.
    pub(super) fn too_wide(&self) -> u64 {
        self.too_wide
    }

    /// Gemini's failed rounds, and calls that are slow or fail.
    pub(super) fn call(&mut self, fact: &CallFact, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        match fact {
            CallFact::GeminiRoundFailed(failed) => self.round(failed.failure, seen, sight, register),
            CallFact::CallEnded(call) => calls(call, seen, sight, register),
        }
    }

    /// The circuit breaker.
    pub(super) fn tool(&mut self, fact: &ToolFact, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        match fact {
            ToolFact::BreakerChanged(change) => match change.to {
                // It may have been long ago: then it is news only if it goes on.
                Breaker::Open if seen.fact.when.width() > WIDEST => self.opened_before = Some(seen.fact.clone()),
                Breaker::Open => breaker_open(seen, sight, register),
                Breaker::Closed => {
                    self.opened_before = None;
                    register.settle(IncidentKind::BreakerOpen, "", seen.at);
                }
                Breaker::HalfOpen => {}
            },
            // The hub goes on without: the report counts them.
            ToolFact::CategorizationFailed(_) | ToolFact::MarketplaceFailed(_) => {}
            // Their share is judged over the period: a tool that fails is its server's or its caller's doing.
            ToolFact::ToolCallsCounted(_) | ToolFact::ToolCallSeen(_) => {}
            ToolFact::ToolCategorized(_) => {}
        }
    }

    /// Errors, lines that repeat, and a log that can't be read or written.
    pub(super) fn log(&mut self, fact: &LogFact, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        match fact {
            LogFact::Lines(lines) => match lines.level {
                Level::Error => self.errors(lines, seen, sight, register),
                Level::Warn | Level::Info | Level::Debug => {}
            },
            LogFact::Storm(storm) => self.storm(storm, seen, sight, register),
            LogFact::LogWriteFailed(failed) => {
                let cause = Some(failed.error.to_string());
                let draft = seen.draft(IncidentKind::LogWriteFailed, "", "The hub could not write its log", "log lines are lost");
                register.episode(sight.alerts, Draft { cause, ..draft });
            }
            LogFact::LogUnreadable(unreadable) => {
                let cause = Some(unreadable.reason.to_string());
                let effect = "events that only the log shows are missing";
                let draft = seen.draft(IncidentKind::LogUnreadable, "", "The log could not be read", effect);
                register.episode(sight.alerts, Draft { cause, ..draft });
            }
            // Every hub empties its log when it starts, and rotation replaces it.
            LogFact::LogTruncated(_) | LogFact::LogReplaced(_) => {}
            // What another hub writes is a blind spot of the report, and not the watched hub's doing.
            LogFact::ClaimsDropped(_) | LogFact::LogShared(_) => {}
        }
    }

    fn errors(&mut self, lines: &Lines, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        let text = lines.template.as_str();
        if KNOWN_ERRORS.iter().any(|known| text.contains(known)) {
            return;
        }
        let width = seen.fact.when.width();
        let effect = "see the log around that time";
        for (kind, tide) in [(IncidentKind::ErrorSpike, &mut self.errors), (IncidentKind::ErrorRate, &mut self.hourly)] {
            let alert = sight.alerts.of(kind);
            if width > alert.window {
                self.too_wide += 1;
                continue;
            }
            // What one Watch catches up on can be older than the window.
            tide.ebb(kind, "", seen.at, sight, register);
            let (title, cause) = ("The hub logged many errors".to_owned(), Some(text.to_owned()));
            let draft = Draft { cause, count: lines.count.get(), ..seen.draft(kind, "", title, effect) };
            if let Some(incident) = tide.rise(draft, sight, register) {
                let (limit, within) = (alert.threshold, minutes(alert.window));
                incident.title = format!("The hub logged {} errors, at times more than {limit} in {within} min", incident.count);
            }
        }
    }

    fn round(&mut self, failure: GeminiFailure, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        let kind = IncidentKind::GeminiFailing;
        if seen.fact.when.width() > sight.alerts.of(kind).window {
            self.too_wide += 1;
            return;
        }
        let tide = self.rounds.entry(failure).or_default();
        tide.ebb(kind, failure.as_str(), seen.at, sight, register);
        let effect = "calls took longer, fell back to keywords or failed";
        let draft = seen.draft(kind, failure.as_str(), "Gemini failed repeatedly", effect);
        let cause = Some(words_of(failure).to_owned());
        if let Some(incident) = tide.rise(Draft { cause, ..draft }, sight, register) {
            incident.title = format!("{} Gemini rounds failed", incident.count);
        }
    }

    fn storm(&mut self, storm: &Storm, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
        let line = storm.line.as_str();
        if seen.fact.when.width() > WIDEST {
            self.too_wide += 1;
            return;
        }
        if line.contains(KNOWN_STORM) {
            return known_storm(storm, seen, sight, register);
        }
        let alert = sight.alerts.of(IncidentKind::LogStorm);
        let is_planned = seen.planned.is_some();
        let repeated = self.storms.repeated(storm, is_planned);
        let window = self.storms.window(line, is_planned);
        window.push(storm.last, repeated);
        // A storm is a rate: a line that comes again now and then is none, however often that is in a day.
        let within = window.within(alert.window, storm.last);
        let is_open = register.find(IncidentKind::LogStorm, line).is_some_and(|open| open.planned.is_some() == is_planned);
        if within <= alert.threshold && !is_open {
            return;
        }
        let at = window.span().map_or(storm.first, |span| span.0.min(storm.first));
        let count = if is_open { repeated } else { within };
        let effect = "the log grows, and other lines are hard to find";
        let draft = seen.draft(IncidentKind::LogStorm, line, "The same line was logged repeatedly", effect);
        let draft = Draft { at, cause: Some(line.to_owned()), count, ..draft };
        if let Some(incident) = register.episode(sight.alerts, draft) {
            let lasted = storm.last.min(sight.now).since(incident.start.0);
            incident.title = format!("The same line was logged {} times in {}", grouped(incident.count), lasting(lasted));
            register.seen(IncidentKind::LogStorm, line, storm.last);
        }
    }

    /// How fast the log grows. What a Watch read that comes after a gap may be of any time before it.
    pub(super) fn volume(&mut self, watch: &Watch, gap: Option<Gap>, sight: &Sight<'_>, register: &mut Register) {
        let alert = sight.alerts.of(IncidentKind::LogGrowth);
        let end = watch.interval.end();
        let first = !std::mem::replace(&mut self.watched, true);
        let read = matches!(watch.sources.log, Visibility::Read | Visibility::Partial);
        let since = gap.map_or(watch.interval.start(), |gap| gap.from);
        let kind = IncidentKind::LogGrowth;
        self.log.ebb(kind, "", end, sight, register);
        if !read || watch.log.bytes.get() == 0 {
            return;
        }
        if first || end.since(since) > alert.window {
            self.too_wide += 1;
            return;
        }
        // The bytes are planned as the history counts them: if any of their time is.
        let (at, since) = (sight.plans.at(end), sight.plans.at(watch.interval.start()));
        let planned = at.or(since).or_else(|| sight.plans.name_of(watch.interval.start(), end));
        let draft = Draft {
            kind,
            subject: "",
            at: end,
            title: "The log grew fast".to_owned(),
            cause: None,
            effect: "the disk fills up",
            evidence: None,
            planned,
            count: watch.log.bytes.get(),
        };
        if let Some(incident) = self.log.rise(draft, sight, register) {
            let (grown, limit, within) = (megabytes(incident.count), megabytes(alert.threshold), minutes(alert.window));
            incident.title = format!("The log grew by {grown} MB, at times by more than {limit} MB in {within} min");
        }
    }

    /// The clock jumped at the end of a Watch.
    pub(super) fn clock_jumped(&mut self, by: i64) {
        let tides = [&mut self.errors, &mut self.hourly, &mut self.log];
        tides.into_iter().chain(self.rounds.values_mut()).for_each(|tide| tide.clock_jumped(by));
        for (window, last) in self.storms.lines.values_mut() {
            window.clock_jumped(by);
            *last = last.map(|last| last.shifted(by));
        }
    }

    /// What is no longer beyond its threshold is over.
    pub(super) fn advance(&mut self, now: Timestamp, sight: &Sight<'_>, register: &mut Register) {
        if let Some(fact) = self.opened_before.take() {
            let at = fact.when.latest().min(now);
            breaker_open(&Seen { fact: &fact, at, planned: sight.plans.at(at) }, sight, register);
        }
        self.errors.ebb(IncidentKind::ErrorSpike, "", now, sight, register);
        self.hourly.ebb(IncidentKind::ErrorRate, "", now, sight, register);
        for (failure, tide) in &mut self.rounds {
            tide.ebb(IncidentKind::GeminiFailing, failure.as_str(), now, sight, register);
        }
    }
}

fn known_storm(storm: &Storm, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
    let kind = IncidentKind::LogStormKnown;
    let cause = Some("known hub defect: when a client disconnects, the cleanup calls itself".to_owned());
    let draft = seen.draft(kind, "", "The log repeated a line", "the log grows; each client is counted once in this report");
    let draft = Draft { at: storm.first, cause, count: storm.count.get(), ..draft };
    if let Some(incident) = register.episode(sight.alerts, draft) {
        incident.title = format!("Client disconnects logged {} repeated lines", grouped(incident.count));
        incident.end = Some(Moment(storm.last.min(sight.now)).max(incident.start));
        register.seen(kind, "", storm.last);
    }
}

fn breaker_open(seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
    let title = "The hub stopped asking the LLM for categories";
    let effect = "tools are chosen by keywords only";
    register.raise(sight.alerts, seen.draft(IncidentKind::BreakerOpen, "", title, effect));
}

fn megabytes(bytes: u64) -> u64 {
    bytes / 1_000_000
}

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long something lasted, coarsely.
fn lasting(length: Micros) -> String {
    match length.get() / 1_000_000 {
        0 => "less than a second".to_owned(),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

fn minutes(window: Micros) -> u64 {
    window.get() / 60_000_000
}

fn words_of(failure: GeminiFailure) -> &'static str {
    match failure {
        GeminiFailure::RateLimited => "its quota is used up (HTTP 429)",
        GeminiFailure::SafetyFilter => "its safety filter blocked the answers",
        GeminiFailure::KeyInvalid => "its API key is not valid",
        GeminiFailure::Failed => "see the log around that time",
    }
}

fn calls(call: &CallEnded, seen: &Seen<'_>, sight: &Sight<'_>, register: &mut Register) {
    let evidence = Some(Evidence::Trace(call.trace));
    let mut tell = |kind, title: &str, effect: &str, at| {
        if register.episode(sight.alerts, Draft { evidence, at, ..seen.draft(kind, "", title, effect) }).is_some() {
            register.seen(kind, "", seen.at);
        }
    };
    let slow = sight.alerts.of(IncidentKind::CallsSlow).threshold;
    if call.duration.is_some_and(|duration| duration.get() > slow) {
        let title = format!("Meta-tool calls took longer than {}", lasting(Micros::new(slow)));
        tell(IncidentKind::CallsSlow, &title, "clients waited", call.started);
    }
    if has_failed(call) {
        tell(IncidentKind::CallsFailing, "Meta-tool calls failed", "clients got errors instead of tools", seen.at);
    }
    if call.notification == Some(Notification::Failed) {
        let title = "Clients were not notified of their changed tools";
        tell(IncidentKind::NotificationsFailing, title, "they keep using the old tool list", seen.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Bytes, Count, Text};

    #[test]
    fn a_storms_samples_count_once_and_numbers_are_read_easily() {
        let mut storms = Storms::default();
        let mut report = |count, first: u64, last: u64| {
            let (first, last) = (Timestamp::from_secs(first), Timestamp::from_secs(last));
            let (line, bytes) = (Text::new("same"), Bytes::new(0));
            storms.repeated(&Storm { line, count: Count::new(count), bytes, first, last, means: None }, false)
        };
        assert_eq!([report(1, 10, 10), report(5, 11, 14), report(5, 60, 61)], [11, 5, 15]);
        assert_eq!([0, 999, 4_120, 1_234_567].map(grouped), ["0", "999", "4,120", "1,234,567"]);
        let lengths = [500_000, 42_000_000, 300_000_000, 5_400_000_000].map(|length| lasting(Micros::new(length)));
        assert_eq!(lengths, ["less than a second", "42 s", "5 min", "1 h 30 min"]);
    }
}
