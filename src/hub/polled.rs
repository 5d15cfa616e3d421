//! What a poll shows: the hub's API and process at one instant, and what changed since the last.

use crate::watch::{
    ApiOutcome, ApiPoll, FactKind, FilteringPoll, HubReachable, HubStateChanged, HubUnreachable, LogFilePoll, Micros, Poll,
    ProcessPoll, ServerPoll, Source, Text, Timestamp, When,
};

use super::api;
use super::children::Child;
use super::interpret::{Evidence, Interpreter, PendingFact};
use super::servers::Noticed;
use super::settle::START_SLACK;
use super::since;

/// What a poll brought back.
#[derive(Debug, Clone)]
pub struct PollAnswer {
    /// When the first request went out.
    pub asked: Timestamp,
    /// When the last answer was there.
    pub now: Timestamp,
    /// `GET /api/health`.
    pub health: Result<api::Health, ApiOutcome>,
    /// How long it took.
    pub health_duration: Micros,
    /// `GET /api/servers` and how long it took; `None` if it was not asked.
    pub servers: Option<(Result<api::Servers, ApiOutcome>, Micros)>,
    /// The hub's process, where it can be seen.
    pub process: Option<ProcessPoll>,
    /// Its children: the stdio servers among them.
    pub children: Vec<Child>,
    /// `GET /api/filtering/stats`; `None` if it was not asked.
    pub filtering: Option<FilteringPoll>,
    /// The log file.
    pub log_file: Option<LogFilePoll>,
    /// Event-stream subscriptions of our own, to be subtracted.
    pub own_subscribers: u32,
}

/// When a message of the event stream was sent, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// By the hub's clock, if it says so.
    pub said: Option<Timestamp>,
    /// When the stream was last read before, by ours.
    pub earliest: Timestamp,
    /// When it was read.
    pub read: Timestamp,
}

impl Interpreter {
    /// Takes a poll in.
    pub fn poll(&mut self, answer: &PollAnswer) -> Poll {
        let answer = &self.steady_answer(answer);
        let servers = self.poll_servers(answer);
        self.poll_hub(answer);
        let (process, log_file) = (answer.process.clone(), answer.log_file.clone());
        let mut poll = Poll { api: self.api_poll(answer), process, log_file, filtering: answer.filtering.clone(), servers };
        let wall = |at: &mut Timestamp| *at = self.clocks.wall(*at);
        poll.process.iter_mut().for_each(|process| wall(&mut process.started));
        poll.servers.iter_mut().filter_map(|server| server.child_started.as_mut()).for_each(wall);
        poll
    }

    /// The answer with our times on the steady line. The system dates its processes anew when its clock is set.
    pub(super) fn steady_answer(&self, answer: &PollAnswer) -> PollAnswer {
        let mut answer = answer.clone();
        let steady = |at: &mut Timestamp| *at = self.clocks.steady(*at);
        steady(&mut answer.asked);
        steady(&mut answer.now);
        answer.process.iter_mut().for_each(|process| steady(&mut process.started));
        answer.children.iter_mut().for_each(|child| steady(&mut child.started));
        answer
    }

    fn poll_servers(&mut self, answer: &PollAnswer) -> Vec<ServerPoll> {
        let (times, complete) = self.settle(answer);
        let servers = match &answer.servers {
            Some((Ok(servers), _)) => servers,
            Some((Err(outcome), _)) => {
                let unknown = self.servers.not_told(outcome.reason(), answer.now);
                self.noticed(unknown);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let children = answer.process.as_ref().map(|_| answer.children.as_slice());
        let (mut polls, noticed) = self.servers.poll(servers, children, times, &self.requests);
        self.noticed(noticed);
        if complete {
            let removed = self.servers.removed(servers, times);
            self.noticed(removed);
        }
        for error in polls.iter_mut().filter_map(|poll| poll.error.as_mut()) {
            *error = self.masked(error.as_str());
        }
        polls
    }

    fn poll_hub(&mut self, answer: &PollAnswer) {
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
            _ => {}
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
            // The event stream may have told a newer state while the answer was on its way. Both times are the hub's.
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

    fn lost(&mut self, answer: &PollAnswer, when: When) {
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
    fn exit(&mut self, answer: &PollAnswer, when: When) {
        let gone = self.hub.process_seen && answer.process.is_none() && answer.health.is_err();
        if gone && !self.hub.stopping && !self.hub.exit_reported {
            self.exited(when);
        }
    }

    fn sent(&self, sent: Sent) -> When {
        let (earliest, read) = (self.clocks.steady(sent.earliest), self.clocks.steady(sent.read));
        sent.said.map_or(When::At(read), |said| self.clocks.sent(said, earliest, read))
    }

    /// The event stream tells the hub's state and its process.
    pub fn stream_state(&mut self, state: &str, pid: Option<u32>, sent: Sent) {
        let when = self.sent(sent);
        if let Some(pid) = pid {
            self.expect_process(pid);
            self.stream_pid = Some(pid);
        }
        match state {
            "restarting" => self.requests.restart(false, when),
            "restarted" => self.requests.restart(true, when),
            _ => {}
        }
        self.hub.state_said = self.hub.state_said.max(sent.said);
        let before = self.hub.state.replace(state.to_owned());
        if let Some(before) = before.filter(|before| before != state) {
            let kind = HubStateChanged { from: Text::new(before), to: Text::new(state) }.into();
            self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::EventStream, kind });
        }
    }

    fn state(&mut self, state: &str, when: When) {
        let before = self.hub.state.replace(state.to_owned());
        if let Some(before) = before.filter(|before| before != state) {
            self.say(when, HubStateChanged { from: Text::new(before), to: Text::new(state) });
        }
    }

    /// The event stream tells that something was done with these servers.
    pub fn stream_servers(&mut self, servers: Vec<String>, configured: bool, sent: Sent) {
        let when = self.sent(sent);
        if configured { self.requests.configured(servers, when) } else { self.requests.requested(servers, when) }
    }

    pub(super) fn say(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Poll, kind: kind.into() });
    }

    pub(super) fn noticed(&mut self, noticed: impl IntoIterator<Item = Noticed>) {
        let pending = noticed.into_iter().map(|noticed| PendingFact {
            evidence: Evidence::Watch,
            when: noticed.when,
            source: noticed.source,
            kind: noticed.kind,
        });
        self.facts.extend(pending);
    }

    fn api_poll(&self, answer: &PollAnswer) -> ApiPoll {
        let health = answer.health.as_ref().ok();
        // Another hub can have put its own into the hub's entry.
        let (pid, started) = self.process_of(answer);
        let endpoint = health.and_then(|health| health.mcp_endpoint.as_ref());
        ApiPoll {
            health: answer.health.as_ref().err().copied().unwrap_or(ApiOutcome::Ok),
            health_duration: answer.health_duration,
            servers: answer.servers.as_ref().map(|(servers, _)| servers.as_ref().err().copied().unwrap_or(ApiOutcome::Ok)),
            servers_duration: answer.servers.as_ref().map(|(_, duration)| *duration),
            state: health.map(|health| Text::new(&*health.state)),
            version: health.and_then(|health| health.version.as_deref()).map(Text::from),
            pid,
            started,
            mcp_clients: endpoint.and_then(|endpoint| endpoint.clients),
            subscribers: health.and_then(|health| health.subscribers).map(|seen| seen.saturating_sub(answer.own_subscribers)),
            tools: endpoint.and_then(|endpoint| endpoint.registered.as_ref()).and_then(|registered| registered.tools),
        }
    }
}
