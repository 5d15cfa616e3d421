//! Which process the hub is: as its API and its event stream say it.

use serde::{Deserialize, Serialize};

use crate::hub::api;
use crate::hub::interpret::Interpreter;
use crate::hub::polled::PollAnswer;
use crate::hub::sources::clocks::Reading;
use crate::hub::topics::hub_life::{HubLife, SAME_START, START_SLACK};
use crate::hub::topics::settle::Settling;
use crate::watch::{HubStarted, Source, Timestamp, When};

/// Which process the hub's API says that it is. The start time is the hub's own and never changes while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::hub) struct Identity {
    pub(in crate::hub) pid: Option<u32>,
    pub(in crate::hub) started: Option<Timestamp>,
}

impl Identity {
    /// What the answer says of its process; `None` where the hub's entry is missing.
    pub(in crate::hub) fn of(health: &api::Health) -> Option<Self> {
        let workspace = health.workspace()?;
        Some(Self { pid: workspace.pid, started: workspace.started })
    }

    /// Another number or another start is another process.
    pub(in crate::hub) fn differs(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        differ(self.pid, other.pid) || differ(self.started, other.started)
    }
}

/// The number of earlier processes of the hub that are remembered.
const MAX_FORMER: usize = 64;

impl HubLife {
    /// The process no longer answers.
    pub(in crate::hub) fn note_former(&mut self, process: Identity) {
        if !self.former.contains(&process) {
            if self.former.len() >= MAX_FORMER {
                self.former.pop_front();
            }
            self.former.push_back(process);
        }
    }
}

/// A process that answers in another's place while that runs on: behind a proxy or a cluster's port several hubs answer in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Beside {
    /// It began before the other one answered last, at this time.
    Began(Timestamp),
    /// It has answered before.
    Returned,
}

impl Interpreter {
    /// Whether another process than before ran beside that one. No process comes back to life, and none begins on a port that another
    /// one still answers on.
    pub(in crate::hub) fn beside(&self, process: &Identity, started: Option<Timestamp>, answer: &PollAnswer) -> Option<Beside> {
        if self.hub.former.contains(process) {
            return Some(Beside::Returned);
        }
        let started = started?;
        let last_answered = self.hub.last_answered?;
        // The hub's clock may have been set after the process noted its start.
        let is_dated = self.clocks.set_at().is_none_or(|set| set <= started);
        let overlaps = is_dated && started.plus(SAME_START) < last_answered && answer.now >= last_answered;
        overlaps.then_some(Beside::Began(started))
    }

    /// Another process answers, and the one before has not ended. What was known of the servers was known of that one's.
    pub(in crate::hub) fn another_answers(&mut self, beside: Beside, ctx: &Settling<'_>) {
        let pid = ctx.process.as_ref().and_then(|process| process.pid);
        let now = When::At(ctx.answer.now);
        self.hub_begins(pid, ctx.started().map_or(now, When::At));
        self.hub.start_told = true;
        if let Beside::Began(started) = beside {
            self.say(When::At(started), HubStarted { pid });
        }
        let unknown = self.servers.hub_started(now, Source::Poll);
        self.noticed(unknown);
    }

    /// The hub's API or its event stream says that its process is this one, before a poll has taken that up.
    pub(in crate::hub) fn expect_process(&mut self, pid: u32) {
        if !self.accepted.contains(&pid) {
            self.accepted.push(pid);
        }
    }

    /// The hub's process, as far as its own answers have shown it. Its entry alone can be another hub's.
    pub fn hub_pid(&self) -> Option<u32> {
        self.hub.identity.as_ref().and_then(|identity| identity.pid)
    }

    /// Returns whether the process is the hub's, as far as is known; true without a process or if it can't be distinguished.
    pub(in crate::hub) fn is_ours(&self, pid: u32) -> bool {
        let known = self.hub.identity.as_ref().and_then(|identity| identity.pid);
        known.is_none_or(|known| known == pid) || self.hub.previous == Some(pid) || self.accepted.contains(&pid)
    }

    /// What the answer says of the hub's clock.
    pub(in crate::hub) fn reading(answer: &PollAnswer) -> Option<Reading> {
        let health = answer.health.as_ref().ok()?;
        let (asked, answered) = (answer.asked, answer.asked.plus(answer.health_duration));
        if let Some(said) = health.timestamp {
            return Some(Reading { said, asked, answered });
        }
        let (servers, duration) = answer.servers.as_ref()?;
        let said = servers.as_ref().ok()?.timestamp?;
        Some(Reading { said, asked, answered: answered.plus(*duration) })
    }

    /// Takes up what an answer shows of the hub's clock. What waits was dated by what was known before.
    pub(in crate::hub) fn learn_clock(&mut self, answer: &PollAnswer) {
        let reading = Self::reading(answer);
        let was_known = self.clocks.is_known();
        let is_news = self.clocks.learn(reading);
        if reading.is_some() {
            self.durations_checked(is_news && was_known);
        }
        if is_news {
            // It is compared with times of the hub: those from before can't be.
            self.hub.state_said = None;
            self.claims.retime(&self.clocks);
            self.held.retime(&self.clocks);
        }
    }

    /// Whether the hub's entry is of the process that answers. The entries stand in a file that all hubs of a user write: a second fork
    /// whose port is taken lives on without it, with the first one's entry overwritten by its own. A process can't have begun after
    /// what it did.
    pub(in crate::hub) fn is_of_who_answers(&self, process: &Identity, answer: &PollAnswer, ahead: i64) -> bool {
        // The event stream names the process that it comes from.
        if let Some((streamed, pid)) = self.stream_pid.zip(process.pid) {
            return streamed == pid;
        }
        // What was found to be another hub's stays so while the hub goes on answering, though its servers are restarted.
        if self.hub.usurper.as_ref() == Some(process) {
            return false;
        }
        let servers = answer.servers.as_ref().and_then(|(servers, _)| servers.as_ref().ok());
        // Its clock was set: what it began later may have an earlier time. Another process would have started its servers anew.
        if self.clocks.was_set() {
            let differs = self.hub.identity.as_ref().is_some_and(|known| known.differs(process));
            return !(differs && servers.is_some_and(|list| self.servers.has_kept_a_start(list)));
        }
        let Some(started) = process.started else { return true };
        let hub_now = servers.and_then(|list| list.timestamp).unwrap_or_else(|| answer.now.shifted(ahead));
        let older = |server: &api::Server| {
            let up_since =
                (server.uptime > 0.0 && server.status == "connected").then(|| hub_now.minus(api::seconds(server.uptime)));
            [server.last_started, up_since].into_iter().flatten().any(|begun| begun.plus(START_SLACK) < started)
        };
        !servers.is_some_and(|list| list.servers.iter().any(older))
    }

    /// What the first answer says of the hub's process, before its lines are read: lines of another process than the last run knew may
    /// be of this one, and their times are by its clock. Gives when it started, by our clock.
    pub fn expect(&mut self, answer: &PollAnswer) -> Option<Timestamp> {
        let answer = &self.steady_answer(answer);
        self.learn_clock(answer);
        let ctx = self.settling(answer);
        self.hub.port = ctx.port.or(self.hub.port);
        let begun = ctx.started();
        let pid = ctx.process.and_then(|process| process.pid);
        pid.into_iter().for_each(|pid| self.expect_process(pid));
        begun.map(|begun| self.clocks.wall(begun))
    }

    /// The process that gave this answer: its id, and when it says that it started. `None` where that is not known, and of an answer
    /// that is none.
    pub fn process_that_answers(&self, answer: &PollAnswer) -> Option<(u32, Option<Timestamp>)> {
        answer.health.as_ref().ok()?;
        let answer = &self.steady_answer(answer);
        let process = self.settling(answer).process.or_else(|| self.hub.identity.clone())?;
        Some((process.pid?, process.started))
    }

    /// The process that answers, as far as it is known: its id, and the start that it says.
    pub(in crate::hub) fn process_of(&self, answer: &PollAnswer) -> (Option<u32>, Option<Timestamp>) {
        let process = answer.health.as_ref().ok().and(self.hub.identity.as_ref());
        (process.and_then(|process| process.pid), process.and_then(|process| process.started))
    }
}
