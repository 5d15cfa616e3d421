//! The report: [`model`] is its data, [`build`] makes it of a judgement, [`markdown`] renders it.

mod blind;
pub mod build;
mod evidence;
pub mod markdown;
pub mod model;
mod points;
mod recommend;
mod words;

pub use build::report;
pub use markdown::{RenderError, render};
pub use model::{Provenance, Report, SignOff, schema};
