//! All knowledge of the hub. Data flows through it as follows:
//!
//! - [`line`] takes a log line apart, [`meaning`] says what its text means;
//! - [`api`] reads the answers of the HTTP API, [`client`] fetches them;
//! - [`interpret`] carries the state from line to line and poll to poll: [`calls`], [`servers`], [`clients`], [`storms`];
//! - [`call_trace`] shows an ended call as a trace of its own;
//! - [`discover`] finds the hub of this host when nobody names one.
//!
//! What the hub's lines, answers and bugs are like is known from recordings, which lie in `tests/recordings`.

pub mod api;
pub mod call_trace;
pub mod calls;
pub mod client;
pub mod clients;
pub mod discover;
pub mod interpret;
pub mod line;
pub mod mask;
pub mod meaning;
pub mod servers;
pub mod storms;
