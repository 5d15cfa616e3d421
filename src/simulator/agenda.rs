//! Pending events, in time order.

use std::collections::BTreeMap;

use super::event::Event;
use crate::watch::Timestamp;

/// An event that waits for its time.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// The life of the hub that the event belongs to, and that it ends with; `None` for external events.
    pub(super) life: Option<u32>,
    pub(super) event: Event,
}

/// The order among events of one instant: by the original due time, then by when they were planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    due: Timestamp,
    turn: u64,
}

/// Events by time.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    waiting: BTreeMap<(Timestamp, Place), Planned>,
    planned: u64,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Timestamp, planned: Planned) {
        self.planned += 1;
        self.waiting.insert((at, Place { due: at, turn: self.planned }), planned);
    }

    /// Returns the due time of the next event.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next event that is due at `to`.
    pub(super) fn take_due(&mut self, to: Timestamp) -> Option<(Timestamp, Place, Planned)> {
        let entry = self.waiting.first_entry()?;
        let (at, place) = *entry.key();
        (at <= to).then(|| (at, place, entry.remove()))
    }

    /// Postpones an event. Events that became due earlier still come first.
    pub(super) fn put_off(&mut self, until: Timestamp, place: Place, planned: Planned) {
        self.waiting.insert((until, place), planned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(life: u32) -> Planned {
        Planned { life: Some(life), event: Event::Heartbeat }
    }

    #[test]
    fn events_happen_in_the_order_of_their_due_times_not_of_their_planning() {
        let mut agenda = Agenda::default();
        agenda.plan(Timestamp::new(20), planned(20));
        agenda.plan(Timestamp::new(10), planned(10));
        for _ in 0..2 {
            let (_, place, event) = agenda.take_due(Timestamp::new(20)).unwrap();
            agenda.put_off(Timestamp::new(30), place, event);
        }
        assert!(agenda.take_due(Timestamp::new(29)).is_none());
        let order: Vec<_> = std::iter::from_fn(|| agenda.take_due(Timestamp::new(30))).map(|(.., event)| event.life).collect();
        assert_eq!(order, [Some(10), Some(20)]);
    }
}
