//! What the hub's list shows of a server, and whether that confirms what a line claims.

use crate::hub::api;
use crate::hub::topics::claims::{Claim, Decision, ServerClaim};
use crate::hub::topics::servers::connection::is_counted;
use crate::hub::topics::servers::{Asked, Server, Servers};
use crate::watch::{ClaimRefusal, Liveness, Micros, Timestamp, When};

/// A hub gives up a server that does not connect within five minutes; this is twice as long. One that began to connect before, calls
/// itself connected and does not count up has been lost since.
const LONGEST_START: Micros = Micros::new(10 * 60 * 1_000_000);

/// A connection counts up after one second. With the second that rounding takes, an uptime that is still 0 s after this is a dead
/// server's.
pub(super) const FRESH_START: Micros = Micros::new(2_000_000);

/// How far a time of ours and one of the hub's may be apart after the clocks were compared: an answer's way takes some milliseconds.
const CLOCK_ERROR: Micros = Micros::new(300_000);

/// What the hub's list shows of a server, in the hub's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Picture {
    /// It has been connected without a break since then.
    Up { since: Timestamp },
    /// It is being connected, since then.
    Connecting { since: Option<Timestamp> },
    /// It was connected and is not any more, whatever its status says.
    Dead,
    /// It calls itself connected and its uptime does not count: it connected within the last second, or died.
    JustConnected { since: Option<Timestamp> },
    /// It is stopped, disabled, not authorised, or could not be started.
    Off,
    /// A status that is not known.
    Other,
}

impl Picture {
    fn of(seen: &api::Server, server: Option<&Server>, times: Asked) -> Self {
        let counts_from =
            || server.map_or_else(|| Server::new().counts_from(seen, times), |server| server.counts_from(seen, times));
        match seen.status.as_str() {
            "connected" if is_counted(seen) => Self::Up { since: counts_from() },
            "connected" if server.is_some_and(|server| is_dead(seen, server, times.hub_now) || is_overdue(server, times)) => {
                Self::Dead
            }
            "connected" if outlasts_any_start(seen, times) => Self::Dead,
            "connected" => Self::JustConnected { since: seen.last_started },
            "connecting" => Self::Connecting { since: seen.last_started },
            "disconnected" | "disabled" | "unauthorized" => Self::Off,
            _ => Self::Other,
        }
    }
}

/// Whether the API's error is the one of the line: it may be longer or cut.
fn is_same_error(told: &str, line: &str) -> bool {
    let short = |text: &str| text.chars().take(80).collect::<String>();
    told.contains(&short(line)) || line.contains(&short(told))
}

/// Whether an uptime of 0 means that the server died: it worked since it was last started.
pub(super) fn is_dead(seen: &api::Server, server: &Server, hub_now: Timestamp) -> bool {
    let same_start = seen.last_started.is_some() && seen.last_started == server.last_started;
    let is_uncounted = seen.status == "connected" && !is_counted(seen);
    is_uncounted && same_start && server.was_up && !server.begins_again(hub_now)
}

/// Whether the uptime has stayed 0 for longer than a fresh connection's does.
pub(super) fn is_overdue(server: &Server, times: Asked) -> bool {
    server.uncounted_since.is_some_and(|since| times.asked.since(since) >= FRESH_START)
}

/// Whether no start takes so long: a server that is not counting up was lost. A clock that was set does not tell.
pub(super) fn outlasts_any_start(seen: &api::Server, times: Asked) -> bool {
    times.set_at.is_none() && seen.last_started.is_some_and(|began| times.hub_now.since(began) > LONGEST_START)
}

impl Server {
    /// Whether a poll has shown since then that the server works: how it came up is no news, though its lines can be read only now.
    fn was_seen_up_after(&self, what: &ServerClaim, when: When) -> bool {
        let comes_up = match what {
            ServerClaim::Starting(_) | ServerClaim::Connected(_) => true,
            ServerClaim::Closed { .. } | ServerClaim::Failed { .. } => false,
        };
        comes_up && self.liveness == Liveness::Up && self.confirmed.is_some_and(|confirmed| when.latest() <= confirmed)
    }
}

impl Servers {
    /// Whether the hub's list confirms or contradicts what a line claims of one of its servers. `rest` are the later claims.
    /// `complete` is whether the hub has read its configuration: before that its list is not whole.
    pub fn weigh<'a>(
        &self,
        claim: &Claim,
        what: &ServerClaim,
        rest: impl Iterator<Item = &'a ServerClaim>,
        answer: &api::Servers,
        times: Asked,
        complete: bool,
    ) -> Decision {
        // What was read after the request went out may be news that the answer could not have.
        let known_then = claim.read <= times.asked;
        let unless = |fits: bool, refusal| match (fits, known_then) {
            (true, _) => Decision::Confirmed,
            (false, true) => Decision::Refused(refusal),
            (false, false) => Decision::Waits,
        };
        let Some(seen) = answer.servers.iter().find(|seen| seen.name == what.server()) else {
            // One that was listed before is removed, and its connection was closed for that.
            let removed = self.knows(what.server());
            return match complete {
                true if removed => Decision::Known,
                true => unless(false, ClaimRefusal::NotListed),
                false => Decision::Waits,
            };
        };
        let earliest = claim.earliest_by_hub_clock(times.ahead);
        let server = self.by_name.get(&seen.name);
        if server.is_some_and(|server| server.was_seen_up_after(what, claim.when)) {
            return Decision::Known;
        }
        let mut later = rest.filter(|later| later.server() == what.server());
        let contradicted = |fits| unless(fits, ClaimRefusal::Contradicted);
        match Picture::of(seen, server, times) {
            // Nothing happened to it since it connected.
            Picture::Up { since } => contradicted(earliest <= since.plus(CLOCK_ERROR)),
            Picture::Connecting { since } => contradicted(match what {
                // It connected, was lost or stopped, and is started again.
                ServerClaim::Connected(_) => {
                    later.any(|later| matches!(later, ServerClaim::Closed { .. } | ServerClaim::Starting(_)))
                }
                ServerClaim::Starting(_) | ServerClaim::Closed { .. } | ServerClaim::Failed { .. } => {
                    since.is_none_or(|since| earliest <= since.plus(FRESH_START))
                }
            }),
            Picture::Dead => contradicted(match what {
                ServerClaim::Closed { .. } => true,
                // It connected, and was lost again before the poll.
                ServerClaim::Starting(_) | ServerClaim::Connected(_) | ServerClaim::Failed { .. } => {
                    later.any(|later| matches!(later, ServerClaim::Closed { .. }))
                }
            }),
            Picture::JustConnected { since } => match what {
                ServerClaim::Connected(_) | ServerClaim::Starting(_) => Decision::Confirmed,
                // What began before the present attempt to connect is of the connection before.
                ServerClaim::Closed { .. } | ServerClaim::Failed { .. } if since.is_some_and(|since| earliest <= since) => {
                    Decision::Confirmed
                }
                ServerClaim::Closed { .. } | ServerClaim::Failed { .. } => Decision::Waits,
            },
            Picture::Off => contradicted(match what {
                ServerClaim::Closed { .. } => true,
                ServerClaim::Failed { error, .. } => seen.error.as_deref().is_some_and(|told| is_same_error(told, error.as_str())),
                ServerClaim::Starting(_) | ServerClaim::Connected(_) => {
                    // It came to nothing: the line that says so must be here, too.
                    let failed = |later: &ServerClaim| match later {
                        ServerClaim::Failed { error, .. } => {
                            seen.error.as_deref().is_some_and(|told| is_same_error(told, error.as_str()))
                        }
                        ServerClaim::Closed { .. } => true,
                        ServerClaim::Starting(_) | ServerClaim::Connected(_) => false,
                    };
                    later.any(failed)
                }
            }),
            Picture::Other => Decision::Confirmed,
        }
    }
}
