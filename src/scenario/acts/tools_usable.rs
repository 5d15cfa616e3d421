//! Tools as a client uses them: listed, and called.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::sessions::{PROBE_REMEDY, choosable, prompt};
use super::{connects, list};
use crate::mcp::Answer;
use crate::scenario::actor::Actor;
use crate::scenario::analysis::{META_TOOL, shown};
use crate::scenario::known;
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::probe::{self, Probe, category_of};
use crate::scenario::stage::{Interrupted, Stage};
use crate::watch::MeasuredByClient;

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "A client connects",
    "2" "tools/list answers",
    "3" "tools/list has what the client may use",
    "4" "A read-only tool of each server answers its client",
    "5" "The same tools answer over the hub's own API",
};

/// A list that goes on over more pages than this is none.
const MOST_PAGES: usize = 100;

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(client) = connects(stage, "1", "A").await? else { return Ok(()) };
    // With a meta-tool, a client may use only what it chose, and what every client may use.
    let mut default = BTreeSet::new();
    if stage.survey.has_meta_tool == Some(true) {
        default = probe::exposed(&stage.until(stage.exposures(&client)).await?);
        for category in choosable(stage) {
            // What it gets is seen in the list and by the calls.
            let _ = stage.until(stage.analyze(&client, prompt(category))).await?;
        }
    }
    let step = stage.begin("2")?;
    match stage.until(listed(stage, &client)).await? {
        Ok(tools) => {
            step.end(Outcome::pass(format!("{} tools", tools.len())));
            stage.begin("3")?.end(compared(stage, &client, &default, &tools));
        }
        Err(said) => {
            step.end(failed(format!("tools/list answers: {said}")));
            stage.begin("3")?.end(Outcome::unseen("there is no list"));
        }
    }
    over_mcp(stage, &client).await?;
    over_the_api(stage).await
}

/// The names of all tools, page by page.
async fn listed(stage: &Stage<'_>, client: &Actor) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    let mut cursor = Value::Null;
    for _ in 0..MOST_PAGES {
        let params = if cursor.is_null() { json!({}) } else { json!({"cursor": cursor}) };
        let answer =
            stage.request(client, "tools/list", params, stage.options.patience.request).await.map_err(|error| error.to_string())?;
        let result = answer.outcome.map_err(|error| format!("{} {}", error.code, error.message))?;
        let tools = result["tools"].as_array().ok_or("an answer without tools")?;
        names.extend(tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned));
        cursor = result["nextCursor"].clone();
        if cursor.is_null() {
            return Ok(names);
        }
    }
    Err(format!("a list of more than {MOST_PAGES} pages"))
}

/// The list held against the servers' tools, as the hub's API shows them.
fn compared(stage: &Stage<'_>, client: &Actor, default: &BTreeSet<String>, listed: &BTreeSet<String>) -> Outcome {
    let chosen = client.returned();
    let filters = stage.survey.has_meta_tool != Some(false);
    let mut expected = BTreeSet::new();
    let is_exposed = |category: &String| !filters || chosen.contains(category) || default.contains(category);
    for server in stage.survey.usable().filter(|server| is_exposed(&category_of(&server.name))) {
        let tools = server.capabilities.iter().flat_map(|offers| &offers.tools);
        expected.extend(tools.map(|tool| format!("{}__{}", category_of(&server.name), tool.name)));
    }
    if filters {
        expected.insert(META_TOOL.to_owned());
    }
    let missing: Vec<&String> = expected.difference(listed).take(5).collect();
    let surplus: Vec<&String> = listed.difference(&expected).take(5).collect();
    match (missing.as_slice(), surplus.as_slice()) {
        ([], []) => Outcome::pass(format!("all {} tools, no others", expected.len())),
        (missing @ [_, ..], _) => Outcome::fail(format!("the list lacks {}", list(missing))),
        ([], surplus) => Outcome::fail(format!("the list also has {}, which the client did not choose", list(surplus))),
    }
}

async fn over_mcp(stage: &Stage<'_>, client: &Actor) -> Result<(), Interrupted> {
    let step = stage.begin("4")?;
    let chosen = client.returned();
    let may_use = |probe: &&Probe| stage.survey.has_meta_tool == Some(false) || chosen.contains(&probe.category());
    let probes: Vec<&Probe> = stage.probes.iter().filter(may_use).collect();
    if probes.is_empty() {
        step.end(Outcome::needs("there is no tool that the client may use and that can be called without harm", PROBE_REMEDY));
        return Ok(());
    }
    let mut answered = Vec::new();
    for probe in probes {
        match stage.until(stage.call(client, probe)).await? {
            Ok(answer) => match problem(&answer) {
                None => answered.push(probe.name()),
                Some(said) => {
                    step.end(failed(format!("{} answers: {said}", probe.name())));
                    return Ok(());
                }
            },
            Err(error) => {
                step.end(Outcome::fail(format!("{} does not answer: {error}", probe.name())));
                return Ok(());
            }
        }
    }
    step.end(Outcome::pass(list(answered)));
    Ok(())
}

async fn over_the_api(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let step = stage.begin("5")?;
    if stage.probes.is_empty() {
        step.end(Outcome::needs("there is no tool that can be called without harm", PROBE_REMEDY));
        return Ok(());
    }
    let mut answered = Vec::new();
    for probe in &stage.probes {
        let (answer, took) = stage.until(stage.target.hub.call_tool(&probe.server, &probe.tool, &json!({}))).await?;
        stage.measures.add(MeasuredByClient::ApiRequest, took.as_duration(), answer.is_ok());
        match answer {
            Ok(answer) if answer["result"]["isError"] == true => {
                step.end(Outcome::fail(format!("{} answers an error: {}", probe.name(), shown(&answer["result"].to_string()))));
                return Ok(());
            }
            Ok(_) => answered.push(probe.name()),
            Err(said) => {
                step.end(Outcome::fail(format!("{}: {said}", probe.name())));
                return Ok(());
            }
        }
    }
    step.end(Outcome::pass(list(answered)));
    Ok(())
}

/// What is wrong with a tool's answer; `None` if it is one.
pub(super) fn problem(answer: &Answer) -> Option<String> {
    if let Err(error) = &answer.outcome {
        return Some(format!("{} {}", error.code, error.message));
    }
    let result = answer.tool_result();
    result.is_error.then(|| format!("isError {}", shown(&result.texts.join(" "))))
}

/// A failure, with the known defect that causes it.
pub(super) fn failed(reason: String) -> Outcome {
    match known::of_message(&reason) {
        Some(defect) => Outcome::defect(reason, defect),
        None => Outcome::fail(reason),
    }
}
