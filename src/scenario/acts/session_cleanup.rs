//! Test case 2 of the strategy: nothing of a session is left when its client has gone.

use serde_json::json;

use super::sessions::{Held, chooses, for_clients, no_meta_tool};
use super::{connects, counted_out, list};
use crate::mcp::{Client, Closing};
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::probe;
use crate::scenario::stage::{Interrupted, Stage};

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "2.1" "Client A connects",
    "2.2" "Client A calls the meta-tool and gets categories",
    "2.3" "The hub counts the client",
    "2.4" "Client A disconnects",
    "2.5" "The hub counts a client less",
    "2.6" "The session's id is of no use any more",
    "2.7" "Client A connects again, and may use what every new client may use",
};

/// Hubs answer this to a message for a session that they don't know.
const NOT_FOUND: u16 = 404;

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(a) = connects(stage, "2.1", "A").await? else { return Ok(()) };
    let default = probe::exposed(&stage.until(stage.exposures(&a)).await?);
    match no_meta_tool(stage) {
        Some(outcome) => _ = stage.begin("2.2")?.end(outcome),
        None => _ = chooses(stage, "2.2", &a, for_clients::<1>(stage)[0]).await?,
    }
    let step = stage.begin("2.3")?;
    let before = stage.until(stage.clients()).await?;
    step.end(match before {
        Some(clients) => Outcome::pass(super::of_clients(clients)),
        None => Outcome::unseen("the hub does not count its clients"),
    });
    let old = a.session();
    let step = stage.begin("2.4")?;
    let left = stage.until(stage.leave(&a, Closing::Finish)).await?;
    step.end(Outcome::held(left, if left { "its connection is closed" } else { "its call is still outstanding, so it stays" }));
    if !left {
        return Ok(());
    }
    let step = stage.begin("2.5")?;
    step.end(counted_out(stage, before).await?);

    let step = stage.begin("2.6")?;
    step.end(match old {
        None => Outcome::unseen("the hub gave the session no id"),
        Some(old) => {
            let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
            match stage.until(Client::post_to_session(&stage.target.endpoint, &old, &ping)).await? {
                Ok((NOT_FOUND, said)) => Outcome::pass(format!(
                    "the hub answers 404 to a message with the old id ({}); ids are the hub's, so a client can repeat only its name",
                    crate::scenario::analysis::shown(&said)
                )),
                Ok((status, said)) => Outcome::fail(format!(
                    "the hub answers {status} to a message with the old id: {}",
                    crate::scenario::analysis::shown(&said)
                )),
                Err(error) => Outcome::fail(format!("the hub does not answer a message with the old id: {error}")),
            }
        }
    });
    comes_back(stage, &default, &a.returned()).await
}

/// The same client once more, under the same name.
async fn comes_back(
    stage: &Stage<'_>,
    default: &std::collections::BTreeSet<String>,
    chosen_before: &std::collections::BTreeSet<String>,
) -> Result<(), Interrupted> {
    let step = stage.begin("2.7")?;
    let again = match stage.until(stage.connect("A")).await? {
        Ok(again) => again,
        Err(error) => {
            step.end(Outcome::fail(format!("client A can't connect again: {error}")));
            return Ok(());
        }
    };
    if let Some(outcome) = no_meta_tool(stage) {
        step.end(outcome);
        return Ok(());
    }
    let now = stage.until(stage.exposures(&again)).await?;
    let held = Held { label: "A", now: &now, default, chosen: again.returned() };
    step.end(match held.has_no_other() {
        Outcome::Pass(_) if !chosen_before.iter().any(|category| now.contains_key(category)) => Outcome::needs(
            format!("no tool of {} can be called without harm, so it can't be seen whether it was kept", list(chosen_before)),
            super::sessions::PROBE_REMEDY,
        ),
        outcome => outcome,
    });
    Ok(())
}
