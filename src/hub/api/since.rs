//! The time of a change by the API's own times: more exact than the two polls between which it was noticed.
//!
//! An age says how long ago something was when the hub answered, whatever the hub's clock says. The answer was made between our request
//! and its arrival. After a clock was set, the age of anything earlier is unknown.

use super::answers;
use crate::hub::topics::servers::Asked;
use crate::watch::{Micros, Timestamp, When};

/// Uptimes are whole seconds, rounded down.
const ROUNDED_DOWN: Micros = Micros::new(1_000_000);

/// Returns by our clock when the connection came up, from the uptime that the hub reports.
pub fn connected(seen: &answers::Server, times: Asked) -> Option<When> {
    let uptime = answers::seconds(seen.uptime);
    let counts = seen.status == "connected" && uptime > Micros::default();
    let told = When::between(times.asked.minus(uptime).minus(ROUNDED_DOWN), times.now.minus(uptime));
    Some(told).filter(|told| counts && is_told(*told, times))
}

/// Returns when the hub began to start a server, by our clock.
pub fn started(seen: &answers::Server, times: Asked) -> Option<When> {
    let age = times.hub_now.since(seen.last_started?);
    Some(When::between(times.asked.minus(age), times.now.minus(age))).filter(|told| is_told(*told, times))
}

/// Whether the hub's clock was not set since then.
fn is_told(told: When, times: Asked) -> bool {
    times.set_at.is_none_or(|set| told.latest() >= set)
}

/// Narrows `noticed` down by the hub's times. Two clocks may disagree by a little: what they put before `noticed` was at its
/// beginning, and nothing is put after it.
pub fn narrowed(noticed: When, told: Option<When>) -> When {
    let Some(told) = told else { return noticed };
    let inside = |at: Timestamp| at.max(noticed.earliest()).min(noticed.latest());
    When::between(inside(told.earliest()), inside(told.latest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + second)
    }

    fn server(uptime: f64) -> answers::Server {
        answers::Server {
            name: "files".into(),
            transport: None,
            status: "connected".into(),
            error: None,
            capabilities: answers::Capabilities { tools: answers::Length(1) },
            uptime,
            last_started: Some(at(5_000)),
        }
    }

    /// A hub whose clock is 5,000 s ahead answers within two seconds.
    fn times() -> Asked {
        Asked { asked: at(103), now: at(105), hub_now: at(5_105), ahead: 5_000_000_000, set_at: None }
    }

    #[test]
    fn an_uptime_tells_the_second_whatever_the_hub_s_clock_says() {
        assert_eq!(connected(&server(15.0), times()), Some(When::between(at(87), at(90))));
        assert_eq!(connected(&server(0.0), times()), None, "it is fresh or dead");
        assert_eq!(connected(&server(f64::MAX), times()), Some(When::At(Timestamp::default())));
    }

    #[test]
    fn a_start_is_as_long_ago_as_the_hub_s_own_clock_says() {
        assert_eq!(started(&server(0.0), times()), Some(When::between(at(0).minus(Micros::new(2_000_000)), at(0))));
        assert_eq!(started(&answers::Server { last_started: None, ..server(0.0) }, times()), None);
    }

    #[test]
    fn nothing_is_moved_out_of_the_time_between_the_polls() {
        let noticed = When::between(at(90), at(105));
        assert_eq!(narrowed(noticed, None), noticed);
        assert_eq!(narrowed(noticed, Some(When::between(at(94), at(96)))), When::between(at(94), at(96)));
        assert_eq!(narrowed(noticed, Some(When::between(at(80), at(92)))), When::between(at(90), at(92)));
        assert_eq!(narrowed(noticed, Some(When::between(at(80), at(82)))), When::At(at(90)));
    }
}
