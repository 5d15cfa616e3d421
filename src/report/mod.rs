//! The report: [`model`] is its data, [`build`] makes it from an assessment, [`render`](mod@render) and [`junit`](mod@junit) write it for
//! people and machines.

pub mod baseline;
pub mod blind;
pub mod build;
pub mod chart;
pub mod compare;
mod daily;
mod evidence;
pub mod figures;
mod instrumented;
mod json;
mod junit;
pub mod link;
pub mod model;
mod own;
mod phases;
mod points;
mod reason;
mod recommend;
mod render;
mod scenarios;
mod told;
pub mod words;

pub use build::{Given, built_in_digest, exit, report};
pub use json::json;
pub use junit::junit;
pub use model::{Baseline, Provenance, Report, SignOff, schema};
pub use render::{RenderError, STYLE, Template, render};

#[cfg(test)]
mod anything;
#[cfg(test)]
#[path = "../../tests/invariants/mod.rs"]
mod invariants;
