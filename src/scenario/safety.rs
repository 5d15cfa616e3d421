//! What must be given before a scenario does anything (docs/hub.md, "Acting on a hub").

use super::plan::{Allow, Scenario};
use super::put_back;
use super::survey::{self, Survey};
use super::target::{MOST_CLIENTS, Options, Target};
use crate::process;
use crate::watch::Bytes;

/// A client that leaves writes up to 0.8 MB to the log; a run with fifty needs room for all of them, and the hub for itself.
const FREE: Bytes = Bytes::new(200_000_000);

/// The environments in which nothing is done unless it is allowed by name, however they are written.
const PRODUCTION: [&str; 2] = ["production", "prod"];

/// A condition that must be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What must be.
    pub must: &'static str,
    /// Whether it is: what was seen, or what stands against it and what to do.
    pub seen: Result<String, String>,
}

/// What must be given for this scenario, and whether it is.
pub(super) fn conditions(scenario: Scenario, target: &Target, options: &Options, survey: &Survey) -> Vec<Condition> {
    let mut all = vec![
        Condition { must: "it is allowed", seen: allowed(scenario, options) },
        Condition { must: "the hub is no production hub", seen: environment(target, options) },
        Condition { must: "the hub is ready", seen: ready(survey) },
        Condition { must: "there is room on the disk of the hub's log", seen: room(target) },
        Condition { must: "nothing of an earlier scenario is left to put back", seen: nothing_left(target) },
    ];
    if scenario.has_clients() {
        all.push(Condition { must: "the hub survives clients that leave", seen: not_bun(survey, options) });
        all.push(Condition { must: "nobody else uses the hub", seen: alone(survey, options) });
        all.push(Condition { must: "a call of the meta-tool does not stop the hub", seen: isolated(survey, options) });
    }
    if scenario == Scenario::HighLoad {
        all.push(Condition { must: "the hub survives that many clients", seen: few(options) });
    }
    all
}

fn allowed(scenario: Scenario, options: &Options) -> Result<String, String> {
    match scenario.needs() {
        None => Ok("it needs no permission".to_owned()),
        Some(what) if options.allows(what) => Ok(format!("--allow {what}")),
        Some(what) => Err(format!("{scenario} needs --allow {what}")),
    }
}

fn environment(target: &Target, options: &Options) -> Result<String, String> {
    let environment = target.environment.as_str();
    let is_production = PRODUCTION.iter().any(|name| environment.eq_ignore_ascii_case(name));
    if !is_production || options.allows(Allow::Production) {
        Ok(format!("its environment is {environment}"))
    } else {
        Err(format!("the environment of {} is {environment}; if that is meant, add --allow {}", target.name, Allow::Production))
    }
}

fn ready(survey: &Survey) -> Result<String, String> {
    let state = &survey.health.state;
    if survey::is_ready(state) {
        Ok(format!("its state is {state}"))
    } else {
        Err(format!("its state is {state}; wait until it is ready"))
    }
}

fn room(target: &Target) -> Result<String, String> {
    let Some(log) = &target.log else { return Ok("its log is not visible here".to_owned()) };
    match process::free_space(log) {
        Some(free) if free < FREE => Err(format!(
            "only {} MB are free where {} lies; make room for {} MB",
            free.get() / 1_000_000,
            log.display(),
            FREE.get() / 1_000_000
        )),
        Some(free) => Ok(format!("{} MB are free", free.get() / 1_000_000)),
        None => Ok("the free space is unknown".to_owned()),
    }
}

fn nothing_left(target: &Target) -> Result<String, String> {
    if put_back::is_waiting(target) {
        Err("an earlier scenario was killed before it could put back what it took; it is put back first".to_owned())
    } else {
        Ok("nothing is left".to_owned())
    }
}

fn not_bun(survey: &Survey, options: &Options) -> Result<String, String> {
    let Some(process) = &survey.process else { return Ok("its process is not visible here".to_owned()) };
    let Some(name) = process::executable(process.poll.pid) else { return Ok("its program is not visible here".to_owned()) };
    if !name.starts_with("bun") || options.allows(Allow::Bun) {
        Ok(format!("{name} runs it"))
    } else {
        Err(format!(
            "Bun runs it, and under Bun the hub stops when an MCP client leaves; run it with Node, or add --allow {}",
            Allow::Bun
        ))
    }
}

fn alone(survey: &Survey, options: &Options) -> Result<String, String> {
    match survey.clients() {
        Some(others @ 1..) if !options.allows(Allow::ForeignClients) => Err(format!(
            "{others} other MCP clients are connected, and what is done may disturb them; disconnect them, or add --allow {}",
            Allow::ForeignClients
        )),
        Some(others) => Ok(format!("{others} other MCP clients are connected")),
        None => Ok("the hub does not count its clients".to_owned()),
    }
}

fn isolated(survey: &Survey, options: &Options) -> Result<String, String> {
    match survey.config.and_then(|config| config.session_isolation) {
        Some(false) if !options.allows(Allow::HubStop) => Err(format!(
            "its configuration has sessionIsolation: false, with which the first call of the meta-tool stops the hub; change that, or add --allow {}",
            Allow::HubStop
        )),
        Some(isolation) => Ok(format!("its configuration has sessionIsolation: {isolation}")),
        None => Ok("its configuration doesn't say otherwise".to_owned()),
    }
}

fn few(options: &Options) -> Result<String, String> {
    if options.clients <= MOST_CLIENTS {
        Ok(format!("{} clients", options.clients))
    } else {
        Err(format!(
            "{} clients are more than {MOST_CLIENTS}, and would block the hub for minutes when they leave",
            options.clients
        ))
    }
}
