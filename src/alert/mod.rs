//! Alerts: sends incidents to people while they last.
//!
//! [`ledger`] knows what a target has received and what it must receive now: pure. [`message`] words it for the target's kind,
//! [`deliver`] sends it, in a task for each target, so that the watch never waits for a target that is slow or away.

mod deliver;
pub mod ledger;
pub mod message;
mod target;

pub use deliver::{Alerts, AlertsError};
pub use target::{AN_HOUR, AN_HOUR_ALERTMANAGER, Kind, REPEAT, REPEAT_ALERTMANAGER, Target, TargetError};
