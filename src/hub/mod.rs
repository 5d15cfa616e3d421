//! All knowledge of the hub. Data flows through it as follows:
//!
//! - [`lines`] reads text: what a line says and what it means;
//! - [`sources`] joins the log, the hub's output and the event stream into one stream of lines;
//! - [`api`] asks the hub and reads its answers;
//! - [`interpret`] takes lines in order and [`polled`] polls; [`amend`] joins what two sources show, and [`facts`] is the queue of what
//!   they lead to;
//! - [`observations`] reads what instrumentation in the hub's process sends;
//! - [`topics`] turns lines and answers into facts.
//!
//! Tests hold this against recordings of real hubs, which lie in `tests/recordings`.

mod amend;
pub mod api;
mod facts;
pub mod interpret;
mod lines;
pub mod observations;
mod polled;
mod sources;
mod topics;

pub use api::{act, client, discover, lookout};
pub use lines::{framing, line, mask, meaning};
pub use sources::{events, merge, subscription};
pub use topics::{call_trace, children, requests, servers};
