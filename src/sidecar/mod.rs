//! The sidecar: brings the sources together, closes an interval with each poll, and commits what was learned.

pub mod assemble;
pub mod clock;
