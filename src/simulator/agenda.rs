//! What is still to happen, in time order.

use std::collections::BTreeMap;

use super::event::Event;
use crate::watch::Timestamp;

/// An event that waits for its time.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// The life of the hub that it belongs to; `None` for what comes from outside. Dies with that life.
    pub(super) life: Option<u32>,
    pub(super) event: Event,
}

/// Events by time; those of one instant in the order in which they were planned.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    waiting: BTreeMap<(Timestamp, u64), Planned>,
    planned: u64,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Timestamp, planned: Planned) {
        self.planned += 1;
        self.waiting.insert((at, self.planned), planned);
    }

    /// The next event that is due at `to`.
    pub(super) fn take_due(&mut self, to: Timestamp) -> Option<(Timestamp, u64, Planned)> {
        let entry = self.waiting.first_entry()?;
        let (at, turn) = *entry.key();
        (at <= to).then(|| (at, turn, entry.remove()))
    }

    /// Puts an event off; it keeps its turn among those of one instant.
    pub(super) fn put_off(&mut self, until: Timestamp, turn: u64, planned: Planned) {
        self.waiting.insert((until, turn), planned);
    }
}
