//! A simulated hub that behaves like the real ones, bugs included.
//!
//! It simulates the two recorded hubs (`tests/recordings`), with each of their loggers, in virtual time: the same [`Profile`] and
//! [`Step`]s give the same log file, byte for byte, the same API bodies and the same [`Truth`] about the real events, with which a
//! watcher's findings can be compared. Two days take a few seconds.
//!
//! [`Simulation`] is the pure core. [`serve()`] puts it behind a real port and lets its time follow the wall clock.

mod agenda;
mod api;
mod behaviour;
mod dialect;
mod drill;
mod event;
mod fields;
mod hub;
mod lines;
mod live;
mod mcp;
mod notice;
mod port;
mod process;
mod profile;
mod prompts;
mod random;
mod registry;
mod resources;
mod script;
mod serve;
mod simulation;
mod sink;
mod step;
mod tools;
mod truth;
mod world;

pub use api::ApiAnswer;
pub use behaviour::{Behaviour, Counts, Notifies, UnderLoad};
pub use drill::{Drill, Window};
pub use lines::{Entry, Level};
pub use live::LiveSimulation;
pub use process::{SimulatedChild, SimulatedProcess};
pub use profile::{Flavor, Logger, Profile, ServerPlan};
pub use script::Script;
pub use serve::serve;
pub use simulation::{Neighbour, Simulation};
pub use sink::{FileSink, LogSink};
pub use step::{Gemini, Step};
pub use tools::Toolset;
pub use truth::{CallOutcome, DownCause, Happening, StopCause, Truth, UpCause};
