//! Asking the hub: its HTTP API and what its answers say.
//!
//! [`discover`] finds the hub of this host when the configuration names none, [`client`] asks it, [`act`] changes something
//! there (only scenarios do), [`lookout`] watches for a hub that does not answer, and [`since`] narrows down when something changed by
//! the times in its answers.

pub mod act;
mod answers;
pub mod client;
pub mod discover;
pub mod lookout;
pub mod since;

pub use answers::*;
