//! The report: [`model`] is its data, [`build`] makes it of a judgement, [`markdown`] renders it.

pub mod build;
pub mod markdown;
pub mod model;
mod words;

pub use build::report;
pub use markdown::{RenderError, render};
pub use model::{Provenance, Report};
