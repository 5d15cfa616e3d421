//! All knowledge of the hub. Data flows through it as follows:
//!
//! - [`framing`] takes a container runtime's frame off a line, [`line`] takes the line apart with [`scan`], [`meaning`] says what its text
//!   means, [`detail`] what stands beside it;
//! - [`events`] reads the event stream, whose lines take the same way; [`merge`] makes one event of what two sources show;
//! - [`api`] reads the answers of the HTTP API, [`client`] fetches them, [`lookout`] looks for a hub that is away;
//! - [`interpret`] carries the state from line to line and poll to poll: [`calls`], [`servers`], [`clients`], [`storms`], and for
//!   each source of lines a [`lane`]; [`children`] tells which of the hub's child processes is which server;
//! - [`clocks`] brings the hub's times and ours together;
//! - what lines claim of the hub and its servers waits in [`claims`] until a poll settles it;
//! - [`call_trace`] shows an ended call as a trace of its own;
//! - [`since`] narrows down when something changed by the times that the API tells;
//! - [`discover`] finds the hub of this host when nobody names one.
//!
//! What the hub's lines, answers and bugs are like is known from recordings, which lie in `tests/recordings`.

pub mod api;
pub mod call_trace;
pub mod calls;
pub mod children;
pub mod claims;
pub mod client;
pub mod clients;
mod clocks;
pub mod detail;
pub mod discover;
pub mod events;
pub mod framing;
pub mod interpret;
pub mod lane;
pub mod line;
pub mod lookout;
pub mod mask;
pub mod meaning;
pub mod merge;
mod polled;
pub mod scan;
pub mod servers;
mod settle;
mod since;
pub mod storms;
pub mod subscription;
