//! Test case 3 of the strategy: clients that choose at the same time don't get in each other's way.

use std::collections::BTreeSet;
use std::rc::Rc;

use futures_util::future::join_all;

use super::sessions::{Held, NO_CATEGORY, choosable, chooses, for_clients, no_choice, no_meta_tool, prompt, unchanged};
use super::{list, of_clients};
use crate::scenario::actor::Actor;
use crate::scenario::analysis::PROMPTS;
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::probe::{self, Exposures};
use crate::scenario::stage::{Interrupted, Stage};

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "3.1" "Three clients connect at once",
    "3.2" "All three call the meta-tool at once, and each gets categories",
    "3.3" "Each client may use the tools that it chose, and no others",
    "3.4" "Client 2 calls the meta-tool again, for other tools",
    "3.5" "Client 2 may use the new tools beside the old ones, and is told so",
    "3.6" "Clients 1 and 3 may use the same tools as before",
};

const CLIENTS: [&str; 3] = ["1", "2", "3"];

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(clients) = connect(stage).await? else { return Ok(()) };
    if let Some(outcome) = no_meta_tool(stage) {
        for step in ["3.2", "3.3", "3.4", "3.5", "3.6"] {
            stage.begin(step)?.end(outcome.clone());
        }
        return Ok(());
    }
    let default = probe::exposed(&stage.until(stage.exposures(&clients[0])).await?);
    let wanted = for_clients::<3>(stage);
    if !choose(stage, &clients, wanted).await? {
        return Ok(());
    }
    let step = stage.begin("3.3")?;
    let before = exposures(stage, &clients).await?;
    step.end(all_held(&clients, &before, &default));
    let changes: Vec<usize> = clients.iter().map(|client| client.list_changes()).collect();

    let second = &clients[1];
    let had = second.returned();
    let Some(analysis) = chooses(stage, "3.4", second, another(stage, wanted, &had)).await? else { return Ok(()) };
    let step = stage.begin("3.5")?;
    let now = exposures(stage, &clients).await?;
    let held = Held { label: "2", now: &now[1], default: &default, chosen: second.returned() };
    let new: Vec<String> = analysis.categories.iter().filter(|category| !had.contains(*category)).cloned().collect();
    step.end(match (held.has_exactly_its_own(), second.list_changes() - changes[1]) {
        (_, _) if new.is_empty() => {
            Outcome::unseen(format!("the model chose {} once more, so nothing could change", list(&analysis.categories)))
        }
        (Outcome::Pass(seen), 1) => Outcome::pass(format!("{seen}; it got one notification")),
        (Outcome::Pass(seen), count) => Outcome::fail(format!("{seen}; but it got {count} notifications instead of one")),
        (outcome, _) => outcome,
    });

    let step = stage.begin("3.6")?;
    let outcomes = [0, 2].map(|index: usize| {
        unchanged(CLIENTS[index], (&before[index], changes[index]), (&now[index], clients[index].list_changes()))
    });
    step.end(worst(outcomes));
    Ok(())
}

async fn connect(stage: &Stage<'_>) -> Result<Option<Vec<Rc<Actor>>>, Interrupted> {
    let step = stage.begin("3.1")?;
    let before = stage.until(stage.clients()).await?;
    let connected = stage.until(join_all(CLIENTS.map(|label| stage.connect(label)))).await?;
    let clients: Result<Vec<Rc<Actor>>, _> = connected.into_iter().collect();
    let clients = match clients {
        Ok(clients) => clients,
        Err(error) => {
            step.end(Outcome::fail(format!("a client can't connect: {error}")));
            return Ok(None);
        }
    };
    let now = stage.until(stage.clients()).await?;
    step.end(match (before, now) {
        (Some(before), Some(now)) if now < before + 3 => {
            Outcome::fail(format!("the hub counts {} after three more connected to {before}", of_clients(now)))
        }
        (Some(_), Some(now)) => Outcome::pass(format!("the hub counts {}", of_clients(now))),
        _ => Outcome::pass("three handshakes are done; the hub does not count its clients"),
    });
    Ok(Some(clients))
}

/// All choose at once. Returns whether all got categories.
async fn choose(stage: &Stage<'_>, clients: &[Rc<Actor>], wanted: [&'static str; 3]) -> Result<bool, Interrupted> {
    let step = stage.begin("3.2")?;
    let calls = clients.iter().zip(wanted).map(|(client, category)| stage.analyze(client, prompt(category)));
    let answers = stage.until(join_all(calls)).await?;
    let mut seen = Vec::new();
    let mut by_model = true;
    for (label, answer) in CLIENTS.iter().zip(&answers) {
        match answer {
            Ok(analysis) if analysis.categories.is_empty() => {
                step.end(Outcome::fail(format!("client {label}: {NO_CATEGORY}")));
                return Ok(false);
            }
            Ok(analysis) => {
                by_model &= analysis.by_model;
                seen.push(format!("client {label}: {}", list(&analysis.categories)));
            }
            Err(no) => {
                step.end(no_choice(stage, no));
                return Ok(false);
            }
        }
    }
    let seen = seen.join("; ");
    step.end(if by_model {
        Outcome::pass(seen)
    } else {
        Outcome::unseen(format!("{seen}, but by keywords: Gemini did not answer the hub"))
    });
    Ok(true)
}

async fn exposures(stage: &Stage<'_>, clients: &[Rc<Actor>]) -> Result<Vec<Exposures>, Interrupted> {
    let mut all = Vec::new();
    for client in clients {
        all.push(stage.until(stage.exposures(client)).await?);
    }
    Ok(all)
}

fn all_held(clients: &[Rc<Actor>], now: &[Exposures], default: &BTreeSet<String>) -> Outcome {
    let held = clients
        .iter()
        .zip(now)
        .map(|(client, now)| Held { label: &client.label, now, default, chosen: client.returned() }.has_exactly_its_own());
    worst(held)
}

/// A failure if there is one, else what can't be told, else all of what held.
fn worst(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    let mut passed = Vec::new();
    let mut unseen = None;
    for outcome in outcomes {
        match outcome {
            failed @ Outcome::Fail { .. } => return failed,
            Outcome::Pass(seen) => passed.push(seen),
            other @ (Outcome::NotVerifiable { .. } | Outcome::NotApplicable(_)) => unseen = Some(other),
        }
    }
    unseen.unwrap_or_else(|| Outcome::pass(passed.join("; ")))
}

/// A category that client 2 has not chosen: one that can be probed and is nobody's, else another client's, else any.
fn another(stage: &Stage<'_>, wanted: [&'static str; 3], had: &BTreeSet<String>) -> &'static str {
    let probed = choosable(stage);
    let free = |category: &&&'static str| !had.contains(**category);
    let nobodys = probed.iter().filter(free).find(|category| !wanted.contains(category));
    let others = || probed.iter().find(free);
    nobodys
        .or_else(others)
        .copied()
        .unwrap_or_else(|| PROMPTS.iter().map(|(category, _)| *category).find(|category| !had.contains(*category)).unwrap_or("web"))
}
