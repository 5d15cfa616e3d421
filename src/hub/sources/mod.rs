//! From several sources to one stream of lines.
//!
//! [`events`] reads the event stream that [`subscription`] keeps open. Each source has a [`lane`], and [`merge`] makes one event of
//! what two sources show. [`storms`] counts lines that repeat, and [`clocks`] compares the hub's clock with ours.

pub mod clocks;
pub mod events;
pub mod lane;
pub mod merge;
pub mod raw;
pub mod storms;
pub mod subscription;
