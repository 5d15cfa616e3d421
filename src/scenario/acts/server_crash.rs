//! A stdio server's process is killed: what the hub makes of it, and what its clients are told.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{list, seconds};
use crate::hub::api::Servers;
use crate::mcp::Closing;
use crate::process;
use crate::scenario::known;
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::probe::Probe;
use crate::scenario::put_back::{self, Taken};
use crate::scenario::stage::{Interrupted, Stage};
use crate::scenario::survey;

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "The server's process is found and killed",
    "2" "The hub shows the server as disconnected",
    "3" "The hub reconnects the server by itself within 30 s",
    "4" "The server's tools stay registered until then",
    "5" "Clients are told that the server is not available",
    "6" "The server is put back and answers",
};

/// How long a process may take to end after SIGKILL.
const DEAD_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    // A client that looks on: is it told?
    let witness = stage.until(stage.connect("witness")).await?.ok();
    let step = stage.begin("1")?;
    let (name, pid) = match victim(stage).await {
        Ok(victim) => victim,
        Err(outcome) => {
            step.end(outcome);
            return Ok(());
        }
    };
    let tools = stage.survey.server(&name).and_then(|server| server.capabilities.as_ref()).map_or(0, |offers| offers.tools.len());
    if let Err(why) = put_back::note(stage.target, &Taken::Server { name: name.clone() }) {
        step.end(Outcome::needs(
            format!("what must be put back can't be noted, so nothing is killed: {why}"),
            "give a folder with --state-dir",
        ));
        return Ok(());
    }
    // A hub may be quicker than the look whether the process is gone.
    let before = witness.as_ref().map_or(0, |witness| witness.list_changes());
    let killed = kill(pid);
    let gone = async || (!process::is_alive(pid)).then_some(());
    let gone = stage.await_that(DEAD_WITHIN, gone).await?;
    match (killed, gone) {
        (Ok(()), Some(())) => _ = step.end(Outcome::pass(format!("{name}: process {pid} is dead"))),
        (Err(why), _) => {
            step.end(Outcome::needs(
                format!("process {pid} of {name} can't be killed: {why}"),
                "run as the hub's user, on its host",
            ));
            return Ok(());
        }
        (Ok(()), None) => {
            step.end(Outcome::fail(format!("process {pid} of {name} is still there {} after SIGKILL", seconds(DEAD_WITHIN))));
            return Ok(());
        }
    }
    watched(stage, &name, tools).await?;
    let step = stage.begin("5")?;
    let told = witness.as_ref().map(|witness| witness.list_changes() - before);
    step.end(match told {
        None => Outcome::unseen("no MCP client could connect to look on"),
        Some(0) => Outcome::defect(
            format!("no notification came within {}", seconds(stage.options.patience.reconnected)),
            &known::NO_RECONNECTION,
        ),
        Some(count) => Outcome::pass(format!("{count} notifications that the tools changed")),
    });
    if let Some(witness) = witness {
        stage.until(stage.leave(&witness, Closing::Finish)).await?;
    }
    is_back(stage, &name).await
}

/// Steps 2 to 4: what the hub shows while nobody does anything.
async fn watched(stage: &Stage<'_>, name: &str, tools: usize) -> Result<(), Interrupted> {
    let killed_at = tokio::time::Instant::now();
    let step = stage.begin("2")?;
    let shown = async || {
        let servers = stage.target.hub.servers_with_tools().await.0.ok()?;
        let server = servers.servers.into_iter().find(|server| server.name == name)?;
        (server.status != "connected").then_some(server.status)
    };
    step.end(match stage.await_that(stage.options.patience.shown, shown).await? {
        Some(status) => Outcome::pass(format!("it is {status} after {}", seconds(killed_at.elapsed()))),
        None => Outcome::defect(
            format!("it is still \"connected\" after {}", seconds(stage.options.patience.shown)),
            &known::NO_RECONNECTION,
        ),
    });
    let step = stage.begin("3")?;
    let usable = async || {
        let servers = stage.target.hub.servers_with_tools().await.0.ok()?;
        servers.servers.iter().any(|server| server.name == name && survey::is_usable(server)).then_some(())
    };
    let left = stage.options.patience.reconnected.saturating_sub(killed_at.elapsed());
    step.end(match stage.await_that(left, usable).await? {
        Some(()) => Outcome::pass(format!("it is connected again after {}", seconds(killed_at.elapsed()))),
        None => Outcome::defect(
            format!("it is not connected again after {}", seconds(stage.options.patience.reconnected)),
            &known::NO_RECONNECTION,
        ),
    });
    let step = stage.begin("4")?;
    let now = stage.until(stage.target.hub.servers_with_tools()).await?.0;
    step.end(match now {
        Err(outcome) => Outcome::fail(format!("the hub does not answer: {}", outcome.reason())),
        Ok(servers) => {
            let server = servers.servers.iter().find(|server| server.name == name);
            let now = server.and_then(|server| server.capabilities.as_ref()).map_or(0, |offers| offers.tools.len());
            Outcome::held(now == tools, format!("{now} of {tools} tools"))
        }
    });
    Ok(())
}

/// Step 6: put back by hand, and asked for an answer.
async fn is_back(stage: &Stage<'_>, name: &str) -> Result<(), Interrupted> {
    let step = stage.begin("6")?;
    let began = tokio::time::Instant::now();
    // Not under `until`: what was begun is put back whatever the user wants.
    let problems: Vec<String> = put_back::all_but_windows(stage.target).await.into_iter().filter_map(Result::err).collect();
    if let Some(first) = problems.first() {
        step.end(Outcome::fail(first.clone()));
        return Ok(());
    }
    let Some(probe) = stage.probes.iter().find(|probe| probe.server == name) else {
        let usable = async || {
            let servers = stage.target.hub.servers_with_tools().await.0.ok()?;
            servers.servers.iter().any(|server| server.name == name && survey::is_usable(server)).then_some(())
        };
        let back = stage.await_that(stage.options.patience.back, usable).await?;
        step.end(Outcome::held(back.is_some(), format!("stopped and started; connected after {}", seconds(began.elapsed()))));
        return Ok(());
    };
    let answers = async || answers(stage, probe).await.then_some(());
    step.end(match stage.await_that(stage.options.patience.back, answers).await? {
        Some(()) => Outcome::pass(format!("stopped and started; {} answers after {}", probe.name(), seconds(began.elapsed()))),
        None => Outcome::fail(format!(
            "{} does not answer {} after the server was stopped and started",
            probe.name(),
            seconds(stage.options.patience.back)
        )),
    });
    Ok(())
}

async fn answers(stage: &Stage<'_>, probe: &Probe) -> bool {
    stage.target.hub.call_tool(&probe.server, &probe.tool, &serde_json::json!({})).await.0.is_ok()
}

/// The server whose process is killed, and that process.
async fn victim(stage: &Stage<'_>) -> Result<(String, u32), Outcome> {
    let health = stage.health().await.map_err(|outcome| Outcome::fail(format!("the hub does not answer: {}", outcome.reason())))?;
    let servers = stage.target.hub.servers().await.0;
    let servers = servers.map_err(|outcome| Outcome::fail(format!("the hub does not answer: {}", outcome.reason())))?;
    let Some(hub) = survey::process(stage.target, &health) else {
        return Err(Outcome::needs("the hub's process is not visible here", "run it on the hub's host, as the hub's user"));
    };
    let assigned = assigned(&servers, &hub.children);
    let wanted = stage.options.server.as_deref();
    let usable = |name: &str| stage.survey.server(name).is_some_and(survey::is_usable);
    let mut candidates = assigned.iter().filter(|(name, _)| usable(name) && wanted.is_none_or(|wanted| wanted == name));
    if let Some((name, pid)) = candidates.clone().find(|(name, _)| name == "filesystem").or_else(|| candidates.next()) {
        return Ok((name.clone(), *pid));
    }
    let known = list(assigned.iter().map(|(name, _)| name.as_str()));
    Err(match wanted {
        Some(wanted) => Outcome::needs(
            format!("the process of server {wanted} can't be told from the others"),
            format!("choose one of: {known}"),
        ),
        None => Outcome::needs(
            "no stdio server has a process that can be told from the others",
            "name the server in its command line, or run on the hub's host",
        ),
    })
}

/// Each stdio server's process, where it is certain.
fn assigned(servers: &Servers, children: &[crate::hub::children::Child]) -> Vec<(String, u32)> {
    crate::hub::children::of_servers(servers, children)
}

/// Kills a process and its descendants, the last one first: what a wrapper such as `npx` starts would live on, and keep the pipe open.
fn kill(pid: u32) -> Result<(), String> {
    for pid in process::family(pid).into_iter().rev() {
        let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        match kill_process(process, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
