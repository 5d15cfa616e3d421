//! From several sources to one stream of lines.
//!
//! [`events`] reads the event stream that [`subscription`] keeps open. Each source has a [`lane`], and [`merge`] makes one event of
//! what two sources show. [`storms`] counts lines that repeat, [`clocks`] compares the hub's clock with ours, and [`stated`] measures
//! the time between two lines by the hub's.

pub(super) mod clocks;
pub mod events;
pub(super) mod lane;
pub mod merge;
pub(super) mod raw;
pub(super) mod stated;
pub(super) mod storms;
pub mod subscription;
