//! Test case 1 of the strategy: each client has tools of its own.

use super::sessions::{Held, chooses, for_clients, no_meta_tool, unchanged};
use super::{connects, list};
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::probe;
use crate::scenario::stage::{Interrupted, Stage};

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1.1" "Client A connects",
    "1.2" "Client A calls the meta-tool and gets categories",
    "1.3" "Client A may use the tools that it chose",
    "1.4" "Client B connects",
    "1.5" "Client B may use nothing that client A chose",
    "1.6" "Client B calls the meta-tool and gets categories",
    "1.7" "Client B may use the tools that it chose, and nothing that client A chose",
    "1.8" "Client A may use the same tools as before",
};

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(a) = connects(stage, "1.1", "A").await? else { return Ok(()) };
    if let Some(outcome) = no_meta_tool(stage) {
        return without_meta_tool(stage, &outcome).await;
    }
    let [for_a, for_b] = for_clients::<2>(stage);
    // Before it chose anything: what every client may use.
    let default = probe::exposed(&stage.until(stage.exposures(&a)).await?);
    let Some(_) = chooses(stage, "1.2", &a, for_a).await? else { return Ok(()) };
    let step = stage.begin("1.3")?;
    let of_a = stage.until(stage.exposures(&a)).await?;
    let held = Held { label: "A", now: &of_a, default: &default, chosen: a.returned() };
    step.end(held.has_exactly_its_own());
    let changes_of_a = a.list_changes();

    let Some(b) = connects(stage, "1.4", "B").await? else { return Ok(()) };
    let step = stage.begin("1.5")?;
    let of_b = stage.until(stage.exposures(&b)).await?;
    let at_first = Held { label: "B", now: &of_b, default: &default, chosen: b.returned() };
    step.end(match at_first.has_no_other() {
        Outcome::Pass(_) if !a.returned().iter().any(|category| of_b.contains_key(category)) => Outcome::needs(
            format!(
                "no tool of {} can be called without harm, so it can't be seen whether client B may use it",
                list(a.returned())
            ),
            super::sessions::PROBE_REMEDY,
        ),
        outcome => outcome,
    });
    let Some(_) = chooses(stage, "1.6", &b, for_b).await? else { return Ok(()) };
    let step = stage.begin("1.7")?;
    let of_b = stage.until(stage.exposures(&b)).await?;
    let held = Held { label: "B", now: &of_b, default: &default, chosen: b.returned() };
    step.end(held.has_exactly_its_own());

    let step = stage.begin("1.8")?;
    let of_a_now = stage.until(stage.exposures(&a)).await?;
    step.end(unchanged("A", (&of_a, changes_of_a), (&of_a_now, a.list_changes())));
    Ok(())
}

/// A hub without a meta-tool: only the connections can be judged.
async fn without_meta_tool(stage: &Stage<'_>, outcome: &Outcome) -> Result<(), Interrupted> {
    for step in ["1.2", "1.3"] {
        stage.begin(step)?.end(outcome.clone());
    }
    let Some(_) = connects(stage, "1.4", "B").await? else { return Ok(()) };
    for step in ["1.5", "1.6", "1.7", "1.8"] {
        stage.begin(step)?.end(outcome.clone());
    }
    Ok(())
}
