//! A poll decides on the claims of lines: one that the API confirms becomes a fact with the line's own time, one that it
//! contradicts is dropped and counted, and one that it can't decide yet waits.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::hub::api;
use crate::hub::facts::Said;
use crate::hub::interpret::Interpreter;
use crate::hub::polled::PollAnswer;
use crate::hub::topics::claims::{Claim, Claimed, Decision, ServerClaim, UNCONFIRMED_AFTER};
use crate::hub::topics::hub_life::{SAME_START, START_SLACK};
use crate::hub::topics::identity::{Beside, Identity};
use crate::hub::topics::servers::Asked;
use crate::watch::{
    ApiOutcome, ClaimRefusal, ClientDisconnected, HubStopped, HubStopping, Micros, ServerStartFailed, SharedSign, Text, Timestamp,
    When,
};

/// Every hub empties the plain log when it starts: a start line this near to that is a hub's, not a server's output.
const EMPTIED_NEAR: Micros = Micros::new(10_000_000);

/// How the hub answered, as far as that decides on claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Answered {
    /// A hub answered.
    Hub,
    /// The connection was refused.
    Nobody,
    /// Unclear: too late, only once, or not as a hub answers.
    Unclear,
}

/// What a poll decides claims by.
pub(in crate::hub) struct Settling<'a> {
    pub(in crate::hub) answer: &'a PollAnswer,
    pub(in crate::hub) answered: Answered,
    /// How far the hub's clock is ahead of ours, in microseconds.
    pub(in crate::hub) ahead: i64,
    /// The process, where the API says it.
    pub(in crate::hub) process: Option<Identity>,
    /// What stands in its place and is another hub's.
    pub(in crate::hub) usurper: Option<Identity>,
    /// Whether it is another process than before, and since when by our clock.
    pub(in crate::hub) replaced: Option<Timestamp>,
    /// Whether it is another process that ran beside the one before.
    pub(in crate::hub) beside: Option<Beside>,
    pub(in crate::hub) port: Option<u32>,
    pub(in crate::hub) times: Asked,
    /// Whether the hub's list of servers is whole.
    pub(in crate::hub) complete: bool,
}

impl Settling<'_> {
    /// The claims whose lines were read before the request went out could have shown in the answer.
    pub(in crate::hub) fn knew_of(&self, read: Timestamp) -> bool {
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
    pub(in crate::hub) fn started(&self) -> Option<Timestamp> {
        let started = self.process.as_ref().and_then(|process| process.started)?;
        Some(started.shifted(self.ahead.saturating_neg()))
    }
}

impl Interpreter {
    pub(in crate::hub) fn settling<'a>(&self, answer: &'a PollAnswer) -> Settling<'a> {
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
        let beside = process.as_ref().filter(|_| other).and_then(|process| self.beside(process, started, answer));
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
            replaced: Some(since).filter(|_| other && beside.is_none()),
            beside,
            port: health.and_then(api::Health::port),
            times: Asked { asked: answer.asked, now: answer.now, hub_now, ahead, set_at: self.clocks.set_at() },
            complete: health.is_some_and(|health| matches!(health.state.as_str(), "ready" | "restarted")),
            process,
            usurper,
        }
    }

    /// Decides on what lines claimed since the last poll. Gives the times of the list of servers, and whether that is whole.
    pub(in crate::hub) fn settle(&mut self, answer: &PollAnswer) -> (Asked, bool) {
        self.learn_clock(answer);
        let ctx = self.settling(answer);
        if let Ok(health) = &answer.health {
            self.requests.state(&health.state, answer.asked);
        }
        self.settle_held(&ctx);
        self.settle_claims(&ctx);
        if let Some(beside) = ctx.beside {
            self.another_answers(beside, &ctx);
        }
        self.hub.port = ctx.port.or(self.hub.port);
        if answer.health.is_ok() {
            self.hub.usurper = ctx.usurper.clone().or(self.hub.usurper.take());
        }
        if let Some(process) = &ctx.process {
            let before = self.hub.identity.replace(process.clone());
            if ctx.replaced.is_some() || ctx.beside.is_some() {
                self.hub.previous = before.as_ref().and_then(|before| before.pid);
                before.into_iter().for_each(|before| self.hub.note_former(before));
            }
            self.hub.pid = process.pid.or(self.hub.pid);
            self.hub.started = self.hub.started.or_else(|| ctx.started().map(When::At));
        }
        self.accepted.clear();
        self.requests.forget_before(answer.now.minus(UNCONFIRMED_AFTER));
        (ctx.times, ctx.complete)
    }

    /// Returns whether it happened between the last answer of the previous process and the start of the present one. The hub was
    /// not visible then, so events on its port were the hub's.
    pub(in crate::hub) fn in_gap(&self, when: When, port: Option<u32>, ctx: &Settling<'_>) -> bool {
        let from = self.hub.last_answered.unwrap_or_default();
        let until = match (ctx.replaced, &ctx.process, self.hub.reachable) {
            (Some(started), ..) => started,
            // It was away and is back, and its entry is missing: its own lines show when it started.
            (None, None, Some(false)) => ctx.answer.now,
            (None, Some(_), _) | (None, None, Some(true) | None) => return false,
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
        // No line shows the new process's start. The API does, and earlier lines belong to the previous process.
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

    /// Returns whether a process's start was the hub's. `told` is true if there is already a fact about the present process's
    /// start.
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
                (Some(false) | None, Some(lost)) if when.earliest() <= lost.latest().plus(START_SLACK) => Decision::Confirmed,
                (Some(false) | None, Some(_) | None) => Decision::Waits,
            },
            Answered::Hub => {
                let stopping =
                    ctx.answer.health.as_ref().is_ok_and(|health| matches!(health.state.as_str(), "stopping" | "stopped"));
                // It was gone, is back, and its entry is missing: what it said before it was lost was so.
                let is_back = ctx.process.is_none() && self.hub.reachable == Some(false);
                let back = is_back && self.hub.lost.is_some_and(|lost| when.earliest() <= lost.latest());
                let replaced = ctx.replaced.is_some_and(|started| when.earliest() <= started.plus(START_SLACK));
                ctx.unless(stopping || back || replaced, claim.read, ClaimRefusal::Contradicted)
            }
        }
    }

    fn decide_on_server(&self, claim: &Claim, rest: &VecDeque<Claim>, ctx: &Settling<'_>) -> Decision {
        let Claimed::Server(what) = &claim.what else { return Decision::Waits };
        let rest = rest.iter().filter_map(|claim| match &claim.what {
            Claimed::Server(what) => Some(what),
            Claimed::HubStarting { .. } | Claimed::StopsAlone { .. } | Claimed::HubStopping { .. } | Claimed::HubStopped { .. } => {
                None
            }
        });
        match (ctx.answered, ctx.list()) {
            (Answered::Hub, Some(list)) => self.servers.weigh(claim, what, rest, list, ctx.times, ctx.complete),
            // The hub is gone, and what happened just before can't be asked any more.
            (Answered::Nobody, _) if self.hub.reachable == Some(true) && self.servers.knows(what.server()) => {
                let believed = claim.own || claim.pid.is_some() || self.hub.stopping || self.shared.is_empty();
                if believed { Decision::Confirmed } else { Decision::Refused(ClaimRefusal::Unconfirmed) }
            }
            (Answered::Hub, None) | (Answered::Nobody | Answered::Unclear, _) => Decision::Waits,
        }
    }

    /// Confirms a claim: its facts get the line's own time.
    pub(in crate::hub) fn confirm(&mut self, claim: Claim, ctx: Option<&Settling<'_>>) {
        let Claim { uid, ordinal, mut when, said: stated, source, pid, what, .. } = claim;
        let mut said = Said { uid, when, source, facts: Vec::new(), ordinal };
        match what {
            Claimed::HubStarting { open, .. } => self.confirm_start(pid, &open, ctx, &mut said),
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
                    ctx.zip(seen).and_then(|(ctx, seen)| self.servers.connected(seen, ctx.times)).filter(|_| stated.is_none())
                {
                    when = when.not_after(connected.latest());
                    said.when = when;
                }
                let listed = seen.is_some() || self.takes_lines_alone() || self.servers.knows(what.server());
                let noticed =
                    self.servers.confirmed(&what, when, source, seen.zip(ctx.map(|ctx| ctx.times)), listed, &self.requests);
                said.noticed(noticed);
            }
        }
        self.facts.append(&mut said.facts);
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
            (
                ClaimRefusal::Contradicted,
                Claimed::StopsAlone { .. } | Claimed::HubStopping { .. } | Claimed::HubStopped { .. } | Claimed::Server(_),
            )
            | (ClaimRefusal::NotListed | ClaimRefusal::Unconfirmed | ClaimRefusal::Undecided | ClaimRefusal::TooMany, _) => None,
        };
        if let Some(sign) = sign {
            self.is_shared(sign, claim.pid, claim.read);
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

fn same_port(one: Option<u32>, other: Option<u32>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}
