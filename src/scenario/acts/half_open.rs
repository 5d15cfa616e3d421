//! A client vanishes: its connection stays open, and nobody answers on it any more.

use std::time::Duration;

use super::{connects, of_clients, seconds};
use crate::scenario::known;
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::stage::{Interrupted, Stage};

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "A client connects",
    "2" "The hub notices that the client answers nothing any more",
};

/// How long the hub may take. The event stream of real hubs drops such a client after 15.5 min.
pub(in crate::scenario) const NOTICED_WITHIN: Duration = Duration::from_secs(16 * 60);

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(client) = connects(stage, "1", "vanished").await? else { return Ok(()) };
    let within = stage.options.length.unwrap_or(NOTICED_WITHIN);
    let step = stage.begin("2")?;
    let Some(before) = stage.until(stage.clients()).await? else {
        step.end(Outcome::unseen("the hub does not count its clients"));
        return Ok(());
    };
    if let Some(client) = client.client() {
        client.stop_reading();
    }
    let began = tokio::time::Instant::now();
    let gone = async || stage.clients().await.filter(|clients| *clients < before);
    step.end(match stage.await_that(within, gone).await? {
        Some(clients) => Outcome::pass(format!("the hub counts {} after {}", of_clients(clients), seconds(began.elapsed()))),
        None => {
            Outcome::defect(format!("the hub still counts {} after {}", of_clients(before), seconds(within)), &known::HALF_OPEN)
        }
    });
    Ok(())
}
