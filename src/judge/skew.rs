//! A clock that jumps and is set back again: what was watched meanwhile is judged as the clock before the jump would have dated it, so
//! that no time is skipped and none is shown twice.
//!
//! Whether a clock will be set back is not known when it jumps. Until then each Watch counts where its clock put it; once the jumps come
//! to nothing again, the Watches since the first of them are judged anew.

use crate::watch::{FactKind, Watch, WatcherFact, WatcherId};

/// Jumps that come to no more than this cancel out: less is drift.
const CANCELLED_US: u64 = 1_000_000;

/// So many Watches wait for their clock to be set back: four hours at a poll each 15 s. They are kept in memory, a few KiB each.
const MAX_WAITING: usize = 1_000;

/// Judging anew takes time: a clock that was set back more often than this is believed as it is.
const MAX_STRAIGHTENED: u32 = 1_000;

/// By how many microseconds the clock jumped at the end of a Watch; `None` if it did not.
fn jump(watch: &Watch) -> Option<i64> {
    let jumps = watch.facts.iter().filter_map(|fact| match &fact.kind {
        FactKind::Watcher(WatcherFact::ClockJumped(jumped)) => Some(jumped.jump),
        _ => None,
    });
    jumps.reduce(i64::saturating_add)
}

/// A clock that has jumped, and the judge as it was before.
#[derive(Debug, Clone)]
pub(super) struct Skew<J> {
    before: Box<J>,
    /// Whose clock it is: a later run may begin with another one.
    maker: (WatcherId, u32),
    /// By how many microseconds it is ahead of what it said before.
    ahead: i64,
    /// The Watches since, as the clock before would have dated them; the first is the one at whose end it jumped.
    watches: Vec<Watch>,
}

/// What becomes of a Watch for a clock that has jumped.
pub(super) enum Next<J> {
    /// The clock goes on as it is.
    Waits(Skew<J>),
    /// It was set back: judge these anew, from there on.
    SetBack(Box<J>, Vec<Watch>),
    /// It won't be set back.
    Stays,
}

impl<J> Skew<J> {
    /// A clock that jumps at the end of this Watch, which `before` has not yet taken.
    pub(super) fn begun(before: impl FnOnce() -> J, watch: &Watch, straightened: u32) -> Option<Self> {
        let ahead = jump(watch).filter(|by| by.unsigned_abs() > CANCELLED_US && straightened < MAX_STRAIGHTENED)?;
        let maker = (watch.origin.watcher, watch.origin.run);
        Some(Self { before: Box::new(before()), maker, ahead, watches: vec![watch.clone()] })
    }

    /// Takes the next Watch, of whatever watcher.
    pub(super) fn next(mut self, watch: &Watch) -> Next<J> {
        let (watcher, run) = self.maker;
        let is_own = watch.origin.watcher == watcher;
        if is_own && watch.origin.run != run || self.watches.len() >= MAX_WAITING {
            return Next::Stays;
        }
        self.watches.push(if is_own { watch.shifted(self.ahead.saturating_neg()) } else { watch.clone() });
        if is_own && let Some(by) = jump(watch) {
            self.ahead = self.ahead.saturating_add(by);
            if self.ahead.unsigned_abs() <= CANCELLED_US {
                return Next::SetBack(self.before, self.watches);
            }
        }
        Next::Waits(self)
    }
}
