//! A client leaves while its meta-tool call is outstanding: the very thing that all other scenarios avoid.

use std::time::Duration;

use super::connects;
use super::sessions::{choosable, no_meta_tool, prompt};
use crate::mcp::Closing;
use crate::scenario::known;
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::stage::{Interrupted, Stage};

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "A client connects",
    "2" "The client leaves during its meta-tool call",
    "3" "The hub goes on answering when the call's answer comes",
};

/// How long the call may have run when the client leaves: a model needs longer for its answer.
const LEAVES_AFTER: Duration = Duration::from_millis(100);

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(client) = connects(stage, "1", "A").await? else { return Ok(()) };
    if let Some(outcome) = no_meta_tool(stage) {
        stage.begin("2")?.end(outcome.clone());
        stage.begin("3")?.end(outcome);
        return Ok(());
    }
    let step = stage.begin("2")?;
    let category = choosable(stage).into_iter().next().unwrap_or("filesystem");
    let answered = {
        let call = stage.analyze(&client, prompt(category));
        tokio::time::timeout(LEAVES_AFTER, call).await.is_ok()
    };
    if answered {
        step.end(Outcome::unseen("the answer came before the client could leave"));
        return Ok(());
    }
    if let Some(client) = client.take() {
        client.close(Closing::Finish).await;
    }
    step.end(Outcome::pass(format!("it left {} ms after its call", LEAVES_AFTER.as_millis())));
    let step = stage.begin("3")?;
    let away = async || stage.target.hub.health().await.0.err();
    step.end(match stage.await_that(stage.options.patience.meta_tool, away).await? {
        Some(outcome) => Outcome::defect(format!("the hub does not answer any more: {}", outcome.reason()), &known::MID_CALL_LEAVE),
        None => Outcome::pass(format!("it answered for {} s", stage.options.patience.meta_tool.as_secs_f64())),
    });
    Ok(())
}
