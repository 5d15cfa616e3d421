//! What a poll shows: the hub's API and process at one instant, and what changed since the last.

use crate::hub::api;
use crate::hub::interpret::Interpreter;
use crate::hub::topics::children::Child;
use crate::watch::{ApiOutcome, ApiPoll, FilteringPoll, LogFilePoll, Micros, Poll, ProcessPoll, ServerPoll, Text, Timestamp};

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
