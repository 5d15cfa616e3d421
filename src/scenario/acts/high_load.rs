//! Many clients at once, while the API is asked all the time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use super::meta_tool::LIMIT;
use super::sessions::{PROBE_REMEDY, choosable, prompt};
use super::tools_usable::problem;
use super::{micros, of_clients};
use crate::mcp::Closing;
use crate::scenario::actor::Actor;
use crate::scenario::analysis::PROMPTS;
use crate::scenario::measure::Series;
use crate::scenario::outcome::{Measured, Outcome};
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::stage::{Interrupted, Stage};
use crate::watch::MeasuredByClient;

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "All clients connect, and the hub counts them",
    "2" "Every client's call is answered",
    "3" "Under load the meta-tool takes less than 6 s on average",
    "4" "Under load every request to the API is answered",
    "5" "Under load the API takes less than 2 s on average",
    "6" "The clients leave one by one, and the hub goes on answering",
};

/// Calls of each client: enough that the API is asked under load for some seconds.
const ROUNDS: usize = 3;

/// The pause between two requests to the API.
const API_PAUSE: Duration = Duration::from_millis(50);

/// The strategy: API response time below 2 seconds on average.
const API_LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(clients) = connect(stage).await? else { return Ok(()) };
    let step = stage.begin("2")?;
    let done = Cell::new(false);
    let calls = async {
        let problems: Vec<String> = join_all(clients.iter().enumerate().map(|(index, client)| calls(stage, index, client)))
            .await
            .into_iter()
            .flatten()
            .collect();
        done.set(true);
        problems
    };
    let (problems, api) = stage.until(async { tokio::join!(calls, asked_meanwhile(stage, &done)) }).await?;
    let of = clients.len() * ROUNDS;
    step.end(match problems.first() {
        None => Outcome::pass(format!("{of} calls of {}", of_clients(u32::try_from(clients.len()).unwrap_or(u32::MAX)))),
        Some(first) => super::tools_usable::failed(format!("{} of {of} calls failed; the first: {first}", problems.len())),
    });
    judge(stage, &api)?;
    leave(stage, &clients).await
}

async fn connect(stage: &Stage<'_>) -> Result<Option<Vec<Rc<Actor>>>, Interrupted> {
    let step = stage.begin("1")?;
    let before = stage.until(stage.clients()).await?;
    let mut clients = Vec::new();
    for number in 1..=stage.options.clients {
        match stage.until(stage.connect(&number.to_string())).await? {
            Ok(client) => clients.push(client),
            Err(error) => {
                step.end(Outcome::fail(format!("client {number} of {} can't connect: {error}", stage.options.clients)));
                return Ok(None);
            }
        }
    }
    let wanted = u32::try_from(clients.len()).unwrap_or(u32::MAX);
    let now = stage.until(stage.clients()).await?;
    step.end(match (before, now) {
        (Some(before), Some(now)) if now < before + wanted => {
            Outcome::fail(format!("the hub counts {} after {wanted} more connected to {before}", of_clients(now)))
        }
        (Some(_), Some(now)) => Outcome::pass(format!("the hub counts {}", of_clients(now))),
        _ => Outcome::pass(format!("{} are connected; the hub does not count them", of_clients(wanted))),
    });
    Ok(Some(clients))
}

/// The calls of one client, one after the other. Returns what went wrong.
async fn calls(stage: &Stage<'_>, index: usize, client: &Actor) -> Vec<String> {
    let mut problems = Vec::new();
    for round in 0..ROUNDS {
        let problem = if stage.survey.has_meta_tool == Some(true) {
            let probed = choosable(stage);
            let category = probed.get((index + round) % probed.len().max(1)).copied().unwrap_or(PROMPTS[0].0);
            stage.analyze(client, prompt(category)).await.err().map(|no| no.reason())
        } else if let Some(probe) = stage.probes.get(index % stage.probes.len().max(1)) {
            match stage.call(client, probe).await {
                Ok(answer) => problem(&answer),
                Err(error) => Some(error.to_string()),
            }
        } else {
            match stage.request(client, "ping", Value::Null, stage.options.patience.tool).await {
                Ok(answer) => answer.outcome.err().map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            }
        };
        problems.extend(problem);
    }
    problems
}

/// Asks the API until the calls are done.
async fn asked_meanwhile(stage: &Stage<'_>, done: &Cell<bool>) -> Measured {
    let mut series = Series::of(MeasuredByClient::ApiRequest);
    while !done.get() {
        let (health, took) = stage.target.hub.health().await;
        let (servers, took_servers) = stage.target.hub.servers().await;
        for (took, answered) in [(took, health.is_ok()), (took_servers, servers.is_ok())] {
            series.add(took.as_duration(), answered);
            stage.measures.add(MeasuredByClient::ApiRequest, took.as_duration(), answered);
        }
        tokio::time::sleep(API_PAUSE).await;
    }
    series.measured()
}

fn judge(stage: &Stage<'_>, api: &Measured) -> Result<(), Interrupted> {
    let step = stage.begin("3")?;
    let calls = stage.measures.so_far(MeasuredByClient::MetaToolCall);
    step.end(match calls.and_then(|calls| Some((calls.mean_us()?, calls))) {
        Some((mean, calls)) => Outcome::held(mean < u64::try_from(LIMIT.as_micros()).unwrap_or(u64::MAX), figures(mean, &calls)),
        None if stage.survey.has_meta_tool == Some(false) => Outcome::NotApplicable("this hub has no meta-tool".to_owned()),
        None => Outcome::needs("no call of the meta-tool was answered", PROBE_REMEDY),
    });
    let step = stage.begin("4")?;
    step.end(Outcome::held(api.failed == 0, format!("{} of {} requests failed", api.failed, api.count)));
    let step = stage.begin("5")?;
    step.end(match api.mean_us() {
        Some(mean) => Outcome::held(mean < u64::try_from(API_LIMIT.as_micros()).unwrap_or(u64::MAX), figures(mean, api)),
        None => Outcome::fail("the API never answered under load"),
    });
    Ok(())
}

fn figures(mean: u64, of: &Measured) -> String {
    let shown = |figure: Option<u64>| figure.map_or_else(|| "unknown".to_owned(), micros);
    format!(
        "{} on average; p50 {}, p95 {}, p99 {}, longest {} of {}",
        micros(mean),
        shown(of.p50_us),
        shown(of.p95_us),
        shown(of.p99_us),
        shown(of.max_us),
        of.count
    )
}

async fn leave(stage: &Stage<'_>, clients: &[Rc<Actor>]) -> Result<(), Interrupted> {
    let step = stage.begin("6")?;
    let before = stage.until(stage.clients()).await?;
    let mut stay = 0;
    for client in clients {
        stay += u32::from(!stage.until(stage.leave(client, Closing::Finish)).await?);
    }
    if stay > 0 {
        step.end(Outcome::fail(format!("{} stay: their calls were not answered", of_clients(stay))));
        return Ok(());
    }
    let Some(before) = before else {
        step.end(match stage.until(stage.health()).await? {
            Ok(_) => Outcome::unseen("the hub does not count its clients"),
            Err(outcome) => Outcome::fail(format!("the hub does not answer: {}", outcome.reason())),
        });
        return Ok(());
    };
    let left = u32::try_from(clients.len()).unwrap_or(u32::MAX);
    let gone = async || stage.clients().await.filter(|now| *now + left <= before);
    step.end(match stage.await_that(stage.options.patience.left, gone).await? {
        Some(now) => Outcome::pass(format!("the hub counts {}", of_clients(now))),
        None => Outcome::fail(format!(
            "the hub does not count {} less {} s after the last one left",
            of_clients(left),
            stage.options.patience.left.as_secs_f64()
        )),
    });
    Ok(())
}
