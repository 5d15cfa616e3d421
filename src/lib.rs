//! `hubwatch`: an OpenTelemetry sidecar for an MCP Hub, and the release report at the end of a staging period.
//!
//! # Layout, along the data path
//!
//! 1. Sources: [`tail`] follows the hub's log file, [`process`] reads the process table, [`hub`] polls the API and holds all
//!    knowledge of what lines and answers mean.
//!    [`sidecar`] brings them together, interval by interval.
//!    [`announce`] is the folder in which other commands leave what a watch should know: planned windows, scenarios' checks.
//! 2. The waist: [`watch`]. One interval of watching one hub is a [`watch::Watch`]; `encode` and `decode` turn it into a span and back.
//! 3. Outlets: [`journal`] keeps what was learned, [`export`] sends it on by OTLP, [`serve`] answers whoever asks.
//!    [`live`] judges what was committed while the watch goes on, and [`alert`] tells people of what it finds.
//! 4. The way back: [`backend`] finds Watches by derived trace ids, [`judge`] gives verdicts on them, [`report`] renders those.
//!
//! Beside that path, [`mcp`] is a client that acts on a hub as the hub's own clients do, and `instrument/node` is what a hub's process
//! loads to show its calls (`cli/instrument` gives it out).
//!
//! Start reading at `main.rs`, then `cli/run.rs` (the way in) and `cli/report.rs` (the way back).
//!
//! # What imports what
//!
//! A module imports those that stand below it, never one beside or above it. A test holds this picture against the imports.
//!
//! ```text
//! cli                               // arguments → configuration → command → exit code
//! serve sidecar                     // what is asked of a watch; the watch itself
//! config                            // files, environment and flags → settings of what stands below
//! alert                             // telling people
//! live                              // judging while the watch goes on
//! backend report scenario           // finding Watches again; rendering verdicts; acting on a hub
//! export judge process receive      // sending; verdicts without I/O; the hub's process; receiving OTLP
//! announce hub journal mcp simulator tail // telling a watch; knowledge of hubs; what is kept; an MCP client; hubs that are played; files
//! clocks                            // the wall clock and the monotonic one
//! watch                             // the waist
//! base                              // what knows nothing of all this
//! ```

// What holds for every report is checked in here, too: where any Watch can be made.
#[cfg(test)]
extern crate self as hubwatch;

pub mod alert;
pub mod announce;
pub mod backend;
pub mod base;
pub mod cli;
pub mod clocks;
pub mod config;
pub mod export;
pub mod hub;
pub mod journal;
pub mod judge;
pub mod live;
pub mod mcp;
pub mod process;
pub mod receive;
pub mod report;
pub mod scenario;
pub mod serve;
pub mod sidecar;
pub mod simulator;
pub mod tail;
pub mod watch;
