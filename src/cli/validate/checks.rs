//! The checks of the hub's answers and of its process.

use std::collections::BTreeMap;
use std::path::Path;

use super::log_end;
use super::{Check, check};
use crate::judge::verdict::Verdict;
use crate::report::words;
use crate::watch::{ApiOutcome, Liveness, Poll, ProcessPoll, ServerPoll, Timestamp, Watch};

/// The strategy's limit at the beginning: 1 % of a core, and 1 % of the host's memory. In thousandths.
const EXPECTED_SHARE: u64 = 10;

/// The limit of the share of a memory limit, in thousandths: a process that exceeds its limit is killed, so 80 % is too near.
const LIMIT_SHARE: u64 = 800;

/// More clients than this must be investigated, by the strategy.
const MANY_CLIENTS: u32 = 10;

/// Returns all checks.
pub(super) fn checks(polls: &[(&Watch, &Poll)], expected: &BTreeMap<String, Vec<String>>, log: Option<&Path>) -> Vec<Check> {
    let Some((_, last)) = polls.last() else {
        return vec![check("hub answers", Verdict::Fail, "it was not polled", None)];
    };
    let mut all = vec![answers(last)];
    if last.api.health == ApiOutcome::Ok {
        all.extend(processor(polls));
        all.push(memory(last.process.as_ref()));
        all.extend(last.servers.iter().map(|seen| server(seen, expected)));
        let missing = expected.keys().filter(|name| last.servers.iter().all(|seen| seen.name.as_str() != name.as_str()));
        all.extend(missing.map(|name| check(format!("server {name}"), Verdict::Fail, "the hub does not know it", None)));
        all.push(endpoint(last));
    }
    all.extend(log.map(|log| log_end::recent(log, expected)).unwrap_or_default());
    all
}

fn answers(poll: &Poll) -> Check {
    let api = &poll.api;
    let state = api.state.as_ref().map_or("unknown", |state| state.as_str());
    let verdict = match (api.health, state) {
        (ApiOutcome::Ok, "ready") => Verdict::Pass,
        (ApiOutcome::Ok, "starting" | "restarting") => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let version = api.version.as_ref().map_or(String::new(), |version| format!(", version {version}"));
    let found = match api.health {
        ApiOutcome::Ok => format!("state {state}{version}, in {}", words::duration(api.health_duration.get())),
        outcome => format!("no: {outcome}"),
    };
    check("hub answers", verdict, found, Some("state ready".to_owned()))
}

/// Returns the first and the last reading of the same process.
fn same_process<'a>(polls: &[(&'a Watch, &'a Poll)]) -> Option<[(Timestamp, &'a ProcessPoll); 2]> {
    let seen: Vec<_> = polls.iter().filter_map(|(watch, poll)| Some((watch.interval.end(), poll.process.as_ref()?))).collect();
    let last = *seen.last()?;
    let first = *seen.iter().find(|(_, process)| (process.pid, process.started) == (last.1.pid, last.1.started))?;
    Some([first, last])
}

/// Returns the processor time in thousandths of one core.
pub(super) fn cpu(polls: &[(&Watch, &Poll)]) -> Option<u64> {
    let [(from, first), (to, last)] = same_process(polls)?;
    let used = last.cpu_time.get().saturating_sub(first.cpu_time.get());
    used.saturating_mul(1_000).checked_div(to.since(from).get())
}

fn processor(polls: &[(&Watch, &Poll)]) -> Vec<Check> {
    let expected = Some("at most 1 % of a core".to_owned());
    let Some([_, (at, process)]) = same_process(polls) else {
        let found = "not visible: run hubwatch on the hub's host or in its PID namespace, or give --pid";
        return vec![check("process", Verdict::Inconclusive, found, None)];
    };
    let up = words::duration(at.since(process.started).get());
    let seen = check("process", Verdict::Pass, format!("pid {}, up for {up}", process.pid), None);
    let share = match cpu(polls) {
        Some(share) if share <= EXPECTED_SHARE => check("processor", Verdict::Pass, words::permille(share), expected),
        Some(share) => check("processor", Verdict::Warn, words::permille(share), expected),
        None => check("processor", Verdict::Inconclusive, "it was seen only once", expected),
    };
    vec![seen, share]
}

fn memory(process: Option<&ProcessPoll>) -> Check {
    let Some(process) = process else { return check("memory", Verdict::Inconclusive, "not visible", None) };
    let share = |whole: u64| process.rss.get().saturating_mul(1_000).checked_div(whole).unwrap_or(0);
    let (share, of, most) = match process.memory_limit {
        Some(limit) => (share(limit.get()), "its limit", LIMIT_SHARE),
        None => (share(process.host_memory.get()), "the host's", EXPECTED_SHARE),
    };
    let found = format!("{}, {} of {of}", words::bytes(process.rss.get()), words::permille(share));
    let verdict = if share <= most { Verdict::Pass } else { Verdict::Warn };
    check("memory", verdict, found, Some(format!("at most {} of {of}", words::permille(most))))
}

fn server(seen: &ServerPoll, expected: &BTreeMap<String, Vec<String>>) -> Check {
    let allowed = expected.get(seen.name.as_str()).filter(|states| !states.is_empty());
    let works = seen.liveness == Liveness::Up;
    let verdict = match (works, allowed) {
        (true, _) if seen.tools == 0 => Verdict::Warn,
        (true, _) => Verdict::Pass,
        (false, Some(states)) if states.iter().any(|state| state == seen.status.as_str()) => Verdict::Pass,
        (false, _) if is_undecided(seen) => Verdict::Inconclusive,
        (false, _) if seen.liveness == Liveness::Starting => Verdict::Warn,
        (false, _) => Verdict::Fail,
    };
    if verdict == Verdict::Inconclusive {
        let found = "can't tell yet: it claims to be connected with an uptime of 0, so it has just connected or has died; \
                     look for longer (--for 6s)";
        let expected = allowed.map(|states| states.join(" or "));
        return Check { must: true, ..check(format!("server {}", seen.name), verdict, found, expected) };
    }
    let error = seen.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    let found = format!("{}, {} tools (claims {}; {}{error})", seen.liveness, seen.tools, seen.status, seen.reason);
    check(format!("server {}", seen.name), verdict, found, allowed.map(|states| states.join(" or ")))
}

/// Returns true if the server has just connected or has just died: both look the same at first.
fn is_undecided(seen: &ServerPoll) -> bool {
    seen.liveness == Liveness::Starting && seen.status.as_str() == "connected"
}

fn endpoint(poll: &Poll) -> Check {
    let api = &poll.api;
    let (Some(clients), Some(tools)) = (api.mcp_clients, api.tools) else {
        return check("MCP endpoint", Verdict::Warn, "not there until every server has started or failed", None);
    };
    let verdict = if tools == 0 || clients > MANY_CLIENTS { Verdict::Warn } else { Verdict::Pass };
    check("MCP endpoint", verdict, format!("{clients} clients, {tools} tools"), None)
}
