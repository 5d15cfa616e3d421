//! Scenarios: acting on a hub as its clients do, safely, and judging each step.
//!
//! A [`Scenario`] is played on a [`Target`] by [`run::play`]: it announces its window to the watch beside it, checks what must be
//! given before anything is done, plays the scenario's own file under `acts/`, puts everything back, and looks whether the hub is
//! unharmed. Each step is a [`outcome::Step`] with a verdict; each goes to the watch as a fact, to people as a line, and into the
//! result.
//!
//! What decides each step, and how a careless client kills a hub, was measured on real hubs: docs/hub.md, "Acting on a hub".

mod actor;
mod acts;
mod analysis;
mod known;
mod measure;
mod observed;
pub mod outcome;
mod patience;
pub mod plan;
mod probe;
mod put_back;
pub mod results;
pub mod run;
mod safety;
mod stage;
mod survey;
pub mod target;
pub mod telemetry;
mod teller;
pub mod turn;

pub use known::Defect;
pub use patience::Patience;
pub use plan::{Allow, Scenario, StepSpec};
pub use target::{Options, Target};
