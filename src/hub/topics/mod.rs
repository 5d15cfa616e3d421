//! What lines and answers mean: one module for each topic.
//!
//! [`hub_life`] follows the hub's process and [`identity`] knows which one it is; [`servers`], [`clients`], [`calls`] and [`tools`]
//! follow what it does; [`log`] is about the log itself and [`stream`] about the event stream.
//! What a line claims of the hub or of a server waits in [`claims`] until a poll decides on it ([`settle`]), and a line of an unknown
//! process is [`held`]. [`requests`] tell why servers start and stop. [`children`] finds each server's process, and [`call_trace`]
//! shows an ended call as a trace.

pub mod call_trace;
pub(super) mod calls;
pub mod children;
pub(super) mod claims;
pub(super) mod clients;
pub(super) mod held;
pub(super) mod hub_life;
pub(super) mod identity;
pub(super) mod instrumented;
pub(super) mod log;
pub mod requests;
pub mod servers;
pub(super) mod settle;
mod stream;
mod tools;
