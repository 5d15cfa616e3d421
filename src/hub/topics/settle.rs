//! A poll settles what lines claimed: what the API confirms is told with the line's own time, what it contradicts is dropped and
//! counted, and what it can't tell yet waits.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::claims::{Claim, Claimed, Decision, HeldLine, ServerClaim, UNCONFIRMED_AFTER};
use super::servers::Asked;
use crate::hub::api;
use crate::hub::api::since;
use crate::hub::interpret::{Interpreter, PollAnswer, RawLine, SAME_START, Said};
use crate::hub::lines::line::parse;
use crate::hub::lines::meaning::{self, Meaning};
use crate::hub::sources::clocks::Reading;
use crate::watch::{
    ApiOutcome, ClaimRefusal, ClientDisconnected, HubExited, HubStarted, HubStopped, HubStopping, LogShared, Micros,
    ServerStartFailed, SharedSign, Source, Text, Timestamp, When,
};

/// The hub notes its own start a moment after its first line, by up to a second in the recordings.
pub(in crate::hub) const START_SLACK: Micros = Micros::new(2_000_000);

/// Every hub empties the plain log when it starts: a start line this near to that is a hub's, not a server's output.
const EMPTIED_NEAR: Micros = Micros::new(10_000_000);

/// That a log is shared is said again after this time, so that each part of a long period says it.
const SHARED_AGAIN: Micros = Micros::new(3_600_000_000);

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
    fn differs(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        differ(self.pid, other.pid) || differ(self.started, other.started)
    }
}

/// How the hub answered, as far as that decides on claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    /// As a hub does.
    Hub,
    /// Nobody is there.
    Nobody,
    /// That can't be told: too late, once, or not as a hub does.
    Unclear,
}

/// What a poll decides claims by.
struct Settling<'a> {
    answer: &'a PollAnswer,
    answered: Answered,
    /// How far the hub's clock is ahead of ours, in microseconds.
    ahead: i64,
    /// The process, where the API says it.
    process: Option<Identity>,
    /// What stands in its place and is another hub's.
    usurper: Option<Identity>,
    /// Whether it is another process than before, and since when by our clock.
    replaced: Option<Timestamp>,
    port: Option<u32>,
    times: Asked,
    /// Whether the hub's list of servers is whole.
    complete: bool,
}

impl Settling<'_> {
    /// The claims whose lines were read before the request went out could have shown in the answer.
    fn knew_of(&self, read: Timestamp) -> bool {
        read <= self.answer.asked
    }

    fn unless(&self, fits: bool, read: Timestamp, refusal: ClaimRefusal) -> Decision {
        match (fits, self.knew_of(read)) {
            (true, _) => Decision::Confirmed,
            (false, true) => Decision::Refused(refusal),
            (false, false) => Decision::Waits,
        }
    }

    fn list(&self) -> Option<&api::Servers> {
        self.answer.servers.as_ref().and_then(|(servers, _)| servers.as_ref().ok())
    }

    /// When the present process started, by our clock.
    fn started(&self) -> Option<Timestamp> {
        let started = self.process.as_ref().and_then(|process| process.started)?;
        Some(started.shifted(self.ahead.saturating_neg()))
    }
}

impl Interpreter {
    /// What the answer says of the hub's clock.
    fn reading(answer: &PollAnswer) -> Option<Reading> {
        let health = answer.health.as_ref().ok()?;
        let (asked, answered) = (answer.asked, answer.asked.plus(answer.health_duration));
        if let Some(said) = health.timestamp {
            return Some(Reading { said, asked, answered });
        }
        let (servers, duration) = answer.servers.as_ref()?;
        let said = servers.as_ref().ok()?.timestamp?;
        Some(Reading { said, asked, answered: answered.plus(*duration) })
    }

    fn settling<'a>(&self, answer: &'a PollAnswer) -> Settling<'a> {
        let ahead = self.clocks.ahead_by(Self::reading(answer)).unwrap_or(0);
        let health = answer.health.as_ref().ok();
        let said = health.and_then(Identity::of);
        let usurper = said.clone().filter(|process| !self.is_of_who_answers(process, answer, ahead));
        let process = said.filter(|_| usurper.is_none());
        let started = process.as_ref().and_then(|process| process.started).map(|started| started.shifted(ahead.saturating_neg()));
        let other = match (&self.hub.identity, &process) {
            (Some(known), Some(process)) => known.differs(process),
            // What an earlier version kept: the start alone, by either clock.
            (None, Some(_)) => self.hub.started.zip(started).is_some_and(|(known, started)| {
                started.plus(SAME_START) < known.earliest() || started > known.latest().plus(SAME_START)
            }),
            (_, None) => false,
        };
        let since = started.unwrap_or(answer.now);
        let answered = match &answer.health {
            Ok(_) => Answered::Hub,
            // One answer that comes too late is load; a second one in a row is an end.
            Err(ApiOutcome::Timeout) if self.hub.failures == 0 => Answered::Unclear,
            Err(
                ApiOutcome::Refused
                | ApiOutcome::Timeout
                | ApiOutcome::Truncated
                | ApiOutcome::Unreachable
                // A proxy says so of a hub that is gone.
                | ApiOutcome::BadGateway
                | ApiOutcome::ServerError,
            ) => Answered::Nobody,
            Err(
                ApiOutcome::Ok
                | ApiOutcome::Tls
                | ApiOutcome::Denied
                | ApiOutcome::NotFound
                | ApiOutcome::ClientError
                | ApiOutcome::UnexpectedStatus
                | ApiOutcome::Redirected
                | ApiOutcome::OtherProgram
                | ApiOutcome::TooLarge
                | ApiOutcome::Unreadable,
            ) => Answered::Unclear,
        };
        let list = answer.servers.as_ref().and_then(|(servers, _)| servers.as_ref().ok());
        let hub_now = list.and_then(|list| list.timestamp).unwrap_or_else(|| answer.now.shifted(ahead));
        Settling {
            answer,
            answered,
            ahead,
            replaced: other.then_some(since),
            port: health.and_then(api::Health::port),
            times: Asked { asked: answer.asked, now: answer.now, hub_now, ahead },
            complete: health.is_some_and(|health| matches!(health.state.as_str(), "ready" | "restarted")),
            process,
            usurper,
        }
    }

    /// Whether the hub's entry is of the process that answers. The entries stand in a file that all hubs of a user write: a second fork
    /// whose port is taken lives on without it, with the first one's entry overwritten by its own. A process can't have begun after
    /// what it did.
    fn is_of_who_answers(&self, process: &Identity, answer: &PollAnswer, ahead: i64) -> bool {
        // The event stream names the process that it comes from.
        if let Some((streamed, pid)) = self.stream_pid.zip(process.pid) {
            return streamed == pid;
        }
        // What was found to be another hub's stays so while the hub goes on answering, though its servers are restarted.
        if self.hub.usurper.as_ref() == Some(process) {
            return false;
        }
        // Its clock was set: what it began later may have an earlier time.
        if self.clocks.was_set() {
            return true;
        }
        let Some(started) = process.started else { return true };
        let servers = answer.servers.as_ref().and_then(|(servers, _)| servers.as_ref().ok());
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

    /// Takes up what an answer shows of the hub's clock. What waits was dated by what was known before.
    fn learn_clock(&mut self, answer: &PollAnswer) {
        if self.clocks.learn(Self::reading(answer)) {
            self.claims.retime(&self.clocks);
            self.held.retime(&self.clocks);
        }
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

    /// Decides on what lines claimed since the last poll. Gives the times of the list of servers, and whether that is whole.
    pub(in crate::hub) fn settle(&mut self, answer: &PollAnswer) -> (Asked, bool) {
        self.learn_clock(answer);
        let ctx = self.settling(answer);
        if let Ok(health) = &answer.health {
            self.requests.state(&health.state);
        }
        self.settle_held(&ctx);
        self.settle_claims(&ctx);
        self.hub.port = ctx.port.or(self.hub.port);
        if answer.health.is_ok() {
            self.hub.usurper = ctx.usurper.clone().or(self.hub.usurper.take());
        }
        if let Some(process) = &ctx.process {
            let before = self.hub.identity.replace(process.clone());
            if ctx.replaced.is_some() {
                self.hub.previous = before.and_then(|before| before.pid);
            }
            self.hub.pid = process.pid.or(self.hub.pid);
            self.hub.started = self.hub.started.or_else(|| ctx.started().map(When::At));
        }
        self.accepted.clear();
        self.requests.forget_before(answer.now.minus(UNCONFIRMED_AFTER));
        (ctx.times, ctx.complete)
    }

    /// The lines of processes that nobody knew: those of the hub's own are taken in now, the others are not about it.
    fn settle_held(&mut self, ctx: &Settling<'_>) {
        if self.held.is_empty() || ctx.answered != Answered::Hub {
            return;
        }
        let present = ctx.process.as_ref().or(self.hub.identity.as_ref()).and_then(|process| process.pid);
        let Some(present) = present else { return };
        let held = self.held.take();
        let failed: Vec<u32> = held.iter().filter(|line| line.means(Meaning::HubStartFailed)).map(|line| line.pid).collect();
        let begun = held.iter().filter(|line| !failed.contains(&line.pid) && self.began_meanwhile(line, ctx));
        let begun: Vec<u32> = begun.map(|line| line.pid).collect();
        for line in held {
            if line.pid == present || begun.contains(&line.pid) {
                if !self.accepted.contains(&line.pid) {
                    self.accepted.push(line.pid);
                }
                self.take_up(&line);
            } else if ctx.knew_of(line.read) {
                self.is_of_other(line.pid, meaning::of(&parse(&line.text).text), line.read);
                self.held.note_other(line.pid);
            } else {
                let _ = self.held.hold(line);
            }
        }
    }

    /// Whether the line is the start of a process that was the hub between the one before and the present one: it began on the hub's
    /// port while the hub was not seen.
    fn began_meanwhile(&self, line: &HeldLine, ctx: &Settling<'_>) -> bool {
        let parsed = parse(&line.text);
        meaning::of(&parsed.text) == Some(Meaning::HubStarting) && self.in_gap(line.when, port_of(&parsed.text), ctx)
    }

    pub(in crate::hub) fn take_up(&mut self, held: &HeldLine) {
        let mut line = parse(&held.text);
        line.time = line.time.or(held.stamped);
        let raw = RawLine {
            source: held.source,
            text: &held.text,
            uid: held.uid,
            size: held.size,
            stamped: held.stamped,
            read: held.read,
            earliest: held.earliest,
            historic: false,
        };
        self.learn(&line, &raw, held.when);
    }

    /// Between the last answer of the process before and the start of the present one the hub was in nobody's sight: what happened on
    /// its port then was the hub's.
    fn in_gap(&self, when: When, port: Option<u32>, ctx: &Settling<'_>) -> bool {
        let from = self.hub.last_answered.unwrap_or_default();
        let until = match (ctx.replaced, &ctx.process, self.hub.reachable) {
            (Some(started), ..) => started,
            // It was gone and is back, and its entry is missing: its own lines tell when.
            (None, None, Some(false)) => ctx.answer.now,
            _ => return false,
        };
        same_port(port, ctx.port) && when.latest().plus(START_SLACK) >= from && when.earliest() <= until.plus(START_SLACK)
    }

    fn settle_claims(&mut self, ctx: &Settling<'_>) {
        let mut claims = self.claims.take();
        let decisions = self.decide_on_hub(&claims, ctx);
        narrow(&mut claims, &decisions, ctx);
        let starts = claims
            .iter()
            .zip(&decisions)
            .any(|(claim, decision)| matches!(claim.what, Claimed::HubStarting { .. }) && *decision == Some(Decision::Confirmed));
        // No line tells of the new process's start: the API does, and what came before it was of the process before.
        let mut replaced = ctx.replaced.filter(|_| !starts);
        let mut waiting = VecDeque::new();
        let mut decisions = VecDeque::from(decisions);
        while let Some(claim) = claims.pop_front() {
            if let Some(started) = replaced.filter(|started| claim.when.earliest() > *started) {
                replaced = None;
                self.replaced_silently(started, ctx);
            }
            let decision = match decisions.pop_front().flatten() {
                Some(decision) => decision,
                None => self.decide_on_server(&claim, &claims, ctx),
            };
            match decision {
                Decision::Confirmed => self.confirm(claim, Some(ctx)),
                Decision::Known => {}
                Decision::Refused(refusal) => self.refuse(&claim, refusal),
                Decision::Waits if ctx.answer.now.since(claim.read) > UNCONFIRMED_AFTER => {
                    self.refuse(&claim, ClaimRefusal::Unconfirmed);
                }
                Decision::Waits => waiting.push_back(claim),
            }
        }
        if let Some(started) = replaced {
            self.replaced_silently(started, ctx);
        }
        self.claims.put_back(waiting);
    }

    /// Decides on the claims about the hub itself; `None` for the others.
    fn decide_on_hub(&self, claims: &VecDeque<Claim>, ctx: &Settling<'_>) -> Vec<Option<Decision>> {
        let mut told = self.hub.start_told && ctx.replaced.is_none();
        // The process without a name of its own that started last could not listen: its end is not the hub's.
        let mut failed = false;
        let decide = |claim: &Claim| match &claim.what {
            Claimed::HubStarting { failed: true, .. } => {
                failed = claim.pid.is_none();
                Some(Decision::Refused(ClaimRefusal::Contradicted))
            }
            Claimed::HubStopping { .. } | Claimed::HubStopped { .. } if failed && claim.pid.is_none() && !claim.own => {
                failed = !matches!(claim.what, Claimed::HubStopped { .. });
                Some(Decision::Refused(ClaimRefusal::Contradicted))
            }
            Claimed::HubStarting { port, .. } => {
                failed = false;
                let decision = self.decide_on_start(claim, *port, told, ctx);
                told |= decision == Decision::Confirmed && ctx.replaced.is_none();
                Some(decision)
            }
            Claimed::StopsAlone { now: false } => Some(self.decide_on_option(claim, ctx)),
            Claimed::StopsAlone { now: true } | Claimed::HubStopping { .. } | Claimed::HubStopped { .. } => {
                Some(self.decide_on_stop(claim, ctx))
            }
            Claimed::Server(_) => None,
        };
        claims.iter().map(decide).collect()
    }

    /// Whether a process's start was the hub's. `told` is whether the present process's start was told already.
    fn decide_on_start(&self, claim: &Claim, port: Option<u32>, told: bool, ctx: &Settling<'_>) -> Decision {
        if ctx.answered != Answered::Hub {
            return Decision::Waits;
        }
        if !same_port(port, ctx.port) {
            return Decision::Refused(ClaimRefusal::Contradicted);
        }
        let when = claim.when;
        if self.in_gap(when, port, ctx) {
            return Decision::Confirmed;
        }
        let present = ctx.process.as_ref().or(self.hub.identity.as_ref());
        if let Some((pid, present)) = claim.pid.zip(present.and_then(|process| process.pid)) {
            return match (pid == present, told) {
                (true, true) => Decision::Known,
                (fits, _) => ctx.unless(fits, claim.read, ClaimRefusal::OtherProcess),
            };
        }
        let Some(started) = ctx.started() else {
            // A hub that says nothing of its process: nothing contradicts its lines while it was not seen to answer.
            let silent = ctx.process.is_none()
                && self.hub.identity.is_none()
                && !ctx.answer.health.as_ref().is_ok_and(api::Health::has_workspaces);
            return ctx.unless(silent, claim.read, ClaimRefusal::Contradicted);
        };
        let near = when.earliest() <= started.plus(SAME_START) && when.latest().plus(SAME_START) >= started;
        match (near, told || ctx.replaced.is_some()) {
            (true, true) => Decision::Known,
            (fits, _) => ctx.unless(fits, claim.read, ClaimRefusal::Contradicted),
        }
    }

    /// Whether a line about how a process was started is of the present one: it says so as it starts.
    fn decide_on_option(&self, claim: &Claim, ctx: &Settling<'_>) -> Decision {
        if ctx.answered != Answered::Hub {
            return Decision::Waits;
        }
        // A hub that says nothing of its process can't contradict it; then it is left alone.
        let Some(started) = ctx.started() else { return Decision::Confirmed };
        let near = claim.when.earliest() <= started.plus(SAME_START) && claim.when.latest().plus(SAME_START) >= started;
        ctx.unless(near, claim.read, ClaimRefusal::Contradicted)
    }

    fn decide_on_stop(&self, claim: &Claim, ctx: &Settling<'_>) -> Decision {
        if claim.own {
            return Decision::Confirmed;
        }
        let when = claim.when;
        match ctx.answered {
            Answered::Unclear => Decision::Waits,
            Answered::Nobody => match (self.hub.reachable, self.hub.lost) {
                (Some(true), _) => {
                    let since = self.hub.last_answered.unwrap_or_default();
                    let fits = when.latest().plus(START_SLACK) >= since;
                    if fits { Decision::Confirmed } else { Decision::Refused(ClaimRefusal::Contradicted) }
                }
                // Read late.
                (_, Some(lost)) if when.earliest() <= lost.latest().plus(START_SLACK) => Decision::Confirmed,
                _ => Decision::Waits,
            },
            Answered::Hub => {
                let stopping =
                    ctx.answer.health.as_ref().is_ok_and(|health| matches!(health.state.as_str(), "stopping" | "stopped"));
                let back = match (&ctx.process, self.hub.reachable, self.hub.lost) {
                    // It was gone, is back, and its entry is missing: what it said before it was lost was so.
                    (None, Some(false), Some(lost)) => when.earliest() <= lost.latest(),
                    _ => false,
                };
                let replaced = ctx.replaced.is_some_and(|started| when.earliest() <= started.plus(START_SLACK));
                ctx.unless(stopping || back || replaced, claim.read, ClaimRefusal::Contradicted)
            }
        }
    }

    fn decide_on_server(&self, claim: &Claim, rest: &VecDeque<Claim>, ctx: &Settling<'_>) -> Decision {
        let Claimed::Server(what) = &claim.what else { return Decision::Waits };
        let rest = rest.iter().filter_map(|claim| match &claim.what {
            Claimed::Server(what) => Some(what),
            _ => None,
        });
        match (ctx.answered, ctx.list()) {
            (Answered::Hub, Some(list)) => self.servers.weigh(claim, what, rest, list, ctx.times, ctx.complete),
            // The hub is gone, and what happened just before can't be asked any more.
            (Answered::Nobody, _) if self.hub.reachable == Some(true) && self.servers.knows(what.server()) => {
                let believed = claim.own || claim.pid.is_some() || self.hub.stopping || self.shared.is_empty();
                if believed { Decision::Confirmed } else { Decision::Refused(ClaimRefusal::Unconfirmed) }
            }
            _ => Decision::Waits,
        }
    }

    /// It is so: the facts are told with the line's own time.
    fn confirm(&mut self, claim: Claim, ctx: Option<&Settling<'_>>) {
        let Claim { uid, ordinal, mut when, said: stated, source, pid, what, .. } = claim;
        let mut said = Said { uid, when, source, facts: Vec::new(), ordinal };
        match what {
            Claimed::HubStarting { open, .. } => self.confirm_start(pid, &open, &mut said),
            Claimed::StopsAlone { .. } => self.hub.stops_alone = true,
            Claimed::HubStopping { signal, cause } => {
                self.hub.stopping = true;
                self.servers.hub_stopping();
                said.say(HubStopping { signal: Some(signal), cause });
                self.abort_calls(pid, &mut said);
            }
            Claimed::HubStopped { open } => {
                self.hub.stopping = true;
                self.servers.hub_stopping();
                for client in self.clients.ended_of(&open) {
                    said.say(ClientDisconnected { client: Text::new(client) });
                }
                said.say(HubStopped {});
            }
            Claimed::Server(what) => {
                if let ServerClaim::Failed { server, error } = &what {
                    said.say(ServerStartFailed { server: server.clone(), error: error.clone() });
                }
                let seen =
                    ctx.and_then(|ctx| ctx.list()).and_then(|list| list.servers.iter().find(|seen| seen.name == what.server()));
                // Nothing has happened to a server since it connected: a line without a time of its own was written before.
                if let Some(connected) =
                    ctx.zip(seen).and_then(|(ctx, seen)| since::connected(seen, ctx.times)).filter(|_| stated.is_none())
                {
                    when = when.not_after(connected.latest());
                    said.when = when;
                }
                let listed = seen.is_some() || self.takes_lines_alone() || self.servers.knows(what.server());
                let noticed = self.servers.confirmed(&what, when, source, seen, listed, &self.requests);
                said.noticed(noticed);
            }
        }
        self.facts.append(&mut said.facts);
    }

    fn confirm_start(&mut self, pid: Option<u32>, open: &std::collections::BTreeMap<String, u32>, said: &mut Said) {
        let when = said.when;
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
    fn abort_calls(&mut self, pid: Option<u32>, said: &mut Said) {
        if pid.is_some() {
            return;
        }
        let aborted = self.calls.abort_begun_by(said.when.latest());
        for call in &aborted {
            said.say(call.fact.clone());
        }
        self.ended.extend(aborted);
    }

    /// Takes a claim as it stands: there is nothing that could confirm it.
    pub(in crate::hub) fn believe(&mut self, claim: Claim) {
        self.confirm(claim, None);
    }

    /// Another process answers than before, and no line told of it.
    fn replaced_silently(&mut self, started: Timestamp, ctx: &Settling<'_>) {
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
        let near = |error: &&(Timestamp, Text)| when.latest().since(error.0) <= SAME_START;
        let cause = self.last_error.as_ref().filter(near).map(|(_, text)| text.clone());
        self.say(when, HubExited { pid: self.hub.pid, cause });
    }

    fn refuse(&mut self, claim: &Claim, refusal: ClaimRefusal) {
        self.claims.refuse(claim.what.kind(), refusal);
        let sign = match (refusal, &claim.what) {
            (ClaimRefusal::OtherProcess, _) => Some(SharedSign::OtherProcess),
            (ClaimRefusal::Contradicted, Claimed::HubStarting { .. }) => {
                let near = |emptied: &Timestamp| {
                    emptied.plus(EMPTIED_NEAR) >= claim.when.earliest() && *emptied <= claim.when.latest().plus(EMPTIED_NEAR)
                };
                self.log_emptied.filter(near).map(|_| SharedSign::ForeignStart)
            }
            _ => None,
        };
        if let Some(sign) = sign {
            self.is_shared(sign, claim.pid, claim.read);
        }
    }

    /// A line of another process: what it claims is not this hub's.
    pub(in crate::hub) fn is_of_other(&mut self, pid: u32, meaning: Option<Meaning<'_>>, at: Timestamp) {
        if let Some(kind) = meaning.and_then(Meaning::claims) {
            self.claims.refuse(kind, ClaimRefusal::OtherProcess);
        }
        self.is_shared(SharedSign::OtherProcess, Some(pid), at);
    }

    fn is_shared(&mut self, sign: SharedSign, pid: Option<u32>, at: Timestamp) {
        let told = self.shared.get(&sign);
        if told.is_none_or(|told| at.since(*told) >= SHARED_AGAIN) {
            self.shared.insert(sign, at);
            self.say_from_log(When::At(at), LogShared { sign, pid });
        }
    }
}

/// Lines without a time of their own that were read together after a while are of any time in it. The present process says when it
/// started: its first line is of then, what stands before that in the same source is of before, what follows of after.
fn narrow(claims: &mut VecDeque<Claim>, decisions: &[Option<Decision>], ctx: &Settling<'_>) {
    let Some(started) = ctx.started() else { return };
    let begun = started.minus(START_SLACK);
    let is_it = |(claim, decision): &(&Claim, &Option<Decision>)| {
        let reached = claim.when.earliest() <= started && claim.when.latest() >= begun;
        matches!(claim.what, Claimed::HubStarting { .. }) && **decision == Some(Decision::Confirmed) && reached
    };
    let Some(place) = claims.iter().zip(decisions).rposition(|pair| is_it(&pair)) else { return };
    let Some((source, read)) = claims.get(place).map(|claim| (claim.source, claim.read)) else { return };
    let first = |claim: &Claim| claim.when.earliest().max(begun).min(started);
    for (index, claim) in claims.iter_mut().enumerate() {
        if claim.said.is_some() || claim.source != source || claim.read != read {
            continue;
        }
        let (earliest, latest) = (claim.when.earliest(), claim.when.latest());
        claim.when = match index.cmp(&place) {
            Ordering::Less => When::between(earliest.min(started), latest.min(started)),
            Ordering::Equal => When::between(first(claim), latest.min(started)),
            Ordering::Greater => When::between(first(claim).max(earliest), latest),
        };
    }
}

/// The port in `Starting HTTP server on port P`.
pub(in crate::hub) fn port_of(text: &str) -> Option<u32> {
    text.strip_prefix("Starting HTTP server on port ")?.trim().parse().ok()
}

fn same_port(one: Option<u32>, other: Option<u32>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}
