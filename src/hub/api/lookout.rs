//! When to look for a hub that is away or on its way to another state: soon at first, then less and less often. A poll each interval
//! alone would notice a hub that came back up to an interval late, and all that its first clients did would go unseen.

use std::time::Duration;

use tokio::time::Instant;

use super::answers::{self, Health};
use super::client::HubClient;
use crate::watch::ApiOutcome;

/// The wait before the first look. A hub takes about half a second from its first line to its first answer.
pub const FIRST: Duration = Duration::from_millis(250);

/// The longest wait while the hub is away, if the interval isn't shorter. If the port is closed, a check is one attempt to connect,
/// a tenth of a millisecond of processor time; every two seconds that is 0.05 ms/s, an eighth of what an idle watch may take.
pub const LONGEST: Duration = Duration::from_secs(2);

/// For so long after a sign of a start or a stop the hub is looked at, also when it still answers as before: a hub that received its
/// signal answers until its servers are stopped.
const EAGER: Duration = Duration::from_secs(5);

/// Signs that follow each other more closely are one: another hub may write such lines into the same log without end.
const SAME_SIGN: Duration = Duration::from_secs(1);

/// How the hub was when it was last polled.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// It was not polled yet.
    Nothing,
    /// It did not answer.
    Away {
        /// Whether something is there that answers a connection.
        connects: bool,
    },
    /// It answered.
    Here {
        /// Its state.
        state: String,
        /// Its process.
        pid: Option<u32>,
    },
}

impl Known {
    fn of(health: &Result<Health, ApiOutcome>) -> Self {
        match health {
            Ok(health) => Self::Here { state: health.state.clone(), pid: health.workspace().and_then(|workspace| workspace.pid) },
            Err(outcome) => Self::Away { connects: !matches!(outcome, ApiOutcome::Refused | ApiOutcome::Unreachable) },
        }
    }
}

/// Says when to look, and looks.
#[derive(Debug)]
pub struct Lookout {
    interval: Duration,
    known: Known,
    /// The wait before the next look.
    wait: Duration,
    due: Option<Instant>,
    /// The last sign.
    sign: Option<Instant>,
}

impl Lookout {
    /// Beside polls of this interval.
    pub fn new(interval: Duration) -> Self {
        Self { interval, known: Known::Nothing, wait: FIRST, due: None, sign: None }
    }

    /// The hub was polled like this.
    pub fn polled(&mut self, health: &Result<Health, ApiOutcome>, now: Instant) {
        let known = Known::of(health);
        let is_news = std::mem::replace(&mut self.known, known.clone()) != known;
        if is_news {
            self.wait = FIRST.min(self.interval);
            self.due = None;
        }
        if self.longest(now).is_none() {
            self.due = None;
        } else if self.due.is_none_or(|due| due <= now) {
            self.due = Some(now + self.wait);
        }
    }

    /// Checks the hub now, because something showed a start or a stop.
    pub fn stir(&mut self, now: Instant) {
        if self.known == Known::Nothing || self.sign.is_some_and(|before| now.duration_since(before) < SAME_SIGN) {
            return;
        }
        self.sign = Some(now);
        self.wait = FIRST.min(self.interval);
        self.due = Some(now);
    }

    /// Whether the last poll was not answered.
    pub fn is_away(&self) -> bool {
        matches!(self.known, Known::Away { .. })
    }

    /// Waits until the next look is due; for ever if none is.
    pub async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Looks whether the hub is no longer as it was.
    pub fn look(&self, client: HubClient) -> impl Future<Output = bool> + 'static {
        let known = self.known.clone();
        async move {
            match known {
                Known::Nothing => false,
                Known::Away { connects } => (connects || client.is_listening().await) && client.health().await.0.is_ok(),
                here @ Known::Here { .. } => Known::of(&client.health().await.0) != here,
            }
        }
    }

    /// It is as it was: the next look is later.
    pub fn in_vain(&mut self, now: Instant) {
        self.due = self.longest(now).map(|longest| {
            let wait = self.wait.min(longest);
            self.wait = (wait * 2).min(longest);
            now + wait
        });
    }

    /// The longest wait; none if the polls are enough.
    fn longest(&self, now: Instant) -> Option<Duration> {
        match &self.known {
            Known::Away { .. } => Some(LONGEST.min(self.interval)),
            Known::Here { state, .. } if answers::is_passing(state) => Some(self.interval),
            Known::Here { .. } if self.sign.is_some_and(|sign| now.duration_since(sign) < EAGER) => {
                Some(LONGEST.min(self.interval))
            }
            Known::Here { .. } | Known::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    fn health(state: &str) -> Result<Health, ApiOutcome> {
        let answer = serde_json::json!({"state": state, "server_id": answers::SERVER_ID});
        Ok(serde_json::from_value(answer).unwrap())
    }

    /// The waits of looks that find nothing, in milliseconds.
    fn waits(lookout: &mut Lookout, mut now: Instant, count: usize) -> Vec<u128> {
        let mut waits = Vec::new();
        for _ in 0..count {
            let Some(due) = lookout.due else { break };
            waits.push(due.saturating_duration_since(now).as_millis());
            now = due;
            lookout.in_vain(now);
        }
        waits
    }

    #[test]
    fn a_hub_that_is_away_is_looked_for_soon_and_then_less_often_and_polls_between_change_nothing() {
        let (mut lookout, now) = (Lookout::new(INTERVAL), Instant::now());
        lookout.polled(&Err(ApiOutcome::Refused), now);
        assert_eq!(waits(&mut lookout, now, 6), [250, 250, 500, 1_000, 2_000, 2_000]);
        let later = now + Duration::from_secs(15);
        lookout.polled(&Err(ApiOutcome::Refused), later);
        assert_eq!(waits(&mut lookout, later, 3), [2_000, 2_000, 2_000]);
        lookout.polled(&health("ready"), later);
        assert!(waits(&mut lookout, later, 3).is_empty());
    }

    #[test]
    fn a_hub_that_starts_is_looked_at_until_it_is_ready() {
        let (mut lookout, now) = (Lookout::new(INTERVAL), Instant::now());
        lookout.polled(&health("starting"), now);
        assert_eq!(waits(&mut lookout, now, 8), [250, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000]);
        lookout.polled(&health("restarted"), now);
        assert_eq!(lookout.due, None);
    }

    #[test]
    fn a_sign_is_followed_for_some_seconds_and_a_flood_of_them_is_one() {
        let (mut lookout, now) = (Lookout::new(INTERVAL), Instant::now());
        lookout.stir(now);
        assert_eq!(lookout.due, None, "before the first poll nothing is known that could change");
        lookout.polled(&health("ready"), now);
        lookout.stir(now);
        assert_eq!(waits(&mut lookout, now, 9), [0, 250, 500, 1_000, 2_000, 2_000]);
        lookout.in_vain(now);
        let due = lookout.due;
        (0..900).for_each(|millis| lookout.stir(now + Duration::from_millis(millis)));
        assert_eq!(lookout.due, due);
    }

    #[test]
    fn with_short_intervals_nobody_looks_more_often_than_they_poll() {
        let (mut lookout, now) = (Lookout::new(Duration::from_millis(100)), Instant::now());
        lookout.polled(&Err(ApiOutcome::BadGateway), now);
        assert_eq!(waits(&mut lookout, now, 3), [100, 100, 100]);
    }
}
