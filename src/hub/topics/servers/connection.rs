//! Since when a server's connection stands. A hub counts the uptime by its own clock: where that is set, the uptime jumps, and is
//! negative after the clock was set back by more than the connection's age. When the connection began, by the clock as it was then,
//! stays the same.

use serde::{Deserialize, Serialize};

use crate::hub::api::{self, since};
use crate::hub::topics::servers::{Asked, Server};
use crate::watch::{Micros, Timestamp, When};

/// Uptimes are whole seconds, and an answer may be a little late: two beginnings that are closer than this are the same.
const SAME_BEGINNING: Micros = Micros::new(2_000_000);

/// A connection that the hub counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connection {
    /// When it began, as the hub's clock said then.
    began: Timestamp,
    /// When it began, by our clock.
    since: When,
}

/// Whether the hub counts its connection: neither a fresh one, in its first second, nor a dead one has an uptime.
pub(super) fn is_counted(seen: &api::Server) -> bool {
    seen.status == "connected" && seen.uptime != 0.0
}

/// When the connection began, as the hub's clock said then.
fn beginning(seen: &api::Server, hub_now: Timestamp) -> Timestamp {
    hub_now.minus(api::seconds(seen.uptime)).plus(api::seconds(-seen.uptime))
}

fn apart(one: Timestamp, other: Timestamp) -> Micros {
    one.since(other).max(other.since(one))
}

impl Server {
    /// The connection that the list shows, if it is the one that was seen before.
    fn known_connection(&self, seen: &api::Server, hub_now: Timestamp) -> Option<Connection> {
        let same = |known: &Connection| apart(known.began, beginning(seen, hub_now)) <= SAME_BEGINNING;
        self.connection.filter(|known| self.last_started == seen.last_started && same(known))
    }

    /// When the connection began that the list shows, by our clock; `None` where the hub does not count it, or its clock was set since.
    pub(super) fn connected_since(&self, seen: &api::Server, times: Asked) -> Option<When> {
        if !is_counted(seen) {
            return None;
        }
        match self.known_connection(seen, times.hub_now) {
            Some(known) => Some(known.since),
            None => since::connected(seen, times),
        }
    }

    /// The same by the hub's clock as it is now. If it is unknown, the present.
    pub(super) fn counts_from(&self, seen: &api::Server, times: Asked) -> Timestamp {
        let told = beginning(seen, times.hub_now);
        match self.known_connection(seen, times.hub_now) {
            Some(known) => {
                let began = known.since.latest().shifted(times.ahead);
                if apart(began, told) > SAME_BEGINNING { began } else { told }
            }
            None if since::connected(seen, times).is_none() => times.hub_now,
            None => told,
        }
    }

    /// The list shows it with a connection that counts. `noticed` is when it can have begun.
    pub(super) fn note_connection(&mut self, seen: &api::Server, noticed: When, times: Asked) {
        let since = self.connected_since(seen, times).unwrap_or(noticed);
        self.connection = Some(Connection { began: beginning(seen, times.hub_now), since });
    }

    /// Whether the uptime is 0 because the hub's clock was set back and is now where it was when the connection began.
    pub(super) fn begins_again(&self, hub_now: Timestamp) -> bool {
        self.connection.is_some_and(|known| apart(known.began, hub_now) <= SAME_BEGINNING)
    }

    /// How long it has been connected, whatever the hub's clock was set to since.
    pub(super) fn uptime(&self, seen: &api::Server, times: Asked) -> Micros {
        let told = api::seconds(seen.uptime);
        let known = self.known_connection(seen, times.hub_now).filter(|_| is_counted(seen));
        let lasted = known.map_or(told, |known| times.now.since(known.since.latest()));
        if lasted.max(told).get() - lasted.min(told).get() > SAME_BEGINNING.get() { lasted } else { told }
    }
}
