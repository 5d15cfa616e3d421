//! Sessions in which the watch itself is misled: another hub writes the same log, servers write what a hub would write, somebody
//! stops, disables, restarts or removes servers, a proxy answers instead of the hub, the sidecar stands still, clocks jump. What the
//! judge makes of each is compared with what really happened, within what the sources can show.

#![allow(dead_code, reason = "each test uses a part of it")]

mod compare;
mod play;
mod session;

#[allow(unused_imports, reason = "each test uses a part of it")]
pub(crate) use play::{START, play};
pub(crate) use session::Session;

/// Plays the session of a seed; what was claimed and did not happen, and what happened and was missed.
pub(crate) fn errors(seed: u64) -> Vec<String> {
    let session = Session::of(seed);
    let played = play::play(&session);
    compare::errors(&session, &played)
}
