//! A hub that behaves like the real ones, their bugs included: for the demo, for tests, and for faults that are rare.
//!
//! [`Simulation`] is pure and runs in virtual time: the same seed and steps give the same lines and answers. [`serve()`] puts it on a
//! real socket, with its time following the wall clock. What it writes and answers is held against the recordings by
//! `tests/simulator.rs`.

mod fields;
mod lines;
mod profile;
mod random;
pub mod script;
mod serve;
mod sink;
mod step;
mod world;

pub use lines::Entry;
pub use profile::{Flavor, Logger, Profile, ServerPlan};
pub use serve::{LiveSimulation, serve};
pub use sink::{FileSink, LogSink};
pub use step::{Gemini, Step};
pub use world::{ApiAnswer, SimulatedProcess, Simulation, Truth};
