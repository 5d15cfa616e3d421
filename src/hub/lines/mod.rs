//! From text to a line, and what the line means.
//!
//! [`framing`] takes a container runtime's frame off a line, [`line`] takes the line apart with [`scan`], [`meaning`] names what its
//! text means, and [`detail`] reads the object beside it. [`mask`] takes private text out of what leaves the sidecar.

pub(super) mod detail;
pub mod framing;
pub mod line;
pub mod mask;
pub mod meaning;
pub(super) mod scan;
