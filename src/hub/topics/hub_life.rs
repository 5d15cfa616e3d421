//! The life of the hub's process: its start, stop, exit and state, and whether it answers.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::hub::api::since;
use crate::hub::facts::Said;
use crate::hub::interpret::Interpreter;
use crate::hub::lines::line::LogLine;
use crate::hub::lines::meaning::{Meaning, background_lines, call_lines, client_lines, server_lines};
use crate::hub::polled::PollAnswer;
use crate::hub::sources::merge::LineSource;
use crate::hub::sources::raw::RawLine;
use crate::hub::topics::claims::Claimed;
use crate::hub::topics::identity::Identity;
use crate::hub::topics::settle::Settling;
use crate::watch::{
    ApiOutcome, ClientDisconnected, GeminiFailure, HubExited, HubReachable, HubStarted, HubStateChanged, HubStopped, HubStopping,
    HubUnreachable, Micros, Source, Text, Timestamp, When,
};

/// An error this shortly before the hub's stop is its cause: the fork's error helper raises SIGTERM in the same millisecond
/// (docs/hub.md, "How the fork stops itself").
pub(crate) const CAUSE_WINDOW: Micros = Micros::new(50_000);

/// The hub notes its own start some milliseconds after its first line; two starts this close are one.
pub(crate) const SAME_START: Micros = Micros::new(10_000_000);

/// The hub notes its own start a moment after its first line, by up to a second in the recordings.
pub(in crate::hub) const START_SLACK: Micros = Micros::new(2_000_000);

/// What is known of the hub's process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::hub) struct HubLife {
    /// Whether the last poll was answered; `None` before the first.
    pub(in crate::hub) reachable: Option<bool>,
    pub(in crate::hub) last_answered: Option<Timestamp>,
    /// When it was last looked for in vain.
    #[serde(default)]
    pub(in crate::hub) last_unanswered: Option<Timestamp>,
    /// True if a line showed a start or a stop since the last call of `take_stir`.
    #[serde(skip)]
    stirred: bool,
    pub(in crate::hub) state: Option<String>,
    /// The time of the last state on the event stream, by the hub's clock.
    #[serde(default)]
    pub(in crate::hub) state_said: Option<Timestamp>,
    pub(in crate::hub) pid: Option<u32>,
    /// When the present process started.
    pub(in crate::hub) started: Option<When>,
    /// Whether the present process was seen to stop.
    pub(in crate::hub) stopping: bool,
    pub(in crate::hub) exit_reported: bool,
    pub(in crate::hub) process_seen: bool,
    /// Whether a line said that it stops with its last event-stream subscriber.
    #[serde(default)]
    pub(in crate::hub) stops_alone: bool,
    /// Which process the API last said that it is.
    #[serde(default)]
    pub(in crate::hub) identity: Option<Identity>,
    /// The process before it.
    #[serde(default)]
    pub(in crate::hub) previous: Option<u32>,
    /// The processes that answered before.
    #[serde(default)]
    pub(in crate::hub) former: VecDeque<Identity>,
    /// What stood in its entry and was another hub's, while the hub answered.
    #[serde(default)]
    pub(in crate::hub) usurper: Option<Identity>,
    /// The port that it listens on, as it says.
    #[serde(default)]
    pub(in crate::hub) port: Option<u32>,
    /// True if there is a fact about the present process's start.
    #[serde(default)]
    pub(in crate::hub) start_told: bool,
    /// When the hub was last lost.
    #[serde(default)]
    pub(in crate::hub) lost: Option<When>,
    /// Whether the process wrote on after its last error.
    #[serde(default)]
    survived_error: bool,
    /// How many polls in a row were not answered.
    #[serde(default)]
    pub(in crate::hub) failures: u32,
}

impl Interpreter {
    /// Whether the log says that the hub stops once its last event-stream subscriber leaves.
    ///
    /// A line that waits counts: a hub that is kept alive by us is worse than a stream that is joined a poll later.
    pub fn hub_stops_alone(&self) -> bool {
        self.hub.stops_alone || self.claims.say_that_it_stops_alone()
    }

    /// Returns whether a line showed a start or a stop of the hub since the last call: a reason to check the hub now.
    pub fn take_stir(&mut self) -> bool {
        std::mem::take(&mut self.hub.stirred)
    }

    /// When the hub's present process started, as far as it is known.
    pub fn hub_started(&self) -> Option<When> {
        self.hub.started.map(|started| self.clocks.wall_when(started))
    }

    /// Processes a line about the hub itself. On the hub's own event stream it is a fact at once; in the log it is a claim, until a
    /// poll confirms it.
    pub(in crate::hub) fn of_hub(
        &mut self,
        meaning: Meaning<'_>,
        line: &LogLine<'_>,
        raw: &RawLine<'_>,
        said: &mut Said,
    ) -> Option<Claimed> {
        self.hub.stirred |= matches!(meaning, Meaning::HubStarting | Meaning::HubStopping { .. } | Meaning::HubStopped);
        let streamed = raw.source == LineSource::EventStream;
        match meaning {
            Meaning::HubStarting => {
                let open = self.open_connections(line, said);
                return Some(Claimed::HubStarting { port: port_of(&line.text), open, failed: false });
            }
            Meaning::HubStopping { signal } => {
                let cause = self.cause(said.when.latest());
                let signal = Text::new(signal);
                if !streamed {
                    return Some(Claimed::HubStopping { signal, cause });
                }
                self.hub.stopping = true;
                self.servers.hub_stopping();
                said.say(HubStopping { signal: Some(signal), cause });
            }
            Meaning::HubStopped if streamed => {
                self.hub.stopping = true;
                for client in self.clients.hub_ended() {
                    said.say(ClientDisconnected { client: Text::new(client) });
                }
                said.say(HubStopped {});
            }
            Meaning::HubStopped => {
                let open = self.open_connections(line, said);
                return Some(Claimed::HubStopped { open });
            }
            Meaning::ServersRestarting { done } => self.requests.restart(done, said.when),
            Meaning::ServerConfigured(server) => self.requests.configured([server.to_owned()], said.when),
            Meaning::HubStartFailed if !streamed => self.claims.start_failed(said.source, line.pid),
            Meaning::StopsAlone { now } => {
                if now {
                    self.suspects(line, said.when.latest());
                }
                if !streamed && line.pid.is_none() {
                    return Some(Claimed::StopsAlone { now });
                }
                self.hub.stops_alone = true;
            }
            Meaning::HubStartFailed => {}
            server_lines!() | client_lines!() | background_lines!() | call_lines!() | Meaning::ExposureUpdated => {}
        }
        None
    }

    /// The connections of a process that ends: ended where the line names the process, and otherwise those that end with it if it is
    /// the hub's.
    pub(in crate::hub) fn open_connections(&mut self, line: &LogLine<'_>, said: &mut Said) -> BTreeMap<String, u32> {
        if line.pid.is_none() && !self.lines_alone {
            return self.clients.open();
        }
        for client in self.clients.hub_ended() {
            said.say(ClientDisconnected { client: Text::new(client) });
        }
        BTreeMap::new()
    }

    /// The error that made the hub stop at `at`.
    pub(in crate::hub) fn cause(&self, at: Timestamp) -> Option<Text> {
        let near = |error: &&(Timestamp, Text)| at.since(error.0) <= CAUSE_WINDOW;
        self.last_error.as_ref().filter(near).map(|(_, text)| text.clone())
    }

    /// The fork's error helper stops the hub after some of these, whatever level a source gives them (docs/hub.md).
    pub(in crate::hub) fn may_stop_the_hub(&mut self, failure: GeminiFailure, line: &LogLine<'_>, at: Timestamp) {
        if matches!(failure, GeminiFailure::KeyInvalid | GeminiFailure::Failed) {
            self.suspects(line, at);
        }
    }

    /// The process may end because of what this line says.
    pub(in crate::hub) fn suspects(&mut self, line: &LogLine<'_>, at: Timestamp) {
        if self.is_of_present_process(line) {
            self.last_error = Some((at, self.masked(&line.text)));
            self.hub.survived_error = false;
        }
    }

    /// A process that goes on writing after an error has survived it.
    pub(in crate::hub) fn survives_errors(&mut self, line: &LogLine<'_>, at: Timestamp) {
        let later = self.last_error.as_ref().is_some_and(|(error, _)| at.since(*error) > CAUSE_WINDOW);
        self.hub.survived_error |= later && self.is_of_present_process(line);
    }

    /// Whether the line can only be the present process's: not the next one's, whose start is not settled yet, and not another hub's.
    fn is_of_present_process(&self, line: &LogLine<'_>) -> bool {
        match (line.pid, self.hub.pid) {
            (Some(pid), Some(present)) => pid == present,
            (Some(_), None) => true,
            (None, _) => self.shared.is_empty(),
        }
    }

    pub(in crate::hub) fn hub_begins(&mut self, pid: Option<u32>, when: When) {
        self.clocks.begins();
        self.hub.started = Some(when);
        self.hub.pid = pid;
        self.hub.stopping = false;
        self.hub.exit_reported = false;
        self.last_error = None;
        self.stream.begin_anew();
    }

    /// The hub's process is gone: what it was doing never ended, and its connections are closed.
    pub(in crate::hub) fn hub_ended(&mut self, when: When) {
        for client in self.clients.hub_ended() {
            self.say_from_log(when, ClientDisconnected { client: Text::new(client) });
        }
        let aborted = self.calls.abort(when.latest());
        for call in &aborted {
            self.say_from_log(when, call.fact.clone());
        }
        self.ended.extend(aborted);
    }

    pub(in crate::hub) fn poll_hub(&mut self, answer: &PollAnswer) {
        // A proxy's page or another program's answer is no hub's.
        let answered = answer.health.is_ok();
        let since = self.hub.last_answered.unwrap_or(answer.asked);
        let when = When::between(since, answer.now);
        match (self.hub.reachable, answered) {
            (Some(true), false) | (None, false) => self.lost(answer, when),
            (Some(false), true) => {
                let restarted = self.hub.started.map(|started| started.latest() > since);
                let still_away = self.hub.last_unanswered.filter(|at| (since..=answer.now).contains(at)).unwrap_or(since);
                self.say(self.answered_since(still_away, answer.now), HubReachable { restarted });
            }
            (Some(true) | None, true) | (Some(false), false) => {}
        }
        self.exit(answer, when);
        self.hub.reachable = Some(answered);
        self.hub.failures = if answer.health.is_ok() { 0 } else { self.hub.failures.saturating_add(1) };
        self.hub.process_seen = answer.process.is_some();
        if answered {
            self.hub.last_answered = Some(answer.now);
        } else {
            self.hub.last_unanswered = Some(answer.asked);
        }
        if let Ok(health) = &answer.health {
            // The event stream may have shown a newer state while the answer was on its way. Both times are by the hub's clock.
            let outdated = health.timestamp.zip(self.hub.state_said).is_some_and(|(answered, said)| answered < said);
            if !outdated {
                self.state(&health.state, when);
            }
        }
    }

    /// When a hub that was away began to answer. A process that is new answers from its start on.
    fn answered_since(&self, still_away: Timestamp, now: Timestamp) -> When {
        let noticed = When::between(still_away, now);
        let started = self.hub.started.filter(|started| still_away <= started.earliest() && started.latest() <= now);
        since::narrowed(noticed, started.map(|started| When::between(started.earliest(), started.latest().plus(START_SLACK))))
    }

    /// The hub was looked for at this time, and did not answer.
    pub fn still_away(&mut self, at: Timestamp) {
        self.hub.last_unanswered = Some(self.clocks.steady(at));
    }

    pub(in crate::hub) fn lost(&mut self, answer: &PollAnswer, when: When) {
        let outcome = answer.health.as_ref().err().copied().unwrap_or(ApiOutcome::Unreachable);
        self.say(when, HubUnreachable { outcome });
        let unknown = self.servers.hub_gone(when);
        self.noticed(unknown);
        self.hub.state = None;
        self.hub.state_said = None;
        self.hub.lost = Some(when);
        self.hub.usurper = None;
    }

    /// The process was there and is gone, and no line said that it would go.
    pub(in crate::hub) fn exit(&mut self, answer: &PollAnswer, when: When) {
        let gone = self.hub.process_seen && answer.process.is_none() && answer.health.is_err();
        if gone && !self.hub.stopping && !self.hub.exit_reported {
            self.exited(when);
        }
    }

    pub(in crate::hub) fn state(&mut self, state: &str, when: When) {
        let before = self.hub.state.replace(state.to_owned());
        if let Some(before) = before.filter(|before| before != state) {
            self.say(when, HubStateChanged { from: Text::new(before), to: Text::new(state) });
        }
    }

    /// Whether the process that answers has answered an earlier poll, too. Where its log came within reach only now, its start is read
    /// after all that: it ends no process, and what is known of its servers came later.
    fn has_answered_before(&self, ctx: &Settling<'_>) -> bool {
        self.hub.identity.is_some() && ctx.process.is_some() && ctx.replaced.is_none()
    }

    pub(in crate::hub) fn confirm_start(
        &mut self,
        pid: Option<u32>,
        open: &BTreeMap<String, u32>,
        ctx: Option<&Settling<'_>>,
        said: &mut Said,
    ) {
        let when = said.when;
        if ctx.is_some_and(|ctx| self.has_answered_before(ctx)) {
            self.hub.start_told = true;
            said.say(HubStarted { pid });
            return;
        }
        // It was replaced between two polls, and nothing said that it would go.
        if self.hub.identity.is_some() && !self.hub.stopping && !self.hub.exit_reported && self.hub.last_answered.is_some() {
            let since = self.hub.last_answered.unwrap_or_default().min(when.latest());
            // A line without a time of its own may be of any time since its source was read before.
            self.exited(When::between(since, when.latest()));
        }
        for client in self.clients.ended_of(open) {
            said.say(ClientDisconnected { client: Text::new(client) });
        }
        self.hub_begins(pid, when);
        self.hub.start_told = true;
        said.say(HubStarted { pid });
        let unknown = self.servers.hub_started(when, Source::Log);
        said.noticed(unknown);
        self.requests.hub_started(when);
        self.abort_calls(pid, said);
    }

    /// The calls in flight ended with the process, where that was not known when the line was read.
    pub(in crate::hub) fn abort_calls(&mut self, pid: Option<u32>, said: &mut Said) {
        if pid.is_some() {
            return;
        }
        let aborted = self.calls.abort_begun_by(said.when.latest());
        for call in &aborted {
            said.say(call.fact.clone());
        }
        self.ended.extend(aborted);
    }

    /// Another process answers than before, and no line shows its start.
    pub(in crate::hub) fn replaced_silently(&mut self, started: Timestamp, ctx: &Settling<'_>) {
        let since = self.hub.last_answered.unwrap_or(ctx.answer.asked).min(started);
        let ended = When::between(since, started);
        if !self.hub.stopping && !self.hub.exit_reported {
            self.exited(ended);
        }
        // The log would have said it before, unless it can't be seen.
        self.hub_ended(ended);
        let pid = ctx.process.as_ref().and_then(|process| process.pid);
        self.hub_begins(pid, When::At(started));
        self.hub.start_told = true;
        self.say(When::At(started), HubStarted { pid });
        let unknown = self.servers.hub_started(When::At(started), Source::Poll);
        self.noticed(unknown);
        self.requests.hub_started(When::At(started));
    }

    pub(in crate::hub) fn exited(&mut self, when: When) {
        self.hub.exit_reported = true;
        // A process that answered after an error did not die of it.
        let (from, to) = (when.earliest().minus(CAUSE_WINDOW), when.latest());
        let survived = self.hub.survived_error;
        let last_words = self.last_error.as_ref().filter(|(at, _)| !survived && (from..=to).contains(at));
        let cause = last_words.map(|(_, text)| text.clone());
        self.say(when, HubExited { pid: self.hub.pid, cause });
    }
}

/// The port in `Starting HTTP server on port P`.
pub(in crate::hub) fn port_of(text: &str) -> Option<u32> {
    text.strip_prefix("Starting HTTP server on port ")?.trim().parse().ok()
}
