//! What a poll shows: the hub's API and process at one instant, and what changed since the last.

use crate::watch::{
    ApiOutcome, ApiPoll, FactKind, FilteringPoll, HubExited, HubReachable, HubStarted, HubStateChanged, HubUnreachable,
    LogFilePoll, Micros, Poll, ProcessPoll, ServerPoll, Source, Text, Timestamp, When,
};

use super::api;
use super::children::Child;
use super::interpret::{Evidence, Interpreter, PendingFact, SAME_START};
use super::servers::Noticed;

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

impl Interpreter {
    /// Takes a poll in.
    pub fn poll(&mut self, answer: &PollAnswer) -> Poll {
        let servers = self.poll_servers(answer);
        self.poll_hub(answer);
        let (process, log_file) = (answer.process.clone(), answer.log_file.clone());
        Poll { api: api_poll(answer), process, log_file, filtering: answer.filtering.clone(), servers }
    }

    fn poll_servers(&mut self, answer: &PollAnswer) -> Vec<ServerPoll> {
        if let Ok(health) = &answer.health {
            self.new_process(health, answer);
        }
        let Some((Ok(servers), _)) = &answer.servers else { return Vec::new() };
        let children = answer.process.as_ref().map(|_| answer.children.as_slice());
        let (mut polls, noticed) = self.servers.poll(servers, children, answer.asked, answer.now);
        self.noticed(noticed);
        for error in polls.iter_mut().filter_map(|poll| poll.error.as_mut()) {
            *error = self.masked(error.as_str());
        }
        polls
    }

    fn poll_hub(&mut self, answer: &PollAnswer) {
        let answered = match &answer.health {
            Ok(_) => true,
            Err(outcome) => outcome.answered(),
        };
        let since = self.hub.last_answered.unwrap_or(answer.asked);
        let when = When::between(since, answer.now);
        match (self.hub.reachable, answered) {
            (Some(true), false) | (None, false) => self.lost(answer, when),
            (Some(false), true) => {
                let restarted = self.hub.started.map(|started| started.latest() > since);
                self.say(when, HubReachable { restarted });
            }
            _ => {}
        }
        self.exit(answer, when);
        self.hub.reachable = Some(answered);
        self.hub.process_seen = answer.process.is_some();
        if answered {
            self.hub.last_answered = Some(answer.now);
        }
        if let Ok(health) = &answer.health {
            self.state(&health.state, when);
        }
    }

    fn lost(&mut self, answer: &PollAnswer, when: When) {
        let outcome = answer.health.as_ref().err().copied().unwrap_or(ApiOutcome::Unreachable);
        self.say(when, HubUnreachable { outcome });
        let unknown = self.servers.hub_gone(when);
        self.noticed(unknown);
        self.hub.state = None;
    }

    /// The process was there and is gone, and no line said that it would go.
    fn exit(&mut self, answer: &PollAnswer, when: When) {
        let unanswered = answer.health.as_ref().is_err_and(|outcome| !outcome.answered());
        let gone = self.hub.process_seen && answer.process.is_none() && unanswered;
        if gone && !self.hub.stopping && !self.hub.exit_reported {
            self.exited(when);
        }
    }

    fn exited(&mut self, when: When) {
        self.hub.exit_reported = true;
        let cause = self.last_error.as_ref().filter(|(at, _)| when.latest().since(*at) <= SAME_START).map(|(_, text)| text.clone());
        self.say(when, HubExited { pid: self.hub.pid, cause });
    }

    /// Another process answers than before.
    fn new_process(&mut self, health: &api::Health, answer: &PollAnswer) {
        let Some(started) = health.workspace().and_then(|workspace| workspace.started) else { return };
        let pid = health.workspace().and_then(|workspace| workspace.pid);
        let known = self.hub.started;
        let same =
            known.is_some_and(|known| started.plus(SAME_START) >= known.earliest() && started <= known.latest().plus(SAME_START));
        if same || known.is_none() {
            self.hub.started = Some(When::At(started));
            self.hub.pid = pid.or(self.hub.pid);
            return;
        }
        let ended = When::between(self.hub.last_answered.unwrap_or(answer.asked).min(started), started);
        if !self.hub.stopping && !self.hub.exit_reported {
            self.exited(ended);
        }
        // The log would have said it before, unless it can't be seen.
        self.hub_ended(ended);
        self.hub_begins(pid, When::At(started));
        self.say(When::At(started), HubStarted { pid });
        let unknown = self.servers.hub_started(When::At(started));
        self.noticed(unknown);
    }

    /// The event stream tells the hub's state.
    pub fn stream_state(&mut self, state: &str, at: Timestamp) {
        let before = self.hub.state.replace(state.to_owned());
        if let Some(before) = before.filter(|before| before != state) {
            let kind = HubStateChanged { from: Text::new(before), to: Text::new(state) }.into();
            self.facts.push(PendingFact { evidence: Evidence::Watch, when: When::At(at), source: Source::EventStream, kind });
        }
    }

    fn state(&mut self, state: &str, when: When) {
        let before = self.hub.state.replace(state.to_owned());
        if let Some(before) = before.filter(|before| before != state) {
            self.say(when, HubStateChanged { from: Text::new(before), to: Text::new(state) });
        }
    }

    fn say(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Poll, kind: kind.into() });
    }

    fn noticed(&mut self, noticed: impl IntoIterator<Item = Noticed>) {
        let pending = noticed.into_iter().map(|noticed| PendingFact {
            evidence: Evidence::Watch,
            when: noticed.when,
            source: noticed.source,
            kind: noticed.kind,
        });
        self.facts.extend(pending);
    }
}

fn api_poll(answer: &PollAnswer) -> ApiPoll {
    let health = answer.health.as_ref().ok();
    let workspace = health.and_then(api::Health::workspace);
    let endpoint = health.and_then(|health| health.mcp_endpoint.as_ref());
    ApiPoll {
        health: answer.health.as_ref().err().copied().unwrap_or(ApiOutcome::Ok),
        health_duration: answer.health_duration,
        servers: answer.servers.as_ref().map(|(servers, _)| servers.as_ref().err().copied().unwrap_or(ApiOutcome::Ok)),
        servers_duration: answer.servers.as_ref().map(|(_, duration)| *duration),
        state: health.map(|health| Text::new(&*health.state)),
        version: health.and_then(|health| health.version.as_deref()).map(Text::from),
        pid: workspace.and_then(|workspace| workspace.pid),
        started: workspace.and_then(|workspace| workspace.started),
        mcp_clients: endpoint.and_then(|endpoint| endpoint.clients),
        subscribers: health.and_then(|health| health.subscribers).map(|seen| seen.saturating_sub(answer.own_subscribers)),
        tools: endpoint.and_then(|endpoint| endpoint.registered.as_ref()).and_then(|registered| registered.tools),
    }
}
