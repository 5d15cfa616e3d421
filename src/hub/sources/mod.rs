//! From several sources to one stream of lines.
//!
//! [`events`] reads the event stream that [`subscription`] keeps open. Each source has a [`lane`], and [`merge`] makes one event of
//! what two sources show. [`storms`] counts lines that repeat, and [`clocks`] compares the hub's clock with ours.

pub(super) mod clocks;
pub mod events;
pub(super) mod lane;
pub mod merge;
pub(super) mod raw;
pub(super) mod storms;
pub mod subscription;
