//! Scenarios on simulated hubs: each with every verdict that it can have, by its own rules of safety, and against servers that are no
//! hubs at all.

#[path = "scenario/calls.rs"]
mod calls;
#[path = "scenario/command.rs"]
mod command;
#[path = "scenario/conditions.rs"]
mod conditions;
#[path = "scenario/ended.rs"]
mod ended;
#[path = "scenario/growth.rs"]
mod growth;
#[path = "scenario/harm.rs"]
mod harm;
#[path = "scenario/hub.rs"]
mod hub;
#[path = "scenario/many.rs"]
mod many;
#[path = "scenario/output.rs"]
mod output;
mod period;
#[path = "scenario/play.rs"]
mod play;
#[path = "scenario/processes.rs"]
mod processes;
#[path = "scenario/sessions.rs"]
mod sessions;
#[path = "scenario/strangers.rs"]
mod strangers;
