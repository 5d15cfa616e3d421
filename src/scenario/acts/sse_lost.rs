//! A client's connection breaks, twice, in the two ways that a hub can notice: closed (FIN) and reset (RST).

use serde_json::{Value, json};

use super::sessions::unchanged;
use super::{connects, counted_out};
use crate::mcp::{Client, Closing};
use crate::scenario::actor::Actor;
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::stage::{Interrupted, Stage};

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "A witness connects",
    "2" "A client connects whose connection will be closed",
    "3" "The hub notices that the connection was closed (FIN)",
    "4" "The closed session is of no use any more",
    "5" "A client connects whose connection will be reset",
    "6" "The hub notices that the connection was reset (RST)",
    "7" "The reset session is of no use any more",
    "8" "The witness is not affected",
};

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(witness) = connects(stage, "1", "witness").await? else { return Ok(()) };
    let before = (stage.until(stage.exposures(&witness)).await?, witness.list_changes());
    for (steps, label, how) in [(["2", "3", "4"], "closed", Closing::Finish), (["5", "6", "7"], "reset", Closing::Reset)] {
        let Some(client) = connects(stage, steps[0], label).await? else { return Ok(()) };
        lost(stage, &client, how, [steps[1], steps[2]]).await?;
    }
    let step = stage.begin("8")?;
    step.end(match stage.until(stage.request(&witness, "ping", Value::Null, stage.options.patience.request)).await? {
        Err(error) => Outcome::fail(format!("its ping is not answered: {error}")),
        Ok(answer) if answer.outcome.is_err() => Outcome::fail(format!("its ping is answered by an error: {}", answer.raw)),
        Ok(_) => {
            let now = (stage.until(stage.exposures(&witness)).await?, witness.list_changes());
            match unchanged("witness", (&before.0, before.1), (&now.0, now.1)) {
                failed @ Outcome::Fail { .. } => failed,
                Outcome::Pass(seen) => Outcome::pass(format!("its ping is answered; {seen}")),
                Outcome::NotVerifiable { .. } | Outcome::NotApplicable(_) => {
                    Outcome::pass("its ping is answered, and it got no notification")
                }
            }
        }
    });
    Ok(())
}

async fn lost(stage: &Stage<'_>, client: &Actor, how: Closing, [noticed, useless]: [&'static str; 2]) -> Result<(), Interrupted> {
    let step = stage.begin(noticed)?;
    let before = stage.until(stage.clients()).await?;
    let session = client.session();
    // It is idle: none of its calls is outstanding.
    stage.until(stage.leave(client, how)).await?;
    step.end(counted_out(stage, before).await?);
    let step = stage.begin(useless)?;
    let Some(session) = session else {
        step.end(Outcome::unseen("the hub gave the session no id"));
        return Ok(());
    };
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    step.end(match stage.until(Client::post_to_session(&stage.target.endpoint, &session, &ping)).await? {
        Ok((404, _)) => Outcome::pass("the hub answers 404 to a message with its id"),
        Ok((status, _)) => Outcome::fail(format!("the hub answers {status} to a message with its id")),
        Err(error) => Outcome::fail(format!("the hub does not answer a message with its id: {error}")),
    });
    Ok(())
}
